//! What decisions rest on, as plain data.
//!
//! Ids are any non-empty text; they are compared byte by byte and mean nothing to the engine. Times are microseconds
//! since 1970.

use serde::{Deserialize, Serialize};

use crate::mutant::{Mutant, mutated};

/// The longest chain of roles that include one another, and of groups in one another.
pub const MAX_DEPTH: usize = 8;

/// Everything that decisions about one tenant rest on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// The tenant; rules of another one are passed over.
    pub tenant: String,
    /// Whether its people may use anything at all; not while it is suspended or closed.
    pub active: bool,
    /// Who can ask.
    pub principals: Vec<Principal>,
    /// Sets of them.
    pub groups: Vec<Group>,
    /// Job roles.
    pub roles: Vec<Role>,
    /// What can be asked for.
    pub plugins: Vec<Plugin>,
    /// Sets of it.
    pub plugin_groups: Vec<PluginGroup>,
    /// Who holds a licence of what.
    pub seat_pools: Vec<SeatPool>,
    /// What is allowed and what is denied.
    pub rules: Vec<Rule>,
}

/// A user, a service or an agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Principal {
    /// Unique among principals.
    pub id: String,
    /// What it is.
    pub kind: PrincipalKind,
    /// Whether it may use nothing for now.
    pub suspended: bool,
}

/// What a principal is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PrincipalKind {
    /// A person.
    User,
    /// A program of the tenant's own.
    Service,
    /// A program that acts for a user, and may use only what both may.
    Agent {
        /// The user. If there is no such user, the agent may use nothing.
        owner: String,
    },
}

/// A set of principals as the tenant's directory knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// Unique among groups.
    pub id: String,
    /// Principals in it.
    pub principals: Vec<String>,
    /// Groups in it: their principals are in it too.
    pub groups: Vec<String>,
}

/// A job role.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Role {
    /// Unique among roles.
    pub id: String,
    /// Principals that hold it.
    pub principals: Vec<String>,
    /// Groups that hold it.
    pub groups: Vec<String>,
    /// Roles that it includes: who holds it holds them too.
    pub includes: Vec<String>,
}

/// A plugin with its parts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plugin {
    /// Unique among plugins.
    pub id: String,
    /// The marketplace that lists it.
    pub marketplace: String,
    /// Its stage for this tenant.
    pub stage: Stage,
    /// From when, inclusive, it counts as withdrawn, whatever its stage.
    #[serde(default)]
    pub sunset: Option<i64>,
    /// Required connectors that are not bound yet; with any of them it is not ready.
    pub missing: Vec<String>,
    /// Its apps, unique among themselves.
    pub apps: Vec<String>,
    /// Its skills, unique among themselves.
    pub skills: Vec<String>,
}

/// A set of plugins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PluginGroup {
    /// Unique among plugin groups.
    pub id: String,
    /// Plugins in it.
    pub plugins: Vec<String>,
}

/// A pool of seats.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeatPool {
    /// Unique among pools.
    pub id: String,
    /// Principals that hold a seat.
    pub holders: Vec<String>,
}

/// How far a plugin is released.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// For those who build it.
    Alpha,
    /// For those who try it.
    Preview,
    /// For everybody entitled.
    Live,
    /// Works until its sunset; whoever may use what is live may use it.
    Deprecated,
    /// Nobody may use it, whatever rules say.
    Withdrawn,
}

/// The least mature stage that a rule allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MaxStage {
    /// What is released.
    Live,
    /// Also what is being tried.
    Preview,
    /// Everything that is not withdrawn.
    Alpha,
}

/// What a rule does, the weakest permission first; a deny beats all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// May not be used, at any stage, with or without a seat.
    Denied,
    /// May be installed.
    Available,
    /// Installed unless removed.
    Default,
    /// Installed for good.
    Required,
}

/// Who set a rule, the weakest first. It does not change what the rule does, only who can take it away: a deny wins at
/// every level, and an explanation names the strongest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Whoever writes the tenant's rules.
    Ordinary,
    /// The tenant's owner or compliance: no delegate can loosen it.
    Floor,
    /// The platform.
    Platform,
}

/// What is asked for, or what a rule speaks of. Only plugins, apps and skills can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target<S = String> {
    /// Everything that a marketplace lists, now or later.
    Marketplace(S),
    /// The plugins of a group.
    PluginGroup(S),
    /// A plugin with its apps and skills.
    Plugin(S),
    /// One app.
    App {
        /// The plugin.
        plugin: S,
        /// Its app.
        app: S,
    },
    /// One skill.
    Skill {
        /// The plugin.
        plugin: S,
        /// Its skill.
        skill: S,
    },
}

impl MaxStage {
    /// All of them, the strictest first.
    pub(crate) const ALL: [Self; 3] = [Self::Live, Self::Preview, Self::Alpha];

    /// Whether a plugin of `stage` is mature enough.
    #[inline]
    pub fn admits(self, stage: Stage) -> bool {
        let least = match self {
            Self::Live => Stage::Live,
            Self::Preview => Stage::Preview,
            Self::Alpha => Stage::Alpha,
        };
        let mature = if mutated(Mutant::StageOrder) { stage <= least } else { stage >= least };
        mature && stage != Stage::Withdrawn
    }
}

impl Target<String> {
    /// The same, borrowed.
    pub fn as_ref(&self) -> Target<&str> {
        match self {
            Self::Marketplace(id) => Target::Marketplace(id),
            Self::PluginGroup(id) => Target::PluginGroup(id),
            Self::Plugin(id) => Target::Plugin(id),
            Self::App { plugin, app } => Target::App { plugin, app },
            Self::Skill { plugin, skill } => Target::Skill { plugin, skill },
        }
    }
}

impl Target<&str> {
    /// The same, owned.
    pub fn to_owned(&self) -> Target {
        match *self {
            Self::Marketplace(id) => Target::Marketplace(id.to_owned()),
            Self::PluginGroup(id) => Target::PluginGroup(id.to_owned()),
            Self::Plugin(id) => Target::Plugin(id.to_owned()),
            Self::App { plugin, app } => Target::App { plugin: plugin.to_owned(), app: app.to_owned() },
            Self::Skill { plugin, skill } => {
                Target::Skill { plugin: plugin.to_owned(), skill: skill.to_owned() }
            }
        }
    }
}

/// A rule: what holders of a role may or may not use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// Unique among rules.
    pub id: String,
    /// The only tenant that it concerns; none for all, as rules of the platform may.
    pub tenant: Option<String>,
    /// Whose holders it concerns; none for every principal of the tenant.
    pub role: Option<String>,
    /// What it speaks of.
    pub target: Target,
    /// What it does.
    pub effect: Effect,
    /// The least mature stage that it allows; a deny covers every stage.
    pub max_stage: MaxStage,
    /// The pool of which a seat must be held; a deny asks for none.
    pub seat_pool: Option<String>,
    /// From when, inclusive.
    pub not_before: Option<i64>,
    /// Until when, exclusive.
    pub not_after: Option<i64>,
    /// Who set it.
    pub level: Level,
    /// Why, for people.
    pub reason: String,
}

/// One step from a snapshot to the next. Putting replaces whatever has that id; removing what is not there is no error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// The tenant may be used, or may not.
    Active(bool),
    /// A principal is there. Its groups, roles and seats are theirs to say.
    PutPrincipal(Principal),
    /// A principal is not there any more.
    RemovePrincipal(String),
    /// A group is there.
    PutGroup(Group),
    /// A group is not there any more.
    RemoveGroup(String),
    /// A role is there. Its rules are not touched.
    PutRole(Role),
    /// A role is not there any more.
    RemoveRole(String),
    /// A plugin is there.
    PutPlugin(Plugin),
    /// A plugin is not there any more.
    RemovePlugin(String),
    /// A plugin group is there.
    PutPluginGroup(PluginGroup),
    /// A plugin group is not there any more.
    RemovePluginGroup(String),
    /// A pool is there.
    PutSeatPool(SeatPool),
    /// A pool is not there any more.
    RemoveSeatPool(String),
    /// A rule is there.
    PutRule(Rule),
    /// A rule is not there any more.
    RemoveRule(String),
}
