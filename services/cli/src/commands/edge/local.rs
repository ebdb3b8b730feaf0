//! What is known here, and who is answered by it: everybody on this machine.

#![allow(
    clippy::result_large_err,
    clippy::unused_async,
    reason = "an answer is made once and sent; a route is a future"
)]

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    net::IpAddr,
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use authzen::{About, Endpoint, Source, problem};
use axum::{
    Json, Router,
    extract::State,
    response::{IntoResponse as _, Response},
    routing::get,
};
use edge::{Policy, Refused, Replica, Revision, Verified};
use http::{
    StatusCode,
    header::{CONTENT_TYPE, HOST},
    request::Parts,
    uri::Authority,
};
use serde_json::json;

use super::now;

/// What the stream brings and the answers are made by.
pub struct Shared {
    /// The tenant's id.
    tenant: String,
    replica: RwLock<Replica>,
    /// Whether the stream is up.
    pub connected: AtomicBool,
    messages: AtomicU64,
    /// Streams that were begun.
    pub streams: AtomicU64,
    refused: Mutex<BTreeMap<&'static str, u64>>,
}

impl Shared {
    pub fn new(tenant: String, replica: Replica) -> Self {
        Self {
            tenant,
            replica: RwLock::new(replica),
            connected: AtomicBool::new(false),
            messages: AtomicU64::new(0),
            streams: AtomicU64::new(0),
            refused: Mutex::default(),
        }
    }

    /// The tenant's id.
    pub fn tenant(&self) -> &str {
        &self.tenant
    }

    /// What may be decided by.
    pub fn policy(&self, now: i64) -> Option<Policy> {
        self.replica.read().unwrap_or_else(PoisonError::into_inner).policy(now)
    }

    /// Store and revision of what is here.
    pub fn position(&self) -> Option<(String, Revision)> {
        let replica = self.replica.read().unwrap_or_else(PoisonError::into_inner);
        replica.position().map(|(epoch, revision)| (epoch.to_owned(), revision))
    }

    /// Takes a message.
    pub fn accept(&self, message: &Verified) -> Result<(), Refused> {
        self.replica.write().unwrap_or_else(PoisonError::into_inner).accept(message, now())?;
        self.messages.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// How many messages were taken.
    pub fn taken(&self) -> u64 {
        self.messages.load(Ordering::Relaxed)
    }

    /// Counts a message that was not taken.
    pub fn refuse(&self, refused: &Refused) {
        let mut counts = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.entry(refused.as_str()).or_default() += 1;
    }
}

/// The answers.
pub struct Local(pub Arc<Shared>);

/// AuthZEN, `/healthz` and `/metrics`.
pub fn routes(local: Arc<Local>) -> Router {
    let shared = Arc::clone(&local.0);
    let own = Router::new().route("/healthz", get(health)).route("/metrics", get(metrics)).with_state(shared);
    authzen::routes(local).merge(own)
}

impl Source for Local {
    type Caller = ();

    /// A page in somebody's browser cannot ask under a name of its own that leads here.
    async fn enter(&self, request: &Parts) -> Result<(), Response> {
        let host = request.headers.get(HOST).and_then(|host| host.to_str().ok());
        let host = host.or_else(|| request.uri.authority().map(Authority::as_str));
        let host = host.and_then(|host| host.parse::<Authority>().ok());
        let is_here = host.is_some_and(|host| {
            let host = host.host().trim_matches(['[', ']']);
            host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
        });
        if is_here {
            return Ok(());
        }
        let message = "an edge is asked as `localhost`, `127.0.0.1` or `[::1]` only";
        Err(problem(StatusCode::FORBIDDEN, 7, "INVALID_FIELD", message))
    }

    async fn open(&self, (): &(), _: Endpoint, about: Vec<About>) -> Result<Vec<authzen::Policy>, Response> {
        let now = now();
        let policy = self.0.policy(now);
        let of = |about: About| {
            if about.tenant.is_some_and(|tenant| tenant != self.0.tenant) {
                let message = format!("this edge answers for `tenants/{}` only", self.0.tenant);
                return Err(problem(StatusCode::NOT_FOUND, 5, "RESOURCE_NOT_FOUND", &message));
            }
            let snapshot = policy.as_ref().map(|policy| Arc::clone(&policy.snapshot));
            Ok(authzen::Policy { tenant: self.0.tenant.clone(), snapshot, now, witness: None })
        };
        about.into_iter().map(of).collect()
    }

    fn url(&self) -> Option<&str> {
        None
    }

    fn is_tls(&self) -> bool {
        false
    }
}

/// 200 while it decides by rules, 503 while every answer is no; by which rules either way.
async fn health(State(shared): State<Arc<Shared>>) -> Response {
    let now = now();
    let serving = shared.policy(now).is_some();
    let statement = {
        let replica = shared.replica.read().unwrap_or_else(PoisonError::into_inner);
        replica.statement().cloned()
    };
    let status = if serving { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = json!({
        "serving": serving,
        "connected": shared.connected.load(Ordering::Relaxed),
        "tenant": shared.tenant,
        "epoch": statement.as_ref().map(|s| &s.epoch),
        "revision": statement.as_ref().map(|s| s.to),
        "state": statement.as_ref().map(|s| &s.state),
        "age_ms": statement.as_ref().map(|s| now.saturating_sub(s.issued_at) / 1_000),
    });
    (status, Json(body)).into_response()
}

/// The same as metrics (Prometheus text format).
async fn metrics(State(shared): State<Arc<Shared>>) -> Response {
    let now = now();
    let mut text = String::new();
    let mut gauge = |name: &str, kind: &str, value: i64| {
        let _ = writeln!(text, "# TYPE {name} {kind}\n{name} {value}");
    };
    let count = |n: &AtomicU64| i64::try_from(n.load(Ordering::Relaxed)).unwrap_or(i64::MAX);
    gauge("provost_edge_serving", "gauge", i64::from(shared.policy(now).is_some()));
    gauge("provost_edge_connected", "gauge", i64::from(shared.connected.load(Ordering::Relaxed)));
    gauge("provost_edge_messages_total", "counter", count(&shared.messages));
    gauge("provost_edge_streams_total", "counter", count(&shared.streams));
    {
        let replica = shared.replica.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(statement) = replica.statement() {
            gauge("provost_edge_revision_tenant", "gauge", statement.to.tenant);
            gauge("provost_edge_revision_catalog", "gauge", statement.to.catalog);
            gauge("provost_edge_age_seconds", "gauge", now.saturating_sub(statement.issued_at) / 1_000_000);
        }
    }
    let refused = shared.refused.lock().unwrap_or_else(PoisonError::into_inner);
    let _ = writeln!(text, "# TYPE provost_edge_refused_total counter");
    for (reason, count) in refused.iter() {
        let _ = writeln!(text, "provost_edge_refused_total{{reason=\"{reason}\"}} {count}");
    }
    ([(CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response()
}
