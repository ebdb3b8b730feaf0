//! Marketplaces, plugins and stages, without any I/O.

use std::collections::BTreeMap;

use kernel::{
    Result,
    audit::Resource,
    clock::Time,
    error::Error,
    ids::{Slug, clip},
    uuid_id,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{diff::PluginDiff, tree::Digest};

uuid_id! {
    /// Identity of a marketplace.
    MarketplaceId;
    /// Identity of a plugin, the same through all its versions.
    PluginId;
    /// Identity of one version of a plugin.
    PluginVersionId;
}

/// The vendor format that a marketplace came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// `.agents/plugins/marketplace.json`.
    Codex,
    /// `.claude-plugin/marketplace.json`.
    Claude,
}

impl Format {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Codex, Self::Claude];

    /// As stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Codex => "codex",
            Self::Claude => "claude",
        }
    }
}

impl TryFrom<String> for Format {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        let known = Self::ALL.into_iter().find(|f| f.as_str() == text);
        known.ok_or_else(|| {
            Error::internal(format!("unknown marketplace format `{}` in the database", clip(&text)))
        })
    }
}

/// How far a plugin version is released.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// For those who build it.
    Alpha,
    /// For those who try it.
    Preview,
    /// For everybody entitled.
    Live,
    /// Works until its sunset, if it has one.
    Deprecated,
    /// Kill switch: nobody may use it.
    Withdrawn,
}

impl Stage {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Alpha, Self::Preview, Self::Live, Self::Deprecated, Self::Withdrawn];

    /// What a stage with that sunset comes to at `now`: what is deprecated counts as withdrawn from its sunset on.
    #[must_use]
    pub fn at(self, sunset: Option<Time>, now: Time) -> Self {
        let over = self == Self::Deprecated && sunset.is_some_and(|sunset| now >= sunset);
        if over { Self::Withdrawn } else { self }
    }

    /// As stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Alpha => "alpha",
            Self::Preview => "preview",
            Self::Live => "live",
            Self::Deprecated => "deprecated",
            Self::Withdrawn => "withdrawn",
        }
    }
}

impl TryFrom<String> for Stage {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        let known = Self::ALL.into_iter().find(|s| s.as_str() == text);
        known.ok_or_else(|| Error::internal(format!("unknown stage `{}` in the database", clip(&text))))
    }
}

/// A stage to set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewStage {
    /// Which one.
    pub stage: Stage,
    /// From when what is deprecated counts as withdrawn.
    pub sunset_time: Option<Time>,
}

impl NewStage {
    /// Refuses a sunset that is over, or of a stage that has none.
    pub fn check(self, now: Time) -> Result<Self> {
        match self.sunset_time {
            Some(_) if self.stage != Stage::Deprecated => {
                Err(Error::invalid("sunset_time", "is for stage DEPRECATED only; leave it out, or deprecate"))
            }
            Some(sunset) if sunset <= now => Err(Error::invalid(
                "sunset_time",
                format!("`{sunset}` is not later than now; to end it at once, set stage WITHDRAWN"),
            )),
            _ => Ok(self),
        }
    }
}

/// A connector that a plugin bundles.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct App {
    /// The vendor's key in the plugin.
    pub key: String,
    /// The vendor's connector id.
    pub connector_id: String,
    /// Whether the connector id is a template that each tenant has to fill.
    pub templated: bool,
}

impl App {
    /// Whether a connector id is a template that each tenant has to fill.
    pub fn is_template(connector_id: &str) -> bool {
        ["REPLACE_WITH_", "templated_apps_"].iter().any(|template| connector_id.starts_with(template))
    }
}

/// An MCP server that a plugin bundles. Nothing of it is ever run here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct McpServer {
    /// The vendor's key in the plugin.
    pub key: String,
    /// Command line of a local server, or empty.
    pub command: String,
    /// Address of a remote server, or empty; both are empty where the vendor leaves the address to the client.
    pub url: String,
}

/// A list that one column holds as canonical JSON.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct JsonList<T>(pub Vec<T>);

impl<T: Serialize> JsonList<T> {
    /// RFC 8785 canonical JSON, as stored.
    pub fn to_text(&self) -> Result<String> {
        serde_json_canonicalizer::to_string(&self.0).map_err(Error::internal)
    }
}

impl<T: DeserializeOwned> TryFrom<String> for JsonList<T> {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        serde_json::from_str(&text).map(Self).map_err(Error::internal)
    }
}

/// A vendor's list of plugins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, sqlx::FromRow)]
pub struct Marketplace {
    /// Identity.
    pub id: MarketplaceId,
    /// Last segment of the name: the vendor's own name in lower case.
    pub slug: Slug,
    /// For people.
    pub display_name: String,
    /// The vendor format.
    #[sqlx(try_from = "String")]
    pub format: Format,
    /// What was imported last; tells a repeated import.
    #[sqlx(try_from = "Vec<u8>")]
    pub content_sha256: Digest,
    /// Plugins in it now.
    pub plugin_count: i64,
    /// First import.
    pub create_time: Time,
    /// Last import that changed something; grows with every one.
    pub update_time: Time,
}

impl Resource for Marketplace {
    const KIND: &'static str = "marketplace";

    fn name(&self) -> String {
        format!("marketplaces/{}", self.slug)
    }
}

/// A plugin with its current version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, sqlx::FromRow)]
pub struct Plugin {
    /// In which marketplace.
    pub marketplace_id: MarketplaceId,
    /// In which marketplace, by id in names.
    pub marketplace_slug: Slug,
    /// Identity.
    pub id: PluginId,
    /// Last segment of the name.
    pub slug: Slug,
    /// For people.
    pub display_name: String,
    /// The vendor's one-line description.
    pub description: String,
    /// The vendor's category.
    pub category: String,
    /// The current version.
    pub version_id: PluginVersionId,
    /// The vendor's version string; may be empty.
    pub version: String,
    /// Release stage of the current version, as it was set.
    #[sqlx(try_from = "String")]
    pub stage: Stage,
    /// From when the current version, deprecated, counts as withdrawn.
    #[serde(default)]
    pub sunset_time: Option<Time>,
    /// Content of the current version.
    #[sqlx(try_from = "Vec<u8>")]
    pub content_sha256: Digest,
    /// Connectors.
    #[sqlx(try_from = "String")]
    pub apps: JsonList<App>,
    /// Skill names, sorted.
    #[sqlx(try_from = "String")]
    pub skills: JsonList<String>,
    /// MCP servers.
    #[sqlx(try_from = "String")]
    pub mcp_servers: JsonList<McpServer>,
    /// Whether it brings hooks.
    pub has_hooks: bool,
    /// First import.
    pub create_time: Time,
    /// Last change; grows with every one, so that it also tells a concurrent change.
    pub update_time: Time,
    /// When the marketplace stopped listing it.
    pub delete_time: Option<Time>,
}

impl Resource for Plugin {
    const KIND: &'static str = "plugin";

    fn name(&self) -> String {
        format!("marketplaces/{}/plugins/{}", self.marketplace_slug, self.slug)
    }
}

impl Plugin {
    /// Keys of the apps whose connector each tenant has to bind, sorted.
    pub fn templated_apps(&self) -> impl Iterator<Item = &str> {
        self.apps.0.iter().filter(|app| app.templated).map(|app| app.key.as_str())
    }

    /// The plugin with its current version in another stage.
    #[must_use]
    pub fn staged(&self, new: NewStage, now: Time) -> Self {
        let NewStage { stage, sunset_time } = new;
        Self { stage, sunset_time, ..self.touched(now) }
    }

    /// The plugin when a version of it was changed.
    #[must_use]
    pub fn touched(&self, now: Time) -> Self {
        Self { update_time: after(now, self.update_time), ..self.clone() }
    }

    /// The stage of the current version.
    pub fn new_stage(&self) -> NewStage {
        NewStage { stage: self.stage, sunset_time: self.sunset_time }
    }

    /// Everything that a word can be found in, in lower case.
    pub fn search_text(&self) -> String {
        let words = [self.slug.as_str(), &self.display_name, &self.description, &self.category];
        let terms = Terms::of(&self.apps.0, &self.skills.0, &self.mcp_servers.0);
        let sets = [terms.app_keys, terms.connector_ids, terms.skill_names, terms.server_keys];
        words.join("\n").to_lowercase() + sets.concat().as_str()
    }
}

/// What a version bundles as lists search it: in lower case, each entry between line breaks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    /// Keys of its apps.
    pub app_keys: String,
    /// Their connector ids.
    pub connector_ids: String,
    /// Its skills.
    pub skill_names: String,
    /// Keys of its MCP servers.
    pub server_keys: String,
}

impl Terms {
    /// Of these parts.
    pub fn of(apps: &[App], skills: &[String], servers: &[McpServer]) -> Self {
        Self {
            app_keys: term_set(apps.iter().map(|app| &app.key)),
            connector_ids: term_set(apps.iter().map(|app| &app.connector_id)),
            skill_names: term_set(skills),
            server_keys: term_set(servers.iter().map(|server| &server.key)),
        }
    }
}

/// Vendors' keys hold no control characters, so that a line break divides them.
fn term_set<'w>(words: impl IntoIterator<Item = &'w String>) -> String {
    let words: Vec<_> = words.into_iter().map(|word| word.to_lowercase()).collect();
    if words.is_empty() { String::new() } else { format!("\n{}\n", words.join("\n")) }
}

/// `now`, or just after `before` where the clock has not moved on: change times of a row grow strictly.
pub fn after(now: Time, before: Time) -> Time {
    now.max(before.plus(std::time::Duration::from_micros(1)))
}

/// A marketplace, as other slices refer to it.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct MarketplaceRef {
    /// Identity.
    pub id: MarketplaceId,
    /// Last segment of its name.
    pub slug: Slug,
}

/// A listed plugin, as other slices refer to it.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct PluginRef {
    /// Identity of its marketplace.
    pub marketplace_id: MarketplaceId,
    /// Identity.
    pub plugin_id: PluginId,
    /// Last segment of its marketplace's name.
    pub marketplace_slug: Slug,
    /// Last segment of its name.
    pub plugin_slug: Slug,
    /// Release stage of the current version, as it was set.
    #[sqlx(try_from = "String")]
    pub stage: Stage,
    /// From when the current version, deprecated, counts as withdrawn.
    pub sunset_time: Option<Time>,
}

/// An entry of a marketplace, or a part of a plugin, that was left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skipped {
    /// What it calls itself.
    pub entry: String,
    /// Why, and what to do.
    pub reason: String,
}

/// What an import made of a plugin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// Whether the marketplace lists it.
    pub listed: bool,
    /// Release stage of its current version.
    pub stage: Stage,
    /// From when the current version, deprecated, counts as withdrawn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sunset_time: Option<Time>,
    /// When; grows with every change of the plugin.
    pub update_time: Time,
    /// Keys of the apps whose connector each tenant has to bind.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub templated: Vec<String>,
}

/// What an import made of some plugins, as the record keeps it: enough to say what was listed, and how far released, at
/// any time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listing {
    /// By id.
    pub plugins: BTreeMap<Slug, Listed>,
}

impl Listing {
    /// Most plugins in one, so that the record keeps it whole.
    pub const MAX: usize = 128;
    /// Most bytes of keys of apps in one, for the same reason; those of one plugin stay together.
    const MAX_KEYS: usize = 8 * 1024;

    /// What became of `plugins`, in parts that the record keeps whole.
    pub fn split(plugins: &[&Plugin]) -> Vec<Self> {
        let (mut parts, mut part, mut keys) = (Vec::new(), BTreeMap::new(), 0);
        for plugin in plugins {
            let listed = Listed {
                listed: plugin.delete_time.is_none(),
                stage: plugin.stage,
                sunset_time: plugin.sunset_time,
                update_time: plugin.update_time,
                templated: plugin.templated_apps().map(str::to_owned).collect(),
            };
            let more: usize = listed.templated.iter().map(String::len).sum();
            if part.len() == Self::MAX || (keys + more > Self::MAX_KEYS && !part.is_empty()) {
                parts.push(Self { plugins: std::mem::take(&mut part) });
                keys = 0;
            }
            keys += more;
            part.insert(plugin.slug.clone(), listed);
        }
        if !part.is_empty() {
            parts.push(Self { plugins: part });
        }
        parts
    }
}

/// What one import did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportReport {
    /// The marketplace after the import.
    pub marketplace: Marketplace,
    /// Plugins listed with content in the directory.
    pub plugins: i64,
    /// Their apps.
    pub apps: i64,
    /// Their skills.
    pub skills: i64,
    /// Their MCP servers.
    pub mcp_servers: i64,
    /// Slugs of plugins that were not there before.
    pub added: Vec<Slug>,
    /// Slugs of plugins whose content is new.
    pub changed: Vec<Slug>,
    /// Slugs of plugins that are no longer listed.
    pub removed: Vec<Slug>,
    /// What was left out.
    pub skipped: Vec<Skipped>,
    /// What exactly is new in `added`, `changed` and `removed`, in that order.
    #[serde(default)]
    pub diffs: Vec<PluginDiff>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_words_read_back_and_others_are_refused() {
        for stage in Stage::ALL {
            assert_eq!(Stage::try_from(stage.as_str().to_owned()).unwrap(), stage);
        }
        for format in Format::ALL {
            assert_eq!(Format::try_from(format.as_str().to_owned()).unwrap(), format);
        }
        assert!(Stage::try_from("LIVE".to_owned()).is_err());
        assert!(Format::try_from(String::new()).is_err());
    }

    #[test]
    fn a_listing_is_split_so_that_the_record_keeps_it_whole() {
        let plugin = |at: usize, apps: usize| Plugin {
            marketplace_id: MarketplaceId(uuid::Uuid::nil()),
            marketplace_slug: Slug::parse("id", "vendor").unwrap(),
            id: PluginId(uuid::Uuid::nil()),
            slug: Slug::parse("id", &format!("p{at}")).unwrap(),
            display_name: String::new(),
            description: String::new(),
            category: String::new(),
            version_id: PluginVersionId(uuid::Uuid::nil()),
            version: String::new(),
            stage: Stage::Live,
            sunset_time: None,
            content_sha256: Digest::try_from(vec![0; 32]).unwrap(),
            apps: JsonList(
                (0..apps)
                    .map(|n| App {
                        key: format!("{n:0128}"),
                        connector_id: "REPLACE_WITH_x".to_owned(),
                        templated: n % 2 == 0,
                    })
                    .collect(),
            ),
            skills: JsonList(Vec::new()),
            mcp_servers: JsonList(Vec::new()),
            has_hooks: false,
            create_time: Time::from_micros(1),
            update_time: Time::from_micros(1),
            delete_time: None,
        };
        let sizes = |plugins: Vec<Plugin>| -> Vec<_> {
            let parts = Listing::split(&plugins.iter().collect::<Vec<_>>());
            assert!(parts.iter().all(|part| serde_json::to_string(part).unwrap().len() < 30_000));
            parts.iter().map(|part| part.plugins.len()).collect()
        };
        assert_eq!(sizes(Vec::new()), [0; 0]);
        assert_eq!(sizes((0..257).map(|at| plugin(at, 0)).collect()), [128, 128, 1]);
        // 32 keys of 128 bytes are half of what fits
        assert_eq!(sizes((0..5).map(|at| plugin(at, 64)).collect()), [2, 2, 1]);
        let mixed = plugin(0, 3);
        assert_eq!(Listing::split(&[&mixed])[0].plugins[&mixed.slug].templated.len(), 2, "templates alone");
    }

    #[test]
    fn a_sunset_is_of_what_is_deprecated_and_counts_from_its_instant_on() {
        let (early, sunset) = (Time::from_micros(5), Time::from_micros(9));
        for stage in Stage::ALL {
            assert_eq!((stage.at(None, sunset), stage.at(Some(sunset), early)), (stage, stage));
            let over = stage.at(Some(sunset), sunset);
            assert_eq!(over, if stage == Stage::Deprecated { Stage::Withdrawn } else { stage });
            let new = |sunset_time| NewStage { stage, sunset_time }.check(early).is_ok();
            assert_eq!((new(None), new(Some(sunset))), (true, stage == Stage::Deprecated));
            assert!(!new(Some(early)), "it is over already");
        }
    }

    #[test]
    fn change_times_grow_even_when_the_clock_stands_or_goes_back() {
        let (early, late) = (Time::from_micros(5), Time::from_micros(9));
        assert_eq!(after(late, early), late);
        assert_eq!(after(late, late), Time::from_micros(10));
        assert_eq!(after(early, late), Time::from_micros(10));
    }
}
