//! OTLP logs: the bytes of a request, taken apart into records. Knows no assistant and no database.
//!
//! The JSON form is read by structures of our own (the public OTLP/JSON mapping). Those of `opentelemetry-proto` read
//! the real clients too, but refuse a whole request for one field that is `null` or one record that is malformed, copy
//! every prompt and tool output of the body before anybody can decide to drop it, and read without bounds. Here a record
//! is borrowed from the body and read when its turn comes, so a bad one costs itself and not its neighbours.

use std::borrow::Cow;

use serde::Deserialize;

mod json;

pub use json::{Logs, ResourceLogs, decode};

/// Most records in a request.
pub const MAX_RECORDS: usize = 10_000;
/// Most attributes of a record; also of a resource, where the rest is not looked at.
pub const MAX_ATTRIBUTES: usize = 128;

/// One log record, borrowed from the body.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Record<'a> {
    /// When it happened, nanoseconds since the epoch; 0 when the client did not say.
    #[serde(deserialize_with = "json::nanos")]
    pub time_unix_nano: u64,
    /// When it was noticed, likewise.
    #[serde(deserialize_with = "json::nanos")]
    pub observed_time_unix_nano: u64,
    /// W3C trace id in hex, or empty.
    #[serde(borrow, deserialize_with = "json::text")]
    pub trace_id: Cow<'a, str>,
    /// W3C span id in hex, or empty.
    #[serde(borrow, deserialize_with = "json::text")]
    pub span_id: Cow<'a, str>,
    /// What it says.
    #[serde(borrow, deserialize_with = "json::attributes")]
    pub attributes: Attributes<'a>,
}

/// Attributes in the order in which they came, at most [`MAX_ATTRIBUTES`].
#[derive(Debug, Default)]
pub struct Attributes<'a> {
    list: Vec<(Cow<'a, str>, Value<'a>)>,
    overflow: bool,
}

impl<'a> Attributes<'a> {
    /// The value under `key`; the first one, where a client repeats itself.
    pub fn get(&self, key: &str) -> Option<&Value<'a>> {
        self.list.iter().find(|(k, _)| k == key).map(|(_, v)| v)
    }

    /// The text under `key`, if it is text and not empty.
    pub fn text(&self, key: &str) -> Option<&str> {
        match self.get(key) {
            Some(Value::Text(text)) if !text.is_empty() => Some(text),
            _ => None,
        }
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value<'a>)> {
        self.list.iter().map(|(k, v)| (k.as_ref(), v))
    }

    /// Whether there were more than [`MAX_ATTRIBUTES`].
    pub fn overflow(&self) -> bool {
        self.overflow
    }
}

/// A value. Clients disagree on types (`"true"`, `"200"`, `200`), so readers go by what it says.
#[derive(Clone, Debug, PartialEq)]
pub enum Value<'a> {
    /// Text.
    Text(Cow<'a, str>),
    /// A whole number.
    Int(i64),
    /// A boolean.
    Bool(bool),
    /// A floating-point number; never used as a quantity unless it is whole.
    Double(f64),
    /// Several.
    List(Vec<Value<'a>>),
    /// Nothing, or something of a kind that is not kept (maps, bytes).
    Empty,
}

impl Value<'_> {
    /// As one line of text; empty for nothing. Lists are joined with commas.
    pub fn to_text(&self) -> Cow<'_, str> {
        match self {
            Self::Text(text) => Cow::Borrowed(text),
            Self::Int(int) => Cow::Owned(int.to_string()),
            Self::Bool(bool) => Cow::Borrowed(if *bool { "true" } else { "false" }),
            Self::Double(double) => Cow::Owned(double.to_string()),
            Self::List(values) => Cow::Owned(values.iter().map(Self::to_text).collect::<Vec<_>>().join(",")),
            Self::Empty => Cow::Borrowed(""),
        }
    }
}
