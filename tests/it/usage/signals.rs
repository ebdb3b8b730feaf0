//! Metrics, spans, protobuf and gRPC: whatever way telemetry comes, it counts once.

use std::{collections::BTreeMap, io::Write as _};

use flate2::{Compression, write::GzEncoder};
use opentelemetry_proto::tonic::collector::{
    logs::v1::{ExportLogsServiceRequest, ExportLogsServiceResponse, logs_service_client::LogsServiceClient},
    metrics::v1::{
        ExportMetricsServiceRequest, ExportMetricsServiceResponse,
        metrics_service_client::MetricsServiceClient,
    },
    trace::v1::{ExportTraceServiceRequest, trace_service_client::TraceServiceClient},
};
use prost::Message as _;
use serde_json::{Value, json};
use tests::{both_engines, data, http};
use tonic::{Code, Request, codec::CompressionEncoding};
use tonic_types::StatusExt as _;

use super::{Desk, expected};

const JSON: &str = "application/json";
const PROTOBUF: &str = "application/x-protobuf";

/// Sends what is taken whole.
async fn taken(desk: &Desk, token: &str, signal: &str, body: Vec<u8>) {
    let answer = http::post_otlp(&desk.url(), token, (signal, JSON), body).await;
    assert_eq!((answer.status.as_u16(), answer.json()), (200, json!({"partialSuccess": {}})));
}

/// Tokens and cost of everybody.
async fn tokens(desk: &Desk) -> BTreeMap<String, i64> {
    let mut totals = desk.totals().await;
    totals.retain(|meter, _| meter.starts_with("tokens.") || meter == "cost.usd");
    totals
}

fn told(sums: &BTreeMap<String, i64>) -> BTreeMap<String, i64> {
    let told = |meter: &str| meter.starts_with("tokens.") || meter == "cost.usd";
    sums.iter().filter(|(meter, _)| told(meter)).map(|(meter, sum)| (meter.clone(), *sum)).collect()
}

fn call<T>(token: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    request
}

fn span(attributes: &Value) -> Vec<u8> {
    let pairs: Vec<_> = attributes
        .as_object()
        .unwrap()
        .iter()
        .map(|(key, value)| match value {
            Value::String(text) => json!({"key": key, "value": {"stringValue": text}}),
            other => json!({"key": key, "value": {"intValue": other.to_string()}}),
        })
        .collect();
    let span = json!({"traceId": "4bf92f3577b34da6a3ce929d0e0e4736", "spanId": "00f067aa0ba902b7", "name": "chat",
        "startTimeUnixNano": "1795338165000000000", "endTimeUnixNano": "1795338165179349100", "attributes": pairs});
    let resource = json!({"attributes": [{"key": "service.name", "value": {"stringValue": "gemini-cli"}}]});
    json!({"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": [span]}]}]})
        .to_string()
        .into_bytes()
}

both_engines! {
    async fn a_session_counts_by_its_log_events_or_by_its_metrics_and_never_by_both(site: Site) {
        let desk = Desk::open(site).await;
        let (logs, metrics) = (data::logs("claude"), data::requests("claude", "metrics", "json"));
        let sums = told(&expected::sums(&logs));
        assert_eq!(sums, expected::metric_sums(&metrics), "the captures tell the same twice");

        // Maria's come as captured: logs first
        for body in &logs {
            taken(&desk, &desk.maria, "logs", body.clone()).await;
        }
        for body in &metrics {
            taken(&desk, &desk.maria, "metrics", body.clone()).await;
        }
        assert_eq!(tokens(&desk).await, sums);
        let whole = desk.totals().await;
        for (signal, bodies) in [("metrics", &metrics), ("logs", &logs)] {
            for body in bodies {
                taken(&desk, &desk.maria, signal, body.clone()).await;
            }
        }
        assert_eq!(desk.totals().await, whole, "whatever is sent again changes nothing");
        assert_eq!(whole["sessions"], 5);
        let decided = desk.world.site.dump(&["usage_session_source"]).await;
        assert_eq!((decided.lines().count(), decided.matches("logs").count()), (5, 5), "{decided}");
    }

    async fn metrics_alone_count_and_log_events_that_come_later_add_what_metrics_do_not_tell(site: Site) {
        let desk = Desk::open(site).await;
        let (logs, metrics) = (data::logs("claude"), data::requests("claude", "metrics", "json"));
        for body in &metrics {
            taken(&desk, &desk.sam, "metrics", body.clone()).await;
        }
        let sums = expected::metric_sums(&metrics);
        assert_eq!(tokens(&desk).await, sums);
        assert_eq!(desk.totals().await["sessions"], 5);
        for body in &logs {
            taken(&desk, &desk.sam, "logs", body.clone()).await;
        }
        // one session told nothing of tokens in its first request of metrics, and nobody decided by that
        assert_eq!(tokens(&desk).await, sums);
        let totals = desk.totals().await;
        assert_eq!((totals["sessions"], totals["skill.invocations"], totals["plugin.invocations"]), (5, 2, 2));
    }

    async fn protobuf_over_http_says_the_same_and_is_answered_in_kind(site: Site) {
        let desk = Desk::open(site).await;
        let bodies = data::requests("codex", "logs", "bin");
        for body in &bodies {
            let answer = http::post_otlp(&desk.url(), &desk.maria, ("logs", PROTOBUF), body.clone()).await;
            assert_eq!((answer.status.as_u16(), answer.headers["content-type"].to_str().unwrap()), (200, PROTOBUF));
            let said = ExportLogsServiceResponse::decode(answer.body).unwrap();
            assert_eq!(said.partial_success, None);
        }
        let as_json: Vec<_> = bodies.iter().map(|body| expected::in_json(body)).collect();
        let totals = desk.totals().await;
        assert_eq!(totals, expected::sums(&as_json));
        assert!(totals["tokens.output"] > 0);
        // the same in JSON is the same
        desk.send_all(&desk.maria, &as_json).await;
        assert_eq!(desk.totals().await, totals);
        for body in data::requests("codex", "metrics", "bin") {
            let answer = http::post_otlp(&desk.url(), &desk.maria, ("metrics", PROTOBUF), body).await;
            let said = ExportMetricsServiceResponse::decode(answer.body).unwrap();
            assert_eq!((answer.status.as_u16(), said.partial_success), (200, None));
        }
        assert_eq!(desk.totals().await, totals);

        let garbage = http::post_otlp(&desk.url(), &desk.maria, ("logs", PROTOBUF), vec![0xff; 64]).await;
        assert_eq!((garbage.status.as_u16(), garbage.headers["content-type"].to_str().unwrap()), (400, PROTOBUF));
        let status = tonic_types::pb::Status::decode(garbage.body).unwrap();
        assert_eq!(status.code, i32::from(Code::InvalidArgument));
        assert!(!status.message.is_empty());
        let nobody = http::post_otlp(&desk.url(), "", ("metrics", PROTOBUF), Vec::new()).await;
        assert_eq!(nobody.status.as_u16(), 401);
    }

    async fn the_services_of_opentelemetry_take_the_same_over_grpc(site: Site) {
        let desk = Desk::open(site).await;
        let channel = desk.world.owner.channel.clone();
        let mut logs = LogsServiceClient::new(channel.clone()).send_compressed(CompressionEncoding::Gzip);
        let bodies = data::requests("codex", "logs", "bin");
        for body in &bodies {
            let message = ExportLogsServiceRequest::decode(body.as_slice()).unwrap();
            let answer = logs.export(call(&desk.maria, message)).await.unwrap().into_inner();
            assert_eq!(answer.partial_success, None);
        }
        let mut metrics = MetricsServiceClient::new(channel.clone());
        let claude = data::requests("claude", "metrics", "json");
        for body in &claude {
            let message: ExportMetricsServiceRequest = serde_json::from_slice(body).unwrap();
            metrics.export(call(&desk.sam, message)).await.unwrap();
        }
        let mut sums = told(&expected::sums(&bodies.iter().map(|b| expected::in_json(b)).collect::<Vec<_>>()));
        for (meter, sum) in expected::metric_sums(&claude) {
            *sums.entry(meter).or_default() += sum;
        }
        assert_eq!(tokens(&desk).await, sums);

        let mut broken: ExportMetricsServiceRequest = serde_json::from_slice(claude.last().unwrap()).unwrap();
        let metric = broken.resource_metrics[0].scope_metrics[0].metrics.iter_mut().find(|m| m.name.contains("token")).unwrap();
        let Some(opentelemetry_proto::tonic::metrics::v1::metric::Data::Sum(sum)) = &mut metric.data else { panic!("no sum") };
        sum.aggregation_temporality = 2;
        let refused = metrics.export(call(&desk.sam, broken)).await.unwrap().into_inner().partial_success.unwrap();
        assert_eq!(refused.rejected_data_points, 8);
        assert!(refused.error_message.starts_with("8 MALFORMED (record "), "{}", refused.error_message);

        let mut traces = TraceServiceClient::new(channel);
        let nobody = traces.export(ExportTraceServiceRequest::default()).await.unwrap_err();
        assert_eq!(nobody.code(), Code::Unauthenticated);
        let owner = traces.export(call(&desk.world.owner.secret, ExportTraceServiceRequest::default())).await.unwrap_err();
        assert_eq!(owner.get_details_error_info().unwrap().reason, "TOKEN_SCOPE");
        traces.export(call(&desk.maria, ExportTraceServiceRequest::default())).await.unwrap();
    }

    async fn any_assistant_that_follows_the_conventions_is_metered_under_its_provider(site: Site) {
        let desk = Desk::open(site).await;
        let chat = json!({"gen_ai.operation.name": "chat", "gen_ai.provider.name": "gcp.gemini", "gen_ai.request.model": "g",
            "gen_ai.usage.input_tokens": 1_000, "gen_ai.usage.output_tokens": 50, "gen_ai.usage.cache_read.input_tokens": 400,
            "gen_ai.input.messages": "a secret plan"});
        taken(&desk, &desk.maria, "traces", span(&chat)).await;
        taken(&desk, &desk.maria, "traces", span(&chat)).await;
        taken(&desk, &desk.maria, "traces", span(&json!({"http.route": "/pay"}))).await;
        let by_client = desk.figures(&[proto::usage::v1::UsageDimension::Client]).await;
        let sums = BTreeMap::from([("tokens.input", 600), ("tokens.output", 50), ("tokens.cache_read", 400)]);
        let sums = sums.into_iter().map(|(meter, sum)| (meter.to_owned(), sum)).collect();
        assert_eq!(by_client, BTreeMap::from([("gcp-gemini".to_owned(), sums)]));
        assert!(!desk.world.site.dump(&[]).await.contains("a secret plan"));
    }

    async fn metrics_and_spans_that_cannot_be_taken_are_refused_with_a_status(site: Site) {
        let desk = Desk::open(site).await;
        let mut bomb = GzEncoder::new(Vec::new(), Compression::best());
        bomb.write_all(&vec![b' '; 40_000_000]).unwrap();
        let bomb = bomb.finish().unwrap();
        let large = json!({"resourceSpans": [], "x": "x".repeat(5_000_000)}).to_string().into_bytes();
        for signal in ["metrics", "traces"] {
            for (media, body, status) in [
                (JSON, b"[]".to_vec(), 400),
                (JSON, b"{\"resourceMetrics\":7,\"resourceSpans\":7}".to_vec(), 400),
                (JSON, large.clone(), 413),
                (PROTOBUF, vec![0xff; 100], 400),
                ("text/plain", Vec::new(), 415),
            ] {
                let answer = http::post_otlp(&desk.url(), &desk.maria, (signal, media), body).await;
                assert_eq!(answer.status.as_u16(), status, "{signal} {media}");
            }
            let bearer = format!("Bearer {}", desk.maria);
            let headers = [("authorization", bearer.as_str()), ("content-type", PROTOBUF), ("content-encoding", "gzip")];
            let answer = http::send(::http::Method::POST, &format!("{}/v1/{signal}", desk.url()), &headers, bomb.clone()).await;
            assert_eq!(answer.status.as_u16(), 413, "{signal}");
        }
        assert_eq!(desk.stored().await, "");
    }

    async fn no_decision_about_a_session_binds_somebody_else(site: Site) {
        let desk = Desk::open(site).await;
        let (logs, metrics) = (data::logs("claude/01-basic-env"), data::requests("claude/01-basic-env", "metrics", "json"));
        taken(&desk, &desk.sam, "logs", logs[0].clone()).await;
        let sums = tokens(&desk).await;
        // the same session, by somebody who may be lying
        taken(&desk, &desk.maria, "metrics", metrics[0].clone()).await;
        let doubled: BTreeMap<_, _> = sums.iter().map(|(meter, sum)| (meter.clone(), sum * 2)).collect();
        assert_eq!(tokens(&desk).await, doubled);
    }
}
