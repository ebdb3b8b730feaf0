//! Corrections: figures are exact before, between and after, whatever is taken back, amended or put in later.

use kernel::clock::Time;
use proto::usage::v1::{
    self as pb, EventOutcome, usage_correction_service_client::UsageCorrectionServiceClient as Client,
    usage_service_client::UsageServiceClient,
};
use serde_json::json;
use tests::{both_engines, site::Caller, site::START, world};
use tonic::{Code, Status};

use super::{Desk, ingest::ingest};
use crate::errors::reason;

mod backfills;
mod bench;
mod nodes;
mod others;
mod random;
mod record;

use bench::{Bench, Fact};

/// A moment, in minutes after 30 days before the start of the clock: Saturday 2026-10-24, 12:00 UTC.
fn at(minutes: i64) -> Time {
    Time::from_micros(
        Time::parse("start", START).unwrap().micros() - 30 * 86_400_000_000 + minutes * 60_000_000,
    )
}

fn seq(seq: i64) -> pb::UsageEventRef {
    pb::UsageEventRef { seq, ..Default::default() }
}

fn key(source: &str, id: &str) -> pb::UsageEventRef {
    pb::UsageEventRef { seq: 0, source: source.to_owned(), id: id.to_owned() }
}

/// Takes events of `acme` back.
async fn void(
    by: &Caller,
    events: Vec<pb::UsageEventRef>,
    reason: &str,
) -> Result<pb::UsageCorrection, Status> {
    let request = pb::VoidUsageEventsRequest {
        parent: world::ACME.to_owned(),
        events,
        reason: reason.to_owned(),
        ..Default::default()
    };
    Ok(Client::new(by.channel.clone()).void_usage_events(by.ask(request)).await?.into_inner())
}

/// What an event should have said: so many output tokens, and nothing else.
fn amendment(event: pb::UsageEventRef, tokens: &str) -> pb::UsageAmendment {
    let values = vec![pb::Quantity { key: "tokens.output".to_owned(), value: tokens.to_owned() }];
    pb::UsageAmendment { event: Some(event), values, ..Default::default() }
}

async fn amend(by: &Caller, amendments: Vec<pb::UsageAmendment>) -> Result<pb::UsageCorrection, Status> {
    let request = pb::AmendUsageEventsRequest {
        parent: world::ACME.to_owned(),
        amendments,
        reason: "counted wrongly".to_owned(),
        ..Default::default()
    };
    Ok(Client::new(by.channel.clone()).amend_usage_events(by.ask(request)).await?.into_inner())
}

async fn revert(by: &Caller, name: &str) -> Result<pb::UsageCorrection, Status> {
    let request = pb::RevertUsageCorrectionRequest {
        name: name.to_owned(),
        reason: "it was right".to_owned(),
        ..Default::default()
    };
    Ok(Client::new(by.channel.clone()).revert_usage_correction(by.ask(request)).await?.into_inner())
}

/// Stored events of `acme` that match.
async fn listed(by: &Caller, request: pb::ListUsageEventsRequest) -> Vec<pb::StoredUsageEvent> {
    let request = pb::ListUsageEventsRequest { parent: world::ACME.to_owned(), page_size: 1_000, ..request };
    let (mut all, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = pb::ListUsageEventsRequest { page_token, ..request.clone() };
        let answer = UsageServiceClient::new(by.channel.clone())
            .list_usage_events(by.ask(request))
            .await
            .unwrap()
            .into_inner();
        all.extend(answer.events);
        page_token = answer.next_page_token;
        if page_token.is_empty() {
            return all;
        }
    }
}

fn code(refused: Result<pb::UsageCorrection, Status>) -> (Code, String) {
    let status = refused.unwrap_err();
    (status.code(), reason(&status))
}

both_engines! {
    async fn what_is_taken_back_is_in_no_figure_before_between_and_after_the_rollup(site: Site) {
        let mut bench = Bench::open(site).await;
        bench.ingest(240).await;
        bench.roll().await;
        bench.check_all("rolled up").await;
        // all of a bucket, one of many, the only one of a principal on a day, and one that is not rolled up
        let owner = bench.owner();
        let mut taken: Vec<i64> = bench.facts.iter().step_by(7).map(|f| f.seq).collect();
        bench.ingest(30).await;
        taken.push(bench.facts.last().unwrap().seq);
        let made = void(&owner, taken.iter().map(|s| seq(*s)).collect(), "a broken gateway").await.unwrap();
        bench.void(&taken);
        assert_eq!((made.kind(), made.state()), (pb::UsageCorrectionKind::Void, pb::UsageCorrectionState::Committed));
        assert_eq!((made.taken_count, made.added_count), (i64::try_from(taken.len()).unwrap(), 0));
        bench.check_all("taken back").await;
        bench.look().await;
        bench.check_all("looked once").await;
        bench.roll().await;
        bench.check_all("derived again").await;
        let report = bench.verified().await;
        assert!(report.agrees() && report.stale == 0, "{report:?}");
        let standing = listed(&owner, pb::ListUsageEventsRequest { filter: "state = standing".to_owned(), ..Default::default() }).await;
        assert_eq!(standing.iter().map(|e| e.seq).collect::<Vec<_>>(), bench.standing());
        let gone = listed(&owner, pb::ListUsageEventsRequest { taken_by: made.name.clone(), ..Default::default() }).await;
        taken.sort_unstable();
        assert_eq!(gone.iter().map(|e| e.seq).collect::<Vec<_>>(), taken);
        assert!(gone.iter().all(|e| e.void_correction == made.name && e.void_time.is_some()), "{:?}", gone[0]);
        // and back again
        revert(&owner, &made.name).await.unwrap();
        bench.stand(&taken);
        bench.check_all("reverted").await;
        bench.roll().await;
        bench.check_all("reverted and derived again").await;
        assert!(bench.verified().await.agrees());
    }

    async fn a_verification_leaves_out_days_that_are_not_derived_again_and_finds_what_is_wrong_on_others(site: Site) {
        let mut bench = Bench::open(site).await;
        bench.ingest(60).await;
        bench.roll().await;
        let first = bench.facts[0].clone();
        void(&bench.owner(), vec![seq(first.seq)], "x").await.unwrap();
        let report = bench.verified().await;
        assert!(report.agrees() && report.stale == 1, "{report:?}");
        bench.roll().await;
        let report = bench.verified().await;
        assert!(report.agrees() && report.stale == 0, "{report:?}");
        // had the day not been derived again, it would be found
        let kernel = bench.kernel();
        let mut tx = kernel.db.begin_derived();
        let back = "UPDATE usage_void SET undone_time = void_time";
        kernel::execute!(&mut tx, sqlx::query(back)).unwrap();
        tx.finish().await.unwrap();
        assert!(!bench.verified().await.agrees());
    }

    async fn what_does_not_stand_is_taken_back_once(site: Site) {
        let mut bench = Bench::open(site).await;
        bench.ingest(10).await;
        let owner = bench.owner();
        let one = bench.facts[0].seq;
        void(&owner, vec![seq(one)], "x").await.unwrap();
        bench.void(&[one]);
        let illegal = (Code::FailedPrecondition, "ILLEGAL_STATE".to_owned());
        assert_eq!(code(void(&owner, vec![seq(one)], "x").await), illegal);
        assert_eq!(code(void(&owner, vec![key("s", "0")], "x").await), illegal);
        assert_eq!(code(amend(&owner, vec![amendment(seq(one), "1")]).await), illegal);
        // one that does not stand costs all: nothing was taken back
        assert_eq!(code(void(&owner, vec![seq(bench.facts[1].seq), seq(one)], "x").await), illegal);
        bench.check_all("refused").await;
        // the same event sent again is a duplicate of what does not stand, and another one under its id a conflict
        let again = bench.resend(0).await;
        assert_eq!((again.outcome(), again.seq), (EventOutcome::Duplicate, one));
        bench.check_all("sent again").await;
    }

    async fn what_nobody_can_mean_is_refused_and_says_which_field(site: Site) {
        let mut bench = Bench::open(site).await;
        bench.ingest(3).await;
        let (owner, one) = (bench.owner(), bench.facts[0].seq);
        let invalid = (Code::InvalidArgument, "INVALID_FIELD".to_owned());
        let both = pb::UsageEventRef { seq: 1, source: "s".to_owned(), id: "0".to_owned() };
        for events in [
            vec![], vec![seq(one), seq(one)], vec![seq(one), key("s", "0")], vec![seq(0)], vec![seq(-1)], vec![both], vec![key("s", "")],
            vec![key("", "0")], vec![key("s", &"x".repeat(257))],
        ] {
            assert_eq!(code(void(&owner, events.clone(), "x").await), invalid, "{events:?}");
        }
        assert_eq!(code(void(&owner, vec![seq(one)], "").await), invalid);
        assert_eq!(code(void(&owner, vec![seq(one)], &"x".repeat(1_025)).await), invalid);
        let unknown = (Code::NotFound, "RESOURCE_NOT_FOUND".to_owned());
        for events in [vec![seq(999)], vec![key("s", "nobody")], vec![seq(i64::MAX)]] {
            assert_eq!(code(void(&owner, events.clone(), "x").await), unknown, "{events:?}");
        }
        let many = (1..=1_001).map(seq).collect();
        assert_eq!(code(void(&owner, many, "x").await), (Code::ResourceExhausted, "LIMIT_EXCEEDED".to_owned()));
        for (value, dims, set_dims) in [("-1", 0, true), ("NaN", 0, true), ("1.5", 0, true), ("1", 17, true), ("1", 1, false)] {
            let dims = (0..dims).map(|n| pb::Dim { key: format!("d{n}"), value: "v".to_owned() }).collect();
            let bad = pb::UsageAmendment { dims, set_dims, ..amendment(seq(one), value) };
            assert_eq!(code(amend(&owner, vec![bad.clone()]).await), invalid, "{bad:?}");
        }
        for time in [at(-600 * 1_440), at(40 * 1_440)] {
            let bad = pb::UsageAmendment { time: Some(time.into()), ..amendment(seq(one), "1") };
            assert_eq!(code(amend(&owner, vec![bad]).await), invalid, "{time}");
        }
        for name in ["tenants/acme/usageCorrections/x", "tenants/acme", ""] {
            assert_eq!(code(revert(&owner, name).await), invalid, "{name}");
        }
        let nobody = "tenants/acme/usageCorrections/01a20000-0000-7000-8000-000000000000";
        assert_eq!(code(revert(&owner, nobody).await), unknown);
        bench.check_all("refused").await;
    }

    async fn another_tenants_events_are_out_of_reach(site: Site) {
        let mut bench = Bench::open(site).await;
        bench.ingest(5).await;
        let (owner, stranger) = (bench.owner(), bench.desk.world.stranger.clone());
        let unknown = (Code::NotFound, "RESOURCE_NOT_FOUND".to_owned());
        assert_eq!(code(void(&stranger, vec![seq(1)], "x").await), unknown);
        // places are each tenant's own: the stranger's tenant has none
        let request = pb::VoidUsageEventsRequest {
            parent: "tenants/globex".to_owned(),
            events: vec![key("s", "0")],
            reason: "x".to_owned(),
            ..Default::default()
        };
        let refused = Client::new(stranger.channel.clone()).void_usage_events(stranger.ask(request)).await;
        assert_eq!(code(refused.map(tonic::Response::into_inner)), unknown);
        let made = void(&owner, vec![seq(bench.facts[0].seq)], "x").await.unwrap();
        bench.void(&[bench.facts[0].seq]);
        assert_eq!(code(revert(&stranger, &made.name).await), unknown);
        let theirs = made.name.replace("acme", "globex");
        assert_eq!(code(revert(&stranger, &theirs).await), unknown);
        bench.check_all("refused").await;
    }

    async fn an_amendment_takes_the_place_of_its_event_and_is_drilled_down_to_it(site: Site) {
        let mut bench = Bench::open(site).await;
        bench.ingest(100).await;
        bench.roll().await;
        let owner = bench.owner();
        let (old, other) = (bench.facts[20].clone(), bench.facts[21].clone());
        let dims = vec![pb::Dim { key: "model".to_owned(), value: "m9".to_owned() }];
        let moved = pb::UsageAmendment { dims, set_dims: true, time: Some(at(1_441).into()), ..amendment(key("s", &other.id), "1000") };
        let made = amend(&owner, vec![amendment(seq(old.seq), "77"), moved]).await.unwrap();
        assert_eq!((made.taken_count, made.added_count, made.skipped_count), (2, 2, 0));
        let added = listed(&owner, pb::ListUsageEventsRequest { added_by: made.name.clone(), ..Default::default() }).await;
        assert_eq!(added.iter().map(|e| e.replaces_seq).collect::<Vec<_>>(), [old.seq, other.seq]);
        assert!(added.iter().all(|e| e.correction == made.name && e.void_correction.is_empty()));
        assert_eq!((added[0].id.as_str(), added[0].source.as_str(), added[0].principal.as_str()), (old.id.as_str(), "s", old.principal().as_str()));
        bench.void(&[old.seq, other.seq]);
        bench.facts.push(Fact { seq: added[0].seq, tokens: 77, skills: 0, ..old.clone() });
        bench.facts.push(Fact { seq: added[1].seq, tokens: 1_000, skills: 0, model: "m9".to_owned(), plugin: String::new(), time: at(1_441), ..other });
        bench.check_all("amended").await;
        let effect = made.effects.iter().find(|e| e.meter == "tokens.output").unwrap();
        assert_eq!(effect.value_added, "1077");
        assert_eq!((effect.events_taken, effect.events_added), (2, 2));
        bench.roll().await;
        bench.check_all("amended and rolled up").await;
        // an amendment is amended: by its place, or by the key that both have
        let again = amend(&owner, vec![amendment(key("s", &old.id), "5")]).await.unwrap();
        bench.void(&[added[0].seq]);
        let third = listed(&owner, pb::ListUsageEventsRequest { added_by: again.name.clone(), ..Default::default() }).await;
        assert_eq!(third[0].replaces_seq, added[0].seq);
        bench.facts.push(Fact { seq: third[0].seq, tokens: 5, skills: 0, ..old.clone() });
        bench.check_all("amended again").await;
        // in the order in which they were made, nothing counts twice: the later one goes first
        assert_eq!(code(revert(&owner, &made.name).await), (Code::FailedPrecondition, "ILLEGAL_STATE".to_owned()));
        revert(&owner, &again.name).await.unwrap();
        revert(&owner, &made.name).await.unwrap();
        bench.void(&[added[0].seq, added[1].seq, third[0].seq]);
        bench.stand(&[old.seq, added[1].replaces_seq]);
        bench.check_all("reverted").await;
        assert_eq!(bench.resend(20).await.seq, old.seq, "the key is still the first one's");
        bench.roll().await;
        bench.check_all("reverted and rolled up").await;
        assert!(bench.verified().await.agrees());
    }

    async fn a_session_that_counts_in_one_way_counts_in_no_other_when_that_is_taken_back(site: Site) {
        let desk = Desk::open(site).await;
        let owner = desk.world.owner.clone();
        let told = |tokens: i64| crate::usage::event("a", at(30 * 1_440 - 5), tokens);
        desk.send_all(&desk.maria, &[told(10)]).await;
        let nanos = (at(30 * 1_440 - 4).micros() * 1_000).to_string();
        let text = |key: &str, value: &str| json!({"key": key, "value": {"stringValue": value}});
        let point = json!({"timeUnixNano": nanos, "asInt": "25", "attributes": [text("type", "output"), text("session.id", "one"), text("model", "opus")]});
        let sum = json!({"aggregationTemporality": 1, "isMonotonic": true, "dataPoints": [point]});
        let metrics = json!({"resourceMetrics": [{
            "resource": {"attributes": [text("service.name", "claude-code")]},
            "scopeMetrics": [{"metrics": [{"name": "claude_code.token.usage", "sum": sum}]}],
        }]});
        let send = async || {
            let answer = tests::http::post_otlp(&desk.url(), &desk.maria, ("metrics", "application/json"), metrics.to_string()).await;
            assert_eq!(answer.status, 200, "{}", answer.text());
        };
        send().await;
        assert_eq!(desk.totals().await["tokens.output"], 10);
        let found = listed(&owner, pb::ListUsageEventsRequest { filter: "type = claude_code.api_request".to_owned(), ..Default::default() }).await;
        void(&owner, found.iter().map(|e| seq(e.seq)).collect(), "a test run").await.unwrap();
        send().await;
        let totals = desk.totals().await;
        assert_eq!(totals.get("tokens.output"), None, "{totals:?}");
        assert_eq!(totals["sessions"], 1, "its session was another event");
    }
}
