//! The audit log: how soon an act is under a checkpoint, how fast it is found among very many, how fast it leaves, and
//! what recording costs.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use kernel::{
    Kernel,
    clock::{Clock, Time},
    db::bulk,
    execute, on,
};
use proto::audit::v1::{
    ExportAuditEventsRequest, ExportFormat, ListAuditEventsRequest, audit_service_client::AuditServiceClient,
};
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;
use tests::{
    Engine, Site, World,
    process::Daemon,
    site::Caller,
    world::{self, ACME},
};
use tonic::transport::Channel;
use uuid::Uuid;

use crate::load;

/// Changes a second while the latency to a checkpoint is measured.
const PACE: u64 = 500;
/// How long that lasts.
const LATENCY: Duration = Duration::from_secs(15);
/// A round at that pace with, or without, the audit record, and how many of each.
const OVERHEAD: Duration = Duration::from_secs(4);
const ROUNDS: usize = 3;
/// Rows in one insert of made-up events, and events between two rounds of the sequencer.
const ROWS: usize = 500;
const FILL: usize = 20_000;
/// Made-up people, actions and things.
const ACTORS: usize = 300;
const ACTIONS: [&str; 12] = [
    "role.create",
    "role.update",
    "role.add_member",
    "principal.create",
    "principal.update",
    "group.create",
    "entitlement.create",
    "token.create",
    "duty.grant",
    "unit.create",
    "decision.check",
    "usage.logs",
];
const TARGETS: usize = 20_000;
/// The time that the made-up events are spread over.
const YEAR: Duration = Duration::from_hours(365 * 24);
/// Searches of each kind.
const SEARCHES: usize = 30;

/// Measures.
pub async fn run(engine: Engine, events: usize) -> Value {
    let (checkpoint_p50, checkpoint_p99) = latency(engine).await;
    eprintln!("latency {checkpoint_p50} {checkpoint_p99} ms");
    let overhead = overhead(engine).await;
    let world = World::build(site(engine).await).await;
    let (secret, scope) = (world.owner.secret.clone(), acme(world.site.kernel()).await);
    let begun = Instant::now();
    fill(&world, scope, events).await;
    let sequenced = events as f64 / begun.elapsed().as_secs_f64();
    let (hit, miss) = (search(&world.owner, &hits()).await, search(&world.owner, &misses()).await);
    let (engine, dir, url, _) = world.site.stop().await;
    let (rate, rss) = export(&dir, &url, &secret).await;
    let _ = engine;
    json!({
        "events": events,
        "checkpoint_p50_ms": checkpoint_p50,
        "checkpoint_p99_ms": checkpoint_p99,
        "sequenced_per_s": sequenced.round(),
        "search_p50_ms": hit.0,
        "search_p95_ms": hit.1,
        "search_miss_p50_ms": miss.0,
        "search_miss_p95_ms": miss.1,
        "export_events_per_s": rate.round(),
        "export_rss_mib": rss,
        "audit_overhead_ratio": overhead.0,
        "audit_overhead_saturated_ratio": overhead.1,
    })
}

/// A server whose clock runs.
async fn site(engine: Engine) -> Site {
    let url = match engine {
        Engine::Sqlite => String::new(),
        Engine::Postgres => tests::site::fresh_postgres().await,
    };
    let dir = Arc::new(tempfile::tempdir().unwrap());
    let pool = [("database.max_connections", "16".to_owned())];
    Site::on(engine, dir, url, Clock::System, &pool).await
}

async fn acme(kernel: &Kernel) -> Uuid {
    let mut reader = kernel.db.reader().await.unwrap();
    on!(&mut reader, |c| sqlx::query_scalar("SELECT id FROM tenant WHERE slug = 'acme'").fetch_one(c))
        .unwrap()
}

/// Milliseconds from an answered change to a durable checkpoint over it: median and 99th percentile, at a steady pace.
async fn latency(engine: Engine) -> (f64, f64) {
    let world = World::build(site(engine).await).await;
    let (kernel, scope) = (Arc::clone(world.site.kernel()), acme(world.site.kernel()).await);
    let sequencer = Arc::clone(&world.site.running.sequencer);
    let stop = Arc::new(AtomicBool::new(false));
    let watcher = tokio::spawn({
        let stop = Arc::clone(&stop);
        async move {
            let (mut progress, mut seen) = (sequencer.progress(), Vec::new());
            while !stop.load(Ordering::Relaxed) {
                let _ = tokio::time::timeout(Duration::from_millis(100), progress.changed()).await;
                let head = sequencer.head(scope).await.unwrap();
                seen.push((head.signed_size, Instant::now()));
            }
            seen
        }
    });
    let calls = paced(&world, "p", LATENCY).await;
    let mut acknowledged = HashMap::new();
    for (name, _, at) in calls {
        acknowledged.insert(format!("tenants/acme/roles/{name}"), at);
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    stop.store(true, Ordering::Relaxed);
    let seen = watcher.await.unwrap();
    let mut reader = kernel.db.reader().await.unwrap();
    let query = "SELECT idx, entry FROM audit_event WHERE scope_id = $1";
    let rows: Vec<(i64, String)> =
        on!(&mut reader, |c| sqlx::query_as(query).bind(scope).fetch_all(c)).unwrap();
    // the site's stop waits for every connection
    drop(reader);
    let mut waits: Vec<_> = rows
        .iter()
        .filter_map(|(idx, entry)| {
            let entry: Value = serde_json::from_str(entry).unwrap();
            let at = acknowledged.get(entry["tgt"][0]["id"].as_str()?)?;
            let (_, signed) = seen.iter().find(|(size, _)| size > idx)?;
            Some(signed.saturating_duration_since(*at).as_secs_f64() * 1e3)
        })
        .collect();
    assert!(waits.len() * 100 >= acknowledged.len() * 99, "{} of {}", waits.len(), acknowledged.len());
    world.site.stop().await;
    percentiles(&mut waits, 50, 99)
}

/// Changes at a steady pace, whatever becomes of those before: name, begin and answer of each.
async fn paced(world: &World, prefix: &str, length: Duration) -> Vec<(String, Instant, Instant)> {
    let mut tick = tokio::time::interval(Duration::from_micros(1_000_000 / PACE));
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Burst);
    let (begun, mut calls) = (Instant::now(), Vec::new());
    while begun.elapsed() < length {
        tick.tick().await;
        let (by, name) = (world.owner.clone(), format!("{prefix}-{}", calls.len()));
        calls.push(tokio::spawn(async move {
            let asked = Instant::now();
            world::create_role(&by, &name, "x").await.unwrap();
            (name, asked, Instant::now())
        }));
    }
    let mut answered = Vec::with_capacity(calls.len());
    for call in calls {
        answered.push(call.await.unwrap());
    }
    answered
}

fn percentiles(values: &mut [f64], low: usize, high: usize) -> (f64, f64) {
    values.sort_by(f64::total_cmp);
    let at = |p: usize| (values[(values.len() - 1) * p / 100] * 100.0).round() / 100.0;
    (at(low), at(high))
}

/// p99 of an audited change over p99 of the same change with the audit insert left out, at a steady pace and with callers
/// that never rest; rounds alternate, and of each kind the median counts.
async fn overhead(engine: Engine) -> (f64, f64) {
    let world = World::build(site(engine).await).await;
    let (mut steady, mut saturated) = ([Vec::new(), Vec::new()], [Vec::new(), Vec::new()]);
    for round in 0..2 * ROUNDS + 2 {
        let stubbed = round % 2 == 1;
        world.site.kernel().stub_audit(stubbed);
        let calls = paced(&world, &format!("o{round}"), OVERHEAD).await;
        let mut waits: Vec<_> = calls.iter().map(|(_, from, to)| (*to - *from).as_secs_f64() * 1e3).collect();
        let p99 = percentiles(&mut waits, 50, 99).1;
        let restless = restless(&world, round).await;
        // the first of each warms up
        if round >= 2 {
            steady[usize::from(stubbed)].push(p99);
            saturated[usize::from(stubbed)].push(restless);
        }
    }
    world.site.kernel().stub_audit(false);
    world.site.stop().await;
    eprintln!("p99, ms, with and without the audit record: steady {steady:?}, saturated {saturated:?}");
    (ratio(steady), ratio(saturated))
}

/// p99 of four callers that never rest, milliseconds.
async fn restless(world: &World, round: usize) -> f64 {
    let next = Arc::new(AtomicU64::new(0));
    let measured = load::round(4, OVERHEAD / 2, |_| {
        let (by, next) = (world.owner.clone(), Arc::clone(&next));
        move |_| {
            let (by, n) = (by.clone(), next.fetch_add(1, Ordering::Relaxed));
            async move {
                world::create_role(&by, &format!("s{round}-{n}"), "x").await.unwrap();
            }
        }
    });
    measured.await.p99_us / 1e3
}

/// Median over median.
fn ratio([mut with, mut without]: [Vec<f64>; 2]) -> f64 {
    with.sort_by(f64::total_cmp);
    without.sort_by(f64::total_cmp);
    (with[with.len() / 2] / without[without.len() / 2] * 1_000.0).round() / 1_000.0
}

/// Puts made-up events into the outbox and lets the sequencer have them, over the past year.
async fn fill(world: &World, scope: Uuid, events: usize) {
    let kernel = world.site.kernel();
    let step = YEAR / u32::try_from(events).unwrap();
    let start = kernel.clock.now().minus(YEAR);
    let mut done = 0;
    while done < events {
        let until = (done + FILL).min(events);
        while done < until {
            let rows: Vec<_> =
                (done..(done + ROWS).min(until)).map(|n| made_up(kernel, start, step, n)).collect();
            done += rows.len();
            let mut tx = kernel.db.begin_derived();
            for (rows, values) in bulk(kernel.db.engine(), &rows, 3) {
                let sql = format!("INSERT INTO audit_pending (scope_id, id, entry) VALUES {values}");
                execute!(&mut tx, {
                    let mut statement = sqlx::query(AssertSqlSafe(sql.clone()));
                    for (id, entry) in rows {
                        statement = statement.bind(scope).bind(id).bind(entry);
                    }
                    statement
                })
                .unwrap();
            }
            tx.finish().await.unwrap();
        }
        world.site.running.sequencer.catch_up(scope).await.unwrap();
    }
    world.site.running.sequencer.indexed(scope).await.unwrap();
}

fn made_up(kernel: &Kernel, start: Time, step: Duration, n: usize) -> (Uuid, String) {
    let time = start.plus(step * u32::try_from(n).unwrap());
    let id = kernel.ids.new_id(time);
    // a fixed scatter, so that every run has the same events
    let mix = (n as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(23);
    let mix = usize::try_from(mix >> 8).unwrap();
    let (actor, action, target) = (mix % ACTORS, ACTIONS[mix / 7 % ACTIONS.len()], mix / 11 % TARGETS);
    let outcome = if mix.is_multiple_of(50) { "denied" } else { "ok" };
    let kind = action.split('.').next().unwrap();
    let entry = format!(
        "{{\"act\":\"{action}\",\"actor\":{{\"id\":\"{}\",\"k\":\"user\",\"p\":\"tenants/acme/principals/p-{actor}\"}},\
         \"chg\":[{{\"f\":\"/display_name\",\"n\":\"Thing number {target}\",\"o\":null}}],\"cls\":\"admin_write\",\"id\":\"{id}\",\
         \"log\":\"tenants/acme\",\"out\":\"{outcome}\",\"pol\":\"0123456789abcdef\",\"req\":\"{}\",\"t\":\"{time}\",\
         \"tgt\":[{{\"id\":\"tenants/acme/{kind}s/t-{target}\",\"k\":\"{kind}\"}}],\"trace\":\"\",\"v\":1}}",
        Uuid::from_u128(actor as u128),
        Uuid::from_u128(n as u128),
    );
    (id, entry)
}

/// Filters that find something.
fn hits() -> Vec<String> {
    let mut filters = Vec::new();
    for n in 0..SEARCHES {
        let (actor, target) = (n * 7 % ACTORS, n * 631 % TARGETS);
        let day = 1 + n % 27;
        filters.extend([
            String::new(),
            format!("actor = \"tenants/acme/principals/p-{actor}\""),
            format!("action = \"{}\"", ACTIONS[n % ACTIONS.len()]),
            "outcome = \"denied\"".to_owned(),
            format!("action = \"role.*\" AND actor = \"tenants/acme/principals/p-{actor}\""),
            format!("outcome = \"denied\" AND action = \"{}\"", ACTIONS[n % ACTIONS.len()]),
            format!("text(\"number {target}\")"),
            format!("time >= \"2026-03-{day:02}T00:00:00Z\" AND time < \"2026-03-{:02}T00:00:00Z\"", day + 1),
            format!(
                "NOT action = \"{}\" AND actor = \"tenants/acme/principals/p-{actor}\"",
                ACTIONS[n % ACTIONS.len()]
            ),
            format!("request_id = \"{}\"", Uuid::from_u128((n * 331) as u128)),
        ]);
    }
    filters
}

/// Filters that find nothing.
fn misses() -> Vec<String> {
    let mut filters = Vec::new();
    for n in 0..SEARCHES {
        filters.extend([
            format!("actor = \"tenants/acme/principals/nobody-{n}\""),
            format!("text(\"nothing{n}\")"),
            format!(
                "actor = \"tenants/acme/principals/p-{n}\" AND actor = \"tenants/acme/principals/p-{}\"",
                n + 1
            ),
            format!("action = \"role.create\" AND action = \"{}\"", ACTIONS[1 + n % (ACTIONS.len() - 1)]),
            "outcome = \"failed\"".to_owned(),
            "time < \"2020-01-01T00:00:00Z\" AND outcome = \"ok\"".to_owned(),
            format!("request_id = \"{}\"", Uuid::from_u128(u128::MAX - n as u128)),
        ]);
    }
    filters
}

/// Milliseconds of a first page: median and 95th percentile.
async fn search(by: &Caller, filters: &[String]) -> (f64, f64) {
    let mut client = AuditServiceClient::new(by.channel.clone());
    let mut times = Vec::new();
    for filter in filters {
        let request =
            ListAuditEventsRequest { parent: ACME.to_owned(), filter: filter.clone(), ..Default::default() };
        let begun = Instant::now();
        client.list_audit_events(by.ask(request)).await.unwrap();
        times.push(begun.elapsed().as_secs_f64() * 1e3);
    }
    percentiles(&mut times, 50, 95)
}

/// Events a second of an NDJSON export from a process of its own, and how much its memory grew at the most, MiB.
async fn export(dir: &tempfile::TempDir, url: &str, secret: &str) -> (f64, f64) {
    let daemon = Daemon::start(dir.path(), &[("PROVOST__DATABASE__URL", url)]);
    let channel = Channel::from_shared(daemon.url.clone()).unwrap().connect().await.unwrap();
    let by = Caller { channel: channel.clone(), secret: secret.to_owned() };
    let idle = daemon.resident_kib();
    let request = ExportAuditEventsRequest {
        parent: ACME.to_owned(),
        format: ExportFormat::Ndjson.into(),
        ..Default::default()
    };
    let begun = Instant::now();
    let mut chunks =
        AuditServiceClient::new(channel).export_audit_events(by.ask(request)).await.unwrap().into_inner();
    let (mut most, mut count, mut seen) = (idle, 0, Instant::now());
    while let Some(chunk) = chunks.message().await.unwrap() {
        if seen.elapsed() > Duration::from_millis(20) {
            (most, seen) = (most.max(daemon.resident_kib()), Instant::now());
        }
        if let Some(manifest) = chunk.manifest {
            count = manifest.count;
        }
    }
    let rate = count as f64 / begun.elapsed().as_secs_f64();
    (rate, ((most - idle) as f64 / 102.4).round() / 10.0)
}
