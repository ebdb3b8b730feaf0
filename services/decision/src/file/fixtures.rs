//! The facts of a tenant, as people write them.

use serde::Deserialize;

use super::{
    read,
    text::{FileError, Moment, Once, What, Who},
};
use crate::model::{
    Effect, Facts, Group, Level, MaxStage, Plugin, PluginGroup, Principal, PrincipalKind, Role, Rule,
    SeatPool, Stage,
};

/// Everything; what is left out is empty.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    tenant: String,
    #[serde(default = "yes")]
    active: bool,
    #[serde(default)]
    users: Vec<String>,
    #[serde(default)]
    services: Vec<String>,
    /// The owner of each.
    #[serde(default)]
    agents: Once<String, Who>,
    #[serde(default)]
    suspended: Vec<Who>,
    #[serde(default)]
    groups: Once<String, Vec<Member>>,
    #[serde(default)]
    roles: Once<String, RoleFile>,
    #[serde(default)]
    plugins: Once<String, PluginFile>,
    #[serde(default)]
    plugin_groups: Once<String, Vec<String>>,
    #[serde(default)]
    seat_pools: Once<String, Vec<Who>>,
    #[serde(default)]
    rules: Vec<RuleFile>,
}

const fn yes() -> bool {
    true
}

/// `ann`, `user:ann` or `group:desk`.
#[derive(Deserialize)]
#[serde(from = "String")]
enum Member {
    Principal(String),
    Group(String),
}

impl From<String> for Member {
    fn from(text: String) -> Self {
        match text.strip_prefix("group:") {
            Some(id) => Self::Group(id.to_owned()),
            None => Self::Principal(Who::from(text).0),
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RoleFile {
    members: Vec<Member>,
    includes: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct PluginFile {
    marketplace: String,
    stage: Stage,
    sunset: Option<Moment>,
    missing: Vec<String>,
    apps: Vec<String>,
    skills: Vec<String>,
}

impl Default for PluginFile {
    fn default() -> Self {
        let (missing, apps, skills) = (Vec::new(), Vec::new(), Vec::new());
        Self { marketplace: String::new(), stage: Stage::Live, sunset: None, missing, apps, skills }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleFile {
    id: String,
    /// Or `*`.
    role: String,
    target: What,
    effect: Effect,
    #[serde(default = "live")]
    max_stage: MaxStage,
    seat_pool: Option<String>,
    not_before: Option<Moment>,
    not_after: Option<Moment>,
    #[serde(default = "ordinary")]
    level: Level,
    /// Only for this tenant; a rule of the platform may be for all.
    tenant: Option<String>,
    #[serde(default)]
    reason: String,
}

const fn live() -> MaxStage {
    MaxStage::Live
}

const fn ordinary() -> Level {
    Level::Ordinary
}

/// Reads a fixtures file. What it says is checked when it is [compiled](crate::compile).
///
/// # Errors
///
/// Whatever is not of the form in `policies/README.md`, unknown keys and keys that are there twice included.
pub fn fixtures(text: &str) -> Result<Facts, FileError> {
    let file: File = read(text)?;
    let principals = principals(&file)?;
    let marketplace = |id: &str, named: String| match id.split_once('/') {
        _ if !named.is_empty() => named,
        Some((marketplace, _)) => marketplace.to_owned(),
        None => "fixtures".to_owned(),
    };
    Ok(Facts {
        tenant: file.tenant,
        active: file.active,
        principals,
        groups: file
            .groups
            .0
            .into_iter()
            .map(|(id, members)| {
                let (principals, groups) = split(members);
                Group { id, principals, groups }
            })
            .collect(),
        roles: file
            .roles
            .0
            .into_iter()
            .map(|(id, role)| {
                let (principals, groups) = split(role.members);
                Role { id, principals, groups, includes: role.includes }
            })
            .collect(),
        plugins: file
            .plugins
            .0
            .into_iter()
            .map(|(id, plugin)| {
                let PluginFile { marketplace: named, stage, sunset, missing, apps, skills } = plugin;
                let sunset = sunset.map(|moment| moment.0);
                Plugin { marketplace: marketplace(&id, named), id, stage, sunset, missing, apps, skills }
            })
            .collect(),
        plugin_groups: file
            .plugin_groups
            .0
            .into_iter()
            .map(|(id, plugins)| PluginGroup { id, plugins })
            .collect(),
        seat_pools: file
            .seat_pools
            .0
            .into_iter()
            .map(|(id, holders)| SeatPool { id, holders: holders.into_iter().map(|who| who.0).collect() })
            .collect(),
        rules: file.rules.into_iter().map(Into::into).collect(),
    })
}

fn principals(file: &File) -> Result<Vec<Principal>, FileError> {
    let users = file.users.iter().map(|id| (id, PrincipalKind::User));
    let services = file.services.iter().map(|id| (id, PrincipalKind::Service));
    let agents =
        file.agents.0.iter().map(|(id, owner)| (id, PrincipalKind::Agent { owner: owner.0.clone() }));
    let all = users.chain(services).chain(agents);
    let suspended = |id: &String| file.suspended.iter().any(|who| who.0 == *id);
    let all: Vec<_> =
        all.map(|(id, kind)| Principal { id: id.clone(), kind, suspended: suspended(id) }).collect();
    match file.suspended.iter().find(|who| all.iter().all(|principal| principal.id != who.0)) {
        Some(who) => {
            Err(FileError(format!("suspended: there is no principal `{}`; add it or take it out", who.0)))
        }
        None => Ok(all),
    }
}

fn split(members: Vec<Member>) -> (Vec<String>, Vec<String>) {
    let (mut principals, mut groups) = (Vec::new(), Vec::new());
    for member in members {
        match member {
            Member::Principal(id) => principals.push(id),
            Member::Group(id) => groups.push(id),
        }
    }
    (principals, groups)
}

impl From<RuleFile> for Rule {
    fn from(rule: RuleFile) -> Self {
        Self {
            id: rule.id,
            tenant: rule.tenant,
            role: Some(rule.role).filter(|role| role != "*"),
            target: rule.target.0,
            effect: rule.effect,
            max_stage: rule.max_stage,
            seat_pool: rule.seat_pool,
            not_before: rule.not_before.map(|moment| moment.0),
            not_after: rule.not_after.map(|moment| moment.0),
            level: rule.level,
            reason: rule.reason,
        }
    }
}
