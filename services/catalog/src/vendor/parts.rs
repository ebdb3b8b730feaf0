//! What a plugin bundles, read from its directory: documents, apps, skills, MCP servers, hooks.

use std::collections::{BTreeMap, BTreeSet};

use kernel::{
    Result,
    error::Error,
    ids::{Slug, clip},
};
use serde_json::{Map, Value};

use super::{Fault, MAX_PARTS, entry_fault, inside, text, words};
use crate::{
    model::{App, McpServer, Skipped},
    tree::{MAX_JSON, Tree},
};

/// Where skills usually are.
const SKILLS: &str = "skills";
/// The file that makes a directory a skill.
const SKILL: &str = "SKILL.md";
/// Where hooks usually are.
const HOOKS: &str = "hooks/hooks.json";
/// Most apps of a plugin whose connector each tenant has to bind: the record names them.
const MAX_TEMPLATES: usize = 32;

/// One plugin's directory, and what was left out of it.
pub(super) struct Parts<'t> {
    tree: &'t Tree,
    /// Below the marketplace's; empty when it is the same.
    pub(super) directory: String,
    slug: Slug,
    pub(super) skipped: Vec<Skipped>,
}

impl<'t> Parts<'t> {
    pub(super) fn new(tree: &'t Tree, directory: String, slug: Slug) -> Self {
        Self { tree, directory, slug, skipped: Vec::new() }
    }

    /// The JSON file at `path` in the plugin, if there is one.
    pub(super) fn json(&self, path: &str) -> Result<Option<Value>, Fault> {
        read_json(self.tree, &inside(&self.directory, path)?)
    }

    /// Leaves a part out.
    fn skip(&mut self, part: &str, reason: impl Into<String>) {
        let entry = format!("{}: {}", self.slug, clip(part));
        self.skipped.push(Skipped { entry, reason: reason.into() });
    }

    /// The documents that a field declares, in itself or by path; without any, the one in the `usual` place.
    pub(super) fn documents(
        &mut self,
        field: &str,
        declared: Option<&Value>,
        usual: Option<&str>,
    ) -> Result<Vec<Value>, Fault> {
        let declared = flatten(declared);
        if declared.is_empty() {
            return Ok(usual.map(|path| self.json(path)).transpose()?.flatten().into_iter().collect());
        }
        let mut documents = Vec::new();
        for value in declared {
            match value {
                Value::Object(_) => documents.push(value.clone()),
                Value::String(path) => match self.document(path)? {
                    Some(document) => documents.push(document),
                    None => self
                        .skip(field, format!("it names `{}`, which is not there; add the file", clip(path))),
                },
                _ => {
                    return entry_fault(format!(
                        "its `{field}` is neither a path nor an object; make it one"
                    ));
                }
            }
        }
        Ok(documents)
    }

    fn document(&mut self, path: &str) -> Result<Option<Value>, Fault> {
        if path.contains("://") {
            return Ok(None);
        }
        self.json(path)
    }

    /// The paths in the plugin that a field declares.
    pub(super) fn paths(&mut self, field: &str, declared: Option<&Value>) -> Result<Vec<String>, Fault> {
        let path = |value: &Value| match value {
            Value::String(path) => Ok(inside(&self.directory, path)?),
            _ => entry_fault(format!("its `{field}` is neither a path nor a list of paths; make it one")),
        };
        flatten(declared).into_iter().map(path).collect()
    }

    /// The apps in `documents`, each `{"apps": {key: {"id": …}}}` or without the outer object.
    pub(super) fn apps(&mut self, documents: &[Value]) -> Result<Vec<App>, Fault> {
        let mut apps = BTreeMap::new();
        for (key, value) in members(documents, "apps")? {
            match text(value, "id").filter(|id| is_id(id)) {
                _ if !is_key(key) => self.skip(&format!("app `{key}`"), BAD_KEY),
                None => self.skip(&format!("app `{key}`"), "it has no connector `id`; give it one"),
                Some(id) => {
                    let templated = App::is_template(id);
                    apps.insert(
                        key.clone(),
                        App { key: key.clone(), connector_id: id.to_owned(), templated },
                    );
                }
            }
        }
        few("apps", apps.len())?;
        let templated = apps.values().filter(|app: &&App| app.templated).count();
        if templated > MAX_TEMPLATES {
            return entry_fault(format!(
                "it asks each client for {templated} connectors, and at most {MAX_TEMPLATES} are read; split it"
            ));
        }
        Ok(apps.into_values().collect())
    }

    /// The MCP servers in `documents`, each `{"mcpServers": {key: {"command" or "url": …}}}` or without the outer
    /// object. A later document wins over an earlier one.
    pub(super) fn mcp_servers(&mut self, documents: &[Value]) -> Result<Vec<McpServer>, Fault> {
        let mut servers = BTreeMap::new();
        for (key, value) in members(documents, "mcpServers")? {
            let (command, url) =
                (value.get("command").and_then(Value::as_str), value.get("url").and_then(Value::as_str));
            if !is_key(key) {
                self.skip(&format!("MCP server `{key}`"), BAD_KEY);
            } else if command.is_none() && url.is_none() {
                self.skip(
                    &format!("MCP server `{key}`"),
                    "it has neither a `command` nor a `url`; give it one",
                );
            } else {
                let arguments = value
                    .get("args")
                    .and_then(Value::as_array)
                    .into_iter()
                    .flatten()
                    .filter_map(Value::as_str);
                let line: Vec<_> =
                    command.into_iter().chain(arguments.filter(|_| command.is_some())).collect();
                let (command, url) = (words(&line.join(" "), 2_048), words(url.unwrap_or_default(), 2_048));
                servers.insert(key.clone(), McpServer { key: key.clone(), command, url });
            }
        }
        few("MCP servers", servers.len())?;
        Ok(servers.into_values().collect())
    }

    /// The names of the skills in `declared` paths and, with `usual`, in the usual place. A path is a skill itself or
    /// holds skills. Every other `SKILL.md` in the plugin is named.
    pub(super) fn skills(&mut self, usual: bool, declared: &[String]) -> Result<Vec<String>, Fault> {
        let (mut names, mut taken) = (BTreeSet::new(), BTreeSet::new());
        let place = inside(&self.directory, SKILLS)?;
        let alone = usual && declared.is_empty() && self.tree.under(&place).next().is_none();
        // a plugin without any place for skills may be one itself
        let places =
            if alone { vec![self.directory.clone()] } else { usual.then_some(place).into_iter().collect() };
        for (place, named) in places.iter().map(|p| (p, false)).chain(declared.iter().map(|p| (p, true))) {
            let found = if alone { self.own_skill() } else { self.skills_in(place) };
            if found.is_empty() && named {
                self.skip(
                    place,
                    format!("its `skills` names it and it holds no `{SKILL}`; add skills or remove it"),
                );
            }
            for (path, name) in found {
                if !taken.insert(path.clone()) {
                    continue;
                }
                if !is_key(&name) {
                    self.skip(&path, BAD_KEY);
                } else if !names.insert(name) {
                    self.skip(&path, "another skill of the plugin has this name; rename one");
                }
            }
        }
        self.stray_skills(&taken);
        few("skills", names.len())?;
        Ok(names.into_iter().collect())
    }

    /// The skill that a whole plugin is.
    fn own_skill(&self) -> Vec<(String, String)> {
        let path = join(&self.directory, SKILL);
        if self.tree.file(&path).is_some() { vec![(path, self.slug.to_string())] } else { Vec::new() }
    }

    /// Path of the `SKILL.md` and name of each skill at `place`.
    fn skills_in(&self, place: &str) -> Vec<(String, String)> {
        let own = join(place, SKILL);
        if self.tree.file(&own).is_some() {
            let name = place.rsplit('/').next().filter(|n| !n.is_empty());
            return vec![(own, name.unwrap_or(self.slug.as_str()).to_owned())];
        }
        let skill = |path: &str| {
            let name = path.strip_suffix(SKILL)?.strip_suffix('/')?;
            (!name.contains('/')).then(|| (join(place, path), name.to_owned()))
        };
        self.tree.under(place).filter_map(|(path, _)| skill(path)).collect()
    }

    /// Names what looks like a skill and is none. In a root that plugins share it may be another plugin's.
    fn stray_skills(&mut self, taken: &BTreeSet<String>) {
        if self.directory.is_empty() {
            return;
        }
        let files = self.tree.under(&self.directory).map(|(path, _)| path);
        let named = files.filter(|path| path.rsplit('/').next() == Some(SKILL));
        let stray: Vec<_> = named.filter(|path| !taken.contains(&join(&self.directory, path))).collect();
        for path in stray {
            self.skip(
                path,
                format!(
                    "skills are read from `{SKILLS}/<name>/{SKILL}`; if it is meant as one, move it there"
                ),
            );
        }
    }

    /// Whether there are hooks: declared, or in the usual place.
    pub(super) fn hooks(&mut self, declared: &[Option<&Value>]) -> Result<bool, Fault> {
        let mut found = self.tree.file(&inside(&self.directory, HOOKS)?).is_some();
        for value in declared.iter().flat_map(|v| flatten(*v)) {
            match value {
                Value::String(path) => {
                    inside(&self.directory, path)?;
                    found = true;
                }
                Value::Object(events) => found |= !events.is_empty(),
                _ => return entry_fault("its `hooks` are neither a path nor an object; make them one"),
            }
        }
        Ok(found)
    }
}

const BAD_KEY: &str = "its name is not 1 to 128 characters without `/` and control characters; rename it";

/// Reads a JSON file; what nests too deep refuses the directory.
pub(super) fn read_json(tree: &Tree, path: &str) -> Result<Option<Value>, Fault> {
    let Some(file) = tree.file(path) else { return Ok(None) };
    let Some(content) = &file.content else {
        let long = file.length > MAX_JSON as u64;
        let reason =
            if long { "is larger than 1 MiB; shorten it" } else { "is not a `.json` file; make it one" };
        return entry_fault(format!("`{path}` {reason}"));
    };
    serde_json::from_slice(content).map(Some).map_err(|error| {
        let error = error.to_string();
        if error.starts_with("recursion limit exceeded") {
            return Fault::Whole(Error::Marketplace(format!(
                "`{path}` nests deeper than 127 levels; flatten it"
            )));
        }
        Fault::Entry(format!("`{path}` is not JSON ({error}); correct it"))
    })
}

/// One value or the members of a list of them.
fn flatten(declared: Option<&Value>) -> Vec<&Value> {
    match declared {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Array(values)) => values.iter().collect(),
        Some(value) => vec![value],
    }
}

/// The members of the objects under `field`, or of the documents where they have no such field.
fn members<'v>(documents: &'v [Value], field: &str) -> Result<Vec<(&'v String, &'v Value)>, Fault> {
    let mut members = Vec::new();
    for document in documents {
        let object: &Map<_, _> = match document.get(field).unwrap_or(document) {
            Value::Object(object) => object,
            _ => return entry_fault(format!("its `{field}` is not an object; make it one")),
        };
        members.extend(object);
        few(field, members.len())?;
    }
    Ok(members)
}

fn few(what: &str, count: usize) -> Result<(), Fault> {
    if count <= MAX_PARTS {
        return Ok(());
    }
    entry_fault(format!("it has more than 1,000 {what}; divide it into several plugins"))
}

fn join(directory: &str, path: &str) -> String {
    if directory.is_empty() { path.to_owned() } else { format!("{directory}/{path}") }
}

/// Whether a vendor's word can be a key: one segment of a name.
fn is_key(text: &str) -> bool {
    !text.trim().is_empty()
        && text.chars().count() <= 128
        && !text.contains('/')
        && !text.chars().any(char::is_control)
}

fn is_id(text: &str) -> bool {
    text.chars().count() <= 256 && !text.chars().any(char::is_control)
}
