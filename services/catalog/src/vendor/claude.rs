//! The Claude Code format: `.claude-plugin/marketplace.json` and, in each plugin, `.claude-plugin/plugin.json`.

use kernel::Result;
use serde_json::Value;

use super::{Described, Fault, Import, VendorFormat, entry_fault, import, parts::Parts, text};
use crate::{model::Format, tree::Tree};

pub(super) const FORMAT: VendorFormat = VendorFormat {
    format: Format::Claude,
    file: ".claude-plugin/marketplace.json",
    manifest: ".claude-plugin/plugin.json",
    display_name: |json| text(json, "displayName"),
    plugin_root: |json| json.get("metadata").and_then(|m| text(m, "pluginRoot")),
    plugin,
};

/// Reads a Claude Code marketplace. `commands/` and `agents/` of a plugin are not skills; they count for its digest only.
pub fn read(tree: &Tree) -> Result<Import> {
    import(tree, &FORMAT)
}

fn plugin(parts: &mut Parts<'_>, entry: &Value) -> Result<Described, Fault> {
    if entry.get("strict").and_then(Value::as_bool) == Some(false) {
        return described(parts, entry, &Value::Null);
    }
    match parts.json(FORMAT.manifest)? {
        Some(manifest) => described(parts, entry, &manifest),
        None => entry_fault(format!(
            "its directory has no `{}`; add one, or set `strict` to false in the entry",
            FORMAT.manifest
        )),
    }
}

/// Entry and manifest complete each other, and what they name comes on top of what lies in the usual places. Without a
/// manifest (`strict` is false) the entry is the manifest, and what it names is all there is.
fn described(parts: &mut Parts<'_>, entry: &Value, manifest: &Value) -> Result<Described, Fault> {
    let alone = manifest.is_null();
    let words = |field: &str| text(entry, field).or(text(manifest, field)).unwrap_or_default().to_owned();
    let usual = |field: &str, place| (!alone || entry.get(field).is_none()).then_some(place);
    let mut servers = parts.documents("mcpServers", None, usual("mcpServers", ".mcp.json"))?;
    let mut skills = Vec::new();
    for declares in [manifest, entry] {
        servers.extend(parts.documents("mcpServers", declares.get("mcpServers"), None)?);
        skills.extend(parts.paths("skills", declares.get("skills"))?);
    }
    // a plugin that shares the root with others owns only the skills that its entry names
    let shared = parts.directory.is_empty() && entry.get("skills").is_some();
    let usual_skills = usual("skills", "skills").is_some() && !shared;
    Ok(Described {
        display_name: Some(words("displayName")).filter(|n| !n.is_empty()).unwrap_or_else(|| words("name")),
        description: words("description"),
        category: words("category"),
        version: text(manifest, "version").map_or_else(|| words("version"), str::to_owned),
        apps: Vec::new(),
        skills: parts.skills(usual_skills, &skills)?,
        mcp_servers: parts.mcp_servers(&servers)?,
        has_hooks: parts.hooks(&[manifest.get("hooks"), entry.get("hooks")])?,
    })
}
