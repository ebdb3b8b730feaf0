//! The proof that an action was allowed. Only [`crate::ctx::Ctx::authorize`] makes one.

use std::sync::Arc;

use crate::{
    audit::Audit,
    authn::Caller,
    authz::{Action, Class},
    error::{Error, Result},
    scope::Scope,
};

/// Tenant states in which nothing may be built.
const FROZEN: [&str; 2] = ["suspended", "closed"];
/// What may change in a frozen tenant: its own state, who gets in, and what the law asks of its record.
const STILL: [&str; 8] = ["tenant", "token", "duty", "retention", "legal_hold", "privacy", "audit", "sink"];
/// Verbs that take rights away.
const TAKING: [&str; 2] = ["suspend", "revoke"];

/// Proof that the caller may do the action in the scope; without one no write transaction begins.
#[derive(Debug)]
pub struct Permit {
    pub(crate) action: Action,
    pub(crate) scope: Scope,
    pub(crate) caller: Arc<Caller>,
}

impl Permit {
    /// Where it holds.
    pub fn scope(&self) -> &Scope {
        &self.scope
    }

    /// Begins the audit record of the action.
    pub fn audit(&self) -> Audit {
        Audit::new(self.action, self.scope.clone(), self.caller.actor())
    }

    /// Refuses to build in a frozen tenant. Taking rights away stays possible.
    pub(crate) fn thawed(&self) -> Result<()> {
        let Scope::Tenant(tenant) = &self.scope else { return Ok(()) };
        let noun = self.action.noun.split('/').next().unwrap_or_default();
        let builds = self.action.class == Class::Write
            && !STILL.contains(&noun)
            && !TAKING.contains(&self.action.verb);
        if !builds || !FROZEN.contains(&tenant.state.as_str()) {
            return Ok(());
        }
        let (name, state) = (self.scope.to_string(), tenant.state.to_uppercase());
        let message = format!("`{name}` is {state} and takes no changes; resume it first, if it can be");
        Err(Error::illegal_state(name, message))
    }
}
