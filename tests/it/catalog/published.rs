//! What a marketplace directory holds, counted from its files alone.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

/// Everything in a directory that an import has to report or to name.
#[derive(Debug)]
pub struct Published {
    /// Entries whose content is in the directory, by name.
    pub here: BTreeSet<String>,
    /// Entries whose content is elsewhere, by name.
    pub elsewhere: BTreeSet<String>,
    /// Paths of all `SKILL.md`, in listed plugins or not.
    pub skills: BTreeSet<String>,
    /// Plugin directory and key of all apps.
    pub apps: BTreeSet<(String, String)>,
    /// Plugin directory and key of all MCP servers.
    pub servers: BTreeSet<(String, String)>,
}

impl Published {
    /// Counts.
    pub fn read(files: &BTreeMap<String, Vec<u8>>) -> Self {
        let listing = [".agents/plugins/marketplace.json", ".claude-plugin/marketplace.json"];
        let listing = listing.into_iter().find_map(|path| files.get(path)).expect("a marketplace file");
        let listing: Value = serde_json::from_slice(listing).unwrap();
        let (mut here, mut elsewhere) = (BTreeSet::new(), BTreeSet::new());
        for entry in listing["plugins"].as_array().unwrap() {
            let local = entry["source"].is_string() || entry["source"]["source"] == "local";
            let names = if local { &mut here } else { &mut elsewhere };
            assert!(names.insert(entry["name"].as_str().unwrap().to_lowercase()));
        }
        let skills = files.keys().filter(|p| p.ends_with("/SKILL.md")).cloned().collect();
        Self {
            here,
            elsewhere,
            skills,
            apps: keys(files, ".app.json", "apps"),
            servers: keys(files, ".mcp.json", "mcpServers"),
        }
    }
}

/// Directory and key of every member of `field` in every file called `name`.
fn keys(files: &BTreeMap<String, Vec<u8>>, name: &str, field: &str) -> BTreeSet<(String, String)> {
    let mut keys = BTreeSet::new();
    for (path, bytes) in files {
        let Some(directory) = path.strip_suffix(name).and_then(|p| p.strip_suffix('/')) else { continue };
        let document: Map<String, Value> = serde_json::from_slice(bytes).unwrap();
        let members = document.get(field).map_or(&document, |m| m.as_object().unwrap());
        keys.extend(members.keys().map(|key| (directory.to_owned(), key.clone())));
    }
    keys
}

/// What an import says: counts, and the entries that it left out.
pub struct Reported<'r> {
    /// Plugins.
    pub plugins: i64,
    /// Apps.
    pub apps: i64,
    /// Skills.
    pub skills: i64,
    /// Names of what was left out.
    pub skipped: Vec<&'r str>,
}

impl Reported<'_> {
    /// Every plugin, app and skill on disk is in the counts or named.
    pub fn covers(&self, published: &Published) {
        let skipped = |entry: &str| self.skipped.contains(&entry);
        assert_eq!(self.plugins, count(published.here.iter().filter(|p| !skipped(p))));
        for name in &published.elsewhere {
            assert!(skipped(name), "`{name}` lies elsewhere and is not named");
        }
        let named = |path: &&String| {
            self.skipped.iter().any(|s| s.split(": ").nth(1).is_some_and(|s| path.ends_with(s)))
        };
        assert_eq!(self.skills, count(published.skills.iter().filter(|p| !named(p))));
        let named = |key: &str| self.skipped.iter().any(|s| s.ends_with(&format!(": app `{key}`")));
        assert_eq!(self.apps, count(published.apps.iter().filter(|(_, key)| !named(key))));
    }
}

/// How many, as on the wire.
pub fn count<T>(items: impl Iterator<Item = T>) -> i64 {
    i64::try_from(items.count()).unwrap()
}
