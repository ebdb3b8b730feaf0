//! What a sender over HTTP is told.

use axum::{
    Json,
    body::Body,
    response::{IntoResponse as _, Response},
};
use http::header::CONTENT_TYPE;
use kernel::error::http::Refusal;
use prost::Message as _;
use serde_json::json;

use super::body::Form;
use crate::{
    grpc::{logs_answer, metrics_answer, traces_answer},
    http::Taken,
    otlp::Signal,
};

/// The media type of [`Form::Protobuf`].
const PROTOBUF: &str = "application/x-protobuf";

/// What was taken, and what of it was refused.
pub fn accepted(signal: Signal, form: Form, taken: &Taken) -> Response {
    match form {
        Form::Protobuf => {
            let body = match signal {
                Signal::Logs => logs_answer(taken).encode_to_vec(),
                Signal::Metrics => metrics_answer(taken).encode_to_vec(),
                Signal::Traces => traces_answer(taken).encode_to_vec(),
            };
            ([(CONTENT_TYPE, PROTOBUF)], body).into_response()
        }
        Form::Json => {
            let count = match signal {
                Signal::Logs => "rejectedLogRecords",
                Signal::Metrics => "rejectedDataPoints",
                Signal::Traces => "rejectedSpans",
            };
            // 64-bit numbers are text in JSON made from protobuf
            let partial = match taken.refused {
                0 => json!({}),
                _ => json!({count: taken.refused.to_string(), "errorMessage": taken.message}),
            };
            Json(json!({"partialSuccess": partial})).into_response()
        }
    }
}

/// Why nothing was taken, in protobuf.
pub fn refused(refusal: Refusal, incident: &str) -> Response {
    refusal.answer_protobuf(incident).map(Body::from)
}
