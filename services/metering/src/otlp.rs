//! OTLP: the bytes of a request, taken apart into log records, data points and spans. Knows no assistant and no database.
//!
//! The JSON form is read by structures of our own (the public OTLP/JSON mapping). Those of `opentelemetry-proto` read
//! the real clients too, but refuse a whole request for one field that is `null` or one record that is malformed, copy
//! every prompt and tool output of the body before anybody can decide to drop it, and read without bounds. Here an item
//! is borrowed from the body and read when its turn comes, so a bad one costs itself and not its neighbours. Protobuf is
//! read by those structures: it has no half-readable records, and both forms come out as the same items.

use std::borrow::Cow;

use serde::Deserialize;

mod attributes;
mod json;
mod protobuf;

pub use attributes::{Attributes, MAX_ATTRIBUTES, Value};
pub use protobuf::{Logs, Message, Metrics, Traces};

use kernel::{Error, Result};

/// Most log records, data points or spans in a request.
pub const MAX_ITEMS: usize = 10_000;

/// What a request is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// Log records.
    Logs,
    /// Data points of metrics.
    Metrics,
    /// Spans.
    Traces,
}

impl Signal {
    /// Its items, as messages name them.
    pub fn items(self) -> &'static str {
        match self {
            Self::Logs => "log records",
            Self::Metrics => "data points",
            Self::Traces => "spans",
        }
    }
}

/// A request taken apart, its items not yet read.
#[derive(Debug)]
pub struct Request<'a> {
    /// What it is about.
    pub signal: Signal,
    body: Body<'a>,
}

#[derive(Debug)]
enum Body<'a> {
    Json(json::Request<'a>),
    Protobuf(Message),
}

impl<'a> Request<'a> {
    /// Takes a request in JSON apart. Refuses it whole when it is cut off, no JSON, not of the form that the signal has
    /// (`{"resourceLogs":[…]}`), or holds more than [`MAX_ITEMS`].
    pub fn json(signal: Signal, body: &'a [u8]) -> Result<Self> {
        let request = json::decode(signal, body)?;
        bounded(signal, request.count())?;
        Ok(Self { signal, body: Body::Json(request) })
    }

    /// Takes a request in protobuf apart. Refuses it whole when it is not readable as one.
    pub fn protobuf(signal: Signal, body: &[u8]) -> Result<Self> {
        let request = protobuf::decode(signal, body)?;
        Self::of(request)
    }

    /// A message that was decoded elsewhere.
    pub fn of(message: impl Into<Message>) -> Result<Self> {
        let request = message.into();
        let signal = request.signal();
        bounded(signal, request.count())?;
        Ok(Self { signal, body: Body::Protobuf(request) })
    }

    /// Shows every item in order, with the number of its resource; `None` for one that is JSON and nothing of the signal.
    pub fn for_each(&self, visit: &mut dyn FnMut(usize, &Resource<'_>, Option<Item<'_>>)) {
        match &self.body {
            Body::Json(request) => request.for_each(visit),
            Body::Protobuf(request) => request.for_each(visit),
        }
    }
}

fn bounded(signal: Signal, count: usize) -> Result<()> {
    if count <= MAX_ITEMS {
        return Ok(());
    }
    let message = format!("the request holds {count} {}; send at most {MAX_ITEMS} at a time", signal.items());
    Err(Error::Limit { limit: "otlp.records".to_owned(), message })
}

/// The process that speaks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resource<'a> {
    /// `service.name`, or empty.
    pub service: Cow<'a, str>,
    /// `service.instance.id`, or empty.
    pub instance: Cow<'a, str>,
}

/// One thing that a process says.
#[derive(Debug)]
pub enum Item<'a> {
    /// In a log request.
    Log(Log<'a>),
    /// In a metric request.
    Point(Point<'a>),
    /// In a trace request.
    Span(Span<'a>),
}

/// One log record.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Log<'a> {
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
    /// The name of the event in the newer place for it; many clients have `event.name` in the attributes instead.
    #[serde(borrow, deserialize_with = "json::text")]
    pub event_name: Cow<'a, str>,
    /// What it says.
    #[serde(borrow, deserialize_with = "json::attributes")]
    pub attributes: Attributes<'a>,
}

/// How a metric adds up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A sum; `delta`: since the last report, and never falling.
    Sum {
        /// What it adds to what was reported before, rather than replacing it.
        delta: bool,
    },
    /// A histogram, of which the sum is read.
    Histogram {
        /// Likewise.
        delta: bool,
    },
    /// A gauge, a summary, an exponential histogram, or a kind that is not known.
    Other,
}

/// One data point.
#[derive(Debug)]
pub struct Point<'a> {
    /// Name of its metric.
    pub metric: Cow<'a, str>,
    /// How the metric adds up.
    pub kind: Kind,
    /// From when, nanoseconds since the epoch; 0 when the client did not say.
    pub start_time_unix_nano: u64,
    /// Until when, likewise.
    pub time_unix_nano: u64,
    /// The sum; [`Value::Empty`] where there is none.
    pub value: Value<'a>,
    /// What it is about.
    pub attributes: Attributes<'a>,
}

/// One span.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Span<'a> {
    /// W3C trace id in hex.
    #[serde(borrow, deserialize_with = "json::text")]
    pub trace_id: Cow<'a, str>,
    /// W3C span id in hex.
    #[serde(borrow, deserialize_with = "json::text")]
    pub span_id: Cow<'a, str>,
    /// When it began, nanoseconds since the epoch.
    #[serde(deserialize_with = "json::nanos")]
    pub start_time_unix_nano: u64,
    /// When it ended, likewise.
    #[serde(deserialize_with = "json::nanos")]
    pub end_time_unix_nano: u64,
    /// What it says.
    #[serde(borrow, deserialize_with = "json::attributes")]
    pub attributes: Attributes<'a>,
}
