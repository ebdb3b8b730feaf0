//! The plain routes that operators and their tools ask.

use std::sync::Arc;

use axum::{Router, extract::State, response::IntoResponse, routing::get};
use http::{StatusCode, header};
use kernel::telemetry::Telemetry;

use crate::health::Ready;

/// `/healthz` (the process lives), `/readyz` (it can serve), `/metrics` (Prometheus text format).
pub fn routes(telemetry: Arc<Telemetry>, ready: Ready) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz).with_state(ready))
        .route("/metrics", get(metrics).with_state(telemetry))
}

async fn readyz(State(ready): State<Ready>) -> (StatusCode, &'static str) {
    if ready.get() {
        (StatusCode::OK, "ready\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not ready: the database does not answer\n")
    }
}

async fn metrics(State(telemetry): State<Arc<Telemetry>>) -> impl IntoResponse {
    match telemetry.metrics_text() {
        Ok(text) => (StatusCode::OK, [(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text),
        Err(error) => {
            tracing::error!(%error, "metrics not readable");
            let nothing = [(header::CONTENT_TYPE, "text/plain")];
            (
                StatusCode::INTERNAL_SERVER_ERROR,
                nothing,
                "metrics are not readable; see the server's log\n".to_owned(),
            )
        }
    }
}
