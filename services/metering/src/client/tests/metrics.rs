//! Claude Code's metrics, whose doubles are counts.

use super::*;
use crate::{captures::requests, claim::SourceKind, event::model::VALUE};

/// One data point of `claude-code`; `more` is laid over it.
fn point(metric: &str, attributes: &Json, more: &Json) -> Json {
    let mut point = json!({"startTimeUnixNano": (AT - 1_000).to_string(), "timeUnixNano": AT.to_string(), "asDouble": 7, "attributes": pairs(attributes)});
    for (key, value) in more.as_object().unwrap() {
        point[key] = value.clone();
    }
    json!({"name": metric, "sum": {"aggregationTemporality": 1, "isMonotonic": true, "dataPoints": [point]}})
}

fn read_all(service: &str, metrics: &[Json]) -> Reading {
    let resource = json!({"attributes": pairs(&json!({"service.name": service}))});
    let body = json!({"resourceMetrics": [{"resource": resource, "scopeMetrics": [{"metrics": metrics}]}]});
    read(&Request::json(Signal::Metrics, body.to_string().as_bytes()).unwrap())
}

fn read_one(metric: &Json) -> Option<Result<UsageEvent, Rejection>> {
    read_all("claude-code", std::slice::from_ref(metric)).items.into_iter().next().map(|(_, event)| event)
}

fn tokens(kind: &str, more: &Json) -> Option<Result<UsageEvent, Rejection>> {
    let attributes =
        json!({"type": kind, "session.id": "s", "model": "opus", "user.email": "a@acme.example"});
    read_one(&point("claude_code.token.usage", &attributes, more))
}

#[test]
fn doubles_that_are_whole_count_and_others_are_refused() {
    for (kind, meter) in [
        ("input", meter::TOKENS_INPUT),
        ("output", meter::TOKENS_OUTPUT),
        ("cacheRead", meter::TOKENS_CACHE_READ),
        ("cacheCreation", meter::TOKENS_CACHE_WRITE),
    ] {
        let event = tokens(kind, &json!({"asDouble": 1_200.0})).unwrap().unwrap();
        assert_eq!((amount(&event, meter), event.values.len()), (1_200, 1));
    }
    assert_eq!(tokens("thinking", &json!({})), None, "a kind of token that no meter counts");
    assert_eq!(tokens("input", &json!({"asDouble": 0})), None, "a report of nothing");
    let as_int = tokens("input", &json!({"asDouble": null, "asInt": "8"})).unwrap().unwrap();
    assert_eq!(amount(&as_int, meter::TOKENS_INPUT), 8);
    for (value, code) in [
        (json!(7.5), Code::NotExact),
        (json!("NaN"), Code::NotExact),
        (json!("Infinity"), Code::NotExact),
        (json!(1e300), Code::NotExact),
        (json!(-1), Code::Negative),
        (json!(MAX_AMOUNT + 1), Code::TooLarge),
        (json!(null), Code::NotExact),
    ] {
        assert_eq!(refused(tokens("input", &json!({"asDouble": value}))), code, "{value}");
    }
}

#[test]
fn a_cost_that_was_added_up_in_doubles_is_its_whole_millionths() {
    let cost = |value: Json| {
        read_one(&point("claude_code.cost.usage", &json!({"session.id": "s"}), &json!({"asDouble": value})))
    };
    for (dollars, micros) in [
        (json!(0.007_799_999_999_999_999), 7_800),
        (json!(0.023_399_999_999_999_997), 23_400),
        (json!(0.011), 11_000),
        (json!(3), 3_000_000),
        (json!(0.000_000_6), 1),
    ] {
        assert_eq!(amount(&cost(dollars.clone()).unwrap().unwrap(), meter::COST_USD), micros, "{dollars}");
    }
    assert_eq!(cost(json!(0.000_000_4)), None, "less than half of what can be counted");
    for bad in [json!("NaN"), json!("-Infinity"), json!("much")] {
        assert_eq!(refused(cost(bad)), Code::NotExact);
    }
    assert_eq!(refused(cost(json!(-0.5))), Code::Negative);
    assert_eq!(refused(cost(json!(1e18))), Code::NotExact);
}

#[test]
fn sums_since_the_start_and_other_kinds_are_refused_and_unknown_metrics_ignored() {
    let mut cumulative = point("claude_code.token.usage", &json!({"type": "input"}), &json!({}));
    cumulative["sum"]["aggregationTemporality"] = json!(2);
    let rejection = read_one(&cumulative).unwrap().unwrap_err();
    assert!(rejection.message.contains("TEMPORALITY_PREFERENCE"), "{rejection:?}");
    let mut falling = point("claude_code.token.usage", &json!({"type": "input"}), &json!({}));
    falling["sum"]["isMonotonic"] = json!(false);
    assert_eq!(refused(read_one(&falling)), Code::Malformed);
    let attributes = pairs(&json!({"type": "input"}));
    for kind in ["gauge", "histogram", "exponentialHistogram", "summary", "notInvented"] {
        let points = json!({"dataPoints": [{"attributes": attributes, "asDouble": 7, "timeUnixNano": AT.to_string()}], "aggregationTemporality": 1});
        let of_kind = |name: &str| json!({"name": name, kind: points});
        assert_eq!(refused(read_one(&of_kind("claude_code.token.usage"))), Code::Malformed, "{kind}");
        assert_eq!(read_one(&of_kind("claude_code.not.invented")), None, "{kind}");
    }
    let lost = json!({"timeUnixNano": 0});
    assert_eq!(refused(tokens("input", &lost)), Code::MissingTime);
}

#[test]
fn one_bad_data_point_costs_itself_and_not_its_neighbours() {
    let mut metric =
        point("claude_code.token.usage", &json!({"type": "input", "session.id": "s"}), &json!({}));
    let points = metric["sum"]["dataPoints"].as_array_mut().unwrap();
    points.push(json!("no point"));
    points.push(json!({"asDouble": {}, "attributes": []}));
    let reading =
        read_all("claude-code", &[json!(7), metric, json!({"name": "claude_code.token.usage", "sum": []})]);
    let codes: Vec<_> =
        reading.items.iter().map(|(at, item)| (*at, item.as_ref().err().map(|e| e.code))).collect();
    let bad = Some(Code::Malformed);
    assert_eq!(codes, [(0, bad), (1, None), (2, bad), (3, bad), (4, bad)]);
}

#[test]
fn a_data_point_is_the_same_for_ever_in_whatever_order_its_attributes_come() {
    let at = |more: &Json| tokens("input", more).unwrap().unwrap();
    let first = at(&json!({}));
    assert_eq!(first.id, at(&json!({})).id);
    let ordered = json!({"attributes": [
        {"key": "user.email", "value": {"stringValue": "a@acme.example"}},
        {"key": "type", "value": {"stringValue": "input"}},
        {"key": "session.id", "value": {"stringValue": "s"}},
        {"key": "model", "value": {"stringValue": "opus"}},
    ]});
    assert_eq!(first.id, at(&ordered).id);
    for other in [json!({"startTimeUnixNano": "1"}), json!({"timeUnixNano": (AT + 1).to_string()})] {
        assert_ne!(first.id, at(&other).id);
    }
    let corrected = at(&json!({"asDouble": 8}));
    assert_eq!(first.id, corrected.id);
    assert_ne!(first.attributes, corrected.attributes, "so that the store sees a conflict");
    // what was sent before an upgrade must be known after it: this id may never change
    assert_eq!(first.id, "5b5d67f8ebddc3d0c53fe73cc4bb21f4");
}

#[test]
fn lines_commits_and_edits_are_told_by_metrics_only() {
    let of = |metric: &str, attributes: Json, value: Json| {
        read_one(&point(metric, &attributes, &json!({"asDouble": value}))).unwrap().unwrap()
    };
    let lines = of("claude_code.lines_of_code.count", json!({"type": "added", "session.id": "s"}), json!(12));
    assert_eq!((amount(&lines, meter::LINES_OF_CODE), lines.dims.0["change"].as_str()), (12, "added"));
    assert_eq!(lines.claim, None);
    assert_eq!(amount(&of("claude_code.commit.count", json!({}), json!(2)), VALUE), 2);
    assert_eq!(amount(&of("claude_code.pull_request.count", json!({}), json!(1)), VALUE), 1);
    let active = of("claude_code.active_time.total", json!({"type": "cli"}), json!(1.117_999_999_999_999_9));
    assert_eq!(amount(&active, VALUE), 1_118, "milliseconds");
    let edit = json!({"decision": "accept", "language": "Rust", "tool_name": "Edit", "session.id": "s"});
    let edit = of("claude_code.code_edit_tool.decision", edit, json!(3));
    assert_eq!((amount(&edit, meter::DECISIONS), edit.dims.0["language"].as_str()), (3, "Rust"));
    assert_eq!(edit.claim.unwrap().source_kind, SourceKind::Metrics);
    let started =
        of("claude_code.session.count", json!({"session.id": "s", "start_type": "fresh"}), json!(1));
    assert!(started.values.is_empty() && started.session.as_deref() == Some("s"));
}

/// What the metrics of a capture say, by another road.
#[test]
fn the_metrics_of_the_captures_say_what_their_log_events_say() {
    let mut sums = BTreeMap::<String, BTreeMap<String, i64>>::new();
    for (signal, kind) in [("logs", Signal::Logs), ("metrics", Signal::Metrics)] {
        for (_, body) in requests("claude", signal, "json") {
            let reading = read(&Request::json(kind, &body).unwrap());
            for (_, event) in reading.items {
                let event = event.unwrap();
                let told = if kind == Signal::Logs { SourceKind::Logs } else { SourceKind::Metrics };
                assert!(event.claim.as_ref().is_none_or(|claim| claim.source_kind == told));
                for (name, value) in event
                    .values
                    .iter()
                    .filter(|(name, _)| name.starts_with("tokens.") || name == meter::COST_USD)
                {
                    let of = sums.entry(signal.to_owned()).or_default();
                    *of.entry(name.to_string()).or_default() += value.at_scale(0).unwrap();
                }
            }
        }
    }
    assert_eq!(sums["logs"], sums["metrics"]);
    assert_eq!(sums["logs"][meter::COST_USD], 7_800 * 2 + 15_600 + 31_200 + 22_000);
}

#[test]
fn the_metrics_of_codex_say_nothing_more_and_refuse_nothing() {
    for (path, body) in requests("codex", "metrics", "json") {
        let reading = read(&Request::json(Signal::Metrics, &body).unwrap());
        assert!(reading.items.is_empty() && reading.ignored > 1, "{}: {:?}", path.display(), reading.items);
    }
    for (_, body) in requests("codex", "metrics", "bin") {
        let reading = read(&Request::protobuf(Signal::Metrics, &body).unwrap());
        assert!(reading.items.is_empty() && reading.ignored > 10);
    }
}
