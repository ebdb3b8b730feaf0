//! What a group is, without any I/O.

use kernel::{
    Result,
    audit::Resource,
    check::Checks,
    clock::Time,
    ids::{PrincipalId, Slug, TenantId},
    scope::TenantRef,
    stamp::Stamp,
    uuid_id,
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

uuid_id! {
    /// Identity of a group.
    GroupId;
}

/// A set of principals as the client's directory knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, sqlx::FromRow)]
pub struct Group {
    /// Whose.
    pub tenant_id: TenantId,
    /// Whose, by id in names.
    pub tenant_slug: Slug,
    /// Identity.
    pub id: GroupId,
    /// Last segment of the name.
    pub slug: Slug,
    /// For people.
    pub display_name: String,
    /// The directory's own key, unique in the tenant among the living; empty for none.
    pub external_id: String,
    /// Revision and times.
    #[sqlx(flatten)]
    #[serde(flatten)]
    pub stamp: Stamp,
}

/// What a caller says of a new group.
#[derive(Clone, Debug, Default)]
pub struct NewGroup {
    /// Last segment of the name.
    pub id: String,
    /// For people.
    pub display_name: String,
    /// The directory's own key, or empty.
    pub external_id: String,
}

/// What an update changes.
#[derive(Clone, Debug, Default)]
pub struct GroupPatch {
    /// For people.
    pub display_name: Option<String>,
    /// The directory's own key, or empty.
    pub external_id: Option<String>,
}

impl Resource for Group {
    const KIND: &'static str = "group";

    fn name(&self) -> String {
        format!("tenants/{}/groups/{}", self.tenant_slug, self.slug)
    }
}

impl Group {
    /// A new group.
    pub fn create(tenant: &TenantRef, new: NewGroup, id: GroupId, now: Time) -> Result<Self> {
        let group = Self {
            tenant_id: tenant.id,
            tenant_slug: tenant.slug.clone(),
            id,
            slug: Slug::parse("group_id", &new.id)?,
            display_name: new.display_name,
            external_id: new.external_id,
            stamp: Stamp::new(now),
        };
        group.checked()
    }

    /// The group with other words.
    pub fn patched(&self, patch: GroupPatch, now: Time) -> Result<Self> {
        self.stamp.alive(self.name())?;
        let mut after = Self { stamp: self.stamp.next(now), ..self.clone() };
        after.display_name = patch.display_name.unwrap_or(after.display_name);
        after.external_id = patch.external_id.unwrap_or(after.external_id);
        after.checked()
    }

    /// The group, deleted.
    pub fn deleted(&self, now: Time) -> Result<Self> {
        Ok(Self { stamp: self.stamp.deleted(self.name(), now)?, ..self.clone() })
    }

    /// The group, brought back.
    pub fn undeleted(&self, now: Time) -> Result<Self> {
        Ok(Self { stamp: self.stamp.undeleted(self.name(), now)?, ..self.clone() })
    }

    fn checked(self) -> Result<Self> {
        let mut checks = Checks::new();
        checks.text("group.display_name", &self.display_name, 1, 128);
        checks.text("group.external_id", &self.external_id, 0, 256);
        checks.done().map(|()| self)
    }
}

/// One principal in a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, sqlx::FromRow)]
pub struct GroupMember {
    /// Identity of the membership: one that ends and begins again is another.
    pub id: Uuid,
    /// Whose, by id in names.
    pub tenant_slug: Slug,
    /// The principal.
    pub principal_id: PrincipalId,
    /// The principal, by id in names.
    pub principal_slug: Slug,
    /// Since when.
    pub create_time: Time,
}

impl GroupMember {
    /// Name of the principal.
    pub fn member(&self) -> String {
        format!("tenants/{}/principals/{}", self.tenant_slug, self.principal_slug)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kernel::{ids::PartnerId, scope::PartnerRef};

    const NOW: Time = Time::from_micros(1_000_000);

    fn created(id: &str, display_name: &str, external_id: &str) -> Result<Group> {
        let slug = |text: &str| Slug::parse("id", text).unwrap();
        let partner = PartnerRef { id: PartnerId(Uuid::nil()), slug: slug("northwind") };
        let acme =
            TenantRef { id: TenantId(Uuid::nil()), slug: slug("acme"), state: "live".to_owned(), partner };
        let new = NewGroup {
            id: id.to_owned(),
            display_name: display_name.to_owned(),
            external_id: external_id.to_owned(),
        };
        Group::create(&acme, new, GroupId(Uuid::nil()), NOW)
    }

    #[test]
    fn a_group_keeps_the_directorys_key_within_its_limit() {
        assert_eq!(created("sales", "Sales", &"x".repeat(256)).unwrap().name(), "tenants/acme/groups/sales");
        assert!(created("sales", "Sales", &"x".repeat(257)).is_err());
        assert!(created("sales", "", "").is_err());
        assert!(created("Sales", "Sales", "").is_err());
    }

    #[test]
    fn an_update_changes_what_it_says_and_not_a_deleted_group() {
        let group = created("sales", "Sales", "cn=sales").unwrap();
        let renamed = group
            .patched(GroupPatch { display_name: Some("Field".to_owned()), external_id: None }, NOW)
            .unwrap();
        assert_eq!((renamed.display_name.as_str(), renamed.external_id.as_str()), ("Field", "cn=sales"));
        assert!(group.deleted(NOW).unwrap().patched(GroupPatch::default(), NOW).is_err());
    }
}
