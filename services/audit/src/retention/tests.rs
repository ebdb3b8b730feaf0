//! Retention, holds, erasure and pruning on a real database.

mod erasing;
mod house;
mod pruning;

use kernel::{Error, db::list::ListQuery};
use serde_json::json;
use uuid::Uuid;

use super::{
    hold::{hold_create, hold_list, hold_release},
    ops::{retention_get, retention_update},
};
use house::House;

fn days(class: &str, days: i64) -> Vec<(String, i64)> {
    vec![(class.to_owned(), days)]
}

#[tokio::test]
async fn the_floor_of_decisions_cannot_be_lowered_and_what_can_is_recorded() {
    let house = House::build().await;
    let ctx = house.ctx();
    let name = "tenants/acme/retention";
    let refused = retention_update(&ctx, name, "", &days("decision", 183)).await.unwrap_err();
    assert!(matches!(refused, Error::Invalid(_)));
    assert!(refused.to_string().contains("floor of `decision`, 184 days"), "{refused}");
    assert_eq!(retention_get(&ctx, name).await.unwrap().days["decision"], 2_555);

    let read = retention_get(&ctx, name).await.unwrap();
    let after = retention_update(&ctx, name, &read.etag(), &days("decision", 184)).await.unwrap();
    assert_eq!(retention_get(&ctx, name).await.unwrap(), after);
    assert_eq!((after.days["decision"], after.days["auth"]), (184, 2_555));
    let stale = retention_update(&ctx, name, &read.etag(), &days("auth", 30)).await.unwrap_err();
    assert!(matches!(stale, Error::EtagStale { .. }));
    let recorded = house.recorded("retention.update").await;
    assert_eq!(recorded.len(), 1);
    assert_eq!(recorded[0]["chg"], json!([{"f": "/decision", "o": 2_555, "n": 184}]));
    assert_eq!(recorded[0]["tgt"], json!([{"k": "retention", "id": name}]));
}

#[tokio::test]
async fn every_scope_has_its_own_retention() {
    let house = House::build().await;
    let ctx = house.ctx();
    retention_update(&ctx, "partners/northwind/retention", "", &days("auth", 90)).await.unwrap();
    for (name, auth) in
        [("retention", 2_555), ("partners/northwind/retention", 90), ("tenants/acme/retention", 2_555)]
    {
        assert_eq!(retention_get(&ctx, name).await.unwrap().days["auth"], auth, "{name}");
    }
    for bad in ["", "tenants/acme", "tenants/acme/retentions", "/retention", "acme/retention"] {
        assert!(matches!(retention_get(&ctx, bad).await, Err(Error::Invalid(_))), "{bad}");
    }
}

#[tokio::test]
async fn a_hold_names_a_person_of_its_own_scope_and_ends_once() {
    let house = House::build().await;
    let ctx = house.ctx();
    let order = || "Order 7 of the court about Maria".to_owned();
    for stranger in ["tenants/acme/principals/nobody", "partners/northwind/principals/maria"] {
        let refused = hold_create(&ctx, "tenants/acme", "m7", order(), stranger).await.unwrap_err();
        assert!(matches!(refused, Error::NotFound { kind: "principal", .. }), "{stranger}");
    }
    let hold = hold_create(&ctx, "tenants/acme", "m7", order(), house::MARIA).await.unwrap();
    assert_eq!(hold.principal(), house::MARIA);
    let twice = hold_create(&ctx, "tenants/acme", "m7", order(), "").await.unwrap_err();
    assert!(matches!(twice, Error::Exists { kind: "legal hold", .. }));
    let recorded = house.recorded("legal_hold.create").await;
    assert!(!recorded[0].to_string().contains("Order 7"), "the reason is sealed: {}", recorded[0]);

    let name = "tenants/acme/legalHolds/m7";
    assert!(matches!(hold_release(&ctx, name, "r9").await, Err(Error::EtagStale { .. })));
    hold_release(&ctx, name, &hold.etag()).await.unwrap();
    assert!(matches!(hold_release(&ctx, name, "").await, Err(Error::Precondition { .. })));
    let missing = hold_release(&ctx, "tenants/acme/legalHolds/m8", "").await;
    assert!(matches!(missing, Err(Error::NotFound { kind: "legal hold", .. })));
    assert_eq!(house.recorded("legal_hold.release").await.len(), 1);
}

#[tokio::test]
async fn holds_are_listed_with_the_released_ones_and_page_by_page() {
    let house = House::build().await;
    let ctx = house.ctx();
    for id in ["a", "b.2", "c_3"] {
        hold_create(&ctx, "tenants/acme", id, "order".to_owned(), "").await.unwrap();
    }
    hold_create(&ctx, "partners/northwind", "d", "order".to_owned(), "").await.unwrap();
    hold_release(&ctx, "tenants/acme/legalHolds/b.2", "").await.unwrap();
    let query = ListQuery { page_size: 2, ..ListQuery::default() };
    let first = hold_list(&ctx, "tenants/acme", &query).await.unwrap();
    let query = ListQuery { page_token: first.next_page_token.clone(), ..query };
    let second = hold_list(&ctx, "tenants/acme", &query).await.unwrap();
    let slugs: Vec<_> = first.items.iter().chain(&second.items).map(|h| h.slug.as_str()).collect();
    assert_eq!(slugs, ["a", "b.2", "c_3"]);
    assert!(first.items[1].release_time.is_some() && second.next_page_token.is_empty());
    let filtered = ListQuery { filter: "legal_hold_id = \"c_3\"".to_owned(), ..ListQuery::default() };
    assert_eq!(hold_list(&ctx, "tenants/acme", &filtered).await.unwrap().items.len(), 1);
    let other = hold_list(&ctx, "partners/northwind", &ListQuery::default()).await.unwrap();
    assert_eq!(other.items[0].parent, "partners/northwind");
}

#[tokio::test]
async fn a_repeated_call_returns_the_first_result_and_a_dry_run_changes_nothing() {
    let house = House::build().await;
    let request = Uuid::from_u128(77);
    let mut ctx = house.ctx();
    ctx.with_request(&request.to_string(), false, vec![1]).unwrap();
    let first = hold_create(&ctx, "tenants/acme", "m7", "order".to_owned(), house::MARIA).await.unwrap();
    let again = hold_create(&ctx, "tenants/acme", "m7", "order".to_owned(), house::MARIA).await.unwrap();
    assert_eq!(first, again);
    let after = retention_update(&house.again(78), "retention", "", &days("auth", 90)).await.unwrap();
    assert_eq!(retention_update(&house.again(78), "retention", "", &days("auth", 90)).await.unwrap(), after);
    let mut dry = house.ctx();
    dry.with_request("", true, Vec::new()).unwrap();
    hold_release(&dry, "tenants/acme/legalHolds/m7", "").await.unwrap();
    retention_update(&dry, "retention", "", &days("auth", 91)).await.unwrap();
    assert_eq!(retention_get(&dry, "retention").await.unwrap().days["auth"], 90);
    assert!(hold_release(&house.ctx(), "tenants/acme/legalHolds/m7", "").await.is_ok());
}
