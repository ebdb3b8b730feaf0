//! Casbin, and the only module of this crate that knows it.
//!
//! A [`Policy`] is built whole from its rows, asked, and dropped: it is never changed, because casbin keeps role links
//! that were removed. Casbin also drops what it does not understand without a word, so every row is checked before it
//! goes in and counted after. Only functions of our own are called from the matcher; some of casbin's panic.

use std::{
    mem,
    sync::{Arc, Mutex, PoisonError},
};

use casbin::{
    CoreApi as _, DefaultEffector, DefaultModel, EffectKind, Effector, EffectorStream, Enforcer,
    MgmtApi as _,
    function_map::{OperatorFunction, dynamic_to_str},
    rhai::Dynamic,
};
use kernel::{Error, Result, clock::Time};

const MODEL: &str = include_str!("../../../policies/entitlements.conf");
/// Before every time that can be asked about.
const ALWAYS_FROM: &str = "0000-01-01T00:00:00.000000Z";
/// After every time that can be asked about.
const ALWAYS_UNTIL: &str = "9999-12-31T23:59:59.999999Z";
/// The rule of the row that is always there: without any row casbin would evaluate the matcher on empty strings.
const SENTINEL: &str = "__none__";

/// Whether a row allows or forbids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Eft {
    /// It allows, unless another forbids.
    Allow,
    /// It forbids, whatever others allow.
    Deny,
}

/// What a `p` row says; `None` stands for "whatever".
#[derive(Clone, Debug)]
pub struct Grant<'g> {
    /// Names the rule; unique in the policy.
    pub rule: &'g str,
    /// Role that must be held.
    pub role: Option<&'g str>,
    /// Tenant in which it holds.
    pub tenant: &'g str,
    /// Marketplace that lists the plugin.
    pub marketplace: &'g str,
    /// The plugin; none means all of the marketplace.
    pub plugin: Option<&'g str>,
    /// Least mature stage.
    pub max_stage: Option<&'g str>,
    /// Whether a seat is needed.
    pub needs_seat: bool,
    /// From when, inclusive.
    pub not_before: Option<Time>,
    /// Until when, exclusive.
    pub not_after: Option<Time>,
    /// What it does.
    pub eft: Eft,
}

/// One row: its type and its columns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    kind: &'static str,
    cells: Vec<String>,
}

impl Row {
    /// A rule.
    pub fn grant(grant: &Grant<'_>) -> Self {
        let Grant { rule, role, tenant, marketplace, plugin, .. } = grant;
        let time =
            |time: Option<Time>, always: &str| time.map_or_else(|| always.to_owned(), |t| t.to_string());
        let cells = vec![
            (*rule).to_owned(),
            role.map_or_else(|| "*".to_owned(), |r| format!("role:{r}")),
            format!("tenant:{tenant}"),
            plugin.map_or_else(
                || format!("marketplace:{marketplace}"),
                |p| format!("plugin:{marketplace}/{p}"),
            ),
            "use".to_owned(),
            grant.max_stage.unwrap_or("*").to_owned(),
            if grant.needs_seat { "held" } else { "any" }.to_owned(),
            time(grant.not_before, ALWAYS_FROM),
            time(grant.not_after, ALWAYS_UNTIL),
            match grant.eft {
                Eft::Allow => "allow",
                Eft::Deny => "deny",
            }
            .to_owned(),
        ];
        Self { kind: "p", cells }
    }

    /// That a principal holds a role.
    pub fn holding(principal: &str, role: &str, tenant: &str) -> Self {
        let cells =
            vec![format!("principal:{principal}"), format!("role:{role}"), format!("tenant:{tenant}")];
        Self { kind: "g", cells }
    }

    /// That a marketplace lists a plugin.
    pub fn listing(marketplace: &str, plugin: &str) -> Self {
        let cells = vec![
            format!("plugin:{marketplace}/{plugin}"),
            format!("marketplace:{marketplace}"),
            "catalog".to_owned(),
        ];
        Self { kind: "g2", cells }
    }

    fn sentinel() -> Self {
        let cells = [
            SENTINEL,
            "role:__none__",
            "tenant:__none__",
            "plugin:__none__",
            "__none__",
            "*",
            "any",
            ALWAYS_FROM,
            ALWAYS_FROM,
            "deny",
        ];
        Self { kind: "p", cells: cells.map(str::to_owned).to_vec() }
    }

    /// Refuses what casbin would misread in silence.
    fn check(&self) -> Result<()> {
        let wrong = |what: &str| {
            Error::internal(format!("policy row `{}, {}`: {what}", self.kind, self.cells.join(", ")))
        };
        if self.cells.iter().any(String::is_empty) {
            return Err(wrong("has an empty column"));
        }
        match (self.kind, self.cells.as_slice()) {
            ("p", [_, sub, dom, plg, _, stage, seat, nbf, exp, eft]) => {
                if !matches!(eft.as_str(), "allow" | "deny") {
                    return Err(wrong("effect must be exactly `allow` or `deny`"));
                }
                if !matches!(stage.as_str(), "*" | "alpha" | "preview" | "live") {
                    return Err(wrong("stage must be `*`, `alpha`, `preview` or `live`"));
                }
                if !matches!(seat.as_str(), "any" | "held") {
                    return Err(wrong("seat must be `any` or `held`"));
                }
                if nbf.len() != ALWAYS_FROM.len() || exp.len() != ALWAYS_FROM.len() {
                    return Err(wrong(
                        "times must have six decimals and end in `Z`, or text order is not time order",
                    ));
                }
                let who = sub == "*" || sub.starts_with("role:");
                let what = plg.starts_with("plugin:") || plg.starts_with("marketplace:");
                if who && what && dom.starts_with("tenant:") {
                    Ok(())
                } else {
                    Err(wrong("has a column without its prefix"))
                }
            }
            ("g", [who, role, tenant]) => {
                let well = who.starts_with("principal:")
                    && role.starts_with("role:")
                    && tenant.starts_with("tenant:");
                if well { Ok(()) } else { Err(wrong("must be `principal:…, role:…, tenant:…`")) }
            }
            ("g2", [plugin, marketplace, catalog]) => {
                let well = plugin.starts_with("plugin:")
                    && marketplace.starts_with("marketplace:")
                    && catalog == "catalog";
                if well { Ok(()) } else { Err(wrong("must be `plugin:…, marketplace:…, catalog`")) }
            }
            _ => Err(wrong("has another type or another number of columns than the model")),
        }
    }
}

/// One question.
#[derive(Clone, Copy, Debug)]
pub struct Request<'r> {
    /// Who.
    pub principal: &'r str,
    /// Where.
    pub tenant: &'r str,
    /// Marketplace that lists the plugin.
    pub marketplace: &'r str,
    /// What for.
    pub plugin: &'r str,
    /// The plugin's release stage.
    pub stage: &'r str,
    /// Whether the principal holds a seat.
    pub seat: bool,
    /// When.
    pub now: Time,
}

/// Casbin's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Yes or no.
    pub allowed: bool,
    /// The rules that made it: those that allow for a yes, those that forbid for a no; in the order of the rows.
    pub rules: Vec<String>,
}

/// A compiled policy.
pub struct Policy {
    enforcer: Enforcer,
    /// Rule of every `p` row, in casbin's order.
    rules: Vec<String>,
    matched: Matched,
}

impl Policy {
    /// Compiles `rows`, all of them or nothing.
    pub async fn compile(rows: &[Row]) -> Result<Self> {
        let model = DefaultModel::from_str(MODEL).await.map_err(Error::internal)?;
        let mut enforcer = Enforcer::new(model, ()).await.map_err(Error::internal)?;
        let matched = Matched::default();
        enforcer.set_effector(Box::new(Witness { matched: Arc::clone(&matched) }));
        enforcer.add_function("stageOk", OperatorFunction::Arg2(stage_ok));
        let sentinel = Row::sentinel();
        for row in std::iter::once(&sentinel).chain(rows) {
            row.check()?;
            let section = if row.kind == "p" { "p" } else { "g" };
            if !enforcer.get_mut_model().add_policy(section, row.kind, row.cells.clone()) {
                return Err(Error::internal(format!("policy row `{}` was not taken", row.cells.join(", "))));
            }
        }
        enforcer.build_role_links().map_err(Error::internal)?;
        let rules: Vec<_> =
            enforcer.get_named_policy("p").into_iter().filter_map(|row| row.into_iter().next()).collect();
        let links: usize =
            ["g", "g2"].map(|kind| enforcer.get_named_grouping_policy(kind).len()).iter().sum();
        let (written, loaded) = (rows.len() + 1, rules.len() + links);
        if loaded != written {
            return Err(Error::internal(format!("policy: {written} rows written, {loaded} loaded")));
        }
        Ok(Self { enforcer, rules, matched })
    }

    /// Asks. A request with an empty field is an error, never an answer.
    pub fn ask(&mut self, r: &Request<'_>) -> Result<Answer> {
        let now = r.now.to_string();
        if [r.principal, r.tenant, r.marketplace, r.plugin, r.stage].iter().any(|field| field.is_empty()) {
            return Err(Error::internal("policy question with an empty field"));
        }
        if now.len() != ALWAYS_FROM.len() {
            return Err(Error::internal(format!(
                "policy question at `{now}`, which does not compare as text"
            )));
        }
        let request = (
            format!("principal:{}", r.principal),
            format!("tenant:{}", r.tenant),
            format!("plugin:{}/{}", r.marketplace, r.plugin),
            "use",
            r.stage,
            if r.seat { "held" } else { "none" },
            now,
        );
        let allowed = self.enforcer.enforce(request).map_err(Error::internal)?;
        let matched = mem::take(&mut *self.matched.lock().unwrap_or_else(PoisonError::into_inner));
        let made_it = if allowed { EffectKind::Allow } else { EffectKind::Deny };
        let rules = self.rules.iter().zip(matched).filter(|(_, effect)| *effect == made_it);
        Ok(Answer { allowed, rules: rules.map(|(rule, _)| rule.clone()).collect() })
    }
}

/// The effect of every row in the last question.
type Matched = Arc<Mutex<Vec<EffectKind>>>;

/// Casbin's own effector, with a note of what every row did. (Casbin's `explain` ends at the first deny and brings a
/// logger that prints every request.)
struct Witness {
    matched: Matched,
}

struct WitnessStream {
    inner: Box<dyn EffectorStream>,
    decided: bool,
    matched: Matched,
}

impl Effector for Witness {
    fn new_stream(&self, expr: &str, cap: usize) -> Box<dyn EffectorStream> {
        self.matched.lock().unwrap_or_else(PoisonError::into_inner).clear();
        let inner = DefaultEffector.new_stream(expr, cap);
        Box::new(WitnessStream { inner, decided: false, matched: Arc::clone(&self.matched) })
    }
}

impl EffectorStream for WitnessStream {
    fn next(&self) -> bool {
        self.inner.next()
    }

    /// Says "go on" until the last row, so that every row is noted; casbin's answer is made when it says that it is.
    fn push_effect(&mut self, effect: EffectKind) -> bool {
        if !self.decided {
            self.decided = self.inner.push_effect(effect);
        }
        self.matched.lock().unwrap_or_else(PoisonError::into_inner).push(effect);
        false
    }
}

/// Whether a plugin of stage `stage` is mature enough for a rule's `ceiling`; an unknown word never is.
#[expect(clippy::needless_pass_by_value, reason = "the signature is casbin's")]
fn stage_ok(stage: Dynamic, ceiling: Dynamic) -> Dynamic {
    let (stage, ceiling) = (dynamic_to_str(&stage), dynamic_to_str(&ceiling));
    reaches(&stage, &ceiling).into()
}

fn reaches(stage: &str, ceiling: &str) -> bool {
    match ceiling {
        "*" => true,
        "alpha" => matches!(stage, "alpha" | "preview" | "live" | "deprecated"),
        "preview" => matches!(stage, "preview" | "live" | "deprecated"),
        "live" => matches!(stage, "live" | "deprecated"),
        _ => false,
    }
}

#[cfg(test)]
mod tests;
