//! `provostd` as a process: what it refuses to start on, how it stops, what survives when it is killed.

use std::net::TcpListener;

use proto::{
    role::v1::{self as role, role_service_client::RoleServiceClient},
    token::v1::{BootstrapRequest, token_service_client::TokenServiceClient},
};
use tests::{process, site::Caller, world};
use tonic::transport::Channel;

fn said(output: &std::process::Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn text(path: &std::path::Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn an_unknown_key_in_file_or_environment_stops_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("provost.toml");
    std::fs::write(&file, "[server]\nlisten_on = \"x\"\n").unwrap();
    let output = process::run("provostd", &["serve", "--config", text(&file)]);
    assert!(!output.status.success());
    assert!(said(&output).contains("listen_on"), "{}", said(&output));
    let output =
        process::command("provostd").args(["serve"]).env("PROVOST__SERVER__LISTN", "x").output().unwrap();
    assert!(!output.status.success() && said(&output).contains("listn"), "{}", said(&output));
    let output = process::run("provostd", &["serve", "--config", "/nonexistent.toml"]);
    assert!(!output.status.success() && said(&output).contains("/nonexistent.toml"), "{}", said(&output));
}

#[test]
fn a_busy_port_is_named_with_what_to_do() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let (dir, address) = (tempfile::tempdir().unwrap(), taken.local_addr().unwrap().to_string());
    let output = process::run("provostd", &["serve", "--listen", &address, "--data-dir", text(dir.path())]);
    assert!(!output.status.success());
    assert!(said(&output).contains(&address) && said(&output).contains("--listen"), "{}", said(&output));
}

#[test]
fn a_second_process_on_the_same_sqlite_database_is_refused_and_the_first_lives_on() {
    let dir = tempfile::tempdir().unwrap();
    let first = process::Daemon::start(dir.path(), &[]);
    let output =
        process::run("provostd", &["serve", "--listen", "127.0.0.1:0", "--data-dir", text(dir.path())]);
    assert!(!output.status.success());
    assert!(said(&output).contains("another provostd"), "{}", said(&output));
    let (well, logged) = first.stop();
    assert!(well, "{logged}");
}

#[test]
fn whoever_asks_it_to_stop_the_moment_it_listens_is_heard() {
    let dir = tempfile::tempdir().unwrap();
    for _ in 0..3 {
        let daemon = process::Daemon::start(dir.path(), &[]);
        assert!(daemon.catches_term(), "it says that it listens before it can be stopped well");
        let (well, logged) = daemon.stop();
        assert!(well, "{logged}");
    }
}

#[test]
fn the_configuration_is_dumped_with_origins_and_without_secrets() {
    let output = process::command("provostd")
        .args(["config", "dump"])
        .env("PROVOST__DATABASE__URL", "postgres://u:hunter2@h/d")
        .output()
        .unwrap();
    let dump = said(&output);
    assert!(output.status.success() && dump.contains("\"***\"") && !dump.contains("hunter2"), "{dump}");
    assert!(dump.contains("max_message_bytes = 4194304  # default"), "{dump}");
}

#[test]
fn doctor_finds_what_is_wrong_and_says_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let output = process::run("provostd", &["doctor", "--listen", "127.0.0.1:0", "--data-dir", text(&data)]);
    assert!(output.status.success(), "{}", said(&output));
    for check in ["clock", "port", "permissions", "disk", "audit keys", "database"] {
        assert!(said(&output).contains(check), "{check}: {}", said(&output));
    }
    assert!(!data.exists(), "a look creates nothing");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = process::run("provostd", &["doctor", "--listen", &address, "--data-dir", text(&data)]);
    assert!(!output.status.success() && said(&output).contains("FAIL"), "{}", said(&output));
    let running = process::Daemon::start(&data, &[]);
    // the key is there and nobody can read it as one
    let bad = dir.path().join("bad.key");
    std::fs::write(&bad, "not a key").unwrap();
    for key in ["PROVOST__AUDIT__KEY_FILE", "PROVOST__AUDIT__PREVIOUS_KEY_FILE"] {
        let mut doctor = process::command("provostd");
        doctor.args(["doctor", "--listen", "127.0.0.1:0", "--data-dir"]).arg(dir.path().join("new"));
        let output = doctor.env(key, &bad).output().unwrap();
        assert!(!output.status.success() && said(&output).contains("bad.key"), "{key}: {}", said(&output));
        let output = doctor.env(key, dir.path().join("none.key")).output().unwrap();
        assert_eq!(output.status.success(), key.contains("AUDIT__KEY"), "{key}: {}", said(&output));
    }
    let output = process::run("provostd", &["doctor", "--listen", "127.0.0.1:0", "--data-dir", text(&data)]);
    assert!(!output.status.success() && said(&output).contains("another provostd"), "{}", said(&output));
    drop(running);
    let output = process::run("provostd", &["doctor", "--listen", "127.0.0.1:0", "--data-dir", text(&data)]);
    assert!(output.status.success() && said(&output).contains("the newest"), "{}", said(&output));
}

#[test]
fn a_schema_that_does_not_fit_is_told_by_doctor_refused_by_serve_and_mended_by_migrate() {
    let server = tests::postgres::shared();
    let url = server.empty();
    let dir = tempfile::tempdir().unwrap();
    let run = |verb: &str| {
        let mut command = process::command("provostd");
        command.args([verb, "--listen", "127.0.0.1:0", "--data-dir"]).arg(dir.path());
        command.env("PROVOST__DATABASE__URL", &url).output().unwrap()
    };
    let refused = |verb: &str, words: &str| {
        let output = run(verb);
        assert!(!output.status.success() && said(&output).contains(words), "{verb}: {}", said(&output));
    };
    refused("doctor", "run `provostd migrate`");
    refused("serve", "run `provostd migrate`");
    let tables = "SELECT COUNT(*) FROM pg_tables WHERE schemaname = 'public'";
    assert_eq!(server.psql(&url, tables), "0", "neither of them touched it");
    let newest = kernel::db::SCHEMA_NEWEST;
    let output = run("migrate");
    assert!(output.status.success(), "{}", said(&output));
    assert!(said(&output).contains(&format!("from version 0 to {newest}")), "{}", said(&output));
    let output = run("migrate");
    assert!(output.status.success() && said(&output).contains("nothing to do"), "{}", said(&output));
    let output = run("doctor");
    assert!(output.status.success() && said(&output).contains("the newest"), "{}", said(&output));
    server.psql(&url, "UPDATE _sqlx_migrations SET version = 9999 WHERE version = (SELECT MAX(version) FROM _sqlx_migrations)");
    for verb in ["doctor", "serve", "migrate"] {
        refused(verb, "start the newer provostd");
    }
}

async fn administrator(daemon: &process::Daemon) -> Caller {
    let channel = Channel::from_shared(daemon.url.clone()).unwrap().connect().await.unwrap();
    let boot = Caller { channel: channel.clone(), secret: daemon.bootstrap.clone().unwrap() };
    let request = BootstrapRequest {
        principal_id: "root".to_owned(),
        display_name: "Root".to_owned(),
        email: String::new(),
    };
    let made =
        TokenServiceClient::new(channel.clone()).bootstrap(boot.ask(request)).await.unwrap().into_inner();
    Caller { channel, secret: made.secret }
}

/// Every acknowledged change is there with its audit event, and every audit event with its change, whenever the
/// process was killed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_and_nothing_is_half_written_under_kill_9() {
    let dir = tempfile::tempdir().unwrap();
    let mut daemon = process::Daemon::start(dir.path(), &[]);
    let mut admin = administrator(&daemon).await;
    world::partner(&admin, "northwind").await;
    world::tenant(&admin, "acme", world::NORTHWIND).await.unwrap();
    let mut acknowledged = Vec::new();
    for round in 0..5 {
        let writers: Vec<_> = (0..8)
            .map(|w| {
                let by = admin.clone();
                tokio::spawn(async move {
                    let mut made = Vec::new();
                    for n in 0..10_000 {
                        let id = format!("r-{round}-{w}-{n}");
                        match world::create_role(&by, &id, "x").await {
                            Ok(role) => made.push(role.name),
                            Err(_) => break,
                        }
                    }
                    made
                })
            })
            .collect();
        // let some of them through before the power goes
        while world::create_role(&admin, &format!("probe-{round}-{}", acknowledged.len()), "x").await.is_err()
        {
        }
        tokio::time::sleep(std::time::Duration::from_millis(150)).await;
        daemon.kill();
        for writer in writers {
            acknowledged.extend(writer.await.unwrap());
        }
        daemon = process::Daemon::start(dir.path(), &[]);
        admin.channel = Channel::from_shared(daemon.url.clone()).unwrap().connect().await.unwrap();
    }
    assert!(acknowledged.len() > 50, "only {} changes were made", acknowledged.len());
    let there = roles(&admin).await;
    let lost: Vec<_> = acknowledged.iter().filter(|name| !there.contains(*name)).collect();
    assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
    let recorded: std::collections::BTreeSet<_> =
        crate::audit::events(&admin, world::ACME, "action = \"role.create\"")
            .await
            .into_iter()
            .flat_map(|e| e.targets)
            .collect();
    assert_eq!(there, recorded);
}

/// Names of all roles of `acme`.
pub async fn roles(by: &Caller) -> std::collections::BTreeSet<String> {
    let (mut names, mut page_token) = (std::collections::BTreeSet::new(), String::new());
    loop {
        let request = role::ListRolesRequest {
            parent: world::ACME.to_owned(),
            page_size: 1_000,
            page_token,
            ..Default::default()
        };
        let page = RoleServiceClient::new(by.channel.clone())
            .list_roles(by.ask(request))
            .await
            .unwrap()
            .into_inner();
        names.extend(page.roles.into_iter().map(|r| r.name));
        if page.next_page_token.is_empty() {
            return names;
        }
        page_token = page.next_page_token;
    }
}
