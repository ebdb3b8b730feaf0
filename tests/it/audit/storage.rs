//! Storage that runs full: no change without its record, no hang, reads stay up, and everything goes on once there is room.

use std::{fs::File, path::Path};

use kernel::db::Conn;
use proto::audit::v1::{self as pb, audit_service_client::AuditServiceClient};
use tests::{
    Engine, Site, World, postgres,
    process::Daemon,
    raw,
    site::{self, Caller},
    world,
};
use tonic::{Code, Status};

use crate::errors::reason;

/// MiB that the data directory or the database may take.
const QUOTA: u64 = 100;

/// Makes what is measured this full: the data directory with SQLite, the database with PostgreSQL.
async fn fill(engine: Engine, dir: &Path, url: &str, percent: u64) {
    let wanted = (QUOTA << 20) * percent / 100 + 4096;
    if engine == Engine::Sqlite {
        let ballast = dir.join("ballast");
        let files = std::fs::read_dir(dir).unwrap().map(|file| file.unwrap());
        let used: u64 =
            files.filter(|file| file.path() != ballast).map(|file| file.metadata().unwrap().len()).sum();
        File::create(&ballast).unwrap().set_len(wanted.saturating_sub(used)).unwrap();
        return;
    }
    let url = url.to_owned();
    let fill = move || {
        let psql = |sql: &str| postgres::shared().psql(&url, sql);
        psql("DROP TABLE IF EXISTS ballast");
        psql("CREATE UNLOGGED TABLE ballast (filler text)");
        psql("ALTER TABLE ballast ALTER filler SET STORAGE PLAIN");
        let used: u64 = psql("SELECT pg_database_size(current_database())").parse().unwrap();
        // one row fills a page
        let rows = wanted.saturating_sub(used) / 8_192;
        psql(&format!("INSERT INTO ballast SELECT repeat('x', 8000) FROM generate_series(1, {rows})"));
    };
    tokio::task::spawn_blocking(fill).await.unwrap();
}

async fn fill_site(world: &World, percent: u8) {
    let site = &world.site;
    fill(site.engine, site.dir.path(), &site.database_url, percent.into()).await;
    site.kernel().storage.measure().await;
    let measured = site.kernel().storage.percent();
    assert!(percent < 20 || (percent..percent + 3).contains(&measured), "{measured} instead of {percent}");
}

/// Exports the log of acme to its end.
async fn export(by: &Caller) -> Result<usize, Status> {
    let request = pb::ExportAuditEventsRequest {
        parent: world::ACME.to_owned(),
        format: pb::ExportFormat::Ndjson.into(),
        ..Default::default()
    };
    let mut client = AuditServiceClient::new(by.channel.clone());
    let mut stream = client.export_audit_events(by.ask(request)).await?.into_inner();
    let mut bytes = 0;
    while let Some(chunk) = stream.message().await? {
        bytes += chunk.data.len();
    }
    Ok(bytes)
}

fn is_full(refused: &Status) {
    assert_eq!((refused.code(), reason(refused).as_str()), (Code::ResourceExhausted, "AUDIT_STORAGE_FULL"));
    assert!(refused.message().contains("storage_quota_mib"), "{}", refused.message());
}

async fn nearly_full(engine: Engine) {
    let quota = [("audit.storage_quota_mib", QUOTA.to_string())];
    let world = World::build(Site::start_with(engine, &quota).await).await;
    let tenant = |id: &'static str| {
        let by = world.consultant.clone();
        async move { world::tenant(&by, id, world::NORTHWIND).await }
    };
    fill_site(&world, 85).await;
    tenant("at-85").await.unwrap();
    assert!(export(&world.owner).await.unwrap() > 0);
    fill_site(&world, 91).await;
    is_full(&tenant("at-91").await.unwrap_err());
    is_full(&export(&world.owner).await.unwrap_err());
    world::create_role(&world.owner, "at-91", "x").await.unwrap();
    fill_site(&world, 96).await;
    is_full(&world::create_role(&world.owner, "at-96", "x").await.unwrap_err());
    is_full(&tenant("at-96").await.unwrap_err());
    is_full(&export(&world.owner).await.unwrap_err());
    // reads stay up, denials are still recorded, rights can still be taken away
    let get = serde_json::json!({"name": "tenants/acme/roles/at-91"});
    raw::json(&world.owner, "provost.role.v1.RoleService/GetRole", get).await.unwrap();
    let denied = world::create_role(&world.holders["finance"], "x", "x").await.unwrap_err();
    assert_eq!(denied.code(), Code::PermissionDenied);
    assert!(!crate::audit::events(&world.owner, world::ACME, "outcome = \"denied\"").await.is_empty());
    let suspend = serde_json::json!({"name": "tenants/acme/principals/finance"});
    raw::json(&world.owner, "provost.principal.v1.PrincipalService/SuspendPrincipal", suspend).await.unwrap();
    fill_site(&world, 10).await;
    world::create_role(&world.owner, "at-96", "x").await.unwrap();
    tenant("at-96").await.unwrap();
    assert!(export(&world.owner).await.unwrap() > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_stop_before_the_disk_is_full_and_go_on_with_room_on_sqlite() {
    nearly_full(Engine::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_stop_before_the_disk_is_full_and_go_on_with_room_on_postgres() {
    nearly_full(Engine::Postgres).await;
}

/// The operator reads of it at 80 %, and not before.
async fn warned(engine: Engine) {
    let dir = tempfile::tempdir().unwrap();
    let url = match engine {
        Engine::Sqlite => String::new(),
        Engine::Postgres => site::fresh_postgres().await,
    };
    let quota = QUOTA.to_string();
    let env =
        [("PROVOST__DATABASE__URL", url.as_str()), ("PROVOST__AUDIT__STORAGE_QUOTA_MIB", quota.as_str())];
    let said = async |percent| {
        fill(engine, dir.path(), &url, percent).await;
        // it may be stopped before it waits for that: what counts is what it said when it began
        Daemon::start(dir.path(), &env).stop().1
    };
    let warning = "storage is getting full";
    assert!(!said(70).await.contains(warning));
    assert!(said(81).await.contains(warning));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_warns_when_storage_is_getting_full_on_sqlite() {
    warned(Engine::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_warns_when_storage_is_getting_full_on_postgres() {
    warned(Engine::Postgres).await;
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
