//! A version, without any I/O.

use kernel::{
    Result,
    audit::Resource,
    clock::Time,
    error::Error,
    ids::{Slug, clip},
    name,
};
use serde::{Deserialize, Serialize};

use crate::{
    model::{App, JsonList, MarketplaceId, McpServer, NewStage, PluginId, PluginVersionId, Stage},
    tree::Digest,
};

/// Hex digits of the digest in a name.
const ID_DIGITS: usize = 32;
/// Fewest hex digits that name a version.
const MIN_DIGITS: usize = 8;

/// One content that a plugin has or had.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, sqlx::FromRow)]
pub struct PluginVersion {
    /// In which marketplace.
    pub marketplace_id: MarketplaceId,
    /// In which marketplace, by id in names.
    pub marketplace_slug: Slug,
    /// Of which plugin.
    pub plugin_id: PluginId,
    /// Of which plugin, by id in names.
    pub plugin_slug: Slug,
    /// Identity.
    pub id: PluginVersionId,
    /// The content.
    #[sqlx(try_from = "Vec<u8>")]
    pub content_sha256: Digest,
    /// The vendor's version string; may be empty.
    pub version: String,
    /// Release stage, as it was set.
    #[sqlx(try_from = "String")]
    pub stage: Stage,
    /// From when it, deprecated, counts as withdrawn.
    pub sunset_time: Option<Time>,
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
    /// Whether it is the plugin's current version.
    pub is_current: bool,
    /// First import.
    pub create_time: Time,
}

impl Resource for PluginVersion {
    const KIND: &'static str = "plugin_version";

    fn name(&self) -> String {
        let digits: String = self.content_sha256.to_string().chars().take(ID_DIGITS).collect();
        format!("marketplaces/{}/plugins/{}/versions/{digits}", self.marketplace_slug, self.plugin_slug)
    }
}

impl PluginVersion {
    /// The version in another stage.
    #[must_use]
    pub fn staged(&self, new: NewStage) -> Self {
        Self { stage: new.stage, sunset_time: new.sunset_time, ..self.clone() }
    }
}

/// What a name says of a version: its plugin, and the first digits of its digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// In which marketplace.
    pub marketplace: Slug,
    /// Of which plugin.
    pub plugin: Slug,
    /// The least digest that begins so.
    pub least: Digest,
    /// The greatest.
    pub greatest: Digest,
}

impl Named {
    /// From `marketplaces/{m}/plugins/{p}/versions/{digits}`.
    pub fn parse(field: &str, text: &str) -> Result<Self> {
        // a digest has one digit more than an id; it names the same without its last
        let digits = text.rsplit('/').next().unwrap_or_default();
        let text =
            if digits.len() == 64 && digits.is_ascii() { text.get(..text.len() - 1) } else { Some(text) };
        let text = text.unwrap_or_default();
        let [marketplace, plugin, digits] =
            name::parse(field, "marketplaces/{}/plugins/{}/versions/{}", text)?;
        let bounds = bounds(digits.as_str()).ok_or_else(|| {
            let why = format!("`{}` is not 8 to 64 first hex digits of a digest", clip(digits.as_str()));
            Error::invalid(field, why)
        });
        let (least, greatest) = bounds?;
        Ok(Self { marketplace, plugin, least, greatest })
    }
}

/// The least and the greatest digest that begin with `digits`.
fn bounds(digits: &str) -> Option<(Digest, Digest)> {
    if digits.len() < MIN_DIGITS {
        return None;
    }
    let (mut least, mut greatest) = ([0; 32], [0; 32]);
    for (at, (low, high)) in least.iter_mut().zip(&mut greatest).enumerate() {
        let digit = |place: usize, missing: u32| match digits.as_bytes().get(place) {
            None => Some(missing),
            Some(byte) => char::from(*byte).to_digit(16),
        };
        let byte = |missing| {
            let (first, second) = (digit(2 * at, missing)?, digit(2 * at + 1, missing)?);
            u8::try_from(first * 16 + second).ok()
        };
        (*low, *high) = (byte(0)?, byte(15)?);
    }
    Some((Digest(least), Digest(greatest)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(digits: &str) -> Result<Named> {
        Named::parse("name", &format!("marketplaces/m/plugins/p/versions/{digits}"))
    }

    #[test]
    fn first_digits_stand_for_every_digest_that_begins_so() {
        let found = named("0123abcde").unwrap();
        assert!(found.least.to_string().starts_with("0123abcde000"), "{}", found.least);
        assert!(found.greatest.to_string().starts_with("0123abcdefff"), "{}", found.greatest);
        let whole = "ab".repeat(32);
        let found = named(&whole).unwrap();
        assert!(found.least.to_string() <= whole && whole <= found.greatest.to_string());
        for bad in ["", "0123abc", "0123abcg", "0123ABCD", &"0".repeat(65), &"é".repeat(32), "latest"] {
            assert!(named(bad).is_err(), "{bad}");
        }
    }
}
