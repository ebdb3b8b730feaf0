//! Sightings of plugins and of managed settings, pure.

use kernel::{clock::Time, hash::telemetry_hash, ids::PrincipalId, uuid_id};

uuid_id! {
    /// Identity of a plugin that somebody's assistant told of.
    SeenPluginId;
    /// Identity of a sighting.
    SightingId;
    /// Identity of an observation of settings.
    SettingsId;
}

/// How an assistant names a plugin or marketplace that it keeps to itself.
const REDACTED: &str = "third-party";
/// Hex digits of a plugin's hash.
const HASH: usize = 16;
/// Hex digits of a SHA-256.
const SHA256: usize = 64;
/// Longest name of a plugin, `plugin@marketplace`, that is kept, in bytes.
const MAX_NAME: usize = 256;
/// Longest version, or list of sources, that is kept, in bytes.
const MAX_TEXT: usize = 128;

/// What an event says besides what is counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Observation {
    /// Somebody has a plugin.
    Plugin(PluginSeen),
    /// An assistant worked out its managed settings.
    Settings(SettingsSeen),
}

/// A plugin as an assistant tells of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PluginSeen {
    /// Which one: see [`telemetry_hash`].
    pub hash: String,
    /// `plugin@marketplace`; empty where the assistant keeps it to itself.
    pub plugin: String,
    /// Its version; empty where it is not told.
    pub version: String,
    /// Whether it comes with the assistant.
    pub bundled: bool,
}

impl PluginSeen {
    /// One that is named: `finance-close@acme`.
    pub fn named(plugin: &str, version: &str) -> Option<Self> {
        let (name, marketplace) = plugin.rsplit_once('@')?;
        let fits = !name.is_empty() && !marketplace.is_empty() && plugin.len() <= MAX_NAME;
        fits.then(|| Self {
            hash: telemetry_hash(name, marketplace),
            plugin: format!("{name}@{}", marketplace.to_lowercase()),
            version: short(version),
            bundled: false,
        })
    }

    /// One with a hash, and perhaps with names. Names that do not make the hash are not its names.
    pub fn hashed(hash: &str, name: &str, marketplace: &str, version: &str) -> Option<Self> {
        let named = match (name, marketplace) {
            ("" | REDACTED, _) | (_, "" | REDACTED) => None,
            _ => Self::named(&format!("{name}@{marketplace}"), version),
        };
        if hash.is_empty() {
            return named;
        }
        let known = named.filter(|named| named.hash == hash);
        let bare =
            || Self { hash: hash.to_owned(), plugin: String::new(), version: short(version), bundled: false };
        is_hex(hash, HASH).then(|| known.unwrap_or_else(bare))
    }

    /// Whether it is known by name.
    pub fn is_named(&self) -> bool {
        !self.plugin.is_empty()
    }
}

/// Managed settings as an assistant worked them out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingsSeen {
    /// SHA-256 of the outcome, in lower-case hex; empty where the assistant is not told to say.
    pub resolved_sha256: String,
    /// Where they came from: `file`, `remote`.
    pub sources: String,
    /// How the helper fared that hands them out: `ok`, `none`.
    pub helper_state: String,
}

impl SettingsSeen {
    /// What is no digest is none.
    pub fn new(resolved_sha256: &str, sources: &str, helper_state: &str) -> Self {
        let digest = if is_hex(resolved_sha256, SHA256) { resolved_sha256 } else { "" };
        Self {
            resolved_sha256: digest.to_owned(),
            sources: short(sources),
            helper_state: short(helper_state),
        }
    }
}

fn is_hex(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

/// What is too long is no such thing.
fn short(text: &str) -> String {
    if text.len() <= MAX_TEXT { text.to_owned() } else { String::new() }
}

/// An observation and who made it when.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'o> {
    /// Whose assistant; none for a tenant's own token.
    pub principal: Option<PrincipalId>,
    /// Which assistant.
    pub client: &'o str,
    /// When.
    pub time: Time,
    /// What.
    pub observation: &'o Observation,
}

/// A plugin that a tenant's people have and that no marketplace of the catalogue lists.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct UnapprovedPlugin {
    /// The assistant that told of it.
    pub client: String,
    /// Which one.
    pub plugin_hash: String,
    /// `plugin@marketplace`; empty where the assistant keeps it to itself.
    pub plugin: String,
    /// With how many principals it was seen.
    pub principal_count: i64,
    /// When first.
    pub first_time: Time,
    /// When last.
    pub last_time: Time,
}

/// A plugin with somebody.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct PluginSighting {
    /// Last segment of the principal's name; empty for a tenant's own token.
    pub principal: String,
    /// The assistant.
    pub client: String,
    /// Which plugin.
    pub plugin_hash: String,
    /// `plugin@marketplace`; empty where it is not known.
    pub plugin: String,
    /// Name of the catalogue's plugin; empty where there is none.
    pub catalog_plugin: String,
    /// Whether it comes with the assistant.
    pub bundled: bool,
    /// Its version; empty where it was not told.
    pub version: String,
    /// When first.
    pub first_time: Time,
    /// When last.
    pub last_time: Time,
}

/// Managed settings that somebody's assistant worked out.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct SettingsObservation {
    /// Last segment of the principal's name; empty for a tenant's own token.
    pub principal: String,
    /// The assistant.
    pub client: String,
    /// SHA-256 of the outcome; empty where it was not told.
    pub resolved_sha256: String,
    /// SHA-256 of what was served; none while that is not known.
    pub served_sha256: Option<String>,
    /// Where they came from.
    pub sources: String,
    /// How the helper fared.
    pub helper_state: String,
    /// When first.
    pub first_time: Time,
    /// When last.
    pub last_time: Time,
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH_OF_KIT: &str = "d997de49227db427";

    #[test]
    fn a_plugin_is_the_same_by_name_and_by_hash() {
        let named = PluginSeen::named("sales-kit@ACME-client-catalog", "1.2.0").unwrap();
        assert_eq!(
            (named.hash.as_str(), named.plugin.as_str()),
            (HASH_OF_KIT, "sales-kit@acme-client-catalog")
        );
        let told = PluginSeen::hashed(HASH_OF_KIT, "sales-kit", "acme-client-catalog", "1.2.0").unwrap();
        assert_eq!(told, named);
        let kept = PluginSeen::hashed(HASH_OF_KIT, "third-party", "third-party", "").unwrap();
        assert_eq!((kept.hash.as_str(), kept.plugin.as_str()), (HASH_OF_KIT, ""));
    }

    #[test]
    fn names_that_do_not_make_the_hash_are_dropped_and_what_is_no_hash_is_none() {
        let lies = PluginSeen::hashed(HASH_OF_KIT, "other-kit", "acme-client-catalog", "").unwrap();
        assert!(!lies.is_named() && lies.hash == HASH_OF_KIT);
        for bad in ["D997DE49227DB427", "d997de49227db42", "g997de49227db427", "d997de49227db427 "] {
            assert_eq!(PluginSeen::hashed(bad, "sales-kit", "acme-client-catalog", ""), None, "{bad}");
        }
        for bad in ["", "kit", "@acme", "kit@", &format!("{}@m", "k".repeat(256))] {
            assert_eq!(PluginSeen::named(bad, ""), None, "{bad}");
        }
        assert_eq!(PluginSeen::hashed("", "third-party", "third-party", ""), None);
    }

    #[test]
    fn what_is_no_digest_of_settings_is_left_out() {
        let digest = "c8708c662e01f7868ab1ae2b83a0df70324ec14fbd83c1eca0b2369790d0ac96";
        assert_eq!(SettingsSeen::new(digest, "file", "ok").resolved_sha256, digest);
        assert_eq!(SettingsSeen::new("/opt/acme/settings.json", &"x".repeat(129), "ok").resolved_sha256, "");
    }
}
