//! Requests in JSON.

use std::borrow::Cow;

use kernel::{Error, Result};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Attributes, Item, Resource, Signal};

mod metric;
mod value;

pub(super) use value::{attributes, nanos, text};

/// A request, its items not yet read.
#[derive(Debug)]
pub struct Request<'a> {
    resources: Vec<(Resource<'a>, Vec<Raw<'a>>)>,
}

/// Something that becomes an item, or several.
#[derive(Debug)]
enum Raw<'a> {
    Log(&'a RawValue),
    Span(&'a RawValue),
    Metric(metric::Metric<'a>),
    /// JSON, and no metric.
    Malformed,
}

/// Takes a request apart, down to its items.
pub fn decode(signal: Signal, body: &[u8]) -> Result<Request<'_>> {
    let wrong = |what: String| {
        let form = match signal {
            Signal::Logs => "logs",
            Signal::Metrics => "metrics",
            Signal::Traces => "traces",
        };
        Error::invalid("body", format!("is not OTLP/JSON {form}: {what}; send the request anew"))
    };
    // a derived reader would also take `[…]` for an object
    if body.trim_ascii_start().first() != Some(&b'{') {
        return Err(wrong("it does not start with `{`".to_owned()));
    }
    let resources = match signal {
        Signal::Logs => logs::resources(body),
        Signal::Metrics => metrics::resources(body),
        Signal::Traces => traces::resources(body),
    };
    // the reader's own words may quote the body, and the body is private
    let resources =
        resources.map_err(|e| wrong(format!("line {} column {}: {}", e.line(), e.column(), kind(&e))))?;
    let raw = |item| match signal {
        Signal::Logs => Raw::Log(item),
        Signal::Traces => Raw::Span(item),
        Signal::Metrics => metric::read(item).map_or(Raw::Malformed, Raw::Metric),
    };
    let resources = resources.into_iter().map(|(r, items)| (r, items.into_iter().map(raw).collect()));
    Ok(Request { resources: resources.collect() })
}

impl Request<'_> {
    /// How many items it holds.
    pub fn count(&self) -> usize {
        let items = self.resources.iter().flat_map(|(_, items)| items);
        let each = items.map(|raw| match raw {
            Raw::Metric(metric) => metric.count(),
            _ => 1,
        });
        each.fold(0, usize::saturating_add)
    }

    /// See [`super::Request::for_each`].
    pub fn for_each(&self, visit: &mut dyn FnMut(usize, &Resource<'_>, Option<Item<'_>>)) {
        for (at, (resource, items)) in self.resources.iter().enumerate() {
            for raw in items {
                match raw {
                    Raw::Log(raw) => visit(at, resource, serde_json::from_str(raw.get()).ok().map(Item::Log)),
                    Raw::Span(raw) => {
                        visit(at, resource, serde_json::from_str(raw.get()).ok().map(Item::Span));
                    }
                    Raw::Metric(metric) => {
                        metric.for_each(&mut |point| visit(at, resource, point.map(Item::Point)));
                    }
                    Raw::Malformed => visit(at, resource, None),
                }
            }
        }
    }
}

fn kind(error: &serde_json::Error) -> &'static str {
    match error.classify() {
        serde_json::error::Category::Eof => "cut off",
        serde_json::error::Category::Syntax | serde_json::error::Category::Io => "malformed JSON",
        serde_json::error::Category::Data => "a field has the wrong type",
    }
}

#[derive(Deserialize)]
struct WireResource<'a> {
    #[serde(borrow, default, deserialize_with = "value::attributes")]
    attributes: Attributes<'a>,
}

fn resource<'a>(wire: Option<WireResource<'a>>) -> Resource<'a> {
    let mut attributes = wire.map(|w| w.attributes).unwrap_or_default();
    let mut take = |key: &str| -> Cow<'a, str> { attributes.take(key) };
    Resource { service: take("service.name"), instance: take("service.instance.id") }
}

/// The three forms differ in the names of their lists.
macro_rules! wire {
    ($signal:ident, $resources:literal, $scopes:literal, $items:literal) => {
        mod $signal {
            use serde::Deserialize;
            use serde_json::value::RawValue;

            use super::{Resource, WireResource, resource};

            #[derive(Deserialize)]
            struct Whole<'a> {
                #[serde(borrow, default, rename = $resources)]
                resources: Option<Vec<OfResource<'a>>>,
            }

            #[derive(Deserialize)]
            struct OfResource<'a> {
                #[serde(borrow, default)]
                resource: Option<WireResource<'a>>,
                #[serde(borrow, default, rename = $scopes)]
                scopes: Option<Vec<OfScope<'a>>>,
            }

            #[derive(Deserialize)]
            struct OfScope<'a> {
                #[serde(borrow, default, rename = $items)]
                items: Option<Vec<&'a RawValue>>,
            }

            /// The items of each process.
            pub(super) fn resources(body: &[u8]) -> serde_json::Result<Vec<(Resource<'_>, Vec<&RawValue>)>> {
                let whole: Whole<'_> = serde_json::from_slice(body)?;
                let each = whole.resources.unwrap_or_default().into_iter().map(|of| {
                    let scopes = of.scopes.unwrap_or_default().into_iter();
                    (resource(of.resource), scopes.flat_map(|s| s.items.unwrap_or_default()).collect())
                });
                Ok(each.collect())
            }
        }
    };
}

wire!(logs, "resourceLogs", "scopeLogs", "logRecords");
wire!(metrics, "resourceMetrics", "scopeMetrics", "metrics");
wire!(traces, "resourceSpans", "scopeSpans", "spans");
