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
use kernel::{Error, Result, authz::Action, ctx::CallInfo, error::http::Refusal};
use serde_json::json;

use crate::{
    client,
    event::{
        self,
        model::Status,
        ops::{self, INGEST, Incoming},
        report::{Report, reasons},
        writer::{Refused, Surface, Writer},
    },
    otlp::{self, Logs},
};

/// Sends telemetry.
pub const LOGS: Action = Action { rpc: "POST /v1/logs", verb: "logs", ..INGEST };

/// The plain-HTTP routes of usage.
pub fn http_routes(writer: Arc<Writer>) -> Router {
    let limit = DefaultBodyLimit::max(writer.kernel().config.usage.max_body_bytes);
    let routes = Router::new().route("/v1/logs", post(logs)).route("/v1/usage/events", post(event::http::events));
    routes.layer(limit).with_state(writer)
}

/// Takes log records in: `{"partialSuccess":{}}`, with counts and reasons when some were refused.
///
/// Errors carry a `google.rpc.Status`: 400 malformed, 401 and 403 credential, 413 too much at once, 415 another format,
/// 503 and 429 come back later. By the rules of OTLP a client repeats only the last two.
pub async fn logs(
    State(writer): State<Arc<Writer>>,
    info: Option<Extension<CallInfo>>,
    request: Request,
) -> Response {
    let kernel = writer.kernel();
    let fresh = || CallInfo { id: kernel.ids.new_id(kernel.clock.now()), ..CallInfo::default() };
    let info = info.map_or_else(fresh, |Extension(info)| info);
    let incident = info.id.to_string();
    match ingest(&writer, info, request).await {
        Ok(statuses) => accepted(&statuses),
        Err(refusal) => refusal.answer(&incident).into_response(),
    }
}

async fn ingest(writer: &Writer, info: CallInfo, request: Request) -> Result<Vec<Status>, Refusal> {
    let kernel = writer.kernel();
    // who calls comes before what is sent: nobody unknown makes us read megabytes
    let authorization = request.headers().get(AUTHORIZATION).and_then(|v| v.to_str().ok()).map(str::to_owned);
    let ctx = Arc::new(kernel.enter(authorization.as_deref(), info).await?);
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
    let statuses = ops::usage_ingest(writer, &ctx, LOGS, Surface::Otlp, items(&logs), false).await?;
    if Report::of(&statuses).refused() > 0 {
        tracing::info!(tenant = %ctx.caller().home, reasons = reasons(&statuses), "telemetry records refused");
    }
    Ok(statuses)
}

/// The events among the records; what is none is left out.
fn items(logs: &Logs<'_>) -> Vec<Result<Incoming, Refused>> {
    let records = logs.resources.iter().flat_map(|r| r.records().map(|record| (r.service.as_ref(), record)));
    let read = |(service, record): (&str, Option<otlp::Record<'_>>)| match record {
        Some(record) => client::read(service, &record),
        None => {
            let message = "is no log record: a field has the wrong type";
            Some(Err(event::model::Rejection::new(event::model::Code::Malformed, message)))
        }
    };
    let items = records.filter_map(read);
    items
        .map(|read| match read {
            Ok(event) => Ok(Incoming { event, subject: String::new() }),
            Err(why) => Err(Refused { said: Default::default(), why }),
        })
        .collect()
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

fn accepted(statuses: &[Status]) -> Response {
    let refused = Report::of(statuses).refused();
    // 64-bit numbers are text in JSON made from protobuf
    let partial = match refused {
        0 => json!({}),
        _ => json!({"rejectedLogRecords": refused.to_string(), "errorMessage": reasons(statuses)}),
    };
    Json(json!({"partialSuccess": partial})).into_response()
}
