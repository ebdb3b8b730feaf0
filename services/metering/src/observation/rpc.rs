//! Observations on the wire. The service they are part of is usage's.

use kernel::db::list::Page;
use proto::usage::v1 as pb;

use super::model::{PluginSighting, SettingsObservation, UnapprovedPlugin};

/// Full name of a principal of `tenant`; empty for nobody.
fn principal(tenant: &str, slug: &str) -> String {
    if slug.is_empty() { String::new() } else { format!("{tenant}/principals/{slug}") }
}

fn unapproved(plugin: UnapprovedPlugin) -> pb::UnapprovedPlugin {
    pb::UnapprovedPlugin {
        plugin: plugin.plugin,
        plugin_hash: plugin.plugin_hash,
        client: plugin.client,
        principal_count: plugin.principal_count,
        first_time: Some(plugin.first_time.into()),
        last_time: Some(plugin.last_time.into()),
    }
}

fn sighting(tenant: &str, sighting: PluginSighting) -> pb::PluginSighting {
    pb::PluginSighting {
        principal: principal(tenant, &sighting.principal),
        client: sighting.client,
        plugin: sighting.plugin,
        plugin_hash: sighting.plugin_hash,
        catalog_plugin: sighting.catalog_plugin,
        bundled: sighting.bundled,
        version: sighting.version,
        first_time: Some(sighting.first_time.into()),
        last_time: Some(sighting.last_time.into()),
    }
}

fn settings(tenant: &str, settings: SettingsObservation) -> pb::SettingsObservation {
    let drift = match &settings.served_sha256 {
        Some(served) if settings.resolved_sha256.is_empty() || served.is_empty() => {
            pb::SettingsDrift::Unknown
        }
        Some(served) if *served == settings.resolved_sha256 => pb::SettingsDrift::None,
        Some(_) => pb::SettingsDrift::Drifted,
        None => pb::SettingsDrift::Unknown,
    };
    pb::SettingsObservation {
        principal: principal(tenant, &settings.principal),
        client: settings.client,
        resolved_sha256: settings.resolved_sha256,
        served_sha256: settings.served_sha256.unwrap_or_default(),
        drift: drift.into(),
        sources: settings.sources,
        helper_state: settings.helper_state,
        first_time: Some(settings.first_time.into()),
        last_time: Some(settings.last_time.into()),
    }
}

/// As answered.
pub fn unapproved_page(page: Page<UnapprovedPlugin>) -> pb::ListUnapprovedPluginsResponse {
    let page = page.map(unapproved);
    pb::ListUnapprovedPluginsResponse {
        unapproved_plugins: page.items,
        next_page_token: page.next_page_token,
    }
}

/// As answered about `tenant`.
pub fn sighting_page(tenant: &str, page: Page<PluginSighting>) -> pb::ListPluginSightingsResponse {
    let page = page.map(|one| sighting(tenant, one));
    pb::ListPluginSightingsResponse { plugin_sightings: page.items, next_page_token: page.next_page_token }
}

/// As answered about `tenant`.
pub fn settings_page(tenant: &str, page: Page<SettingsObservation>) -> pb::ListSettingsObservationsResponse {
    let page = page.map(|one| settings(tenant, one));
    pb::ListSettingsObservationsResponse {
        settings_observations: page.items,
        next_page_token: page.next_page_token,
    }
}
