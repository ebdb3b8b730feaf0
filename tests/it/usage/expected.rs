//! What captured requests hold, summed from their JSON alone.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// The attributes of every log record, as text.
pub fn records(body: &[u8]) -> Vec<BTreeMap<String, String>> {
    let request: Value = serde_json::from_slice(body).unwrap();
    let list = |value: &Value, field: &str| value[field].as_array().cloned().unwrap_or_default();
    let scopes = list(&request, "resourceLogs").into_iter().flat_map(move |r| list(&r, "scopeLogs"));
    scopes.flat_map(move |s| list(&s, "logRecords")).map(|r| attributes(&r["attributes"])).collect()
}

/// Attributes in the form of OTLP/JSON, as text.
pub fn attributes(list: &Value) -> BTreeMap<String, String> {
    let pairs = list.as_array().cloned().unwrap_or_default().into_iter();
    pairs
        .map(|pair| {
            let value = pair["value"].as_object().unwrap().values().next().unwrap();
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            (pair["key"].as_str().unwrap().to_owned(), text)
        })
        .collect()
}

/// Sums by meter over all `bodies`, none of them zero.
pub fn sums(bodies: &[Vec<u8>]) -> BTreeMap<String, i64> {
    let (mut sums, mut sessions) = (BTreeMap::<String, i64>::new(), BTreeSet::new());
    for record in bodies.iter().flat_map(|b| records(b)) {
        sessions.extend(record.get("conversation.id").or_else(|| record.get("session.id")).cloned());
        let has = |key: &str| record.get(key).is_some_and(|v| !v.is_empty());
        let number = |key: &str| record.get(key).map_or(0, |v| v.parse::<i64>().unwrap());
        let cached = number("cached_token_count");
        let amounts: Vec<(&str, i64)> = match record.get("event.name").map(String::as_str) {
            Some("codex.sse_event")
                if record.get("event.kind").is_some_and(|k| k == "response.completed") =>
            {
                vec![
                    ("tokens.input", number("input_token_count") - cached),
                    ("tokens.cache_read", cached),
                    ("tokens.cache_write", number("cache_write_token_count")),
                    ("tokens.output", number("output_token_count")),
                    ("tokens.reasoning", number("reasoning_token_count")),
                ]
            }
            Some("api_request") => vec![
                ("tokens.input", number("input_tokens")),
                ("tokens.cache_read", number("cache_read_tokens")),
                ("tokens.cache_write", number("cache_creation_tokens")),
                ("tokens.output", number("output_tokens")),
                ("cost.usd", number("cost_usd_micros")),
            ],
            Some("codex.skill_invocation") => {
                vec![("skill.invocations", 1), ("plugin.invocations", i64::from(has("skill.plugin_id")))]
            }
            Some("skill_activated") => {
                vec![("skill.invocations", 1), ("plugin.invocations", i64::from(has("plugin.name")))]
            }
            Some("codex.tool_result") => vec![("tool.calls", 1), ("app.calls", i64::from(has("mcp_server")))],
            Some("tool_result") => vec![("tool.calls", 1), ("app.calls", i64::from(has("mcp_server_scope")))],
            _ => Vec::new(),
        };
        for (meter, amount) in amounts {
            *sums.entry(meter.to_owned()).or_default() += amount;
        }
    }
    sums.insert("sessions".to_owned(), i64::try_from(sessions.len()).unwrap());
    sums.retain(|_, sum| *sum != 0);
    sums
}
