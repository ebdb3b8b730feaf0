//! What the server tells of itself, at a real receiver.

use opentelemetry_proto::tonic::{
    common::v1::{KeyValue, any_value::Value as Any},
    metrics::v1::{Metric, metric::Data},
};
use proto::{
    principal::v1::{self as principal, PrincipalKind},
    role::v1::{self as role, role_service_client::RoleServiceClient},
    token::v1::TokenKind,
};
use serde_json::{Value, json};
use tests::{
    collector::Collector,
    http, market,
    process::Daemon,
    raw,
    site::Caller,
    world::{self, ACME},
};
use tonic::Request;

const GET_ROLE: &str = "provost.role.v1.RoleService/GetRole";
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";

/// Names and addresses of people, and words of theirs, as they occur in the calls of [`busy`].
const PRIVATE: [&str; 5] =
    ["Zaphod", "Beeblebrox", "zaphod@heartofgold.example", "Improbability", "my salary is 42"];

fn text<'a>(attributes: &'a [KeyValue], key: &str) -> Option<&'a str> {
    let found = attributes.iter().find(|a| a.key == key)?;
    match found.value.as_ref()?.value.as_ref()? {
        Any::StringValue(text) => Some(text),
        _ => None,
    }
}

/// How many calls of `method` with this outcome a metric counts.
fn calls(metric: &Metric, method: &str, code: &str) -> u64 {
    let Some(Data::Histogram(histogram)) = &metric.data else { return 0 };
    let of = |key: &str, value: &str, attributes: &[KeyValue]| text(attributes, key) == Some(value);
    let points = histogram.data_points.iter();
    points
        .filter(|p| of("method", method, &p.attributes) && of("code", code, &p.attributes))
        .map(|p| p.count)
        .sum()
}

fn traced<T>(mut request: Request<T>, traceparent: &str) -> Request<T> {
    request.metadata_mut().insert("traceparent", traceparent.parse().unwrap());
    request
}

async fn start(collector_url: &str, dir: &std::path::Path) -> Daemon {
    let (dir, url) = (dir.to_owned(), collector_url.to_owned());
    let started = tokio::task::spawn_blocking(move || {
        Daemon::start(
            &dir,
            &[
                ("PROVOST__TELEMETRY__OTLP_ENDPOINT", &url),
                ("PROVOST__TELEMETRY__OTLP_INTERVAL_SECONDS", "1"),
                // everything that the product itself ever says
                (
                    "PROVOST__TELEMETRY__LOG",
                    "info,kernel=trace,server=trace,access=trace,tenancy=trace,catalog=trace,entitlement=trace,decision=trace,\
                     metering=trace,audit=trace,tlog=trace,sink=trace",
                ),
            ],
        )
    });
    started.await.unwrap()
}

async fn stop(daemon: Daemon) -> (bool, String) {
    tokio::task::spawn_blocking(|| daemon.stop()).await.unwrap()
}

/// Calls with private content, good and bad; returns every secret that they used.
async fn busy(admin: &Caller, url: &str) -> Vec<String> {
    world::partner(admin, "northwind").await;
    world::tenant(admin, "acme", world::NORTHWIND).await.unwrap();
    let person = principal::Principal {
        kind: PrincipalKind::User.into(),
        display_name: "Zaphod Beeblebrox".to_owned(),
        email: "zaphod@heartofgold.example".to_owned(),
        ..Default::default()
    };
    world::principal(admin, ACME, "zaphod", person.clone()).await.unwrap();
    world::principal(admin, ACME, "zaphod", person).await.unwrap_err();
    world::create_role(admin, "pilot", "Improbability pilot").await.unwrap();
    world::create_role(admin, "Zaphod Beeblebrox", "Improbability pilot").await.unwrap_err();
    let mut token = world::token_of(ACME, "zaphod", TokenKind::Personal);
    let end = kernel::clock::Clock::System.now().plus(std::time::Duration::from_hours(1));
    token.expire_time = Some(end.into());
    let personal = world::create_token(admin, ACME, token).await.unwrap().secret;
    let mut token = world::token_of(ACME, "zaphod", TokenKind::Ingest);
    token.expire_time = Some(end.into());
    let ingest = world::create_token(admin, ACME, token).await.unwrap().secret;
    let zaphod = Caller { channel: admin.channel.clone(), secret: personal.clone() };
    world::create_role(&zaphod, "x", "x").await.unwrap_err();
    let unknown = kernel::authn::Secret::generate(kernel::authn::TokenKind::Personal).unwrap().text;
    let nobody = Caller { channel: admin.channel.clone(), secret: unknown.clone() };
    world::create_role(&nobody, "x", "x").await.unwrap_err();
    let body = serde_json::json!({"resourceLogs": [{
        "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "elsewhere"}}]},
        "scopeLogs": [{"logRecords": [{"body": {"stringValue": "my salary is 42"}, "attributes": [
            {"key": "prompt", "value": {"stringValue": "my salary is 42"}},
            {"key": "user.email", "value": {"stringValue": "zaphod@heartofgold.example"}},
        ]}]}],
    }]});
    assert_eq!(http::post_logs(url, &ingest, body.to_string()).await.status, 200);
    assert_eq!(http::post_logs(url, &ingest, "{\"my salary is 42").await.status, 400);
    let kept = vec![admin.secret.clone(), personal, ingest, unknown];
    busy_elsewhere(admin).await;
    kept
}

/// The same with the catalogue, rules, decisions, the record and where it goes.
async fn busy_elsewhere(admin: &Caller) {
    market::import(admin, &market::small(&["kit"])).await.unwrap();
    let mut broken = market::small(&["kit"]);
    broken.insert(market::LISTING.to_owned(), b"{\"name\": \"my salary is 42".to_vec());
    market::import(admin, &broken).await.unwrap_err();
    let call = async |rpc: &str, request: Value| raw::json(admin, &format!("provost.{rpc}"), request).await;
    let (create, plugin) =
        ("entitlement.v1.EntitlementService/CreateEntitlement", "marketplaces/vendor/plugins/kit");
    let rule = json!({"role": "*", "target": plugin, "effect": "EFFECT_AVAILABLE", "reason": "Zaphod Beeblebrox asked"});
    call(create, json!({"parent": ACME, "entitlement": rule})).await.unwrap();
    let role = json!({"role": "Zaphod Beeblebrox", "target": plugin, "effect": "EFFECT_AVAILABLE"});
    call(create, json!({"parent": ACME, "entitlement": role})).await.unwrap_err();
    for who in ["zaphod", "Zaphod Beeblebrox"] {
        let asked = json!({"principal": format!("{ACME}/principals/{who}"), "plugin": plugin});
        let _ = call("decision.v1.DecisionService/Check", asked).await;
    }
    for filter in ["text(\"Beeblebrox\")", "Beeblebrox Beeblebrox ("] {
        let asked = json!({"parent": ACME, "filter": filter});
        let _ = call("audit.v1.AuditService/ListAuditEvents", asked.clone()).await;
        let export = proto::audit::v1::ExportAuditEventsRequest {
            parent: ACME.to_owned(),
            filter: filter.to_owned(),
            ..Default::default()
        };
        let mut client =
            proto::audit::v1::audit_service_client::AuditServiceClient::new(admin.channel.clone());
        if let Ok(answer) = client.export_audit_events(admin.ask(export)).await {
            let mut parts = answer.into_inner();
            while let Ok(Some(_)) = parts.message().await {}
        }
    }
    for url in ["https://siem.invalid/my%20salary%20is%2042?key=Beeblebrox", "my salary is 42"] {
        let sink = json!({"displayName": "Zaphod Beeblebrox", "webhook": {"url": url}});
        let new = json!({"parent": ACME, "sinkId": "siem", "sink": sink});
        let _ = call("sink.v1.SinkService/CreateSink", new).await;
    }
    let _ = call("sink.v1.SinkService/TestSink", json!({"name": format!("{ACME}/sinks/siem")})).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn traces_metrics_and_logs_arrive_and_hold_nothing_private() {
    let (collector, dir) = (Collector::start(), tempfile::tempdir().unwrap());
    let daemon = start(&collector.url, dir.path()).await;
    let admin = daemon.admin().await;
    let mut secrets = busy(&admin, &daemon.url).await;
    secrets.push(daemon.bootstrap.clone().unwrap());
    let mut client = RoleServiceClient::new(admin.channel.clone());
    let get = |id: &str| admin.ask(role::GetRoleRequest { name: world::child(ACME, "roles", id) });
    client.get_role(traced(get("pilot"), &format!("00-{TRACE}-{PARENT}-01"))).await.unwrap();
    client.get_role(get("none")).await.unwrap_err();
    // the caller decided that this one is not traced
    let untraced = "11111111111111111111111111111111";
    client.get_role(traced(get("pilot"), &format!("00-{untraced}-{PARENT}-00"))).await.unwrap();
    let new = role::CreateRoleRequest {
        parent: ACME.to_owned(),
        role_id: "captain".to_owned(),
        role: Some(role::Role { display_name: "Captain".to_owned(), ..Default::default() }),
        ..Default::default()
    };
    client.create_role(traced(admin.ask(new), &format!("00-{TRACE}-{PARENT}-01"))).await.unwrap();
    let acts = crate::audit::events(&admin, ACME, &format!("trace_id = \"{TRACE}\"")).await;
    assert_eq!(acts.iter().map(|a| a.action.as_str()).collect::<Vec<_>>(), ["role.create"]);

    let bytes = |hex: &str| u128::from_str_radix(hex, 16).unwrap().to_be_bytes();
    let is_ours = |trace: &[u8]| trace == bytes(TRACE);
    let span = collector.until("span of the traced call", |r| {
        r.spans().find(|s| is_ours(&s.trace_id) && s.name == GET_ROLE).cloned()
    });
    let span = span.await;
    assert_eq!(span.parent_span_id, bytes(PARENT)[8..], "it hangs below the caller's span");
    assert!(span.end_time_unix_nano > span.start_time_unix_nano);
    for (code, least) in [("OK", 2), ("NOT_FOUND", 1)] {
        let count = |r: &tests::collector::Received| {
            let named = r.metrics().filter(|m| m.name == "rpc.server.duration");
            named.map(|m| calls(m, GET_ROLE, code)).max().filter(|count| *count >= least)
        };
        assert_eq!(collector.until(&format!("rpc.server.duration of {code}"), count).await, least);
    }
    let answered = |r: &tests::collector::Received| {
        let named = r.logs().find(|l| {
            text(&l.attributes, "method") == Some(GET_ROLE)
                && text(&l.attributes, "code") == Some("NOT_FOUND")
        });
        named.cloned()
    };
    let record = collector.until("log record of the refused call", answered).await;
    assert_eq!(record.severity_text, "INFO");
    let its_span = |r: &tests::collector::Received| r.spans().find(|s| s.span_id == record.span_id).cloned();
    assert_eq!(collector.until("span of the log record", its_span).await.name, GET_ROLE);

    let (well, logged) = stop(daemon).await;
    assert!(well, "{logged}");
    // what was left is sent at the end: whatever was to come is there
    collector.look(|r| {
        assert!(r.spans().all(|s| s.trace_id != bytes(untraced)), "a call that the caller does not trace");
        for resource in r.traces.iter().flat_map(|t| &t.resource_spans).filter_map(|s| s.resource.as_ref()) {
            assert_eq!(text(&resource.attributes, "service.name"), Some("provostd"));
        }
    });
    let sent = collector.text();
    assert!(sent.contains(GET_ROLE) && sent.contains("\"v1/logs\""), "{sent}");
    for (place, said) in [("sent", &sent), ("logged", &logged)] {
        for secret in &secrets {
            assert!(!said.contains(secret.as_str()), "a secret was {place}");
        }
        for word in PRIVATE {
            let around = said.find(word).map(|at| said.get(at.saturating_sub(300)..at + 100));
            assert!(around.is_none(), "`{word}` was {place}: {around:?}");
        }
    }
    for line in logged.lines() {
        let entry: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        for field in ["timestamp", "level", "message", "target"] {
            assert!(entry[field].is_string(), "{field}: {line}");
        }
    }
    assert!(logged.contains("\"code\":\"NOT_FOUND\""), "{logged}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_its_receiver_the_server_works_and_stops_as_usual() {
    let dir = tempfile::tempdir().unwrap();
    let gone = Collector::start().url.clone();
    let daemon = start(&gone, dir.path()).await;
    let admin = daemon.admin().await;
    busy(&admin, &daemon.url).await;
    let metrics = http::get(&format!("{}/metrics", daemon.url)).await.text();
    assert!(
        metrics.contains("rpc_server_duration") && metrics.contains("provost.role.v1.RoleService/CreateRole"),
        "{metrics}"
    );
    for word in PRIVATE {
        assert!(!metrics.contains(word), "{word}");
    }
    let (well, logged) = stop(daemon).await;
    assert!(well, "{logged}");
}
