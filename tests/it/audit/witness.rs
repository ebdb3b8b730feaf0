//! The meta log and the client of outside witnesses, against a witness of our own on the loopback; the suite under
//! `tests/conformance` holds them against software that nobody here wrote.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use audit::{
    https::Client,
    sequencer::{
        meta::{self, META, meta_id},
        store,
        witness::{Answer, Witness},
    },
};
use axum::{Router, extract::State, http::StatusCode, response::IntoResponse, routing::post};
use tests::{World, both_engines};
use tlog::{AddCheckpoint, Checkpoint, Cosigner, Hash, Note, Vkey};

use super::sequencer::{check, logged};

/// What a witness remembers of the one log that it watches: size and root.
#[derive(Default)]
struct Seen {
    size: u64,
    root: Option<Hash>,
}

/// A witness on the loopback: its address and its key.
async fn witness(log: Vec<Vkey>) -> (String, String, Arc<Mutex<Seen>>) {
    let seed = [9; 32];
    let key = Cosigner::from_seed("witness.test/w", &seed).unwrap().vkey().to_string();
    let seen = Arc::new(Mutex::new(Seen::default()));
    let routes = Router::new().route("/w/add-checkpoint", post(add)).with_state((Arc::clone(&seen), log));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/w", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, routes).await });
    (url, key, seen)
}

type Watch = (Arc<Mutex<Seen>>, Vec<Vkey>);

/// As c2sp.org/tlog-witness says: signature, then size, then consistency, then the cosignature.
async fn add(State((seen, log)): State<Watch>, body: axum::body::Bytes) -> axum::response::Response {
    let Ok(asked) = AddCheckpoint::parse(&body) else { return StatusCode::BAD_REQUEST.into_response() };
    let text = asked.checkpoint().to_string();
    let Ok(signed) = Checkpoint::open(text.as_bytes(), &log) else {
        return StatusCode::FORBIDDEN.into_response();
    };
    let mut seen = seen.lock().unwrap();
    if asked.old_size() != seen.size {
        let headers = [("content-type", "text/x.tlog.size")];
        return (StatusCode::CONFLICT, headers, format!("{}\n", seen.size)).into_response();
    }
    let new = signed.checkpoint;
    if let Some(old) = &seen.root
        && tlog::verify_consistency(seen.size, old, new.size(), new.root(), asked.proof()).is_err()
    {
        return StatusCode::UNPROCESSABLE_ENTITY.into_response();
    }
    seen.size = new.size();
    seen.root = Some(new.root().to_owned());
    let note = Note::parse(text.as_bytes()).unwrap();
    let line =
        Cosigner::from_seed("witness.test/w", &[9; 32]).unwrap().cosign(note.text(), 1_795_000_000).unwrap();
    format!("{line}\n").into_response()
}

both_engines! {
    async fn the_meta_log_has_every_checkpoint_under_a_name_that_says_nothing(site: Site) {
        let world = World::build(site).await;
        world.role("banker").await;
        let (kernel, sequencer) = (world.site.kernel(), &world.site.running.sequencer);
        for scope in crate::audit::sequencer::scopes(kernel).await {
            let head = sequencer.catch_up(scope).await.unwrap();
            sequencer.covering(scope, head.size - 1, Duration::from_secs(5)).await.unwrap();
        }
        sequencer.publish_once(None, &mut []).await.unwrap();
        let head = sequencer.catch_up(META).await.unwrap();
        let head = sequencer.covering(META, head.size - 1, Duration::from_secs(5)).await.unwrap();
        assert_eq!(head.origin, "provost.local/meta");
        let published: BTreeMap<_, _> = check(kernel, &head, &sequencer.verifier_keys(&head.origin)).await.into_iter().map(|e| {
            assert!(!e.entry.contains("acme") && !e.entry.contains("northwind"), "{}", e.entry);
            let entry: serde_json::Value = serde_json::from_str(&e.entry).unwrap();
            let new = &entry["chg"][0]["n"];
            (entry["tgt"][0]["id"].as_str().unwrap().to_owned(), new["sha256"].as_str().unwrap().to_owned())
        }).collect();
        for scope in crate::audit::sequencer::scopes(kernel).await.into_iter().filter(|s| *s != META) {
            let log = sequencer.head(scope).await.unwrap();
            assert!(scope.is_nil() || !logged(kernel, META).await.iter().any(|e| e.entry.contains(&scope.to_string())));
            let digest = kernel::hash::hex(&kernel::hash::sha256(log.checkpoint.as_bytes()));
            assert_eq!(published.get(&meta_id(kernel, scope)), Some(&digest));
        }
        // nothing new, nothing published
        sequencer.publish_once(None, &mut []).await.unwrap();
        assert_eq!(sequencer.catch_up(META).await.unwrap().size, head.size);
    }

    async fn every_log_is_published_in_one_round_however_few_fit_into_a_transaction(site: Site) {
        let world = World::build(site).await;
        let (kernel, sequencer) = (world.site.kernel(), &world.site.running.sequencer);
        for n in 0..5 {
            tests::world::tenant(&world.consultant, &format!("client-{n}"), tests::world::NORTHWIND).await.unwrap();
        }
        for round in 0..2 {
            // the logs with the lowest scopes have something new in every round
            world.role(&format!("r-{round}")).await;
            let scopes: Vec<_> = crate::audit::sequencer::scopes(kernel).await.into_iter().filter(|s| *s != META).collect();
            assert!(scopes.len() >= 8, "{scopes:?}");
            for scope in &scopes {
                let head = sequencer.catch_up(*scope).await.unwrap();
                sequencer.covering(*scope, head.size - 1, Duration::from_secs(5)).await.unwrap();
            }
            assert!(meta::publish(kernel, 2).await.unwrap() > 0);
            let mut reader = kernel.db.reader().await.unwrap();
            let left = store::log_unpublished(&mut reader, (META, uuid::Uuid::nil()), 100).await.unwrap();
            assert!(left.is_empty(), "{left:?}");
        }
    }

    async fn a_witness_cosigns_what_extends_and_refuses_another_history(site: Site) {
        let world = World::build(site).await;
        let (kernel, sequencer) = (world.site.kernel(), &world.site.running.sequencer);
        sequencer.publish_once(None, &mut []).await.unwrap();
        let origin = "provost.local/meta";
        let log: Vec<_> = sequencer.verifier_keys(origin).iter().map(|k| Vkey::parse(k).unwrap()).collect();
        let (url, key, seen) = witness(log.clone()).await;
        let client = Client::new().unwrap();
        let mut witnesses = [Witness::parse(&format!("{url} {key}")).unwrap()];
        for round in 0..3 {
            world.role(&format!("r-{round}")).await;
            for scope in crate::audit::sequencer::scopes(kernel).await {
                sequencer.catch_up(scope).await.unwrap();
            }
            let answers = sequencer.publish_once(Some(&client), &mut witnesses).await.unwrap();
            assert!(matches!(answers[0].1, Answer::Cosigned), "{answers:?}");
            let head = sequencer.head(META).await.unwrap();
            let both = [log[0].clone(), Vkey::parse(&key).unwrap()];
            let verified = Note::parse(head.checkpoint.as_bytes()).unwrap().verify(&both).unwrap();
            assert_eq!(verified.len(), 2, "the log's signature and the witness'");
        }
        // a client that forgot what the witness has seen is told and tries again
        let mut forgetful = [Witness::parse(&format!("{url} {key}")).unwrap()];
        let answers = sequencer.publish_once(Some(&client), &mut forgetful).await.unwrap();
        assert!(matches!(answers[0].1, Answer::Cosigned), "{answers:?}");
        // the witness has seen another root of that size: it must refuse, and we say so
        seen.lock().unwrap().root = Some(Hash([7; 32]));
        world.role("after").await;
        for scope in crate::audit::sequencer::scopes(kernel).await {
            sequencer.catch_up(scope).await.unwrap();
        }
        let answers = sequencer.publish_once(Some(&client), &mut witnesses).await.unwrap();
        assert!(matches!(answers[0].1, Answer::Refused(422, _)), "{answers:?}");
        // a witness ahead of us has seen entries that we lost
        seen.lock().unwrap().size = 1_000_000;
        let answers = sequencer.publish_once(Some(&client), &mut witnesses).await.unwrap();
        assert!(matches!(answers[0].1, Answer::Refused(409, _)), "{answers:?}");
        // one that is away is a refusal too, and nothing waits for it
        let mut away = [Witness::parse(&format!("http://127.0.0.1:1/w {key}")).unwrap()];
        let answers = sequencer.publish_once(Some(&client), &mut away).await.unwrap();
        assert!(matches!(answers[0].1, Answer::Refused(0, _)), "{answers:?}");
    }
}

#[test]
fn a_witness_is_configured_with_address_and_key() {
    for wrong in ["http://w.example", "http://w.example not-a-key", ""] {
        assert!(Witness::parse(wrong).is_err(), "{wrong}");
    }
}
