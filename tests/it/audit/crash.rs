//! The log under power cuts: nothing acknowledged without a leaf, no gap, nothing twice, no checkpoint taken back.
//!
//! `PROVOST_KILLS` says how often a server is killed on each engine: 30 by default, 100 in the long run.

use std::{collections::BTreeMap, path::Path, time::Duration};

use audit::sequencer::store;
use kernel::{Kernel, clock::Clock, db::Db};
use tests::{Engine, process::Daemon, site, site::Caller, world};
use tlog::{Checkpoint, Vkey};
use tonic::transport::Channel;
use uuid::Uuid;

use super::sequencer::{check, extends, scopes, scopes_with_a_log};

const WRITERS: usize = 8;

fn kills() -> usize {
    std::env::var("PROVOST_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(30)
}

/// The database of a server that is dead, opened by ourselves.
async fn open(dir: &Path, url: &str) -> std::sync::Arc<Kernel> {
    let settings = [("server.data_dir", dir.display().to_string()), ("database.url", url.to_owned())];
    let config = site::config(&settings);
    let db = Db::open(&config).await.unwrap();
    Kernel::new(config, db, Clock::System).await.unwrap()
}

async fn connect(daemon: &Daemon) -> Channel {
    Channel::from_shared(daemon.url.clone()).unwrap().connect().await.unwrap()
}

/// Writes until the server dies; what was acknowledged.
async fn write(by: Caller, prefix: String) -> Vec<String> {
    let mut made = Vec::new();
    for n in 0_u32.. {
        match world::create_role(&by, &format!("{prefix}-{n}"), "x").await {
            Ok(role) => made.push(role.name),
            Err(_) => break,
        }
    }
    made
}

async fn killed_again_and_again(engine: Engine) {
    let dir = tempfile::tempdir().unwrap();
    let url = match engine {
        Engine::Sqlite => String::new(),
        Engine::Postgres => site::fresh_postgres().await,
    };
    let env = [("PROVOST__DATABASE__URL", url.as_str())];
    let mut daemon = Daemon::start(dir.path(), &env);
    let mut admin = daemon.admin().await;
    world::partner(&admin, "northwind").await;
    world::tenant(&admin, "acme", world::NORTHWIND).await.unwrap();
    let (mut acknowledged, mut checkpoints) = (Vec::new(), Vec::new());
    for round in 0..kills() {
        let writers: Vec<_> =
            (0..WRITERS).map(|w| tokio::spawn(write(admin.clone(), format!("r-{round}-{w}")))).collect();
        // some of them must get through; when exactly the power goes is different every time
        world::create_role(&admin, &format!("probe-{round}"), "x").await.unwrap();
        tokio::time::sleep(Duration::from_millis(20 + (round as u64 * 37) % 180)).await;
        daemon.kill();
        for writer in writers {
            acknowledged.extend(writer.await.unwrap());
        }
        let kernel = open(dir.path(), &url).await;
        let mut reader = kernel.db.reader().await.unwrap();
        for scope in scopes_with_a_log(&kernel).await {
            let head = store::log_get(&mut reader, scope).await.unwrap().unwrap();
            if !head.checkpoint.is_empty() {
                checkpoints.push((scope, head.origin, head.checkpoint));
            }
        }
        drop(reader);
        kernel.db.close().await;
        drop(kernel);
        daemon = Daemon::start(dir.path(), &env);
        admin.channel = connect(&daemon).await;
    }
    // the last word is the log's own: reading it sequences what the last server left
    crate::audit::events(&admin, world::ACME, "action = \"role.create\"").await;
    let (well, said) = daemon.stop();
    assert!(well, "{said}");
    let kernel = open(dir.path(), &url).await;
    whole(&kernel, dir.path(), &acknowledged, &checkpoints).await;
}

/// Holds everything that was acknowledged and published against the logs as they are now.
async fn whole(kernel: &Kernel, dir: &Path, acknowledged: &[String], checkpoints: &[(Uuid, String, String)]) {
    let key = std::fs::read_to_string(dir.join("audit.key")).unwrap();
    let vkeys = |origin: &str| vec![audit::sequencer::verifier_key(&key, origin).unwrap()];
    let mut leaves: BTreeMap<String, usize> = BTreeMap::new();
    for scope in scopes(kernel).await {
        let mut reader = kernel.db.reader().await.unwrap();
        assert_eq!(store::pending_last(&mut reader, scope).await.unwrap(), None, "the outbox is empty");
        let head = store::log_get(&mut reader, scope).await.unwrap().unwrap();
        drop(reader);
        for event in check(kernel, &head, &vkeys(&head.origin)).await {
            let entry: serde_json::Value = serde_json::from_str(&event.entry).unwrap();
            if entry["act"] == "role.create" {
                *leaves.entry(entry["tgt"][0]["id"].as_str().unwrap().to_owned()).or_default() += 1;
            }
        }
        for (_, origin, note) in checkpoints.iter().filter(|c| c.0 == scope) {
            let vkeys: Vec<_> = vkeys(origin).iter().map(|k| Vkey::parse(k).unwrap()).collect();
            let earlier = Checkpoint::open(note.as_bytes(), &vkeys).unwrap().checkpoint;
            extends(kernel, scope, &earlier, &head).await;
        }
    }
    assert!(acknowledged.len() > 10 * kills(), "only {} changes were made", acknowledged.len());
    let without: Vec<_> = acknowledged.iter().filter(|name| leaves.get(*name) != Some(&1)).collect();
    assert!(without.is_empty(), "acknowledged changes that do not have one leaf: {without:?}");
    let mut reader = kernel.db.reader().await.unwrap();
    let query = "SELECT slug FROM role";
    let there: Vec<String> = kernel::on!(&mut reader, |c| sqlx::query_scalar(query).fetch_all(c)).unwrap();
    let mut there: Vec<_> = there.into_iter().map(|slug| format!("tenants/acme/roles/{slug}")).collect();
    there.sort();
    assert_eq!(there, leaves.into_keys().collect::<Vec<_>>(), "every role has its leaf, every leaf its role");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_kill_loses_or_doubles_a_leaf_or_takes_a_checkpoint_back_on_sqlite() {
    killed_again_and_again(Engine::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_kill_loses_or_doubles_a_leaf_or_takes_a_checkpoint_back_on_postgres() {
    killed_again_and_again(Engine::Postgres).await;
}

/// A killed server's lease ends by itself: one call at the other waits for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_server_takes_over_from_one_that_was_killed() {
    let (dir, url) = (tempfile::tempdir().unwrap(), site::fresh_postgres().await);
    let env = [("PROVOST__DATABASE__URL", url.as_str())];
    let first = Daemon::start(dir.path(), &env);
    let mut admin = first.admin().await;
    world::partner(&admin, "northwind").await;
    world::tenant(&admin, "acme", world::NORTHWIND).await.unwrap();
    let second = Daemon::start(dir.path(), &env);
    world::create_role(&admin, "at-the-first", "x").await.unwrap();
    crate::audit::events(&admin, world::ACME, "").await;
    first.kill();
    admin.channel = connect(&second).await;
    world::create_role(&admin, "at-the-second", "x").await.unwrap();
    let made = crate::audit::events(&admin, world::ACME, "action = \"role.create\"").await;
    assert_eq!(made.len(), 2);
    let (well, said) = second.stop();
    assert!(well, "{said}");
}
