//! Finding among very many: the search index, its merges, erasure and pruning in it.

use std::time::Duration;

use kernel::{db::bulk, execute};
use sqlx::AssertSqlSafe;
use tests::{World, both_engines, raw, world};
use uuid::Uuid;

use super::{events, sequencer::acme};

/// A little more than what the index merges into one.
const EVENTS: u64 = 66_000;

/// Puts so many made-up acts into the outbox, one a second, and has them sequenced and indexed.
pub async fn fill(world: &World, scope: Uuid, events: u64) {
    let kernel = world.site.kernel();
    let start = kernel.clock.now().minus(Duration::from_secs(events));
    for chunk in 0..events / 500 {
        let rows: Vec<(Uuid, String)> = (chunk * 500..(chunk + 1) * 500).map(|n| {
            let time = start.plus(Duration::from_secs(n));
            let id = kernel.ids.new_id(time);
            let (actor, action) = (n % 7, if n % 3 == 0 { "unit.create" } else { "group.create" });
            let entry = format!(
                "{{\"act\":\"{action}\",\"actor\":{{\"id\":\"{}\",\"k\":\"user\",\"p\":\"tenants/acme/principals/p-{actor}\"}},\"chg\":[],\
                 \"cls\":\"admin_write\",\"id\":\"{id}\",\"log\":\"tenants/acme\",\"out\":\"ok\",\"pol\":\"0\",\"req\":\"r-{n}\",\"t\":\"{time}\",\
                 \"tgt\":[{{\"id\":\"tenants/acme/units/u-{n}\",\"k\":\"unit\"}}],\"trace\":\"\",\"v\":1}}",
                Uuid::from_u128(u128::from(actor)),
            );
            (id, entry)
        }).collect();
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
    world.site.running.sequencer.indexed(scope).await.unwrap();
}

async fn count(world: &World, filter: &str) -> usize {
    events(&world.owner, world::ACME, filter).await.len()
}

both_engines! {
    async fn among_very_many_exactly_what_matches_is_found(site: Site) {
        let world = World::build(site).await;
        let leaver = proto::principal::v1::Principal {
            kind: proto::principal::v1::PrincipalKind::User.into(),
            display_name: "Zebedee Quux".to_owned(),
            ..Default::default()
        };
        world::principal(&world.owner, world::ACME, "zq", leaver).await.unwrap();
        world::create_role(&world.owner, "desk", "Quux desk").await.unwrap();
        let scope = acme(world.site.kernel()).await;
        fill(&world, scope, EVENTS).await;
        // whoever comes to segments that another process has indexed leaves them as they are
        let size = i64::try_from(EVENTS).unwrap();
        let segments = audit::event::index::index_segments(world.site.kernel(), scope, 0, size).await.unwrap();
        assert_eq!(segments, size / audit::sequencer::SEGMENT);
        assert_eq!(count(&world, "target = \"tenants/acme/units/u-123\"").await, 1);
        assert_eq!(count(&world, "request_id = \"r-65000\"").await, 1);
        assert_eq!(count(&world, "actor = \"tenants/acme/principals/p-9\"").await, 0);
        assert_eq!(count(&world, "action = unit.create AND action = group.create").await, 0);
        let seldom = "target = \"tenants/acme/units/u-300\" OR target = \"tenants/acme/units/u-301\"";
        assert_eq!(count(&world, seldom).await, 2);
        assert_eq!(count(&world, &format!("NOT action = group.create AND ({seldom})")).await, 1);
        assert_eq!(count(&world, "text(\"quux\")").await, 2);
        // the person leaves: what was found by the name is found by it no more
        let name = serde_json::json!({"name": "tenants/acme/principals/zq"});
        raw::json(&world.owner, "provost.principal.v1.PrincipalService/DeletePrincipal", name).await.unwrap();
        let erase = serde_json::json!({"principal": "tenants/acme/principals/zq", "reason": "asked for"});
        raw::json(&world.owner, "provost.retention.v1.RetentionService/EraseSubject", erase).await.unwrap();
        let found = events(&world.owner, world::ACME, "text(\"quux\")").await;
        assert_eq!(found.iter().map(|e| e.action.as_str()).collect::<Vec<_>>(), ["role.create"], "it is the role's word too");
        assert_eq!(count(&world, "target = \"tenants/acme/principals/zq\" AND action = principal.create").await, 1);
        // years later everything is old enough to go; the index goes with it
        world.site.advance(Duration::from_hours(24 * 2_600));
        let minimum = audit::retention::prune(world.site.kernel(), scope).await.unwrap();
        assert!(minimum > 60_000, "{minimum}");
    }
}
