//! What every call passes first, whatever its protocol: load shedding, the deadline, the trace, the measurements.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    body::Body,
    extract::{MatchedPath, Request, State},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use http::{HeaderMap, StatusCode};
use http_body_util::BodyExt as _;
use kernel::{
    Kernel,
    ctx::CallInfo,
    error::{Error, http::Refusal},
    ids::clip,
    telemetry::{CallMetrics, Telemetry, remote_context},
};
use opentelemetry::trace::TraceContextExt as _;
use prost::Message as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::{Code, Status, transport::server::TlsConnectInfo};
use tracing::Instrument as _;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use uuid::Uuid;

use crate::listen::Peer;

/// How long a shed caller should stay away.
const SHED_PAUSE: Duration = Duration::from_millis(250);
/// Answered also under full load: what watches us must not be shed with the rest.
const ALWAYS: [&str; 4] = ["/healthz", "/readyz", "/metrics", "/grpc.health.v1.Health/Check"];

/// How the framework begins to say that bytes are no message.
const UNREADABLE: [&str; 4] =
    ["failed to decode", "protocol error", "Unexpected EOF", "Missing request message"];

/// Longest user agent that is recorded, characters.
const MAX_USER_AGENT: usize = 256;

/// What the gate knows.
pub struct Gate {
    kernel: Arc<Kernel>,
    metrics: CallMetrics,
    slots: Semaphore,
    /// For answers that go on: each holds a place until its last message.
    streams: Arc<Semaphore>,
    limit: Duration,
    /// By path, or by the pattern of the route.
    known: HashMap<String, Known>,
    other: Arc<str>,
}

/// What is known of calls to a path.
struct Known {
    /// What becomes a metric label; calls to any path that is not known are counted under one name.
    label: Arc<str>,
    /// Whether the answer is a stream.
    streams: bool,
}

impl Gate {
    /// From the configuration.
    pub fn new(kernel: &Arc<Kernel>, telemetry: &Telemetry) -> Self {
        let settings = &kernel.config.server;
        let rpcs = crate::app::actions().map(|a| match a.rpc.split_once(' ') {
            Some((_, path)) => path.to_owned(),
            None => format!("/{}", a.rpc),
        });
        let streaming = streaming();
        let known = rpcs.chain(ALWAYS.map(str::to_owned)).map(|path| {
            let label = path.trim_start_matches('/').into();
            let streams = streaming.contains(&path);
            (path, Known { label, streams })
        });
        Self {
            metrics: CallMetrics::new(&telemetry.meter()),
            slots: Semaphore::new(settings.max_concurrent_requests),
            streams: Arc::new(Semaphore::new(settings.max_streams)),
            limit: Duration::from_secs(settings.request_timeout_seconds),
            known: known.collect(),
            other: "other".into(),
            kernel: Arc::clone(kernel),
        }
    }

    /// What is known of the call's path, or of the pattern of its route.
    fn known(&self, request: &Request) -> Option<&Known> {
        let pattern = || request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
        self.known.get(request.uri().path()).or_else(|| self.known.get(pattern()?))
    }
}

/// Lets one call through.
pub async fn gate(State(gate): State<Arc<Gate>>, mut request: Request, next: Next) -> Response {
    // a copy of it shares the text
    let (begun, uri) = (Instant::now(), request.uri().clone());
    if let Some(peer) = peer(&request) {
        peer.has_asked();
    }
    let known = gate.known(&request);
    // what is neither known nor a pattern of ours is not repeated
    let method = known.map_or(&gate.other, |known| &known.label);
    let slot = gate.slots.try_acquire();
    let grpc = is_grpc(request.headers());
    if slot.is_err() && !ALWAYS.contains(&uri.path()) {
        gate.metrics.shed();
        return refuse(Error::Overloaded { retry_after: SHED_PAUSE }, grpc, "");
    }
    let streams = known.is_some_and(|known| known.streams);
    let stream = streams.then(|| Arc::clone(&gate.streams).try_acquire_owned());
    let Ok(stream) = stream.transpose() else {
        gate.metrics.shed();
        return refuse(Error::Overloaded { retry_after: SHED_PAUSE }, grpc, "");
    };
    let _in_flight = gate.metrics.started();
    let id = gate.kernel.ids.new_id(gate.kernel.clock.now());
    let remote = remote_context(request.headers());
    let trace_id = remote.span().span_context().trace_id();
    let span = tracing::info_span!("rpc", otel.name = %method, otel.kind = "server", call = %id);
    // without an exporter there is no layer to hold the parent, and nothing is lost
    let _ = span.set_parent(remote);
    let own = span.context().span().span_context().trace_id();
    let trace = [own, trace_id].into_iter().find(|t| *t != opentelemetry::TraceId::INVALID);
    let info = CallInfo {
        id,
        trace_id: trace.map_or_else(String::new, |t| t.to_string()),
        ip: address(&request),
        user_agent: user_agent(request.headers()),
    };
    let limit = deadline(request.headers()).map_or(gate.limit, |asked| asked.min(gate.limit));
    request.extensions_mut().insert(info);
    let answered = tokio::time::timeout(limit, next.run(request).instrument(span.clone())).await;
    let response = match answered {
        Ok(response) => explained(response, grpc, uri.path(), id),
        Err(_) => refuse(Error::Deadline, grpc, ""),
    };
    let response = match stream {
        Some(place) => response.map(|body| holding(body, place)),
        None => response,
    };
    let code = code(&response, grpc);
    gate.metrics.finished(method, code, begun.elapsed());
    let ms = begun.elapsed().as_secs_f64() * 1_000.0;
    span.in_scope(|| {
        if code == "OK" {
            tracing::debug!(method = &**method, code, ms, "answered");
        } else {
            tracing::info!(method = &**method, code, ms, "answered");
        }
    });
    response
}

/// An error in the protocol of the caller.
fn refuse(error: Error, grpc: bool, incident: &str) -> Response {
    if grpc {
        return error.into_status(incident).into_http::<Body>();
    }
    let shed = matches!(error, Error::Overloaded { .. });
    let refusal = Refusal::from(error);
    let refusal = if shed { refusal.under(StatusCode::SERVICE_UNAVAILABLE) } else { refusal };
    refusal.answer(incident).into_response()
}

/// The framework's own refusals get a reason like all others; it gives them none.
fn explained(response: Response, grpc: bool, path: &str, incident: Uuid) -> Response {
    if !grpc || response.headers().contains_key("grpc-status-details-bin") {
        return response;
    }
    let Some(status) = Status::from_header_map(response.headers()) else { return response };
    let error = match (status.code(), status.message()) {
        (Code::OutOfRange, _) => Error::Limit {
            limit: "server.max_message_bytes".to_owned(),
            message: "the message is larger than the server accepts; send less at once".to_owned(),
        },
        // the router says nothing about a method that it does not have
        (Code::Unimplemented, "") => Error::Unimplemented(format!("the method `{}`", clip(path))),
        (Code::Unimplemented, message) => Error::Unimplemented(format!("what the message needs ({message})")),
        (Code::Internal, message) if UNREADABLE.iter().any(|m| message.starts_with(m)) => {
            Error::Message(message.to_owned())
        }
        (Code::Internal, message) => Error::internal(message),
        _ => return response,
    };
    refuse(error, grpc, &incident.to_string())
}

/// The body, which holds its place until it has been sent or dropped.
fn holding(body: Body, place: OwnedSemaphorePermit) -> Body {
    Body::new(body.map_frame(move |frame| {
        let _held = &place;
        frame
    }))
}

/// Paths of the RPCs whose answer is a stream.
fn streaming() -> HashSet<String> {
    let set = prost_types::FileDescriptorSet::decode(proto::DESCRIPTOR_SET).unwrap_or_default();
    let mut paths = HashSet::new();
    for file in &set.file {
        for service in &file.service {
            let streams = service.method.iter().filter(|m| m.server_streaming());
            paths.extend(streams.map(|m| format!("/{}.{}/{}", file.package(), service.name(), m.name())));
        }
    }
    paths
}

fn is_grpc(headers: &HeaderMap) -> bool {
    let kind = headers.get(http::header::CONTENT_TYPE).and_then(|v| v.to_str().ok());
    kind.is_some_and(|k| k.starts_with("application/grpc"))
}

/// The caller's address: the other end of the connection.
fn address(request: &Request) -> String {
    let remote = peer(request).and_then(|peer| peer.tcp.remote_addr());
    remote.map_or_else(String::new, |a| a.ip().to_canonical().to_string())
}

/// The other end, below TLS or not.
fn peer(request: &Request) -> Option<&Peer> {
    let tls = || request.extensions().get::<TlsConnectInfo<Peer>>().map(TlsConnectInfo::get_ref);
    request.extensions().get::<Peer>().or_else(tls)
}

/// What the caller's program calls itself.
fn user_agent(headers: &HeaderMap) -> String {
    let text = headers.get(http::header::USER_AGENT).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let end = text.char_indices().nth(MAX_USER_AGENT).map_or(text.len(), |(end, _)| end);
    text.get(..end).unwrap_or_default().to_owned()
}

/// The caller's `grpc-timeout`: digits and a unit (gRPC over HTTP/2, "Timeout").
fn deadline(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let n: u64 = digits.parse().ok().filter(|_| digits.len() <= 8)?;
    match unit {
        "H" => Some(Duration::from_hours(n)),
        "M" => Some(Duration::from_mins(n)),
        "S" => Some(Duration::from_secs(n)),
        "m" => Some(Duration::from_millis(n)),
        "u" => Some(Duration::from_micros(n)),
        "n" => Some(Duration::from_nanos(n)),
        _ => None,
    }
}

/// The answer's gRPC code by name, or its HTTP status class. Unary errors stand in the headers; a stream's later fate
/// does not show here.
fn code(response: &Response, grpc: bool) -> &'static str {
    if !grpc {
        return match response.status().as_u16() {
            200..=299 => "OK",
            400..=499 => "HTTP_4XX",
            _ => "HTTP_5XX",
        };
    }
    Status::from_header_map(response.headers()).map_or("OK", |status| name(status.code()))
}

fn name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grpc_timeouts_are_read_and_nonsense_is_ignored() {
        let read = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("grpc-timeout", text.parse().unwrap());
            deadline(&headers)
        };
        assert_eq!(read("250m"), Some(Duration::from_millis(250)));
        assert_eq!(read("2S"), Some(Duration::from_secs(2)));
        assert_eq!(read("99999999H"), Some(Duration::from_hours(99_999_999)));
        for nonsense in ["", "S", "1", "-1S", "999999999S", "1x"] {
            assert_eq!(read(nonsense), None, "{nonsense}");
        }
    }
}
