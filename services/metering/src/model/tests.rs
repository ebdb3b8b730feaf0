use kernel::ids::Slug;
use proptest::prelude::*;
use uuid::Uuid;

use std::{borrow::Cow, time::Duration};

use kernel::{
    clock::Time,
    config::Usage,
    ids::{PrincipalId, TenantId},
};
use tenancy::{holding::HeldRole, role::model::RoleId};

use super::*;
use crate::{
    claim::{Claim, SourceKind},
    event::{
        decimal::Decimal,
        key::{Digest, dedupe_key},
        model::{Code, Dims, UsageEvent},
    },
    meter,
};

const NOW: Time = Time::from_micros(1_795_340_000_000_000);

fn tenant(n: u128) -> TenantId {
    TenantId(Uuid::from_u128(n))
}

fn config() -> Usage {
    Usage { accept_past_days: 35, accept_future_seconds: 300, max_body_bytes: 1_024 }
}

fn event(id: &str, session: Option<&str>, time: Time) -> UsageEvent {
    UsageEvent {
        source: Cow::Borrowed("otlp/codex"),
        id: id.to_owned(),
        event_type: Cow::Borrowed("codex.tool_result"),
        client: Cow::Borrowed("codex"),
        time,
        timed: true,
        session: session.map(str::to_owned),
        dims: Dims::default(),
        values: vec![(Cow::Borrowed(meter::TOOL_CALLS), Decimal::from(1))],
        attributes: "{}".to_owned(),
        claim: None,
        observation: None,
    }
}

fn rows(events: Vec<UsageEvent>, principal: Option<u128>) -> Vec<Row> {
    let holder =
        Holder { principal: principal.map(|p| PrincipalId(Uuid::from_u128(p))), ..Holder::default() };
    let mut next = 0;
    let new_id = || {
        next += 1;
        Uuid::from_u128(next)
    };
    Batch { events, ..Batch::default() }.rows(tenant(1), holder, new_id).0
}

fn stored(row: &Row) -> Stored {
    Stored {
        dedupe_key: row.key.as_bytes().to_vec(),
        id: row.id,
        payload_key: row.payload.as_bytes().to_vec(),
    }
}

#[test]
fn the_window_includes_both_its_ends() {
    let window = Window::around(NOW, &config());
    let (oldest, newest) = (NOW.minus(Duration::from_hours(35 * 24)), NOW.plus(Duration::from_mins(5)));
    let micro = Duration::from_micros(1);
    for good in [oldest, NOW, newest] {
        assert_eq!(window.check(good), Ok(()));
    }
    assert_eq!(window.check(oldest.minus(micro)).unwrap_err().code, Code::TooOld);
    assert_eq!(window.check(newest.plus(micro)).unwrap_err().code, Code::Future);
}

proptest! {
    #[test]
    fn keys_are_equal_only_when_every_part_is(
        a in (0_u128..3, "[ab]{0,3}", "[ab]{0,3}"), b in (0_u128..3, "[ab]{0,3}", "[ab]{0,3}"),
    ) {
        let same = dedupe_key(tenant(a.0), &a.1, &a.2) == dedupe_key(tenant(b.0), &b.1, &b.2);
        prop_assert_eq!(same, a == b);
    }
}

#[test]
fn where_one_part_ends_and_the_next_begins_matters() {
    assert_ne!(dedupe_key(tenant(1), "ab", "c"), dedupe_key(tenant(1), "a", "bc"));
    assert_ne!(dedupe_key(tenant(1), "", "abc"), dedupe_key(tenant(1), "abc", ""));
    assert_ne!(Digest::of(&[]), Digest::of(&[b""]));
}

#[test]
fn a_row_is_new_a_duplicate_or_a_conflict() {
    let first = rows(vec![event("a", None, NOW)], Some(5));
    let mut report = IngestReport::default();
    assert_eq!(sort_out(&first, &[stored(&first[0])], &mut report).len(), 1);
    assert_eq!((report.accepted, report.duplicates, report.conflicts), (1, 0, 0));

    let in_store = Stored { id: UsageEventId(Uuid::from_u128(99)), ..stored(&first[0]) };
    let again = rows(vec![event("a", None, NOW)], Some(5));
    let later = rows(vec![event("a", None, NOW.plus(Duration::from_secs(1)))], Some(5));
    let whose = rows(vec![event("a", None, NOW)], Some(6));
    for (rows, expected) in [(again, (0, 1, 0)), (later, (0, 0, 1)), (whose, (0, 0, 1))] {
        let mut report = IngestReport::default();
        assert!(sort_out(&rows, std::slice::from_ref(&in_store), &mut report).is_empty());
        assert_eq!((report.accepted, report.duplicates, report.conflicts), expected);
    }
}

#[test]
fn a_record_sent_twice_in_one_request_is_stored_once() {
    let twice = rows(vec![event("a", None, NOW), event("a", None, NOW)], None);
    let mut report = IngestReport::default();
    assert_eq!(sort_out(&twice, &[stored(&twice[0])], &mut report).len(), 1);
    assert_eq!((report.accepted, report.duplicates), (1, 1));
}

#[test]
fn what_was_derived_is_stored_and_the_sender_does_not_hear_of_it() {
    let derived = vec![event("session", None, NOW)];
    let batch = Batch { events: vec![event("a", Some("s"), NOW)], derived, ..Batch::default() };
    let mut next = 0;
    let new_id = || {
        next += 1;
        Uuid::from_u128(next)
    };
    let all = batch.rows(tenant(1), Holder::default(), new_id).0;
    let stored: Vec<_> = all.iter().map(stored).collect();
    let mut report = IngestReport::default();
    assert_eq!(sort_out(&all, &stored, &mut report).len(), 2);
    assert_eq!(report.accepted, 1);
    assert!(all.is_sorted_by_key(|r| r.key));
}

#[test]
fn an_event_whose_way_of_telling_does_not_count_keeps_what_is_told_in_one_way_only() {
    let values = [(meter::TOKENS_INPUT, 7), (meter::COST_USD, 9), (meter::TOOL_CALLS, 1)];
    let values = values.map(|(name, value)| (Cow::Borrowed(name), Decimal::from(value))).to_vec();
    let claim = Some(Claim { session: "s".to_owned(), source_kind: SourceKind::Logs });
    let row = rows(vec![UsageEvent { values, claim, ..event("a", Some("s"), NOW) }], None).swap_remove(0);
    assert_eq!(row.amounts(false).collect::<Vec<_>>(), [(meter::TOOL_CALLS, 1)]);
    assert_eq!(row.amounts(true).count(), 3);
    let mut left = row.event.values;
    crate::claim::settled(&mut left);
    assert_eq!(left.len(), 1);
}

#[test]
fn usage_counts_under_the_longest_held_role_and_direct_ones_come_first() {
    let held = |slug: &str, direct: bool, since: i64| HeldRole {
        id: RoleId(Uuid::from_u128(slug.len() as u128)),
        slug: Slug::parse("role", slug).unwrap(),
        direct,
        since: Time::from_micros(since),
    };
    let (a, bb, ccc, dddd) =
        (held("a", false, 1), held("bb", true, 7), held("ccc", true, 5), held("dddd", true, 5));
    assert_eq!(counted_role(&[]), None);
    assert_eq!(counted_role(std::slice::from_ref(&a)), Some(a.id));
    assert_eq!(counted_role(&[a.clone(), bb.clone()]), Some(bb.id));
    for order in [[&a, &bb, &ccc, &dddd], [&dddd, &ccc, &bb, &a]] {
        assert_eq!(counted_role(&order.map(Clone::clone)), Some(ccc.id));
    }
}

#[test]
fn the_message_names_each_code_once_with_its_first_record() {
    let rejected = vec![
        (3, Code::TooOld, "happened before then".to_owned()),
        (5, Code::UnknownClient, "who".to_owned()),
        (9, Code::TooOld, "happened before then".to_owned()),
    ];
    let report = IngestReport { conflicts: 2, rejected, ..IngestReport::default() };
    assert_eq!(report.refused(), 5);
    assert_eq!(
        report.message(),
        "1 UNKNOWN_CLIENT (record 5: who); 2 TOO_OLD (record 3: happened before then); \
         2 CONFLICT (known already with other content)"
    );
    let recorded = serde_json::to_value(&report).unwrap();
    assert_eq!(recorded["rejected"], serde_json::json!({"UNKNOWN_CLIENT": 1, "TOO_OLD": 2}));
}
