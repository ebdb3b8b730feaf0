//! What sets two contents of a plugin apart, without any I/O.

use std::collections::BTreeMap;

use kernel::{clock::Time, ids::Slug};
use serde::{Deserialize, Serialize};

use crate::{
    model::{App, McpServer, Plugin, Stage},
    tree::Digest,
    version::model::PluginVersion,
};

/// Most changes that are told of one plugin.
pub const MAX_OF_PLUGIN: usize = 100;
/// Most changes that are told of one import.
pub const MAX_OF_IMPORT: usize = 4_000;
/// Longest value that is told, characters.
const MAX_VALUE: usize = 200;

/// What happened to a thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DiffKind {
    /// It was not there before.
    Added,
    /// It is another.
    Changed,
    /// It is not there any more.
    Removed,
}

/// What sets two contents of a plugin apart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PluginDiff {
    /// The plugin.
    pub plugin: Slug,
    /// What happened to it.
    pub kind: DiffKind,
    /// The old content.
    pub old_sha256: Option<Digest>,
    /// The new content.
    pub new_sha256: Option<Digest>,
    /// What is another.
    pub changes: Vec<PluginChange>,
    /// Changes that are not told because there are too many.
    pub omitted: i64,
}

/// One thing that sets two contents apart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PluginChange {
    /// `stage`, `apps/{key}`.
    pub field: String,
    /// What happened to it.
    pub kind: DiffKind,
    /// What it was.
    pub old: String,
    /// What it is.
    pub new: String,
}

/// One of two contents.
#[derive(Clone, Copy, Debug)]
pub struct Content<'p> {
    sha256: Digest,
    version: &'p str,
    stage: Stage,
    sunset: Option<Time>,
    /// Names and category, where they are known.
    words: [&'p str; 3],
    has_hooks: bool,
    apps: &'p [App],
    skills: &'p [String],
    servers: &'p [McpServer],
}

impl<'p> From<&'p Plugin> for Content<'p> {
    fn from(plugin: &'p Plugin) -> Self {
        Self {
            sha256: plugin.content_sha256,
            version: &plugin.version,
            stage: plugin.stage,
            sunset: plugin.sunset_time,
            words: [&plugin.display_name, &plugin.description, &plugin.category],
            has_hooks: plugin.has_hooks,
            apps: &plugin.apps.0,
            skills: &plugin.skills.0,
            servers: &plugin.mcp_servers.0,
        }
    }
}

impl<'p> From<&'p PluginVersion> for Content<'p> {
    fn from(version: &'p PluginVersion) -> Self {
        Self {
            sha256: version.content_sha256,
            version: &version.version,
            stage: version.stage,
            sunset: version.sunset_time,
            words: [""; 3],
            has_hooks: version.has_hooks,
            apps: &version.apps.0,
            skills: &version.skills.0,
            servers: &version.mcp_servers.0,
        }
    }
}

impl Content<'_> {
    /// Everything that is there, by where it stands in the order and by name.
    fn fields(&self) -> BTreeMap<(usize, String), String> {
        let [display_name, description, category] = self.words;
        let sunset = self.sunset.map(|time| time.to_string()).unwrap_or_default();
        let hooks = if self.has_hooks { "true" } else { "" };
        let ones = [
            ("version", self.version),
            ("stage", self.stage.as_str()),
            ("sunset_time", &sunset),
            ("display_name", display_name),
            ("description", description),
            ("category", category),
            ("has_hooks", hooks),
        ];
        let parts = ones.len();
        let ones = ones.into_iter().enumerate().filter(|(_, (_, value))| !value.is_empty());
        let ones = ones.map(|(at, (field, value))| ((at, field.to_owned()), clipped(value)));
        let apps = self.apps.iter().map(|a| ((parts, format!("apps/{}", a.key)), clipped(&a.connector_id)));
        let skills = self.skills.iter().map(|s| ((parts + 1, format!("skills/{s}")), String::new()));
        let servers = self.servers.iter().map(|s| {
            let does = if s.url.is_empty() { &s.command } else { &s.url };
            ((parts + 2, format!("mcp_servers/{}", s.key)), clipped(does))
        });
        ones.chain(apps).chain(skills).chain(servers).collect()
    }
}

/// How many more changes can be told.
#[derive(Debug)]
pub struct Room(usize);

impl Default for Room {
    fn default() -> Self {
        Self(MAX_OF_IMPORT)
    }
}

impl PluginDiff {
    /// From what was there and what is there. Of a plugin that is gone no more is told than that.
    pub fn new(
        plugin: Slug,
        kind: DiffKind,
        old: Option<Content<'_>>,
        new: Option<Content<'_>>,
        room: &mut Room,
    ) -> Self {
        let mut changes = match (&old, &new) {
            (_, None) => Vec::new(),
            (old, Some(new)) => changes(old.as_ref().map(Content::fields).unwrap_or_default(), new.fields()),
        };
        let fits = changes.len().min(MAX_OF_PLUGIN).min(room.0);
        let omitted = i64::try_from(changes.len() - fits).unwrap_or(i64::MAX);
        changes.truncate(fits);
        room.0 -= fits;
        let (old_sha256, new_sha256) = (old.map(|c| c.sha256), new.map(|c| c.sha256));
        Self { plugin, kind, old_sha256, new_sha256, changes, omitted }
    }
}

/// Every field that is not the same on both sides, in order.
fn changes(
    mut old: BTreeMap<(usize, String), String>,
    new: BTreeMap<(usize, String), String>,
) -> Vec<PluginChange> {
    let mut all = BTreeMap::new();
    for (place, now) in new {
        let before = old.remove(&place);
        if before.as_ref() != Some(&now) {
            all.insert(place, (before, Some(now)));
        }
    }
    all.extend(old.into_iter().map(|(place, before)| (place, (Some(before), None))));
    let change = |((_, field), (old, new)): ((usize, String), (Option<String>, Option<String>))| {
        let kind = match (&old, &new) {
            (None, _) => DiffKind::Added,
            (_, None) => DiffKind::Removed,
            _ => DiffKind::Changed,
        };
        PluginChange { field, kind, old: old.unwrap_or_default(), new: new.unwrap_or_default() }
    };
    all.into_iter().map(change).collect()
}

fn clipped(value: &str) -> String {
    value.chars().take(MAX_VALUE).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content<'p>(version: &'p str, apps: &'p [App], skills: &'p [String]) -> Content<'p> {
        Content {
            sha256: Digest([0; 32]),
            version,
            stage: Stage::Live,
            sunset: None,
            words: [""; 3],
            has_hooks: false,
            apps,
            skills,
            servers: &[],
        }
    }

    fn app(key: &str, id: &str) -> App {
        App { key: key.to_owned(), connector_id: id.to_owned(), templated: false }
    }

    fn diff(old: Option<Content<'_>>, new: Option<Content<'_>>, room: &mut Room) -> PluginDiff {
        PluginDiff::new(Slug::parse("p", "p").unwrap(), DiffKind::Changed, old, new, room)
    }

    #[test]
    fn every_field_is_told_by_what_happened_to_it() {
        use DiffKind::{Added, Changed, Removed};
        let (one, two) = ([app("a", "1"), app("b", "2")], [app("b", "3"), app("c", "4")]);
        let (few, more) = ([], ["s".to_owned()]);
        let (old, new) = (content("1", &one, &few), Content { has_hooks: true, ..content("", &two, &more) });
        let told = diff(Some(old), Some(new), &mut Room::default());
        let told: Vec<_> =
            told.changes.iter().map(|c| (c.field.as_str(), c.kind, &*c.old, &*c.new)).collect();
        assert_eq!(
            told,
            [
                ("version", Removed, "1", ""),
                ("has_hooks", Added, "", "true"),
                ("apps/a", Removed, "1", ""),
                ("apps/b", Changed, "2", "3"),
                ("apps/c", Added, "", "4"),
                ("skills/s", Added, "", ""),
            ]
        );
        assert!(diff(Some(old), Some(old), &mut Room::default()).changes.is_empty());
        assert!(diff(Some(old), None, &mut Room::default()).changes.is_empty());
    }

    #[test]
    fn too_many_changes_are_counted() {
        let apps: Vec<_> = (0..150).map(|n| app(&format!("{n:03}"), "x")).collect();
        let mut room = Room(120);
        // the stage and the first apps
        let first = diff(None, Some(content("", &apps, &[])), &mut room);
        assert_eq!((first.changes.len(), first.omitted), (MAX_OF_PLUGIN, 51));
        let second = diff(None, Some(content("", &apps, &[])), &mut room);
        assert_eq!((second.changes.len(), second.omitted), (20, 131));
    }
}
