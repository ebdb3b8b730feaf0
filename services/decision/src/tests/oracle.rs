//! Casbin, asked about the same facts by `policies/entitlements.conf`.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
};

use casbin::{
    CoreApi as _, DefaultEffector, DefaultModel, EffectKind, Effector, EffectorStream, Enforcer,
    MgmtApi as _,
    function_map::{OperatorFunction, dynamic_to_str},
    rhai::Dynamic,
};
use futures::executor::block_on;

use crate::model::*;

const MODEL: &str = include_str!("../../../../policies/entitlements.conf");
const ALWAYS_FROM: &str = "0000-01-01T00:00:00.000000Z";
const ALWAYS_UNTIL: &str = "9999-12-31T23:59:59.999999Z";

/// Casbin with the rows of one tenant.
pub struct Oracle<'f> {
    facts: &'f Facts,
    enforcer: Enforcer,
    /// Rule of every row.
    rules: Vec<String>,
    matched: Matched,
}

type Matched = Arc<Mutex<Vec<EffectKind>>>;

/// Casbin's own effector, with a note of what every row did.
struct Witness(Matched);

struct WitnessStream {
    inner: Box<dyn EffectorStream>,
    decided: bool,
    matched: Matched,
}

impl Effector for Witness {
    fn new_stream(&self, expr: &str, cap: usize) -> Box<dyn EffectorStream> {
        self.0.lock().unwrap().clear();
        let inner = DefaultEffector.new_stream(expr, cap);
        Box::new(WitnessStream { inner, decided: false, matched: Arc::clone(&self.0) })
    }
}

impl EffectorStream for WitnessStream {
    fn next(&self) -> bool {
        self.inner.next()
    }

    fn push_effect(&mut self, effect: EffectKind) -> bool {
        if !self.decided {
            self.decided = self.inner.push_effect(effect);
        }
        self.matched.lock().unwrap().push(effect);
        false
    }
}

/// The model, parsed once.
pub fn model() -> DefaultModel {
    block_on(DefaultModel::from_str(MODEL)).unwrap()
}

impl<'f> Oracle<'f> {
    pub fn new(model: &DefaultModel, facts: &'f Facts) -> Self {
        let mut enforcer = block_on(Enforcer::new(model.clone(), ())).unwrap();
        let matched = Matched::default();
        enforcer.set_effector(Box::new(Witness(Arc::clone(&matched))));
        enforcer.add_function("stageOk", OperatorFunction::Arg2(stage_ok));
        enforcer.add_function("seatOk", OperatorFunction::Arg2(seat_ok));
        let sentinel = [
            "__none__",
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
        let mut rows = vec![("p", sentinel.map(str::to_owned).to_vec())];
        rows.extend(facts.rules.iter().map(|rule| ("p", rule_row(rule))));
        rows.extend(holdings(facts).into_iter().map(|row| ("g", row)));
        rows.extend(listings(facts).into_iter().map(|row| ("g2", row)));
        for (kind, row) in rows {
            let section = if kind == "p" { "p" } else { "g" };
            assert!(enforcer.get_mut_model().add_policy(section, kind, row.clone()), "{row:?}");
        }
        enforcer.build_role_links().unwrap();
        let rules = enforcer.get_named_policy("p").into_iter().map(|mut row| row.swap_remove(0)).collect();
        Self { facts, enforcer, rules, matched }
    }

    /// Whether `who` itself may, and the rules that forbid it.
    pub fn ask(&self, who: &str, what: Target<&str>, now: i64) -> (bool, BTreeSet<&str>) {
        let (plugin, wanted) = match what {
            Target::App { plugin, app } => (plugin, format!("app:{plugin}/{app}")),
            Target::Skill { plugin, skill } => (plugin, format!("skill:{plugin}/{skill}")),
            Target::Plugin(plugin) => (plugin, format!("plugin:{plugin}")),
            Target::Marketplace(_) | Target::PluginGroup(_) => panic!("nobody asks for {what:?}"),
        };
        let plugin = self.facts.plugins.iter().find(|p| p.id == plugin).unwrap();
        let stage = match plugin.stage {
            _ if plugin.sunset.is_some_and(|sunset| sunset <= now) => "withdrawn",
            Stage::Alpha => "alpha",
            Stage::Preview => "preview",
            Stage::Live => "live",
            Stage::Deprecated => "deprecated",
            Stage::Withdrawn => "withdrawn",
        };
        let seats = self.facts.seat_pools.iter().filter(|pool| pool.holders.iter().any(|p| p == who));
        let seats: Vec<_> = seats.map(|pool| format!("seat:{}", pool.id)).collect();
        let seat = if seats.is_empty() { "none".to_owned() } else { seats.join(" ") };
        let (sub, dom) = (format!("principal:{who}"), format!("tenant:{}", self.facts.tenant));
        let request = (sub, dom, wanted, "use", stage, seat, moment(now));
        let allowed = self.enforcer.enforce(request).unwrap();
        let matched = self.matched.lock().unwrap();
        assert_eq!(matched.len(), self.rules.len());
        let denied = self.rules.iter().zip(matched.iter()).filter(|(_, effect)| **effect == EffectKind::Deny);
        (allowed, denied.map(|(rule, _)| rule.as_str()).collect())
    }
}

/// RFC 3339 with six decimals, in which text order is time order.
fn moment(micros: i64) -> String {
    format!("{:.6}", jiff::Timestamp::from_microsecond(micros).unwrap())
}

fn rule_row(rule: &Rule) -> Vec<String> {
    let deny = rule.effect == Effect::Denied;
    let stage = match rule.max_stage {
        _ if deny => "*",
        MaxStage::Live => "live",
        MaxStage::Preview => "preview",
        MaxStage::Alpha => "alpha",
    };
    let target = match &rule.target {
        Target::Marketplace(id) => format!("marketplace:{id}"),
        Target::PluginGroup(id) => format!("pgroup:{id}"),
        Target::Plugin(id) => format!("plugin:{id}"),
        Target::App { plugin, app } => format!("app:{plugin}/{app}"),
        Target::Skill { plugin, skill } => format!("skill:{plugin}/{skill}"),
    };
    vec![
        rule.id.clone(),
        rule.role.as_ref().map_or_else(|| "*".to_owned(), |role| format!("role:{role}")),
        format!("tenant:{}", rule.tenant.as_deref().unwrap_or("acme")),
        target,
        "use".to_owned(),
        stage.to_owned(),
        rule.seat_pool
            .as_ref()
            .filter(|_| !deny)
            .map_or_else(|| "any".to_owned(), |pool| format!("seat:{pool}")),
        rule.not_before.map_or_else(|| ALWAYS_FROM.to_owned(), moment),
        rule.not_after.map_or_else(|| ALWAYS_UNTIL.to_owned(), moment),
        if deny { "deny" } else { "allow" }.to_owned(),
    ]
}

/// Who is in what: principals in groups, groups in groups, both in roles, roles in roles.
fn holdings(facts: &Facts) -> Vec<Vec<String>> {
    let mut links = Vec::new();
    for group in &facts.groups {
        let to = format!("group:{}", group.id);
        links.extend(group.principals.iter().map(|p| (format!("principal:{p}"), to.clone())));
        links.extend(group.groups.iter().map(|g| (format!("group:{g}"), to.clone())));
    }
    for role in &facts.roles {
        let to = format!("role:{}", role.id);
        links.extend(role.principals.iter().map(|p| (format!("principal:{p}"), to.clone())));
        links.extend(role.groups.iter().map(|g| (format!("group:{g}"), to.clone())));
        links.extend(role.includes.iter().map(|r| (to.clone(), format!("role:{r}"))));
    }
    let dom = format!("tenant:{}", facts.tenant);
    links.into_iter().map(|(from, to)| vec![from, to, dom.clone()]).collect()
}

/// What belongs to what: parts to plugins, plugins to marketplaces and groups.
fn listings(facts: &Facts) -> Vec<Vec<String>> {
    let mut links = Vec::new();
    for plugin in &facts.plugins {
        let to = format!("plugin:{}", plugin.id);
        links.extend(plugin.apps.iter().map(|app| (format!("app:{}/{app}", plugin.id), to.clone())));
        links.extend(plugin.skills.iter().map(|skill| (format!("skill:{}/{skill}", plugin.id), to.clone())));
        links.push((to, format!("marketplace:{}", plugin.marketplace)));
    }
    for group in &facts.plugin_groups {
        let to = format!("pgroup:{}", group.id);
        links.extend(group.plugins.iter().map(|plugin| (format!("plugin:{plugin}"), to.clone())));
    }
    links.into_iter().map(|(from, to)| vec![from, to, "catalog".to_owned()]).collect()
}

#[expect(clippy::needless_pass_by_value, reason = "the signature is casbin's")]
fn stage_ok(stage: Dynamic, ceiling: Dynamic) -> Dynamic {
    let (stage, ceiling) = (dynamic_to_str(&stage), dynamic_to_str(&ceiling));
    let order = ["alpha", "preview", "live", "deprecated"];
    let at = |word: &str| order.iter().position(|stage| *stage == word);
    (ceiling == "*" || at(&stage).zip(at(&ceiling)).is_some_and(|(stage, least)| stage >= least)).into()
}

#[expect(clippy::needless_pass_by_value, reason = "the signature is casbin's")]
fn seat_ok(held: Dynamic, needed: Dynamic) -> Dynamic {
    let (held, needed) = (dynamic_to_str(&held), dynamic_to_str(&needed));
    (needed == "any" || held.split(' ').any(|seat| seat == needed)).into()
}
