//! From a directory to what a vendor publishes in it, without any I/O. What the formats share is here; how they differ is
//! in [`codex`] and [`claude`].
//!
//! Two kinds of trouble: what breaks a limit, leaves the directory or makes the marketplace file unreadable refuses the
//! directory whole; what is wrong with one entry or one part leaves that out and names it, with what to do.

use std::collections::{BTreeMap, BTreeSet};

use kernel::{
    Result,
    clock::Time,
    error::Error,
    ids::{Slug, clip},
};
use serde_json::Value;

use crate::{
    model::{App, Format, Marketplace, MarketplaceId, McpServer, Skipped, after},
    tree::{Digest, File, Sum, Tree},
};

pub mod claude;
pub mod codex;
mod parts;

use parts::{Parts, read_json};

/// Most plugins that one marketplace lists.
pub const MAX_PLUGINS: usize = 2_000;
/// Most apps, skills or MCP servers of one plugin.
pub const MAX_PARTS: usize = 1_000;

/// A marketplace as its vendor publishes it.
#[derive(Clone, Debug)]
pub struct Import {
    /// The marketplace itself.
    pub marketplace: MarketplaceImport,
    /// Every plugin that it lists under a usable name, also one whose entry was skipped.
    pub listed: BTreeSet<Slug>,
    /// The plugins that it lists with content in the directory.
    pub plugins: Vec<PluginImport>,
    /// What was left out.
    pub skipped: Vec<Skipped>,
}

/// The head of a marketplace file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MarketplaceImport {
    /// The vendor's own name in lower case.
    pub slug: Slug,
    /// For people.
    pub display_name: String,
    /// The vendor format.
    pub format: Format,
}

/// A plugin with content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PluginImport {
    /// The vendor's own name in lower case.
    pub slug: Slug,
    /// For people.
    pub display_name: String,
    /// One line.
    pub description: String,
    /// The vendor's category.
    pub category: String,
    /// The vendor's version; may be empty.
    pub version: String,
    /// Connectors, by key.
    pub apps: Vec<App>,
    /// Skill names, sorted.
    pub skills: Vec<String>,
    /// MCP servers, by key.
    pub mcp_servers: Vec<McpServer>,
    /// Whether it brings hooks.
    pub has_hooks: bool,
    /// Over its marketplace entry and every file in its directory.
    pub content_sha256: Digest,
}

impl Import {
    /// Over everything that an import can change: equal for equal content, whatever else lies in the directory.
    pub fn sha256(&self) -> Digest {
        let mut sum = Sum::new("provost marketplace 1");
        sum.part(self.marketplace.slug.as_str().as_bytes());
        sum.part(self.marketplace.format.as_str().as_bytes());
        sum.part(self.marketplace.display_name.as_bytes());
        for slug in &self.listed {
            sum.part(slug.as_str().as_bytes());
        }
        sum.part(b"plugins");
        for plugin in &self.plugins {
            sum.part(plugin.slug.as_str().as_bytes());
            sum.part(plugin.content_sha256.as_bytes());
        }
        sum.finish()
    }
}

impl MarketplaceImport {
    /// The marketplace when it is imported for the first time.
    pub fn first(&self, content_sha256: Digest, id: MarketplaceId, now: Time) -> Marketplace {
        Marketplace {
            id,
            slug: self.slug.clone(),
            display_name: self.display_name.clone(),
            format: self.format,
            content_sha256,
            plugin_count: 0,
            create_time: now,
            update_time: now,
        }
    }

    /// The marketplace when it is imported again. One that came in another format is another vendor's of the same name.
    pub fn next(&self, before: &Marketplace, content_sha256: Digest, now: Time) -> Result<Marketplace> {
        if before.format != self.format {
            return Err(Error::Marketplace(format!(
                "marketplace `{}` was imported in the {} format before and this directory is in the {} format; give it \
                 another `name`",
                self.slug,
                before.format.as_str(),
                self.format.as_str()
            )));
        }
        Ok(Marketplace {
            display_name: self.display_name.clone(),
            content_sha256,
            update_time: after(now, before.update_time),
            ..before.clone()
        })
    }
}

/// Whether `tree` is the directory of a marketplace in some format.
pub fn is_marketplace(tree: &Tree) -> bool {
    [codex::FORMAT.file, claude::FORMAT.file].into_iter().any(|file| tree.file(file).is_some())
}

/// Reads the marketplace in `tree`, in whichever format it is.
pub fn read(tree: &Tree) -> Result<Import> {
    match (tree.file(codex::FORMAT.file), tree.file(claude::FORMAT.file)) {
        (None, None) => Err(Error::Marketplace(format!(
            "the directory holds neither `{}` (Codex) nor `{}` (Claude Code); send the directory that holds one of them",
            codex::FORMAT.file,
            claude::FORMAT.file
        ))),
        (None, Some(_)) => claude::read(tree),
        (Some(_), None) => codex::read(tree),
        (Some(_), Some(_)) => {
            let mut import = codex::read(tree)?;
            import.skipped.push(Skipped {
                entry: claude::FORMAT.file.to_owned(),
                reason: format!(
                    "the directory is imported as its `{}` says; to import this file too, send a copy of the directory \
                     without that one and with another `name`",
                    codex::FORMAT.file
                ),
            });
            Ok(import)
        }
    }
}

/// What tells one vendor format from the other.
struct VendorFormat {
    format: Format,
    /// Path of the marketplace file.
    file: &'static str,
    /// Path of a plugin's manifest in its directory.
    manifest: &'static str,
    /// The marketplace's name for people, if the file gives one.
    display_name: fn(&Value) -> Option<&str>,
    /// Directory that sources without a leading `./` are relative to.
    plugin_root: fn(&Value) -> Option<&str>,
    /// Reads the plugin of an entry, all but its digest.
    plugin: fn(&mut Parts<'_>, &Value) -> Result<Described, Fault>,
}

/// A plugin without what every format gives it in the same way.
struct Described {
    display_name: String,
    description: String,
    category: String,
    version: String,
    apps: Vec<App>,
    skills: Vec<String>,
    mcp_servers: Vec<McpServer>,
    has_hooks: bool,
}

/// Why something cannot be imported.
enum Fault {
    /// The directory is refused.
    Whole(Error),
    /// The entry is skipped.
    Entry(String),
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Whole(error)
    }
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Whole(error) => error,
            Fault::Entry(reason) => Self::Marketplace(reason),
        }
    }
}

fn entry_fault<T>(reason: impl Into<String>) -> Result<T, Fault> {
    Err(Fault::Entry(reason.into()))
}

/// Reads a marketplace in a given format.
fn import(tree: &Tree, vendor: &VendorFormat) -> Result<Import> {
    let file = vendor.file;
    let broken = |what: &str| Error::Marketplace(format!("`{file}` {what}"));
    let json =
        read_json(tree, file)?.ok_or_else(|| broken("is missing; send the directory that holds it"))?;
    let name = text(&json, "name").ok_or_else(|| broken("has no `name`; give the marketplace one"))?;
    let slug = Slug::parse_dotted("name", &name.to_lowercase()).map_err(|_| {
        let name = clip(name);
        broken(&format!("has the `name` `{name}`, which is not 1 to 63 of `a-z 0-9 - . _`; choose another"))
    })?;
    let entries = json.get("plugins").and_then(Value::as_array);
    let entries =
        entries.ok_or_else(|| broken("has no list of `plugins`; add one, if need be an empty one"))?;
    if entries.len() > MAX_PLUGINS {
        return Err(broken("lists more than 2,000 plugins; divide it into several marketplaces"));
    }
    let display_name = (vendor.display_name)(&json).unwrap_or(name);
    let marketplace =
        MarketplaceImport { slug, display_name: words(display_name, 128), format: vendor.format };
    let import = Import { marketplace, listed: BTreeSet::new(), plugins: Vec::new(), skipped: Vec::new() };
    let root = (vendor.plugin_root)(&json);
    let mut reader = Reader { tree, vendor, root, import, homes: BTreeMap::new() };
    for (position, entry) in entries.iter().enumerate() {
        reader.entry(position, entry)?;
    }
    reader.unlisted();
    Ok(reader.import)
}

/// Reads entry after entry.
struct Reader<'t> {
    tree: &'t Tree,
    vendor: &'t VendorFormat,
    root: Option<&'t str>,
    import: Import,
    /// Directories of listed plugins, each with the digest of its files.
    homes: BTreeMap<String, Digest>,
}

impl Reader<'_> {
    fn entry(&mut self, position: usize, entry: &Value) -> Result<()> {
        let Some(name) = text(entry, "name") else {
            let reason = "it has no `name`; give it one".to_owned();
            self.import.skipped.push(Skipped { entry: format!("plugins[{position}]"), reason });
            return Ok(());
        };
        let Ok(slug) = Slug::parse_dotted("name", &name.to_lowercase()) else {
            let reason = "its name is not 1 to 63 of `a-z 0-9 - . _`; ask the vendor for another".to_owned();
            self.import.skipped.push(Skipped { entry: clip(name), reason });
            return Ok(());
        };
        if !self.import.listed.insert(slug.clone()) {
            return Err(Error::Marketplace(format!(
                "`{}` lists plugin `{slug}` twice; keep one",
                self.vendor.file
            )));
        }
        match self.plugin(slug.clone(), entry) {
            Ok((plugin, skipped)) => {
                self.import.plugins.push(plugin);
                self.import.skipped.extend(skipped);
                Ok(())
            }
            Err(Fault::Entry(reason)) => {
                self.import.skipped.push(Skipped { entry: slug.to_string(), reason });
                Ok(())
            }
            Err(Fault::Whole(error)) => Err(error),
        }
    }

    fn plugin(&mut self, slug: Slug, entry: &Value) -> Result<(PluginImport, Vec<Skipped>), Fault> {
        let directory = source(entry, self.root)?;
        if self.tree.under(&directory).next().is_none() {
            return entry_fault(format!(
                "its directory `./{directory}` is not there; add it or remove the entry"
            ));
        }
        let content_sha256 = self.sha256(&directory, entry)?;
        let mut parts = Parts::new(self.tree, directory, slug.clone());
        let described = (self.vendor.plugin)(&mut parts, entry)?;
        let plugin = PluginImport {
            slug,
            display_name: words(&described.display_name, 128),
            description: words(&described.description, 2_048),
            category: words(&described.category, 128),
            version: words(&described.version, 64),
            apps: described.apps,
            skills: described.skills,
            mcp_servers: described.mcp_servers,
            has_hooks: described.has_hooks,
            content_sha256,
        };
        Ok((plugin, parts.skipped))
    }

    /// Over the entry and the directory's files. The number in the purpose goes up when other things are read from the
    /// same files, so that the next import takes them in.
    fn sha256(&mut self, directory: &str, entry: &Value) -> Result<Digest, Fault> {
        let (tree, listing) = (self.tree, [codex::FORMAT.file, claude::FORMAT.file]);
        let files = *self.homes.entry(directory.to_owned()).or_insert_with(|| {
            let mut sum = Sum::new("provost plugin directory 1");
            // a plugin in the root does not change with what the marketplace says of the others
            let own = |(path, _): &(&str, &File)| !(directory.is_empty() && listing.contains(path));
            tree.under(directory).filter(own).for_each(|(path, file)| sum.file(path, file));
            sum.finish()
        });
        let entry =
            serde_json_canonicalizer::to_vec(entry).map_err(|e| Fault::Entry(format!("its entry: {e}")))?;
        let mut sum = Sum::new("provost plugin 1");
        sum.part(&entry);
        sum.part(files.as_bytes());
        Ok(sum.finish())
    }

    /// Names plugins that lie in the directory and that the marketplace does not list.
    fn unlisted(&mut self) {
        let manifest = format!("/{}", self.vendor.manifest);
        for (path, _) in self.tree.under("") {
            let Some(directory) = path.strip_suffix(&manifest) else { continue };
            let ends = directory.match_indices('/').map(|(end, _)| end).chain([0, directory.len()]);
            let mut ancestors = ends.filter_map(|end| directory.get(..end));
            if !ancestors.any(|a| self.homes.contains_key(a)) {
                let reason = format!("`{}` does not list it; add an entry to import it", self.vendor.file);
                self.import.skipped.push(Skipped { entry: clip(directory), reason });
            }
        }
    }
}

/// The directory of an entry's plugin.
fn source(entry: &Value, root: Option<&str>) -> Result<String, Fault> {
    let elsewhere = |kind: &str| {
        entry_fault(format!(
            "its content is not in the directory (source `{}`); put a copy there and set `source` to its path",
            clip(kind)
        ))
    };
    match entry.get("source") {
        Some(Value::String(path)) if path.contains("://") => elsewhere("url"),
        Some(Value::String(path)) => match root {
            Some(root) if !path.starts_with("./") => Ok(inside(&inside("", root)?, path)?),
            _ => Ok(inside("", path)?),
        },
        Some(Value::Object(source)) => match source.get("source").and_then(Value::as_str) {
            Some("local") => match source.get("path").and_then(Value::as_str) {
                Some(path) => Ok(inside("", path)?),
                None => entry_fault("its source has no `path`; give the path of its directory"),
            },
            Some(kind @ ("url" | "git" | "git-subdir" | "github" | "npm" | "pip" | "archive")) => {
                elsewhere(kind)
            }
            Some(kind) => {
                entry_fault(format!("its source `{}` is of an unknown kind; use a path", clip(kind)))
            }
            None => entry_fault("its source does not say of which kind it is; use a path"),
        },
        _ => entry_fault("it has no `source`; give the path of its directory"),
    }
}

/// `path`, as a vendor writes it, below `base`. One that leaves the directory refuses the directory.
fn inside(base: &str, path: &str) -> Result<String> {
    let leaves = path.starts_with('/') || path.contains(['\\', '\0']) || path.split('/').any(|s| s == "..");
    if leaves {
        return Err(Error::Marketplace(format!(
            "`{}` points outside the directory; use paths below it, with `/` and without `..`",
            clip(path)
        )));
    }
    let below = path.split('/').filter(|s| !matches!(*s, "" | "."));
    let segments: Vec<_> = base.split('/').filter(|s| !s.is_empty()).chain(below).collect();
    Ok(segments.join("/"))
}

/// A field that is text and not empty.
fn text<'v>(value: &'v Value, field: &str) -> Option<&'v str> {
    value.get(field).and_then(Value::as_str).filter(|t| !t.trim().is_empty())
}

/// A vendor's words as one line of at most `max` characters, without control characters.
fn words(text: &str, max: usize) -> String {
    let clean: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    clean.trim().chars().take(max).collect()
}

#[cfg(test)]
mod tests;
