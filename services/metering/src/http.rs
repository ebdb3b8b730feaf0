//! OTLP over HTTP: `POST /v1/logs`, in JSON, plain or gzipped.

use std::{io::Read as _, sync::Arc, time::Duration};

use axum::{
    Extension, Json, Router,
    extract::{DefaultBodyLimit, FromRequest as _, Request, State},
    response::{IntoResponse as _, Response},
    routing::post,
};
use bytes::Bytes;
use flate2::read::MultiGzDecoder;
use http::{
    HeaderMap, HeaderValue, StatusCode,
    header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE},
};
use kernel::{
    Error, Kernel, Result,
    ctx::{CallInfo, Ctx},
    db::retry,
};
use serde_json::{Value, json};
use tonic::Code;

use crate::{model::IngestReport, ops, otlp};

/// When a client should come back after the database was away.
const COME_BACK: Duration = Duration::from_secs(1);

/// The plain-HTTP routes of usage.
pub fn http_routes(kernel: Arc<Kernel>) -> Router {
    let limit = DefaultBodyLimit::max(kernel.config.usage.max_body_bytes);
    Router::new().route("/v1/logs", post(logs)).layer(limit).with_state(kernel)
}

/// Takes log records in: `{"partialSuccess":{}}`, with counts and reasons when some were refused.
///
/// Errors carry a `google.rpc.Status`: 400 malformed, 401 and 403 credential, 413 too much at once, 415 another format,
/// 503 and 429 come back later. By the rules of OTLP a client repeats only the last two.
pub async fn logs(
    State(kernel): State<Arc<Kernel>>,
    info: Option<Extension<CallInfo>>,
    request: Request,
) -> Response {
    let fresh = || CallInfo { id: kernel.ids.new_id(kernel.clock.now()), trace_id: String::new() };
    let info = info.map_or_else(fresh, |Extension(info)| info);
    let incident = info.id.to_string();
    match ingest(&kernel, info, request).await {
        Ok(report) => accepted(&report),
        Err(refusal) => refusal.answer(&incident),
    }
}

async fn ingest(kernel: &Arc<Kernel>, info: CallInfo, request: Request) -> Result<IngestReport, Refusal> {
    // who calls comes before what is sent: nobody unknown makes us read megabytes
    let authorization = request.headers().get(AUTHORIZATION).and_then(|v| v.to_str().ok()).map(str::to_owned);
    let ctx: Ctx = kernel.enter(authorization.as_deref(), info).await?;
    let gzipped = format(request.headers())?;
    let limit = kernel.config.usage.max_body_bytes;
    let mut body = Bytes::from_request(request, &()).await.map_err(|e| match e.status() {
        StatusCode::PAYLOAD_TOO_LARGE => too_large(limit),
        _ => Error::invalid("body", "could not be read to its end; send the request anew").into(),
    })?;
    if gzipped {
        body = unzip(&body, limit)?;
    }
    let logs = otlp::decode(&body)?;
    let report = retry::on_conflict(|| ops::usage_ingest(&ctx, &logs)).await?;
    if report.refused() > 0 {
        tracing::info!(tenant = %ctx.caller().home, reasons = report.message(), "telemetry records refused");
    }
    Ok(report)
}

/// Refuses what cannot be read; otherwise whether it is gzipped.
fn format(headers: &HeaderMap) -> Result<bool, Refusal> {
    let text = |name| headers.get(name).and_then(|v: &HeaderValue| v.to_str().ok()).unwrap_or_default();
    let media = text(CONTENT_TYPE).split(';').next().unwrap_or_default().trim();
    if !media.eq_ignore_ascii_case("application/json") {
        let message = "only `application/json` is read here; set the exporter's protocol to `http/json`";
        return Err(unsupported("content-type", message));
    }
    match text(CONTENT_ENCODING).trim().to_ascii_lowercase().as_str() {
        "" | "identity" => Ok(false),
        "gzip" => Ok(true),
        _ => Err(unsupported(
            "content-encoding",
            "only `gzip` is read here; set the exporter's compression to it or to none",
        )),
    }
}

/// Unzips at most `limit` bytes.
fn unzip(body: &[u8], limit: usize) -> Result<Bytes, Refusal> {
    let mut plain = Vec::new();
    let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    MultiGzDecoder::new(body)
        .take(most)
        .read_to_end(&mut plain)
        .map_err(|_| Error::invalid("body", "is not gzip, or cut off; send the request anew"))?;
    if plain.len() > limit {
        return Err(too_large(limit));
    }
    Ok(plain.into())
}

fn too_large(limit: usize) -> Refusal {
    let message = format!("the request holds more than {limit} bytes; send less at a time");
    Error::Limit { limit: "usage.max_body_bytes".to_owned(), message }.into()
}

fn unsupported(field: &str, message: &str) -> Refusal {
    Refusal { status: StatusCode::UNSUPPORTED_MEDIA_TYPE, error: Error::invalid(field, message) }
}

fn accepted(report: &IngestReport) -> Response {
    let refused = report.refused();
    // 64-bit numbers are text in JSON made from protobuf
    let partial = match refused {
        0 => json!({}),
        _ => json!({"rejectedLogRecords": refused.to_string(), "errorMessage": report.message()}),
    };
    Json(json!({"partialSuccess": partial})).into_response()
}

/// An error and the HTTP status under which it leaves.
struct Refusal {
    status: StatusCode,
    error: Error,
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self { status: http_status(&error), error }
    }
}

/// The one mapping from errors to HTTP. A client repeats 429 and 503 by itself, so only what may pass by itself gets them.
fn http_status(error: &Error) -> StatusCode {
    match error.code() {
        Code::InvalidArgument | Code::FailedPrecondition | Code::OutOfRange => StatusCode::BAD_REQUEST,
        Code::Unauthenticated => StatusCode::UNAUTHORIZED,
        Code::PermissionDenied => StatusCode::FORBIDDEN,
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::AlreadyExists => StatusCode::CONFLICT,
        Code::ResourceExhausted if matches!(error, Error::Limit { .. }) => StatusCode::PAYLOAD_TOO_LARGE,
        Code::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
        Code::Aborted | Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Code::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

impl Refusal {
    /// The answer: a `google.rpc.Status` in JSON with the reason. Our own faults are logged under `incident`.
    fn answer(self, incident: &str) -> Response {
        let Self { status, error } = self;
        let reason = error.reason().as_str_name();
        let reason = reason.strip_prefix("REASON_").unwrap_or(reason);
        let wait = match &error {
            Error::Overloaded { retry_after } => *retry_after,
            _ => COME_BACK,
        };
        let ours = status == StatusCode::INTERNAL_SERVER_ERROR;
        let metadata: Value = if ours { json!({"incident": incident}) } else { json!({}) };
        let grpc = error.into_status(incident);
        let body = json!({
            "code": i32::from(grpc.code()),
            "message": grpc.message(),
            "details": [{
                "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                "reason": reason, "domain": proto::ERROR_DOMAIN, "metadata": metadata,
            }],
        });
        let mut response = (status, Json(body)).into_response();
        let headers = response.headers_mut();
        if matches!(status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS) {
            headers.insert(RETRY_AFTER, HeaderValue::from(wait.as_secs().max(1)));
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}
