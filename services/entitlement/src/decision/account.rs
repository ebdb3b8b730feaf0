//! A decision told to a person and to a program: which rule decided, by which way it came to the principal, and what would
//! change the answer.

use ::decision::{Effect, Explanation, Level, MaxStage, Obstacle, Reason, Remedy, Stage, Step, Target, Told};
use kernel::{clock::Time, ids::Slug};

use super::{
    live::Loaded,
    model::{Decision, Wanted, plugin_name, target_name},
};
use crate::{entitlement::model as entitlement, stage_override::model as stage_override};

/// An explained decision, in resource names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// The decision.
    pub decision: Decision,
    /// All of it in sentences.
    pub summary: String,
    /// The rules that speak of it.
    pub rules: Vec<RuleAccount>,
    /// Apps without their connector.
    pub missing_apps: Vec<String>,
    /// The same question asked for an agent's owner.
    pub owner: Option<Box<Account>>,
    /// What all together would make it a yes.
    pub remedies: Vec<Advice>,
    /// When it changes by itself.
    pub change_time: Option<Time>,
}

/// One rule, as it stands to the question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleAccount {
    /// Name of the entitlement.
    pub entitlement: String,
    /// What it does.
    pub effect: Effect,
    /// What it speaks of.
    pub target: String,
    /// By which groups and roles it came; names.
    pub path: Vec<String>,
    /// Least mature stage that it allows; none for a rule that forbids.
    pub max_stage: Option<MaxStage>,
    /// From when.
    pub not_before: Option<Time>,
    /// Until when.
    pub not_after: Option<Time>,
    /// What keeps it from holding.
    pub obstacles: Vec<Obstacle>,
    /// Whether the decision rests on it.
    pub decided: bool,
    /// Why it is there.
    pub reason: String,
}

/// One thing that would have to change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advice {
    /// What to do.
    pub kind: AdviceKind,
    /// To what.
    pub resource: String,
    /// The same in a sentence.
    pub sentence: String,
}

/// What would have to be done; named as on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdviceKind {
    ResumeTenant,
    AddPrincipal,
    ResumePrincipal,
    AddPlugin,
    RestorePlugin,
    LiftDeny,
    RaiseCeiling,
    GiveSeat,
    OpenWindow,
    ExtendWindow,
    AllowByRule,
    BindConnectors,
    NameOwner,
}

/// Who and what a question is about, by id in names.
struct Teller<'a> {
    tenant: &'a Slug,
    who: &'a str,
    what: &'a str,
    /// Name of the plugin that it is, or is part of.
    plugin: &'a str,
    /// The tenant's stage override, by id, where the plugin's stage is its doing.
    held: Option<&'a Slug>,
    now: Time,
}

impl Account {
    /// Decides by what is loaded, and tells. `held`: the tenant's stage override that the plugin's stage is the doing of.
    pub fn give(
        tenant: &Slug,
        loaded: &Loaded,
        who: &Slug,
        wanted: &Wanted,
        held: Option<&Slug>,
        now: Time,
    ) -> Self {
        let explanation = loaded.snapshot.explain(who.as_str(), wanted.target(), now.micros());
        let what = short(&target_name(tenant, wanted.target()));
        let plugin = wanted.plugin_name();
        let teller = Teller { tenant, who: who.as_str(), what: &what, plugin: &plugin, held, now };
        teller.account(&explanation, &loaded.token)
    }
}

impl Teller<'_> {
    fn account(&self, explanation: &Explanation<'_>, token: &str) -> Account {
        let Explanation { decision, told, missing, owner, remedies, changes_at } = explanation;
        let entitlements = explanation.deciding();
        let mut entitlements: Vec<_> = entitlements.into_iter().map(|rule| self.entitlement(rule)).collect();
        entitlements.sort_unstable();
        let remedies: Vec<_> = remedies.iter().map(|remedy| self.advice(remedy)).collect();
        let owner = owner.as_deref().map(|owner| {
            let teller = Teller { who: "its owner", ..*self };
            Box::new(teller.account(owner, token))
        });
        let change_time = changes_at.map(Time::from_micros);
        let mut account = Account {
            decision: Decision {
                allowed: decision.allowed,
                reason: decision.reason,
                effect: decision.effect,
                entitlements,
                decide_time: self.now,
                revision_token: token.to_owned(),
            },
            summary: String::new(),
            rules: told.iter().map(|told| self.rule(told)).collect(),
            missing_apps: missing.to_vec(),
            owner,
            remedies,
            change_time,
        };
        account.summary = self.summary(told, &account);
        account
    }

    fn entitlement(&self, rule: &str) -> String {
        entitlement::name(self.tenant, rule)
    }

    fn rule(&self, told: &Told<'_>) -> RuleAccount {
        let step = |step: &Step<'_>| match step {
            Step::Group(id) => format!("tenants/{}/groups/{id}", self.tenant),
            Step::Role(id) => format!("tenants/{}/roles/{id}", self.tenant),
        };
        RuleAccount {
            entitlement: self.entitlement(told.rule),
            effect: told.effect,
            target: target_name(self.tenant, told.target),
            path: told.path.iter().map(step).collect(),
            max_stage: (told.effect != Effect::Denied).then_some(told.max_stage),
            not_before: told.not_before.map(Time::from_micros),
            not_after: told.not_after.map(Time::from_micros),
            obstacles: told.obstacles.clone(),
            decided: told.decided,
            reason: told.reason.to_owned(),
        }
    }

    /// The answer, each rule that decided, and what would change it.
    fn summary(&self, told: &[Told<'_>], account: &Account) -> String {
        let mut sentences = vec![self.verdict(&account.decision, account)];
        sentences.extend(told.iter().filter(|told| told.decided).map(|told| self.sentence(told)));
        let rests_on_owner = matches!(account.decision.reason, Reason::Allowed | Reason::OwnerNotEntitled);
        sentences.extend(account.owner.iter().filter(|_| rests_on_owner).map(|owner| owner.summary.clone()));
        match account.remedies.as_slice() {
            [] => {}
            [one] => sentences.push(format!("To allow it: {}.", one.sentence)),
            several => {
                let advice: Vec<_> = several.iter().map(|remedy| remedy.sentence.as_str()).collect();
                sentences.push(format!("To allow it, all of these: {}.", advice.join("; ")));
            }
        }
        if let Some(time) = account.change_time {
            sentences.push(format!("This answer changes by itself at {time}."));
        }
        sentences.join(" ")
    }

    fn verdict(&self, decision: &Decision, account: &Account) -> String {
        let (who, what) = (self.who, self.what);
        let because = match decision.reason {
            Reason::Allowed => {
                let how = match decision.effect {
                    Some(Effect::Required) => "it is installed and stays",
                    Some(Effect::Default) => "it is installed unless removed",
                    _ => "who wants it may install it",
                };
                return format!("Yes: {who} may use {what}; {how}.");
            }
            Reason::ExplicitDeny => "a rule forbids it".to_owned(),
            Reason::NoMatchingRule => "no rule allows it, and what no rule allows is denied".to_owned(),
            Reason::StageGate => match self.held {
                None => "it is less mature than the rules allow".to_owned(),
                Some(held) => format!(
                    "{} holds it to a stage that is less mature than the rules allow (stage override {held})",
                    self.tenant
                ),
            },
            Reason::SeatRequired => "the rules allow it to holders of a seat only".to_owned(),
            Reason::WindowNotOpen => "the rules allow it later".to_owned(),
            Reason::WindowClosed => "the rules allowed it until earlier".to_owned(),
            Reason::Withdrawn => match self.held {
                None => "it is withdrawn, for everybody".to_owned(),
                Some(held) => format!("{} has withdrawn it (stage override {held})", self.tenant),
            },
            Reason::NotReady => {
                format!("it needs connectors that are not bound: {}", account.missing_apps.join(", "))
            }
            Reason::UnknownPlugin => "no marketplace here lists it".to_owned(),
            Reason::UnknownPrincipal => format!("there is no such principal in {}", self.tenant),
            Reason::PrincipalSuspended => format!("{who} is suspended"),
            Reason::TenantSuspended => format!("{} is suspended or closed", self.tenant),
            Reason::OwnerNotEntitled => "an agent may use only what its owner may".to_owned(),
            Reason::PolicyUnavailable => "the rules could not be read".to_owned(),
        };
        format!("No: {who} may not use {what}; {because}.")
    }

    /// What one rule says, and how it came.
    fn sentence(&self, told: &Told<'_>) -> String {
        let whom = match told.path.split_last() {
            None => "everybody".to_owned(),
            Some((role, way)) => {
                let (Step::Role(id) | Step::Group(id)) = role;
                let way: Vec<_> = way
                    .iter()
                    .map(|step| match step {
                        Step::Group(id) => format!("group {id}"),
                        Step::Role(id) => format!("role {id}"),
                    })
                    .collect();
                let through =
                    if way.is_empty() { String::new() } else { format!(" through {}", way.join(", then ")) };
                format!("role {id}, which {} holds{through}", self.who)
            }
        };
        let target = short(&target_name(self.tenant, told.target));
        let what = match told.target {
            Target::PluginGroup(id) => format!("all of plugin group {id}"),
            _ if target == self.what => "it".to_owned(),
            _ => format!("all of {target}"),
        };
        let does = match told.effect {
            Effect::Denied => format!("forbids {what}"),
            Effect::Available => format!("makes {what} available"),
            Effect::Default => format!("installs {what} by default"),
            Effect::Required => format!("requires {what}"),
        };
        let because = if told.reason.is_empty() { String::new() } else { format!(" (\"{}\")", told.reason) };
        let limits: Vec<_> = told.obstacles.iter().map(|obstacle| limit(*obstacle, told)).collect();
        let limits =
            if limits.is_empty() { String::new() } else { format!(", but {}", limits.join(" and ")) };
        let set_by = match told.level {
            Level::Ordinary => String::new(),
            Level::Floor => format!(", a floor set by the owner or compliance of {},", self.tenant),
            Level::Platform => ", set by the platform,".to_owned(),
        };
        format!("Rule {}{set_by} {does} for {whom}{limits}{because}.", told.rule)
    }

    fn advice(&self, remedy: &Remedy<'_>) -> Advice {
        let principal = |id: &str| format!("tenants/{}/principals/{id}", self.tenant);
        let (kind, resource, sentence) = match remedy {
            Remedy::ResumeTenant => {
                let name = format!("tenants/{}", self.tenant);
                (AdviceKind::ResumeTenant, name, format!("resume {}", self.tenant))
            }
            Remedy::AddPrincipal(id) => {
                (AdviceKind::AddPrincipal, principal(id), format!("create principal {id}"))
            }
            Remedy::ResumePrincipal(id) => {
                (AdviceKind::ResumePrincipal, principal(id), format!("resume {id}"))
            }
            Remedy::AddPlugin(target) => {
                let name = target_name(self.tenant, target.as_ref());
                let sentence = format!("import a marketplace that lists {}", short(&name));
                (AdviceKind::AddPlugin, name, sentence)
            }
            Remedy::RestorePlugin(id) => {
                let (name, sentence) = match self.held {
                    None => (plugin_name(id), format!("let the platform release {id} again")),
                    Some(held) => (
                        stage_override::name(self.tenant, held.as_str()),
                        format!("delete stage override {held}, by which {} has withdrawn {id}", self.tenant),
                    ),
                };
                (AdviceKind::RestorePlugin, name, sentence)
            }
            Remedy::LiftDeny { rule } => {
                (AdviceKind::LiftDeny, self.entitlement(rule), format!("delete or narrow rule {rule}"))
            }
            Remedy::RaiseCeiling { rule, to } => (
                AdviceKind::RaiseCeiling,
                self.entitlement(rule),
                match self.held {
                    None => format!("let rule {rule} allow {}, or wait until it is live", stage(*to)),
                    Some(held) => {
                        format!("let rule {rule} allow {}, or loosen stage override {held}", stage(*to))
                    }
                },
            ),
            Remedy::GiveSeat { pool, principal: id } => {
                (AdviceKind::GiveSeat, principal(id), format!("give {id} a seat of {pool}"))
            }
            Remedy::OpenWindow { rule, begins } => (
                AdviceKind::OpenWindow,
                self.entitlement(rule),
                format!("wait for {}, when rule {rule} begins", Time::from_micros(*begins)),
            ),
            Remedy::ExtendWindow { rule, ended } => (
                AdviceKind::ExtendWindow,
                self.entitlement(rule),
                format!("extend rule {rule}, which ended at {}", Time::from_micros(*ended)),
            ),
            Remedy::AllowByRule { principal: id } => (
                AdviceKind::AllowByRule,
                principal(id),
                format!("write a rule that allows it to a role of {id}, or give {id} a role that has one"),
            ),
            Remedy::BindConnectors(apps) => (
                AdviceKind::BindConnectors,
                self.plugin.to_owned(),
                format!("bind the connectors of {}", apps.join(", ")),
            ),
            Remedy::NameOwner { agent } => (
                AdviceKind::NameOwner,
                principal(agent),
                format!("give {agent} an owner who is a user of {}", self.tenant),
            ),
        };
        Advice { kind, resource, sentence }
    }
}

/// What keeps a rule from holding.
fn limit(obstacle: Obstacle, told: &Told<'_>) -> String {
    let time = |micros: Option<i64>| micros.map(Time::from_micros).map(|t| t.to_string()).unwrap_or_default();
    match obstacle {
        Obstacle::Stage => {
            let stage = match told.max_stage {
                MaxStage::Live => "live",
                MaxStage::Preview => "in preview or live",
                MaxStage::Alpha => "not withdrawn",
            };
            format!("only while it is {stage}")
        }
        Obstacle::Seat => format!("only with a seat of {}", told.seat_pool.unwrap_or_default()),
        Obstacle::NotOpen => format!("only from {}", time(told.not_before)),
        Obstacle::Closed => format!("only until {}", time(told.not_after)),
    }
}

fn stage(stage: Stage) -> &'static str {
    match stage {
        Stage::Alpha => "alpha",
        Stage::Preview => "preview",
        Stage::Live => "live",
        Stage::Deprecated => "deprecated",
        Stage::Withdrawn => "withdrawn",
    }
}

/// The ids of a resource name alone: `codex/pitchbook`.
fn short(name: &str) -> String {
    let ids: Vec<_> = name.split('/').skip(1).step_by(2).collect();
    ids.join("/")
}
