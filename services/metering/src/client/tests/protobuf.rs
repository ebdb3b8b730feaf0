//! The same things said in JSON and in protobuf.

use opentelemetry_proto::tonic::collector::{
    logs::v1::ExportLogsServiceRequest, metrics::v1::ExportMetricsServiceRequest,
};
use prost::Message as _;

use super::*;
use crate::captures::{captures, requests};

#[test]
fn a_capture_in_protobuf_yields_what_the_same_in_json_yields() {
    let mut compared = 0;
    for (path, body) in captures("") {
        let json = read(&Request::json(Signal::Logs, &body).unwrap());
        // the public structures read some captures only
        let Ok(message) = serde_json::from_slice::<ExportLogsServiceRequest>(&body) else { continue };
        let bytes = message.encode_to_vec();
        let protobuf = read(&Request::protobuf(Signal::Logs, &bytes).unwrap());
        assert_eq!(json.items, protobuf.items, "{}", path.display());
        assert_eq!(json.ignored, protobuf.ignored);
        compared += 1;
    }
    assert!(compared > 5, "{compared}");
    for (path, body) in requests("claude", "metrics", "json") {
        let json = read(&Request::json(Signal::Metrics, &body).unwrap());
        let message: ExportMetricsServiceRequest = serde_json::from_slice(&body).unwrap();
        let bytes = message.encode_to_vec();
        let protobuf = read(&Request::protobuf(Signal::Metrics, &bytes).unwrap());
        assert_eq!(json.items, protobuf.items, "{}", path.display());
        assert!(!json.items.is_empty());
    }
}

#[test]
fn the_capture_that_came_in_protobuf_counts() {
    let mut events = Vec::new();
    for (_, body) in requests("codex", "logs", "bin") {
        let reading = read(&Request::protobuf(Signal::Logs, &body).unwrap());
        assert!(reading.ignored > 0);
        events.extend(reading.items.into_iter().map(|(_, event)| event.unwrap()));
    }
    let sum = |meter| events.iter().map(|e| amount(e, meter)).sum::<i64>();
    assert_eq!((sum(meter::TOKENS_OUTPUT), sum(meter::TOOL_CALLS)), (35 + 12, 1));
    assert!(events.iter().all(|e| e.client == "codex" && e.time.micros() > 1_795_000_000_000_000));
}

#[test]
fn what_is_no_number_in_protobuf_is_refused_there_too() {
    use opentelemetry_proto::tonic::metrics::v1 as otlp;
    let point = |value: f64| {
        let text = |key: &str, value: &str| opentelemetry_proto::tonic::common::v1::KeyValue {
            key: key.to_owned(),
            value: Some(opentelemetry_proto::tonic::common::v1::AnyValue {
                value: Some(opentelemetry_proto::tonic::common::v1::any_value::Value::StringValue(
                    value.to_owned(),
                )),
            }),
            ..Default::default()
        };
        let point = otlp::NumberDataPoint {
            attributes: vec![text("type", "input")],
            time_unix_nano: AT,
            value: Some(otlp::number_data_point::Value::AsDouble(value)),
            ..Default::default()
        };
        let sum = otlp::Sum { data_points: vec![point], aggregation_temporality: 1, is_monotonic: true };
        let metric = otlp::Metric {
            name: "claude_code.token.usage".to_owned(),
            data: Some(otlp::metric::Data::Sum(sum)),
            ..Default::default()
        };
        let resource = opentelemetry_proto::tonic::resource::v1::Resource {
            attributes: vec![text("service.name", "claude-code")],
            ..Default::default()
        };
        let scope = otlp::ScopeMetrics { metrics: vec![metric], ..Default::default() };
        let of = otlp::ResourceMetrics {
            resource: Some(resource),
            scope_metrics: vec![scope],
            ..Default::default()
        };
        let request = ExportMetricsServiceRequest { resource_metrics: vec![of] };
        read(&Request::of(request).unwrap()).items.remove(0).1
    };
    assert_eq!(amount(&point(7.0).unwrap(), meter::TOKENS_INPUT), 7);
    for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.5, 1e300] {
        assert_eq!(point(bad).unwrap_err().code, Code::NotExact, "{bad}");
    }
}

#[test]
fn garbage_is_refused_whole_and_more_than_the_most_items_too() {
    for garbage in [&b"\xff\xff\xff\xff"[..], b"{\"resourceLogs\":[]}", &[0x0a, 0x7f, 0x01]] {
        assert!(Request::protobuf(Signal::Logs, garbage).is_err());
    }
    let nothing = Request::protobuf(Signal::Traces, b"").unwrap();
    assert_eq!(read(&nothing).ignored, 0);
    let empty = [0x12, 0x00].repeat(crate::otlp::MAX_ITEMS + 1);
    let scope = [&[0x12][..], &length(empty.len()), &empty].concat();
    let resource = [&[0x0a][..], &length(scope.len()), &scope].concat();
    let error = Request::protobuf(Signal::Logs, &resource).unwrap_err().to_string();
    assert!(error.contains("10001"), "{error}");
}

/// A protobuf varint.
fn length(mut n: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while n >= 0x80 {
        bytes.push(u8::try_from(n & 0x7f).unwrap() | 0x80);
        n >>= 7;
    }
    bytes.push(u8::try_from(n).unwrap());
    bytes
}
