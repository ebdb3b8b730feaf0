//! What a role is, without any I/O.

use kernel::{
    Result,
    audit::Resource,
    check::Checks,
    clock::Time,
    ids::{Slug, TenantId},
    scope::TenantRef,
    stamp::Stamp,
    uuid_id,
};
use serde::{Deserialize, Serialize};

uuid_id! {
    /// Identity of a role.
    RoleId;
}

/// Deepest chain of inclusions, counted in roles.
pub const MAX_DEPTH: usize = 8;

/// A job role in a tenant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, sqlx::FromRow)]
pub struct Role {
    /// Whose.
    pub tenant_id: TenantId,
    /// Whose, by id in names.
    pub tenant_slug: Slug,
    /// Identity.
    pub id: RoleId,
    /// Last segment of the name.
    pub slug: Slug,
    /// For people.
    pub display_name: String,
    /// What the job is.
    pub description: String,
    /// Slugs of the roles that it takes in, sorted, separated by spaces.
    pub included: String,
    /// Revision and times.
    #[sqlx(flatten)]
    #[serde(flatten)]
    pub stamp: Stamp,
}

/// What a caller says of a new role.
#[derive(Clone, Debug, Default)]
pub struct NewRole {
    /// Last segment of the name.
    pub id: String,
    /// For people.
    pub display_name: String,
    /// What the job is.
    pub description: String,
}

/// What an update changes.
#[derive(Clone, Debug, Default)]
pub struct RolePatch {
    /// For people.
    pub display_name: Option<String>,
    /// What the job is.
    pub description: Option<String>,
}

impl Resource for Role {
    const KIND: &'static str = "role";

    fn name(&self) -> String {
        format!("tenants/{}/roles/{}", self.tenant_slug, self.slug)
    }
}

impl Role {
    /// A new role.
    pub fn create(tenant: &TenantRef, new: NewRole, id: RoleId, now: Time) -> Result<Self> {
        let role = Self {
            tenant_id: tenant.id,
            tenant_slug: tenant.slug.clone(),
            id,
            slug: Slug::parse("role_id", &new.id)?,
            display_name: new.display_name,
            description: new.description,
            included: String::new(),
            stamp: Stamp::new(now),
        };
        role.checked()
    }

    /// The role with other words.
    pub fn patched(&self, patch: RolePatch, now: Time) -> Result<Self> {
        self.stamp.alive(self.name())?;
        let role = Self {
            display_name: patch.display_name.unwrap_or_else(|| self.display_name.clone()),
            description: patch.description.unwrap_or_else(|| self.description.clone()),
            stamp: self.stamp.next(now),
            ..self.clone()
        };
        role.checked()
    }

    /// The role, deleted.
    pub fn deleted(&self, now: Time) -> Result<Self> {
        Ok(Self { stamp: self.stamp.deleted(self.name(), now)?, ..self.clone() })
    }

    /// The role, brought back.
    pub fn undeleted(&self, now: Time) -> Result<Self> {
        Ok(Self { stamp: self.stamp.undeleted(self.name(), now)?, ..self.clone() })
    }

    /// Names of the roles that it takes in.
    pub fn included_roles(&self) -> Vec<String> {
        let slugs = self.included.split(' ').filter(|s| !s.is_empty());
        slugs.map(|s| format!("tenants/{}/roles/{s}", self.tenant_slug)).collect()
    }

    fn checked(self) -> Result<Self> {
        let mut checks = Checks::new();
        checks.text("role.display_name", &self.display_name, 1, 128);
        checks.text("role.description", &self.description, 0, 1_024);
        checks.done().map(|()| self)
    }
}
