//! What captured requests hold, summed from their JSON alone.

use std::collections::{BTreeMap, BTreeSet};

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
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
                let of_plugin = record.get("skill.source").is_some_and(|s| s == "plugin");
                vec![("skill.invocations", 1), ("plugin.invocations", i64::from(of_plugin))]
            }
            Some("codex.tool_result") => vec![("tool.calls", 1), ("app.calls", i64::from(has("mcp_server")))],
            Some("tool_result") => vec![("tool.calls", 1), ("app.calls", i64::from(has("mcp_server_scope")))],
            Some("codex.tool_decision" | "tool_decision") => vec![("decisions", 1)],
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

/// A request in protobuf as the same in JSON, by the public structures.
pub fn in_json(body: &[u8]) -> Vec<u8> {
    let request: ExportLogsServiceRequest = prost::Message::decode(body).unwrap();
    serde_json::to_vec(&request).unwrap()
}

/// Tokens and cost by meter over all metric `bodies` of Claude Code.
pub fn metric_sums(bodies: &[Vec<u8>]) -> BTreeMap<String, i64> {
    let mut sums = BTreeMap::<String, f64>::new();
    for body in bodies {
        let request: Value = serde_json::from_slice(body).unwrap();
        let list = |value: &Value, field: &str| value[field].as_array().cloned().unwrap_or_default();
        let scopes =
            list(&request, "resourceMetrics").into_iter().flat_map(move |r| list(&r, "scopeMetrics"));
        for metric in scopes.flat_map(move |s| list(&s, "metrics")) {
            for point in list(&metric["sum"], "dataPoints") {
                let kind = attributes(&point["attributes"]).remove("type").unwrap_or_default();
                let (meter, units) = match (metric["name"].as_str().unwrap(), kind.as_str()) {
                    ("claude_code.cost.usage", _) => ("cost.usd", 1e6),
                    ("claude_code.token.usage", "input") => ("tokens.input", 1.0),
                    ("claude_code.token.usage", "output") => ("tokens.output", 1.0),
                    ("claude_code.token.usage", "cacheRead") => ("tokens.cache_read", 1.0),
                    ("claude_code.token.usage", "cacheCreation") => ("tokens.cache_write", 1.0),
                    _ => continue,
                };
                *sums.entry(meter.to_owned()).or_default() += point["asDouble"].as_f64().unwrap() * units;
            }
        }
    }
    sums.into_iter().map(|(meter, sum)| (meter, format!("{sum:.0}").parse().unwrap())).collect()
}
