//! Several servers on one PostgreSQL, and what its transactions do to each other.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use kernel::{
    db::{Db, retry},
    error::Error,
    execute,
};
use proto::{
    duty::v1::{self as duty, duty_service_client::DutyServiceClient},
    principal::v1::{self as principal, principal_service_client::PrincipalServiceClient},
    token::v1::{self as token, TokenKind, token_service_client::TokenServiceClient},
};
use tests::{Engine, Site, World, both_engines, postgres, site::Caller, world};
use tokio::sync::Barrier;
use tonic::Status;

use crate::errors::reason;

/// How long the second server trusts what it has checked, milliseconds.
const TRUST: u64 = 1_000;

async fn whoami(by: &Caller) -> Result<token::WhoAmIResponse, Status> {
    let mut client = TokenServiceClient::new(by.channel.clone());
    Ok(client.who_am_i(by.ask(token::WhoAmIRequest {})).await?.into_inner())
}

/// Calls until it is refused. No call that begins later than the configured trust after `since` may be let in.
async fn out(by: &Caller, since: Instant) -> String {
    loop {
        let begun = Instant::now();
        match whoami(by).await {
            Ok(_) => assert!(begun < since + Duration::from_millis(TRUST), "let in after the bound"),
            Err(status) => return reason(&status),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_revoked_on_one_server_is_out_on_the_other_within_the_configured_trust() {
    let world = World::build(Site::start(Engine::Postgres).await).await;
    let (dir, clock) = (Arc::new(tempfile::tempdir().unwrap()), world.site.kernel().clock.clone());
    std::fs::copy(world.site.dir.path().join("audit.key"), dir.path().join("audit.key")).unwrap();
    let trust = [("auth.token_cache_ms", TRUST.to_string())];
    let there = Site::on(Engine::Postgres, dir, world.site.database_url.clone(), clock, &trust).await;
    let owner = &world.owner;

    let new = world::token_of(world::ACME, "admin", TokenKind::Personal);
    let made = world::create_token(owner, world::ACME, new).await.unwrap();
    let caller = there.caller(&made.secret);
    whoami(&caller).await.unwrap();
    let request = token::RevokeTokenRequest { name: made.token.unwrap().name, ..Default::default() };
    TokenServiceClient::new(owner.channel.clone()).revoke_token(owner.ask(request)).await.unwrap();
    assert_eq!(out(&caller, Instant::now()).await, "TOKEN_UNKNOWN");

    let caller = there.caller(&world.holders["compliance"].secret);
    whoami(&caller).await.unwrap();
    let name = "tenants/acme/principals/compliance".to_owned();
    let request = principal::SuspendPrincipalRequest { name, ..Default::default() };
    PrincipalServiceClient::new(owner.channel.clone()).suspend_principal(owner.ask(request)).await.unwrap();
    assert_eq!(out(&caller, Instant::now()).await, "PRINCIPAL_SUSPENDED");

    // a duty that is taken away
    let caller = there.caller(&world.holders["admin"].secret);
    world::create_role(&caller, "before", "x").await.unwrap();
    let list =
        duty::ListDutyGrantsRequest { parent: world::ACME.to_owned(), page_size: 100, ..Default::default() };
    let mut duties = DutyServiceClient::new(owner.channel.clone());
    let grants = duties.list_duty_grants(owner.ask(list)).await.unwrap().into_inner().duty_grants;
    let name = grants.into_iter().find(|g| g.principal.ends_with("/admin")).unwrap().name;
    duties.revoke_duty(owner.ask(duty::RevokeDutyRequest { name, ..Default::default() })).await.unwrap();
    let since = Instant::now();
    for n in 0.. {
        let begun = Instant::now();
        match world::create_role(&caller, &format!("after-{n}"), "x").await {
            Ok(_) => assert!(begun < since + Duration::from_millis(TRUST), "let in after the bound"),
            Err(status) => {
                assert_eq!(reason(&status), "DUTY_MISSING");
                break;
            }
        }
    }
    there.stop().await;
}

both_engines! {
    async fn the_last_use_of_a_token_is_noted_once_a_minute(site: Site) {
        let trusting = [("auth.token_cache_ms", "0".to_owned())];
        let (engine, dir, url, clock) = site.stop().await;
        let world = World::build(Site::on(engine, dir, url, clock, &trusting).await).await;
        let new = world::token_of(world::ACME, "admin", TokenKind::Personal);
        let made = world::create_token(&world.owner, world::ACME, new).await.unwrap();
        let (caller, name) = (world.site.caller(&made.secret), made.token.unwrap().name);
        let noted = async || {
            let list = token::ListTokensRequest { parent: world::ACME.to_owned(), page_size: 1_000, ..Default::default() };
            let mut client = TokenServiceClient::new(world.owner.channel.clone());
            let tokens = client.list_tokens(world.owner.ask(list)).await.unwrap().into_inner().tokens;
            tokens.into_iter().find(|t| t.name == name).unwrap().last_used_time
        };
        // it is written beside the call
        let becomes = async |time: kernel::clock::Time| {
            let looking = async { while noted().await != Some(time.into()) {} };
            tokio::time::timeout(Duration::from_mins(1), looking).await.expect("the use is noted");
        };
        assert_eq!(noted().await, None);
        let first = world.site.kernel().clock.now();
        whoami(&caller).await.unwrap();
        becomes(first).await;
        world.site.advance(Duration::from_mins(1));
        whoami(&caller).await.unwrap();
        assert_eq!(noted().await, Some(first.into()), "a minute is not over");
        world.site.advance(Duration::from_micros(1));
        whoami(&caller).await.unwrap();
        becomes(world.site.kernel().clock.now()).await;
    }
}

/// A table of two rows on a fresh PostgreSQL.
async fn two_rows() -> (Db, String) {
    let url = tests::site::fresh_postgres().await;
    postgres::shared()
        .psql(&url, "CREATE TABLE pair (id INT PRIMARY KEY, n INT); INSERT INTO pair VALUES (1, 0), (2, 0)");
    (Db::open(&tests::site::config(&[("database.url", url.clone())])).await.unwrap(), url)
}

/// Two at once add one to both rows, each in its order; they meet in the middle of the first attempt. Returns the attempts.
async fn both_at_once(db: &Db, begin: &'static str, orders: [[i32; 2]; 2]) -> u32 {
    let (meet, attempts) = (Arc::new(Barrier::new(2)), Arc::new(AtomicU32::new(0)));
    let running = orders.map(|order| {
        let (db, meet, attempts) = (db.clone(), Arc::clone(&meet), Arc::clone(&attempts));
        tokio::spawn(async move {
            let first = std::sync::atomic::AtomicBool::new(true);
            let attempt = || async {
                attempts.fetch_add(1, Ordering::SeqCst);
                let mut tx = db.begin_derived();
                execute!(&mut tx, sqlx::query(begin))?;
                execute!(&mut tx, sqlx::query("SELECT SUM(n) FROM pair"))?;
                let [a, b] = order;
                if a != b {
                    execute!(&mut tx, sqlx::query("UPDATE pair SET n = n + 1 WHERE id = $1").bind(a))?;
                }
                if first.swap(false, Ordering::SeqCst) {
                    meet.wait().await;
                }
                execute!(&mut tx, sqlx::query("UPDATE pair SET n = n + 1 WHERE id = $1").bind(b))?;
                tx.finish().await
            };
            retry::on_conflict(attempt).await
        })
    });
    for one in running {
        let outcome: Result<(), Error> = one.await.unwrap();
        outcome.unwrap();
    }
    attempts.load(Ordering::SeqCst)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deadlock_is_broken_and_the_loser_repeated() {
    let (db, url) = two_rows().await;
    let attempts =
        both_at_once(&db, "SET TRANSACTION ISOLATION LEVEL READ COMMITTED", [[1, 2], [2, 1]]).await;
    assert!(attempts > 2, "nobody lost");
    assert_eq!(postgres::shared().psql(&url, "SELECT string_agg(n::text, ',') FROM pair"), "2,2");
    db.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_that_cannot_be_serialized_is_repeated() {
    let (db, url) = two_rows().await;
    let attempts = both_at_once(&db, "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE", [[1, 1], [1, 1]]).await;
    assert!(attempts > 2, "nobody lost");
    assert_eq!(postgres::shared().psql(&url, "SELECT n FROM pair WHERE id = 1"), "2");
    db.close().await;
}
