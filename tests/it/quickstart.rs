//! The first command of the README, as a process: on what it brings, and on what vendors and their clients really send.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    process::Output,
};

use proto::role::v1::{ListRolesRequest, role_service_client::RoleServiceClient};
use serde_json::{Value, json};
use tests::{data, http, process, site::Caller};
use tonic::transport::Channel;

use crate::{
    catalog::published::{Published, Reported},
    usage::expected,
};

const CODEX: &str = "codex/run2-managed-plugin-mcp-json";
const CLAUDE: &str = "claude/03-skill-details";

/// What is told of Maria, who is an analyst, and of an app that the owner withholds from analysts.
const WHY: &str = "No: maria may not use provost-starter/investment-banking/pitchbook; a rule forbids it. Rule \
    analysts-no-pitchbook, a floor set by the owner or compliance of acme, forbids it for role data-analyst, which maria holds \
    (\"PitchBook is licensed for the deal team only\"). To allow it";

/// Runs it to its end on `dir`.
fn quickstart(dir: &Path, args: &[&str]) -> Output {
    let mut command = process::command("provostd");
    command.args(["quickstart", "--exit", "--listen", "127.0.0.1:0", "--data-dir"]).arg(dir).args(args);
    command.output().unwrap()
}

/// Its standard output, after it ended well.
fn printed(output: &Output) -> String {
    assert!(output.status.success(), "{}", told(output));
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// Its standard error.
fn told(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// The report, the only thing on standard output.
fn report(output: &Output) -> Value {
    let text = printed(output);
    assert_eq!(text.lines().count(), 1, "{text}");
    serde_json::from_str(&text).unwrap()
}

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

/// The report's part about one marketplace accounts for every file of its directory.
fn accounts_for(marketplace: &Value, directory: &Path) {
    assert_eq!(keys(marketplace), ["apps", "name", "plugins", "skills", "skipped"]);
    let published = Published::read(&data::files(directory));
    let skipped = marketplace["skipped"].as_array().unwrap();
    for entry in skipped {
        assert!(!entry["reason"].as_str().unwrap().is_empty(), "{entry}");
    }
    let reported = Reported {
        plugins: marketplace["plugins"].as_i64().unwrap(),
        apps: marketplace["apps"].as_i64().unwrap(),
        skills: marketplace["skills"].as_i64().unwrap(),
        skipped: skipped.iter().map(|s| s["entry"].as_str().unwrap()).collect(),
    };
    reported.covers(&published);
    assert!(reported.plugins > 0 && reported.skills > 0);
}

/// Figures by role and meter.
fn figures(report: &Value) -> BTreeMap<&str, BTreeMap<String, i64>> {
    let mut roles = BTreeMap::<_, BTreeMap<_, _>>::new();
    for row in report["usage"].as_array().unwrap() {
        assert_eq!(keys(row), ["meter", "role", "value"]);
        let meters = roles.entry(row["role"].as_str().unwrap()).or_default();
        meters.insert(row["meter"].as_str().unwrap().to_owned(), row["value"].as_i64().unwrap());
    }
    roles
}

/// What the issue asks to see of every role that used something.
fn is_counted(meters: &BTreeMap<String, i64>) {
    for meter in ["tokens.input", "tokens.output", "skill.invocations"] {
        assert!(meters.get(meter).is_some_and(|value| *value > 0), "{meter} in {meters:?}");
    }
}

#[test]
fn built_in_data_tells_the_whole_story_and_a_second_run_tells_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let first = quickstart(dir.path(), &["--json"]);
    let story = report(&first);
    assert_eq!(keys(&story), ["audit", "decisions", "explanation", "marketplaces", "tenant", "usage"]);
    assert!(story["explanation"].as_str().unwrap().starts_with(WHY), "{}", story["explanation"]);
    assert_eq!(story["tenant"], "tenants/acme");
    assert!(told(&first).contains("importing the built-in marketplace"), "{}", told(&first));
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../services/server/quickstart/marketplace");
    assert_eq!(story["marketplaces"].as_array().unwrap().len(), 1);
    accounts_for(&story["marketplaces"][0], &source);
    assert_eq!(story["marketplaces"][0]["skipped"], json!([]));

    let decisions = story["decisions"].as_array().unwrap();
    let reasons: BTreeSet<_> = decisions.iter().map(|d| d["reason"].as_str().unwrap()).collect();
    assert_eq!(reasons, BTreeSet::from(["ALLOWED", "EXPLICIT_DENY", "NO_MATCHING_RULE", "STAGE_GATE"]));
    for decision in decisions {
        assert_eq!(keys(decision), ["allowed", "plugin", "principal", "reason"]);
        assert_eq!(decision["allowed"], decision["reason"] == "ALLOWED", "{decision}");
    }
    let roles = figures(&story);
    assert_eq!(
        roles.keys().copied().collect::<Vec<_>>(),
        ["data-analyst", "developer", "investment-banker", "sales"]
    );
    roles.values().for_each(is_counted);
    assert!(story["audit"]["events"].as_u64().unwrap() > 20, "{}", story["audit"]);

    assert_eq!(printed(&quickstart(dir.path(), &["--json"])), printed(&first));
}

#[test]
fn real_marketplaces_and_captures_are_reported_whole_and_counted_once() {
    let dir = tempfile::tempdir().unwrap();
    let marketplaces = ["codex-official", "claude-knowledge-work"].map(data::marketplace);
    let captures = [CODEX, CLAUDE].map(data::capture);
    let mut args = vec!["--json"];
    args.extend(marketplaces.iter().flat_map(|m| ["--marketplace", m.to_str().unwrap()]));
    args.extend(captures.iter().flat_map(|c| ["--otlp", c.to_str().unwrap()]));
    let first = quickstart(dir.path(), &args);
    let story = report(&first);

    let reported = story["marketplaces"].as_array().unwrap();
    assert_eq!(
        reported.iter().map(|m| m["name"].as_str().unwrap()).collect::<Vec<_>>(),
        ["openai-curated", "knowledge-work-plugins"]
    );
    for (marketplace, directory) in reported.iter().zip(&marketplaces) {
        accounts_for(marketplace, directory);
    }
    assert_eq!(reported[0]["plugins"], 180);

    // one person each in turn: the first is a data analyst, the second is in sales
    let expected = BTreeMap::from([
        ("data-analyst", expected::sums(&data::logs(CODEX))),
        ("sales", expected::sums(&data::logs(CLAUDE))),
    ]);
    expected.values().for_each(is_counted);
    let with_people = |mut meters: BTreeMap<String, i64>| {
        meters.insert("active_principals".to_owned(), 1);
        meters
    };
    let expected: BTreeMap<_, _> =
        expected.into_iter().map(|(role, meters)| (role, with_people(meters))).collect();
    assert_eq!(figures(&story), expected);

    assert_eq!(printed(&quickstart(dir.path(), &args)), printed(&first));
}

#[test]
fn people_get_a_page_instead_of_json() {
    let dir = tempfile::tempdir().unwrap();
    let page = printed(&quickstart(dir.path(), &[]));
    for part in [
        "Marketplaces\n",
        "provost-starter",
        "Decisions in tenants/acme",
        "may sam          use investment-banking         no   EXPLICIT_DENY",
        "Usage by role",
        "investment-banker    tokens.input",
        "Audit log of tenants/acme",
        "usage.logs",
        "Tokens are in",
    ] {
        assert!(page.contains(part), "`{part}` is missing in\n{page}");
    }
    assert!(!page.contains("stays up"), "it ends, so it invites nobody\n{page}");
    for token in ["admin", "nora", "carla", "olivia"] {
        let path = dir.path().join(format!("{token}.token"));
        let secret = std::fs::read_to_string(&path).unwrap();
        assert!(!page.contains(secret.trim()), "the token of {token} is printed");
        let mode = std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(&path).unwrap());
        assert_eq!(mode & 0o777, 0o600);
    }
}

#[test]
fn what_cannot_be_read_is_named_and_the_directory_stays_good() {
    let (dir, empty) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let nothing = empty.path().to_str().unwrap();
    for (args, complaint) in [
        (["--marketplace", "/nonexistent/market"], "/nonexistent/market"),
        (["--marketplace", nothing], "empty"),
        (["--otlp", "/nonexistent/capture"], "/nonexistent/capture"),
        (["--otlp", nothing], "OTLP/HTTP JSON"),
    ] {
        let output = quickstart(dir.path(), &[&["--json"], &args[..]].concat());
        assert_eq!(output.status.code(), Some(1), "{args:?}");
        assert!(output.stdout.is_empty(), "half a report: {}", String::from_utf8_lossy(&output.stdout));
        let said = told(&output);
        let last = said.lines().last().unwrap();
        assert!(last.starts_with("error: ") && last.contains(complaint), "{said}");
    }
    report(&quickstart(dir.path(), &["--json"]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn somebody_elses_deployment_is_refused_in_words_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let theirs = process::Daemon::start(dir.path(), &[]);
    let admin = theirs.admin().await;
    assert!(theirs.stop().0);
    let output = quickstart(dir.path(), &["--json"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        told(&output).contains("was not made by quickstart; choose another --data-dir"),
        "{}",
        told(&output)
    );
    let again = process::Daemon::start(dir.path(), &[]);
    let channel = Channel::from_shared(again.url.clone()).unwrap().connect().await.unwrap();
    let admin = Caller { channel, ..admin };
    let mut client =
        proto::partner::v1::partner_service_client::PartnerServiceClient::new(admin.channel.clone());
    let partners =
        client.list_partners(admin.ask(proto::partner::v1::ListPartnersRequest::default())).await.unwrap();
    assert_eq!(partners.into_inner().partners, []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_exit_it_serves_until_it_is_told_to_stop() {
    let dir = tempfile::tempdir().unwrap();
    let running = process::Daemon::quickstart(dir.path());
    assert!(http::get(&format!("{}/metrics", running.url)).await.status.is_success());
    let secret = std::fs::read_to_string(dir.path().join("carla.token")).unwrap();
    let channel = Channel::from_shared(running.url.clone()).unwrap().connect().await.unwrap();
    let carla = Caller { channel, secret: secret.trim().to_owned() };
    let request = ListRolesRequest { parent: "tenants/acme".to_owned(), ..Default::default() };
    let roles = RoleServiceClient::new(carla.channel.clone()).list_roles(carla.ask(request)).await.unwrap();
    assert_eq!(roles.into_inner().roles.len(), 4);
    // the command that the report proposes, as it is proposed: word for word what a compliance officer repeats
    let mut explain = process::command("provost");
    let token = dir.path().join("carla.token");
    explain.args(["--address", running.url.as_str(), "--tenant", "acme", "--token-file"]).arg(token);
    explain
        .args(["explain", "user:maria", "plugin:pitchbook"])
        .env("PROVOST_CONFIG", dir.path().join("none.toml"));
    let told = explain.output().unwrap();
    let said = String::from_utf8(told.stdout).unwrap();
    assert_eq!(told.status.code(), Some(10), "{said}{}", String::from_utf8_lossy(&told.stderr));
    assert!(said.starts_with(WHY), "{said}");
    adoption_is_shown(&running.url, dir.path());
    let (well, logged) = running.stop();
    assert!(well, "{logged}");
}

/// Three of the sample's people do something else than writing software, one does; each may use a plugin, and all are active.
fn adoption_is_shown(url: &str, dir: &Path) {
    let show = |format: &str| {
        let mut command = process::command("provost");
        command.env("PROVOST_CONFIG", dir.join("none.toml"));
        command.args(["--address", url, "--token-file"]).arg(dir.join("carla.token"));
        command.args([
            "usage",
            "adoption",
            "--tenant",
            "acme",
            "--window",
            "week",
            "--by",
            "role-family",
            "-o",
            format,
        ]);
        printed(&command.output().unwrap())
    };
    let answer: Value = serde_json::from_str(&show("json")).unwrap();
    let most = |family: &str| {
        let rows = answer["rows"].as_array().unwrap().iter().filter(|row| row["roleFamily"] == family);
        rows.map(|row| row["activePrincipals"].as_str().unwrap().parse::<i64>().unwrap()).max()
    };
    let found = (most("ROLE_FAMILY_DEVELOPER"), most("ROLE_FAMILY_NON_DEVELOPER"));
    assert_eq!(found, (Some(1), Some(3)), "{answer}");
    assert_eq!(answer["totals"].as_array().unwrap().len(), 12);
    let stage = |name: &str| answer["funnel"][name].as_str().unwrap().parse::<i64>().unwrap();
    // Maria's agent may use what she may, and does nothing
    let stages = ["entitled", "installed", "firstUse", "weeklyUse"].map(stage);
    assert_eq!(stages, [5, 4, 4, 4], "{answer}");
    let table = show("table");
    for part in ["developer ", "non-developer ", "everybody ", "entitled ", "dormant entitlements "] {
        assert!(table.contains(part), "{table}");
    }
}
