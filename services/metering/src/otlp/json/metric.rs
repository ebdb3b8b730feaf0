//! A metric in JSON: its kind, and its data points when their turn comes.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::value::{self, Number, Text};
use crate::otlp::{Attributes, Kind, Point, Value};

/// A metric whose data points are not yet read.
#[derive(Debug)]
pub struct Metric<'a> {
    name: Cow<'a, str>,
    kind: Kind,
    points: Vec<&'a RawValue>,
}

/// Takes a metric apart; `None` for what is none.
pub fn read(raw: &RawValue) -> Option<Metric<'_>> {
    let wire: WireMetric<'_> = serde_json::from_str(raw.get()).ok()?;
    let other = [wire.gauge, wire.exponential_histogram, wire.summary].into_iter().flatten().next();
    let (kind, data) = match (wire.sum, wire.histogram, other) {
        (Some(sum), ..) => (Kind::Sum { delta: sum.is_delta() && sum.is_monotonic == Some(true) }, sum),
        (None, Some(histogram), _) => (Kind::Histogram { delta: histogram.is_delta() }, histogram),
        (None, None, other) => (Kind::Other, other.unwrap_or_default()),
    };
    let points = data.data_points.unwrap_or_default();
    Some(Metric { name: wire.name.map(|n| n.0).unwrap_or_default(), kind, points })
}

impl Metric<'_> {
    /// How many items it is; one without data points, or of a kind that is not known, is one.
    pub fn count(&self) -> usize {
        self.points.len().max(1)
    }

    /// Shows its data points.
    pub fn for_each(&self, visit: &mut dyn FnMut(Option<Point<'_>>)) {
        if self.points.is_empty() {
            return visit(Some(self.point(WirePoint::default())));
        }
        for raw in &self.points {
            visit(serde_json::from_str(raw.get()).ok().map(|wire| self.point(wire)));
        }
    }

    fn point<'p>(&'p self, wire: WirePoint<'p>) -> Point<'p> {
        Point {
            metric: Cow::Borrowed(&self.name),
            kind: self.kind,
            start_time_unix_nano: wire.start_time_unix_nano,
            time_unix_nano: wire.time_unix_nano,
            value: [wire.as_int, wire.as_double, wire.sum]
                .into_iter()
                .flatten()
                .next()
                .map_or(Value::Empty, value::double),
            attributes: wire.attributes,
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireMetric<'a> {
    #[serde(borrow, default)]
    name: Option<Text<'a>>,
    #[serde(borrow, default)]
    sum: Option<WireData<'a>>,
    #[serde(borrow, default)]
    gauge: Option<WireData<'a>>,
    #[serde(borrow, default)]
    histogram: Option<WireData<'a>>,
    #[serde(borrow, default)]
    exponential_histogram: Option<WireData<'a>>,
    #[serde(borrow, default)]
    summary: Option<WireData<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct WireData<'a> {
    #[serde(borrow)]
    data_points: Option<Vec<&'a RawValue>>,
    #[serde(borrow)]
    aggregation_temporality: Option<Number<'a>>,
    is_monotonic: Option<bool>,
}

impl WireData<'_> {
    /// OTLP has the number; JSON made from protobuf by others has the name.
    fn is_delta(&self) -> bool {
        match &self.aggregation_temporality {
            Some(Number::Signed(1)) => true,
            Some(Number::Text(name)) => name == "AGGREGATION_TEMPORALITY_DELTA" || name == "1",
            _ => false,
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct WirePoint<'a> {
    #[serde(deserialize_with = "value::nanos")]
    start_time_unix_nano: u64,
    #[serde(deserialize_with = "value::nanos")]
    time_unix_nano: u64,
    #[serde(borrow)]
    as_int: Option<Number<'a>>,
    #[serde(borrow)]
    as_double: Option<Number<'a>>,
    #[serde(borrow)]
    sum: Option<Number<'a>>,
    #[serde(borrow, deserialize_with = "value::attributes")]
    attributes: Attributes<'a>,
}
