//! What a plugin group is, without any I/O.

use catalog::model::{MarketplaceId, PluginId};
use kernel::{clock::Time, db::list::ListSpec, filter::Field, ids::Slug, uuid_id};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::ops::VERBS;
use crate::set::{
    model::{self as set, Kind, Set, Verbs},
    store::{fields, list_spec},
};

uuid_id! {
    /// Identity of a plugin group.
    PluginGroupId;
}

/// The kind of set that plugin groups are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PluginGroups;

/// Plugins that a tenant speaks of together.
pub type PluginGroup = Set<PluginGroups>;

const FIELDS: [Field; 5] = fields("plugin_group_id");

impl Kind for PluginGroups {
    const NOUN: &'static str = "plugin_group";
    const WORDS: &'static str = "plugin group";
    const COLLECTION: &'static str = "pluginGroups";
    const LIST: ListSpec = list_spec("plugin groups", "plugin_group g", &FIELDS);
    const VERBS: Verbs = VERBS;
}

/// Most plugins in one group.
pub const MAX_MEMBERS: i64 = 1_000;

/// The name of a tenant's plugin group.
pub fn name(tenant: &Slug, slug: &str) -> String {
    set::name::<PluginGroups>(tenant, slug)
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
