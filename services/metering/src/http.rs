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
    Ctx, Result,
    authz::Action,
    ctx::CallInfo,
    error::{Error, http::Refusal},
};

use crate::{
    client,
    event::{
        self,
        model::Status,
        ops::{self, INGEST, Incoming},
        report::{Report, reasons},
        writer::{Refused, Surface, Writer},
    },
    otlp::{self, Signal},
};

mod answer;
mod body;

use answer::{accepted, refused};
use body::Form;

/// Send telemetry, over HTTP or gRPC.
pub const ACTIONS: &[Action] = &[LOGS, METRICS, TRACES];
const LOGS: Action = Action { rpc: "POST /v1/logs", verb: "logs", ..INGEST };
const METRICS: Action = Action { rpc: "POST /v1/metrics", verb: "metrics", ..INGEST };
const TRACES: Action = Action { rpc: "POST /v1/traces", verb: "traces", ..INGEST };

/// The plain-HTTP routes of usage.
pub fn http_routes(writer: Arc<Writer>) -> Router {
    let limit = DefaultBodyLimit::max(writer.kernel().config.usage.max_body_bytes);
    Router::new()
        .route("/v1/logs", post(logs))
        .route("/v1/metrics", post(metrics))
        .route("/v1/traces", post(traces))
        .route("/v1/usage/events", post(event::http::events))
        .layer(limit)
        .with_state(writer)
}

type Info = Option<Extension<CallInfo>>;

/// Takes log records in.
///
/// Answers are `ExportLogsServiceResponse` and its kin in the form of the request: an empty partial success, or counts and
/// reasons where items were refused. Errors are a `google.rpc.Status`, likewise: 400 malformed, 401 and 403 credential, 413
/// too much at once, 415 another form, 503 and 429 come back later. By the rules of OTLP a client repeats only the last two.
pub async fn logs(State(writer): State<Arc<Writer>>, info: Info, request: Request) -> Response {
    take(&writer, info, request, Signal::Logs).await
}

/// Takes data points of metrics in.
pub async fn metrics(State(writer): State<Arc<Writer>>, info: Info, request: Request) -> Response {
    take(&writer, info, request, Signal::Metrics).await
}

/// Takes spans in.
pub async fn traces(State(writer): State<Arc<Writer>>, info: Info, request: Request) -> Response {
    take(&writer, info, request, Signal::Traces).await
}

async fn take(writer: &Writer, info: Info, request: Request, signal: Signal) -> Response {
    let kernel = writer.kernel();
    let fresh = || CallInfo { id: kernel.ids.new_id(kernel.clock.now()), ..CallInfo::default() };
    let info = info.map_or_else(fresh, |Extension(info)| info);
    let incident = info.id.to_string();
    // whoever sends another form is answered in JSON
    let form = Form::of(request.headers());
    match ingest(writer, info, request, signal).await {
        Ok(taken) => accepted(signal, form.unwrap_or(Form::Json), &taken),
        Err(refusal) => match form {
            Some(Form::Protobuf) => refused(refusal, &incident),
            _ => refusal.answer(&incident).into_response(),
        },
    }
}

async fn ingest(writer: &Writer, info: CallInfo, request: Request, signal: Signal) -> Result<Taken, Refusal> {
    let kernel = writer.kernel();
    // who calls comes before what is sent: nobody unknown makes us read megabytes
    let authorization = request.headers().get(AUTHORIZATION).and_then(|v| v.to_str().ok()).map(str::to_owned);
    let ctx = Arc::new(kernel.enter(authorization.as_deref(), info).await?);
    let (form, gzipped) = body::format(request.headers())?;
    let bytes = body::read(request, gzipped, kernel.config.usage.max_body_bytes).await?;
    let request = match form {
        Form::Json => otlp::Request::json(signal, &bytes)?,
        Form::Protobuf => otlp::Request::protobuf(signal, &bytes)?,
    };
    store(writer, &ctx, &request).await.map_err(Into::into)
}

/// What of a request was refused, and why.
pub(crate) struct Taken {
    /// How many items.
    pub refused: u64,
    /// Why, in a sentence.
    pub message: String,
}

/// Stores what a request says, however it came.
pub(crate) async fn store(
    writer: &Writer,
    ctx: &Arc<Ctx>,
    request: &otlp::Request<'_>,
) -> Result<Taken, Error> {
    let reading = client::read(request);
    let (positions, items): (Vec<_>, Vec<_>) = reading.items.into_iter().unzip();
    let incoming = |item| match item {
        Ok(event) => Ok(Incoming { event, subject: String::new() }),
        Err(why) => Err(Refused { said: Box::default(), why }),
    };
    let items = items.into_iter().map(incoming).collect();
    let action = match request.signal {
        Signal::Logs => LOGS,
        Signal::Metrics => METRICS,
        Signal::Traces => TRACES,
    };
    // boxed: one future through all layers is deeper than an optimising compiler follows
    let statuses = Box::pin(ops::usage_ingest(writer, ctx, action, Surface::Otlp, items, false)).await?;
    let refused = Report::of(&statuses).refused();
    if refused == 0 {
        return Ok(Taken { refused, message: String::new() });
    }
    // the sender counts what says nothing about use too
    let length = positions.last().map_or(0, |last| last + 1);
    let mut all = vec![Status::Duplicate(0); length];
    for (position, status) in positions.into_iter().zip(statuses) {
        if let Some(of) = all.get_mut(position) {
            *of = status;
        }
    }
    let message = reasons(&all);
    tracing::info!(tenant = %ctx.caller().home, reasons = message, "telemetry refused in part");
    Ok(Taken { refused, message })
}
