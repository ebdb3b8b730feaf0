//! A person leaves the record.

use access::token::{model::NewToken, ops::token_create};
use kernel::{
    Ctx, Error, Result,
    audit::sealed::ERASED,
    authn::{TokenKind, TokenScope},
};
use serde_json::Value;
use tenancy::principal::{
    model::PrincipalPatch,
    ops::{principal_delete, principal_get, principal_undelete, principal_update},
};

use super::house::{House, MARIA, MARIAS_ADDRESS, MARIAS_NAME};
use crate::retention::{
    erasure::subject_erase,
    hold::{hold_create, hold_release},
    model::Erasure,
};

const TOKEN: &str = "Marias old notebook computer";
const MAIDEN_NAME: &str = "Maria Xiuhtecuhtli";
const REASON: &str = "request of 2 November 2026";

async fn erase(house: &House) -> Result<Erasure> {
    erase_by(house, &house.ctx(), REASON).await
}

async fn erase_by(house: &House, ctx: &Ctx, reason: &str) -> Result<Erasure> {
    let log = house.sequencer();
    let outcome = subject_erase(ctx, &log, MARIA, reason.to_owned()).await;
    log.stop().await;
    outcome
}

/// Maria's data in every place that takes some.
async fn scatter(house: &House) {
    let patch = PrincipalPatch { display_name: Some(MAIDEN_NAME.to_owned()), ..PrincipalPatch::default() };
    principal_update(&house.again(1), MARIA, "", patch).await.unwrap();
    let patch = PrincipalPatch { display_name: Some(MARIAS_NAME.to_owned()), ..PrincipalPatch::default() };
    principal_update(&house.again(2), MARIA, "", patch).await.unwrap();
    let token = NewToken {
        principal: MARIA.to_owned(),
        kind: Some(TokenKind::Personal),
        display_name: TOKEN.to_owned(),
        scopes: vec![Some(TokenScope::All)],
        expire_time: Some(house.kernel.clock.now().plus(std::time::Duration::from_hours(24))),
    };
    token_create(&house.ctx(), "tenants/acme", token).await.unwrap();
    let search = "INSERT INTO saved_search (scope_id, id, slug, display_name, filter, create_time, creator) VALUES \
         ($1, X'00000000000000000000000000000001', 'one', 'About her', 'text(\"maria.qv@acme.example\")', 1, ''), \
         ($1, X'00000000000000000000000000000002', 'two', 'Maria Quetzalcoatl-Vinterberg', '', 1, ''), \
         ($1, X'00000000000000000000000000000003', 'three', 'Denials', 'outcome = denied', 1, '')";
    house.alter(search, house.scope).await;
    // her maiden name in capitals, words of hers in another order, one word of hers among those that are searched for
    let more = "INSERT INTO saved_search (scope_id, id, slug, display_name, filter, create_time, creator) VALUES \
         ($1, X'00000000000000000000000000000004', 'four', 'XIUHTECUHTLI', '', 1, ''), \
         ($1, X'00000000000000000000000000000005', 'five', 'Acts', 'actor = \"x\" AND text(\"vinterberg MARIA\")', 1, ''), \
         ($1, X'00000000000000000000000000000006', 'six', 'Refusals', 'text(\"mariana\") AND outcome = denied', 1, '')";
    house.alter(more, house.scope).await;
    hold_create(&house.ctx(), "tenants/acme", "m1", format!("complaint of {MARIAS_NAME}"), MARIA)
        .await
        .unwrap();
    hold_release(&house.ctx(), "tenants/acme/legalHolds/m1", "").await.unwrap();
    principal_delete(&house.ctx(), MARIA, "").await.unwrap();
}

#[tokio::test]
async fn an_erased_person_is_in_no_file_of_the_database() {
    let house = House::build().await;
    scatter(&house).await;
    let personal = [MARIAS_NAME, MARIAS_ADDRESS, MAIDEN_NAME, TOKEN];
    for text in personal {
        assert!(!house.files_with(text).is_empty(), "`{text}` is there before");
    }
    erase(&house).await.unwrap();
    for text in personal {
        assert_eq!(house.files_with(text), Vec::<std::path::PathBuf>::new(), "{text}");
    }
    let left = principal_get(&house.ctx(), MARIA).await.unwrap();
    assert_eq!((left.display_name.as_str(), left.email.as_str()), (ERASED, ""));
    assert_eq!(house.count("SELECT COUNT(*) FROM saved_search").await, 2);
    assert_eq!(house.count("SELECT COUNT(*) FROM saved_search WHERE slug IN ('three', 'six')").await, 2);
    assert_eq!(house.count("SELECT COUNT(*) FROM api_token WHERE revoke_time IS NULL").await, 0);
    assert_eq!(house.count("SELECT COUNT(*) FROM request_result").await, 0);
    assert_eq!(house.count("SELECT COUNT(*) FROM subject_key WHERE wrapped IS NULL").await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_files_still_have_goes_also_when_the_caller_has_gone_away() {
    let house = std::sync::Arc::new(House::build().await);
    scatter(&house).await;
    let log = house.sequencer();
    let erasing = {
        let (house, log) = (std::sync::Arc::clone(&house), std::sync::Arc::clone(&log));
        tokio::spawn(async move { subject_erase(&house.ctx(), &log, MARIA, REASON.to_owned()).await })
    };
    // takes every turn that it can get: of those after the commit, also the one before the files are emptied
    let held = loop {
        let mut tx = house.kernel.db.begin_derived();
        let query = "SELECT COUNT(*) FROM subject_key WHERE wrapped IS NULL";
        let gone: i64 = kernel::on!(&mut tx, |c| sqlx::query_scalar(query).fetch_one(c)).unwrap();
        if gone > 0 {
            break tx;
        }
        drop(tx);
        tokio::task::yield_now().await;
    };
    erasing.abort();
    let _ = erasing.await;
    drop(held);
    log.stop().await;
    while !house.files_with(MARIAS_NAME).is_empty() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn what_was_sealed_for_an_erased_person_shows_as_erased_and_its_bytes_stay() {
    let house = House::build().await;
    scatter(&house).await;
    let before = house.recorded("principal.create").await;
    let email = |entry: &Value| {
        let changes = entry["chg"].as_array().unwrap();
        changes.iter().find(|c| c["f"] == "/email").unwrap()["n"].clone()
    };
    assert_eq!(email(&house.opened(&before[0]).await), MARIAS_ADDRESS);
    let erasure = erase(&house).await.unwrap();
    // create, two updates, the token, and the hold's creation; its release and the deletion change nothing personal
    assert_eq!(erasure.events, 5);
    assert_eq!(house.recorded("principal.create").await, before);
    assert_eq!(email(&house.opened(&before[0]).await), ERASED);

    let event = house.recorded("privacy.erased").await.pop().unwrap();
    assert_eq!(event["tgt"][0]["id"], MARIA);
    let said = |field: &str| {
        let changes = event["chg"].as_array().unwrap();
        changes.iter().find(|c| c["f"] == field).unwrap()["n"].clone()
    };
    assert!(said("/reason")["$s"].is_string(), "free text is sealed, for whoever wrote it");
    let opened = house.opened(&event).await;
    let reason = opened["chg"].as_array().unwrap().iter().find(|c| c["f"] == "/reason").unwrap()["n"].clone();
    assert_eq!((reason, said("/events")), (REASON.into(), 5.into()));
}

#[tokio::test]
async fn a_hold_stands_against_an_erasure_and_is_named() {
    let house = House::build().await;
    let refused = |outcome: Result<Erasure>| match outcome.unwrap_err() {
        Error::Precondition { message, .. } => message,
        other => panic!("{other}"),
    };
    assert!(refused(erase(&house).await).contains("delete it first"));
    principal_delete(&house.ctx(), MARIA, "").await.unwrap();
    for (id, person) in [("about-her", MARIA), ("everybody", "")] {
        hold_create(&house.ctx(), "tenants/acme", id, "order".to_owned(), person).await.unwrap();
        let name = format!("tenants/acme/legalHolds/{id}");
        let message = refused(erase(&house).await);
        assert!(message.contains(&name), "{message}");
        assert_eq!(principal_get(&house.ctx(), MARIA).await.unwrap().display_name, MARIAS_NAME);
        hold_release(&house.ctx(), &name, "").await.unwrap();
    }
    // holds of others are no reason
    hold_create(&house.ctx(), "partners/northwind", "elsewhere", "order".to_owned(), "").await.unwrap();
    erase(&house).await.unwrap();
    assert!(refused(erase(&house).await).contains("erased already"));
    assert!(principal_undelete(&house.ctx(), MARIA, "").await.is_err());
}

#[tokio::test]
async fn a_repeated_erasure_returns_the_first_result_and_a_dry_run_erases_nobody() {
    let house = House::build().await;
    principal_delete(&house.ctx(), MARIA, "").await.unwrap();
    let mut dry = house.ctx();
    dry.with_request("", true, Vec::new()).unwrap();
    erase_by(&house, &dry, REASON).await.unwrap();
    assert_eq!(principal_get(&dry, MARIA).await.unwrap().display_name, MARIAS_NAME);
    assert_eq!(house.count("SELECT COUNT(*) FROM subject_key WHERE wrapped IS NULL").await, 0);

    let first = erase_by(&house, &house.again(5), REASON).await.unwrap();
    assert_eq!(erase_by(&house, &house.again(5), REASON).await.unwrap(), first);
    assert_eq!(house.recorded("privacy.erased").await.len(), 1);
    assert!(matches!(erase(&house).await, Err(Error::Precondition { .. })));
}

#[tokio::test]
async fn a_person_without_a_key_gets_none_afterwards() {
    let house = House::build().await;
    house.alter("DELETE FROM subject_key WHERE scope_id = $1", house.scope).await;
    house.kernel.subjects.forget();
    principal_delete(&house.ctx(), MARIA, "").await.unwrap();
    assert_eq!(erase(&house).await.unwrap().events, 0);
    assert_eq!(house.count("SELECT COUNT(*) FROM subject_key WHERE wrapped IS NULL").await, 1);
    assert_eq!(house.count("SELECT COUNT(*) FROM subject_key WHERE wrapped IS NOT NULL AND scope_id = (SELECT id FROM tenant)").await, 0);
    assert!(house.files_with(MARIAS_NAME).is_empty());
}

#[tokio::test]
async fn an_erasure_needs_a_reason_and_a_person() {
    let house = House::build().await;
    principal_delete(&house.ctx(), MARIA, "").await.unwrap();
    for reason in [String::new(), "x".repeat(1_025)] {
        assert!(matches!(erase_by(&house, &house.ctx(), &reason).await, Err(Error::Invalid(_))));
    }
    let log = house.sequencer();
    let nobody = "tenants/acme/principals/nobody";
    let nobody = subject_erase(&house.ctx(), &log, nobody, REASON.to_owned()).await;
    assert!(matches!(nobody, Err(Error::NotFound { kind: "principal", .. })));
}
