//! The use cases on a log that a sequencer makes meanwhile.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use futures::{StreamExt as _, pin_mut};
use kernel::{Ctx, Error, db::list::ListQuery, execute};
use proto::audit::v1 as pb;
use tlog::Vkey;

use super::house::{ACME, House, MARIA, page};
use crate::{
    Sequencer,
    event::{event_get, event_list, event_tail, log_get, receipt_get},
};

async fn all(ctx: &Ctx, log: &Sequencer, filter: &str) -> Vec<pb::AuditEvent> {
    page(ctx, log, filter, ("index", 1_000, "")).await.unwrap().audit_events
}

#[tokio::test]
async fn pages_neither_repeat_nor_skip_while_events_arrive() {
    let house = House::build().await;
    let log = house.sequencer();
    let maria = house.token("maria").await;
    for n in 0..40 {
        house.role(&house.call(&maria, "").await, &format!("a-{n}"), "A").await;
    }
    for order in ["", "index", "time desc", "time asc"] {
        let (mut token, mut seen, mut size) = (String::new(), Vec::new(), 0);
        for step in 0.. {
            let ctx = house.call(&maria, "").await;
            let answer = page(&ctx, &log, "action = role.*", (order, 7, &token)).await.unwrap();
            assert!(step == 0 || answer.searched_size == size, "the bound stays what it was");
            size = answer.searched_size;
            seen.extend(answer.audit_events.iter().map(|e| e.index));
            token = answer.next_page_token;
            if token.is_empty() {
                break;
            }
            let id = format!("b-{}-{step}", order.replace(' ', "-"));
            house.role(&ctx, &id, "B").await;
        }
        let ctx = house.call(&maria, "").await;
        let mut expected: Vec<_> =
            all(&ctx, &log, "action = role.*").await.iter().map(|e| e.index).filter(|i| *i < size).collect();
        if !matches!(order, "index" | "time asc") {
            expected.reverse();
        }
        assert_eq!(seen, expected, "{order}");
    }
    log.stop().await;
}

#[tokio::test]
async fn a_page_token_continues_its_own_search_only() {
    let house = House::build().await;
    let log = house.sequencer();
    let ctx = house.kernel.system();
    let first = page(&ctx, &log, "outcome = ok", ("", 1, "")).await.unwrap();
    for (filter, order) in [("outcome = denied", ""), ("outcome = ok", "index")] {
        let refused = page(&ctx, &log, filter, (order, 1, &first.next_page_token)).await;
        assert!(matches!(refused, Err(Error::PageToken)), "{filter} {order}");
    }
    assert!(matches!(
        page(&ctx, &log, "outcome = fine", ("", 1, "")).await,
        Err(Error::Filter { position: 10, .. })
    ));
    assert!(matches!(page(&ctx, &log, "", ("actor", 1, "")).await, Err(Error::Invalid(_))));
    log.stop().await;
}

#[tokio::test]
async fn as_of_size_repeats_a_report() {
    let house = House::build().await;
    let log = house.sequencer();
    let report = async |size: i64| {
        let query = ListQuery { order_by: "index".to_owned(), ..ListQuery::default() };
        event_list(&house.kernel.system(), &log, ACME, &query, size).await
    };
    let first = report(4).await.unwrap();
    assert_eq!((first.audit_events.len(), first.searched_size), (4, 4));
    house.role(&house.kernel.system(), "banker", "B").await;
    assert_eq!(report(4).await.unwrap().audit_events, first.audit_events);
    for size in [-1, 1_000] {
        assert!(matches!(report(size).await, Err(Error::Invalid(_))), "{size}");
    }
    log.stop().await;
}

#[tokio::test]
async fn reading_is_recorded_at_once_and_a_burst_of_it_once_more() {
    let house = House::build().await;
    let log = house.sequencer();
    let (carl, maria) = (house.token("carl").await, house.token("maria").await);
    let reads = async || {
        let found = all(&house.kernel.system(), &log, "action = audit.list AND actor != system").await;
        found.iter().map(|e| (e.actor.rsplit('/').next().unwrap().to_owned(), e.count)).collect::<Vec<_>>()
    };
    for _ in 0..5 {
        page(&house.call(&carl, "10.0.0.9").await, &log, "outcome = ok", ("", 2, "")).await.unwrap();
    }
    page(&house.call(&carl, "10.0.0.9").await, &log, "outcome = denied", ("", 2, "")).await.unwrap();
    page(&house.call(&maria, "").await, &log, "outcome = ok", ("", 2, "")).await.unwrap();
    let once = |who: &str, count| (who.to_owned(), count);
    assert_eq!(reads().await, [once("carl", 1), once("carl", 1), once("maria", 1)]);

    // within the minute nothing more is written, after it what was counted
    log.reading().reads.flush(&house.kernel, false).await.unwrap();
    assert_eq!(reads().await.len(), 3);
    house.kernel.clock.advance(Duration::from_secs(61));
    log.reading().reads.flush(&house.kernel, false).await.unwrap();
    assert_eq!(reads().await.last(), Some(&once("carl", 4)));
    assert_eq!(reads().await.len(), 4);

    // the next read begins a new minute
    page(&house.call(&carl, "").await, &log, "outcome = ok", ("", 2, "")).await.unwrap();
    assert_eq!(reads().await.len(), 5);
    page(&house.call(&carl, "").await, &log, "outcome = ok", ("", 2, "")).await.unwrap();
    log.stop().await;
    let log = house.sequencer();
    let found = page(&house.kernel.system(), &log, "action = audit.list", ("", 50, "")).await.unwrap();
    let last = found.audit_events.iter().find(|e| e.actor.ends_with("/carl")).unwrap();
    assert_eq!(last.count, 1, "what was counted is written when the server stops");
    assert!(!last.entry.contains("outcome"), "people write names into filters: {}", last.entry);
    log.stop().await;
}

#[tokio::test]
async fn an_event_is_read_by_name_and_proved() {
    let house = House::build().await;
    let log = house.sequencer();
    let ctx = house.call(&house.token("maria").await, "10.1.2.3").await;
    house.role(&ctx, "banker", "Banker").await;
    let id = ctx.respond(()).metadata().get("provost-audit-event").unwrap().to_str().unwrap().to_owned();
    let name = format!("{ACME}/auditEvents/{id}");
    let event = event_get(&ctx, &log, &name).await.unwrap();
    assert_eq!(
        (event.name.as_str(), event.action.as_str(), event.ip.as_str()),
        (&*name, "role.create", "10.1.2.3")
    );
    assert_eq!((event.actor.as_str(), event.user_agent.as_str(), event.count), (MARIA, "the test", 1));
    assert_eq!(event.targets, ["tenants/acme/roles/banker"]);
    assert_eq!(event.leaf_hash, tlog::leaf_hash(event.entry.as_bytes()).as_bytes());
    assert!(event.changes.iter().any(|c| c.field == "/display_name" && c.new_value == "\"Banker\""));
    assert!(!event.entry.contains("10.1.2.3"));

    let receipt = receipt_get(&ctx, &log, &name).await.unwrap();
    let keys: Vec<_> = receipt.verifier_keys.iter().map(|k| Vkey::parse(k).unwrap()).collect();
    let proof = tlog::Receipt::parse(receipt.proof.as_bytes()).unwrap();
    proof.verify(receipt.entry.as_bytes(), &keys).unwrap();
    assert!(proof.verify(b"another", &keys).is_err());

    let head = log_get(&ctx, &log, "tenants/acme/auditLog").await.unwrap();
    assert_eq!(head.verifier_keys, receipt.verifier_keys);
    assert!(head.size > event.index && head.origin.contains("/tenants/"));
    let reads: BTreeSet<_> = all(&house.kernel.system(), &log, &format!("target = \"{name}\""))
        .await
        .into_iter()
        .map(|e| e.action)
        .collect();
    assert_eq!(reads, BTreeSet::from(["audit.get".to_owned(), "audit.receipt".to_owned()]));

    for missing in [format!("{ACME}/auditEvents/{}", uuid::Uuid::nil()), format!("auditEvents/{id}")] {
        let ctx = house.kernel.system();
        assert!(matches!(event_get(&ctx, &log, &missing).await, Err(Error::NotFound { .. })), "{missing}");
        assert!(matches!(receipt_get(&ctx, &log, &missing).await, Err(Error::NotFound { .. })), "{missing}");
    }
    assert!(matches!(event_get(&ctx, &log, "tenants/acme").await, Err(Error::Invalid(_))));
    log.stop().await;
}

#[tokio::test]
async fn an_agents_acts_are_found_under_the_person_for_whom_it_acts() {
    let house = House::build().await;
    let log = house.sequencer();
    let (maria, bot) = (house.token("maria").await, house.token("bot").await);
    house.role(&house.call(&maria, "").await, "banker", "Banker").await;
    let refused = page(&house.call(&bot, "").await, &log, "", ("", 1, "")).await;
    assert!(matches!(refused, Err(Error::DutyMissing { .. })));
    let system = house.kernel.system();
    let found = all(&system, &log, &format!("actor(\"{MARIA}\")")).await;
    let found: Vec<_> = found.iter().map(|e| (e.actor.as_str(), e.action.as_str())).collect();
    assert_eq!(found, [(MARIA, "role.create"), ("tenants/acme/principals/bot", "audit.list")]);
    assert_eq!(all(&system, &log, &format!("actor = \"{MARIA}\"")).await.len(), 1);
    log.stop().await;
}

/// What a follower is sent, until there are `count` events.
async fn follow(house: &House, log: &Arc<Sequencer>, filter: &str, from: i64, count: usize) -> Vec<i64> {
    let ctx = Arc::new(house.kernel.system());
    let stream = event_tail(ctx, Arc::clone(log), ACME.to_owned(), filter.to_owned(), from).await.unwrap();
    pin_mut!(stream);
    let (mut found, mut next) = (Vec::new(), from);
    while found.len() < count {
        let batch = stream.next().await.unwrap().unwrap();
        found.extend(batch.audit_events.iter().map(|e| e.index));
        assert!(batch.next_index > next, "it goes on");
        next = batch.next_index;
    }
    found
}

#[tokio::test]
async fn a_follower_is_sent_what_is_there_and_what_comes() {
    let house = Arc::new(House::build().await);
    let log = house.sequencer();
    for n in 0..3 {
        house.role(&house.kernel.system(), &format!("old-{n}"), "Old").await;
    }
    let old: Vec<_> =
        all(&house.kernel.system(), &log, "action = role.create").await.iter().map(|e| e.index).collect();
    assert_eq!(follow(&house, &log, "action = role.create", 0, 3).await, old);
    assert_eq!(follow(&house, &log, "action = role.create", old[1], 2).await, old[1..]);

    let ctx = Arc::new(house.kernel.system());
    let stream = event_tail(ctx, Arc::clone(&log), ACME.to_owned(), String::new(), -1).await.unwrap();
    pin_mut!(stream);
    house.role(&house.kernel.system(), "new", "New").await;
    let batch = stream.next().await.unwrap().unwrap();
    assert_eq!(batch.audit_events[0].action, "role.create", "its own record is not among what is new");
    log.reading().hang_up.cancel();
    while let Some(batch) = stream.next().await {
        batch.unwrap();
    }
    log.stop().await;
}

#[tokio::test]
async fn what_the_log_does_not_have_cannot_be_followed() {
    let house = House::build().await;
    let log = house.sequencer();
    let begin = async |from: i64| {
        let ctx = Arc::new(house.kernel.system());
        event_tail(ctx, Arc::clone(&log), ACME.to_owned(), String::new(), from).await.map(|_| ())
    };
    for from in [-2, 1_000] {
        assert!(matches!(begin(from).await, Err(Error::OutOfRange(_))), "{from}");
    }
    let mut tx = house.kernel.db.begin_derived();
    let query = "UPDATE audit_log SET minimum_index = 2 WHERE scope_id = $1";
    execute!(&mut tx, sqlx::query(query).bind(house.log())).unwrap();
    tx.finish().await.unwrap();
    assert!(matches!(begin(1).await, Err(Error::OutOfRange(_))));
    begin(2).await.unwrap();
    log.stop().await;
}

#[tokio::test]
async fn a_call_that_goes_on_is_over_when_its_token_is() {
    let house = House::build().await;
    let maria = house.token("maria").await;
    let ctx = house.call(&maria, "").await;
    ctx.renewed().await.unwrap();
    let mut tx = house.kernel.db.begin_derived();
    let query = "UPDATE api_token SET revoke_time = 1 WHERE scope_id = $1";
    execute!(&mut tx, sqlx::query(query).bind(house.log())).unwrap();
    tx.finish().await.unwrap();
    assert!(matches!(ctx.renewed().await, Err(Error::Unauthenticated(_))));
    house.kernel.system().renewed().await.unwrap();
}
