//! What real clients sent, and what becomes of it. Expected figures are computed here from the JSON alone.

use std::{
    collections::{BTreeMap, HashSet},
    path::{Path, PathBuf},
};

use kernel::clock::Time;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::{
    client::{self, KEPT, Reading},
    event::{key::dedupe_key, model::UsageEvent},
    meter,
    otlp::{Request, Signal},
};

/// Shortly after the captures were made.
pub(crate) const NOW: Time = Time::from_micros(1_795_340_000_000_000);

/// Every captured log request in JSON of `client` (`codex`, `claude`, or both when empty), in order.
pub(crate) fn captures(client: &str) -> Vec<(PathBuf, Vec<u8>)> {
    requests(client, "logs", "json")
}

/// Every captured request of `client` about `signal` (`logs`, `metrics`) in a form (`json`, `bin`), in order.
pub(crate) fn requests(client: &str, signal: &str, form: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let default = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    let root = std::env::var_os("PROVOST_DATA").map_or(default, PathBuf::from).join("otlp");
    let mut found = Vec::new();
    for entry in walk(&root.join(client)) {
        let name = entry.file_name().unwrap().to_string_lossy().into_owned();
        if name.contains(signal) && entry.extension().is_some_and(|e| e == form) {
            found.push((entry.clone(), std::fs::read(&entry).unwrap()));
        }
    }
    assert!(!found.is_empty(), "no captures below {}", root.display());
    found
}

fn walk(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).unwrap_or_else(|e| panic!("{}: {e}", dir.display()));
    let mut paths: Vec<_> = entries.map(|e| e.unwrap().path()).collect();
    paths.sort();
    paths.into_iter().flat_map(|p| if p.is_dir() { walk(&p) } else { vec![p] }).collect()
}

/// The events of a log request and of its sessions, and how many records are none.
fn events(body: &[u8]) -> (Vec<UsageEvent>, u64) {
    let Reading { items, ignored } = client::read(&Request::json(Signal::Logs, body).unwrap());
    let mut events: Vec<_> = items.into_iter().map(|(_, event)| event.unwrap()).collect();
    let sessions: BTreeMap<_, _> = events
        .iter()
        .filter_map(|e| Some((e.session.clone()?, client::session(e, e.session.as_deref()?))))
        .collect();
    events.extend(sessions.into_values());
    (events, ignored)
}

/// The log records of a request, each with its attributes as text.
fn records(body: &[u8]) -> Vec<BTreeMap<String, String>> {
    let request: Value = serde_json::from_slice(body).unwrap();
    let logs = request["resourceLogs"].as_array().unwrap().iter();
    let scopes = logs.flat_map(|r| r["scopeLogs"].as_array().unwrap());
    scopes.flat_map(|s| s["logRecords"].as_array().unwrap()).map(attributes).collect()
}

fn attributes(record: &Value) -> BTreeMap<String, String> {
    let pairs = record["attributes"].as_array().unwrap().iter();
    pairs
        .map(|pair| {
            let value = pair["value"].as_object().unwrap().values().next().unwrap();
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            (pair["key"].as_str().unwrap().to_owned(), text)
        })
        .collect()
}

/// The sums that the specification asks for, by another road than the code takes.
fn expected(records: &[BTreeMap<String, String>]) -> BTreeMap<String, i64> {
    let mut sums = BTreeMap::<String, i64>::new();
    let mut add = |meter: &str, value: i64| *sums.entry(meter.to_owned()).or_default() += value;
    let mut sessions = HashSet::new();
    for r in records {
        let get = |key: &str| r.get(key).map_or("", String::as_str);
        let int = |key: &str| r.get(key).map_or(0, |v| v.parse::<i64>().unwrap());
        sessions.extend(r.get("conversation.id").or_else(|| r.get("session.id")).cloned());
        match get("event.name") {
            "codex.sse_event" if get("event.kind") == "response.completed" => {
                let cached = int("cached_token_count");
                add("tokens.input", (int("input_token_count") - cached).max(0));
                add("tokens.cache_read", cached);
                add("tokens.cache_write", int("cache_write_token_count"));
                add("tokens.output", int("output_token_count"));
                add("tokens.reasoning", int("reasoning_token_count"));
            }
            "api_request" => {
                add("tokens.input", int("input_tokens"));
                add("tokens.cache_read", int("cache_read_tokens"));
                add("tokens.cache_write", int("cache_creation_tokens"));
                add("tokens.output", int("output_tokens"));
                add("cost.usd", int("cost_usd_micros"));
            }
            "codex.skill_invocation" => {
                add("skill.invocations", 1);
                add("plugin.invocations", i64::from(!get("skill.plugin_id").is_empty()));
            }
            "skill_activated" => {
                add("skill.invocations", 1);
                add("plugin.invocations", i64::from(get("skill.source") == "plugin"));
            }
            "codex.tool_result" => {
                add("tool.calls", 1);
                add("app.calls", i64::from(!get("mcp_server").is_empty()));
            }
            "tool_result" => add("tool.calls", 1),
            "codex.tool_decision" | "tool_decision" => add("decisions", 1),
            _ => {}
        }
    }
    add("sessions", i64::try_from(sessions.len()).unwrap());
    sums.retain(|_, sum| *sum != 0);
    sums
}

fn sums(events: &[UsageEvent]) -> BTreeMap<String, i64> {
    let mut sums = BTreeMap::new();
    for (meter, amount) in events.iter().flat_map(|e| &e.values) {
        assert!(meter::find(meter).is_some(), "{meter}");
        *sums.entry(meter.to_string()).or_default() += amount.at_scale(0).unwrap();
    }
    sums
}

#[test]
fn every_capture_is_read_whole_and_yields_the_figures_in_it() {
    let mut tokens = 0;
    for (path, body) in captures("") {
        let (events, ignored) = events(&body);
        let records = records(&body);
        let sessions = events.iter().filter(|e| e.event_type.ends_with(".session")).count();
        assert_eq!(ignored, (records.len() + sessions - events.len()) as u64, "{}", path.display());
        assert_eq!(sums(&events), expected(&records), "{}", path.display());
        let tenant = kernel::ids::TenantId(uuid::Uuid::nil());
        let keys: HashSet<_> = events.iter().map(|e| dedupe_key(tenant, &e.source, &e.id)).collect();
        assert_eq!(keys.len(), events.len(), "{}", path.display());
        tokens += sums(&events).get("tokens.input").copied().unwrap_or_default();
    }
    assert!(tokens > 0);
}

#[test]
fn the_two_captures_of_the_quickstart_yield_known_figures() {
    let mut all = BTreeMap::<String, i64>::new();
    for (path, body) in captures("") {
        let path = path.to_string_lossy();
        if path.contains("run2-managed-plugin-mcp-json") || path.contains("03-skill-details") {
            for (meter, sum) in sums(&events(&body).0) {
                *all.entry(meter).or_default() += sum;
            }
        }
    }
    assert_eq!((all["skill.invocations"], all["plugin.invocations"]), (2, 2));
    assert_eq!((all["cost.usd"], all["app.calls"]), (15_600, 1));
    assert_eq!(all["tokens.output"], 2 * 25 + 3 * 35 + 12);
}

/// Attributes that hold what a person wrote, ran, has or is.
const PRIVATE: &[&str] = &[
    "agent_name",
    "arguments",
    "command",
    "cwd",
    "enduser.id",
    "error",
    "file_path",
    "full_command",
    "managed_settings.helper.path",
    "managed_settings.settings",
    "mcp_server_origin",
    "organization.id",
    "output",
    "prompt",
    "prompt_text",
    "response",
    "tool_input",
    "tool_parameters",
    "user.account_id",
    "user.account_uuid",
    "user.email",
    "user.groups",
    "user.id",
];

/// Everything about a request that reaches the store or an answer.
fn kept(body: &[u8]) -> String {
    let mut texts = Vec::new();
    for event in events(body).0 {
        // as JSON and as what the JSON says: escapes must not hide anything
        let values: BTreeMap<String, Value> = serde_json::from_str(&event.attributes).unwrap();
        texts.extend(values.into_values().map(|v| v.as_str().map_or_else(|| v.to_string(), str::to_owned)));
        texts.push(format!("{event:?}"));
    }
    texts.join("\n")
}

#[test]
fn nothing_private_that_the_real_clients_sent_is_kept() {
    let mut seen = 0;
    for (path, body) in captures("") {
        let kept = kept(&body);
        for (key, value) in records(&body).into_iter().flatten() {
            if PRIVATE.contains(&key.as_str()) && value.len() >= 4 {
                seen += 1;
                assert!(!kept.contains(&value), "{}: {key} = {value}", path.display());
            }
        }
    }
    assert!(seen > 100, "the captures hold private values: {seen}");
    assert!(PRIVATE.iter().all(|key| !KEPT.contains(key)));
}

#[test]
fn whatever_stands_in_an_attribute_that_is_not_on_the_list_is_dropped() {
    let mut planted = 0;
    for (path, body) in captures("") {
        let mut request: Value = serde_json::from_slice(&body).unwrap();
        for resource in request["resourceLogs"].as_array_mut().unwrap() {
            resource["resource"]["attributes"]
                .as_array_mut()
                .unwrap()
                .push(json!({"key": "x", "value": {"stringValue": "marker"}}));
            for scope in resource["scopeLogs"].as_array_mut().unwrap() {
                for record in scope["logRecords"].as_array_mut().unwrap() {
                    record["body"] = json!({"stringValue": "marker"});
                    record["severityText"] = json!("marker");
                    let attributes = record["attributes"].as_array_mut().unwrap();
                    for pair in attributes.iter_mut() {
                        let key = pair["key"].as_str().unwrap();
                        if !KEPT.contains(&key) && key != "event.name" && key != "event.timestamp" {
                            pair["value"] = json!({"stringValue": "a marker\n\"quoted\""});
                            planted += 1;
                        }
                    }
                    attributes.push(json!({"key": "not.invented.yet", "value": {"stringValue": "marker"}}));
                }
            }
        }
        let kept = kept(&serde_json::to_vec(&request).unwrap());
        assert!(!kept.contains("marker"), "{}", path.display());
    }
    assert!(planted > 500, "{planted}");
}

/// The JSON pointer of every node below `value`.
fn pointers(value: &Value, at: &str, into: &mut Vec<String>) {
    into.push(at.to_owned());
    match value {
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(n, v)| pointers(v, &format!("{at}/{n}"), into));
        }
        Value::Object(map) => map.iter().for_each(|(k, v)| {
            pointers(v, &format!("{at}/{}", k.replace('~', "~0").replace('/', "~1")), into);
        }),
        _ => {}
    }
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
        Just(json!({"stringValue": "codex.sse_event"})),
        Just(json!({"intValue": "-9223372036854775808"})),
        Just(json!({"doubleValue": 1e308})),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        let keys = prop_oneof![
            Just("stringValue"),
            Just("values"),
            Just("arrayValue"),
            Just("key"),
            Just("logRecords")
        ];
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::hash_map(keys.prop_map(str::to_owned), inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// Reads whatever it is; what holds of every answer is checked.
fn try_read(body: &[u8]) {
    for signal in [Signal::Logs, Signal::Metrics, Signal::Traces] {
        if let Ok(request) = Request::json(signal, body) {
            try_request(&request);
        }
        if let Ok(request) = Request::protobuf(signal, body) {
            try_request(&request);
        }
    }
}

fn try_request(request: &Request<'_>) {
    let mut items = 0_u64;
    request.for_each(&mut |_, _, _| items += 1);
    let reading = client::read(request);
    assert_eq!(reading.items.len() as u64 + reading.ignored, items);
    assert!(reading.items.is_sorted_by_key(|(at, _)| *at));
    for event in reading.items.iter().filter_map(|(_, item)| item.as_ref().ok()) {
        assert!(event.values.iter().all(|(_, value)| !value.is_negative() && !value.is_zero()));
        assert!(!event.id.is_empty() && !event.source.is_empty() && !event.event_type.is_empty());
        assert!(serde_json::from_str::<Value>(&event.attributes).unwrap().is_object());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn arbitrary_json_is_read_or_refused(json in any_json()) {
        try_read(&serde_json::to_vec(&json).unwrap());
        for list in ["resourceLogs", "resourceMetrics", "resourceSpans"] {
            try_read(&serde_json::to_vec(&json!({list: json})).unwrap());
        }
        let metric = json!({"name": "claude_code.token.usage", "sum": {"dataPoints": [json], "aggregationTemporality": 1, "isMonotonic": true}});
        let claude = json!({"attributes": [{"key": "service.name", "value": {"stringValue": "claude-code"}}]});
        try_read(&serde_json::to_vec(&json!({"resourceMetrics": [{"resource": claude, "scopeMetrics": [{"metrics": [metric, json]}]}]})).unwrap());
        try_read(&serde_json::to_vec(&json!({"resourceSpans": [{"scopeSpans": [{"spans": [json]}]}]})).unwrap());
        let scope = json!({"logRecords": [json]});
        let resource = json!({"attributes": [{"key": "service.name", "value": {"stringValue": "codex_exec"}}]});
        try_read(&serde_json::to_vec(&json!({"resourceLogs": [{"resource": resource, "scopeLogs": [scope]}]})).unwrap());
    }

    #[test]
    fn a_capture_with_one_node_exchanged_is_read_or_refused(
        which in any::<prop::sample::Index>(), at in any::<prop::sample::Index>(), new in any_json(),
    ) {
        let captures = [captures(""), requests("claude", "metrics", "json")].concat();
        let mut request: Value = serde_json::from_slice(&which.get(&captures).1).unwrap();
        let mut nodes = Vec::new();
        pointers(&request, "", &mut nodes);
        *request.pointer_mut(&nodes[at.index(nodes.len())]).unwrap() = new;
        try_read(&serde_json::to_vec(&request).unwrap());
    }

    #[test]
    fn protobuf_with_bytes_exchanged_or_cut_off_is_read_or_refused(
        which in any::<prop::sample::Index>(), at in any::<prop::sample::Index>(), byte in any::<u8>(),
    ) {
        let captures = [requests("codex", "logs", "bin"), requests("codex", "metrics", "bin")].concat();
        let mut body = which.get(&captures).1.clone();
        let at = at.index(body.len());
        try_read(&body[..at]);
        body[at] = byte;
        try_read(&body);
    }

    #[test]
    fn a_capture_with_bytes_exchanged_or_cut_off_is_read_or_refused(
        which in any::<prop::sample::Index>(), at in any::<prop::sample::Index>(), byte in any::<u8>(),
    ) {
        let captures = captures("");
        let mut body = which.get(&captures).1.trim_ascii_end().to_vec();
        let at = at.index(body.len());
        let cut = Request::json(Signal::Logs, &body[..at]);
        prop_assert!(cut.is_err(), "a request cut off at byte {} was taken", at);
        body[at] = byte;
        try_read(&body);
    }
}
