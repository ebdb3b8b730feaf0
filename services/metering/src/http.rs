//! OTLP over HTTP: `POST /v1/logs`, `/v1/metrics` and `/v1/traces`, in JSON or protobuf, plain or gzipped.

use std::sync::Arc;

use axum::{
    Extension, Router,
    extract::{DefaultBodyLimit, Request, State},
    response::{IntoResponse as _, Response},
    routing::post,
};
use http::header::AUTHORIZATION;
use kernel::{
    Error, Kernel,
    ctx::{CallInfo, Ctx},
    db::retry,
    error::http::Refusal,
};

use crate::{
    model::IngestReport,
    ops,
    otlp::{self, Signal},
};

mod answer;
mod body;

use answer::{accepted, refused};
use body::Form;

/// The plain-HTTP routes of usage.
pub fn http_routes(kernel: Arc<Kernel>) -> Router {
    let limit = DefaultBodyLimit::max(kernel.config.usage.max_body_bytes);
    Router::new()
        .route("/v1/logs", post(logs))
        .route("/v1/metrics", post(metrics))
        .route("/v1/traces", post(traces))
        .layer(limit)
        .with_state(kernel)
}

type Info = Option<Extension<CallInfo>>;

/// Takes log records in.
///
/// Answers are `ExportLogsServiceResponse` and its kin in the form of the request: an empty partial success, or counts and
/// reasons where items were refused. Errors are a `google.rpc.Status`, likewise: 400 malformed, 401 and 403 credential, 413
/// too much at once, 415 another form, 503 and 429 come back later. By the rules of OTLP a client repeats only the last two.
pub async fn logs(State(kernel): State<Arc<Kernel>>, info: Info, request: Request) -> Response {
    take(&kernel, info, request, Signal::Logs).await
}

/// Takes data points of metrics in.
pub async fn metrics(State(kernel): State<Arc<Kernel>>, info: Info, request: Request) -> Response {
    take(&kernel, info, request, Signal::Metrics).await
}

/// Takes spans in.
pub async fn traces(State(kernel): State<Arc<Kernel>>, info: Info, request: Request) -> Response {
    take(&kernel, info, request, Signal::Traces).await
}

async fn take(kernel: &Arc<Kernel>, info: Info, request: Request, signal: Signal) -> Response {
    let fresh = || CallInfo { id: kernel.ids.new_id(kernel.clock.now()), ..CallInfo::default() };
    let info = info.map_or_else(fresh, |Extension(info)| info);
    let incident = info.id.to_string();
    // whoever sends another form is answered in JSON
    let form = Form::of(request.headers());
    match ingest(kernel, info, request, signal).await {
        Ok(report) => accepted(signal, form.unwrap_or(Form::Json), &report),
        Err(refusal) => match form {
            Some(Form::Protobuf) => refused(refusal, &incident),
            _ => refusal.answer(&incident).into_response(),
        },
    }
}

async fn ingest(
    kernel: &Arc<Kernel>,
    info: CallInfo,
    request: Request,
    signal: Signal,
) -> Result<IngestReport, Refusal> {
    // who calls comes before what is sent: nobody unknown makes us read megabytes
    let authorization = request.headers().get(AUTHORIZATION).and_then(|v| v.to_str().ok()).map(str::to_owned);
    let ctx: Ctx = kernel.enter(authorization.as_deref(), info).await?;
    let (form, gzipped) = body::format(request.headers())?;
    let bytes = body::read(request, gzipped, kernel.config.usage.max_body_bytes).await?;
    let request = match form {
        Form::Json => otlp::Request::json(signal, &bytes)?,
        Form::Protobuf => otlp::Request::protobuf(signal, &bytes)?,
    };
    store(&ctx, &request).await.map_err(Into::into)
}

/// Stores what a request says, however it came.
pub(crate) async fn store(ctx: &Ctx, request: &otlp::Request<'_>) -> Result<IngestReport, Error> {
    let report = retry::on_conflict(|| ops::usage_ingest(ctx, request)).await?;
    if report.refused() > 0 {
        tracing::info!(tenant = %ctx.caller().home, reasons = report.message(), "telemetry refused in part");
    }
    Ok(report)
}
