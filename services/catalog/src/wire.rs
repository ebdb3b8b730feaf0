//! The catalogue's messages, from what the slice knows and back.

use kernel::{Result, audit::Resource as _, clock::Time, error::Error};
use proto::catalog::v1 as pb;

use crate::{
    diff::{DiffKind, PluginChange, PluginDiff},
    model::{App, Format, ImportReport, Marketplace, McpServer, NewStage, Plugin, Skipped, Stage},
};

/// A stage of the wire.
pub(crate) fn known_stage(field: &str, number: i32) -> Result<Stage> {
    match pb::Stage::try_from(number) {
        Ok(pb::Stage::Alpha) => Ok(Stage::Alpha),
        Ok(pb::Stage::Preview) => Ok(Stage::Preview),
        Ok(pb::Stage::Live) => Ok(Stage::Live),
        Ok(pb::Stage::Deprecated) => Ok(Stage::Deprecated),
        Ok(pb::Stage::Withdrawn) => Ok(Stage::Withdrawn),
        Ok(pb::Stage::Unspecified) | Err(_) => Err(Error::invalid(
            field,
            format!("`{number}` is not a stage; use ALPHA, PREVIEW, LIVE, DEPRECATED or WITHDRAWN"),
        )),
    }
}

/// A stage to set.
pub(crate) fn new_stage(number: i32, sunset_time: Option<prost_types::Timestamp>) -> Result<NewStage> {
    let outside = |_| Error::invalid("sunset_time", "is out of range: years 1970 to 9999 are accepted");
    let sunset_time = sunset_time.map(|t| Time::try_from(t).map_err(outside)).transpose()?;
    Ok(NewStage { stage: known_stage("stage", number)?, sunset_time })
}

impl From<Stage> for pb::Stage {
    fn from(stage: Stage) -> Self {
        match stage {
            Stage::Alpha => Self::Alpha,
            Stage::Preview => Self::Preview,
            Stage::Live => Self::Live,
            Stage::Deprecated => Self::Deprecated,
            Stage::Withdrawn => Self::Withdrawn,
        }
    }
}

impl From<Format> for pb::MarketplaceFormat {
    fn from(format: Format) -> Self {
        match format {
            Format::Codex => Self::Codex,
            Format::Claude => Self::Claude,
        }
    }
}

impl From<Marketplace> for pb::Marketplace {
    fn from(marketplace: Marketplace) -> Self {
        Self {
            name: marketplace.name(),
            format: pb::MarketplaceFormat::from(marketplace.format).into(),
            plugin_count: marketplace.plugin_count,
            uid: marketplace.id.to_string(),
            create_time: Some(marketplace.create_time.into()),
            update_time: Some(marketplace.update_time.into()),
            display_name: marketplace.display_name,
        }
    }
}

impl From<Plugin> for pb::Plugin {
    fn from(plugin: Plugin) -> Self {
        Self {
            name: plugin.name(),
            stage: pb::Stage::from(plugin.stage).into(),
            sunset_time: plugin.sunset_time.map(Into::into),
            digest: plugin.content_sha256.to_string(),
            apps: plugin.apps.0.into_iter().map(Into::into).collect(),
            skills: plugin.skills.0,
            mcp_servers: plugin.mcp_servers.0.into_iter().map(Into::into).collect(),
            has_hooks: plugin.has_hooks,
            uid: plugin.id.to_string(),
            create_time: Some(plugin.create_time.into()),
            update_time: Some(plugin.update_time.into()),
            delete_time: plugin.delete_time.map(Into::into),
            display_name: plugin.display_name,
            description: plugin.description,
            category: plugin.category,
            version: plugin.version,
        }
    }
}

impl From<App> for pb::App {
    fn from(app: App) -> Self {
        Self { key: app.key, connector_id: app.connector_id, templated: app.templated }
    }
}

impl From<McpServer> for pb::McpServer {
    fn from(server: McpServer) -> Self {
        Self { key: server.key, command: server.command, url: server.url }
    }
}

impl From<Skipped> for pb::SkippedEntry {
    fn from(skipped: Skipped) -> Self {
        Self { entry: skipped.entry, reason: skipped.reason }
    }
}

impl From<ImportReport> for pb::ImportMarketplaceResponse {
    fn from(report: ImportReport) -> Self {
        let marketplace = report.marketplace.name();
        let names = |slugs: Vec<_>| slugs.iter().map(|s| format!("{marketplace}/plugins/{s}")).collect();
        Self {
            plugins: report.plugins,
            apps: report.apps,
            skills: report.skills,
            mcp_servers: report.mcp_servers,
            added: names(report.added),
            changed: names(report.changed),
            removed: names(report.removed),
            skipped: report.skipped.into_iter().map(Into::into).collect(),
            diffs: report
                .diffs
                .into_iter()
                .map(|diff| plugin_diff(format!("{marketplace}/plugins/{}", diff.plugin), diff))
                .collect(),
            marketplace: Some(report.marketplace.into()),
        }
    }
}

/// A diff of the plugin of that name.
pub(crate) fn plugin_diff(plugin: String, diff: PluginDiff) -> pb::PluginDiff {
    let hex = |digest: Option<crate::tree::Digest>| digest.map(|d| d.to_string()).unwrap_or_default();
    pb::PluginDiff {
        plugin,
        kind: pb::DiffKind::from(diff.kind).into(),
        old_digest: hex(diff.old_sha256),
        new_digest: hex(diff.new_sha256),
        changes: diff.changes.into_iter().map(Into::into).collect(),
        omitted_changes: diff.omitted,
    }
}

impl From<DiffKind> for pb::DiffKind {
    fn from(kind: DiffKind) -> Self {
        match kind {
            DiffKind::Added => Self::Added,
            DiffKind::Changed => Self::Changed,
            DiffKind::Removed => Self::Removed,
        }
    }
}

impl From<PluginChange> for pb::PluginChange {
    fn from(change: PluginChange) -> Self {
        Self {
            field: change.field,
            kind: pb::DiffKind::from(change.kind).into(),
            old_value: change.old,
            new_value: change.new,
        }
    }
}
