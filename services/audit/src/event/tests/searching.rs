//! What the search index finds is what reading every event finds.

use std::time::Duration;

use kernel::clock::Time;
use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};
use serde_json::{Value, json};
use tokio::{runtime::Handle, task::block_in_place};

use super::house::{House, SMALL, Scatter};
use crate::event::{
    Filter, Window, bucket,
    index::{index, prune},
    model::Row,
    store,
};

const ACTIONS: [&str; 4] = ["role.create", "role.update", "token.create", "audit.list"];
const PEOPLE: [&str; 4] = ["maria", "carl", "ana", "nobody"];
const THINGS: [&str; 4] =
    ["tenants/acme/roles/banker", "tenants/acme/roles/sales", "tenants/acme/units/emea", "tenants/acme"];
const WORDS: [&str; 6] = ["alpha", "beta", "gamma", "Alpha Beta", "delta-7", "omega"];
const ADDRESSES: [&str; 6] =
    ["10.0.0.1", "10.0.9.1", "10.200.0.1", "192.168.1.7", "2001:db8::1", "2001:db8:0:1:2::3"];

/// A made-up entry, and when it happened: mostly in order.
fn made_up(scatter: &mut Scatter, n: u64) -> (Time, String) {
    let start = Time::parse("t", "2026-01-01T00:00:00Z").unwrap();
    let time = start.plus(Duration::from_secs(n * 60 + scatter.below(300)));
    let who = |name| format!("tenants/acme/principals/{name}");
    let mut actor = json!({"k": "user", "p": who(scatter.of(&PEOPLE[..3]))});
    if scatter.below(5) == 0 {
        actor = json!({"k": "agent", "p": who("bot"), "o": who(scatter.of(&PEOPLE[..2]))});
    }
    let targets: Vec<_> =
        (0..scatter.below(3)).map(|_| json!({"id": scatter.of(&THINGS), "k": "x"})).collect();
    let mut entry = json!({
        "act": scatter.of(&ACTIONS), "actor": actor, "out": scatter.of(&["ok", "ok", "ok", "denied"]),
        "cls": scatter.of(&["admin_write", "audit_read"]), "req": format!("r-{}", scatter.below(400)), "t": time,
        "trace": scatter.of(&["", "t-1"]), "tgt": targets,
        "chg": [{"f": "/display_name", "o": scatter.of(&WORDS), "n": scatter.of(&WORDS)}],
    });
    if scatter.below(3) > 0 {
        entry["ip"] = json!(scatter.of(&ADDRESSES));
    }
    if scatter.below(4) == 0 {
        entry["via"] = json!({"partner": "partners/northwind"});
    }
    (time, entry.to_string())
}

/// A log with sealed data of real people between made-up events.
async fn house(events: u64) -> House {
    let house = House::build().await;
    let mut scatter = Scatter::new(events);
    let maria = house.token("maria").await;
    for n in 0..events {
        let entries = vec![made_up(&mut scatter, n)];
        if n % 40 == 7 {
            let ctx = house.call(&maria, scatter.of(&ADDRESSES)).await;
            house.role(&ctx, &format!("r-{n}"), scatter.of(&WORDS)).await;
        }
        house.append(entries).await;
    }
    house
}

fn condition() -> impl Strategy<Value = String> {
    let of = |all: &'static [&'static str]| prop::sample::select(all);
    let op = || prop::sample::select(&["=", "!="][..]);
    prop_oneof![
        (of(&["actor", "target"]), op(), of(&PEOPLE))
            .prop_map(|(f, op, p)| format!("{f} {op} \"tenants/acme/principals/{p}\"")),
        of(&PEOPLE).prop_map(|p| format!("actor(\"tenants/acme/principals/{p}\")")),
        (op(), of(&["role.create", "role.*", "audit.*", "unit.create", "*"]))
            .prop_map(|(op, a)| format!("action {op} \"{a}\"")),
        (op(), of(&["tenants/acme", "tenants/acme/roles/banker", "tenants/acme/roles/*", "tenants/*", ""]))
            .prop_map(|(op, t)| format!("target {op} \"{t}\"")),
        (op(), of(&["ok", "denied", "failed"])).prop_map(|(op, o)| format!("outcome {op} {o}")),
        of(&["admin_write", "audit_read", "decision"]).prop_map(|c| format!("event_class = {c}")),
        of(&["partner:*", "partner = \"\"", "partner = \"partners/northwind\"", "trace_id = \"t-1\""])
            .prop_map(str::to_owned),
        (0..420_u32).prop_map(|n| format!("request_id = \"r-{n}\"")),
        of(&["alpha", "beta gamma", "omega", "maria", "absent", "7", "quetzalcoatl"])
            .prop_filter_map("too short", |w| { (w.len() > 1).then(|| format!("text(\"{w}\")")) }),
        of(&[
            "10.0.0.0/8",
            "10.0.0.0/17",
            "10.0.0.1",
            "192.168.0.0/13",
            "11.0.0.0/8",
            "2001:db8::/32",
            "2001:db8::/80",
            "2001:db8::/62"
        ])
        .prop_map(|n| format!("cidr(ip, \"{n}\")")),
        (of(&["<", "<=", ">", ">=", "=", "!="]), 0..420_u64).prop_map(|(op, n)| {
            let at = Time::parse("t", "2026-01-01T00:00:00Z").unwrap().plus(Duration::from_secs(n * 60));
            format!("time {op} \"{at}\"")
        }),
    ]
}

fn filter() -> impl Strategy<Value = String> {
    condition().prop_recursive(4, 12, 3, |inner| {
        prop_oneof![
            inner.clone().prop_map(|a| format!("NOT ({a})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} AND {b})")),
            (inner.clone(), inner).prop_map(|(a, b)| format!("({a} OR {b})")),
        ]
    })
}

/// What reading every event finds.
fn brute(events: &[(Row, Value)], filter: &str, window: Window, limit: usize) -> Vec<i64> {
    let filter = Filter::parse(filter).unwrap();
    let within = |row: &Row| (window.from..window.below).contains(&row.idx);
    let found = events.iter().filter(|(row, e)| within(row) && filter.matches(e, row.time));
    let mut found: Vec<_> = found.map(|(row, _)| row.idx).collect();
    if !window.ascending {
        found.reverse();
    }
    found.truncate(limit);
    found
}

/// Compares for many filters and windows.
async fn compare(house: &House, cases: u32) {
    let (events, head) = (house.events().await, house.head().await);
    let mut runner = TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
    let (low, high) = (head.minimum_index, head.size);
    let window = (low..=high, low..=high, any::<bool>(), prop::sample::select(&[1_usize, 7, 50, 1_000][..]));
    let outcome = runner.run(&(filter(), window), |(filter, (a, b, ascending, limit))| {
        let window = Window { from: a.min(b), below: a.max(b), ascending };
        let found = block_in_place(|| Handle::current().block_on(house.search(&filter, window, limit)));
        prop_assert_eq!(found, brute(&events, &filter, window, limit), "{} in {:?}", filter, window);
        Ok(())
    });
    outcome.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_search_finds_what_reading_everything_finds_however_far_the_index_is() {
    // three of level 1, some of level 0, and newest events in none
    let house = house(420).await;
    compare(&house, 60).await;
    let head = house.head().await;
    assert!(head.size > 425, "real events are among them");
    index(&house.kernel, SMALL, house.log(), 0, 3 * SMALL.segment).await.unwrap();
    compare(&house, 60).await;
    house.index().await;
    let segments = house.count("SELECT COUNT(*) FROM audit_segment WHERE scope_id = $1 AND level = 1").await;
    let small = house.count("SELECT COUNT(*) FROM audit_segment WHERE scope_id = $1 AND level = 0").await;
    assert_eq!((segments, small), (3, head.size / 32 - 12));
    compare(&house, 300).await;
    let leftover = "SELECT COUNT(*) FROM audit_posting WHERE scope_id = $1 AND level = 0 AND segment < 12";
    assert_eq!(house.count(leftover).await, 0);

    // retention cuts into a segment of level 1
    prune_below(&house, 128 + 40).await;
    compare(&house, 100).await;
    assert_eq!(
        house
            .count("SELECT COUNT(*) FROM audit_posting WHERE scope_id = $1 AND level = 1 AND segment = 0")
            .await,
        0
    );
    assert_eq!(house.find("").await.first(), Some(&168));
}

async fn prune_below(house: &House, minimum: i64) {
    let mut tx = house.kernel.db.begin_derived();
    for query in [
        "UPDATE audit_log SET minimum_index = $1 WHERE scope_id = $2",
        "DELETE FROM audit_event WHERE idx < $1 AND scope_id = $2",
    ] {
        kernel::execute!(&mut tx, sqlx::query(query).bind(minimum).bind(house.log())).unwrap();
    }
    tx.finish().await.unwrap();
    prune(&house.kernel, SMALL, house.log(), minimum).await.unwrap();
}

#[tokio::test]
async fn a_log_that_was_pruned_before_its_first_segment_was_full_is_indexed_too() {
    let house = house(45).await;
    let (head, before) = (house.head().await, house.find("action = role.*").await);
    prune_below(&house, 10).await;
    house.index().await;
    assert_eq!(house.head().await.segments, head.size / 32);
    let left: Vec<_> = before.into_iter().filter(|index| *index >= 10).collect();
    assert_eq!(house.find("action = role.*").await, left);
    assert_eq!(house.find("").await.len(), usize::try_from(head.size - 10).unwrap());
}

#[tokio::test]
async fn two_processes_that_build_the_same_segments_build_one_index() {
    let house = house(300).await;
    let size = house.head().await.size;
    let build = || index(&house.kernel, SMALL, house.log(), 0, size);
    let (one, other) = tokio::join!(build(), build());
    assert!(one.unwrap() == size / 32 || other.unwrap() == size / 32);
    assert_eq!(house.head().await.segments, size / 32);
    let expected =
        house.count("SELECT COUNT(*) FROM audit_event WHERE scope_id = $1 AND entry LIKE '%\"role.%'").await;
    assert_eq!(i64::try_from(house.find("action = role.*").await.len()).unwrap(), expected);
}

#[tokio::test]
async fn what_a_killed_process_left_of_a_merge_is_removed_and_never_seen() {
    let house = house(150).await;
    house.index().await;
    let garbage = |level| bucket::pack(level, &bucket::Postings::from([(1_i64, vec![0_u8, 0])]));
    let mut tx = house.kernel.db.begin_derived();
    // terms of a merged segment that were not removed, and of a merge that never came to its end
    store::posting_insert_all(&mut tx, house.log(), (0, 2), &garbage(0)).await.unwrap();
    store::posting_insert_all(&mut tx, house.log(), (1, 1), &garbage(1)).await.unwrap();
    tx.finish().await.unwrap();
    let found = house.find("outcome = denied").await;
    let mut scatter = Scatter::new(9);
    house.append((150..300).map(|n| made_up(&mut scatter, n)).collect()).await;
    house.index().await;
    assert_eq!(
        house
            .count("SELECT COUNT(*) FROM audit_posting WHERE scope_id = $1 AND level = 0 AND segment < 8")
            .await,
        0
    );
    let after = house.find("outcome = denied").await;
    assert_eq!(after[..found.len()], found);
}
