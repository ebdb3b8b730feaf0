//! Ingest under power cuts: every acknowledged event is counted once, whatever was sent again, and the rollups are what the events say.
//!
//! `PROVOST_KILLS` says how often a server is killed on each engine: 16 by default.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use kernel::{Kernel, clock::Clock, db::Db};
use proto::{
    duty::v1::Duty,
    token::v1::TokenKind,
    usage::v1::{
        Dim, EventOutcome, IngestRequest, Quantity, UsageEvent, usage_service_client::UsageServiceClient,
    },
};
use tests::{Engine, process::Daemon, site, site::Caller, staff, world};
use tonic::transport::Channel;

const SENDERS: usize = 4;
const BATCH: usize = 40;

fn kills() -> usize {
    std::env::var("PROVOST_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(16)
}

/// Event `n` of a sender: always the same.
fn event(sender: usize, n: usize, seconds: i64) -> UsageEvent {
    UsageEvent {
        id: format!("{sender}-{n}"),
        source: "crash".to_owned(),
        r#type: "crash.event".to_owned(),
        subject: ["maria", "sam"][n % 2].to_owned(),
        // over several hours, so that several buckets are under way
        time: Some(prost_types::Timestamp {
            seconds: seconds - i64::try_from(n % 20_000).unwrap(),
            nanos: 0,
        }),
        values: vec![Quantity { key: "tokens.output".to_owned(), value: (n % 9 + 1).to_string() }],
        dims: vec![Dim { key: "model".to_owned(), value: format!("m{}", n % 3) }],
        ..Default::default()
    }
}

/// What a sender knows of its events: how many batches were answered. It begins again with the first that was not.
#[derive(Default)]
struct Sender {
    answered: usize,
    /// Places by event id, as they were answered.
    places: BTreeMap<String, i64>,
}

impl Sender {
    /// Sends until the server dies. A batch that was not answered is sent again by the next call.
    async fn send(&mut self, by: &Caller, own: usize, seconds: i64, count: &AtomicUsize) {
        loop {
            let first = self.answered * BATCH;
            let events: Vec<_> = (first..first + BATCH).map(|n| event(own, n, seconds)).collect();
            let batch = IngestRequest { batch_id: String::new(), events: events.clone() };
            let mut client = UsageServiceClient::new(by.channel.clone());
            let Ok(answers) = client.ingest(by.ask(tokio_stream::iter([batch]))).await else { return };
            let Ok(Some(answer)) = answers.into_inner().message().await else { return };
            for (event, status) in events.iter().zip(&answer.statuses) {
                assert!(
                    [EventOutcome::Accepted, EventOutcome::Duplicate].contains(&status.outcome()),
                    "{status:?}"
                );
                assert_eq!(self.places.insert(event.id.clone(), status.seq), None);
            }
            self.answered += 1;
            count.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// The database of a server that is dead, opened by ourselves.
async fn open(dir: &Path, url: &str) -> Arc<Kernel> {
    let settings = [("server.data_dir", dir.display().to_string()), ("database.url", url.to_owned())];
    let db = Db::open(&site::config(&settings)).await.unwrap();
    Kernel::new(site::config(&settings), db, Clock::System).await.unwrap()
}

async fn connect(daemon: &Daemon, secret: &str) -> Caller {
    let channel = Channel::from_shared(daemon.url.clone()).unwrap().connect().await.unwrap();
    Caller { channel, secret: secret.to_owned() }
}

/// Every event that was answered is there once, in the place that was answered; and the rollups agree with the events.
async fn check(kernel: &Kernel, senders: &[Sender]) {
    let mut db = kernel.db.reader().await.unwrap();
    let tenant = metering::rollup::store::tenant_list(&mut db).await.unwrap()[0];
    let stored: Vec<(i64, String)> =
        kernel::on!(&mut db, |c| sqlx::query_as("SELECT seq, event_id FROM usage_event").fetch_all(c))
            .unwrap();
    let ids: BTreeSet<_> = stored.iter().map(|(_, id)| id).collect();
    assert_eq!(ids.len(), stored.len(), "no event twice");
    let stored: BTreeMap<_, _> = stored.iter().map(|(seq, id)| (id.as_str(), *seq)).collect();
    for (id, place) in senders.iter().flat_map(|s| &s.places) {
        assert_eq!(stored.get(id.as_str()), Some(place), "{id} was answered");
    }
    drop(db);
    let report = metering::rollup::verify::verify(kernel, tenant).await.unwrap();
    assert!(report.agrees(), "{report:?}");
}

async fn killed_again_and_again(engine: Engine) {
    let dir = tempfile::tempdir().unwrap();
    let url = match engine {
        Engine::Sqlite => String::new(),
        Engine::Postgres => site::fresh_postgres().await,
    };
    // rolled up all the time, so that some are killed in the middle of it
    let env = [("PROVOST__DATABASE__URL", url.as_str()), ("PROVOST__USAGE__ROLLUP_INTERVAL_MS", "5")];
    let mut daemon = Daemon::start(dir.path(), &env);
    let admin = daemon.admin().await;
    world::partner(&admin, "northwind").await;
    world::tenant(&admin, "acme", world::NORTHWIND).await.unwrap();
    world::user(&admin, world::ACME, "owner").await;
    world::grant(&admin, world::ACME, "owner", Duty::Owner).await.unwrap();
    let secret = world::live_token(&admin, world::ACME, "owner", TokenKind::Personal).await;
    let owner = Caller { channel: admin.channel.clone(), secret };
    staff::unit(&owner, "field").await;
    for person in ["maria", "sam"] {
        staff::user(&owner, person, "field").await;
    }
    let token = world::live_token(&owner, world::ACME, "", TokenKind::Ingest).await;
    let seconds = Clock::System.now().micros() / 1_000_000;
    let mut senders: Vec<_> = (0..SENDERS).map(|_| Sender::default()).collect();
    for round in 0..kills() {
        let count = Arc::new(AtomicUsize::new(0));
        let by = connect(&daemon, &token).await;
        let tasks: Vec<_> = senders
            .into_iter()
            .enumerate()
            .map(|(own, mut sender)| {
                let (by, count) = (by.clone(), Arc::clone(&count));
                tokio::spawn(async move {
                    sender.send(&by, own, seconds, &count).await;
                    sender
                })
            })
            .collect();
        // some must get through; when exactly the power goes is different every time
        while count.load(Ordering::Relaxed) < 8 && tasks.iter().any(|t| !t.is_finished()) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        tokio::time::sleep(Duration::from_millis((round as u64 * 37) % 120)).await;
        daemon.kill();
        senders = Vec::new();
        for task in tasks {
            senders.push(task.await.unwrap());
        }
        let kernel = open(dir.path(), &url).await;
        check(&kernel, &senders).await;
        kernel.db.close().await;
        drop(kernel);
        daemon = Daemon::start(dir.path(), &env);
    }
    let answered: usize = senders.iter().map(|s| s.places.len()).sum();
    println!("{engine:?}: {} kills, {answered} events answered", kills());
    assert!(answered >= kills() * BATCH, "{answered}");
    assert!(daemon.stop().0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_kill_loses_or_doubles_an_event_on_sqlite() {
    killed_again_and_again(Engine::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_kill_loses_or_doubles_an_event_on_postgres() {
    killed_again_and_again(Engine::Postgres).await;
}
