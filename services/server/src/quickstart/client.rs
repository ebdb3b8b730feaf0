//! A caller of the server's own port, with one token.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use proto::token::v1::{self as token, token_service_client::TokenServiceClient};
use tonic::{Code, Request, Response, Status, transport::Channel};

use super::Failure;
use crate::files::write_private;

/// Somebody who calls.
#[derive(Clone)]
pub struct Caller {
    /// The connection.
    pub channel: Channel,
    secret: String,
}

impl Caller {
    /// With a token.
    pub fn new(channel: Channel, secret: String) -> Self {
        Self { channel, secret }
    }

    /// The `authorization` header.
    pub fn authorization(&self) -> String {
        format!("Bearer {}", self.secret)
    }

    /// A request with the caller's credential.
    pub fn ask<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        // a secret of ours is ASCII
        if let Ok(value) = self.authorization().parse() {
            request.metadata_mut().insert("authorization", value);
        }
        request
    }

    /// Sends one OTLP/HTTP JSON log request; returns the answer's body.
    pub async fn post_logs(&self, url: &str, body: Vec<u8>) -> Result<Bytes, Failure> {
        let request = http::Request::post(format!("{url}/v1/logs"))
            .header("authorization", self.authorization())
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from(body)))?;
        let response = Client::builder(TokioExecutor::new()).build_http().request(request).await?;
        let status = response.status();
        let answer = response.into_body().collect().await?.to_bytes();
        if status.is_success() {
            return Ok(answer);
        }
        Err(format!("telemetry was refused with {status}: {}", String::from_utf8_lossy(&answer)).into())
    }

    /// The caller that holds the token kept in `<dir>/<file>`; the token is created for `principal` when there is none.
    pub async fn with_token(
        &self,
        dir: &Path,
        file: &str,
        parent: &str,
        new: token::Token,
    ) -> Result<Self, Failure> {
        let path = token_path(dir, file);
        if let Ok(secret) = std::fs::read_to_string(&path) {
            return Ok(Self::new(self.channel.clone(), secret.trim().to_owned()));
        }
        let request =
            token::CreateTokenRequest { parent: parent.to_owned(), token: Some(new), validate_only: false };
        let created = TokenServiceClient::new(self.channel.clone()).create_token(self.ask(request)).await;
        let created = done(&format!("creating the token `{file}`"), created)?;
        write_private(&path, &created.secret)?;
        Ok(Self::new(self.channel.clone(), created.secret))
    }
}

/// Where a token is kept.
pub fn token_path(dir: &Path, file: &str) -> PathBuf {
    dir.join(format!("{file}.token"))
}

/// The answer, or what went wrong while doing `what`.
pub fn done<T>(what: &str, outcome: Result<Response<T>, Status>) -> Result<T, Failure> {
    outcome.map(Response::into_inner).map_err(|s| format!("{what}: {}", s.message()).into())
}

/// The answer, or `None` for a resource that is not there.
pub fn found<T>(what: &str, outcome: Result<Response<T>, Status>) -> Result<Option<T>, Failure> {
    match outcome {
        Err(status) if status.code() == Code::NotFound => Ok(None),
        other => done(what, other).map(Some),
    }
}

/// Fine when it was there already.
pub fn ensured<T>(what: &str, outcome: Result<Response<T>, Status>) -> Result<(), Failure> {
    match outcome {
        Err(status) if status.code() == Code::AlreadyExists => Ok(()),
        other => done(what, other).map(|_| ()),
    }
}
