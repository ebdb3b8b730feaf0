use serde_json::{Value as Json, json};

use super::{reading::MAX_VALUE, *};
use crate::{event::model::MAX_AMOUNT, meter};

mod gen_ai;
mod metrics;
mod protobuf;

const AT: u64 = 1_795_338_165_179_349_100;

fn pairs(map: &Json) -> Json {
    let pair = |(key, value): (&String, &Json)| {
        let value = match value {
            Json::String(text) => json!({"stringValue": text}),
            Json::Bool(bool) => json!({"boolValue": bool}),
            Json::Number(n) if n.is_i64() => json!({"intValue": n.to_string()}),
            Json::Number(n) => json!({"doubleValue": n}),
            other => other.clone(),
        };
        json!({"key": key, "value": value})
    };
    map.as_object().unwrap().iter().map(pair).collect()
}

/// Reads one record with these attributes; `more` is laid over it.
fn read_record(service: &str, attributes: &Json, more: &Json) -> Option<Result<UsageEvent, Rejection>> {
    let mut record = json!({"timeUnixNano": "0", "observedTimeUnixNano": AT.to_string(), "body": null, "attributes": pairs(attributes)});
    for (key, value) in more.as_object().unwrap() {
        record[key] = value.clone();
    }
    let body = logs(service, &[record]);
    let reading = read(&Request::json(Signal::Logs, &body).unwrap());
    reading.items.into_iter().next().map(|(_, event)| event)
}

/// A log request of one process.
fn logs(service: &str, records: &[Json]) -> Vec<u8> {
    let resource = json!({"attributes": pairs(&json!({"service.name": service}))});
    json!({"resourceLogs": [{"resource": resource, "scopeLogs": [{"logRecords": records}]}]})
        .to_string()
        .into_bytes()
}

fn codex(attributes: &Json) -> Option<Result<UsageEvent, Rejection>> {
    read_record("codex_exec", attributes, &json!({}))
}

fn claude(attributes: &Json) -> Option<Result<UsageEvent, Rejection>> {
    read_record("claude-code", attributes, &json!({"timeUnixNano": AT.to_string()}))
}

fn amount(event: &UsageEvent, meter: &str) -> i64 {
    event.values.iter().filter(|(name, _)| name == meter).map(|(_, value)| value.at_scale(0).unwrap()).sum()
}

fn refused(read: Option<Result<UsageEvent, Rejection>>) -> Code {
    read.expect("an event").expect_err("refused").code
}

fn completed(more: &Json) -> Json {
    let mut all =
        json!({"event.name": "codex.sse_event", "event.kind": "response.completed", "conversation.id": "c"});
    for (key, value) in more.as_object().unwrap() {
        all[key] = value.clone();
    }
    all
}

#[test]
fn of_the_two_completions_of_a_response_only_the_one_with_counts_is_an_event() {
    assert_eq!(codex(&completed(&json!({}))), None);
    let counted = json!({"input_token_count": "1300", "cached_token_count": 200, "output_token_count": "35", "reasoning_token_count": 10});
    let event = codex(&completed(&counted)).unwrap().unwrap();
    assert_eq!(amount(&event, meter::TOKENS_INPUT), 1_100);
    assert_eq!(amount(&event, meter::TOKENS_CACHE_READ), 200);
    assert_eq!(amount(&event, meter::TOKENS_OUTPUT), 35);
    assert_eq!(amount(&event, meter::TOKENS_REASONING), 10);
    assert_eq!(event.values.len(), 4, "what is zero is not stored");
    assert_eq!(
        codex(
            &json!({"event.name": "codex.sse_event", "event.kind": "response.created", "input_token_count": 1})
        ),
        None
    );
}

#[test]
fn more_cached_than_input_tokens_never_count_below_zero() {
    let event =
        codex(&completed(&json!({"input_token_count": "5", "cached_token_count": "9"}))).unwrap().unwrap();
    assert_eq!(amount(&event, meter::TOKENS_INPUT), 0);
    assert_eq!(amount(&event, meter::TOKENS_CACHE_READ), 9);
}

#[test]
fn quantities_are_whole_not_negative_and_bounded() {
    let count = |value: Json| codex(&completed(&json!({"input_token_count": value})));
    for good in [json!("7"), json!(7), json!(7.0)] {
        assert_eq!(amount(&count(good).unwrap().unwrap(), meter::TOKENS_INPUT), 7);
    }
    assert_eq!(count(json!("")).unwrap().unwrap().values, []);
    for bad in [
        json!("7.5"),
        json!(7.5),
        json!("NaN"),
        json!(1e300),
        json!("9223372036854775808"),
        json!(true),
        json!("١"),
    ] {
        assert_eq!(refused(count(bad.clone())), Code::NotExact, "{bad}");
    }
    assert_eq!(refused(count(json!(-1))), Code::Negative);
    assert_eq!(refused(count(json!("-1"))), Code::Negative);
    assert!(count(json!(MAX_AMOUNT)).unwrap().is_ok());
    assert_eq!(refused(count(json!(MAX_AMOUNT + 1))), Code::TooLarge);
}

#[test]
fn apps_and_plugins_count_only_where_they_are_named() {
    let tool = |server: &str| {
        codex(&json!({"event.name": "codex.tool_result", "mcp_server": server})).unwrap().unwrap()
    };
    assert_eq!((amount(&tool("ledger"), meter::APP_CALLS), amount(&tool(""), meter::APP_CALLS)), (1, 0));
    assert_eq!((amount(&tool("ledger"), meter::TOOL_CALLS), amount(&tool(""), meter::TOOL_CALLS)), (1, 1));
    let skill = json!({"event.name": "codex.skill_invocation", "skill.name": "s"});
    let own = codex(&skill).unwrap().unwrap();
    assert_eq!((amount(&own, meter::SKILL_INVOCATIONS), amount(&own, meter::PLUGIN_INVOCATIONS)), (1, 0));
    let tool = claude(&json!({"event.name": "tool_result", "mcp_server_scope": "project"})).unwrap().unwrap();
    assert_eq!((amount(&tool, meter::TOOL_CALLS), amount(&tool, meter::APP_CALLS)), (1, 1));
}

#[test]
fn a_plugin_that_is_loaded_is_not_used() {
    let told = |event: &str| {
        claude(&json!({"event.name": event, "plugin.name": "kit", "marketplace.name": "acme"}))
            .unwrap()
            .unwrap()
    };
    let (loaded, used) = (told("plugin_loaded"), told("skill_activated"));
    assert_eq!(
        (loaded.dims.0.get("plugin"), used.dims.0.get("plugin").map(String::as_str)),
        (None, Some("kit"))
    );
    assert_eq!(loaded.dims.0.get("loaded_plugin").map(String::as_str), Some("kit"));
    assert!(loaded.observation.is_some());
}

#[test]
fn a_cost_without_whole_millionths_is_no_quantity() {
    let request = |more: Json| {
        let mut all = json!({"event.name": "api_request", "input_tokens": 1});
        all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        claude(&all).unwrap().unwrap()
    };
    assert_eq!(
        amount(&request(json!({"cost_usd_micros": 7_800, "cost_usd": 0.0078})), meter::COST_USD),
        7_800
    );
    assert_eq!(amount(&request(json!({"cost_usd": 0.0078})), meter::COST_USD), 0);
}

#[test]
fn the_time_is_the_first_that_the_record_says() {
    let name = json!({"event.name": "codex.user_prompt"});
    let stamped = json!({"event.name": "codex.user_prompt", "event.timestamp": "2026-11-22T09:02:45.200Z"});
    let time = |attributes: &Json, more: Json| {
        read_record("codex_exec", attributes, &more).unwrap().map(|e| e.time.micros())
    };
    assert_eq!(time(&name, json!({"timeUnixNano": "1795338165000000999"})), Ok(1_795_338_165_000_000));
    assert_eq!(
        time(&name, json!({"timeUnixNano": 1_795_338_165_000_000_999_u64})),
        Ok(1_795_338_165_000_000)
    );
    assert_eq!(time(&name, json!({"timeUnixNano": null})), Ok(1_795_338_165_179_349));
    assert_eq!(time(&stamped, json!({"observedTimeUnixNano": 0})), Ok(1_795_338_165_200_000));
    let none = read_record("codex_exec", &name, &json!({"observedTimeUnixNano": null}));
    assert_eq!(refused(none), Code::MissingTime);
    let far = time(&name, json!({"timeUnixNano": u64::MAX.to_string()}));
    assert_eq!(far, Ok(18_446_744_073_709_551), "read, and then outside the window");
}

#[test]
fn strangers_are_refused_and_what_is_no_event_is_ignored() {
    let name = json!({"event.name": "codex.user_prompt"});
    for stranger in ["", "claude", "gemini", "Claude-Code", "xcodex"] {
        assert_eq!(refused(read_record(stranger, &name, &json!({}))), Code::UnknownClient, "{stranger}");
    }
    assert!(read_record("codex_cli_rs", &name, &json!({})).unwrap().is_ok());
    for nothing in [
        json!({}),
        json!({"event.name": ""}),
        json!({"event.name": 7}),
        json!({"event.name": "codex.turn_ttft"}),
    ] {
        assert_eq!(codex(&nothing), None);
    }
    assert_eq!(claude(&json!({"event.name": "codex.user_prompt"})), None, "events of another client");
    assert_eq!(read_record("codex_exec", &json!({}), &json!({"attributes": null})), None);
}

#[test]
fn records_over_a_limit_are_refused() {
    let many: serde_json::Map<_, _> = (0..=MAX_ATTRIBUTES).map(|n| (format!("a{n}"), json!(n))).collect();
    assert_eq!(refused(codex(&Json::Object(many))), Code::TooLarge);
    let name = |length: usize| json!({"event.name": "codex.tool_result", "tool_name": "x".repeat(length)});
    assert!(codex(&name(MAX_VALUE)).unwrap().is_ok());
    assert_eq!(refused(codex(&name(MAX_VALUE + 1))), Code::TooLarge);
    let session = |length: usize| json!({"event.name": "user_prompt", "session.id": "x".repeat(length)});
    assert!(claude(&session(MAX_SESSION)).unwrap().is_ok());
    assert_eq!(refused(claude(&session(MAX_SESSION + 1))), Code::TooLarge);
    let long = json!({"event.name": "codex.tool_result", "output": "x".repeat(100_000)});
    assert!(codex(&long).unwrap().is_ok(), "what is dropped may be long");
}

#[test]
fn lists_and_unknown_kinds_of_values_are_read() {
    let event = claude(&json!({
        "event.name": "managed_settings_resolved",
        "managed_settings.sources": {"arrayValue": {"values": [{"stringValue": "remote"}, {"intValue": 2}, null]}},
        "managed_settings.trigger": {"newValue": {"a": [1]}, "stringValue": "startup"},
        "model": {"kvlistValue": {"values": []}},
        "effort": null,
    }));
    let kept = event.unwrap().unwrap().attributes;
    assert_eq!(kept, r#"{"managed_settings.sources":"remote,2,","managed_settings.trigger":"startup"}"#);
}

#[test]
fn the_same_record_has_the_same_id_for_ever_and_another_has_another() {
    let prompt = |session: &str, sequence: i64, at: u64| {
        let attributes = json!({"event.name": "user_prompt", "session.id": session, "event.sequence": sequence, "prompt": "secret"});
        read_record("claude-code", &attributes, &json!({"timeUnixNano": at.to_string()})).unwrap().unwrap().id
    };
    assert_eq!(prompt("s", 9, AT), prompt("s", 9, AT));
    let others = [prompt("t", 9, AT), prompt("s", 8, AT), prompt("s", 9, AT + 1)];
    assert!(!others.contains(&prompt("s", 9, AT)), "a resumed session repeats its numbers at another time");
    // what was sent before an upgrade must be known after it: this id may never change
    assert_eq!(prompt("s", 9, AT), "4285dbf8c47ea2c426fe0d7e0a6f9c9d");
    let tool =
        codex(&json!({"event.name": "codex.tool_result", "conversation.id": "c", "call_id": "call_1"}));
    assert_eq!(tool.unwrap().unwrap().id, "08fa9072531ef581f64e02934f0c7d63");
}
