//! Sinks under power cuts and in several processes.

use std::{collections::BTreeSet, net::TcpListener};

use proto::sink::v1 as pb;
use tests::{Engine, process::Daemon, site, site::Caller, world};
use tonic::transport::Channel;

use super::{caught_up, create, get, receiver::Http, until, webhook};

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
