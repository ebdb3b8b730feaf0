//! A disk that is really full, below either engine: nothing hangs, what is refused is not done, and once there is room
//! everything goes on with all that was acknowledged.

use std::{
    collections::BTreeSet,
    fs::File,
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use kernel::{
    clock::{Clock, Time},
    db::Db,
};
use tests::{
    Engine, Site, World, http,
    postgres::Postgres,
    raw,
    site::{self, Caller, START},
    world,
};
use tonic::{Code, Status};
use tonic_health::pb::health_check_response::ServingStatus;

use super::sequencer::{acme, scopes};
use crate::{errors::reason, server::becomes};

/// Longest wait for an answer: a call that hangs is worse than one that fails.
const PATIENCE: Duration = Duration::from_mins(1);
/// Most changes until the engine has used up what it had set aside.
const MOST: usize = 3_000;

/// A small file system in memory, mounted for as long as this lives.
struct Disk {
    dir: PathBuf,
    /// Unmounts when its standard input closes, however this process ends.
    leash: Child,
}

/// `$0` directory, `$1` size.
const LEASHED: &str = r#"mount -t tmpfs -o "size=$1,mode=0777" tmpfs "$0" || exit 1
echo mounted
cat >/dev/null
umount -l "$0" && rmdir "$0""#;

impl Disk {
    /// None where this user may not mount.
    fn new(mib: u32) -> Option<Self> {
        let dir = tempfile::Builder::new().prefix("provost-disk-").tempdir().unwrap().keep();
        let mut leash = Command::new("/bin/sh")
            .args(["-c", LEASHED])
            .arg(&dir)
            .arg(format!("{mib}m"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = String::new();
        BufReader::new(leash.stdout.take().unwrap()).read_line(&mut said).unwrap();
        if said == "mounted\n" {
            return Some(Self { dir, leash });
        }
        leash.wait().unwrap();
        std::fs::remove_dir(&dir).unwrap();
        // past the capture of a test that passes
        let mut stderr = std::io::stderr();
        writeln!(stderr, "skipped: the test of a full disk needs the right to mount a file system").unwrap();
        None
    }

    fn path(&self) -> &Path {
        &self.dir
    }

    /// Takes every byte that is left.
    fn fill(&self) {
        let mut ballast = File::create(self.dir.join("ballast")).unwrap();
        for block in [1 << 16, 1 << 9, 1] {
            while ballast.write_all(&vec![1; block]).is_ok() {}
        }
    }

    fn make_room(&self) {
        std::fs::remove_file(self.dir.join("ballast")).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        drop(self.leash.stdin.take());
        let _ = self.leash.wait();
    }
}

/// Creates a role, or says why not: within time, and in documented words.
async fn create(by: &Caller, id: &str) -> Result<String, Status> {
    let call = world::create_role(by, id, "A role with a name that takes some room");
    let answer = tokio::time::timeout(PATIENCE, call).await.expect("a full disk makes nothing hang");
    answer.map(|role| role.name).inspect_err(|status| {
        let known = [
            (Code::ResourceExhausted, "AUDIT_STORAGE_FULL".to_owned()),
            (Code::Unavailable, "DATABASE_UNAVAILABLE".to_owned()),
        ];
        assert!(known.contains(&(status.code(), reason(status))), "{status:?}");
    })
}

async fn runs_full(site: Site, disk: &Disk) {
    let world = World::build(site).await;
    let (mut made, mut refused) = (BTreeSet::new(), Vec::new());
    for n in 0..20 {
        made.insert(create(&world.owner, &format!("before-{n}")).await.unwrap());
    }
    disk.fill();
    for n in 0..MOST {
        match create(&world.owner, &format!("full-{n}")).await {
            Ok(name) => _ = made.insert(name),
            Err(_) => refused.push(format!("full-{n}")),
        }
        if refused.len() == 5 {
            break;
        }
    }
    assert_eq!(refused.len(), 5, "{} roles were made", made.len());
    // many at a time, and reads beside them
    let one = |n| {
        let (by, id) = (world.owner.clone(), format!("crowd-{n}"));
        tokio::spawn(async move { (create(&by, &id).await, id) })
    };
    for answer in (0..16).map(one).collect::<Vec<_>>() {
        match answer.await.unwrap() {
            (Ok(name), _) => _ = made.insert(name),
            (Err(_), id) => refused.push(id),
        }
    }
    let get = serde_json::json!({"name": "tenants/acme/roles/before-0"});
    let get = raw::json(&world.owner, "provost.role.v1.RoleService/GetRole", get);
    tokio::time::timeout(PATIENCE, get).await.unwrap().expect("reads stay up");

    disk.make_room();
    world.site.kernel().storage.measure().await;
    for id in &refused {
        made.insert(create(&world.owner, id).await.expect("what was refused was not done, and can be now"));
    }
    hold_against_the_record(&world, &made).await;
    // and a server that starts anew finds the same
    let (owner, clock) = (world.owner.secret.clone(), world.site.kernel().clock.clone());
    let World { site, .. } = world;
    let (engine, dir, url, _) = site.stop().await;
    let site = Site::on(engine, dir, url, clock, &[]).await;
    let by = site.caller(&owner);
    let recorded = crate::audit::events(&by, world::ACME, "action = role.create AND outcome = ok").await;
    assert_eq!(recorded.into_iter().flat_map(|e| e.targets).collect::<BTreeSet<_>>(), made);
    for scope in scopes(site.kernel()).await {
        if scope != audit::sequencer::meta::META {
            let report = audit::reconcile::reconcile(site.kernel(), scope).await.unwrap();
            assert_eq!(report.count, 0, "{:?}", report.differences);
        }
    }
}

/// Every role that was acknowledged has one event, and nothing else has.
async fn hold_against_the_record(world: &World, made: &BTreeSet<String>) {
    let recorded =
        crate::audit::events(&world.owner, world::ACME, "action = role.create AND outcome = ok").await;
    assert_eq!(recorded.len(), made.len());
    assert_eq!(&recorded.into_iter().flat_map(|e| e.targets).collect::<BTreeSet<_>>(), made);
    let scope = acme(world.site.kernel()).await;
    let head = world.site.running.sequencer.catch_up(scope).await.unwrap();
    let head = world.site.running.sequencer.covering(scope, head.size - 1, PATIENCE).await.unwrap();
    let vkeys = world.site.running.sequencer.verifier_keys(&head.origin);
    super::sequencer::check(world.site.kernel(), &head, &vkeys).await;
}

fn clock() -> Clock {
    Clock::manual(Time::parse("start", START).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_data_directory_without_a_byte_left_loses_nothing_and_goes_on() {
    let Some(disk) = Disk::new(32) else { return };
    let dir = Arc::new(tempfile::tempdir_in(disk.path()).unwrap());
    runs_full(Site::on(Engine::Sqlite, dir, String::new(), clock(), &[]).await, &disk).await;
}

/// The database's tablespace is full; what the server writes beside it, its write-ahead log, is elsewhere.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tablespace_without_a_byte_left_loses_nothing_and_goes_on() {
    let Some(disk) = Disk::new(96) else { return };
    let space = disk.path().join("space");
    let made = move || {
        let postgres = Postgres::start();
        let admin = postgres.url("postgres");
        // it must belong to the user that PostgreSQL runs as
        postgres.psql(&admin, &format!("COPY (SELECT 1) TO PROGRAM 'mkdir {}'", space.display()));
        postgres.psql(&admin, &format!("CREATE TABLESPACE small LOCATION '{}'", space.display()));
        postgres.psql(&admin, "CREATE DATABASE small TABLESPACE small");
        postgres
    };
    let postgres = tokio::task::spawn_blocking(made).await.unwrap();
    let url = postgres.url("small");
    let db = Db::open(&site::config(&[("database.url", url.clone())])).await.unwrap();
    db.migrate().await.unwrap();
    db.close().await;
    let dir = Arc::new(tempfile::tempdir().unwrap());
    runs_full(Site::on(Engine::Postgres, dir, url, clock(), &[]).await, &disk).await;
    drop(postgres);
}

/// Makes a file refuse every write, of whoever has it open too, or takes that back: what a file system does that fell back to
/// read-only, of one file. `false` where this user or file system cannot.
fn freeze(file: &Path, frozen: bool) -> bool {
    let flag = if frozen { "+i" } else { "-i" };
    Command::new("chattr").arg(flag).arg(file).output().is_ok_and(|o| o.status.success())
}

/// Thaws when dropped: a frozen file cannot be removed.
struct Frozen(PathBuf);

impl Drop for Frozen {
    fn drop(&mut self) {
        freeze(&self.0, false);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_embedded_database_that_takes_no_write_is_told_and_what_was_acknowledged_is_there_when_it_does() {
    let world = World::build(Site::start(Engine::Sqlite).await).await;
    let mut made = BTreeSet::from([create(&world.owner, "before").await.unwrap()]);
    let wal = world.site.dir.path().join(format!("{}-wal", kernel::db::SQLITE_FILE));
    if !freeze(&wal, true) {
        let mut stderr = std::io::stderr();
        writeln!(stderr, "skipped: the test of a database that takes no write needs `chattr +i`").unwrap();
        return;
    }
    let frozen = Frozen(wal);
    for n in 0..8 {
        let refused = create(&world.owner, &format!("frozen-{n}")).await.unwrap_err();
        assert_eq!((refused.code(), reason(&refused).as_str()), (Code::Unavailable, "DATABASE_UNAVAILABLE"));
        assert!(refused.message().contains("may or may not"), "{}", refused.message());
    }
    becomes(&world.site, ServingStatus::NotServing).await;
    assert_eq!(http::get(&format!("{}/readyz", world.site.running.url())).await.status, 503);
    let get = serde_json::json!({"name": "tenants/acme/roles/before"});
    raw::json(&world.owner, "provost.role.v1.RoleService/GetRole", get).await.expect("reads stay up");

    drop(frozen);
    becomes(&world.site, ServingStatus::Serving).await;
    for n in 0..8 {
        // what was refused was not done
        made.insert(create(&world.owner, &format!("frozen-{n}")).await.unwrap());
    }
    assert_eq!(crate::process::roles(&world.owner).await, made);
    hold_against_the_record(&world, &made).await;
}

/// Without its write-ahead log PostgreSQL stops (PANIC), and does not start again before there is room.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_ahead_log_without_a_byte_left_stops_the_database_and_what_was_acknowledged_is_there_after_it()
 {
    let Some(disk) = Disk::new(192) else { return };
    let wal = disk.path().join("wal").display().to_string();
    let made = move || Postgres::start_with(&["--wal-segsize=1", "--waldir", &wal]);
    let mut postgres = tokio::task::spawn_blocking(made).await.unwrap();
    let url = postgres.template_url();
    let db = Db::open(&site::config(&[("database.url", url.clone())])).await.unwrap();
    db.migrate().await.unwrap();
    db.close().await;
    let short = [("database.acquire_timeout_seconds", "1".to_owned())];
    let dir = Arc::new(tempfile::tempdir().unwrap());
    let world = World::build(Site::on(Engine::Postgres, dir, url, clock(), &short).await).await;
    let mut acknowledged = BTreeSet::new();
    for n in 0..20 {
        acknowledged.insert(create(&world.owner, &format!("before-{n}")).await.unwrap());
    }
    disk.fill();
    let mut refused = 0;
    for n in 0..MOST {
        match create(&world.owner, &format!("full-{n}")).await {
            Ok(name) => _ = acknowledged.insert(name),
            Err(_) => refused += 1,
        }
        if refused == 5 {
            break;
        }
    }
    assert_eq!(refused, 5, "{} roles were made", acknowledged.len());
    becomes(&world.site, ServingStatus::NotServing).await;
    disk.make_room();
    let again = move || {
        postgres.again();
        postgres
    };
    let postgres = tokio::task::spawn_blocking(again).await.unwrap();
    becomes(&world.site, ServingStatus::Serving).await;
    // connections of before are found dead one by one
    let after = async {
        let mut n = 0;
        loop {
            if let Ok(name) = create(&world.owner, &format!("after-{n}")).await {
                return name;
            }
            n += 1;
        }
    };
    acknowledged.insert(tokio::time::timeout(PATIENCE, after).await.expect("it works again"));
    let present = crate::process::roles(&world.owner).await;
    assert!(acknowledged.is_subset(&present), "{:?}", acknowledged.difference(&present));
    // what was refused may have been done all the same, and is then on the record too
    hold_against_the_record(&world, &present).await;
    drop(postgres);
}
