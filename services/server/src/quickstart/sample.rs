//! A small day of work, in the shapes that Codex and Claude Code send.

use serde_json::{Value, json};

/// Hours before the client's creation at which the sample's sessions lie.
const HOURS_BEFORE: i64 = 3;

/// One person's session as an OTLP/HTTP JSON log request; the same arguments give the same bytes.
pub fn session(role: &str, index: usize, created: i64) -> Vec<u8> {
    let nth = i64::try_from(index).unwrap_or(0);
    let begun = created - HOURS_BEFORE * 3_600 + nth * 60;
    let request = if index.is_multiple_of(2) { codex(role, nth, begun) } else { claude(role, nth, begun) };
    request.to_string().into_bytes()
}

/// The plugin of the starter marketplace that the role works with.
fn plugin(role: &str) -> &str {
    match role {
        "data-analyst" => "data-analytics",
        "investment-banker" => "investment-banking",
        "developer" => "product-design",
        other => other,
    }
}

fn codex(role: &str, nth: i64, begun: i64) -> Value {
    let conversation = format!("sample-{role}");
    let mut records = vec![record(
        begun,
        0,
        &[("event.name", json!("codex.conversation_starts")), ("conversation.id", json!(conversation))],
    )];
    for turn in 1..=4 + nth {
        records.push(record(
            begun,
            turn * 10,
            &[
                ("event.name", json!("codex.sse_event")),
                ("event.kind", json!("response.completed")),
                ("conversation.id", json!(conversation)),
                ("input_token_count", json!((1_400 + 100 * turn).to_string())),
                ("cached_token_count", json!("400")),
                ("output_token_count", json!((60 + 5 * turn).to_string())),
                ("reasoning_token_count", json!("20")),
            ],
        ));
    }
    records.push(record(
        begun,
        90,
        &[
            ("event.name", json!("codex.skill_invocation")),
            ("conversation.id", json!(conversation)),
            ("skill.name", json!(format!("{}:daily-brief", plugin(role)))),
            ("skill.plugin_id", json!(format!("{}@provost-starter", plugin(role)))),
        ],
    ));
    request("codex_cli", "codex_otel.log_only", &records)
}

fn claude(role: &str, nth: i64, begun: i64) -> Value {
    let session = format!("sample-{role}");
    let mut records = Vec::new();
    for turn in 1..=3 + nth {
        records.push(record(
            begun,
            turn * 10,
            &[
                ("event.name", json!("api_request")),
                ("session.id", json!(session)),
                ("event.sequence", json!(turn)),
                ("model", json!("sample")),
                ("input_tokens", json!(900 + 50 * turn)),
                ("output_tokens", json!(40 + 5 * turn)),
                ("cache_read_tokens", json!(2_000)),
                ("cache_creation_tokens", json!(100)),
                ("cost_usd_micros", json!(5_200 + 100 * turn)),
                ("request_id", json!(format!("{session}-{turn}"))),
            ],
        ));
    }
    records.push(record(
        begun,
        95,
        &[
            ("event.name", json!("skill_activated")),
            ("session.id", json!(session)),
            ("event.sequence", json!(99)),
            ("skill.name", json!(format!("{}:account-brief", plugin(role)))),
            ("plugin.name", json!(plugin(role))),
            ("marketplace.name", json!("provost-starter")),
        ],
    ));
    request("claude-code", "com.anthropic.claude_code.events", &records)
}

fn request(service: &str, scope: &str, records: &[Value]) -> Value {
    json!({"resourceLogs": [{
        "resource": {"attributes": [attribute("service.name", &json!(service))]},
        "scopeLogs": [{"scope": {"name": scope}, "logRecords": records}],
    }]})
}

fn record(begun: i64, after: i64, attributes: &[(&str, Value)]) -> Value {
    let nanos = format!("{}000000000", begun + after);
    json!({
        "timeUnixNano": nanos,
        "observedTimeUnixNano": nanos,
        "attributes": attributes.iter().map(|(key, value)| attribute(key, value)).collect::<Vec<_>>(),
    })
}

fn attribute(key: &str, value: &Value) -> Value {
    match value {
        Value::Number(n) => json!({"key": key, "value": {"intValue": n}}),
        other => json!({"key": key, "value": {"stringValue": other}}),
    }
}
