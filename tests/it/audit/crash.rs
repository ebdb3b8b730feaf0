//! The log under power cuts: nothing acknowledged without a leaf, no gap, nothing twice, no checkpoint taken back; and a sink
//! whose receiver was down all the while ends with every event once.
//!
//! `PROVOST_KILLS` says how often a server is killed on each engine: 30 by default, 100 in the long run. From 100 on every
//! round goes on until [`LONG_ROUND`] changes were acknowledged, so that the long run is one of 100,000 changes.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write as _,
    net::SocketAddr,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use audit::sequencer::store;
use kernel::{Kernel, clock::Clock, db::Db};
use proto::{
    audit::v1::{GetAuditLogRequest, audit_service_client::AuditServiceClient},
    sink::v1::{self as sink, sink::Target, sink_service_client::SinkServiceClient},
};
use tests::{Engine, process::Daemon, site, site::Caller, world};
use tlog::{Checkpoint, Vkey};
use tokio::net::TcpSocket;
use tonic::transport::Channel;
use uuid::Uuid;

use super::sequencer::{acme, check, extends, logged, scopes, scopes_with_a_log};

/// Changes in flight in a short round; many rounds of few changes are what finds what is between two of them.
const WRITERS: usize = 8;
/// The same in a long run, where it is the number of changes that counts: a flush is for many of them.
const LONG_WRITERS: usize = 64;
/// Changes that are acknowledged in every round of a long run, at least.
const LONG_ROUND: usize = 1_000;
/// The same of a short one.
const SHORT_ROUND: usize = 20;
/// Small pauses between attempts to deliver: the machine's clock runs here.
const SINKS: [(&str, &str); 3] = [
    ("PROVOST__SINKS__ALLOW_LOOPBACK", "true"),
    ("PROVOST__SINKS__RETRY_MIN_MS", "20"),
    ("PROVOST__SINKS__RETRY_MAX_MS", "200"),
];
/// Longest wait for one more event at the sink.
const PATIENCE: Duration = Duration::from_mins(1);

fn kills() -> usize {
    std::env::var("PROVOST_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(30)
}

fn writers() -> usize {
    if kills() >= 100 { LONG_WRITERS } else { WRITERS }
}

/// The least that must be acknowledged before a server is killed.
fn floor() -> usize {
    if kills() >= 100 { LONG_ROUND } else { SHORT_ROUND }
}

/// Index and id of events as a sink delivered them, repeated ones included.
type Delivered = Arc<Mutex<Vec<(i64, String)>>>;

/// Somebody's SIEM, which has an address and does not listen.
struct Siem {
    socket: TcpSocket,
    address: SocketAddr,
}

impl Siem {
    /// Nobody else gets the address; who connects is refused.
    fn down() -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = socket.local_addr().unwrap();
        Self { socket, address }
    }

    /// Takes everything from now on.
    fn up(self) -> Delivered {
        let delivered = Delivered::default();
        let kept = Arc::clone(&delivered);
        let take = move |body: axum::body::Bytes| {
            let message: serde_json::Value = serde_json::from_slice(&body).unwrap();
            let data = &message["data"];
            let id = data["event"]["id"].as_str().unwrap().to_owned();
            kept.lock().unwrap().push((data["sequence"].as_i64().unwrap(), id));
            std::future::ready(())
        };
        let listener = self.socket.listen(64).unwrap();
        let router = axum::Router::new().fallback(take);
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        delivered
    }
}

/// Makes `tenants/acme/sinks/siem`, a webhook.
async fn follow(by: &Caller, address: SocketAddr) {
    let webhook = sink::Webhook { url: format!("http://{address}"), ..Default::default() };
    let new = sink::Sink {
        display_name: "SIEM".to_owned(),
        target: Some(Target::Webhook(webhook)),
        ..Default::default()
    };
    let request = sink::CreateSinkRequest {
        parent: world::ACME.to_owned(),
        sink_id: "siem".to_owned(),
        sink: Some(new),
        ..Default::default()
    };
    SinkServiceClient::new(by.channel.clone()).create_sink(by.ask(request)).await.unwrap();
}

async fn next_index(by: &Caller) -> i64 {
    let request = sink::GetSinkRequest { name: "tenants/acme/sinks/siem".to_owned() };
    SinkServiceClient::new(by.channel.clone())
        .get_sink(by.ask(request))
        .await
        .unwrap()
        .into_inner()
        .next_index
}

/// Waits until the sink has delivered every event below `size`.
async fn delivered_up_to(by: &Caller, size: i64) {
    let mut seen = 0;
    let more = async |than: i64| loop {
        let next = next_index(by).await;
        if next > than || next >= size {
            return next;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    while seen < size {
        let waited = tokio::time::timeout(PATIENCE, more(seen)).await;
        seen = waited.unwrap_or_else(|_| panic!("the sink stands still at {seen} of {size}"));
    }
}

/// Size of acme's log; asking for it sequences what the last server left.
async fn size(by: &Caller) -> i64 {
    let request = GetAuditLogRequest { name: "tenants/acme/auditLog".to_owned() };
    AuditServiceClient::new(by.channel.clone())
        .get_audit_log(by.ask(request))
        .await
        .unwrap()
        .into_inner()
        .size
}

/// The database of a server that is dead, opened by ourselves.
async fn open(dir: &Path, url: &str) -> Arc<Kernel> {
    let settings = [("server.data_dir", dir.display().to_string()), ("database.url", url.to_owned())];
    let config = site::config(&settings);
    let db = Db::open(&config).await.unwrap();
    Kernel::new(config, db, Clock::System).await.unwrap()
}

async fn connect(daemon: &Daemon) -> Channel {
    Channel::from_shared(daemon.url.clone()).unwrap().connect().await.unwrap()
}

/// Writes until the server dies; what was acknowledged, counted as it comes.
async fn write(by: Caller, prefix: String, count: Arc<AtomicUsize>) -> Vec<String> {
    let mut made = Vec::new();
    for n in 0_u32.. {
        match world::create_role(&by, &format!("{prefix}-{n}"), "x").await {
            Ok(role) => {
                made.push(role.name);
                count.fetch_add(1, Ordering::Relaxed);
            }
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
    let env: Vec<_> = [("PROVOST__DATABASE__URL", url.as_str())].into_iter().chain(SINKS).collect();
    let mut daemon = Daemon::start(dir.path(), &env);
    let mut admin = daemon.admin().await;
    world::partner(&admin, "northwind").await;
    world::tenant(&admin, "acme", world::NORTHWIND).await.unwrap();
    let siem = Siem::down();
    follow(&admin, siem.address).await;
    let (mut acknowledged, mut checkpoints) = (Vec::new(), Vec::new());
    for round in 0..kills() {
        let count = Arc::new(AtomicUsize::new(0));
        let writers: Vec<_> = (0..writers())
            .map(|w| tokio::spawn(write(admin.clone(), format!("r-{round}-{w}"), Arc::clone(&count))))
            .collect();
        // some of them must get through; when exactly the power goes is different every time
        while count.load(Ordering::Relaxed) < floor() && writers.iter().any(|w| !w.is_finished()) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
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
    let size = size(&admin).await;
    assert_eq!(next_index(&admin).await, 0, "the receiver was down for the whole run");
    let delivered = siem.up();
    delivered_up_to(&admin, size).await;
    let (well, said) = daemon.stop();
    assert!(well, "{said}");
    let kernel = open(dir.path(), &url).await;
    whole(&kernel, dir.path(), &acknowledged, &checkpoints).await;
    let delivered = std::mem::take(&mut *delivered.lock().unwrap());
    once_each(&kernel, &delivered, size).await;
    // past the capture of a test that passes
    let _ = writeln!(
        std::io::stderr(),
        "{engine:?}: {} kills, {} changes acknowledged, every one with its leaf; {} events at the sink, every one once, {} sent again",
        kills(),
        acknowledged.len(),
        delivered.len(),
        delivered.len() - delivered.iter().collect::<BTreeSet<_>>().len(),
    );
}

/// Holds what came to the sink against acme's log: every event below `size` once by its id, and nothing that is not there.
async fn once_each(kernel: &Kernel, delivered: &[(i64, String)], size: i64) {
    let scope = acme(kernel).await;
    let log: BTreeMap<_, _> =
        logged(kernel, scope).await.into_iter().map(|e| (e.id.to_string(), e.idx)).collect();
    let mut came = BTreeMap::new();
    for (index, id) in delivered {
        assert_eq!(log.get(id), Some(index), "an event that is not in the log at {index}");
        came.insert(*index, id);
    }
    let missing: Vec<_> = (0..size).filter(|index| !came.contains_key(index)).collect();
    assert!(missing.is_empty(), "events that the sink did not deliver: {missing:?}");
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
    assert!(acknowledged.len() >= kills() * floor(), "only {} changes were made", acknowledged.len());
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
