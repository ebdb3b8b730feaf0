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

/// What a rule is about and what is asked for; ids in names. Each kind has a prefix of its own, so that no two meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Thing<'t> {
    /// All that a marketplace lists. Never asked for.
    Marketplace(&'t str),
    /// The plugins of a group. Never asked for.
    Group(&'t str),
    /// A plugin: its marketplace and itself.
    Plugin(&'t str, &'t str),
    /// An app of a plugin: its key comes last.
    App(&'t str, &'t str, &'t str),
    /// A skill of a plugin; it comes last.
    Skill(&'t str, &'t str, &'t str),
}

impl Thing<'_> {
    fn ids(&self) -> impl Iterator<Item = &str> {
        match *self {
            Self::Marketplace(id) | Self::Group(id) => [Some(id), None, None],
            Self::Plugin(marketplace, id) => [Some(marketplace), Some(id), None],
            Self::App(marketplace, plugin, id) | Self::Skill(marketplace, plugin, id) => {
                [Some(marketplace), Some(plugin), Some(id)]
            }
        }
        .into_iter()
        .flatten()
    }

    /// As a column holds it.
    fn cell(&self) -> String {
        match self {
            Self::Marketplace(id) => format!("marketplace:{id}"),
            Self::Group(id) => format!("pgroup:{id}"),
            Self::Plugin(marketplace, id) => format!("plugin:{marketplace}/{id}"),
            Self::App(marketplace, plugin, id) => format!("app:{marketplace}/{plugin}/{id}"),
            Self::Skill(marketplace, plugin, id) => format!("skill:{marketplace}/{plugin}/{id}"),
        }
    }
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
    /// What it is about.
    pub target: Thing<'g>,
    /// Least mature stage.
    pub max_stage: Option<&'g str>,
    /// Pool of which a seat is needed.
    pub seat_pool: Option<&'g str>,
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
        let Grant { rule, role, tenant, target, .. } = grant;
        let time =
            |time: Option<Time>, always: &str| time.map_or_else(|| always.to_owned(), |t| t.to_string());
        let cells = vec![
            (*rule).to_owned(),
            role.map_or_else(|| "*".to_owned(), |r| format!("role:{r}")),
            format!("tenant:{tenant}"),
            target.cell(),
            "use".to_owned(),
            grant.max_stage.unwrap_or("*").to_owned(),
            grant.seat_pool.map_or_else(|| "any".to_owned(), |pool| format!("seat:{pool}")),
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

    /// That a part belongs to its plugin, or a plugin to its marketplace or to a group.
    pub fn listing(member: Thing<'_>, of: Thing<'_>) -> Self {
        Self { kind: "g2", cells: vec![member.cell(), of.cell(), "catalog".to_owned()] }
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
                let pool = seat.strip_prefix("seat:");
                if seat != "any" && pool.is_none_or(|pool| pool.is_empty() || pool.contains(' ')) {
                    return Err(wrong("seat must be `any` or `seat:` and the id of a pool"));
                }
                if nbf.len() != ALWAYS_FROM.len() || exp.len() != ALWAYS_FROM.len() {
                    return Err(wrong(
                        "times must have six decimals and end in `Z`, or text order is not time order",
                    ));
                }
                let who = sub == "*" || sub.starts_with("role:");
                let what = ["plugin:", "marketplace:", "pgroup:", "app:", "skill:"];
                let what = what.iter().any(|prefix| plg.starts_with(prefix));
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
            ("g2", [member, of, catalog]) => {
                let part = member.starts_with("app:") || member.starts_with("skill:");
                let well = if part {
                    of.starts_with("plugin:")
                } else {
                    member.starts_with("plugin:")
                        && (of.starts_with("marketplace:") || of.starts_with("pgroup:"))
                };
                if well && catalog == "catalog" {
                    Ok(())
                } else {
                    Err(wrong(
                        "must be a part and its plugin, or a plugin and its marketplace or group, and `catalog`",
                    ))
                }
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
    /// What for.
    pub wanted: Thing<'r>,
    /// The plugin's release stage.
    pub stage: &'r str,
    /// The pools of which the principal holds a seat.
    pub seats: &'r [&'r str],
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
        enforcer.add_function("seatOk", OperatorFunction::Arg2(seat_ok));
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
        let fields = [r.principal, r.tenant, r.stage].into_iter().chain(r.wanted.ids());
        if fields.chain(r.seats.iter().copied()).any(str::is_empty) {
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
            r.wanted.cell(),
            "use",
            r.stage,
            seats(r.seats),
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

/// Whether a seat that a rule needs is among those that are held; an unknown word never is.
#[expect(clippy::needless_pass_by_value, reason = "the signature is casbin's")]
fn seat_ok(held: Dynamic, needed: Dynamic) -> Dynamic {
    let (held, needed) = (dynamic_to_str(&held), dynamic_to_str(&needed));
    (needed == "any" || held.split(' ').any(|seat| seat == needed && seat.starts_with("seat:"))).into()
}

/// All seats in one column.
fn seats(pools: &[&str]) -> String {
    if pools.is_empty() {
        return "none".to_owned();
    }
    pools.iter().map(|pool| format!("seat:{pool}")).collect::<Vec<_>>().join(" ")
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
