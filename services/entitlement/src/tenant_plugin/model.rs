//! What a plugin is to a tenant, without any I/O.

use std::collections::HashSet;

use catalog::model::{App, JsonList, Stage};
use kernel::{
    Error, Result,
    clock::Time,
    ids::{Slug, clip},
    name,
};

use crate::{
    binding::model::missing,
    stage_override::model::{self as stage_override, effective},
};

/// A listed plugin as a tenant has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TenantPlugin {
    /// Its name in the tenant.
    pub name: String,
    /// Its name in the catalogue.
    pub plugin: String,
    /// The platform's stage.
    pub platform_stage: Stage,
    /// The stage that counts.
    pub stage: Stage,
    /// Name of the tenant's override.
    pub stage_override: Option<String>,
    /// Keys of the apps that need a connector and have none, sorted.
    pub missing_apps: Vec<String>,
}

/// A listed plugin with the tenant's override of it.
#[derive(sqlx::FromRow)]
pub struct Listed {
    /// Last segment of its marketplace's name.
    pub marketplace: String,
    /// Last segment of its name.
    pub plugin: String,
    /// The platform's stage of its current version.
    #[sqlx(try_from = "String")]
    pub stage: Stage,
    /// From when it counts as withdrawn.
    pub sunset_time: Option<Time>,
    /// Its apps.
    #[sqlx(try_from = "String")]
    pub apps: JsonList<App>,
    /// Last segment of the override's name.
    pub override_slug: Option<String>,
    /// The override's stage.
    pub override_stage: Option<String>,
}

/// The apps that a tenant has bound, by name of the plugin and key.
#[derive(Clone, Debug, Default)]
pub struct Bound(pub HashSet<(String, String)>);

impl Bound {
    fn has(&self, plugin: &str, app: &str) -> bool {
        self.0.contains(&(plugin.to_owned(), app.to_owned()))
    }
}

/// Which ones are asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wish {
    /// Only of this marketplace.
    pub marketplace: Option<Slug>,
    /// Only those that are ready, or that are not.
    pub is_ready: Option<bool>,
}

impl Wish {
    /// Name of a marketplace, or empty for all.
    pub fn new(marketplace: &str, is_ready: Option<bool>) -> Result<Self> {
        let form = |text: &str| {
            let [slug] = name::parse("marketplace", "marketplaces/{}", text)?;
            Ok::<_, Error>(slug)
        };
        let marketplace = Some(marketplace).filter(|text| !text.is_empty()).map(form).transpose()?;
        Ok(Self { marketplace, is_ready })
    }

    /// What the list of them is called.
    pub const fn list_name(&self) -> &'static str {
        match self.is_ready {
            None => "plugins of tenants",
            Some(true) => "ready plugins of tenants",
            Some(false) => "plugins of tenants that are not ready",
        }
    }

    /// Whether a plugin is among them.
    pub fn wants(&self, plugin: &TenantPlugin) -> bool {
        self.is_ready.is_none_or(|is_ready| is_ready == plugin.is_ready())
    }
}

impl TenantPlugin {
    /// From what is stored and which of the plugin's apps are bound, at `now`.
    pub fn new(tenant: &Slug, listed: Listed, bound: &Bound, now: Time) -> Result<Self> {
        let plugin = format!("marketplaces/{}/plugins/{}", listed.marketplace, listed.plugin);
        let templated = listed.apps.0.iter().filter(|app| app.templated).map(|app| app.key.as_str());
        let mut missing_apps: Vec<_> =
            missing(templated, |app| bound.has(&plugin, app)).map(str::to_owned).collect();
        missing_apps.sort_unstable();
        let own = listed.override_stage.map(Stage::try_from).transpose()?;
        let platform_stage = listed.stage.at(listed.sunset_time, now);
        Ok(Self {
            name: format!("tenants/{tenant}/{plugin}"),
            platform_stage,
            stage: effective(platform_stage, own),
            stage_override: listed.override_slug.map(|slug| stage_override::name(tenant, &slug)),
            missing_apps,
            plugin,
        })
    }

    /// Whether nothing is missing.
    pub fn is_ready(&self) -> bool {
        self.missing_apps.is_empty()
    }
}

/// The tenant's name and the plugin's of `tenants/{t}/marketplaces/{m}/plugins/{p}`.
pub fn parse(text: &str) -> Result<(String, String)> {
    let forms = "tenants/{}/marketplaces/{}/plugins/{}";
    let [tenant, marketplace, plugin] = name::parse("name", forms, text)?;
    Ok((format!("tenants/{tenant}"), format!("marketplaces/{marketplace}/plugins/{plugin}")))
}

/// That there is no such plugin.
pub fn unknown(name: &str) -> Error {
    Error::not_found("plugin", clip(name))
}
