//! Telemetry in, figures out, over the real wire.

use std::collections::BTreeMap;

use kernel::clock::Time;
use proto::usage::v1::{self as pb, UsageDimension, usage_service_client::UsageServiceClient};
use serde_json::{Value, json};
use tests::{Site, World, http, site::Caller, staff, world};
use tonic::Status;

mod adoption;
mod captures;
mod corrections;
mod crash;
pub mod expected;
mod ingest;
mod meters;
mod observed;
mod queries;
mod refusals;
mod rollup;
mod signals;
mod simulator;

/// `acme` with two people who send telemetry: Maria, an analyst in finance, and Sam, in sales.
struct Desk {
    world: World,
    maria: String,
    sam: String,
    /// The tenant's own.
    tenant: String,
}

impl Desk {
    async fn open(site: Site) -> Self {
        let world = World::build(site).await;
        let owner = &world.owner;
        for (person, unit, role) in [("maria", "finance", "analyst"), ("sam", "field", "sales")] {
            staff::unit(owner, unit).await;
            staff::user(owner, person, unit).await;
            world.role(role).await;
            staff::give(owner, role, &format!("principals/{person}")).await;
        }
        let maria = staff::ingest_token(owner, "maria").await;
        let sam = staff::ingest_token(owner, "sam").await;
        let tenant = staff::ingest_token(owner, "").await;
        Self { world, maria, sam, tenant }
    }

    fn url(&self) -> String {
        self.world.site.running.url()
    }

    /// Sends a request that is taken; returns what of it was refused.
    async fn send(&self, token: &str, body: &[u8]) -> Value {
        let answer = http::post_logs(&self.url(), token, body.to_vec()).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()["partialSuccess"].clone()
    }

    /// Sends requests of which nothing is refused.
    async fn send_all(&self, token: &str, bodies: &[Vec<u8>]) {
        for body in bodies {
            assert_eq!(self.send(token, body).await, json!({}));
        }
    }

    /// Figures of `acme`, each under the values of its dimensions.
    async fn figures(&self, group_by: &[UsageDimension]) -> BTreeMap<String, BTreeMap<String, i64>> {
        let request = pb::QueryUsageRequest {
            group_by: group_by.iter().map(|d| (*d).into()).collect(),
            ..Default::default()
        };
        let mut groups = BTreeMap::<_, BTreeMap<_, _>>::new();
        let rows = query(&self.world.owner, request).await.unwrap().rows;
        // who is in several groups is one in all
        for row in rows.into_iter().filter(|row| row.meter != "active_principals") {
            let last = |name: &str| name.rsplit('/').next().unwrap().to_owned();
            let group = [&row.role, &row.unit_name, &row.principal, &row.client].map(|n| last(n)).concat();
            assert_eq!(groups.entry(group).or_default().insert(row.meter, row.value), None);
        }
        groups
    }

    /// The figures of everybody together.
    async fn totals(&self) -> BTreeMap<String, i64> {
        self.figures(&[]).await.remove("").unwrap_or_default()
    }

    /// All that is stored of usage.
    async fn stored(&self) -> String {
        self.world.site.dump(&["usage_event"]).await
    }
}

/// Asks about `acme`, if not said otherwise.
async fn query(by: &Caller, request: pb::QueryUsageRequest) -> Result<pb::QueryUsageResponse, Status> {
    let parent = if request.parent.is_empty() { world::ACME.to_owned() } else { request.parent };
    let request = pb::QueryUsageRequest { parent, ..request };
    Ok(UsageServiceClient::new(by.channel.clone()).query_usage(by.ask(request)).await?.into_inner())
}

/// A request of Claude Code about `tokens` output tokens at `time`; `id` tells it from others.
fn event(id: &str, time: Time, tokens: i64) -> Vec<u8> {
    request("claude-code", &[record(id, &(time.micros() * 1_000).to_string(), tokens)])
}

/// A request of one process.
fn request(service: &str, records: &[Value]) -> Vec<u8> {
    let resource = json!({"attributes": [{"key": "service.name", "value": {"stringValue": service}}]});
    json!({"resourceLogs": [{"resource": resource, "scopeLogs": [{"logRecords": records}]}]})
        .to_string()
        .into_bytes()
}

/// One finished request to the model, as Claude Code tells it.
fn record(id: &str, nanos: &str, tokens: i64) -> Value {
    let text = |key: &str, value: &str| json!({"key": key, "value": {"stringValue": value}});
    json!({"timeUnixNano": nanos, "attributes": [
        text("event.name", "api_request"),
        text("session.id", "one"),
        text("request_id", id),
        {"key": "output_tokens", "value": {"intValue": tokens}},
    ]})
}
