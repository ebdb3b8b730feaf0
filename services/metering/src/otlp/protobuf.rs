//! Requests in protobuf, as `opentelemetry-proto` reads them, shown as the same items as those in JSON.

use std::borrow::Cow;

use kernel::{Error, Result, hash::hex};
use opentelemetry_proto::tonic::{
    collector::{
        logs::v1::ExportLogsServiceRequest, metrics::v1::ExportMetricsServiceRequest,
        trace::v1::ExportTraceServiceRequest,
    },
    common::v1::{AnyValue, KeyValue, any_value::Value as Any},
    logs::v1::LogRecord,
    metrics::v1::{
        AggregationTemporality, HistogramDataPoint, Metric, NumberDataPoint, metric::Data,
        number_data_point::Value as Number,
    },
    resource::v1::Resource as WireResource,
    trace::v1::Span as WireSpan,
};
use prost::Message as _;

use super::{Attributes, Item, Kind, Log, Point, Resource, Signal, Span, Value};

/// A log request.
pub type Logs = ExportLogsServiceRequest;
/// A metric request.
pub type Metrics = ExportMetricsServiceRequest;
/// A trace request.
pub type Traces = ExportTraceServiceRequest;

/// A decoded request.
#[derive(Debug)]
pub enum Message {
    /// Log records.
    Logs(Logs),
    /// Metrics.
    Metrics(Metrics),
    /// Spans.
    Traces(Traces),
}

impl From<Logs> for Message {
    fn from(message: Logs) -> Self {
        Self::Logs(message)
    }
}

impl From<Metrics> for Message {
    fn from(message: Metrics) -> Self {
        Self::Metrics(message)
    }
}

impl From<Traces> for Message {
    fn from(message: Traces) -> Self {
        Self::Traces(message)
    }
}

/// Reads the bytes of a request.
pub fn decode(signal: Signal, body: &[u8]) -> Result<Message> {
    let message = match signal {
        Signal::Logs => Logs::decode(body).map(Message::Logs),
        Signal::Metrics => Metrics::decode(body).map(Message::Metrics),
        Signal::Traces => Traces::decode(body).map(Message::Traces),
    };
    // the reader's own words are about its insides, and help nobody
    message.map_err(|_| {
        let message =
            format!("is no OTLP request with {} in protobuf; send the request anew", signal.items());
        Error::invalid("body", message)
    })
}

type Visit<'v> = dyn FnMut(usize, &Resource<'_>, Option<Item<'_>>) + 'v;

impl Message {
    /// What it is about.
    pub fn signal(&self) -> Signal {
        match self {
            Self::Logs(_) => Signal::Logs,
            Self::Metrics(_) => Signal::Metrics,
            Self::Traces(_) => Signal::Traces,
        }
    }

    /// How many items it holds.
    pub fn count(&self) -> usize {
        match self {
            Self::Logs(logs) => {
                let scopes = logs.resource_logs.iter().flat_map(|r| &r.scope_logs);
                scopes.map(|s| s.log_records.len()).sum()
            }
            Self::Metrics(metrics) => {
                let scopes = metrics.resource_metrics.iter().flat_map(|r| &r.scope_metrics);
                scopes.flat_map(|s| &s.metrics).map(points).sum()
            }
            Self::Traces(traces) => {
                let scopes = traces.resource_spans.iter().flat_map(|r| &r.scope_spans);
                scopes.map(|s| s.spans.len()).sum()
            }
        }
    }

    /// See [`super::Request::for_each`].
    pub fn for_each(&self, visit: &mut Visit<'_>) {
        match self {
            Self::Logs(logs) => {
                for (at, of) in logs.resource_logs.iter().enumerate() {
                    let resource = resource(of.resource.as_ref());
                    for record in of.scope_logs.iter().flat_map(|s| &s.log_records) {
                        visit(at, &resource, Some(Item::Log(log(record))));
                    }
                }
            }
            Self::Metrics(metrics) => {
                for (at, of) in metrics.resource_metrics.iter().enumerate() {
                    let resource = resource(of.resource.as_ref());
                    for metric in of.scope_metrics.iter().flat_map(|s| &s.metrics) {
                        each_point(metric, &mut |point| visit(at, &resource, Some(Item::Point(point))));
                    }
                }
            }
            Self::Traces(traces) => {
                for (at, of) in traces.resource_spans.iter().enumerate() {
                    let resource = resource(of.resource.as_ref());
                    for wire in of.scope_spans.iter().flat_map(|s| &s.spans) {
                        visit(at, &resource, Some(Item::Span(span(wire))));
                    }
                }
            }
        }
    }
}

/// How many items a metric is; one without data points, or of a kind that is not known, is one.
fn points(metric: &Metric) -> usize {
    let count = match &metric.data {
        Some(Data::Sum(sum)) => sum.data_points.len(),
        Some(Data::Histogram(histogram)) => histogram.data_points.len(),
        Some(Data::Gauge(gauge)) => gauge.data_points.len(),
        Some(Data::ExponentialHistogram(histogram)) => histogram.data_points.len(),
        Some(Data::Summary(summary)) => summary.data_points.len(),
        None => 0,
    };
    count.max(1)
}

fn each_point(metric: &Metric, visit: &mut dyn FnMut(Point<'_>)) {
    let delta = |temporality: i32| temporality == i32::from(AggregationTemporality::Delta);
    match &metric.data {
        Some(Data::Sum(sum)) if !sum.data_points.is_empty() => {
            let kind = Kind::Sum { delta: delta(sum.aggregation_temporality) && sum.is_monotonic };
            sum.data_points.iter().for_each(|p| visit(number(metric, kind, p)));
        }
        Some(Data::Histogram(histogram)) if !histogram.data_points.is_empty() => {
            let kind = Kind::Histogram { delta: delta(histogram.aggregation_temporality) };
            histogram.data_points.iter().for_each(|p| visit(summed(metric, kind, p)));
        }
        _ => (0..points(metric)).for_each(|_| visit(bare(metric, Kind::Other))),
    }
}

fn bare(metric: &Metric, kind: Kind) -> Point<'_> {
    Point {
        metric: Cow::Borrowed(&metric.name),
        kind,
        start_time_unix_nano: 0,
        time_unix_nano: 0,
        value: Value::Empty,
        attributes: Attributes::default(),
    }
}

fn number<'a>(metric: &'a Metric, kind: Kind, point: &'a NumberDataPoint) -> Point<'a> {
    Point {
        start_time_unix_nano: point.start_time_unix_nano,
        time_unix_nano: point.time_unix_nano,
        value: match point.value {
            Some(Number::AsInt(int)) => Value::Int(int),
            Some(Number::AsDouble(double)) => Value::Double(double),
            None => Value::Empty,
        },
        attributes: attributes(&point.attributes),
        ..bare(metric, kind)
    }
}

fn summed<'a>(metric: &'a Metric, kind: Kind, point: &'a HistogramDataPoint) -> Point<'a> {
    Point {
        start_time_unix_nano: point.start_time_unix_nano,
        time_unix_nano: point.time_unix_nano,
        value: point.sum.map_or(Value::Empty, Value::Double),
        attributes: attributes(&point.attributes),
        ..bare(metric, kind)
    }
}

fn resource(wire: Option<&WireResource>) -> Resource<'_> {
    let mut attributes = wire.map(|r| attributes(&r.attributes)).unwrap_or_default();
    let mut take = |key: &str| attributes.take(key);
    Resource { service: take("service.name"), instance: take("service.instance.id") }
}

fn log(wire: &LogRecord) -> Log<'_> {
    Log {
        time_unix_nano: wire.time_unix_nano,
        observed_time_unix_nano: wire.observed_time_unix_nano,
        trace_id: Cow::Owned(hex(&wire.trace_id)),
        span_id: Cow::Owned(hex(&wire.span_id)),
        event_name: Cow::Borrowed(&wire.event_name),
        attributes: attributes(&wire.attributes),
    }
}

fn span(wire: &WireSpan) -> Span<'_> {
    Span {
        trace_id: Cow::Owned(hex(&wire.trace_id)),
        span_id: Cow::Owned(hex(&wire.span_id)),
        start_time_unix_nano: wire.start_time_unix_nano,
        end_time_unix_nano: wire.end_time_unix_nano,
        attributes: attributes(&wire.attributes),
    }
}

fn attributes(wire: &[KeyValue]) -> Attributes<'_> {
    let mut attributes = Attributes::default();
    for pair in wire {
        let value = pair.value.as_ref().map_or(Value::Empty, value);
        if !attributes.push(Cow::Borrowed(&pair.key), value) {
            break;
        }
    }
    attributes
}

fn value(wire: &AnyValue) -> Value<'_> {
    match &wire.value {
        Some(Any::StringValue(text)) => Value::Text(Cow::Borrowed(text)),
        Some(Any::BoolValue(bool)) => Value::Bool(*bool),
        Some(Any::IntValue(int)) => Value::Int(*int),
        Some(Any::DoubleValue(double)) => Value::Double(*double),
        Some(Any::ArrayValue(array)) => Value::List(array.values.iter().map(value).collect()),
        // maps and bytes are never kept; a kind that is not known yet is nothing
        _ => Value::Empty,
    }
}
