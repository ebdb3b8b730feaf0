//! What a snapshot knows, and what it says no to before any rule is looked at.

use crate::{
    decide::Reason,
    model::{Stage, Target},
    snapshot::Snapshot,
};

impl Snapshot {
    /// Why `principal` may use nothing at all, whatever the rules say; none when that is for the rules to say.
    pub fn barred(&self, principal: &str) -> Option<Reason> {
        if !self.active {
            return Some(Reason::TenantSuspended);
        }
        match self.people.principals.find(principal) {
            None => Some(Reason::UnknownPrincipal),
            Some((_, person)) => person.suspended.then_some(Reason::PrincipalSuspended),
        }
    }

    /// Why nobody may use `target` at `now`, whatever the rules say; none when that is for the rules to say.
    pub fn closed(&self, target: Target<&str>, now: i64) -> Option<Reason> {
        if !self.active {
            return Some(Reason::TenantSuspended);
        }
        match self.catalogue.entry(target) {
            None => Some(Reason::UnknownPlugin),
            Some(entry) => (entry.fact.stage(now) == Stage::Withdrawn).then_some(Reason::Withdrawn),
        }
    }

    /// The ids of all principals, in no particular order.
    pub fn principal_ids(&self) -> impl Iterator<Item = &str> {
        let people = &self.people.principals;
        people.iter().map(|(at, _)| people.name(at))
    }
}
