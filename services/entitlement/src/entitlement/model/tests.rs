//! What a rule keeps and what it refuses.

use kernel::{ids::PartnerId, scope::PartnerRef};
use uuid::Uuid;

use super::*;

fn slug(text: &str) -> Slug {
    Slug::parse("id", text).unwrap()
}

fn create(change: impl FnOnce(&mut NewEntitlement)) -> Result<Entitlement> {
    let partner = PartnerRef { id: PartnerId(Uuid::nil()), slug: slug("northwind") };
    let tenant =
        TenantRef { id: TenantId(Uuid::nil()), slug: slug("acme"), state: "live".to_owned(), partner };
    let mut new = NewEntitlement {
        id: String::new(),
        role: EVERYBODY.to_owned(),
        target: "marketplaces/codex".to_owned(),
        effect: Effect::Available,
        max_stage: MaxStage::default(),
        not_before: None,
        not_after: None,
        reason: String::new(),
        floor: false,
        seat_pool: String::new(),
    };
    change(&mut new);
    let id = EntitlementId("0197a1b2-0000-7000-8000-00c0ffee1234".parse().unwrap());
    let target = Target::Marketplace(MarketplaceId(Uuid::nil()));
    let pool = (!new.seat_pool.is_empty()).then(|| (SeatPoolId(Uuid::nil()), slug("standard")));
    Entitlement::create(&tenant, new, (None, target, pool), id, Time::from_micros(7))
}

#[test]
fn an_id_is_chosen_or_derived_from_the_end_of_the_uid() {
    assert_eq!(create(|_| ()).unwrap().name(), "tenants/acme/entitlements/e-00c0ffee1234");
    assert_eq!(create(|n| n.id = "bankers-factset".to_owned()).unwrap().slug.as_str(), "bankers-factset");
    assert!(create(|n| n.id = "1st".to_owned()).is_err());
}

#[test]
fn a_window_must_be_open_for_some_time() {
    let window = |from: i64, until: i64| {
        create(|n| {
            n.not_before = Some(Time::from_micros(from));
            n.not_after = Some(Time::from_micros(until));
        })
    };
    assert!(window(5, 6).is_ok());
    assert!(window(5, 5).is_err());
    assert!(window(6, 5).is_err());
    assert!(create(|n| n.not_after = Some(Time::from_micros(0))).is_ok());
}

#[test]
fn a_floor_forbids() {
    let floor = |effect| {
        create(|n| {
            n.floor = true;
            n.effect = effect;
        })
    };
    assert!(floor(Effect::Denied).is_ok_and(|made| made.floor));
    for effect in [Effect::Available, Effect::Default, Effect::Required] {
        assert!(floor(effect).is_err());
    }
}

#[test]
fn a_seat_goes_with_a_rule_that_allows() {
    let seated = |effect| {
        create(|n| {
            n.seat_pool = "tenants/acme/seatPools/standard".to_owned();
            n.effect = effect;
        })
    };
    for effect in [Effect::Available, Effect::Default, Effect::Required] {
        assert_eq!(seated(effect).unwrap().seat_pool(), "tenants/acme/seatPools/standard");
    }
    assert!(seated(Effect::Denied).is_err());
    let deny = create(|n| n.effect = Effect::Denied).unwrap();
    let patch = EntitlementPatch { seat_pool: Some("x".to_owned()), ..EntitlementPatch::default() };
    let pool = Some((SeatPoolId(Uuid::nil()), slug("standard")));
    assert!(deny.patched(patch, pool, Time::from_micros(8)).is_err());
}

#[test]
fn an_update_changes_what_it_says_and_checks_the_whole() {
    let rule = create(|n| n.not_before = Some(Time::from_micros(5))).unwrap();
    let at = Time::from_micros;
    let later = EntitlementPatch { not_after: Some(Some(at(9))), ..EntitlementPatch::default() };
    let bounded = rule.patched(later, None, at(8)).unwrap();
    assert_eq!((bounded.not_before, bounded.not_after), (Some(at(5)), Some(at(9))));
    assert_eq!((bounded.revision, bounded.update_time), (2, Some(at(8))));
    assert!(
        rule.patched(
            EntitlementPatch { not_after: Some(Some(at(5))), ..EntitlementPatch::default() },
            None,
            at(8)
        )
        .is_err()
    );
    let open =
        EntitlementPatch { not_before: Some(None), not_after: Some(None), ..EntitlementPatch::default() };
    let open = bounded.patched(open, None, at(3)).unwrap();
    assert_eq!(
        (open.not_before, open.not_after, open.update_time),
        (None, None, Some(at(8))),
        "time goes on"
    );
    let long = EntitlementPatch { reason: Some("r".repeat(513)), ..EntitlementPatch::default() };
    assert!(rule.patched(long, None, at(8)).is_err());
}

#[test]
fn a_reason_has_at_most_512_characters() {
    assert!(create(|n| n.reason = "ä".repeat(512)).is_ok());
    assert!(create(|n| n.reason = "ä".repeat(513)).is_err());
}

#[test]
fn a_stale_etag_is_refused_and_none_is_not_checked() {
    let made = create(|_| ()).unwrap();
    assert!(made.matches("").is_ok() && made.matches("r1").is_ok());
    assert!(matches!(made.matches("r2"), Err(Error::EtagStale { .. })));
}
