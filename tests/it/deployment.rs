//! What is shipped beside the programs fits them.

use std::{collections::BTreeSet, path::PathBuf, time::Duration};

use serde_json::json;
use tests::{Engine, Site, World, http, market, raw, staff, world};

/// Metrics that are there only once something went wrong or took long. This list only shrinks.
const RARE: [&str; 5] = [
    "rpc_server_shed_total",
    "provost_audit_sequencer_failures_total",
    "provost_sink_failures_total",
    "provost_sink_dead_letters_total",
    "provost_sink_lost_total",
];

fn shipped(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../deploy").join(path)
}

/// Words of a text that are names of our metrics, without what a histogram puts behind its own.
fn metrics(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let ours = words.filter(|w| w.starts_with("provost_") || w.starts_with("rpc_server_"));
    ours.map(|w| {
        ["_bucket", "_count", "_sum"].iter().find_map(|end| w.strip_suffix(end)).unwrap_or(w).to_owned()
    })
    .collect()
}

#[test]
fn the_production_configuration_has_no_unknown_keys() {
    let unset = [("database.url_file", String::new())];
    let layers =
        kernel::config::Layers::new(server::DEFAULT_CONFIG, Some(&shipped("production.toml")), &unset)
            .unwrap();
    let config = layers.config().unwrap();
    assert_eq!(config.audit.host, "provost.example.com", "it was read");
}

/// Names of the metrics that a server serves now.
async fn served(site: &Site) -> BTreeSet<String> {
    let text = http::get(&format!("{}/metrics", site.running.url())).await.text();
    let heads = text.lines().filter_map(|l| l.strip_prefix("# TYPE ")?.split(' ').next());
    metrics(&heads.collect::<Vec<_>>().join(" "))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_dashboard_and_the_table_of_metrics_name_what_is_served() {
    let files = tempfile::tempdir().unwrap();
    let settings = [("sinks.file_dir", files.path().display().to_string())];
    let world = World::build(Site::start_with(Engine::Postgres, &settings).await).await;
    market::import(&world.admin, &market::small(&["kit"])).await.unwrap();
    let sink = json!({"displayName": "Files", "file": {"directory": "siem"}});
    let request = json!({"parent": world::ACME, "sinkId": "files", "sink": sink});
    raw::json(&world.owner, "provost.sink.v1.SinkService/CreateSink", request).await.unwrap();
    for id in ["banker", "trader"] {
        crate::decisions::check(&world.owner, "member", "marketplaces/vendor/plugins/kit").await.unwrap();
        world.role(id).await;
        staff::give(&world.owner, id, "principals/member").await;
    }
    let token = staff::ingest_token(&world.owner, "member").await;
    let event = json!({"specversion": "1.0", "id": "e", "source": "gateway", "type": "request", "data": {"value": 1}});
    let bearer = format!("Bearer {token}");
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/cloudevents+json")];
    let to = format!("{}/v1/usage/events", world.site.running.url());
    assert_eq!(http::send(::http::Method::POST, &to, &headers, event.to_string()).await.status, 200);
    let read = |path: &str| std::fs::read_to_string(shipped(path)).unwrap();
    let (shown, told) = (metrics(&read("grafana/provost.json")), metrics(&read("README.md")));
    let unknown: Vec<_> = shown.difference(&told).collect();
    assert!(unknown.is_empty(), "on the dashboard and not in deploy/README.md: {unknown:?}");
    let mut found = BTreeSet::new();
    // some are measured beside the calls
    let all = async {
        while found != told {
            crate::decisions::check(&world.owner, "member", "marketplaces/vendor/plugins/kit").await.unwrap();
            found = served(&world.site).await.into_iter().chain(RARE.map(str::to_owned)).collect();
        }
    };
    let same = tokio::time::timeout(Duration::from_mins(1), all).await;
    assert!(same.is_ok(), "served {found:?}; in deploy/README.md {told:?}");
}
