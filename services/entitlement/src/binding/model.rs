//! What a connector binding is, without any I/O.

use catalog::model::{App, JsonList, MarketplaceId, Plugin, PluginId};
use kernel::{
    Error, Result,
    audit::Resource,
    check::Checks,
    clock::Time,
    ids::{Slug, TenantId, clip},
    scope::TenantRef,
    stamp, uuid_id,
};
use serde::{Deserialize, Serialize};

uuid_id! {
    /// Identity of a connector binding.
    BindingId;
}

/// Longest connector id, in bytes. Most credentials are longer, and have characters that are refused.
pub const MAX_CONNECTOR: usize = 128;

/// Whether a binding counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// The plugin asks for this connector.
    Active,
    /// It does not.
    Orphaned,
}

/// A connector of the client's own, in the place that a plugin keeps for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Binding {
    /// Whose.
    pub tenant_id: TenantId,
    /// Whose, by id in names.
    pub tenant_slug: Slug,
    /// Identity.
    pub id: BindingId,
    /// Last segment of the name.
    pub slug: Slug,
    /// Marketplace of the plugin.
    pub marketplace_id: MarketplaceId,
    /// The plugin.
    pub plugin_id: PluginId,
    /// The same, as a name.
    pub plugin: String,
    /// The vendor's key of the app.
    pub app: String,
    /// The client's connector.
    pub connector_id: String,
    /// Whether it counts.
    pub state: State,
    /// Counts changes, from 1.
    pub revision: i64,
    /// When it was created.
    pub create_time: Time,
    /// When it last changed.
    pub update_time: Time,
}

/// What a caller says of a new binding.
#[derive(Clone, Debug)]
pub struct NewBinding {
    /// Last segment of the name; empty lets the server choose.
    pub id: String,
    /// Name of the plugin.
    pub plugin: String,
    /// The vendor's key of the app.
    pub app: String,
    /// The client's connector.
    pub connector_id: String,
}

impl Resource for Binding {
    const KIND: &'static str = "connector_binding";

    fn name(&self) -> String {
        name(&self.tenant_slug, self.slug.as_str())
    }
}

/// The name of a tenant's binding.
pub fn name(tenant: &Slug, slug: &str) -> String {
    format!("tenants/{tenant}/connectorBindings/{slug}")
}

impl State {
    /// Of a binding of `app`, given the apps of the plugin's current version; of a plugin that is not listed: none.
    pub fn of(app: &str, apps: &JsonList<App>) -> Self {
        if apps.0.iter().any(|a| a.templated && a.key == app) { Self::Active } else { Self::Orphaned }
    }
}

/// The apps among `templated` that no binding is there for, in their order.
pub fn missing<'a>(
    templated: impl Iterator<Item = &'a str>,
    is_bound: impl Fn(&str) -> bool,
) -> impl Iterator<Item = &'a str> {
    templated.filter(move |app| !is_bound(app))
}

/// Refuses an app of a listed plugin that has nothing to bind.
pub fn bindable(plugin: &Plugin, app: &str) -> Result<()> {
    let part = || format!("{}/apps/{}", plugin.name(), clip(app));
    let found = plugin.apps.0.iter().find(|found| found.key == app);
    let found = found.ok_or_else(|| Error::not_found("app", part()))?;
    if found.templated {
        return Ok(());
    }
    let own = clip(&found.connector_id);
    let message = format!(
        "`{}` brings its own connector `{own}`; only a connector id that is a template can be bound",
        part()
    );
    Err(Error::illegal_state(part(), message))
}

impl Binding {
    /// A new binding for an app of a listed plugin.
    pub fn create(
        tenant: &TenantRef,
        new: NewBinding,
        plugin: &Plugin,
        id: BindingId,
        now: Time,
    ) -> Result<Self> {
        bindable(plugin, &new.app)?;
        let slug = if new.id.is_empty() { derived_slug(id) } else { new.id };
        let binding = Self {
            tenant_id: tenant.id,
            tenant_slug: tenant.slug.clone(),
            id,
            slug: Slug::parse("connector_binding_id", &slug)?,
            marketplace_id: plugin.marketplace_id,
            plugin_id: plugin.id,
            plugin: new.plugin,
            app: new.app,
            connector_id: new.connector_id,
            state: State::Active,
            revision: 1,
            create_time: now,
            update_time: now,
        };
        binding.checked()
    }

    /// The binding with another connector.
    pub fn patched(&self, connector_id: Option<String>, now: Time) -> Result<Self> {
        let binding = Self {
            connector_id: connector_id.unwrap_or_else(|| self.connector_id.clone()),
            revision: self.revision + 1,
            update_time: now.max(self.update_time),
            ..self.clone()
        };
        binding.checked()
    }

    /// The etag.
    pub fn etag(&self) -> String {
        stamp::etag(self.revision)
    }

    /// Refuses a stale etag; an empty one is not checked.
    pub fn matches(&self, etag: &str) -> Result<()> {
        if etag.is_empty() || etag == self.etag() {
            Ok(())
        } else {
            Err(Error::EtagStale { name: self.name() })
        }
    }

    fn checked(self) -> Result<Self> {
        check_connector(&self.connector_id).map(|()| self)
    }
}

/// Refuses what is no identifier of a connector.
pub fn check_connector(id: &str) -> Result<()> {
    const FIELD: &str = "connector_binding.connector_id";
    let inside = |c: char| c.is_ascii_alphanumeric() || "._:/@-".contains(c);
    let well = id.starts_with(|c: char| c.is_ascii_alphanumeric()) && id.chars().all(inside);
    let mut checks = Checks::new();
    checks.that(
        FIELD,
        well && id.len() <= MAX_CONNECTOR,
        format!(
            "`{}` is not a connector id: use 1 to {MAX_CONNECTOR} of `A-Z a-z 0-9 . _ : / @ -`, starting with a letter or digit",
            clip(id)
        ),
    );
    checks.that(
        FIELD,
        !App::is_template(id),
        format!("`{}` is a template itself; give the id of the client's own connector", clip(id)),
    );
    checks.done()
}

/// `b-` and the last twelve hex digits of the id: the part that does not say when it was made.
fn derived_slug(id: BindingId) -> String {
    let hex = id.0.simple().to_string();
    format!("b-{}", hex.get(20..).unwrap_or(&hex))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connector_id_is_an_identifier_and_no_secret_or_template() {
        let longest = "c".repeat(MAX_CONNECTOR);
        for good in ["c", "asdk_app_69c5", "connector:acme/sales@eu-1.v2", "7", &longest] {
            assert!(check_connector(good).is_ok(), "{good}");
        }
        let long = "c".repeat(MAX_CONNECTOR + 1);
        let bad = [
            "",
            " ",
            "a b",
            "a\n",
            "a\0",
            "-a",
            "_a",
            "größe",
            "クラウド",
            "key=value",
            "Bearer x",
            "a+b==",
            "REPLACE_WITH_ACME",
            "templated_apps_6a29",
            &long,
        ];
        for bad in bad {
            assert!(matches!(check_connector(bad), Err(Error::Invalid(_))), "{bad}");
        }
    }

    #[test]
    fn a_binding_counts_while_the_plugin_has_the_app_as_a_template() {
        let app = |key: &str, templated| App { key: key.to_owned(), connector_id: "x".to_owned(), templated };
        let apps = JsonList(vec![app("crm", true), app("mail", false)]);
        assert_eq!(State::of("crm", &apps), State::Active);
        for gone in ["mail", "chat", "CRM", ""] {
            assert_eq!(State::of(gone, &apps), State::Orphaned, "{gone}");
        }
        assert_eq!(State::of("crm", &JsonList(Vec::new())), State::Orphaned);
    }

    #[test]
    fn what_is_missing_is_every_template_without_a_binding() {
        let missing = |bound: &[&str]| {
            missing(["a", "b", "c"].into_iter(), |app| bound.contains(&app)).collect::<Vec<_>>()
        };
        assert_eq!(missing(&[]), ["a", "b", "c"]);
        assert_eq!(missing(&["b", "other"]), ["a", "c"]);
        assert!(missing(&["c", "b", "a"]).is_empty());
    }
}
