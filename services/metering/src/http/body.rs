//! What a request over HTTP holds: its form, and its bytes within bounds.

use std::io::Read as _;

use axum::extract::{FromRequest as _, Request};
use bytes::Bytes;
use flate2::read::MultiGzDecoder;
use http::{
    HeaderMap, HeaderValue, StatusCode,
    header::{CONTENT_ENCODING, CONTENT_TYPE},
};
use kernel::{Error, Result, error::http::Refusal};

/// How messages are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// `application/json`.
    Json,
    /// `application/x-protobuf`.
    Protobuf,
}

impl Form {
    /// Of a request that says so; `None` for any other.
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        let media = text(headers, CONTENT_TYPE).split(';').next().unwrap_or_default().trim();
        let is = |known: &str| media.eq_ignore_ascii_case(known);
        match () {
            () if is("application/json") => Some(Self::Json),
            () if is("application/x-protobuf") => Some(Self::Protobuf),
            () => None,
        }
    }
}

fn text(headers: &HeaderMap, name: http::HeaderName) -> &str {
    headers.get(name).and_then(|v: &HeaderValue| v.to_str().ok()).unwrap_or_default()
}

/// Refuses what cannot be read; otherwise its form, and whether it is gzipped.
pub fn format(headers: &HeaderMap) -> Result<(Form, bool), Refusal> {
    let Some(form) = Form::of(headers) else {
        let message = "only `application/json` and `application/x-protobuf` are read here; set the exporter's protocol to \
                       `http/json` or `http/protobuf`";
        return Err(unsupported("content-type", message));
    };
    match text(headers, CONTENT_ENCODING).trim().to_ascii_lowercase().as_str() {
        "" | "identity" => Ok((form, false)),
        "gzip" => Ok((form, true)),
        _ => Err(unsupported(
            "content-encoding",
            "only `gzip` is read here; set the exporter's compression to it or to none",
        )),
    }
}

/// The bytes of a request, at most `limit` before and after unzipping.
pub async fn read(request: Request, gzipped: bool, limit: usize) -> Result<Bytes, Refusal> {
    let body = Bytes::from_request(request, &()).await.map_err(|e| match e.status() {
        StatusCode::PAYLOAD_TOO_LARGE => too_large(limit),
        _ => Error::invalid("body", "could not be read to its end; send the request anew").into(),
    })?;
    if gzipped { unzip(&body, limit) } else { Ok(body) }
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
