//! OpenTelemetry logs over HTTP, protobuf encoding.

use audit::https::Client;
use kernel::clock::Time;
use opentelemetry_proto::tonic::{
    collector::logs::v1::{ExportLogsServiceRequest, ExportLogsServiceResponse},
    common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value::Value},
    logs::v1::{LogRecord, ResourceLogs, ScopeLogs, SeverityNumber},
    resource::v1::Resource,
};
use prost::Message as _;

use super::{Outcome, clipped, http::post_bytes};
use crate::message::Message;

/// The sender.
pub struct Otlp {
    client: Client,
    url: String,
    headers: Vec<(String, String)>,
}

impl Otlp {
    /// With a header that authenticates, if it has a name.
    pub fn new(client: Client, url: &str, header: &str, value: &str) -> Self {
        let own = (!header.is_empty()).then(|| (header.to_owned(), value.to_owned()));
        let kind = ("content-type".to_owned(), "application/x-protobuf".to_owned());
        Self { client, url: url.to_owned(), headers: [kind].into_iter().chain(own).collect() }
    }

    /// Sends the batch. Records that the receiver rejects are refused for good (OTLP: they are not sent again).
    pub async fn send(&self, batch: &[Message], now: Time) -> Outcome {
        let headers: Vec<_> =
            self.headers.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
        let body = request(batch, now).encode_to_vec();
        let answer = match post_bytes(&self.client, &self.url, &headers, body.into()).await {
            Ok(answer) => answer,
            Err(outcome) => return outcome,
        };
        let partial = ExportLogsServiceResponse::decode(answer.body).ok().and_then(|r| r.partial_success);
        match partial {
            Some(partial) if partial.rejected_log_records > 0 => {
                Outcome::Refused(format!("it rejected it: {}", clipped(&partial.error_message)))
            }
            _ => Outcome::Taken,
        }
    }
}

fn text(key: &str, value: &str) -> KeyValue {
    attribute(key, Value::StringValue(value.to_owned()))
}

fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

fn nanos(time: Time) -> u64 {
    u64::try_from(time.micros()).unwrap_or(0).saturating_mul(1_000)
}

fn request(batch: &[Message], now: Time) -> ExportLogsServiceRequest {
    let record = |message: &Message| {
        let severity = match message.outcome.as_str() {
            "ok" => SeverityNumber::Info,
            "denied" => SeverityNumber::Warn,
            _ => SeverityNumber::Error,
        };
        LogRecord {
            time_unix_nano: nanos(message.time),
            observed_time_unix_nano: nanos(now),
            severity_number: severity.into(),
            severity_text: message.outcome.clone(),
            event_name: message.action.clone(),
            body: Some(AnyValue { value: Some(Value::StringValue(message.event.to_string())) }),
            attributes: vec![
                text("provost.event.id", &message.id.to_string()),
                attribute("provost.sequence", Value::IntValue(message.sequence)),
                text("provost.log", &message.log),
                text("provost.leaf_hash", &message.leaf_hash),
            ],
            ..LogRecord::default()
        }
    };
    let scope = InstrumentationScope { name: "provost.audit".to_owned(), ..InstrumentationScope::default() };
    let logs = ScopeLogs {
        scope: Some(scope),
        log_records: batch.iter().map(record).collect(),
        ..ScopeLogs::default()
    };
    let resource = Resource { attributes: vec![text("service.name", "provost")], ..Resource::default() };
    let logs = ResourceLogs { resource: Some(resource), scope_logs: vec![logs], ..ResourceLogs::default() };
    ExportLogsServiceRequest { resource_logs: vec![logs] }
}
