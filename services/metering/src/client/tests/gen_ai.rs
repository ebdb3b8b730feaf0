//! Assistants that follow the semantic conventions for generative AI.

use super::*;
use crate::claim::SourceKind;

const SPAN: &str = "00f067aa0ba902b7";

fn span(attributes: &Json) -> Json {
    json!({"traceId": "4bf92f3577b34da6a3ce929d0e0e4736", "spanId": SPAN, "name": "chat gemini",
        "startTimeUnixNano": (AT - 5).to_string(), "endTimeUnixNano": AT.to_string(), "attributes": pairs(attributes)})
}

fn spans(service: &str, spans: &[Json]) -> Reading {
    let resource =
        json!({"attributes": pairs(&json!({"service.name": service, "service.instance.id": "i"}))});
    let body = json!({"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": spans}]}]});
    read(&Request::json(Signal::Traces, body.to_string().as_bytes()).unwrap())
}

fn read_span(attributes: &Json) -> Option<Result<UsageEvent, Rejection>> {
    spans("gemini-cli", &[span(attributes)]).items.into_iter().next().map(|(_, event)| event)
}

fn chat() -> Json {
    json!({
        "gen_ai.operation.name": "chat", "gen_ai.provider.name": "gcp.vertex_ai",
        "gen_ai.request.model": "gemini-3", "gen_ai.response.model": "gemini-3-pro",
        "gen_ai.usage.input_tokens": 1_000, "gen_ai.usage.output_tokens": 40,
        "gen_ai.usage.cache_read.input_tokens": 300, "gen_ai.usage.cache_creation.input_tokens": 100,
        "gen_ai.usage.reasoning.output_tokens": 9, "gen_ai.conversation.id": "c",
        "gen_ai.input.messages": "what I asked", "gen_ai.output.messages": "what it said",
    })
}

#[test]
fn a_span_of_a_request_counts_each_token_once_under_its_provider() {
    let event = read_span(&chat()).unwrap().unwrap();
    let counted = [
        meter::TOKENS_INPUT,
        meter::TOKENS_CACHE_READ,
        meter::TOKENS_CACHE_WRITE,
        meter::TOKENS_OUTPUT,
        meter::TOKENS_REASONING,
    ];
    assert_eq!(counted.map(|meter| amount(&event, meter)), [600, 300, 100, 40, 9]);
    assert_eq!((event.client.as_ref(), event.event_type.as_ref()), ("gcp-vertex-ai", "gen_ai.chat"));
    assert_eq!((event.session.as_deref(), event.dims.0["model"].as_str()), (Some("c"), "gemini-3-pro"));
    assert_eq!(event.claim.as_ref().unwrap().source_kind, SourceKind::Spans);
    let all = format!("{event:?}");
    assert!(!all.contains("what I asked") && !all.contains("what it said"));
    // what was sent before an upgrade must be known after it: this id may never change
    assert_eq!(event.id, "17264e8347248c0a27a999c0bbe4d8e2");
}

#[test]
fn what_sums_up_other_spans_counts_nothing_and_tools_count_as_tools() {
    let mut agent = chat();
    agent["gen_ai.operation.name"] = json!("invoke_agent");
    assert_eq!(read_span(&agent), None, "the spans below it tell the same tokens");
    let tool = json!({"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "search", "gen_ai.provider.name": "openai", "gen_ai.tool.call.arguments": "secret"});
    let tool = read_span(&tool).unwrap().unwrap();
    assert_eq!((amount(&tool, meter::TOOL_CALLS), tool.dims.0["tool"].as_str()), (1, "search"));
    assert!(!tool.attributes.contains("secret"));
}

#[test]
fn older_names_are_read_too() {
    let old = json!({"gen_ai.system": "openai", "gen_ai.usage.prompt_tokens": 8, "gen_ai.usage.completion_tokens": 3});
    let event = read_span(&old).unwrap().unwrap();
    assert_eq!((amount(&event, meter::TOKENS_INPUT), amount(&event, meter::TOKENS_OUTPUT)), (8, 3));
    assert_eq!(event.client, "openai");
    let mut nameless = old;
    nameless["gen_ai.system"] = json!("../");
    assert_eq!(read_span(&nameless).unwrap().unwrap().client, "gen-ai");
}

#[test]
fn spans_of_anything_else_are_ignored_and_bad_ones_cost_themselves() {
    assert_eq!(read_span(&json!({"http.request.method": "GET"})), None);
    let reading = spans("shop", &[span(&json!({"http.request.method": "GET"})), span(&chat()), json!(7)]);
    assert_eq!(reading.ignored, 1);
    let codes: Vec<_> = reading.items.iter().map(|(at, item)| (*at, item.is_ok())).collect();
    assert_eq!(codes, [(1, true), (2, false)]);
    let mut negative = chat();
    negative["gen_ai.usage.output_tokens"] = json!(-1);
    assert_eq!(refused(read_span(&negative)), Code::Negative);
    assert!(spans("claude-code", &[span(&chat())]).items.is_empty(), "its log events tell the same tokens");
}

#[test]
fn the_log_event_of_a_request_counts_and_what_was_said_is_not_read() {
    let mut attributes = chat();
    attributes["event.name"] = json!("gen_ai.client.inference.operation.details");
    let event = read_record("gemini-cli", &attributes, &json!({})).unwrap().unwrap();
    assert_eq!(
        (amount(&event, meter::TOKENS_OUTPUT), event.claim.unwrap().source_kind),
        (40, SourceKind::Logs)
    );
    let newer = read_record(
        "gemini-cli",
        &chat(),
        &json!({"eventName": "gen_ai.client.inference.operation.details"}),
    );
    assert_eq!(amount(&newer.unwrap().unwrap(), meter::TOKENS_OUTPUT), 40);
    let message =
        json!({"event.name": "gen_ai.user.message", "gen_ai.system": "openai", "content": "secret"});
    assert_eq!(read_record("gemini-cli", &message, &json!({})), None);
}

fn histogram(temporality: i64, kind: &str, sum: &Json) -> Reading {
    let attributes = pairs(
        &json!({"gen_ai.token.type": kind, "gen_ai.provider.name": "openai", "gen_ai.operation.name": "chat"}),
    );
    let point = json!({"attributes": attributes, "startTimeUnixNano": "1", "timeUnixNano": AT.to_string(), "count": "3", "sum": sum, "bucketCounts": ["3"]});
    let metric = json!({"name": "gen_ai.client.token.usage", "histogram": {"aggregationTemporality": temporality, "dataPoints": [point]}});
    let other = json!({"name": "gen_ai.client.operation.duration", "histogram": {"aggregationTemporality": temporality, "dataPoints": [{}]}});
    let resource = json!({"attributes": pairs(&json!({"service.name": "bot"}))});
    let body =
        json!({"resourceMetrics": [{"resource": resource, "scopeMetrics": [{"metrics": [metric, other]}]}]});
    read(&Request::json(Signal::Metrics, body.to_string().as_bytes()).unwrap())
}

#[test]
fn the_sum_of_the_histogram_of_tokens_counts_when_it_says_what_was_added() {
    let one = |reading: Reading| reading.items.into_iter().next().map(|(_, event)| event);
    for (kind, meter) in [
        ("input", meter::TOKENS_INPUT),
        ("output", meter::TOKENS_OUTPUT),
        ("completion", meter::TOKENS_OUTPUT),
    ] {
        let event = one(histogram(1, kind, &json!(1_234.0))).unwrap().unwrap();
        assert_eq!((amount(&event, meter), event.client.as_ref()), (1_234, "openai"));
        assert_eq!(event.claim.unwrap().source_kind, SourceKind::Metrics);
    }
    assert_eq!(one(histogram(1, "other", &json!(1))), None);
    assert_eq!(refused(one(histogram(2, "input", &json!(1)))), Code::Malformed);
    for bad in [json!(null), json!("NaN"), json!(1.5)] {
        assert_eq!(refused(one(histogram(1, "input", &bad))), Code::NotExact);
    }
}

#[test]
fn a_process_decides_for_one_way_of_telling_whatever_signal_it_is() {
    let of_span = read_span(&chat()).unwrap().unwrap().claim.unwrap().session;
    assert!(of_span.starts_with("process/"));
    let of_other = spans("other", &[span(&chat())]).items.remove(0).1.unwrap().claim.unwrap().session;
    assert_ne!(of_span, of_other);
}
