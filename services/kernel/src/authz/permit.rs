//! The proof that an action was allowed. Only [`crate::ctx::Ctx::authorize`] makes one.

use crate::{audit::Audit, authn::Actor, authz::Action, scope::Scope};

/// Proof that the caller may do the action in the scope; without one no write transaction begins.
#[derive(Debug)]
pub struct Permit {
    pub(crate) action: Action,
    pub(crate) scope: Scope,
    pub(crate) actor: Actor,
}

impl Permit {
    /// Where it holds.
    pub fn scope(&self) -> &Scope {
        &self.scope
    }

    /// Begins the audit record of the action.
    pub fn audit(&self) -> Audit {
        Audit::new(self.action, self.scope.clone(), self.actor.clone())
    }
}
