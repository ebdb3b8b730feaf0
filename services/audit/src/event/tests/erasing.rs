//! What leads from a person's words and addresses to events, before and after an erasure.

use kernel::{
    audit::subject::{KeyId, Subject},
    on,
};
use tenancy::{
    principal::{
        model::PrincipalPatch,
        ops::{principal_get, principal_update},
    },
    role::{model::NewRole, ops::role_create},
};

use super::house::{ACME, House, MARIA};
use crate::event::{
    bucket,
    model::keys,
    term::{Kind, Terms},
};

/// Maria acts from her address, and her name changes, over a few segments; Carl is refused from his.
async fn house() -> House {
    let house = House::build().await;
    let (maria, carl) = (house.token("maria").await, house.token("carl").await);
    for n in 0..150 {
        let ctx = house.call(&maria, "10.20.30.40").await;
        house.role(&ctx, &format!("role-{n}"), "Banker").await;
        if n % 50 == 0 {
            let refused =
                role_create(&house.call(&carl, "10.20.30.41").await, ACME, NewRole::default()).await;
            assert!(refused.is_err());
            let name = Some(format!("Maria Quetzalcoatl {n}"));
            let patch = PrincipalPatch { display_name: name, ..PrincipalPatch::default() };
            principal_update(&house.call(&maria, "10.20.30.40").await, MARIA, "", patch).await.unwrap();
        }
    }
    house.append(Vec::new()).await;
    house
}

/// Rows of the index under one of the terms, seen or not.
async fn rows_of(house: &House, terms: &[(Kind, &str)]) -> usize {
    let mut db = house.kernel.db.reader().await.unwrap();
    let mut found = 0;
    for (kind, value) in terms {
        let term = Terms::new(&house.kernel, house.log()).term(*kind, value);
        let query = "SELECT level, bucket, terms FROM audit_posting WHERE scope_id = $1";
        let rows: Vec<(i64, i64, Vec<u8>)> =
            on!(&mut db, |c| sqlx::query_as(query).bind(house.log()).fetch_all(c)).unwrap();
        for (level, number, row) in rows {
            assert!(bucket::unpack(&row).unwrap().iter().all(|(t, _)| bucket::bucket(level, *t) == number));
            found += bucket::unpack(&row).unwrap().iter().filter(|(t, _)| *t == term).count();
        }
    }
    found
}

/// What is only Maria's: her name and her whole address.
const HERS: [(Kind, &str); 2] = [(Kind::Word, "quetzalcoatl"), (Kind::Network, "32/32/a141e28")];

async fn key_of_maria(house: &House) -> (KeyId, Subject) {
    let maria = principal_get(&house.kernel.system(), MARIA).await.unwrap();
    let subject = Subject { scope: house.log(), principal: maria.id.0 };
    let mut db = house.kernel.db.reader().await.unwrap();
    let query = "SELECT id FROM subject_key WHERE scope_id = $1 AND principal_id = $2";
    let key =
        on!(&mut db, |c| sqlx::query_scalar(query).bind(subject.scope).bind(subject.principal).fetch_one(c));
    (KeyId { scope: subject.scope, key: key.unwrap() }, subject)
}

#[tokio::test]
async fn the_events_of_a_key_are_found_in_the_index_and_behind_it() {
    let house = house().await;
    let (key, _) = key_of_maria(&house).await;
    let named = |entry: &str| keys(&serde_json::from_str(entry).unwrap()).contains(&key);
    let expected: Vec<_> =
        house.events().await.iter().filter(|(row, _)| named(&row.entry)).map(|(row, _)| row.idx).collect();
    assert!(expected.len() > 150);
    let events = async || {
        let mut db = house.kernel.db.reader().await.unwrap();
        house.searcher().events_of_key(&mut db, key, &house.head().await).await.unwrap()
    };
    assert_eq!(events().await, expected);
    house.index().await;
    assert_eq!(events().await, expected);
}

#[tokio::test]
async fn after_an_erasure_no_word_and_no_address_of_the_person_is_in_the_index() {
    let house = house().await;
    house.index().await;
    let (key, subject) = key_of_maria(&house).await;
    let by_name = house.find("text(\"quetzalcoatl\")").await;
    let by_address = house.find("cidr(ip, \"10.20.30.40\")").await;
    let others = house.find("cidr(ip, \"10.20.30.41\")").await;
    let public = house.find("text(\"banker\")").await;
    assert!(by_name.len() >= 4 && by_address.len() >= 150 && others.len() == 3 && public.len() == 150);

    assert!(rows_of(&house, &HERS).await > 2);

    let mut tx = house.kernel.db.begin_derived();
    let events = house.searcher().events_of_key(&mut tx, key, &house.head().await).await.unwrap();
    house.searcher().unindex_subject(&mut tx, house.log(), key, &events).await.unwrap();
    house.kernel.subjects.destroy(&mut tx, subject, house.kernel.clock.now()).await.unwrap();
    tx.finish().await.unwrap();
    house.kernel.subjects.forget();
    house.tails.forget();

    assert_eq!(rows_of(&house, &HERS).await, 0);
    assert_eq!(house.find("text(\"quetzalcoatl\")").await, [0_i64; 0]);
    assert_eq!(house.find("cidr(ip, \"10.20.30.40\")").await, [0_i64; 0]);
    assert_eq!(house.find("cidr(ip, \"10.20.30.41\")").await, others);
    assert_eq!(house.find("text(\"banker\")").await, public);
    assert_eq!(
        house.find(&format!("actor = \"{MARIA}\"")).await,
        by_address,
        "that she acted stays on the record"
    );
}

#[tokio::test]
async fn a_segment_that_is_built_after_an_erasure_does_not_open_what_this_process_still_could() {
    let house = house().await;
    let (_, subject) = key_of_maria(&house).await;
    // opened once, so that the key is remembered, and nobody is told to forget it
    assert!(!house.find("text(\"quetzalcoatl\")").await.is_empty());
    let mut tx = house.kernel.db.begin_derived();
    house.kernel.subjects.destroy(&mut tx, subject, house.kernel.clock.now()).await.unwrap();
    tx.finish().await.unwrap();
    house.index().await;
    assert_eq!(rows_of(&house, &HERS).await, 0);
    assert!(rows_of(&house, &[(Kind::Word, "banker")]).await > 0);
}
