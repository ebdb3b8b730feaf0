//! Usage events into a server in a process of its own, over real gRPC: acknowledged, deduplicated, rolled up.
//!
//! Streams send batches of 1,000 events in a closed loop. A rate counts what was acknowledged, over the time until the last of it is in the
//! rollups. The floor inserts the same rows with the same unique key into the same schema by hand, one transaction a batch.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use proto::{
    duty::v1::Duty,
    token::v1::TokenKind,
    usage::v1::{
        Dim, EventOutcome, IngestRequest, Quantity, QueryUsageRequest, UsageEvent,
        usage_service_client::UsageServiceClient,
    },
};
use serde_json::{Value, json};
use tests::{Engine, process::Daemon, site::Caller, staff, world};
use tokio::sync::mpsc;
use tonic::transport::Channel;

mod floor;

/// Streams, each on a connection of its own.
const STREAMS: u64 = 4;
/// Batches of a stream under way.
const UNDER_WAY: usize = 4;
/// Events in a batch.
const BATCH: u64 = 1_000;
/// People whose events they are.
const PEOPLE: u64 = 50;

/// Measures.
pub async fn run(engine: Engine, seconds: u64) -> Value {
    let dir = tempfile::tempdir().unwrap();
    let url = match engine {
        Engine::Sqlite => String::new(),
        Engine::Postgres => tests::site::fresh_postgres().await,
    };
    let daemon = Daemon::start(dir.path(), &[("PROVOST__DATABASE__URL", url.as_str()), ("RUST_LOG", "warn")]);
    let target = Target::prepare(&daemon).await;
    let length = Duration::from_secs(seconds);

    target.drive(0, Duration::from_secs(1), None).await;
    let cpu = cpu_seconds(daemon.id());
    let begun = Instant::now();
    let full = target.drive(1, length, None).await;
    let rolled = target.rolled_up().await;
    let elapsed = begun.elapsed().as_secs_f64();
    let cpu = cpu_seconds(daemon.id()) - cpu;
    let rate = full.accepted as f64 / elapsed;
    let rss = daemon.peak_resident_kib() as f64 / 1024.0;
    // half of what it can take, evenly
    let half = target.drive(2, length / 2, Some(rate / 2.0)).await;
    let again = target.drive(1, length / 4, None).await;
    drop(daemon);

    let floor = floor::run(engine, length / 2).await;
    json!({
        "events_per_s": rate.round(),
        "rollup_lag_ms": rolled.as_millis(),
        "cpu_us_per_event": round(cpu * 1e6 / full.accepted as f64, 2),
        "ack_p50_ms": round(half.at(50), 2),
        "ack_p99_ms": round(half.at(99), 2),
        "full_ack_p99_ms": round(full.at(99), 2),
        "floor_events_per_s": floor.round(),
        "floor_ratio": round(rate / floor, 3),
        "duplicates_per_s": (again.duplicates as f64 / again.elapsed).round(),
        "rss_mib": round(rss, 1),
    })
}

/// Event `n` of a run: always the same, with an id that only it has.
pub fn event(run: u64, n: u64, now: Duration) -> UsageEvent {
    let text = |head: &str, n: u64| format!("{head}-{n}");
    UsageEvent {
        id: format!("{run:02}-{n:016x}"),
        source: "gateway/eu-1".to_owned(),
        r#type: "gateway.request".to_owned(),
        subject: text("p", n % PEOPLE),
        time: Some(prost_types::Timestamp { seconds: i64::try_from(now.as_secs()).unwrap(), nanos: 0 }),
        client: if n.is_multiple_of(3) { "claude-code" } else { "codex" }.to_owned(),
        value: String::new(),
        values: vec![
            Quantity { key: "tokens.input".to_owned(), value: (n % 5_000 + 1).to_string() },
            Quantity { key: "tokens.output".to_owned(), value: (n % 700 + 1).to_string() },
        ],
        dims: vec![
            Dim { key: "model".to_owned(), value: text("model", n % 4) },
            Dim { key: "plugin".to_owned(), value: text("plugin", n % 7) },
        ],
    }
}

/// When the run began: the same for all events, so that a repetition says the same.
pub fn start() -> Duration {
    static START: std::sync::OnceLock<Duration> = std::sync::OnceLock::new();
    *START.get_or_init(|| {
        let (seconds, _) = kernel::clock::Clock::System.now().unix_parts();
        Duration::from_secs(seconds - 60)
    })
}

/// What a drive saw.
struct Drive {
    accepted: u64,
    duplicates: u64,
    elapsed: f64,
    /// From sending a batch to its answer, sorted.
    latencies: Vec<Duration>,
}

impl Drive {
    fn at(&self, percent: usize) -> f64 {
        self.latencies
            .get(self.latencies.len().saturating_sub(1) * percent / 100)
            .map_or(0.0, |l| l.as_secs_f64() * 1e3)
    }
}

/// A server with a tenant that takes usage.
struct Target {
    url: String,
    token: String,
    owner: Caller,
}

impl Target {
    async fn prepare(daemon: &Daemon) -> Self {
        let admin = daemon.admin().await;
        world::partner(&admin, "northwind").await;
        world::tenant(&admin, "acme", "partners/northwind").await.unwrap();
        world::user(&admin, world::ACME, "owner").await;
        world::grant(&admin, world::ACME, "owner", Duty::Owner).await.unwrap();
        let secret = world::live_token(&admin, world::ACME, "owner", TokenKind::Personal).await;
        let owner = Caller { channel: admin.channel.clone(), secret };
        staff::unit(&owner, "field").await;
        for n in 0..PEOPLE {
            staff::user(&owner, &format!("p-{n}"), "field").await;
        }
        let token = world::live_token(&owner, world::ACME, "", TokenKind::Ingest).await;
        Self { url: daemon.url.clone(), token, owner }
    }

    /// Sends events for `length`, as fast as they are taken, or `rate` a second.
    async fn drive(&self, run: u64, length: Duration, rate: Option<f64>) -> Drive {
        let (begun, next) = (Instant::now(), Arc::new(AtomicU64::new(0)));
        let mut streams = Vec::new();
        for _ in 0..STREAMS {
            let channel = Channel::from_shared(self.url.clone()).unwrap().connect().await.unwrap();
            let by = Caller { channel, secret: self.token.clone() };
            streams.push(tokio::spawn(stream(by, run, Arc::clone(&next), (begun, length), rate)));
        }
        let mut all = Drive { accepted: 0, duplicates: 0, elapsed: 0.0, latencies: Vec::new() };
        for stream in streams {
            let one = stream.await.unwrap();
            all.accepted += one.accepted;
            all.duplicates += one.duplicates;
            all.latencies.extend(one.latencies);
        }
        all.elapsed = begun.elapsed().as_secs_f64();
        all.latencies.sort_unstable();
        all
    }

    /// Waits until a question reads no event one by one; returns how long that was.
    async fn rolled_up(&self) -> Duration {
        let begun = Instant::now();
        let mut client = UsageServiceClient::new(self.owner.channel.clone());
        loop {
            let ask = QueryUsageRequest {
                parent: world::ACME.to_owned(),
                meters: vec!["tokens.output".to_owned()],
                ..Default::default()
            };
            if client.query_usage(self.owner.ask(ask)).await.unwrap().into_inner().tail_events == 0 {
                return begun.elapsed();
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// One stream: some batches under way, the next when one is answered.
async fn stream(
    by: Caller,
    run: u64,
    next: Arc<AtomicU64>,
    (begun, length): (Instant, Duration),
    rate: Option<f64>,
) -> Drive {
    let (send, batches) = mpsc::channel(UNDER_WAY);
    let stream = tokio_stream::wrappers::ReceiverStream::new(batches);
    let mut client = UsageServiceClient::new(by.channel.clone()).max_decoding_message_size(64 << 20);
    let mut answers = client.ingest(by.ask(stream)).await.unwrap().into_inner();
    let (mut drive, mut sent) = (
        Drive { accepted: 0, duplicates: 0, elapsed: 0.0, latencies: Vec::new() },
        std::collections::VecDeque::new(),
    );
    loop {
        while sent.len() < UNDER_WAY && begun.elapsed() < length {
            let first = next.fetch_add(BATCH, Ordering::Relaxed);
            if let Some(rate) = rate {
                let due = Duration::from_secs_f64(first as f64 / rate);
                tokio::time::sleep(due.saturating_sub(begun.elapsed())).await;
            }
            let events = (first..first + BATCH).map(|n| event(run, n, start())).collect();
            let batch = IngestRequest { batch_id: first.to_string(), events };
            sent.push_back(Instant::now());
            send.send(batch).await.unwrap();
            if rate.is_some() {
                break;
            }
        }
        let Some(at) = sent.pop_front() else { return drive };
        let answer = answers.message().await.unwrap().unwrap();
        drive.latencies.push(at.elapsed());
        for status in &answer.statuses {
            match status.outcome() {
                EventOutcome::Accepted => drive.accepted += 1,
                EventOutcome::Duplicate => drive.duplicates += 1,
                other => panic!("{other:?}: {status:?}"),
            }
        }
    }
}

/// Processor time of a process, seconds (proc(5), fields 14 and 15, in clock ticks of 10 ms).
fn cpu_seconds(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<_> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks = |n: usize| fields[n].parse::<f64>().unwrap();
    (ticks(11) + ticks(12)) / 100.0
}

fn round(value: f64, digits: i32) -> f64 {
    let one = 10_f64.powi(digits);
    (value * one).round() / one
}
