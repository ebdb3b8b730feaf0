//! Searching over the wire: pages under a writer, pinned reports, the stream of what is new, and answers held against a scan.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use kernel::clock::Time;
use proptest::{prelude::*, strategy::ValueTree as _, test_runner::TestRunner};
use proto::audit::v1::{self as pb, AuditEvent, audit_service_client::AuditServiceClient};
use tests::{World, both_engines, site::Caller, world};
use tokio::task::JoinHandle;
use tonic::{Code, Status, Streaming};

use super::{search::fill, sequencer::acme};
use crate::errors::reason;

/// Longest wait for something that comes by a stream.
const PATIENCE: Duration = Duration::from_mins(1);
/// Acts of the scanned log: two segments of the index and a tail.
const SCANNED: u64 = 9_000;
/// Searches that are held against the scan.
const SEARCHES: usize = 60;

async fn page(
    by: &Caller,
    request: pb::ListAuditEventsRequest,
) -> Result<pb::ListAuditEventsResponse, Status> {
    let request = pb::ListAuditEventsRequest { parent: world::ACME.to_owned(), ..request };
    let answer = AuditServiceClient::new(by.channel.clone()).list_audit_events(by.ask(request)).await;
    answer.map(tonic::Response::into_inner)
}

/// Every page to the last: the events, and the size that was searched.
async fn pages(by: &Caller, request: pb::ListAuditEventsRequest) -> (Vec<AuditEvent>, i64) {
    let (mut all, mut token, mut searched) = (Vec::new(), String::new(), None);
    loop {
        let one =
            page(by, pb::ListAuditEventsRequest { page_token: token, ..request.clone() }).await.unwrap();
        assert!(one.audit_events.len() <= usize::try_from(request.page_size).unwrap());
        assert_eq!(
            *searched.get_or_insert(one.searched_size),
            one.searched_size,
            "every page is of the same log"
        );
        all.extend(one.audit_events);
        token = one.next_page_token;
        if token.is_empty() {
            return (all, searched.unwrap());
        }
    }
}

fn search(filter: &str, order_by: &str, page_size: i32) -> pb::ListAuditEventsRequest {
    pb::ListAuditEventsRequest {
        filter: filter.to_owned(),
        order_by: order_by.to_owned(),
        page_size,
        ..Default::default()
    }
}

fn indexes(events: &[AuditEvent]) -> Vec<i64> {
    events.iter().map(|event| event.index).collect()
}

/// Creates roles without a pause until told to stop; returns how many.
fn writers(by: &Caller, stop: &Arc<AtomicBool>) -> Vec<JoinHandle<usize>> {
    let write = |writer: usize| {
        let (by, stop) = (by.clone(), Arc::clone(stop));
        tokio::spawn(async move {
            let mut made = 0;
            while !stop.load(Ordering::Relaxed) {
                world::create_role(&by, &format!("w-{writer}-{made}"), "x").await.unwrap();
                made += 1;
            }
            made
        })
    };
    (0..4).map(write).collect()
}

async fn tail(by: &Caller, filter: &str, from_index: i64) -> Streaming<pb::TailAuditEventsResponse> {
    let request =
        pb::TailAuditEventsRequest { parent: world::ACME.to_owned(), filter: filter.to_owned(), from_index };
    AuditServiceClient::new(by.channel.clone()).tail_audit_events(by.ask(request)).await.unwrap().into_inner()
}

/// Takes at least so many events from a stream; returns them, and where to go on.
async fn take(stream: &mut Streaming<pb::TailAuditEventsResponse>, least: usize) -> (Vec<AuditEvent>, i64) {
    let taking = async {
        let (mut events, mut next) = (Vec::new(), 0);
        while events.len() < least {
            let batch = stream.message().await.unwrap().expect("the stream goes on");
            events.extend(batch.audit_events);
            next = batch.next_index;
        }
        (events, next)
    };
    tokio::time::timeout(PATIENCE, taking).await.expect("what was written comes")
}

/// A filter, and what it asks, in our own words.
#[derive(Clone, Debug)]
enum Asked {
    Actor(u32),
    Action(&'static str),
    Outcome(&'static str),
    Class(&'static str),
    Target(u64),
    Request(u64),
    Since(u64),
    Word(&'static str),
    Not(Box<Asked>),
    And(Vec<Asked>),
    Or(Vec<Asked>),
}

impl Asked {
    fn text(&self, start: Time) -> String {
        let joined = |of: &[Self], word: &str| {
            let parts: Vec<_> = of.iter().map(|one| one.text(start)).collect();
            format!("({})", parts.join(word))
        };
        match self {
            Self::Actor(n) => format!("actor = \"tenants/acme/principals/p-{n}\""),
            Self::Action(action) => format!("action = {action}"),
            Self::Outcome(outcome) => format!("outcome = {outcome}"),
            Self::Class(class) => format!("event_class = {class}"),
            Self::Target(n) => format!("target = \"tenants/acme/units/u-{n}\""),
            Self::Request(n) => format!("request_id = \"r-{n}\""),
            Self::Since(n) => format!("time >= \"{}\"", start.plus(Duration::from_secs(*n))),
            Self::Word(word) => format!("text(\"{word}\")"),
            Self::Not(of) => format!("NOT ({})", of.text(start)),
            Self::And(of) => joined(of, " AND "),
            Self::Or(of) => joined(of, " OR "),
        }
    }

    /// Whether an event, with its entry read, is asked for.
    fn holds(&self, event: &AuditEvent, entry: &serde_json::Value, start: Time) -> bool {
        let all = |of: &[Self]| of.iter().map(|one| one.holds(event, entry, start)).collect::<Vec<_>>();
        match self {
            Self::Actor(n) => entry["actor"]["p"] == format!("tenants/acme/principals/p-{n}"),
            Self::Action("unit.*") => event.action.starts_with("unit."),
            Self::Action(action) => event.action == *action,
            Self::Outcome(outcome) => entry["out"] == *outcome,
            Self::Class(class) => entry["cls"] == *class,
            Self::Target(n) => event.targets.contains(&format!("tenants/acme/units/u-{n}")),
            Self::Request(n) => event.request_id == format!("r-{n}"),
            Self::Since(n) => {
                let time = event.time.unwrap();
                let micros = time.seconds * 1_000_000 + i64::from(time.nanos) / 1_000;
                micros >= start.plus(Duration::from_secs(*n)).micros()
            }
            Self::Word(word) => {
                let names = event.targets.iter().chain([&event.actor]).map(String::as_str);
                let values = event.changes.iter().flat_map(|c| [c.old_value.as_str(), c.new_value.as_str()]);
                let text = names.chain(values).collect::<Vec<_>>().join(" ").to_lowercase();
                text.split(|c: char| !c.is_alphanumeric()).any(|found| found == *word)
            }
            Self::Not(of) => !of.holds(event, entry, start),
            Self::And(of) => !all(of).contains(&false),
            Self::Or(of) => all(of).contains(&true),
        }
    }
}

fn asked() -> impl Strategy<Value = Asked> {
    let one = prop_oneof![
        (0..9_u32).prop_map(Asked::Actor),
        prop::sample::select(vec!["unit.create", "group.create", "role.create", "unit.*", "no.such"])
            .prop_map(Asked::Action),
        prop::sample::select(vec!["ok", "denied", "failed"]).prop_map(Asked::Outcome),
        prop::sample::select(vec!["admin_write", "auth", "decision", "audit_read"]).prop_map(Asked::Class),
        (0..SCANNED + 100).prop_map(Asked::Target),
        (0..SCANNED + 100).prop_map(Asked::Request),
        (0..SCANNED).prop_map(Asked::Since),
        prop::sample::select(vec!["quux", "desk", "nowhere"]).prop_map(Asked::Word),
    ];
    one.prop_recursive(3, 10, 3, |inner| {
        prop_oneof![
            inner.clone().prop_map(|of| Asked::Not(Box::new(of))),
            prop::collection::vec(inner.clone(), 2..4).prop_map(Asked::And),
            prop::collection::vec(inner, 2..4).prop_map(Asked::Or),
        ]
    })
}

both_engines! {
    async fn pages_neither_repeat_nor_skip_while_events_arrive(site: Site) {
        let world = World::build(site).await;
        for n in 0..60 {
            world.role(&format!("r-{n}")).await;
        }
        let stop = Arc::new(AtomicBool::new(false));
        let writers = writers(&world.owner, &stop);
        let created = "action = role.create";
        let (newest_first, of_newest) = pages(&world.owner, search("", "", 7)).await;
        let (oldest_first, of_oldest) = pages(&world.owner, search("", "index", 7)).await;
        let (filtered, of_filtered) = pages(&world.owner, search(created, "index desc", 3)).await;
        stop.store(true, Ordering::Relaxed);
        let mut made = 60;
        for writer in writers {
            made += writer.await.unwrap();
        }
        assert_eq!(indexes(&newest_first), (0..of_newest).rev().collect::<Vec<_>>());
        assert_eq!(indexes(&oldest_first), (0..of_oldest).collect::<Vec<_>>());
        let (all, size) = pages(&world.owner, search("", "index", 1_000)).await;
        assert!(of_newest < of_oldest && of_oldest < of_filtered && of_filtered < size, "nothing arrived meanwhile");
        let expected: BTreeSet<_> =
            all.iter().filter(|e| e.action == "role.create" && e.index < of_filtered).map(|e| e.index).collect();
        assert_eq!(indexes(&filtered), expected.into_iter().rev().collect::<Vec<_>>());
        assert_eq!(all.iter().filter(|e| e.action == "role.create").count(), made);
    }

    async fn a_report_as_of_a_size_stays_what_it_was(site: Site) {
        let world = World::build(site).await;
        for n in 0..10 {
            world.role(&format!("r-{n}")).await;
        }
        let (_, size) = pages(&world.owner, search("", "", 50)).await;
        let report = |size| pb::ListAuditEventsRequest { as_of_size: size, ..search("NOT outcome = denied", "index", 4) };
        let (before, searched) = pages(&world.owner, report(size)).await;
        assert_eq!((searched, indexes(&before)), (size, (0..size).collect()));
        world.role("later").await;
        assert_eq!(pages(&world.owner, report(size)).await, (before.clone(), size));
        assert_eq!(pages(&world.owner, report(5)).await.0, before[..5]);
        let beyond = page(&world.owner, report(1_000_000)).await.unwrap_err();
        assert_eq!((beyond.code(), reason(&beyond).as_str()), (Code::InvalidArgument, "INVALID_FIELD"));
        // a token is of its own search alone
        let first = page(&world.owner, report(size)).await.unwrap();
        for other in [search("outcome = denied", "index", 4), search("NOT outcome = denied", "index desc", 4)] {
            let mixed = pb::ListAuditEventsRequest { page_token: first.next_page_token.clone(), as_of_size: size, ..other };
            assert_eq!(page(&world.owner, mixed).await.unwrap_err().code(), Code::InvalidArgument);
        }
        let wrong = page(&world.owner, search("", "actor", 4)).await.unwrap_err();
        assert_eq!(wrong.code(), Code::InvalidArgument);
    }

    async fn a_tail_gives_what_is_written_and_goes_on_where_it_broke(site: Site) {
        let world = World::build(site).await;
        let created = "action = role.create";
        for n in 0..5 {
            world.role(&format!("before-{n}")).await;
        }
        let mut stream = tail(&world.owner, created, 0).await;
        let (mut came, _) = take(&mut stream, 5).await;
        // what is written while the stream is open comes by it
        for n in 0..5 {
            world.role(&format!("open-{n}")).await;
        }
        let (more, next) = take(&mut stream, 5).await;
        came.extend(more);
        drop(stream);
        for n in 0..5 {
            world.role(&format!("away-{n}")).await;
        }
        let mut stream = tail(&world.owner, created, next).await;
        came.extend(take(&mut stream, 5).await.0);
        let (listed, _) = pages(&world.owner, search(created, "index", 50)).await;
        assert_eq!(indexes(&came), indexes(&listed));
        assert_eq!(came.len(), 15);
        assert!(came.iter().zip(&listed).all(|(came, listed)| (&came.entry, &came.leaf_hash) == (&listed.entry, &listed.leaf_hash)));
        // from now on: what was is left out
        let mut fresh = tail(&world.owner, created, -1).await;
        world.role("fresh").await;
        let (came, _) = take(&mut fresh, 1).await;
        assert_eq!(came.iter().map(|e| e.targets[0].as_str()).collect::<Vec<_>>(), ["tenants/acme/roles/fresh"]);
        let request = pb::TailAuditEventsRequest { parent: world::ACME.to_owned(), ..Default::default() };
        let mut client = AuditServiceClient::new(world.owner.channel.clone());
        let refused = client.tail_audit_events(world.holders["finance"].ask(request)).await.unwrap_err();
        assert_eq!(refused.code(), Code::PermissionDenied);
    }

    async fn a_search_finds_what_a_scan_finds(site: Site) {
        let world = World::build(site).await;
        world::create_role(&world.owner, "desk", "Quux desk").await.unwrap();
        world::create_role(&world.holders["finance"], "denied", "x").await.unwrap_err();
        let start = world.site.kernel().clock.now().minus(Duration::from_secs(SCANNED));
        fill(&world, acme(world.site.kernel()).await, SCANNED).await;
        let (all, size) = pages(&world.owner, search("", "index", 1_000)).await;
        let entry = |event: &AuditEvent| serde_json::from_str::<serde_json::Value>(&event.entry).unwrap();
        let all: Vec<_> = all.into_iter().map(|event| (entry(&event), event)).collect();
        let mut runner = TestRunner::deterministic();
        let mut found = 0;
        for _ in 0..SEARCHES {
            let asked = asked().new_tree(&mut runner).unwrap().current();
            let text = asked.text(start);
            let expected: Vec<_> = all.iter().filter(|(entry, event)| asked.holds(event, entry, start)).map(|(_, event)| event.index).collect();
            found += usize::from(!expected.is_empty());
            for (order, expected) in [("index", expected.clone()), ("index desc", expected.into_iter().rev().collect())] {
                let request = pb::ListAuditEventsRequest { as_of_size: size, ..search(&text, order, 40) };
                let first = page(&world.owner, request.clone()).await.unwrap();
                let mut got = indexes(&first.audit_events);
                if !first.next_page_token.is_empty() {
                    let next = pb::ListAuditEventsRequest { page_token: first.next_page_token.clone(), ..request };
                    got.extend(indexes(&page(&world.owner, next).await.unwrap().audit_events));
                }
                // two pages of forty, and no page where there is nothing more
                assert_eq!(got, expected[..expected.len().min(80)], "{order}: {text}");
                assert_eq!(first.next_page_token.is_empty(), expected.len() <= 40, "{order}: {text}");
            }
        }
        assert!(found > SEARCHES / 4 && found < SEARCHES, "{found} of {SEARCHES} searches find something");
    }
}
