//! Decisions over gRPC, by a tenant in the database.

use std::time::{Duration, Instant};

use kernel::db::{Executor as _, bulk};
use proto::{
    decision::v1::{CheckRequest, decision_service_client::DecisionServiceClient},
    entitlement::v1::{
        self as entitlement, Effect, Entitlement, entitlement_service_client::EntitlementServiceClient,
    },
};
use serde_json::{Map, Value, json};
use sqlx::AssertSqlSafe;
use tests::{Engine, Site, World, market, site::Caller};
use uuid::Uuid;

use decision::sample::Dice;

use crate::{
    floor::{CONNECTIONS, Floor, IN_FLIGHT, channels},
    load::{self, Plan},
};

const PLUGINS: u32 = 1_000;
const PRINCIPALS: u32 = 10_000;
/// Changes that are waited for on another server.
const CHANGES: usize = 100;

/// Measures.
pub async fn run(engine: Engine, plan: Plan, rules: u32) -> Map<String, Value> {
    let quiet = [("decision.shadow_one_in", "1000".to_owned())];
    let world = World::build(Site::start_with(engine, &quiet).await).await;
    stock(&world, rules).await;
    let loading = Instant::now();
    assert!(allowed(&world.owner, "p0", 0).await.is_some());
    let loaded = loading.elapsed();
    let (subject, floor) = rounds(&world, plan).await;
    let mut figures = Map::new();
    figures.insert("load_ms".to_owned(), json!((loaded.as_secs_f64() * 1e3).round()));
    let Value::Object(measured) = load::figures(subject, floor) else { return figures };
    for (from, to) in [
        ("rps", "check_rps"),
        ("p50_us", "check_p50_us"),
        ("p99_us", "check_p99_us"),
        ("ratio", "check_ratio"),
        ("floor_rps", "echo_rps"),
        ("floor_spread_percent", "echo_spread_percent"),
    ] {
        figures.insert(to.to_owned(), measured[from].clone());
    }
    if engine == Engine::Postgres {
        figures.extend(visible(&world).await);
    }
    figures
}

/// Asks whether a principal may use a plugin; none when something is unknown.
async fn allowed(by: &Caller, who: &str, plugin: u32) -> Option<bool> {
    let request = question(who, plugin);
    let decision = DecisionServiceClient::new(by.channel.clone()).check(by.ask(request)).await.unwrap();
    let decision = decision.into_inner();
    (!decision.reason().as_str_name().contains("UN")).then_some(decision.allowed)
}

fn question(who: &str, plugin: u32) -> CheckRequest {
    CheckRequest {
        principal: format!("tenants/acme/principals/{who}"),
        plugin: format!("marketplaces/vendor/plugins/k{plugin}"),
        revision_token: String::new(),
    }
}

async fn rounds(world: &World, plan: Plan) -> (Vec<load::Round>, Vec<load::Round>) {
    let channels = channels(&world.site.running.url()).await;
    let (floor, length) = (Floor::start().await, Duration::from_secs(plan.seconds));
    let (mut subject, mut floors) = (Vec::new(), Vec::new());
    for round in 0..=plan.rounds {
        let length = if round == 0 { Duration::from_millis(500) } else { length };
        let measured = load::round(IN_FLIGHT, length, |n| {
            let by =
                Caller { channel: channels[n % CONNECTIONS].clone(), secret: world.owner.secret.clone() };
            let client = DecisionServiceClient::new(by.channel.clone());
            let mut dice = Dice::new(n as u64);
            move |_| {
                let who = format!("p{}", dice.roll(PRINCIPALS));
                let request = by.ask(question(&who, dice.roll(PLUGINS)));
                let mut client = client.clone();
                async move {
                    client.check(request).await.unwrap();
                }
            }
        })
        .await;
        let beside = floor.round(length).await;
        // the first, short round warms up
        if round > 0 {
            subject.push(measured);
            floors.push(beside);
        }
    }
    (subject, floors)
}

/// From the answer to a change until another server of the same database decides by it.
async fn visible(world: &World) -> Map<String, Value> {
    let dir = std::sync::Arc::new(tempfile::tempdir().unwrap());
    let site = &world.site;
    std::fs::copy(site.dir.path().join("audit.key"), dir.path().join("audit.key")).unwrap();
    let clock = site.kernel().clock.clone();
    let second = Site::on(Engine::Postgres, dir, site.database_url.clone(), clock, &[]).await;
    let there = second.caller(&world.owner.secret);
    allowed(&there, "p0", 0).await.unwrap();
    let mut rules = EntitlementServiceClient::new(world.owner.channel.clone());
    let mut waits = Vec::new();
    for n in 0..CHANGES {
        let was = allowed(&there, "p0", 0).await;
        let id = format!("visible-{n}");
        let rule = Entitlement {
            role: "*".to_owned(),
            target: "marketplaces/vendor/plugins/k0".to_owned(),
            effect: if was == Some(true) { Effect::Denied } else { Effect::Required }.into(),
            ..Default::default()
        };
        let request = entitlement::CreateEntitlementRequest {
            parent: "tenants/acme".to_owned(),
            entitlement_id: id.clone(),
            entitlement: Some(rule),
            ..Default::default()
        };
        rules.create_entitlement(world.owner.ask(request)).await.unwrap();
        let changed = Instant::now();
        while allowed(&there, "p0", 0).await == was {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        waits.push(changed.elapsed());
        if was == Some(true) {
            let request = entitlement::DeleteEntitlementRequest {
                name: format!("tenants/acme/entitlements/{id}"),
                ..Default::default()
            };
            rules.delete_entitlement(world.owner.ask(request)).await.unwrap();
            while allowed(&there, "p0", 0).await != was {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
    }
    second.stop().await;
    waits.sort_unstable();
    let millis = |at: usize| json!((waits[at].as_secs_f64() * 1e3).round());
    [("visible_p50_ms", millis(CHANGES / 2)), ("visible_p99_ms", millis(CHANGES * 99 / 100))]
        .map(|(name, value)| (name.to_owned(), value))
        .into_iter()
        .collect()
}

/// Puts a tenant of that many rules into the tables: a hundred a role, three roles a principal.
async fn stock(world: &World, rules: u32) {
    let names: Vec<_> = (0..PLUGINS).map(|n| format!("k{n}")).collect();
    market::import(&world.admin, &market::small(&names.iter().map(String::as_str).collect::<Vec<_>>()))
        .await
        .unwrap();
    let kernel = world.site.kernel();
    let mut db = kernel.db.reader().await.unwrap();
    let tenant: Uuid =
        kernel::on!(&mut db, |c| sqlx::query_scalar("SELECT id FROM tenant WHERE slug = 'acme'")
            .fetch_one(c))
        .unwrap();
    let plugins: Vec<(Uuid, Uuid, String)> =
        kernel::on!(&mut db, |c| sqlx::query_as("SELECT marketplace_id, id, slug FROM plugin").fetch_all(c))
            .unwrap();
    drop(db);
    let id = |kind: u128, at: u32| Uuid::from_u128(kind << 64 | u128::from(at));
    let (mut dice, roles) = (Dice::new(11), rules.div_ceil(100).max(10));
    let mut tx = kernel.db.begin_derived();
    for (rows, values) in bulk(tx.engine(), &(0..PRINCIPALS).collect::<Vec<_>>(), 9) {
        let query = format!(
            "INSERT INTO principal (scope_id, id, scope_kind, slug, kind, display_name, email, state, revision, create_time, update_time) \
             SELECT v.*, 1, 1 FROM (VALUES {values}) v"
        );
        let query = query.replace("SELECT v.*, 1, 1", "SELECT v.*, CAST(1 AS BIGINT), CAST(1 AS BIGINT)");
        kernel::execute!(&mut tx, {
            let mut statement = sqlx::query(AssertSqlSafe(query.clone()));
            for at in rows {
                let slug = format!("p{at}");
                statement =
                    statement.bind(tenant).bind(id(1, *at)).bind("tenant").bind(slug.clone()).bind("user");
                statement = statement.bind(slug).bind("").bind("active").bind(1_i64);
            }
            statement
        })
        .unwrap();
    }
    for (rows, values) in bulk(tx.engine(), &(0..roles).collect::<Vec<_>>(), 8) {
        let query = format!(
            "INSERT INTO role (tenant_id, id, slug, display_name, description, revision, create_time, update_time) VALUES {values}"
        );
        kernel::execute!(&mut tx, {
            let mut statement = sqlx::query(AssertSqlSafe(query.clone()));
            for at in rows {
                let slug = format!("r{at}");
                statement = statement.bind(tenant).bind(id(2, *at)).bind(slug.clone()).bind(slug).bind("");
                statement = statement.bind(1_i64).bind(1_i64).bind(1_i64);
            }
            statement
        })
        .unwrap();
    }
    let held: Vec<_> = (0..PRINCIPALS)
        .flat_map(|p| {
            let first = dice.roll(roles);
            (0..3).map(move |n| (p, (first + n * 3) % roles))
        })
        .collect();
    for (rows, values) in bulk(tx.engine(), &held, 6) {
        let query = format!(
            "INSERT INTO role_member (tenant_id, role_id, member_kind, member_id, id, create_time) VALUES {values}"
        );
        kernel::execute!(&mut tx, {
            let mut statement = sqlx::query(AssertSqlSafe(query.clone()));
            for (who, role) in rows {
                statement = statement.bind(tenant).bind(id(2, *role)).bind("principal").bind(id(1, *who));
                statement = statement.bind(id(4, *who << 12 | *role)).bind(1_i64);
            }
            statement
        })
        .unwrap();
    }
    let written: Vec<_> =
        (0..rules).map(|at| (at, dice.roll(roles), dice.roll(PLUGINS), dice.once_in(10))).collect();
    for (rows, values) in bulk(tx.engine(), &written, 12) {
        let query = format!(
            "INSERT INTO entitlement (tenant_id, id, slug, role_id, marketplace_id, plugin_id, target, effect, max_stage, \
             reason, revision, create_time) VALUES {values}"
        );
        kernel::execute!(&mut tx, {
            let mut statement = sqlx::query(AssertSqlSafe(query.clone()));
            for (at, role, plugin, denied) in rows {
                let (marketplace, plugin, slug) = &plugins[*plugin as usize];
                let effect = if *denied { "denied" } else { "available" };
                statement = statement.bind(tenant).bind(id(3, *at)).bind(format!("e{at}")).bind(id(2, *role));
                statement = statement.bind(*marketplace).bind(*plugin);
                statement =
                    statement.bind(format!("marketplaces/vendor/plugins/{slug}")).bind(effect).bind("live");
                statement = statement.bind("").bind(1_i64).bind(1_i64);
            }
            statement
        })
        .unwrap();
    }
    tx.finish().await.unwrap();
}
