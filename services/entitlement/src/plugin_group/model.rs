//! What a plugin group is, without any I/O.

use catalog::model::{MarketplaceId, PluginId};
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
use uuid::Uuid;

uuid_id! {
    /// Identity of a plugin group.
    PluginGroupId;
}

/// Plugins that a tenant speaks of together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, sqlx::FromRow)]
pub struct PluginGroup {
    /// Whose.
    pub tenant_id: TenantId,
    /// Whose, by id in names.
    pub tenant_slug: Slug,
    /// Identity.
    pub id: PluginGroupId,
    /// Last segment of the name.
    pub slug: Slug,
    /// For people.
    pub display_name: String,
    /// What it is for.
    pub description: String,
    /// Revision and times.
    #[sqlx(flatten)]
    #[serde(flatten)]
    pub stamp: Stamp,
}

/// What a caller says of a new group.
#[derive(Clone, Debug, Default)]
pub struct NewPluginGroup {
    /// Last segment of the name.
    pub id: String,
    /// For people.
    pub display_name: String,
    /// What it is for.
    pub description: String,
}

/// What an update changes.
#[derive(Clone, Debug, Default)]
pub struct PluginGroupPatch {
    /// For people.
    pub display_name: Option<String>,
    /// What it is for.
    pub description: Option<String>,
}

/// Most plugins in one group.
pub const MAX_MEMBERS: i64 = 1_000;

/// The name of a tenant's plugin group.
pub fn name(tenant: &Slug, slug: &str) -> String {
    format!("tenants/{tenant}/pluginGroups/{slug}")
}

impl Resource for PluginGroup {
    const KIND: &'static str = "plugin_group";

    fn name(&self) -> String {
        name(&self.tenant_slug, self.slug.as_str())
    }
}

impl PluginGroup {
    /// A new group.
    pub fn create(tenant: &TenantRef, new: NewPluginGroup, id: PluginGroupId, now: Time) -> Result<Self> {
        let group = Self {
            tenant_id: tenant.id,
            tenant_slug: tenant.slug.clone(),
            id,
            slug: Slug::parse("plugin_group_id", &new.id)?,
            display_name: new.display_name,
            description: new.description,
            stamp: Stamp::new(now),
        };
        group.checked()
    }

    /// The group with other words.
    pub fn patched(&self, patch: PluginGroupPatch, now: Time) -> Result<Self> {
        self.stamp.alive(self.name())?;
        let mut after = Self { stamp: self.stamp.next(now), ..self.clone() };
        after.display_name = patch.display_name.unwrap_or(after.display_name);
        after.description = patch.description.unwrap_or(after.description);
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
        checks.text("plugin_group.display_name", &self.display_name, 1, 128);
        checks.text("plugin_group.description", &self.description, 0, 1_024);
        checks.done().map(|()| self)
    }
}

/// One plugin in a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, sqlx::FromRow)]
pub struct PluginGroupMember {
    /// Identity of the membership: one that ends and begins again is another.
    pub id: Uuid,
    /// The marketplace that lists it.
    pub marketplace_id: MarketplaceId,
    /// The same, by id in names.
    pub marketplace_slug: Slug,
    /// The plugin.
    pub plugin_id: PluginId,
    /// The plugin, by id in names.
    pub plugin_slug: Slug,
    /// Since when.
    pub create_time: Time,
}

impl PluginGroupMember {
    /// Name of the plugin.
    pub fn member(&self) -> String {
        format!("marketplaces/{}/plugins/{}", self.marketplace_slug, self.plugin_slug)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kernel::{ids::PartnerId, scope::PartnerRef};

    const NOW: Time = Time::from_micros(1_000_000);

    fn created(id: &str, display_name: &str, description: &str) -> Result<PluginGroup> {
        let slug = |text: &str| Slug::parse("id", text).unwrap();
        let partner = PartnerRef { id: PartnerId(Uuid::nil()), slug: slug("northwind") };
        let acme =
            TenantRef { id: TenantId(Uuid::nil()), slug: slug("acme"), state: "live".to_owned(), partner };
        let new = NewPluginGroup {
            id: id.to_owned(),
            display_name: display_name.to_owned(),
            description: description.to_owned(),
        };
        PluginGroup::create(&acme, new, PluginGroupId(Uuid::nil()), NOW)
    }

    #[test]
    fn a_plugin_group_keeps_its_words_within_their_limits() {
        let made = created("research", &"ä".repeat(128), &"x".repeat(1_024)).unwrap();
        assert_eq!(made.name(), "tenants/acme/pluginGroups/research");
        assert!(created("research", "Research", &"x".repeat(1_025)).is_err());
        assert!(created("research", &"ä".repeat(129), "").is_err());
        assert!(created("research", "", "").is_err());
        assert!(created("Research", "Research", "").is_err());
    }

    #[test]
    fn an_update_changes_what_it_says_and_not_a_deleted_group() {
        let group = created("research", "Research", "what analysts read").unwrap();
        let patch = PluginGroupPatch { display_name: Some("Data".to_owned()), description: None };
        let renamed = group.patched(patch, NOW).unwrap();
        let words = (renamed.display_name.as_str(), renamed.description.as_str());
        assert_eq!(words, ("Data", "what analysts read"));
        assert!(group.deleted(NOW).unwrap().patched(PluginGroupPatch::default(), NOW).is_err());
    }
}
