//! The one mapping from [`Error`] to plain HTTP: a status, and a `google.rpc.Status` in JSON with the reason.

use std::time::Duration;

use http::{
    HeaderValue, Response, StatusCode,
    header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE},
};
use serde_json::{Value, json};
use tonic::Code;

use super::{Error, status::reason_text};

/// When a client should come back after the database was away.
const COME_BACK: Duration = Duration::from_secs(1);

/// An error on its way to a caller over plain HTTP.
#[derive(Debug)]
pub struct Refusal {
    status: StatusCode,
    error: Error,
    message: Option<String>,
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self { status: status_of(&error), error, message: None }
    }
}

impl Refusal {
    /// Under another status than the error's own.
    #[must_use]
    pub fn under(self, status: StatusCode) -> Self {
        Self { status, ..self }
    }

    /// In other words than the error's own.
    #[must_use]
    pub fn saying(self, message: impl Into<String>) -> Self {
        Self { message: Some(message.into()), ..self }
    }

    /// The answer. Our own faults are logged under `incident`.
    pub fn answer(self, incident: &str) -> Response<String> {
        let Self { status, error, message } = self;
        let reason = reason_text(error.reason());
        let wait = pause(&error);
        let ours = status == StatusCode::INTERNAL_SERVER_ERROR;
        let metadata: Value = if ours { json!({"incident": incident}) } else { json!({}) };
        let grpc = error.into_status(incident);
        let body = json!({
            "code": i32::from(grpc.code()),
            "message": message.as_deref().unwrap_or(grpc.message()),
            "details": [{
                "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                "reason": reason, "domain": proto::ERROR_DOMAIN, "metadata": metadata,
            }],
        });
        respond(status, wait, "application/json", body.to_string())
    }

    /// The answer to whoever speaks protobuf: the `google.rpc.Status` itself. Our own faults are logged under `incident`.
    pub fn answer_protobuf(self, incident: &str) -> Response<Vec<u8>> {
        let wait = pause(&self.error);
        let grpc = self.error.into_status(incident);
        respond(self.status, wait, "application/x-protobuf", grpc.details().to_vec())
    }
}

/// When to come back, where that may help.
fn pause(error: &Error) -> Duration {
    match error {
        Error::Overloaded { retry_after } => *retry_after,
        _ => COME_BACK,
    }
}

fn respond<B>(status: StatusCode, wait: Duration, media: &'static str, body: B) -> Response<B> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media));
    if matches!(status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS) {
        headers.insert(RETRY_AFTER, HeaderValue::from(wait.as_secs().max(1)));
    }
    if status == StatusCode::UNAUTHORIZED {
        headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}

/// A client repeats 429 and 503 by itself, so only what may pass by itself gets them.
fn status_of(error: &Error) -> StatusCode {
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
        Code::Unimplemented => StatusCode::NOT_IMPLEMENTED,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}
