//! `provost edge` as a process beside a real `provostd`.

use std::{path::Path, time::Duration};

use proto::{
    catalog::v1::Stage,
    decision::v1::{GetDecisionKeysRequest, decision_service_client::DecisionServiceClient},
};
use serde_json::{Value, json};
use tests::{http as web, market, own, process, process::Daemon, site, staff, world};

use super::authzen::{Asker, keeps_the_rules, may, stock};

mod hostile;

/// Nothing that is waited for takes so long.
const PATIENCE: Duration = Duration::from_mins(2);

/// A client organisation with Maria, who may use `vendor/kit`.
struct House {
    daemon: Daemon,
    admin: site::Caller,
    dir: tempfile::TempDir,
}

impl House {
    async fn open(env: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let daemon = Daemon::start(&dir.path().join("data"), env);
        let admin = daemon.admin().await;
        world::partner(&admin, "northwind").await;
        world::tenant(&admin, "acme", world::NORTHWIND).await.unwrap();
        world::create_role(&admin, "banker", "Banker").await.unwrap();
        world::user(&admin, world::ACME, "maria").await;
        staff::give(&admin, "banker", "principals/maria").await;
        stock(&admin, &admin).await;
        let request = GetDecisionKeysRequest { parent: world::ACME.to_owned() };
        let mut client = DecisionServiceClient::new(admin.channel.clone());
        let keys = client.get_decision_keys(admin.ask(request)).await.unwrap().into_inner().verifier_keys;
        std::fs::write(dir.path().join("vkey"), keys.join("\n")).unwrap();
        std::fs::write(dir.path().join("token"), &admin.secret).unwrap();
        Self { daemon, admin, dir }
    }

    fn edge(&self, more: &[&str]) -> Edge {
        Edge::start(self.dir.path(), &self.daemon.url, more)
    }
}

/// A running edge.
struct Edge {
    process: Daemon,
    asker: Asker,
}

impl Edge {
    fn start(dir: &Path, server: &str, more: &[&str]) -> Self {
        let (vkey, token) = (dir.join("vkey"), dir.join("token"));
        let mut args = vec!["edge", "acme", "--listen", "127.0.0.1:0", "--address", server];
        args.extend(["--vkey", vkey.to_str().unwrap(), "--token-file", token.to_str().unwrap()]);
        args.extend(more);
        let process = Daemon::edge(&args);
        let asker = Asker { url: process.url.clone(), secret: String::new() };
        Self { process, asker }
    }

    async fn health(&self) -> Value {
        web::get(&format!("{}/healthz", self.asker.url)).await.json()
    }

    /// Waits until its health is as wanted.
    async fn until(&self, wanted: impl Fn(&Value) -> bool) -> Value {
        let waiting = tokio::time::timeout(PATIENCE, async {
            loop {
                let health = self.health().await;
                if wanted(&health) {
                    return health;
                }
                tokio::task::yield_now().await;
            }
        });
        waiting.await.unwrap()
    }

    async fn serving(&self) -> Value {
        self.until(|health| health["serving"] == true).await
    }

    /// Whether Maria may use the plugin, and why.
    async fn why(&self) -> (bool, String) {
        let mut request = may("maria", "vendor/kit");
        request["context"] = json!({"explain": true});
        let answer = self.asker.ask("evaluation", &request).await;
        (answer["decision"].as_bool().unwrap(), answer["context"]["reason"].as_str().unwrap().to_owned())
    }
}

fn yes() -> (bool, String) {
    (true, "ALLOWED".to_owned())
}

fn no(reason: &str) -> (bool, String) {
    (false, reason.to_owned())
}

/// The life of an edge: it keeps AuthZEN's rules, follows a withdrawal, goes on when the control plane dies, boots from its
/// disk, and denies past its bound.
async fn lives(env: &[(&str, &str)]) {
    let house = House::open(env).await;
    let state = house.dir.path().join("state");
    let kept = ["--state", state.to_str().unwrap()];
    let edge = house.edge(&kept);
    let hasty = house.edge(&["--max-staleness", "2"]);
    let before = edge.serving().await;
    assert_eq!(edge.why().await, yes());
    keeps_the_rules(&edge.asker).await;
    let elsewhere = json!({"tenant": "globex"});
    let mut other = may("maria", "vendor/kit");
    other["context"] = elsewhere;
    assert_eq!(edge.asker.post("evaluation", &other).await.status, 404);
    // a name that somebody else made lead here
    let rebound = [("content-type", "application/json"), ("host", "evil.example")];
    assert_eq!(
        edge.asker.send("evaluation", &rebound, &may("maria", "vendor/kit").to_string()).await.status,
        403
    );
    // withdrawn at the control plane, and denied here when the stream has brought it
    market::stage(&house.admin, "kit", Stage::Withdrawn).await.unwrap();
    let catalog = |health: &Value| health["revision"]["catalog"].as_i64();
    edge.until(|health| catalog(health) > catalog(&before)).await;
    assert_eq!(edge.why().await, no("WITHDRAWN"));
    let withdrawn = edge.health().await;
    market::stage(&house.admin, "kit", Stage::Live).await.unwrap();
    edge.until(|health| catalog(health) > catalog(&withdrawn)).await;
    assert_eq!(edge.why().await, yes());
    let metrics = web::get(&format!("{}/metrics", edge.asker.url)).await.text();
    assert!(metrics.contains("provost_edge_serving 1"), "{metrics}");
    // the control plane dies: one goes on, the other has the shorter bound
    let server = house.daemon.url.clone();
    house.daemon.kill();
    edge.until(|health| health["connected"] == false).await;
    assert_eq!(edge.why().await, yes());
    hasty.until(|health| health["serving"] == false).await;
    assert_eq!(hasty.why().await, no("POLICY_UNAVAILABLE"));
    assert_eq!(hasty.asker.post("search/resource", &may("maria", "x")).await.status, 503);
    assert_eq!(web::get(&format!("{}/healthz", hasty.asker.url)).await.status, 503);
    // it stops when it is told to, and boots from its disk without anybody to ask
    let (well, logged) = edge.process.stop();
    assert!(well, "{logged}");
    let booted = Edge::start(house.dir.path(), &server, &kept);
    assert_eq!(booted.why().await, yes());
    assert_eq!(booted.health().await["connected"], false);
    drop(booted);
    let late = Edge::start(house.dir.path(), &server, &[kept[0], kept[1], "--max-staleness", "1"]);
    late.until(|health| health["serving"] == false).await;
    assert_eq!(late.why().await, no("POLICY_UNAVAILABLE"));
    drop(late);
    // what is kept was changed by somebody: nothing of it is decided by
    let policy = state.join("policy");
    let mut bytes = std::fs::read(&policy).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&policy, bytes).unwrap();
    let tampered = Edge::start(house.dir.path(), &server, &kept);
    assert_eq!(tampered.why().await, no("POLICY_UNAVAILABLE"));
    let (_, logged) = tampered.process.stop();
    assert!(logged.contains("NOT VERIFIED"), "{logged}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edge_follows_survives_boots_and_denies_on_sqlite() {
    lives(&[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edge_follows_survives_boots_and_denies_on_postgres() {
    let url = site::fresh_postgres().await;
    lives(&[("PROVOST__DATABASE__URL", &url)]).await;
}

/// The kill switch: what the first of two nodes withdraws is denied by the second, and by an edge that follows the second.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_withdrawal_reaches_a_second_node_and_its_edge() {
    let url = site::fresh_postgres().await;
    let env = [("PROVOST__DATABASE__URL", url.as_str())];
    let house = House::open(&env).await;
    // the second node signs with the same keys
    let (first, second) = (house.dir.path().join("data"), house.dir.path().join("second"));
    std::fs::create_dir(&second).unwrap();
    for key in ["audit.key", "decision.key"] {
        std::fs::copy(first.join(key), second.join(key)).unwrap();
    }
    let second = Daemon::start(&second, &env);
    let edge = Edge::start(house.dir.path(), &second.url, &[]);
    let node = Asker { url: second.url.clone(), secret: house.admin.secret.clone() };
    edge.serving().await;
    let ask = async |asker: &Asker| {
        let mut request = may("maria", "vendor/kit");
        request["context"] = json!({"explain": true, "tenant": "acme"});
        asker.ask("evaluation", &request).await["context"]["reason"].clone()
    };
    let reaches = async |stage: Stage, reason: &str| {
        market::stage(&house.admin, "kit", stage).await.unwrap();
        for asker in [&node, &edge.asker] {
            let waiting = tokio::time::timeout(PATIENCE, async {
                while ask(asker).await != reason {
                    tokio::task::yield_now().await;
                }
            });
            waiting.await.unwrap();
        }
    };
    assert_eq!((ask(&node).await, ask(&edge.asker).await), ("ALLOWED".into(), "ALLOWED".into()));
    reaches(Stage::Withdrawn, "WITHDRAWN").await;
    reaches(Stage::Live, "ALLOWED").await;
    // and a tenant's own, which is no change of the catalogue
    own::hold(&house.admin, "s", "kit", Stage::Withdrawn).await.unwrap();
    reaches(Stage::Live, "WITHDRAWN").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edge_takes_nothing_that_another_key_signed_and_says_so() {
    let house = House::open(&[]).await;
    let other = "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8";
    std::fs::write(house.dir.path().join("vkey"), other).unwrap();
    let edge = house.edge(&[]);
    let refused = tokio::time::timeout(PATIENCE, async {
        while !web::get(&format!("{}/metrics", edge.asker.url)).await.text().contains("reason=\"SIGNATURE\"")
        {
            tokio::task::yield_now().await;
        }
    });
    refused.await.unwrap();
    assert_eq!(edge.why().await, no("POLICY_UNAVAILABLE"));
}

#[test]
fn an_edge_without_a_good_command_line_does_not_start() {
    let said = |args: &[&str]| {
        let output = process::run("provost", args);
        assert!(!output.status.success());
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let key = "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8";
    let open = said(&["edge", "acme", "--vkey", key, "--listen", "0.0.0.0:0"]);
    assert!(open.contains("this machine only"), "{open}");
    assert!(said(&["edge", "acme"]).contains("--vkey"));
    assert!(said(&["edge", "acme", "--vkey", "nothing"]).contains("neither a verifier key"));
}
