//! Backfills: nobody sees them before they are committed, then all of them at once.

use std::time::Duration;

use kernel::clock::Time;
use proto::usage::v1::{self as pb, EventOutcome, EventStatus, UsageEvent};
use tests::{both_engines, site::Caller, world};
use tonic::{Code, Response, Status};

use super::{
    Client, amend, amendment, at,
    bench::{Bench, Fact},
    code, listed, revert, seq, void,
};

/// Opens a backfill of `acme`.
pub async fn open(
    by: &Caller,
    span: (Time, Time),
    of: pb::UsageCorrection,
) -> Result<pb::UsageCorrection, Status> {
    let backfill = pb::UsageCorrection {
        reason: "the gateway was down".to_owned(),
        range_start_time: Some(span.0.into()),
        range_end_time: Some(span.1.into()),
        ..of
    };
    let request = pb::CreateUsageBackfillRequest {
        parent: world::ACME.to_owned(),
        backfill: Some(backfill),
        ..Default::default()
    };
    Ok(Client::new(by.channel.clone()).create_usage_backfill(by.ask(request)).await?.into_inner())
}

pub async fn stage(by: &Caller, name: &str, events: Vec<UsageEvent>) -> Result<Vec<EventStatus>, Status> {
    let request = pb::StageUsageEventsRequest { name: name.to_owned(), events, ..Default::default() };
    Ok(Client::new(by.channel.clone()).stage_usage_events(by.ask(request)).await?.into_inner().statuses)
}

pub async fn commit(by: &Caller, name: &str, validate_only: bool) -> Result<pb::UsageCorrection, Status> {
    let request =
        pb::CommitUsageBackfillRequest { name: name.to_owned(), validate_only, ..Default::default() };
    Client::new(by.channel.clone()).commit_usage_backfill(by.ask(request)).await.map(Response::into_inner)
}

async fn abandon(by: &Caller, name: &str) -> Result<pb::UsageCorrection, Status> {
    let request = pb::AbandonUsageBackfillRequest {
        name: name.to_owned(),
        reason: "the wrong file".to_owned(),
        ..Default::default()
    };
    Client::new(by.channel.clone()).abandon_usage_backfill(by.ask(request)).await.map(Response::into_inner)
}

pub fn replacing() -> pb::UsageCorrection {
    pb::UsageCorrection { replace: true, ..Default::default() }
}

/// What was added by a correction, given its places.
pub async fn placed(by: &Caller, name: &str, facts: Vec<Fact>) -> Vec<Fact> {
    let added =
        listed(by, pb::ListUsageEventsRequest { added_by: name.to_owned(), ..Default::default() }).await;
    let place = |mut fact: Fact| {
        fact.seq = added.iter().find(|e| e.id == fact.id)?.seq;
        Some(fact)
    };
    let facts: Vec<_> = facts.into_iter().filter_map(place).collect();
    assert_eq!(facts.len(), added.len(), "every event that was added is known");
    facts
}

both_engines! {
    async fn a_backfill_counts_from_its_commit_on_and_not_after_it_is_reverted(site: Site) {
        let mut bench = Bench::open(site).await;
        bench.ingest(120).await;
        bench.roll().await;
        let owner = bench.owner();
        let span = (at(0), at(5 * 1_440));
        let mut facts: Vec<_> = (1_000..1_060).map(Fact::new).collect();
        for (n, fact) in (0..).zip(&mut facts) {
            fact.time = at(n * 97 % (5 * 1_440));
        }
        let opened = open(&owner, span, replacing()).await.unwrap();
        assert_eq!((opened.state(), opened.actor.as_str()), (pb::UsageCorrectionState::Staged, "tenants/acme/principals/owner"));
        let statuses = stage(&owner, &opened.name, facts.iter().map(Fact::event).collect()).await.unwrap();
        assert!(statuses.iter().all(|s| s.outcome() == EventOutcome::Accepted), "{statuses:?}");
        bench.check_all("staged").await;
        bench.roll().await;
        bench.check_all("staged and rolled up").await;
        let all = listed(&owner, pb::ListUsageEventsRequest::default()).await;
        assert_eq!(all.len(), 120, "nobody sees what is staged");
        // a dry run says what the commit will say, and changes nothing
        let would = commit(&owner, &opened.name, true).await.unwrap();
        bench.check_all("a dry run").await;
        let made = commit(&owner, &opened.name, false).await.unwrap();
        assert_eq!((&would.effects, would.taken_count, would.added_count), (&made.effects, made.taken_count, made.added_count));
        let gone: Vec<_> = bench.facts.iter().filter(|f| f.time >= span.0 && f.time < span.1).map(|f| f.seq).collect();
        assert_eq!((made.taken_count, made.added_count, made.skipped_count, made.staged_count), (i64::try_from(gone.len()).unwrap(), 60, 0, 60));
        let tokens = |facts: &[&Fact]| facts.iter().map(|f| f.tokens).sum::<i64>();
        let effect = made.effects.iter().find(|e| e.meter == "tokens.output").unwrap();
        let before = tokens(&bench.facts.iter().filter(|f| gone.contains(&f.seq)).collect::<Vec<_>>());
        let after = tokens(&facts.iter().collect::<Vec<_>>());
        assert_eq!([&effect.value_taken, &effect.value_added, &effect.value_change], [&before.to_string(), &after.to_string(), &(after - before).to_string()]);
        bench.void(&gone);
        let added = placed(&owner, &made.name, facts).await;
        let places: Vec<_> = added.iter().map(|f| f.seq).collect();
        bench.facts.extend(added);
        bench.check_all("committed").await;
        bench.look().await;
        bench.check_all("committed and looked").await;
        bench.roll().await;
        bench.check_all("committed and rolled up").await;
        assert!(bench.verified().await.agrees());
        // one of its events is taken back by another correction; the revert still undoes all of it
        let other = void(&owner, vec![seq(places[3])], "x").await.unwrap();
        revert(&owner, &made.name).await.unwrap();
        bench.void(&places);
        bench.stand(&gone);
        bench.check_all("reverted").await;
        revert(&owner, &other.name).await.unwrap();
        bench.check_all("what a reverted backfill added never stands again").await;
        bench.roll().await;
        bench.check_all("reverted and rolled up").await;
        assert!(bench.verified().await.agrees());
        assert_eq!(code(revert(&owner, &made.name).await).0, Code::FailedPrecondition);
        assert_eq!(code(commit(&owner, &made.name, false).await).0, Code::FailedPrecondition);
    }

    async fn an_event_that_stands_is_not_added_a_second_time(site: Site) {
        let mut bench = Bench::open(site).await;
        bench.ingest(20).await;
        let owner = bench.owner();
        // 3 stands, 4 was taken back, 5 was amended, 90 is new; all under ids that are known or not
        void(&owner, vec![seq(bench.facts[4].seq)], "x").await.unwrap();
        let five = bench.facts[5].clone();
        let amended = amend(&owner, vec![amendment(seq(five.seq), "50")]).await.unwrap();
        bench.void(&[bench.facts[4].seq, five.seq]);
        bench.facts.extend(placed(&owner, &amended.name, vec![Fact { tokens: 50, skills: 0, ..five }]).await);
        let facts: Vec<_> = [3, 4, 5, 90].map(Fact::new).into_iter().collect();
        let opened = open(&owner, (at(0), at(31 * 1_440)), pb::UsageCorrection::default()).await.unwrap();
        stage(&owner, &opened.name, facts.iter().map(Fact::event).collect()).await.unwrap();
        let made = commit(&owner, &opened.name, false).await.unwrap();
        assert_eq!((made.added_count, made.skipped_count), (2, 2), "{made:?}");
        let added = placed(&owner, &made.name, vec![facts[1].clone(), facts[3].clone()]).await;
        bench.facts.extend(added.clone());
        bench.check_all("committed").await;
        // what comes in later with an id of the backfill is a duplicate
        assert_eq!(bench.resend(90).await.seq, added[1].seq);
        assert_eq!(bench.resend(90).await.outcome(), EventOutcome::Duplicate);
        // whoever took 4 back lets it stand again only when it does not stand already
        let other = listed(&owner, pb::ListUsageEventsRequest { filter: "state = void AND id = 4".to_owned(), ..Default::default() }).await;
        assert_eq!(code(revert(&owner, &other[0].void_correction).await), (Code::FailedPrecondition, "ILLEGAL_STATE".to_owned()));
        revert(&owner, &made.name).await.unwrap();
        bench.void(&added.iter().map(|f| f.seq).collect::<Vec<_>>());
        revert(&owner, &other[0].void_correction).await.unwrap();
        bench.stand(&[other[0].seq]);
        bench.check_all("reverted").await;
        bench.roll().await;
        bench.check_all("rolled up").await;
        assert!(bench.verified().await.agrees());
    }

    async fn a_day_of_25_hours_is_replaced_and_its_neighbours_are_not(site: Site) {
        let mut bench = Bench::open(site).await;
        let owner = bench.owner();
        let time = |text: &str| Time::parse("t", text).unwrap();
        // the clocks of Berlin go back on 2026-10-25: its day is from 22:00 to 23:00 of UTC
        let day = (time("2026-10-24T22:00:00Z"), time("2026-10-25T23:00:00Z"));
        let micro = Duration::from_micros(1);
        let times = [day.0.minus(micro), day.0, day.1.minus(micro), day.1, time("2026-10-25T00:30:00Z"), time("2026-10-25T01:30:00Z")];
        let first = open(&owner, (at(0), at(31 * 1_440)), pb::UsageCorrection::default()).await.unwrap();
        let facts: Vec<_> = (0..).zip(times).map(|(n, time)| Fact { time, ..Fact::new(500 + n) }).collect();
        stage(&owner, &first.name, facts.iter().map(Fact::event).collect()).await.unwrap();
        commit(&owner, &first.name, false).await.unwrap();
        bench.facts = placed(&owner, &first.name, facts).await;
        bench.roll().await;
        bench.check_all("there").await;
        let opened = open(&owner, day, replacing()).await.unwrap();
        let new = Fact { time: time("2026-10-25T02:30:00Z"), ..Fact::new(600) };
        let outside = [day.0.minus(micro), day.1].map(|time| Fact { time, ..Fact::new(601) }.event());
        let statuses = stage(&owner, &opened.name, outside.to_vec()).await.unwrap();
        assert!(statuses.iter().all(|s| s.outcome() == EventOutcome::Rejected && s.field == "time"), "{statuses:?}");
        stage(&owner, &opened.name, vec![new.event()]).await.unwrap();
        let made = commit(&owner, &opened.name, false).await.unwrap();
        assert_eq!((made.taken_count, made.added_count), (4, 1));
        let gone: Vec<_> = bench.facts.iter().filter(|f| f.time >= day.0 && f.time < day.1).map(|f| f.seq).collect();
        bench.void(&gone);
        bench.facts.extend(placed(&owner, &made.name, vec![new]).await);
        bench.check_all("replaced").await;
        bench.roll().await;
        bench.check_all("replaced and rolled up").await;
        assert!(bench.verified().await.agrees());
    }

    async fn what_is_staged_is_checked_event_by_event_and_staged_once(site: Site) {
        let bench = Bench::open(site).await;
        let owner = bench.owner();
        // older than what comes in by itself may be
        let span = (at(-300 * 1_440), at(-200 * 1_440));
        let of = pb::UsageCorrection { client: "codex".to_owned(), source: "s".to_owned(), ..Default::default() };
        let opened = open(&owner, span, of).await.unwrap();
        let fact = |n: usize| Fact { time: at(-250 * 1_440), client: "codex".to_owned(), ..Fact::new(n) };
        let event = |n: usize| fact(n).event();
        let events = vec![
            event(1), event(1),
            UsageEvent { value: "7".to_owned(), ..event(1) },
            UsageEvent { time: None, ..event(2) },
            UsageEvent { client: "claude-code".to_owned(), ..event(3) },
            UsageEvent { source: "other".to_owned(), ..event(4) },
            UsageEvent { subject: "nobody".to_owned(), ..event(5) },
            UsageEvent { value: "NaN".to_owned(), ..event(6) },
            UsageEvent { id: String::new(), ..event(7) },
            event(8),
        ];
        let told = |statuses: &[EventStatus]| statuses.iter().map(|s| (s.outcome(), s.code.clone(), s.field.clone())).collect::<Vec<_>>();
        let say = |outcome: EventOutcome, code: &str, field: &str| (outcome, code.to_owned(), field.to_owned());
        let rejected = |code: &str, field: &str| say(EventOutcome::Rejected, code, field);
        let accepted = say(EventOutcome::Accepted, "", "");
        assert_eq!(told(&stage(&owner, &opened.name, events).await.unwrap()), [
            accepted.clone(), say(EventOutcome::Duplicate, "", ""), say(EventOutcome::Conflict, "", ""), rejected("MISSING_TIME", "time"),
            rejected("MALFORMED", "client"), rejected("MALFORMED", "source"), rejected("SUBJECT", "subject"),
            rejected("NOT_EXACT", "data.value"), rejected("MISSING", "id"), accepted.clone(),
        ]);
        let again = stage(&owner, &opened.name, vec![event(8), event(9)]).await.unwrap();
        assert_eq!(told(&again), [say(EventOutcome::Duplicate, "", ""), accepted]);
        let would = commit(&owner, &opened.name, true).await.unwrap();
        assert_eq!((would.staged_count, would.added_count), (3, 3));
        let many = (0..10_001).map(event).collect();
        assert_eq!(stage(&owner, &opened.name, many).await.unwrap_err().code(), Code::ResourceExhausted);
        // what is given up is gone
        abandon(&owner, &opened.name).await.unwrap();
        for refused in [commit(&owner, &opened.name, false).await, abandon(&owner, &opened.name).await, revert(&owner, &opened.name).await] {
            assert_eq!(code(refused).0, Code::FailedPrecondition);
        }
        assert_eq!(stage(&owner, &opened.name, vec![event(20)]).await.unwrap_err().code(), Code::FailedPrecondition);
        assert!(listed(&owner, pb::ListUsageEventsRequest::default()).await.is_empty());
        assert!(!bench.desk.world.site.dump(&["usage_staged"]).await.contains("codex"));
    }

    async fn an_interval_that_is_none_and_an_eleventh_backfill_are_refused(site: Site) {
        let bench = Bench::open(site).await;
        let owner = bench.owner();
        for span in [(at(5), at(5)), (at(5), at(4)), (at(-371 * 1_440), at(0))] {
            let refused = open(&owner, span, replacing()).await;
            assert_eq!(code(refused), (Code::InvalidArgument, "INVALID_FIELD".to_owned()), "{span:?}");
        }
        let long = pb::UsageCorrection { client: "x".repeat(257), ..Default::default() };
        assert_eq!(code(open(&owner, (at(0), at(1)), long).await).0, Code::InvalidArgument);
        let mut last = String::new();
        for _ in 0..10 {
            last = open(&owner, (at(0), at(1)), replacing()).await.unwrap().name;
        }
        assert_eq!(code(open(&owner, (at(0), at(1)), replacing()).await), (Code::ResourceExhausted, "LIMIT_EXCEEDED".to_owned()));
        abandon(&owner, &last).await.unwrap();
        open(&owner, (at(0), at(1)), replacing()).await.unwrap();
    }

    async fn what_was_looked_at_is_what_is_committed(site: Site) {
        let bench = Bench::open(site).await;
        let owner = bench.owner();
        let opened = open(&owner, (at(0), at(31 * 1_440)), replacing()).await.unwrap();
        stage(&owner, &opened.name, vec![Fact::new(1).event()]).await.unwrap();
        let stale = pb::CommitUsageBackfillRequest { name: opened.name.clone(), etag: opened.etag, ..Default::default() };
        let refused = Client::new(owner.channel.clone()).commit_usage_backfill(owner.ask(stale)).await;
        assert_eq!(code(refused.map(Response::into_inner)), (Code::Aborted, "ETAG_STALE".to_owned()));
        // the same request twice is one commit
        let request = pb::CommitUsageBackfillRequest {
            name: opened.name.clone(),
            request_id: "2f1c4e0a-5d1b-4c59-9b0e-0c1a4a5d6e7f".to_owned(),
            ..Default::default()
        };
        let mut answers = Vec::new();
        for _ in 0..2 {
            answers.push(Client::new(owner.channel.clone()).commit_usage_backfill(owner.ask(request.clone())).await.unwrap().into_inner());
        }
        assert_eq!(answers[0], answers[1]);
        assert_eq!(answers[0].added_count, 1);
    }
}
