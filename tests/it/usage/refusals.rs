//! What is refused, whole or in part, and what stays.

use std::{io::Write as _, time::Duration};

use ::http::Method;
use flate2::{Compression, write::GzEncoder};
use kernel::clock::Time;
use serde_json::json;
use tests::{both_engines, data, http, site::START};

use super::{Desk, event, expected, record, request};

const CODEX: &str = "codex/run2-managed-plugin-mcp-json";
const JSON: (&str, &str) = ("content-type", "application/json");
const GZIP: (&str, &str) = ("content-encoding", "gzip");

fn start() -> Time {
    Time::parse("start", START).unwrap()
}

fn zipped(body: &[u8]) -> Vec<u8> {
    let mut zip = GzEncoder::new(Vec::new(), Compression::best());
    zip.write_all(body).unwrap();
    zip.finish().unwrap()
}

/// Sends with these headers besides the token.
async fn post(desk: &Desk, token: &str, headers: &[(&str, &str)], body: Vec<u8>) -> http::Answer {
    let bearer = format!("Bearer {token}");
    let mut all = headers.to_vec();
    if !token.is_empty() {
        all.push(("authorization", &bearer));
    }
    http::send(Method::POST, &format!("{}/v1/logs", desk.url()), &all, body).await
}

/// Status and reason of a refusal.
fn why(answer: &http::Answer) -> (u16, String) {
    let body = answer.json();
    assert!(body["message"].as_str().is_some_and(|m| !m.is_empty()), "{body}");
    assert_eq!(body["details"][0]["domain"], "provost.dev");
    (answer.status.as_u16(), body["details"][0]["reason"].as_str().unwrap().to_owned())
}

both_engines! {
    async fn zipped_and_plain_requests_say_the_same(site: Site) {
        let desk = Desk::open(site).await;
        let bodies = data::logs(CODEX);
        for body in &bodies {
            let answer = post(&desk, &desk.maria, &[JSON, GZIP], zipped(body)).await;
            assert_eq!((answer.status.as_u16(), answer.json()), (200, json!({"partialSuccess": {}})));
        }
        assert_eq!(desk.totals().await, expected::sums(&bodies));
        let stored = desk.stored().await;
        desk.send_all(&desk.maria, &bodies).await;
        assert_eq!(desk.stored().await, stored);
    }

    async fn a_request_that_cannot_be_taken_stores_nothing(site: Site) {
        let desk = Desk::open(site).await;
        let body = data::logs(CODEX).swap_remove(0);
        let wrong = kernel::authn::Secret::generate(kernel::authn::TokenKind::Ingest).unwrap().text;
        let typo = wrong.replace("pv_ingest_", "pv_ingest_0");
        let (cut, most) = (body[..body.len() / 2].to_vec(), 4_194_304);
        let (maria, owner) = (desk.maria.as_str(), desk.world.owner.secret.as_str());
        let other = ("content-type", "text/plain");
        for (token, headers, body, status, reason) in [
            ("", vec![JSON], body.clone(), 401, "CREDENTIAL_MISSING"),
            (&typo, vec![JSON], body.clone(), 401, "TOKEN_MALFORMED"),
            (&wrong, vec![JSON], body.clone(), 401, "TOKEN_UNKNOWN"),
            (owner, vec![JSON], body.clone(), 403, "TOKEN_SCOPE"),
            (maria, vec![JSON], cut.clone(), 400, "INVALID_FIELD"),
            (maria, vec![JSON, GZIP], zipped(&cut), 400, "INVALID_FIELD"),
            (maria, vec![JSON, GZIP], zipped(&body)[..200].to_vec(), 400, "INVALID_FIELD"),
            (maria, vec![JSON], Vec::new(), 400, "INVALID_FIELD"),
            (maria, vec![JSON], b"[]".to_vec(), 400, "INVALID_FIELD"),
            (maria, vec![JSON], b"{\"resourceLogs\":[{\"scopeLogs\":7}]}".to_vec(), 400, "INVALID_FIELD"),
            (maria, vec![JSON], vec![b' '; most + 1], 413, "LIMIT_EXCEEDED"),
            (maria, vec![JSON, GZIP], zipped(&vec![b' '; most + 1]), 413, "LIMIT_EXCEEDED"),
            (maria, vec![other], body.clone(), 415, "INVALID_FIELD"),
            (maria, vec![], body.clone(), 415, "INVALID_FIELD"),
            (maria, vec![JSON, ("content-encoding", "br")], body.clone(), 415, "INVALID_FIELD"),
        ] {
            let answer = post(&desk, token, &headers, body).await;
            assert_eq!(why(&answer), (status, reason.to_owned()), "{}", answer.text());
            assert_eq!(answer.headers.contains_key("www-authenticate"), status == 401);
        }
        assert_eq!(desk.stored().await, "");
        // a request of exactly the largest size is read
        let mut largest = body.clone();
        largest.resize(most, b' ');
        desk.send_all(maria, &[largest]).await;
        assert_eq!(desk.totals().await, expected::sums(&[body]));
    }

    async fn an_ingest_token_ends_at_its_very_instant(site: Site) {
        let desk = Desk::open(site).await;
        let bodies = data::logs(CODEX);
        desk.world.site.advance(Duration::from_hours(24) - Duration::from_micros(1));
        desk.send_all(&desk.maria, &bodies[..1]).await;
        let stored = desk.stored().await;
        desk.world.site.advance(Duration::from_micros(1));
        let answer = post(&desk, &desk.maria, &[JSON], bodies[1].clone()).await;
        assert_eq!(why(&answer), (401, "TOKEN_EXPIRED".to_owned()));
        assert_eq!(desk.stored().await, stored);
    }

    async fn a_bad_record_costs_itself_and_is_named(site: Site) {
        let desk = Desk::open(site).await;
        let now = (start().minus(Duration::from_secs(1)).micros() * 1_000).to_string();
        let (good, mut negative) = (record("good", &now, 5), record("negative", &now, -5));
        let mut half = record("half", &now, 5);
        half["attributes"][3]["value"] = json!({"doubleValue": 0.5});
        negative["attributes"][3]["value"]["intValue"] = json!("-5");
        let records = [json!("no record"), good, negative, half, record("when", "0", 5), json!({"timeUnixNano": now}), json!({})];
        let refused = desk.send(&desk.maria, &request("claude-code", &records)).await;
        assert_eq!(refused["rejectedLogRecords"], "4", "{refused}");
        let message = refused["errorMessage"].as_str().unwrap();
        for part in ["1 MALFORMED (record 0", "1 NEGATIVE (record 2", "1 NOT_EXACT (record 3", "1 MISSING_TIME (record 4"] {
            assert!(message.contains(part), "{part}: {message}");
        }
        assert_eq!(desk.totals().await["tokens.output"], 5);

        // nothing in them counts, and nothing is wrong with them
        for empty in ["{}", "{\"resourceLogs\":[]}", "{\"resourceLogs\":[{}]}", "{\"resourceLogs\":[{\"scopeLogs\":[{}]}],\"later\":1}"] {
            assert_eq!(desk.send(&desk.maria, empty.as_bytes()).await, json!({}), "{empty}");
        }
        assert_eq!(desk.totals().await["tokens.output"], 5);
    }

    async fn other_services_are_refused_in_part_and_named(site: Site) {
        let desk = Desk::open(site).await;
        let now = (start().micros() * 1_000).to_string();
        for service in ["postgres", "", "claude-code-proxy"] {
            let refused = desk.send(&desk.maria, &request(service, &[record("a", &now, 5), record("b", &now, 5)])).await;
            assert_eq!(refused["rejectedLogRecords"], "2", "{service}");
            let message = refused["errorMessage"].as_str().unwrap();
            assert!(message.starts_with("2 UNKNOWN_CLIENT (record 0"), "{message}");
        }
        assert_eq!(desk.stored().await, "");
    }

    async fn events_are_taken_from_35_days_back_to_five_minutes_ahead_to_the_microsecond(site: Site) {
        let desk = Desk::open(site).await;
        let micro = Duration::from_micros(1);
        let (oldest, newest) = (start().minus(Duration::from_hours(35 * 24)), start().plus(Duration::from_mins(5)));
        for (id, time, refusal) in [
            ("oldest", oldest, ""),
            ("older", oldest.minus(micro), "1 TOO_OLD (record 0"),
            ("newest", newest, ""),
            ("newer", newest.plus(micro), "1 FUTURE (record 0"),
        ] {
            let refused = desk.send(&desk.maria, &event(id, time, 7)).await;
            let message = refused["errorMessage"].as_str().unwrap_or_default();
            assert_eq!(message.is_empty(), refusal.is_empty(), "{id}: {message}");
            assert!(message.starts_with(refusal), "{id}: {message}");
        }
        desk.world.site.advance(micro);
        assert_eq!(desk.send(&desk.maria, &event("newer", newest.plus(micro), 7)).await, json!({}));
        // a question without an end is about everything that can have been accepted, the last one, after now, included
        assert_eq!(desk.totals().await["tokens.output"], 21);
    }

    async fn a_known_event_that_says_something_else_is_refused_and_not_counted(site: Site) {
        let desk = Desk::open(site).await;
        assert_eq!(desk.send(&desk.maria, &event("a", start().minus(Duration::from_mins(1)), 7)).await, json!({}));
        let stored = desk.stored().await;
        let refused = desk.send(&desk.maria, &event("a", start().minus(Duration::from_mins(1)), 8)).await;
        assert_eq!(refused["rejectedLogRecords"], "1");
        assert!(refused["errorMessage"].as_str().unwrap().starts_with("1 CONFLICT"), "{refused}");
        assert_eq!(desk.stored().await, stored);
    }
}
