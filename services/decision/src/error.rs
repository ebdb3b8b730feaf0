//! What can be wrong with facts.

use std::fmt;

use crate::model::MAX_DEPTH;

/// Why facts cannot be decided by. Nothing is compiled then, and the same facts fail the same way again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CompileError {
    /// An id is empty.
    #[error("a {0} has an empty id; give it one")]
    Empty(Kind),
    /// Two of a kind have one id.
    #[error("{kind} `{id}` is there twice; ids must be unique")]
    Duplicate {
        /// Of what.
        kind: Kind,
        /// The id.
        id: String,
    },
    /// Something is named that is not there.
    #[error("{by} names {kind} `{id}`, which is not there; add it or take the name out")]
    Unknown {
        /// What is missing.
        kind: Kind,
        /// Its id.
        id: String,
        /// Who names it, as `kind` and id.
        by: String,
    },
    /// Roles include, or groups contain, one another in a circle.
    #[error("{kind}s lead back to themselves: `{}`; take one link out", names.join("` -> `"))]
    Cycle {
        /// Of what.
        kind: Kind,
        /// The circle, each followed by what it includes; the first is repeated at the end.
        names: Vec<String>,
    },
    /// A chain of inclusions is too long.
    #[error(
        "a chain of more than {MAX_DEPTH} {kind}s: `{}`; include the last further up",
        names.join("` -> `")
    )]
    Depth {
        /// Of what.
        kind: Kind,
        /// The chain.
        names: Vec<String>,
    },
    /// A rule's window is never open.
    #[error("rule `{rule}` ends before it begins; `not_after` must be later than `not_before`")]
    Window {
        /// The rule.
        rule: String,
    },
    /// More than 32-bit numbers can count.
    #[error("the facts are too large: {0} of them do not fit into 4 GiB")]
    Size(Kind),
}

/// A kind of fact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// The tenant.
    Tenant,
    /// A principal.
    Principal,
    /// A group.
    Group,
    /// A role.
    Role,
    /// A marketplace.
    Marketplace,
    /// A plugin.
    Plugin,
    /// A plugin's app.
    App,
    /// A plugin's skill.
    Skill,
    /// A plugin group.
    PluginGroup,
    /// A seat pool.
    SeatPool,
    /// A rule.
    Rule,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tenant => "tenant",
            Self::Principal => "principal",
            Self::Group => "group",
            Self::Role => "role",
            Self::Marketplace => "marketplace",
            Self::Plugin => "plugin",
            Self::App => "app",
            Self::Skill => "skill",
            Self::PluginGroup => "plugin group",
            Self::SeatPool => "seat pool",
            Self::Rule => "rule",
        })
    }
}

/// The result of compiling.
pub(crate) type Result<T> = std::result::Result<T, CompileError>;
