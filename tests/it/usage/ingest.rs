//! Usage events over gRPC and as CloudEvents: what becomes of each, whatever its neighbours are.

use std::time::Duration;

use kernel::clock::Time;
use proto::usage::v1::{self as pb, EventOutcome, UsageEvent, usage_service_client::UsageServiceClient};
use serde_json::{Value, json};
use tests::{both_engines, http, site::Caller, site::START, staff, world};
use tonic::{Code, Status};

use super::{Desk, query};

fn now() -> Time {
    Time::parse("start", START).unwrap()
}

/// An event of 10 output tokens a minute ago.
pub fn event(id: &str) -> UsageEvent {
    UsageEvent {
        id: id.to_owned(),
        source: "gateway/one".to_owned(),
        r#type: "gateway.request".to_owned(),
        time: Some(now().minus(Duration::from_mins(1)).into()),
        values: vec![pb::Quantity { key: "tokens.output".to_owned(), value: "10".to_owned() }],
        ..Default::default()
    }
}

/// Sends batches with an ingest token; returns the answers.
pub async fn ingest(
    desk: &Desk,
    secret: &str,
    batches: Vec<Vec<UsageEvent>>,
) -> Result<Vec<pb::IngestResponse>, Status> {
    let by = Caller { channel: desk.world.owner.channel.clone(), secret: secret.to_owned() };
    let requests = batches
        .into_iter()
        .enumerate()
        .map(|(n, events)| pb::IngestRequest { batch_id: n.to_string(), events });
    let stream = by.ask(tokio_stream::iter(requests.collect::<Vec<_>>()));
    let mut answers = UsageServiceClient::new(by.channel.clone()).ingest(stream).await?.into_inner();
    let mut all = Vec::new();
    while let Some(answer) = answers.message().await? {
        all.push(answer);
    }
    Ok(all)
}

/// Outcomes of one batch: name, and code and field of what is rejected.
async fn outcomes(desk: &Desk, secret: &str, events: Vec<UsageEvent>) -> Vec<(EventOutcome, String, String)> {
    let answers = ingest(desk, secret, vec![events]).await.unwrap();
    answers[0].statuses.iter().map(|s| (s.outcome(), s.code.clone(), s.field.clone())).collect()
}

async fn output(desk: &Desk) -> i64 {
    desk.totals().await.get("tokens.output").copied().unwrap_or_default()
}

const ACCEPTED: EventOutcome = EventOutcome::Accepted;

both_engines! {
    async fn one_bad_event_among_many_costs_itself_alone(site: Site) {
        let desk = Desk::open(site).await;
        let mut events: Vec<_> = (0..1_000).map(|n| event(&format!("e{n}"))).collect();
        "NaN".clone_into(&mut events[500].values[0].value);
        let found = outcomes(&desk, &desk.maria, events.clone()).await;
        assert_eq!(found.len(), 1_000);
        for (n, (outcome, code, field)) in found.iter().enumerate() {
            match n {
                500 => assert_eq!((*outcome, code.as_str(), field.as_str()), (EventOutcome::Rejected, "NOT_EXACT", "data.values.tokens.output")),
                _ => assert_eq!((*outcome, code.as_str()), (ACCEPTED, "")),
            }
        }
        assert_eq!(output(&desk).await, 9_990);
        let again = outcomes(&desk, &desk.maria, events).await;
        assert_eq!(again.iter().filter(|o| o.0 == EventOutcome::Duplicate).count(), 999);
        assert_eq!(output(&desk).await, 9_990, "a repetition counts nothing");
    }

    async fn places_are_given_in_order_and_told_again(site: Site) {
        let desk = Desk::open(site).await;
        let batches = vec![vec![event("a"), event("b")], vec![event("b"), event("c")]];
        let answers = ingest(&desk, &desk.maria, batches).await.unwrap();
        assert_eq!(answers.iter().map(|a| a.batch_id.as_str()).collect::<Vec<_>>(), ["0", "1"]);
        let all: Vec<_> = answers.iter().flat_map(|a| &a.statuses).collect();
        assert_eq!(all.iter().filter(|s| s.outcome() == ACCEPTED).count(), 3);
        let b: Vec<_> = [all[1], all[2]].iter().map(|s| s.seq).collect();
        assert!(b[0] > 0 && b[0] == b[1], "{all:?}");
        let mut seqs: Vec<_> = all.iter().map(|s| s.seq).collect();
        seqs.sort_unstable();
        seqs.dedup();
        assert_eq!(seqs.len(), 3);
    }

    async fn the_same_id_with_other_content_conflicts_within_a_batch_and_across_batches(site: Site) {
        let desk = Desk::open(site).await;
        let mut other = event("a");
        "11".clone_into(&mut other.values[0].value);
        let found = outcomes(&desk, &desk.maria, vec![event("a"), event("a"), other.clone()]).await;
        let kinds: Vec<_> = found.iter().map(|o| o.0).collect();
        assert_eq!(kinds, [ACCEPTED, EventOutcome::Duplicate, EventOutcome::Conflict]);
        assert_eq!(outcomes(&desk, &desk.maria, vec![other]).await[0].0, EventOutcome::Conflict);
        assert_eq!(outcomes(&desk, &desk.sam, vec![event("a")]).await[0].0, EventOutcome::Conflict, "it is Maria's");
        let mut elsewhere = event("a");
        "gateway/two".clone_into(&mut elsewhere.source);
        assert_eq!(outcomes(&desk, &desk.maria, vec![elsewhere]).await[0].0, ACCEPTED, "another source");
        assert_eq!(output(&desk).await, 20);
    }

    async fn every_field_has_its_limits_and_says_so(site: Site) {
        let desk = Desk::open(site).await;
        let long = "x".repeat(257);
        let value = |text: &str| {
            let mut event = event("v");
            text.clone_into(&mut event.value);
            event
        };
        let dims = |count: usize, length: usize| UsageEvent {
            dims: (0..count).map(|n| pb::Dim { key: format!("d{n}"), value: "y".repeat(length) }).collect(),
            ..event("d")
        };
        let at = |seconds: i64| UsageEvent { time: Some(prost_types::Timestamp { seconds, nanos: 0 }), ..event("t") };
        for (bad, code, field) in [
            (UsageEvent { id: String::new(), ..event("") }, "MISSING", "id"),
            (UsageEvent { source: String::new(), ..event("s") }, "MISSING", "source"),
            (UsageEvent { r#type: String::new(), ..event("s") }, "MISSING", "type"),
            (UsageEvent { id: long.clone(), ..event("") }, "TOO_LARGE", "id"),
            (UsageEvent { source: long, ..event("s") }, "TOO_LARGE", "source"),
            (dims(17, 1), "TOO_LARGE", "data.dims"),
            (dims(1, 129), "TOO_LARGE", "data.dims"),
            (value("0.1234567891"), "NOT_EXACT", "data.value"),
            (value("1e3"), "NOT_EXACT", "data.value"),
            (value("-1"), "NEGATIVE", "data.value"),
            (value("1000000000001"), "TOO_LARGE", "data.value"),
            (UsageEvent { values: vec![pb::Quantity { key: "tokens.output".into(), value: "0.5".into() }], ..event("h") }, "NOT_EXACT", "data.values.tokens.output"),
            (at(0), "TOO_OLD", "time"),
            (at(4_102_444_800), "FUTURE", "time"),
            (at(i64::MAX), "FUTURE", "time"),
            (UsageEvent { subject: "sam".into(), ..event("x") }, "SUBJECT", "subject"),
            (UsageEvent { subject: "tenants/globex/principals/maria".into(), ..event("x") }, "SUBJECT", "subject"),
        ] {
            let found = outcomes(&desk, &desk.maria, vec![bad.clone(), event("good")]).await;
            assert_eq!((found[0].0, found[0].1.as_str(), found[0].2.as_str()), (EventOutcome::Rejected, code, field), "{bad:?}");
            assert!([ACCEPTED, EventOutcome::Duplicate].contains(&found[1].0));
        }
        for good in [dims(16, 128), value("0.123456789"), value("1000000000000"), value("")] {
            assert_ne!(outcomes(&desk, &desk.maria, vec![good.clone()]).await[0].0, EventOutcome::Rejected, "{good:?}");
        }
    }

    async fn a_missing_time_is_when_it_came_in_and_a_repetition_is_still_one(site: Site) {
        let desk = Desk::open(site).await;
        let untimed = UsageEvent { time: None, ..event("u") };
        assert_eq!(outcomes(&desk, &desk.maria, vec![untimed.clone()]).await[0].0, ACCEPTED);
        desk.world.site.running.kernel.clock.advance(Duration::from_hours(2));
        assert_eq!(outcomes(&desk, &desk.maria, vec![untimed]).await[0].0, EventOutcome::Duplicate);
        let hour = pb::QueryUsageRequest {
            meters: vec!["tokens.output".to_owned()],
            start_time: Some(now().into()),
            end_time: Some(now().plus(Duration::from_secs(1)).into()),
            ..Default::default()
        };
        assert_eq!(query(&desk.world.owner, hour).await.unwrap().rows[0].value, 10);
    }

    async fn only_a_token_of_the_tenant_speaks_for_others_and_only_for_its_own(site: Site) {
        let desk = Desk::open(site).await;
        let of = |subject: &str, id: &str| UsageEvent { subject: subject.to_owned(), ..event(id) };
        let full = format!("{}/principals/sam", world::ACME);
        let events = vec![of("maria", "1"), of(&full, "2"), of("", "3"), of("nobody", "4"), of("Not A Slug", "5")];
        let found = outcomes(&desk, &desk.tenant, events).await;
        let codes: Vec<_> = found.iter().map(|o| o.1.as_str()).collect();
        assert_eq!(codes, ["", "", "", "SUBJECT", "SUBJECT"]);
        let by = desk.figures(&[pb::UsageDimension::Principal]).await;
        let of = |who: &str| by.get(who).and_then(|m| m.get("tokens.output")).copied();
        assert_eq!((of("maria"), of("sam")), (Some(10), Some(10)));
        let strange = ingest(&desk, &desk.world.owner.secret, vec![vec![event("9")]]).await.unwrap_err();
        assert_eq!(strange.code(), Code::PermissionDenied, "a personal token sends nothing: {strange}");
    }

    async fn a_batch_over_its_limit_ends_the_stream_and_what_was_answered_counts(site: Site) {
        let desk = Desk::open(site).await;
        let many = (0..10_001).map(|n| UsageEvent { id: n.to_string(), ..Default::default() }).collect();
        let refused = ingest(&desk, &desk.maria, vec![vec![event("a")], many]).await.unwrap_err();
        assert_eq!(refused.code(), Code::ResourceExhausted, "{refused}");
        assert_eq!(outcomes(&desk, &desk.maria, vec![event("a")]).await[0].0, EventOutcome::Duplicate);
    }

    async fn cloud_events_come_one_by_one_and_in_batches(site: Site) {
        let desk = Desk::open(site).await;
        let event = |id: &str, value: Value| json!({
            "specversion": "1.0", "id": id, "source": "gateway", "type": "gateway.request", "time": now().to_string(),
            "ignored": {"deep": [1]}, "data": {"values": {"tokens.output": value}, "dims": {"model": "m"}},
        });
        let send = async |kind: &str, body: &Value| {
            let bearer = format!("Bearer {}", desk.maria);
            let headers = [("authorization", bearer.as_str()), ("content-type", kind)];
            http::send(::http::Method::POST, &format!("{}/v1/usage/events", desk.url()), &headers, body.to_string()).await
        };
        let (one, batch) = ("application/cloudevents+json", "application/cloudevents-batch+json; charset=utf-8");
        let answer = send(one, &event("a", json!(7))).await;
        assert_eq!((answer.status.as_u16(), answer.json()["statuses"][0]["outcome"].as_str()), (200, Some("ACCEPTED")));
        let mixed = json!([event("a", json!(7)), event("b", json!("5")), event("c", json!(0.5)), event("d", json!("1e3")), 7,
            {"specversion": "0.3", "id": "e", "source": "s", "type": "t"}]);
        let answer = send(batch, &mixed).await.json();
        let outcomes: Vec<_> = answer["statuses"].as_array().unwrap().iter()
            .map(|s| format!("{}{}", s["outcome"].as_str().unwrap(), s["code"].as_str().map_or_else(String::new, |c| format!(" {c}"))))
            .collect();
        assert_eq!(outcomes, ["DUPLICATE", "ACCEPTED", "REJECTED NOT_EXACT", "REJECTED NOT_EXACT", "REJECTED MALFORMED", "REJECTED MALFORMED"]);
        assert_eq!(output(&desk).await, 12);
        assert_eq!(send("application/json", &mixed).await.status, 415);
        assert_eq!(send(batch, &json!({})).await.status, 400);
        assert_eq!(send(one, &json!("x".repeat(5_000_000))).await.status, 413);
    }

    async fn what_was_refused_is_on_the_record_by_code(site: Site) {
        let desk = Desk::open(site).await;
        let bad = UsageEvent { value: "x".to_owned(), ..event("bad") };
        outcomes(&desk, &desk.maria, vec![event("a"), bad.clone(), bad]).await;
        let dump = desk.world.site.dump(&["usage_reject", "usage_reject_count"]).await;
        assert_eq!(dump.matches("NOT_EXACT").count(), 3, "two listed, one count: {dump}");
    }

    async fn many_senders_of_the_same_events_count_them_once(site: Site) {
        let desk = std::sync::Arc::new(Desk::open(site).await);
        let senders: Vec<_> = (0..8)
            .map(|n| {
                let desk = std::sync::Arc::clone(&desk);
                tokio::spawn(async move {
                    let own = (0..100).map(|e| event(&format!("{n}-{e}")));
                    let shared = (0..100).map(|e| event(&format!("shared-{e}")));
                    ingest(&desk, &desk.maria.clone(), vec![own.chain(shared).collect()]).await.unwrap()
                })
            })
            .collect();
        let mut accepted = 0;
        for sender in senders {
            let answers = sender.await.unwrap();
            accepted += answers[0].statuses.iter().filter(|s| s.outcome() == ACCEPTED).count();
        }
        assert_eq!(accepted, 900);
        assert_eq!(output(&desk).await, 9_000);
        staff::ingest_token(&desk.world.owner, "maria").await;
    }
}
