//! From what is in the tables and what is in a directory to what has to be written, without any I/O.

use std::collections::BTreeMap;

use kernel::{
    clock::Time,
    ids::{Ids, Slug},
};

use crate::{
    diff::{Content, DiffKind, PluginDiff, Room},
    model::{JsonList, Marketplace, NewStage, Plugin, PluginId, PluginVersionId, Stage, after},
    tree::Digest,
    vendor::{Import, PluginImport},
};

/// A version that some plugin of the marketplace has or had.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct KnownVersion {
    /// Whose.
    pub plugin_id: PluginId,
    /// Identity.
    pub id: PluginVersionId,
    /// Its content.
    #[sqlx(try_from = "Vec<u8>")]
    pub content_sha256: Digest,
    /// Its stage.
    #[sqlx(try_from = "String")]
    pub stage: Stage,
    /// From when it, deprecated, counts as withdrawn.
    pub sunset_time: Option<Time>,
}

impl KnownVersion {
    fn new_stage(&self) -> NewStage {
        NewStage { stage: self.stage, sunset_time: self.sunset_time }
    }
}

/// What an import writes.
#[derive(Debug, Default)]
pub struct Plan {
    /// Plugins that were never there, each with its first version.
    pub inserts: Vec<Plugin>,
    /// Plugins that change, each with the `update_time` that it had.
    pub updates: Vec<(Time, Plugin)>,
    /// Changing plugins whose current version is new.
    pub versions: Vec<Plugin>,
    /// Changing plugins that return to an earlier version and take it to another stage.
    pub stages: Vec<Plugin>,
    /// Plugins that were not listed before.
    pub added: Vec<Slug>,
    /// Plugins whose content is new.
    pub changed: Vec<Slug>,
    /// Plugins that are no longer listed.
    pub removed: Vec<Slug>,
    /// What exactly is new of those added, changed and removed, in that order.
    pub diffs: Vec<PluginDiff>,
}

impl Plan {
    /// Every plugin that is written, as it is written.
    pub fn written(&self) -> Vec<&Plugin> {
        self.inserts.iter().chain(self.updates.iter().map(|(_, plugin)| plugin)).collect()
    }

    /// By how many plugins the marketplace grows; negative when it shrinks.
    pub fn growth(&self) -> i64 {
        let count = |slugs: &[Slug]| i64::try_from(slugs.len()).unwrap_or(i64::MAX);
        count(&self.added) - count(&self.removed)
    }
}

/// What an import finds and is given.
pub struct Planner<'a> {
    /// The marketplace after the import.
    pub marketplace: &'a Marketplace,
    /// All plugins that it ever listed.
    pub plugins: Vec<Plugin>,
    /// All versions that they ever had.
    pub versions: Vec<KnownVersion>,
    /// Stage of plugins not seen before.
    pub initial_stage: Stage,
    /// Where identities come from.
    pub ids: &'a Ids,
    /// When.
    pub now: Time,
}

impl Planner<'_> {
    /// Compares.
    pub fn plan(self, import: &Import) -> Plan {
        let (mut plan, mut diffs) = (Plan::default(), Vec::new());
        let known: BTreeMap<_, _> = self.plugins.iter().map(|p| (&p.slug, p)).collect();
        for found in &import.plugins {
            match known.get(&found.slug) {
                None => {
                    plan.added.push(found.slug.clone());
                    let plugin = self.first(found);
                    diffs.push((DiffKind::Added, None, Some(plugin.clone())));
                    plan.versions.push(plugin.clone());
                    plan.inserts.push(plugin);
                }
                Some(before)
                    if before.delete_time.is_none() && before.content_sha256 == found.content_sha256 => {}
                Some(before) => {
                    let plugin = self.change(before, found, &mut plan);
                    diffs.push(match before.delete_time {
                        Some(_) => (DiffKind::Added, None, Some(plugin)),
                        None => (DiffKind::Changed, Some((*before).clone()), Some(plugin)),
                    });
                }
            }
        }
        // an entry that was skipped is still listed: what is known of its plugin stays as it is
        for gone in
            self.plugins.iter().filter(|p| p.delete_time.is_none() && !import.listed.contains(&p.slug))
        {
            let update_time = after(self.now, gone.update_time);
            let deleted = Plugin { update_time, delete_time: Some(update_time), ..gone.clone() };
            plan.removed.push(gone.slug.clone());
            plan.updates.push((gone.update_time, deleted));
            diffs.push((DiffKind::Removed, Some(gone.clone()), None));
        }
        plan.removed.sort();
        plan.diffs = told(diffs);
        plan
    }

    /// A plugin that was never there.
    fn first(&self, found: &PluginImport) -> Plugin {
        let (id, version_id) =
            (PluginId(self.ids.new_id(self.now)), PluginVersionId(self.ids.new_id(self.now)));
        Plugin {
            marketplace_id: self.marketplace.id,
            marketplace_slug: self.marketplace.slug.clone(),
            id,
            slug: found.slug.clone(),
            display_name: found.display_name.clone(),
            description: found.description.clone(),
            category: found.category.clone(),
            version_id,
            version: found.version.clone(),
            stage: self.initial_stage,
            sunset_time: None,
            content_sha256: found.content_sha256,
            apps: JsonList(found.apps.clone()),
            skills: JsonList(found.skills.clone()),
            mcp_servers: JsonList(found.mcp_servers.clone()),
            has_hooks: found.has_hooks,
            create_time: self.now,
            update_time: self.now,
            delete_time: None,
        }
    }

    /// A known plugin with other content, or listed again.
    fn change(&self, before: &Plugin, found: &PluginImport, plan: &mut Plan) -> Plugin {
        let earlier = self
            .versions
            .iter()
            .find(|v| v.plugin_id == before.id && v.content_sha256 == found.content_sha256);
        let NewStage { stage, sunset_time } = stage(before, earlier, self.now);
        let plugin = Plugin {
            id: before.id,
            version_id: earlier.map_or_else(|| PluginVersionId(self.ids.new_id(self.now)), |v| v.id),
            stage,
            sunset_time,
            create_time: before.create_time,
            update_time: after(self.now, before.update_time),
            ..self.first(found)
        };
        match before.delete_time {
            Some(_) => plan.added.push(plugin.slug.clone()),
            None => plan.changed.push(plugin.slug.clone()),
        }
        match earlier {
            None => plan.versions.push(plugin.clone()),
            Some(version) if version.new_stage() != plugin.new_stage() => plan.stages.push(plugin.clone()),
            Some(_) => {}
        }
        plan.updates.push((before.update_time, plugin.clone()));
        plugin
    }
}

/// New content takes over the plugin's stage; an earlier version comes back with the stage that it had. A plugin that is
/// withdrawn, or past its sunset, stays so whatever its vendor publishes: an import never undoes a kill switch.
fn stage(before: &Plugin, earlier: Option<&KnownVersion>, now: Time) -> NewStage {
    match earlier {
        Some(own) if before.stage.at(before.sunset_time, now) != Stage::Withdrawn => own.new_stage(),
        _ => before.new_stage(),
    }
}

/// Tells what became of plugins: first those added, then those changed, then those removed.
fn told(mut plugins: Vec<(DiffKind, Option<Plugin>, Option<Plugin>)>) -> Vec<PluginDiff> {
    // what an import lists is in the order of the list
    plugins.sort_by_key(|(kind, old, _)| {
        let gone = old.as_ref().filter(|_| *kind == DiffKind::Removed);
        (*kind, gone.map(|plugin| plugin.slug.to_string()))
    });
    let mut room = Room::default();
    let diff = |(kind, old, new): (DiffKind, Option<Plugin>, Option<Plugin>)| {
        let slug = new.as_ref().or(old.as_ref())?.slug.clone();
        // of what is gone, everything is gone
        let contents = (old.as_ref().map(Content::from), new.as_ref().map(Content::from));
        Some(PluginDiff::new(slug, kind, contents.0, contents.1, &mut room))
    };
    plugins.into_iter().filter_map(diff).collect()
}
