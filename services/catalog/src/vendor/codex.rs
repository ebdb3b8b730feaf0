//! The Codex format: `.agents/plugins/marketplace.json` and, in each plugin, `.codex-plugin/plugin.json`.

use kernel::Result;
use serde_json::Value;

use super::{Described, Fault, Import, VendorFormat, entry_fault, import, parts::Parts, text};
use crate::{model::Format, tree::Tree};

pub(super) const FORMAT: VendorFormat = VendorFormat {
    format: Format::Codex,
    file: ".agents/plugins/marketplace.json",
    manifest: ".codex-plugin/plugin.json",
    display_name: |json| json.get("interface").and_then(|i| text(i, "displayName")),
    plugin_root: |_| None,
    plugin,
};

/// Reads a Codex marketplace.
pub fn read(tree: &Tree) -> Result<Import> {
    import(tree, &FORMAT)
}

/// Where the manifest names a part, that is read, and the usual place otherwise.
fn plugin(parts: &mut Parts<'_>, entry: &Value) -> Result<Described, Fault> {
    let Some(manifest) = parts.json(FORMAT.manifest)? else {
        return entry_fault(format!("its directory has no `{}`; add one", FORMAT.manifest));
    };
    let interface = manifest.get("interface").unwrap_or(&Value::Null);
    let words = |found: Option<&str>| found.unwrap_or_default().to_owned();
    let apps = parts.documents("apps", manifest.get("apps"), Some(".app.json"))?;
    let servers = parts.documents("mcpServers", manifest.get("mcpServers"), Some(".mcp.json"))?;
    let skills = parts.paths("skills", manifest.get("skills"))?;
    Ok(Described {
        display_name: words(text(interface, "displayName").or(text(entry, "name"))),
        description: words(text(&manifest, "description").or(text(interface, "shortDescription"))),
        category: words(text(entry, "category").or(text(interface, "category"))),
        version: words(text(&manifest, "version")),
        apps: parts.apps(&apps)?,
        skills: parts.skills(skills.is_empty(), &skills)?,
        mcp_servers: parts.mcp_servers(&servers)?,
        has_hooks: parts.hooks(&[manifest.get("hooks")])?,
    })
}
