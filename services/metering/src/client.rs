//! The assistants that are understood: from a log record to a usage event, with nothing private left in it.

use std::{borrow::Cow, collections::BTreeMap};

use kernel::clock::Time;

use crate::{
    event::{
        key::Digest,
        model::{Code, Dims, Rejection, UsageEvent},
        ops::session_id,
    },
    meter::SESSIONS,
    otlp::{Attributes, MAX_ATTRIBUTES, Record, Value},
};

mod claude;
mod codex;
mod kept;

pub use kept::KEPT;

/// Longest value that is kept, in bytes.
pub const MAX_VALUE: usize = 1_024;
/// Longest session id, in bytes.
pub const MAX_SESSION: usize = 256;
/// Most that one event may add to a meter. A year of the busiest organisation stays far below what 64 bits hold, so
/// that no client can make a sum overflow.
pub const MAX_AMOUNT: i64 = crate::event::model::MAX_AMOUNT;

/// What an event adds to a meter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Amount {
    /// Key of the meter.
    pub meter: &'static str,
    /// In whole units of the meter.
    pub value: i64,
}

/// An assistant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Client {
    /// Codex in all its forms (`codex_exec`, `codex_cli_rs`, …).
    Codex,
    /// Claude Code.
    ClaudeCode,
}

impl Client {
    /// The assistant that names its process so.
    pub fn of(service: &str) -> Option<Self> {
        match service {
            "claude-code" => Some(Self::ClaudeCode),
            codex if codex.starts_with("codex") => Some(Self::Codex),
            _ => None,
        }
    }

    /// As stored and as in answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Codex => "codex",
            Self::ClaudeCode => "claude-code",
        }
    }

    /// The source of its events (CloudEvents): with the id it tells one event from another.
    pub fn source(self) -> &'static str {
        match self {
            Self::Codex => "otlp/codex",
            Self::ClaudeCode => "otlp/claude-code",
        }
    }

    /// Type of the event that a session makes.
    fn session_type(self) -> &'static str {
        match self {
            Self::Codex => "codex.session",
            Self::ClaudeCode => "claude_code.session",
        }
    }

    /// Attribute that names the session.
    fn session_key(self) -> &'static str {
        match self {
            Self::Codex => "conversation.id",
            Self::ClaudeCode => "session.id",
        }
    }

    /// Attributes whose values make an event's id, besides its type, time and trace. Ids rest on these lists: what was
    /// sent before a change of them would be counted again when it is sent again after it.
    fn identity(self) -> &'static [&'static str] {
        match self {
            Self::Codex => codex::IDENTITY,
            Self::ClaudeCode => claude::IDENTITY,
        }
    }
}

/// What an assistant's own module makes of a record: the event's type and what it adds to which meter.
type Reading = (&'static str, Vec<Amount>);

/// Reads a record of the process that calls itself `service`. `None`: it is no event, or one that says nothing about
/// use.
pub fn read(service: &str, record: &Record<'_>) -> Option<Result<UsageEvent, Rejection>> {
    let Some(client) = Client::of(service) else {
        let message =
            "`service.name` is neither `codex…` nor `claude-code`; send the telemetry of those two only";
        return Some(Err(Rejection::new(Code::UnknownClient, message)));
    };
    if record.attributes.overflow() {
        let message = format!("has more than {MAX_ATTRIBUTES} attributes");
        return Some(Err(Rejection::new(Code::TooLarge, message)));
    }
    let name = record.attributes.text("event.name")?;
    let reading = match client {
        Client::Codex => codex::read(name, &record.attributes),
        Client::ClaudeCode => claude::read(name, &record.attributes),
    }?;
    Some(reading.and_then(|reading| event(client, reading, record)))
}

/// The event that a session of `event` makes: it is what `sessions` counts.
pub fn session(event: &UsageEvent, session: &str) -> UsageEvent {
    let client = Client::of(&event.client);
    let (event_type, key): (Cow<'static, str>, _) = match client {
        Some(client) => (client.session_type().into(), client.session_key()),
        None => (format!("{}.session", event.client).into(), "session.id"),
    };
    UsageEvent {
        source: event.source.clone(),
        id: session_id(&event_type, session),
        event_type,
        client: event.client.clone(),
        time: event.time,
        timed: true,
        session: None,
        dims: Dims::default(),
        values: vec![(SESSIONS.into(), 1.into())],
        attributes: json(&BTreeMap::from([(key, serde_json::Value::from(session))])),
    }
}

fn event(
    client: Client,
    (event_type, amounts): Reading,
    record: &Record<'_>,
) -> Result<UsageEvent, Rejection> {
    let (time, said) = time(record)?;
    let session = record.attributes.text(client.session_key());
    if session.is_some_and(|s| s.len() > MAX_SESSION) {
        let message = format!("`{}` has more than {MAX_SESSION} bytes", client.session_key());
        return Err(Rejection::new(Code::TooLarge, message));
    }
    Ok(UsageEvent {
        source: client.source().into(),
        id: id(client, event_type, &said, record),
        event_type: event_type.into(),
        client: client.as_str().into(),
        time,
        timed: true,
        session: session.map(str::to_owned),
        dims: dims(&record.attributes),
        values: amounts.iter().map(|a| (a.meter.into(), a.value.into())).collect(),
        attributes: kept(&record.attributes)?,
    })
}

/// When it happened, and the words in which the record says so. Codex leaves `timeUnixNano` 0.
fn time(record: &Record<'_>) -> Result<(Time, String), Rejection> {
    let nanos = [record.time_unix_nano, record.observed_time_unix_nano].into_iter().find(|n| *n != 0);
    if let Some(nanos) = nanos {
        let time = Time::from_nanos(nanos)
            .ok_or_else(|| Rejection::new(Code::Future, "its time is beyond year 9999"))?;
        return Ok((time, nanos.to_string()));
    }
    let text = record.attributes.text("event.timestamp").unwrap_or_default();
    let time = Time::parse("event.timestamp", text).map_err(|_| {
        let message =
            "says no time: `timeUnixNano`, `observedTimeUnixNano` and `event.timestamp` are all missing";
        Rejection::new(Code::MissingTime, message)
    })?;
    Ok((time, text.to_owned()))
}

/// Neither client sends an id. The time is part of it because a session that is resumed numbers its events anew.
fn id(client: Client, event_type: &str, said: &str, record: &Record<'_>) -> String {
    let values: Vec<_> = client
        .identity()
        .iter()
        .map(|key| record.attributes.get(key).map(Value::to_text).unwrap_or_default())
        .collect();
    let fixed = [event_type, said, &record.trace_id, &record.span_id];
    let parts: Vec<_> =
        fixed.into_iter().chain(values.iter().map(AsRef::as_ref)).map(str::as_bytes).collect();
    Digest::of(&parts).hex()
}

/// What the figures of the event can be told apart by.
fn dims(attributes: &Attributes<'_>) -> Dims {
    let mut dims = Dims::default();
    for (name, keys) in [
        ("model", &["model"][..]),
        ("skill", &["skill.name"]),
        ("plugin", &["skill.plugin_id", "plugin.name"]),
        ("tool", &["tool_name"]),
        ("app", &["mcp_server"]),
    ] {
        if let Some(text) = keys.iter().find_map(|key| attributes.text(key)) {
            dims.put(name, text);
        }
    }
    dims
}

/// The attributes that may be kept, as JSON with sorted keys. The only way from a record into the store.
fn kept(attributes: &Attributes<'_>) -> Result<String, Rejection> {
    let mut map = BTreeMap::new();
    for (key, value) in attributes.iter() {
        let Ok(at) = KEPT.binary_search(&key) else { continue };
        let key = KEPT.get(at).copied().unwrap_or_default();
        if *value == Value::Empty || map.contains_key(key) {
            continue;
        }
        let value = match value {
            Value::Int(int) => serde_json::Value::from(*int),
            Value::Bool(bool) => serde_json::Value::from(*bool),
            other => serde_json::Value::from(other.to_text()),
        };
        if value.as_str().is_some_and(|text| text.len() > MAX_VALUE) {
            return Err(Rejection::new(Code::TooLarge, format!("`{key}` has more than {MAX_VALUE} bytes")));
        }
        map.insert(key, value);
    }
    Ok(json(&map))
}

fn json(map: &BTreeMap<&'static str, serde_json::Value>) -> String {
    // a map with text keys always has a JSON form
    serde_json::to_string(map).unwrap_or_default()
}

/// A quantity: a whole number from 0 to [`MAX_AMOUNT`], as a number or as text; 0 when missing.
fn quantity(attributes: &Attributes<'_>, key: &str) -> Result<i64, Rejection> {
    let text = attributes.get(key).map(Value::to_text).unwrap_or_default();
    if text.is_empty() {
        return Ok(0);
    }
    let value: i64 = text.parse().map_err(|_| {
        Rejection::new(Code::NotExact, format!("`{key}` is not a whole number that 64 bits hold"))
    })?;
    match value {
        negative if negative < 0 => Err(Rejection::new(Code::Negative, format!("`{key}` is negative"))),
        huge if huge > MAX_AMOUNT => {
            Err(Rejection::new(Code::TooLarge, format!("`{key}` is more than {MAX_AMOUNT}")))
        }
        value => Ok(value),
    }
}

/// What is not zero.
fn amounts<const N: usize>(all: [(&'static str, i64); N]) -> Vec<Amount> {
    all.into_iter().filter(|(_, value)| *value != 0).map(|(meter, value)| Amount { meter, value }).collect()
}

#[cfg(test)]
mod tests;
