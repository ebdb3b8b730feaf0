//! A full disk: no change without its record, no hang, reads stay up, and everything goes on once there is room.

use std::fs::File;

use kernel::db::Conn;
use tests::{Engine, Site, World, raw, world};
use tonic::Code;

use crate::errors::reason;

/// MiB that the data directory may take.
const QUOTA: u64 = 100;

async fn small(engine: Engine) -> World {
    World::build(Site::start_with(engine, &[("audit.storage_quota_mib", QUOTA.to_string())]).await).await
}

/// Makes the data directory look this full.
fn fill(world: &World, percent: u64) {
    let ballast = world.site.dir.path().join("ballast");
    let used = |path: &std::path::Path| {
        let files = std::fs::read_dir(path).unwrap().map(|f| f.unwrap());
        files.filter(|f| f.path() != ballast).map(|f| f.metadata().unwrap().len()).sum::<u64>()
    };
    let wanted = (QUOTA << 20) * percent / 100 + 4096;
    File::create(&ballast).unwrap().set_len(wanted.saturating_sub(used(world.site.dir.path()))).unwrap();
    world.site.kernel().storage.measure();
}

async fn nearly_full(engine: Engine) {
    let world = small(engine).await;
    let tenant = |id: &'static str| {
        let by = world.consultant.clone();
        async move { world::tenant(&by, id, world::NORTHWIND).await }
    };
    fill(&world, 85);
    tenant("at-85").await.unwrap();
    fill(&world, 91);
    let refused = tenant("at-91").await.unwrap_err();
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::ResourceExhausted, "AUDIT_STORAGE_FULL"));
    assert!(refused.message().contains("storage_quota_mib"), "{}", refused.message());
    world::create_role(&world.owner, "at-91", "x").await.unwrap();
    fill(&world, 96);
    let refused = world::create_role(&world.owner, "at-96", "x").await.unwrap_err();
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::ResourceExhausted, "AUDIT_STORAGE_FULL"));
    // reads stay up, denials are still recorded, rights can still be taken away
    let get = serde_json::json!({"name": "tenants/acme/roles/at-91"});
    raw::json(&world.owner, "provost.role.v1.RoleService/GetRole", get).await.unwrap();
    let denied = world::create_role(&world.holders["finance"], "x", "x").await.unwrap_err();
    assert_eq!(denied.code(), Code::PermissionDenied);
    assert!(!crate::audit::events(&world.owner, world::ACME, "outcome = \"denied\"").await.is_empty());
    let suspend = serde_json::json!({"name": "tenants/acme/principals/finance"});
    raw::json(&world.owner, "provost.principal.v1.PrincipalService/SuspendPrincipal", suspend).await.unwrap();
    fill(&world, 10);
    world::create_role(&world.owner, "at-96", "x").await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_stop_before_the_disk_is_full_and_go_on_with_room_on_sqlite() {
    nearly_full(Engine::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_stop_before_the_disk_is_full_and_go_on_with_room_on_postgres() {
    nearly_full(Engine::Postgres).await;
}

/// The database itself has no page left: the change is refused whole, and the log has no trace of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_can_not_grow_refuses_the_change_whole() {
    let world = World::build(Site::start(Engine::Sqlite).await).await;
    let kernel = world.site.kernel();
    let limit = async |pages: &'static str| {
        let mut tx = kernel.db.begin_derived();
        let Conn::Sqlite(c) = kernel::db::Executor::conn(&mut tx).await.unwrap() else {
            panic!("not SQLite")
        };
        sqlx::query(pages).execute(c).await.unwrap();
        tx.finish().await.unwrap();
    };
    limit("PRAGMA max_page_count = 1").await;
    let (mut made, mut refused) = (Vec::new(), Vec::new());
    for n in 0..400 {
        let id = format!("r-{n}");
        match world::create_role(&world.owner, &id, &"x".repeat(100)).await {
            Ok(role) => made.push(role.name),
            Err(status) => {
                assert_eq!(
                    (status.code(), reason(&status).as_str()),
                    (Code::ResourceExhausted, "AUDIT_STORAGE_FULL")
                );
                refused.push(id);
                if refused.len() == 3 {
                    break;
                }
            }
        }
    }
    assert_eq!(refused.len(), 3, "{} were made", made.len());
    let get = serde_json::json!({"name": "tenants/acme/roles/nobody"});
    let read = raw::json(&world.owner, "provost.role.v1.RoleService/GetRole", get).await.unwrap_err();
    assert_eq!(read.code(), Code::NotFound, "reads stay up");
    limit("PRAGMA max_page_count = 1073741823").await;
    for id in &refused {
        made.push(world::create_role(&world.owner, id, "x").await.unwrap().name);
    }
    let mut recorded: Vec<_> = crate::audit::events(&world.owner, world::ACME, "action = \"role.create\"")
        .await
        .into_iter()
        .flat_map(|e| e.targets)
        .collect();
    recorded.sort();
    made.sort();
    assert_eq!(recorded, made);
}
