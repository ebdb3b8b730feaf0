//! A year of many people, always the same one, and what it costs to ask who was active.
//!
//! People come in over the first nine months, are active in most weeks from then on, and use their role's plugin. What the server
//! answers about every week is held against what was sent; a difference stops the bench.

use std::{
    collections::{BTreeMap, HashSet},
    time::{Duration, Instant},
};

use kernel::clock::{Clock, Time};
use proto::{
    duty::v1::Duty,
    entitlement::v1::{self as entitlement, Effect, entitlement_service_client::EntitlementServiceClient},
    role::v1::{self as role, RoleFamily, role_service_client::RoleServiceClient},
    token::v1::TokenKind,
    usage::v1::{
        AdoptionDimension, Dim, EventOutcome, IngestRequest, QueryAdoptionRequest, QueryAdoptionResponse,
        UsageEvent, usage_service_client::UsageServiceClient,
    },
};
use serde_json::{Value, json};
use tests::{
    Engine, market,
    process::{self, Daemon},
    site::Caller,
    staff, world,
};

const WEEKS: i64 = 52;
const WEEK: i64 = 7 * 86_400_000_000;
const UNITS: u64 = 20;
const BATCH: usize = 1_000;
/// Callers that create people at a time.
const CALLERS: u64 = 32;
/// Roles, the plugin of each, and how many of ten people hold it.
const ROLES: [(&str, RoleFamily, &str, u64); 4] = [
    ("developer", RoleFamily::Developer, "build", 3),
    ("data-scientist", RoleFamily::Developer, "data", 1),
    ("banker", RoleFamily::NonDeveloper, "pitch", 4),
    ("sales", RoleFamily::NonDeveloper, "sales", 2),
];

/// Numbers that look random and are the same in every run.
fn dice(seed: u64, turn: u64) -> u64 {
    let mut x = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ turn.wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// Position in [`ROLES`].
fn role_of(who: u64) -> usize {
    let mut turn = who % 10;
    ROLES
        .iter()
        .position(|role| {
            if turn < role.3 {
                true
            } else {
                turn -= role.3;
                false
            }
        })
        .unwrap()
}

/// The events of a person in a week, the last of which is 0: when in it, in microseconds.
fn active(who: u64, back: i64) -> impl Iterator<Item = i64> {
    let week = u64::try_from(WEEKS - 1 - back).unwrap();
    let here = week >= dice(who, 1_000) % 40 && dice(who, week) % 10 < 7;
    let count = if here { 1 + dice(who, 2_000 + week) % 3 } else { 0 };
    (0..count).map(move |n| i64::try_from(dice(who, 3_000 + week * 8 + n) % (WEEK as u64)).unwrap())
}

/// Measures with so many people.
pub async fn run(engine: Engine, people: u64) -> Value {
    let dir = tempfile::tempdir().unwrap();
    let url = match engine {
        Engine::Sqlite => String::new(),
        Engine::Postgres => tests::site::fresh_postgres().await,
    };
    let env = [
        ("PROVOST__DATABASE__URL", url.as_str()),
        ("PROVOST__USAGE__ACCEPT_PAST_DAYS", "380"),
        ("RUST_LOG", "warn"),
    ];
    let daemon = Daemon::start(dir.path(), &env);
    let owner = house(&daemon).await;
    create(&owner, people).await;

    // the present week has begun before the last of its events
    let monday = monday(Clock::System.now());
    let begun = Instant::now();
    let (sent, counted) = send(&owner, people, monday).await;
    rolled_up(&owner).await;
    let ingested = begun.elapsed();

    let mut figures = BTreeMap::from([
        ("people".to_owned(), json!(people)),
        ("events".to_owned(), json!(sent)),
        ("ingest_and_rollup_s".to_owned(), json!(ingested.as_secs())),
        ("rss_mib".to_owned(), json!(daemon.peak_resident_kib() / 1024)),
    ]);
    for by in [
        AdoptionDimension::RoleFamily,
        AdoptionDimension::Role,
        AdoptionDimension::Unit,
        AdoptionDimension::Plugin,
    ] {
        let asked = Instant::now();
        let answer = ask(&owner, by).await;
        let name = format!(
            "query_by_{}_ms",
            by.as_str_name().trim_start_matches("ADOPTION_DIMENSION_").to_lowercase()
        );
        figures.insert(name, json!(asked.elapsed().as_millis()));
        check(&answer, &counted, monday);
    }
    let asked = Instant::now();
    println!("{}", shown(&daemon, &owner));
    figures.insert("command_ms".to_owned(), json!(asked.elapsed().as_millis()));
    serde_json::to_value(figures).unwrap()
}

/// The Monday of UTC before the present one: all weeks are over.
fn monday(now: Time) -> i64 {
    // 1970-01-01 was a Thursday
    (now.micros() + 3 * WEEK / 7).div_euclid(WEEK) * WEEK - 3 * WEEK / 7 - WEEK
}

/// A client with roles that may use a plugin each; returns its owner.
async fn house(daemon: &Daemon) -> Caller {
    let admin = daemon.admin().await;
    world::partner(&admin, "northwind").await;
    world::tenant(&admin, "acme", "partners/northwind").await.unwrap();
    world::user(&admin, world::ACME, "owner").await;
    world::grant(&admin, world::ACME, "owner", Duty::Owner).await.unwrap();
    market::import(&admin, &market::small(&ROLES.map(|role| role.2))).await.unwrap();
    let secret = world::live_token(&admin, world::ACME, "owner", TokenKind::Personal).await;
    let owner = Caller { channel: admin.channel.clone(), secret };
    for unit in 0..UNITS {
        staff::unit(&owner, &format!("unit-{unit}")).await;
    }
    for (id, family, plugin, _) in ROLES {
        let new = role::Role { display_name: id.to_owned(), family: family.into(), ..Default::default() };
        let request = role::CreateRoleRequest {
            parent: world::ACME.to_owned(),
            role_id: id.to_owned(),
            role: Some(new),
            ..Default::default()
        };
        RoleServiceClient::new(owner.channel.clone()).create_role(owner.ask(request)).await.unwrap();
        let rule = entitlement::Entitlement {
            role: world::child(world::ACME, "roles", id),
            target: format!("marketplaces/vendor/plugins/{plugin}"),
            effect: Effect::Available.into(),
            max_stage: proto::catalog::v1::Stage::Live.into(),
            reason: "bench".to_owned(),
            ..Default::default()
        };
        let request = entitlement::CreateEntitlementRequest {
            parent: world::ACME.to_owned(),
            entitlement_id: id.to_owned(),
            entitlement: Some(rule),
            ..Default::default()
        };
        EntitlementServiceClient::new(owner.channel.clone())
            .create_entitlement(owner.ask(request))
            .await
            .unwrap();
    }
    owner
}

async fn create(owner: &Caller, people: u64) {
    let tasks = (0..CALLERS).map(|caller| {
        let owner = owner.clone();
        tokio::spawn(async move {
            for who in (caller..people).step_by(usize::try_from(CALLERS).unwrap()) {
                staff::user(&owner, &format!("p-{who}"), &format!("unit-{}", who % UNITS)).await;
                staff::give(&owner, ROLES[role_of(who)].0, &format!("principals/p-{who}")).await;
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
}

/// Who is active in each family and week, by its start.
type Counted = BTreeMap<(i32, i64), HashSet<u64>>;

/// Sends the year that ends with the week of `monday`; returns how many events there were, and who was active when.
async fn send(owner: &Caller, people: u64, monday: i64) -> (u64, Counted) {
    let secret = world::live_token(owner, world::ACME, "", TokenKind::Ingest).await;
    let by = Caller { channel: owner.channel.clone(), secret };
    let (mut sent, mut counted) = (0, Counted::new());
    for back in (0..WEEKS).rev() {
        let start = monday - back * WEEK;
        let mut events = Vec::new();
        for who in 0..people {
            let (_, family, plugin, _) = ROLES[role_of(who)];
            for (n, at) in active(who, back).enumerate() {
                counted.entry((family.into(), start)).or_default().insert(who);
                events.push(UsageEvent {
                    id: format!("{back}-{who}-{n}"),
                    source: "bench".to_owned(),
                    r#type: "bench.use".to_owned(),
                    subject: format!("p-{who}"),
                    client: if who.is_multiple_of(2) { "codex" } else { "claude-code" }.to_owned(),
                    time: Some(Time::from_micros(start + at).into()),
                    dims: vec![Dim { key: "plugin".to_owned(), value: plugin.to_owned() }],
                    ..Default::default()
                });
            }
        }
        sent += events.len() as u64;
        batches(&by, &events).await;
    }
    (sent, counted)
}

async fn batches(by: &Caller, events: &[UsageEvent]) {
    let requests =
        events.chunks(BATCH).map(|part| IngestRequest { batch_id: String::new(), events: part.to_vec() });
    let stream = by.ask(tokio_stream::iter(requests.collect::<Vec<_>>()));
    let mut client = UsageServiceClient::new(by.channel.clone()).max_decoding_message_size(64 << 20);
    let mut answers = client.ingest(stream).await.unwrap().into_inner();
    while let Some(answer) = answers.message().await.unwrap() {
        assert!(
            answer.statuses.iter().all(|status| status.outcome() == EventOutcome::Accepted),
            "{answer:?}"
        );
    }
}

async fn ask(owner: &Caller, by: AdoptionDimension) -> QueryAdoptionResponse {
    let request = QueryAdoptionRequest {
        parent: world::ACME.to_owned(),
        periods: i32::try_from(WEEKS).unwrap(),
        group_by: by.into(),
        ..Default::default()
    };
    let mut client = UsageServiceClient::new(owner.channel.clone()).max_decoding_message_size(64 << 20);
    client.query_adoption(owner.ask(request)).await.unwrap().into_inner()
}

/// Waits until a question reads no event one by one.
async fn rolled_up(owner: &Caller) {
    while ask(owner, AdoptionDimension::Unspecified).await.tail_events > 0 {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Every week of the answer has exactly those who were active.
fn check(answer: &QueryAdoptionResponse, counted: &Counted, monday: i64) {
    let start =
        |row: &proto::usage::v1::AdoptionRow| Time::try_from(row.start_time.unwrap()).unwrap().micros();
    let of = |family: i32, start: i64| {
        i64::try_from(counted.get(&(family, start)).map_or(0, HashSet::len)).unwrap()
    };
    let families = [RoleFamily::Developer, RoleFamily::NonDeveloper].map(i32::from);
    for row in answer.totals.iter().filter(|row| start(row) <= monday) {
        let all: i64 = families.iter().map(|family| of(*family, start(row))).sum();
        assert_eq!(row.active_principals, all, "{row:?}");
    }
    for row in answer.rows.iter().filter(|row| families.contains(&row.role_family)) {
        assert_eq!(row.active_principals, of(row.role_family, start(row)), "{row:?}");
    }
}

/// What the command prints.
fn shown(daemon: &Daemon, owner: &Caller) -> String {
    let mut command = process::command("provost");
    command.env("PROVOST_ADDRESS", &daemon.url).env("PROVOST_TOKEN", &owner.secret);
    command.args([
        "usage",
        "adoption",
        "--tenant",
        "acme",
        "--window",
        "week",
        "--by",
        "role-family",
        "--periods",
        "52",
    ]);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
