//! Sinks under power cuts and in several processes.

use std::{collections::BTreeSet, net::TcpListener, sync::Arc, time::Duration};

use kernel::clock::Time;
use proto::sink::v1 as pb;
use tests::{Engine, Site, World, collector::Collector, process::Daemon, site, site::Caller, world};
use tonic::transport::Channel;

use super::{SIEM, caught_up, client, create, get, receiver::Http, until, webhook};

/// Small pauses: the machine's clock runs here.
const SETTINGS: [(&str, &str); 3] = [
    ("PROVOST__SINKS__ALLOW_LOOPBACK", "true"),
    ("PROVOST__SINKS__RETRY_MIN_MS", "20"),
    ("PROVOST__SINKS__RETRY_MAX_MS", "200"),
];

fn env(url: &str) -> Vec<(&'static str, &str)> {
    [("PROVOST__DATABASE__URL", url)].into_iter().chain(SETTINGS).collect()
}

async fn connected(admin: &Caller, daemon: &Daemon) -> Caller {
    let channel = Channel::from_shared(daemon.url.clone()).unwrap().connect().await.unwrap();
    Caller { channel, secret: admin.secret.clone() }
}

async fn database(engine: Engine) -> String {
    match engine {
        Engine::Sqlite => String::new(),
        Engine::Postgres => site::fresh_postgres().await,
    }
}

async fn begin(daemon: &Daemon) -> Caller {
    let admin = daemon.admin().await;
    world::partner(&admin, "northwind").await;
    world::tenant(&admin, "acme", world::NORTHWIND).await.unwrap();
    admin
}

/// Down for the whole run, while its server is killed again and again; then up, while the server is killed some more.
async fn killed_again_and_again(engine: Engine) {
    let (dir, url) = (tempfile::tempdir().unwrap(), database(engine).await);
    let mut daemon = Daemon::start(dir.path(), &env(&url));
    let mut admin = begin(&daemon).await;
    let reserved = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = reserved.local_addr().unwrap();
    drop(reserved);
    create(&admin, webhook(&format!("http://{address}")), "").await.unwrap();
    let mut receiver = None;
    for round in 0..6 {
        let before = receiver.as_ref().map_or(0, |r: &Http| r.taken().len());
        for n in 0..60 {
            world::create_role(&admin, &format!("r-{round}-{n}"), "x").await.unwrap();
        }
        if round == 3 {
            assert_eq!(get(&admin).await.next_index, 0, "down for all of it");
            receiver = Some(Http::start_at(address).await);
        }
        if let Some(receiver) = &receiver {
            // killed in the middle of delivering
            until("something came", async || (receiver.taken().len() > before + 20).then_some(())).await;
        }
        daemon.kill();
        daemon = Daemon::start(dir.path(), &env(&url));
        admin = connected(&admin, &daemon).await;
    }
    let receiver = receiver.unwrap();
    let caught = caught_up(&admin).await;
    let came: BTreeSet<_> = receiver.events().into_iter().collect();
    assert_eq!(caught.of(came.into_iter().collect()), caught.log);
    let (well, said) = daemon.stop();
    assert!(well, "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sink_that_was_down_for_the_whole_run_ends_with_everything_on_sqlite() {
    killed_again_and_again(Engine::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sink_that_was_down_for_the_whole_run_ends_with_everything_on_postgres() {
    killed_again_and_again(Engine::Postgres).await;
}

/// A receiver that takes the connection and never answers.
async fn silent() -> (String, tokio::task::JoinHandle<()>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let held = tokio::spawn(async move {
        let mut held = Vec::new();
        loop {
            held.push(listener.accept().await.unwrap());
        }
    });
    (url, held)
}

/// A killed process leaves its lease as it is: it must end within ten seconds, however long a sending takes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sink_can_be_taken_over_within_ten_seconds_though_a_sending_takes_longer() {
    let settings = [("sinks.allow_loopback", "true".to_owned())];
    let world = World::build(Site::start_with(Engine::Postgres, &settings).await).await;
    let kernel = Arc::clone(world.site.kernel());
    let (url, held) = silent().await;
    create(&world.owner, webhook(&url), "").await.unwrap();
    let lease = async || {
        let mut reader = kernel.db.reader().await.unwrap();
        let query = "SELECT holder, lease_until FROM audit_sink_cursor";
        let (holder, until): (uuid::Uuid, Time) =
            kernel::on!(&mut reader, |c| sqlx::query_as(query).fetch_one(c)).unwrap();
        (holder, until)
    };
    // time stands still: what is left of the lease is what was written last
    let left = async || Some(lease().await.1.since(kernel.clock.now())).filter(|left| !left.is_zero());
    let first = until("the lease is taken", async || left().await).await;
    // the sinks are looked at once a second
    assert!(first + Duration::from_secs(1) <= Duration::from_secs(10), "{first:?}");
    let holder = lease().await.0;
    for _ in 0..2 {
        world.site.advance(first.saturating_sub(Duration::from_secs(1)));
        until("it is renewed while the sending goes on", async || left().await.filter(|l| *l == first)).await;
        assert_eq!(lease().await.0, holder, "without being given up in between");
    }
    held.abort();
}

/// Two processes, one sink: while both live, one of them delivers at a time and nothing comes twice; when one is killed, the
/// other goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_servers_share_a_sink_and_one_takes_over_from_the_other() {
    let (dir, url) = (tempfile::tempdir().unwrap(), database(Engine::Postgres).await);
    let first = Daemon::start(dir.path(), &env(&url));
    let one = begin(&first).await;
    let second = Daemon::start(dir.path(), &env(&url));
    let two = connected(&one, &second).await;
    let receiver = Http::start().await;
    create(&one, webhook(&receiver.url()), "").await.unwrap();
    for n in 0..60 {
        let by = if n % 2 == 0 { &one } else { &two };
        world::create_role(by, &format!("shared-{n}"), "x").await.unwrap();
    }
    let caught = caught_up(&two).await;
    assert_eq!(caught.of(receiver.events()), caught.log, "once, and in order");
    first.kill();
    for n in 0..20 {
        world::create_role(&two, &format!("alone-{n}"), "x").await.unwrap();
    }
    let caught = caught_up(&two).await;
    let came: BTreeSet<_> = receiver.events().into_iter().collect();
    assert_eq!(caught.of(came.into_iter().collect()), caught.log);
    assert_eq!(caught.sink.state(), pb::State::Active);
    let (well, said) = second.stop();
    assert!(well, "{said}");
}

/// Where traces are kept, a receiver is told in which trace it was called: that of the call, or one of the delivery.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receiver_is_told_the_trace_in_which_it_was_called() {
    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    let (collector, dir) = (Collector::start(), tempfile::tempdir().unwrap());
    let env = [
        ("PROVOST__TELEMETRY__OTLP_ENDPOINT", collector.url.as_str()),
        ("PROVOST__TELEMETRY__TRACE_RATIO", "1.0"),
    ];
    let daemon = Daemon::start(dir.path(), &[&env[..], &SETTINGS[..]].concat());
    let admin = begin(&daemon).await;
    let receiver = Http::start().await;
    create(&admin, webhook(&receiver.url()), "").await.unwrap();
    caught_up(&admin).await;
    let trace_of = |header: &str| header.split('-').nth(1).unwrap_or_default().to_owned();
    for received in receiver.taken() {
        let header = received.header("traceparent");
        assert!(header.len() == 55 && header.starts_with("00-") && trace_of(header).len() == 32, "{header}");
    }
    let before = receiver.taken().len();
    let mut test = admin.ask(pb::TestSinkRequest { name: SIEM.to_owned() });
    test.metadata_mut().insert("traceparent", format!("00-{TRACE}-00f067aa0ba902b7-01").parse().unwrap());
    client(&admin).test_sink(test).await.unwrap();
    let taken = receiver.taken();
    assert!(taken[before..].iter().any(|r| trace_of(r.header("traceparent")) == TRACE));
    let (well, said) = daemon.stop();
    assert!(well, "{said}");
}
