//! Telemetry in over HTTP, figures out, through a real kernel on the embedded database.

use std::io::Write as _;

use flate2::{Compression, write::GzEncoder};
use http::StatusCode;
use proto::usage::v1::{self as pb, UsageDimension as By, usage_service_server::UsageService as _};
use serde_json::{Value, json};

use crate::captures::{NOW, captures};

mod house;

use house::House;

fn capture(part: &str) -> Vec<Vec<u8>> {
    captures("")
        .into_iter()
        .filter(|(path, _)| path.to_string_lossy().contains(part))
        .map(|(_, body)| body)
        .collect()
}

const CODEX: &str = "run2-managed-plugin-mcp-json";
const CLAUDE: &str = "03-skill-details";

fn texts<const N: usize>(texts: [&str; N]) -> [String; N] {
    texts.map(str::to_owned)
}

#[tokio::test]
async fn captures_count_once_under_the_role_of_the_time() {
    let house = House::build().await;
    for (part, token) in [(CODEX, 0), (CLAUDE, 1)] {
        for body in capture(part) {
            let answer = house.json(&house.tokens[token], &body).await;
            assert_eq!(answer, (StatusCode::OK, json!({"partialSuccess": {}})));
        }
    }
    let (role, unit) = ("tenants/acme/roles/sales", "tenants/acme/units/emea");
    let [maria, agent] = ["tenants/acme/principals/maria", "tenants/acme/principals/maria-agent"];
    let all = [By::Role, By::Unit, By::Principal, By::Client];
    let by_all = house.figures(&["skill.invocations", "sessions"], &all).await;
    let row = |principal, client, meter| texts([role, unit, principal, client, meter, "1"]);
    assert_eq!(
        by_all,
        [
            row(maria, "codex", "sessions"),
            row(agent, "claude-code", "sessions"),
            row(maria, "codex", "skill.invocations"),
            row(agent, "claude-code", "skill.invocations"),
        ]
    );
    let by_role = house.figures(&["tokens.output"], &[By::Role]).await;
    assert_eq!(by_role, [texts([role, "", "", "", "tokens.output", "167"])]);

    let (events, audited) = (house.count("usage_event").await, house.count("audit_pending").await);
    for (part, token) in [(CODEX, 0), (CLAUDE, 1)] {
        for body in capture(part) {
            assert_eq!(house.json(&house.tokens[token], &body).await.0, StatusCode::OK);
        }
    }
    assert_eq!(house.count("usage_event").await, events);
    assert_eq!(house.count("audit_pending").await, audited, "a repetition changes nothing and is no act");

    house.change("UPDATE role SET delete_time = 1 WHERE slug = 'sales'").await;
    house.change("UPDATE role_member SET create_time = 5").await;
    assert_eq!(
        house.figures(&["tokens.output"], &[By::Role]).await,
        by_role,
        "what was deleted keeps its name"
    );
}

#[tokio::test]
async fn the_same_request_sent_several_times_at_once_counts_once() {
    let house = House::build().await;
    let body = capture(CODEX).swap_remove(0);
    let send = || house.json(&house.tokens[0], &body);
    let answers = tokio::join!(send(), send(), send(), send());
    for answer in [answers.0, answers.1, answers.2, answers.3] {
        assert_eq!(answer, (StatusCode::OK, json!({"partialSuccess": {}})));
    }
    let alone = House::build().await;
    alone.json(&alone.tokens[0], &body).await;
    assert_eq!(house.figures(&[], &[By::Role]).await, alone.figures(&[], &[By::Role]).await);
}

#[tokio::test]
async fn the_figures_of_a_dimension_add_up_to_the_total() {
    let house = House::build().await;
    for (at, (_, body)) in captures("").into_iter().enumerate() {
        house.json(&house.tokens[at % 3], &body).await;
    }
    let total = house.figures(&[], &[]).await;
    assert!(total.len() >= 9, "{total:?}");
    for dimension in [By::Role, By::Unit, By::Principal, By::Client] {
        let parts = house.figures(&[], &[dimension]).await;
        // a principal that is in several groups is one in all
        for whole in total.iter().filter(|f| f[4] != "active_principals") {
            let of = parts.iter().filter(|p| p[4] == whole[4]).map(|p| p[5].parse::<i64>().unwrap());
            assert_eq!(of.sum::<i64>().to_string(), whole[5], "{dimension:?} {}", whole[4]);
        }
    }
    assert!(
        house.figures(&["sessions"], &[By::Role]).await.iter().any(|f| f[0].is_empty()),
        "the tenant's own token"
    );
}

#[tokio::test]
async fn a_known_event_with_other_content_is_a_conflict_and_is_not_counted() {
    let house = House::build().await;
    let body = capture(CLAUDE).pop().unwrap();
    for _ in 0..2 {
        let answer = house.json(&house.tokens[0], &body).await;
        assert_eq!(answer, (StatusCode::OK, json!({"partialSuccess": {}})));
        assert_eq!(house.count("usage_event").await, 2, "the request and its session");
    }
    let before = house.figures(&[], &[]).await;
    let mut other: Value = serde_json::from_slice(&body).unwrap();
    let attributes = other.pointer_mut("/resourceLogs/0/scopeLogs/0/logRecords/0/attributes").unwrap();
    let attributes = attributes.as_array_mut().unwrap();
    let tokens = attributes.iter_mut().find(|a| a["key"] == "input_tokens").unwrap();
    tokens["value"]["intValue"] = json!(999_999);
    let (status, answer) = house.json(&house.tokens[0], other.to_string().as_bytes()).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(answer["partialSuccess"]["rejectedLogRecords"], "1");
    assert!(answer["partialSuccess"]["errorMessage"].as_str().unwrap().contains("1 CONFLICT"), "{answer}");
    assert_eq!(house.figures(&[], &[]).await, before);
}

#[tokio::test]
async fn one_bad_record_costs_itself_and_not_its_neighbours() {
    let house = House::build().await;
    let mut body: Value = serde_json::from_slice(&capture(CLAUDE)[1]).unwrap();
    let records = body.pointer_mut("/resourceLogs/0/scopeLogs/0/logRecords").unwrap().as_array_mut().unwrap();
    records[0] = json!("no record");
    records[1]["timeUnixNano"] = json!("1");
    let (status, answer) = house.json(&house.tokens[0], body.to_string().as_bytes()).await;
    assert_eq!((status, &answer["partialSuccess"]["rejectedLogRecords"]), (StatusCode::OK, &json!("2")));
    let message = answer["partialSuccess"]["errorMessage"].as_str().unwrap();
    assert!(
        message.contains("1 MALFORMED (record 0") && message.contains("1 TOO_OLD (record 1"),
        "{message}"
    );
    assert_eq!(house.figures(&["skill.invocations"], &[]).await[0][5], "1");
}

#[tokio::test]
async fn what_cannot_be_taken_is_refused_with_a_status_and_nothing_is_stored() {
    let house = House::build().await;
    let body = capture(CLAUDE).pop().unwrap();
    let (maria, oscar) = (house.tokens[0].as_str(), house.tokens[3].as_str());
    let (json_type, gzip) = (("content-type", "application/json"), ("content-encoding", "gzip"));
    let mut bomb = GzEncoder::new(Vec::new(), Compression::best());
    bomb.write_all(&vec![b' '; 2_000_000]).unwrap();
    let bomb = bomb.finish().unwrap();
    assert!(bomb.len() < 10_000);
    let cut = body[..body.len() - 9].to_vec();
    let other = ("content-type", "text/plain");
    let records = format!(
        "{{\"resourceLogs\":[{{\"scopeLogs\":[{{\"logRecords\":[{}{{}}]}}]}}]}}",
        "{},".repeat(10_000)
    );
    for (token, headers, body, status, reason) in [
        ("", vec![json_type], body.clone(), 401, "CREDENTIAL_MISSING"),
        ("pv_ingest_x_y", vec![json_type], body.clone(), 401, "TOKEN_MALFORMED"),
        (oscar, vec![json_type], body.clone(), 403, "TOKEN_SCOPE"),
        (maria, vec![json_type], cut, 400, "INVALID_FIELD"),
        (maria, vec![json_type], b"[]".to_vec(), 400, "INVALID_FIELD"),
        (maria, vec![json_type], b"{\"resourceLogs\":7}".to_vec(), 400, "INVALID_FIELD"),
        (maria, vec![json_type, gzip], body.clone(), 400, "INVALID_FIELD"),
        (maria, vec![json_type, gzip], bomb, 413, "LIMIT_EXCEEDED"),
        (maria, vec![json_type], vec![b' '; 200_001], 413, "LIMIT_EXCEEDED"),
        (maria, vec![json_type], records.into_bytes(), 413, "LIMIT_EXCEEDED"),
        (maria, vec![other], body.clone(), 415, "INVALID_FIELD"),
        (maria, vec![], body.clone(), 415, "INVALID_FIELD"),
        (maria, vec![json_type, ("content-encoding", "br")], body.clone(), 415, "INVALID_FIELD"),
    ] {
        let (got, _, answer) = house.send(token, &headers, body).await;
        assert_eq!(got.as_u16(), status, "{answer}");
        assert_eq!(answer["details"][0]["reason"], reason, "{answer}");
        assert!(answer["code"].is_i64() && !answer["message"].as_str().unwrap().is_empty());
    }
    assert_eq!(house.count("usage_event").await, 0);
}

#[tokio::test]
async fn gzipped_requests_and_requests_without_records_are_taken() {
    let house = House::build().await;
    let mut zip = GzEncoder::new(Vec::new(), Compression::fast());
    zip.write_all(&capture(CODEX)[0]).unwrap();
    let headers = [("content-type", "application/json; charset=utf-8"), ("content-encoding", "gzip")];
    let (status, _, answer) = house.send(&house.tokens[2], &headers, zip.finish().unwrap()).await;
    assert_eq!((status, answer), (StatusCode::OK, json!({"partialSuccess": {}})));
    assert!(house.count("usage_event").await > 10);
    for empty in
        ["{}", " {\"resourceLogs\": null}", "{\"resourceLogs\":[{\"scopeLogs\":null}], \"new\": [1]}"]
    {
        assert_eq!(
            house.json(&house.tokens[2], empty.as_bytes()).await,
            (StatusCode::OK, json!({"partialSuccess": {}}))
        );
    }
}

#[tokio::test]
async fn without_its_database_the_server_says_when_to_come_back() {
    let house = House::build().await;
    house.kernel.db.close().await;
    let headers = [("content-type", "application/json")];
    let (status, headers, answer) =
        house.send(&house.tokens[0], &headers, capture(CLAUDE).pop().unwrap()).await;
    assert_eq!((status, &answer["code"]), (StatusCode::SERVICE_UNAVAILABLE, &json!(14)));
    assert_eq!(headers.get("retry-after").unwrap(), "1");
}

#[tokio::test]
async fn questions_that_make_no_sense_are_refused_and_meters_are_listed() {
    let house = House::build().await;
    let rpc = house.rpc();
    let good =
        pb::QueryUsageRequest { parent: "tenants/acme".to_owned(), ..pb::QueryUsageRequest::default() };
    let ask = |request| rpc.query_usage(House::call(&house.tokens[3], request));
    assert!(ask(good.clone()).await.unwrap().into_inner().complete_through.is_some());
    let early = Some(prost_types::Timestamp { seconds: -1, nanos: 0 });
    for bad in [
        pb::QueryUsageRequest { meters: vec!["nonsense".to_owned()], ..good.clone() },
        pb::QueryUsageRequest { group_by: vec![0], ..good.clone() },
        pb::QueryUsageRequest { group_by: vec![9], ..good.clone() },
        pb::QueryUsageRequest { start_time: early, ..good.clone() },
        pb::QueryUsageRequest { start_time: Some(NOW.into()), end_time: Some(NOW.into()), ..good.clone() },
        pb::QueryUsageRequest { parent: "acme".to_owned(), ..good.clone() },
    ] {
        assert_eq!(ask(bad).await.unwrap_err().code(), tonic::Code::InvalidArgument);
    }
    let other = pb::QueryUsageRequest { parent: "tenants/globex".to_owned(), ..good };
    assert_eq!(ask(other).await.unwrap_err().code(), tonic::Code::NotFound);
    let meters = rpc
        .list_meters(House::call(&house.tokens[3], pb::ListMetersRequest::default()))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(meters.meters.len(), crate::meter::METERS.len());
}
