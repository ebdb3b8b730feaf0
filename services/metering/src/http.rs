//! OTLP over HTTP: `POST /v1/logs`, in JSON, plain or gzipped.

use std::{io::Read as _, sync::Arc};

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
    header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE},
};
use kernel::{
    Error, Kernel, Result,
    ctx::{CallInfo, Ctx},
    db::retry,
    error::http::Refusal,
};
use serde_json::json;

use crate::{model::IngestReport, ops, otlp};

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
    let fresh = || CallInfo { id: kernel.ids.new_id(kernel.clock.now()), ..CallInfo::default() };
    let info = info.map_or_else(fresh, |Extension(info)| info);
    let incident = info.id.to_string();
    match ingest(&kernel, info, request).await {
        Ok(report) => accepted(&report),
        Err(refusal) => refusal.answer(&incident).into_response(),
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
    Refusal::from(Error::invalid(field, message)).under(StatusCode::UNSUPPORTED_MEDIA_TYPE)
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
