//! What a grant is, without any I/O.

use kernel::{
    Result,
    audit::Resource,
    authz::Duty,
    clock::Time,
    error::Error,
    ids::{PrincipalId, Slug},
    scope::{Scope, ScopeKind},
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// One duty held by one principal in one scope.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DutyGrant {
    /// Resource name.
    pub name: String,
    /// Where.
    pub scope_kind: ScopeKind,
    /// Where.
    pub scope_id: Uuid,
    /// Identity.
    pub id: Uuid,
    /// Who.
    pub principal_id: PrincipalId,
    /// Who, by name.
    pub principal: String,
    /// What.
    pub duty: Duty,
    /// Since when.
    pub create_time: Time,
}

impl Resource for DutyGrant {
    const KIND: &'static str = "duty_grant";

    fn name(&self) -> String {
        self.name.clone()
    }
}

impl DutyGrant {
    /// A new grant; the duty must belong to the kind of scope.
    pub fn create(
        scope: &Scope,
        principal: PrincipalId,
        slug: &Slug,
        duty: Duty,
        id: Uuid,
        now: Time,
    ) -> Result<Self> {
        if duty.scope() != scope.kind() {
            let (word, fits, here) = (duty.as_str(), duty.scope().as_str(), scope.kind().as_str());
            return Err(Error::invalid(
                "duty",
                format!("`{word}` is a duty of a {fits}, not of a {here}; grant it there"),
            ));
        }
        Ok(Self {
            name: scope.child("dutyGrants", id),
            scope_kind: scope.kind(),
            scope_id: scope.id(),
            id,
            principal_id: principal,
            principal: scope.child("principals", slug),
            duty,
            create_time: now,
        })
    }
}
