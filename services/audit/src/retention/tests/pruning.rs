//! Bundles go from the front of a log.

use std::time::Duration;

use kernel::{audit::Resource as _, clock::Time};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::{
    days,
    house::{House, MARIA},
};
use crate::{
    event::index::index_segments,
    fold::Fold,
    retention::{
        hold::{hold_create, hold_release},
        ops::{retention_get, retention_update},
        prune, spawn_pruner, store,
    },
};

const DAY: Duration = Duration::from_hours(24);

/// `count` events of a class, each `age` days old, the first one of them about `about`.
fn events(house: &House, count: usize, class: &str, age: u32, about: &str) -> Vec<(Time, String)> {
    let time = house.kernel.clock.now().minus(DAY * age);
    let event = |n: usize| {
        let target = if n == 0 { about } else { "tenants/acme/roles/banker" };
        (time, json!({"cls": class, "n": n, "age": age, "tgt": [{"id": target}]}).to_string())
    };
    (0..count).map(event).collect()
}

#[tokio::test]
async fn whole_bundles_go_once_all_their_events_had_their_time_and_proofs_stay() {
    let house = House::build().await;
    let all = [
        events(&house, 512, "auth", 100, ""),
        events(&house, 255, "auth", 100, ""),
        events(&house, 1, "auth", 89, ""),
        events(&house, 300, "auth", 200, ""),
    ]
    .concat();
    house.fill(&all, 1_068).await;
    assert_eq!(prune(&house.kernel, house.scope).await.unwrap(), 0, "seven years are not over");
    assert!(house.recorded("audit.prune").await.is_empty());

    retention_update(&house.ctx(), "tenants/acme/retention", "", &days("auth", 90)).await.unwrap();
    assert_eq!(
        prune(&house.kernel, house.scope).await.unwrap(),
        512,
        "one event of the third bundle is too young"
    );
    assert_eq!(house.stored().await, (556, 512));
    assert_eq!(retention_get(&house.ctx(), "tenants/acme/retention").await.unwrap().minimum_index, 512);
    for index in [0, 255, 511, 512, 767, 768, 1_067] {
        let entry = &all[usize::try_from(index).unwrap()].1;
        assert!(house.proves(index, entry).await, "{index}");
        assert!(!house.proves(index, &format!("{entry} ")).await, "{index}");
    }
    let recorded = house.recorded("audit.prune").await;
    assert_eq!(recorded.len(), 1);
    assert_eq!(recorded[0]["chg"], json!([{"f": "/minimum_index", "o": 0, "n": 512}]));
    assert_eq!((&recorded[0]["log"], &recorded[0]["actor"]["k"]), (&json!("tenants/acme"), &json!("system")));

    // two days later the young one had its time; the partial bundle at the end stays
    house.kernel.clock.advance(DAY * 2);
    assert_eq!(prune(&house.kernel, house.scope).await.unwrap(), 1_024);
    assert_eq!(prune(&house.kernel, house.scope).await.unwrap(), 1_024);
    assert_eq!(house.stored().await, (44, 1_024));
    assert_eq!(house.recorded("audit.prune").await.len(), 2, "a run that prunes nothing records nothing");
    assert!(house.proves(1_050, &all[1_050].1).await);
}

#[tokio::test]
async fn every_class_has_its_own_time() {
    let house = House::build().await;
    let all = [
        events(&house, 256, "auth", 184, ""),
        events(&house, 255, "decision", 183, ""),
        events(&house, 1, "auth", 9_000, ""),
    ];
    house.fill(&all.concat(), 512).await;
    let both = [days("auth", 30), days("decision", 184)].concat();
    retention_update(&house.ctx(), "tenants/acme/retention", "", &both).await.unwrap();
    assert_eq!(prune(&house.kernel, house.scope).await.unwrap(), 256);
    house.kernel.clock.advance(DAY);
    assert_eq!(prune(&house.kernel, house.scope).await.unwrap(), 512);
}

#[tokio::test]
async fn nothing_goes_that_is_not_under_a_checkpoint() {
    let house = House::build().await;
    house.fill(&events(&house, 768, "auth", 9_000, ""), 511).await;
    assert_eq!(prune(&house.kernel, house.scope).await.unwrap(), 256);
    house.alter("UPDATE audit_log SET signed_size = size WHERE scope_id = $1", house.scope).await;
    assert_eq!(prune(&house.kernel, house.scope).await.unwrap(), 768);
}

#[tokio::test]
async fn a_hold_on_the_log_keeps_everything_until_it_is_released() {
    let house = House::build().await;
    house.fill(&events(&house, 512, "auth", 9_000, ""), 512).await;
    hold_create(&house.ctx(), "tenants/acme", "all", "order".to_owned(), "").await.unwrap();
    assert_eq!(prune(&house.kernel, house.scope).await.unwrap(), 0);
    assert_eq!(house.stored().await, (512, 0));
    hold_release(&house.ctx(), "tenants/acme/legalHolds/all", "").await.unwrap();
    assert_eq!(prune(&house.kernel, house.scope).await.unwrap(), 512);
}

#[tokio::test]
async fn a_hold_on_a_person_keeps_the_bundles_from_the_first_that_names_them_on() {
    let house = House::build().await;
    let all = [
        events(&house, 256, "auth", 9_000, "tenants/acme/principals/maria-2"),
        events(&house, 512, "auth", 9_000, MARIA),
    ];
    house.fill(&all.concat(), 768).await;
    assert_eq!(house.maria.name(), MARIA);
    hold_create(&house.ctx(), "tenants/acme", "hers", "order".to_owned(), MARIA).await.unwrap();
    assert_eq!(prune(&house.kernel, house.scope).await.unwrap(), 256);
    hold_release(&house.ctx(), "tenants/acme/legalHolds/hers", "").await.unwrap();
    assert_eq!(prune(&house.kernel, house.scope).await.unwrap(), 768);
}

#[tokio::test]
async fn the_search_index_goes_with_the_last_event_of_a_segment() {
    let house = House::build().await;
    house.fill(&events(&house, 10_240, "auth", 9_000, ""), 4_352).await;
    assert_eq!(index_segments(&house.kernel, house.scope, 0, 10_240).await.unwrap(), 2);
    let segments = "SELECT COUNT(DISTINCT segment) FROM audit_posting";
    assert_eq!(house.count(segments).await, 2);
    assert_eq!(prune(&house.kernel, house.scope).await.unwrap(), 4_352);
    assert_eq!(
        (house.count(segments).await, house.count("SELECT MIN(segment) FROM audit_segment").await),
        (1, 1)
    );
    house.alter("UPDATE audit_log SET signed_size = size WHERE scope_id = $1", house.scope).await;
    assert_eq!(prune(&house.kernel, house.scope).await.unwrap(), 10_240);
    assert_eq!(
        (house.count(segments).await, house.count("SELECT COUNT(*) FROM audit_segment").await),
        (0, 0)
    );
}

#[tokio::test]
async fn what_pruned_changes_came_to_is_kept() {
    let house = House::build().await;
    let created = house.recorded("principal.create").await.pop().unwrap().to_string();
    let long_ago = house.kernel.clock.now().minus(DAY * 9_000);
    let all = [vec![(long_ago, created)], events(&house, 300, "auth", 9_000, "")].concat();
    house.fill(&all, 301).await;
    assert_eq!(prune(&house.kernel, house.scope).await.unwrap(), 256);
    let fold = Fold::begin(&mut house.kernel.db.reader().await.unwrap(), house.scope).await.unwrap();
    assert_eq!((fold.next, fold.state.len()), (256, 1));
}

#[tokio::test]
async fn what_a_dead_process_left_is_cleared_by_the_next_run() {
    let house = House::build().await;
    house.fill(&events(&house, 512, "auth", 100, ""), 512).await;
    house.alter("UPDATE audit_log SET minimum_index = 256 WHERE scope_id = $1", house.scope).await;
    assert_eq!(house.stored().await, (512, 0));
    assert_eq!(prune(&house.kernel, house.scope).await.unwrap(), 256);
    assert_eq!(house.stored().await, (256, 256));
    assert!(house.recorded("audit.prune").await.is_empty(), "it was recorded when the index moved");
}

#[tokio::test]
async fn a_gap_in_the_log_stops_pruning_and_a_log_of_no_scope_is_left_alone() {
    let house = House::build().await;
    house.fill(&events(&house, 512, "auth", 9_000, ""), 512).await;
    house.alter("DELETE FROM audit_event WHERE scope_id = $1 AND idx = 300", house.scope).await;
    assert_eq!(prune(&house.kernel, house.scope).await.unwrap(), 256);
    assert_eq!(prune(&house.kernel, uuid::Uuid::max()).await.unwrap(), 0);
    let found = store::scope_get(&mut house.kernel.db.reader().await.unwrap(), house.scope).await.unwrap();
    assert_eq!(found, Some(house.acme().await));
}

#[tokio::test]
async fn a_suspended_tenant_is_pruned_and_held_all_the_same() {
    let house = House::build().await;
    house.fill(&events(&house, 256, "auth", 9_000, ""), 256).await;
    house.alter("UPDATE tenant SET state = 'suspended' WHERE id = $1", house.scope).await;
    house.kernel.rows.changed(uuid::Uuid::nil());
    hold_create(&house.ctx(), "tenants/acme", "all", "order".to_owned(), "").await.unwrap();
    assert_eq!(prune(&house.kernel, house.scope).await.unwrap(), 0);
    hold_release(&house.ctx(), "tenants/acme/legalHolds/all", "").await.unwrap();
    assert_eq!(prune(&house.kernel, house.scope).await.unwrap(), 256);
}

#[tokio::test]
async fn the_pruner_goes_through_all_logs_until_it_is_stopped() {
    let house = House::build().await;
    house.fill(&events(&house, 300, "auth", 9_000, ""), 300).await;
    let stop = CancellationToken::new();
    let pruner = spawn_pruner(&house.kernel, stop.clone());
    let pruned = async { while house.stored().await != (44, 256) {} };
    tokio::time::timeout(Duration::from_mins(1), pruned).await.unwrap();
    stop.cancel();
    pruner.await.unwrap();
}
