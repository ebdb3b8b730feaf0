//! The proof that an action was allowed. Only [`crate::ctx::Ctx::authorize`] makes one.

use std::sync::Arc;

use crate::{
    audit::Audit,
    authn::Caller,
    authz::{Action, Class},
    error::{Error, Result},
    scope::{ERASED, Scope},
};

/// Tenant states in which nothing may be built.
const FROZEN: [&str; 3] = ["suspended", "closed", ERASED];
/// What may change in a frozen tenant: its own state, who gets in, and what the law asks of its record.
const STILL: [&str; 8] = ["tenant", "token", "duty", "retention", "legal_hold", "privacy", "audit", "sink"];
/// What may change in a tenant whose data is erased: what the law asks of its record, and what the erasure itself does.
const LEFT: [&str; 4] = ["tenant", "retention", "legal_hold", "audit"];
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
        if tenant.state == ERASED {
            // whoever can still read the record by a link can be kept from it
            let link = noun == "mirror_link" && TAKING.contains(&self.action.verb);
            let changes = matches!(self.action.class, Class::Write | Class::Ingest);
            if !changes || LEFT.contains(&noun) || link {
                return Ok(());
            }
            let name = self.scope.to_string();
            let message = format!("`{name}` is closed and its data is erased; it takes no changes any more");
            return Err(Error::illegal_state(name, message));
        }
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
