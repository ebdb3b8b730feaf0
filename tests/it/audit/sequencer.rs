//! From outbox to log: gapless, hashed, signed, and by one process at a time.

use std::{sync::Arc, time::Duration};

use audit::sequencer::{LogHead, store};
use kernel::{
    Kernel,
    clock::{Clock, Time},
};
use serde_json::json;
use tests::{Engine, Site, World, both_engines, raw, site::START, world};
use tlog::{Checkpoint, Hash, TileSet, Vkey};
use tonic::Code;
use uuid::Uuid;

use crate::errors::reason;

/// One event as the log has it.
#[derive(Clone, sqlx::FromRow)]
pub struct Logged {
    pub idx: i64,
    pub id: Uuid,
    pub entry: String,
}

/// The whole log of a scope, in order.
pub async fn logged(kernel: &Kernel, scope: Uuid) -> Vec<Logged> {
    let mut reader = kernel.db.reader().await.unwrap();
    let query = "SELECT idx, id, entry FROM audit_event WHERE scope_id = $1 ORDER BY idx";
    kernel::on!(&mut reader, |c| sqlx::query_as(query).bind(scope).fetch_all(c)).unwrap()
}

/// Runs SQL behind the product's back.
pub async fn meddle(kernel: &Kernel, sql: &'static str, scope: Uuid) {
    let mut tx = kernel.db.begin_derived();
    kernel::execute!(&mut tx, sqlx::query(sql).bind(scope)).unwrap();
    tx.finish().await.unwrap();
}

/// Every scope that has a log by now. What waits in an outbox may be the first of a log that is still to come.
pub async fn scopes_with_a_log(kernel: &Kernel) -> Vec<Uuid> {
    scopes_by(kernel, "SELECT scope_id FROM audit_log").await
}

/// Every scope that has a log, or will have one once what waits is sequenced.
pub async fn scopes(kernel: &Kernel) -> Vec<Uuid> {
    scopes_by(kernel, "SELECT scope_id FROM audit_log UNION SELECT scope_id FROM audit_pending").await
}

async fn scopes_by(kernel: &Kernel, query: &'static str) -> Vec<Uuid> {
    let mut reader = kernel.db.reader().await.unwrap();
    kernel::on!(&mut reader, |c| sqlx::query_scalar(query).fetch_all(c)).unwrap()
}

pub async fn acme(kernel: &Kernel) -> Uuid {
    let mut reader = kernel.db.reader().await.unwrap();
    kernel::on!(&mut reader, |c| sqlx::query_scalar("SELECT id FROM tenant WHERE slug = 'acme'").fetch_one(c))
        .unwrap()
}

/// Checks a log from its rows alone: no gap, no event twice, tiles and root as the entries hash, the checkpoint good.
pub async fn check(kernel: &Kernel, head: &LogHead, vkeys: &[String]) -> Vec<Logged> {
    let events = logged(kernel, head.scope_id).await;
    assert_eq!(i64::try_from(events.len()).unwrap(), head.size);
    assert!((0..).zip(&events).all(|(n, e)| e.idx == n), "a gap");
    let mut ids: Vec<_> = events.iter().map(|e| e.id).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), events.len(), "an event twice");
    let mut tree = tlog::Appender::empty();
    for event in &events {
        tree.append(tlog::leaf_hash(event.entry.as_bytes())).unwrap();
    }
    assert_eq!(tree.root().as_bytes().as_slice(), head.root, "the root is that of the entries");
    let mut reader = kernel.db.reader().await.unwrap();
    for tile in tree.take_tiles() {
        let stored = store::tile_get_all(&mut reader, head.scope_id, &[tile.id()]).await.unwrap();
        assert_eq!(stored[0].encode(), tile.encode(), "{:?}", tile.id());
    }
    let vkeys: Vec<_> = vkeys.iter().map(|k| Vkey::parse(k).unwrap()).collect();
    let signed = Checkpoint::open(head.checkpoint.as_bytes(), &vkeys).unwrap().checkpoint;
    assert_eq!(signed.origin(), head.origin);
    extends(kernel, head.scope_id, &signed, head).await;
    events
}

/// Checks that the log extends an earlier checkpoint.
pub async fn extends(kernel: &Kernel, scope: Uuid, earlier: &Checkpoint, head: &LogHead) {
    let size = u64::try_from(head.size).unwrap();
    let mut reader = kernel.db.reader().await.unwrap();
    let needed = tlog::tiles_for_consistency(earlier.size(), size).unwrap();
    let tiles: TileSet =
        store::tile_get_all(&mut reader, scope, &needed).await.unwrap().into_iter().collect();
    let proof = tlog::consistency_proof(&tiles, earlier.size(), size).unwrap();
    let root = Hash::from_slice(&head.root).unwrap();
    tlog::verify_consistency(earlier.size(), earlier.root(), size, &root, &proof).unwrap();
}

both_engines! {
    async fn every_act_gets_the_next_index_a_leaf_and_a_checkpoint(site: Site) {
        let world = World::build(site).await;
        let kernel = Arc::clone(world.site.kernel());
        let makers = (0..300).map(|n| {
            let by = world.owner.clone();
            tokio::spawn(async move { world::create_role(&by, &format!("r-{n}"), "x").await.unwrap() })
        });
        for maker in makers.collect::<Vec<_>>() {
            maker.await.unwrap();
        }
        let sequencer = &world.site.running.sequencer;
        let scope = acme(&kernel).await;
        let head = sequencer.catch_up(scope).await.unwrap();
        let head = sequencer.covering(scope, head.size - 1, Duration::from_secs(5)).await.unwrap();
        assert_eq!(head.origin, format!("provost.local/tenants/{scope}"));
        let events = check(&kernel, &head, &sequencer.verifier_keys(&head.origin)).await;
        let made = events.iter().filter(|e| e.entry.contains("\"act\":\"role.create\"")).count();
        assert_eq!(made, 300);
        let mut reader = kernel.db.reader().await.unwrap();
        assert_eq!(store::pending_last(&mut reader, scope).await.unwrap(), None);
    }

    async fn an_act_that_was_done_before_another_began_has_the_lower_index(site: Site) {
        let world = World::build(site).await;
        for n in 0..40 {
            world.role(&format!("r-{n}")).await;
        }
        let scope = acme(world.site.kernel()).await;
        world.site.running.sequencer.catch_up(scope).await.unwrap();
        let events = logged(world.site.kernel(), scope).await;
        let order: Vec<_> = events.iter().filter_map(|e| {
            let at = e.entry.find("/roles/r-")?;
            e.entry[at + 9..].split('"').next()?.parse::<u32>().ok()
        }).collect();
        assert_eq!(order, (0..40).collect::<Vec<_>>());
    }

    async fn a_partners_act_in_a_client_stands_in_both_logs_with_the_same_bytes(site: Site) {
        let world = World::build(site).await;
        world::create_role(&world.consultant, "banker", "x").await.unwrap();
        let kernel = world.site.kernel();
        for scope in scopes(kernel).await {
            world.site.running.sequencer.catch_up(scope).await.unwrap();
        }
        let mut entries = Vec::new();
        for scope in scopes(kernel).await {
            entries.extend(logged(kernel, scope).await.into_iter().filter(|e| e.entry.contains("/roles/banker")));
        }
        assert_eq!(entries.len(), 2);
        assert_eq!(entries[0].entry, entries[1].entry);
        assert!(entries[0].entry.contains("\"via\":{\"partner\":\"partners/northwind\"}"), "{}", entries[0].entry);
    }

    async fn a_restarted_server_goes_on_where_the_log_ends(site: Site) {
        let world = World::build(site).await;
        world.role("before").await;
        let scope = acme(world.site.kernel()).await;
        let first = world.site.running.sequencer.catch_up(scope).await.unwrap();
        let first = world.site.running.sequencer.covering(scope, first.size - 1, Duration::from_secs(5)).await.unwrap();
        let (owner, vkeys) = (world.owner.secret.clone(), world.site.running.sequencer.verifier_keys(&first.origin));
        let (engine, dir, url, clock) = world.site.stop().await;
        let site = Site::on(engine, dir, url, clock, &[]).await;
        world::create_role(&site.caller(&owner), "after", "x").await.unwrap();
        let second = site.running.sequencer.catch_up(scope).await.unwrap();
        let second = site.running.sequencer.covering(scope, second.size - 1, Duration::from_secs(5)).await.unwrap();
        assert!(second.size > first.size);
        check(site.kernel(), &second, &vkeys).await;
        let vkeys: Vec<_> = vkeys.iter().map(|k| Vkey::parse(k).unwrap()).collect();
        let earlier = Checkpoint::open(first.checkpoint.as_bytes(), &vkeys).unwrap().checkpoint;
        extends(site.kernel(), scope, &earlier, &second).await;
    }

    async fn what_was_sequenced_and_never_signed_is_signed_and_its_wait_is_counted(site: Site) {
        let world = World::build(site).await;
        world.role("before").await;
        let scope = acme(world.site.kernel()).await;
        let head = world.site.running.sequencer.catch_up(scope).await.unwrap();
        world.site.running.sequencer.covering(scope, head.size - 1, Duration::from_secs(5)).await.unwrap();
        let (engine, dir, url, clock) = world.site.stop().await;
        // with a key that nobody has any more, nothing is signed and nothing sequenced: the log stays as it is made here
        let (key, away) = (dir.path().join("audit.key"), dir.path().join("away.key"));
        std::fs::rename(&key, &away).unwrap();
        let site = Site::on(engine, Arc::clone(&dir), url, clock, &[]).await;
        meddle(site.kernel(), "UPDATE audit_log SET signed_size = signed_size - 3 WHERE scope_id = $1", scope).await;
        let (engine, dir, url, clock) = site.stop().await;
        std::fs::remove_file(&key).unwrap();
        std::fs::rename(&away, &key).unwrap();
        clock.advance(Duration::from_mins(5));
        let site = Site::on(engine, dir, url, clock, &[]).await;
        let size = site.running.sequencer.head(scope).await.unwrap().size;
        // nobody acts in the log, and nobody asks for it
        let signed = async {
            while site.running.sequencer.head(scope).await.unwrap().signed_size < size {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_mins(1), signed).await.unwrap();
        let bucket = |text: &str, le: &str| -> u64 {
            let of = |l: &&str| l.starts_with("provost_audit_checkpoint_latency") && l.contains(&format!("le=\"{le}\""));
            text.lines().find(of).and_then(|l| l.rsplit(' ').next()?.parse().ok()).unwrap_or(0)
        };
        // the checkpoint is stored before it is counted
        let counted = async {
            loop {
                let text = tests::http::get(&format!("{}/metrics", site.running.url())).await.text();
                if bucket(&text, "+Inf") >= bucket(&text, "60") + 3 {
                    return;
                }
            }
        };
        tokio::time::timeout(Duration::from_mins(1), counted).await.expect("three events that waited for minutes");
    }

    async fn a_clock_that_was_set_back_over_a_restart_does_not_reorder_the_log(site: Site) {
        let world = World::build(site).await;
        world.role("first").await;
        let scope = acme(world.site.kernel()).await;
        let owner = world.owner.secret.clone();
        world.site.running.sequencer.catch_up(scope).await.unwrap();
        let (engine, dir, url, clock) = world.site.stop().await;
        let back = Clock::manual(clock.now().minus(Duration::from_hours(1)));
        let site = Site::on(engine, dir, url, back, &[]).await;
        world::create_role(&site.caller(&owner), "second", "x").await.unwrap();
        let at = site.running.sequencer.catch_up(scope).await.unwrap();
        assert!(at.size > 0);
        let events = logged(site.kernel(), scope).await;
        let id = |role: &str| events.iter().find(|e| e.entry.contains(&format!("/roles/{role}\""))).unwrap().id;
        assert!(id("second") > id("first"));
    }

    async fn a_tree_that_was_tampered_with_is_not_signed_and_goes_on_once_it_is_mended(site: Site) {
        let world = World::build(site).await;
        world.role("before").await;
        let scope = acme(world.site.kernel()).await;
        let signed = world.site.running.sequencer.catch_up(scope).await.unwrap();
        let owner = world.owner.secret.clone();
        let (engine, dir, url, clock) = world.site.stop().await;
        let site = Site::on(engine, dir, url, clock, &[]).await;
        // the tile's first bytes change places with nobody: they are just wrong
        meddle(site.kernel(), "UPDATE audit_tile SET width = width - 1 WHERE scope_id = $1 AND level = 0 AND width > 1", scope).await;
        meddle(site.kernel(), "UPDATE audit_log SET root = hashes FROM audit_tile t WHERE audit_log.scope_id = $1 AND t.scope_id = $1 AND t.level = 0", scope).await;
        world::create_role(&site.caller(&owner), "after", "x").await.unwrap();
        let refused = site.running.sequencer.catch_up(scope).await.unwrap_err();
        assert!(refused.to_string().contains("not signed any more"), "{refused}");
        let head = site.running.sequencer.head(scope).await.unwrap();
        assert_eq!((head.size, head.checkpoint.as_str()), (signed.size, signed.checkpoint.as_str()));
        // the change itself was acknowledged and its event waits
        let mut reader = site.kernel().db.reader().await.unwrap();
        assert!(store::pending_last(&mut reader, scope).await.unwrap().is_some());
        drop(reader);
        let mut tx = site.kernel().db.begin_derived();
        kernel::execute!(&mut tx, sqlx::query("UPDATE audit_log SET root = $2 WHERE scope_id = $1").bind(scope).bind(signed.root.clone())).unwrap();
        tx.finish().await.unwrap();
        let mended = site.running.sequencer.catch_up(scope).await.unwrap();
        assert!(mended.size > signed.size);
    }

    async fn another_key_does_not_sign_an_old_log_and_the_previous_one_beside_it_does(site: Site) {
        let world = World::build(site).await;
        world.role("before").await;
        let scope = acme(world.site.kernel()).await;
        let head = world.site.running.sequencer.catch_up(scope).await.unwrap();
        let (owner, old) = (world.owner.secret.clone(), world.site.running.sequencer.verifier_keys(&head.origin));
        let (engine, dir, url, clock) = world.site.stop().await;
        let (key, moved) = (dir.path().join("audit.key"), dir.path().join("old.key"));
        std::fs::rename(&key, &moved).unwrap();
        let site = Site::on(engine, Arc::clone(&dir), url, clock, &[]).await;
        world::create_role(&site.caller(&owner), "after", "x").await.unwrap();
        let refused = site.running.sequencer.catch_up(scope).await.unwrap_err();
        assert!(refused.to_string().contains("not signed any more"), "{refused}");
        let (engine, dir, url, clock) = site.stop().await;
        let overlap = [("audit.previous_key_file", moved.display().to_string())];
        let site = Site::on(engine, dir, url, clock, &overlap).await;
        let head = site.running.sequencer.catch_up(scope).await.unwrap();
        let head = site.running.sequencer.covering(scope, head.size - 1, Duration::from_secs(5)).await.unwrap();
        let both = site.running.sequencer.verifier_keys(&head.origin);
        assert_eq!(both.len(), 2);
        assert_eq!(both[1], old[0]);
        for key in &both {
            check(site.kernel(), &head, std::slice::from_ref(key)).await;
        }
    }
}

/// Two servers on one PostgreSQL: whoever has the lease sequences for both; when it is gone, the other takes over.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_servers_share_the_logs_and_one_takes_over_from_the_other() {
    let world = World::build(Site::start(Engine::Postgres).await).await;
    let scope = acme(world.site.kernel()).await;
    world.site.running.sequencer.catch_up(scope).await.unwrap();
    let clock = Clock::manual(Time::parse("start", START).unwrap());
    let second =
        Site::on(Engine::Postgres, Arc::clone(&world.site.dir), world.site.database_url.clone(), clock, &[])
            .await;
    // an act at the second is sequenced by the first, which has the lease
    world::create_role(&second.caller(&world.owner.secret), "at-the-second", "x").await.unwrap();
    let head = second.running.sequencer.catch_up(scope).await.unwrap();
    assert!(logged(second.kernel(), scope).await.iter().any(|e| e.entry.contains("at-the-second")));
    // the first loses its lease without knowing: what it does next fails whole
    meddle(second.kernel(), "UPDATE audit_log SET fence = fence + 1 WHERE scope_id = $1", scope).await;
    let before = logged(second.kernel(), scope).await.len();
    world.role("fenced").await;
    world.site.running.sequencer.catch_up(scope).await.unwrap();
    let after = second.running.sequencer.head(scope).await.unwrap();
    assert!(after.size > head.size && logged(second.kernel(), scope).await.len() > before);
    // its time is over: the second takes the lease and goes on
    second.advance(Duration::from_secs(10));
    world.site.running.sequencer.stop().await;
    world::create_role(&second.caller(&world.owner.secret), "after", "x").await.unwrap();
    let head = second.running.sequencer.catch_up(scope).await.unwrap();
    let head = second.running.sequencer.covering(scope, head.size - 1, Duration::from_secs(5)).await.unwrap();
    let events = check(second.kernel(), &head, &second.running.sequencer.verifier_keys(&head.origin)).await;
    assert!(events.last().unwrap().entry.contains("/roles/after"));
}

/// The process with the leases is killed: what it wrote as the end of its lease is what the other waits for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_servers_log_is_taken_over_within_ten_seconds() {
    let world = World::build(Site::start(Engine::Postgres).await).await;
    let kernel = Arc::clone(world.site.kernel());
    let scope = acme(&kernel).await;
    world.site.running.sequencer.catch_up(scope).await.unwrap();
    // somebody who never comes back, with the lease that the server gave itself
    meddle(&kernel, "UPDATE audit_log SET holder = scope_id, fence = fence + 1 WHERE scope_id = $1", scope)
        .await;
    let mut reader = kernel.db.reader().await.unwrap();
    let lease = store::lease_get(&mut reader, scope).await.unwrap().unwrap();
    drop(reader);
    let left = lease.until.since(kernel.clock.now());
    // the outbox is looked at four times a second
    assert!(left > Duration::ZERO && left + Duration::from_secs(1) <= Duration::from_secs(10), "{left:?}");
    world.role("banker").await;
    let before = logged(&kernel, scope).await.len();
    world.site.advance(Duration::from_micros(u64::try_from(left.as_micros()).unwrap() - 1));
    assert_eq!(logged(&kernel, scope).await.len(), before, "the lease is good until its end");
    world.site.advance(Duration::from_micros(1));
    world.site.running.sequencer.catch_up(scope).await.unwrap();
    assert!(logged(&kernel, scope).await.iter().any(|e| e.entry.contains("/roles/banker")));
}

/// What a process sequences for another it has seen: what it records itself from then on sorts behind it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_sequences_anothers_act_records_its_own_behind_it() {
    let world = World::build(Site::start(Engine::Postgres).await).await;
    let scope = acme(world.site.kernel()).await;
    let late = Clock::manual(Time::parse("start", START).unwrap());
    let second =
        Site::on(Engine::Postgres, Arc::clone(&world.site.dir), world.site.database_url.clone(), late, &[])
            .await;
    // the first is half an hour ahead, and leaves what it records to the second
    world.site.running.sequencer.stop().await;
    world.site.advance(Duration::from_mins(30));
    world.role("at-the-first").await;
    second.running.sequencer.catch_up(scope).await.unwrap();
    world::create_role(&second.caller(&world.owner.secret), "at-the-second", "x").await.unwrap();
    second.running.sequencer.catch_up(scope).await.unwrap();
    let events = logged(second.kernel(), scope).await;
    let id = |role: &str| events.iter().find(|e| e.entry.contains(&format!("/roles/{role}\""))).unwrap().id;
    assert!(id("at-the-second") > id("at-the-first"));
}

/// Another process holds the lease and does nothing: the embedded database has no other process.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_is_held_up_is_said_to_be_behind_and_catches_up() {
    let world = World::build(Site::start(Engine::Postgres).await).await;
    let kernel = Arc::clone(world.site.kernel());
    let scope = acme(&kernel).await;
    world.site.running.sequencer.catch_up(scope).await.unwrap();
    let held = "UPDATE audit_log SET holder = scope_id, fence = fence + 1, lease_until = 9000000000000000 WHERE scope_id = $1";
    meddle(&kernel, held, scope).await;
    world.role("banker").await;
    let log = json!({"name": "tenants/acme/auditLog"});
    let get = || raw::json(&world.owner, "provost.audit.v1.AuditService/GetAuditLog", log.clone());
    let refused = get().await.unwrap_err();
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::Unavailable, "AUDIT_BEHIND"));
    meddle(&kernel, "UPDATE audit_log SET lease_until = 0 WHERE scope_id = $1", scope).await;
    get().await.unwrap();
    let made = super::events(&world.owner, world::ACME, "action = role.create").await;
    assert_eq!(made.len(), 1, "what was done while it was behind is in the log");
}

#[tokio::test]
async fn a_log_without_events_has_its_origin() {
    let site = Site::start(Engine::Sqlite).await;
    let sequencer = &site.running.sequencer;
    let head = sequencer.head(audit::sequencer::meta::META).await.unwrap();
    assert_eq!((head.size, head.origin.as_str()), (0, "provost.local/meta"));
    assert_eq!(sequencer.verifier_keys(&head.origin).len(), 1);
}
