//! Words of the files.

use std::{collections::BTreeMap, fmt, marker::PhantomData};

use jiff::Timestamp;
use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, Visitor},
};

use crate::{decide::Reason, model::Target};

/// Why a file cannot be used: what is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct FileError(pub String);

/// A moment: RFC 3339, in microseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Moment(pub i64);

impl TryFrom<String> for Moment {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let time: Timestamp =
            text.parse().map_err(|_| format!("`{text}` is no time; write `2026-11-05T10:30:00Z`"))?;
        Ok(Self(time.as_microsecond()))
    }
}

/// A reason, as it is written everywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct ReasonWord(pub Reason);

impl TryFrom<String> for ReasonWord {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let found = Reason::ALL.into_iter().find(|reason| reason.as_str() == text);
        let all = || Reason::ALL.map(Reason::as_str).join(", ");
        found.map(Self).ok_or_else(|| format!("`{text}` is no reason; write one of {}", all()))
    }
}

/// A principal: `user:ann`, `service:…`, `agent:…`, or the id alone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(from = "String")]
pub struct Who(pub String);

impl From<String> for Who {
    fn from(text: String) -> Self {
        match text.split_once(':') {
            Some(("user" | "service" | "agent" | "principal", id)) => Self(id.to_owned()),
            _ => Self(text),
        }
    }
}

/// Something that is asked for or spoken of; see [`target`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct What(pub Target);

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Target::Plugin(id) => f.write_str(id),
            Target::Marketplace(id) => write!(f, "marketplace:{id}"),
            Target::PluginGroup(id) => write!(f, "group:{id}"),
            Target::App { plugin, app } => write!(f, "{plugin}/apps/{app}"),
            Target::Skill { plugin, skill } => write!(f, "{plugin}/skills/{skill}"),
        }
    }
}

impl TryFrom<String> for What {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        target(&text).map(Self).ok_or_else(|| {
            format!(
                "`{text}` is no target; write `PLUGIN`, `PLUGIN/apps/KEY`, `PLUGIN/skills/SKILL`, `marketplace:ID` or `group:ID`"
            )
        })
    }
}

/// What `text` stands for: `PLUGIN`, also as `plugin:PLUGIN` or `marketplaces/M/plugins/P`, with `/apps/KEY` or
/// `/skills/SKILL` for a part of it; `marketplace:ID` or `marketplaces/ID`; `group:ID`. None where it stands for nothing.
pub fn target(text: &str) -> Option<Target> {
    if let Some(id) = text.strip_prefix("marketplace:") {
        return filled(id).map(Target::Marketplace);
    }
    if let Some(id) = text.strip_prefix("group:") {
        return filled(id).map(Target::PluginGroup);
    }
    let text = text.strip_prefix("plugin:").unwrap_or(text);
    let (whole, part) = ["/apps/", "/skills/"]
        .into_iter()
        .find_map(|kind| text.split_once(kind).map(|(whole, key)| (whole, Some((kind, key)))))
        .unwrap_or((text, None));
    let plugin = match whole.strip_prefix("marketplaces/") {
        None => filled(whole)?,
        Some(rest) => match rest.split_once("/plugins/") {
            Some((marketplace, plugin)) => format!("{}/{}", filled(marketplace)?, filled(plugin)?),
            None if part.is_none() => return filled(rest).map(Target::Marketplace),
            None => return None,
        },
    };
    Some(match part {
        None => Target::Plugin(plugin),
        Some(("/apps/", key)) => Target::App { plugin, app: filled(key)? },
        Some((_, key)) => Target::Skill { plugin, skill: filled(key)? },
    })
}

fn filled(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

/// A map that refuses to say the same thing twice: what was said first would be lost in silence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Once<K: Ord, V>(pub BTreeMap<K, V>);

impl<K: Ord, V> Default for Once<K, V> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<'de, K: Deserialize<'de> + Ord + fmt::Display, V: Deserialize<'de>> Deserialize<'de> for Once<K, V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries<K, V>(PhantomData<(K, V)>);
        impl<'de, K: Deserialize<'de> + Ord + fmt::Display, V: Deserialize<'de>> Visitor<'de> for Entries<K, V> {
            type Value = Once<K, V>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut once = BTreeMap::new();
                while let Some(key) = map.next_key::<K>()? {
                    if once.contains_key(&key) {
                        return Err(A::Error::custom(format_args!("`{key}` is there twice")));
                    }
                    let value = map.next_value()?;
                    once.insert(key, value);
                }
                Ok(Once(once))
            }
        }
        deserializer.deserialize_map(Entries(PhantomData))
    }
}
