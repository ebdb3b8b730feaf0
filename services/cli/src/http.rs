//! Files over plain HTTP: what a log is mirrored from. Credentials, deadlines and repetition are those of [`crate::client`].

use std::{collections::HashMap, path::Path, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{
    HeaderValue, Request, StatusCode,
    header::{AUTHORIZATION, RETRY_AFTER, USER_AGENT},
};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_rustls::{ConfigBuilderExt as _, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use rustls::{
    ClientConfig, ConfigBuilder, RootCertStore, WantsVerifier,
    crypto::ring,
    pki_types::{CertificateDer, pem::PemObject as _},
};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::error::{Error, Result};

/// Largest file that is read, in bytes: a bundle of 256 entries of 65,535 bytes each, and some air.
const MAX_FILE_BYTES: usize = 20 * 1024 * 1024;
/// How often a request is repeated at most.
const MAX_REPEATS: u32 = 3;
/// Pause before the first repetition when the server names none; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// Longest pause that is waited out.
const MAX_PAUSE: Duration = Duration::from_secs(10);

/// Reads the files below one address.
pub struct Files {
    client: Client<HttpsConnector<HttpConnector>, Empty<Bytes>>,
    /// With a slash at its end.
    base: String,
    /// What errors call it: without the secret that its path may hold.
    shown: String,
    authorization: Option<HeaderValue>,
    timeout: Duration,
}

impl std::fmt::Debug for Files {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Files").field("at", &self.shown).finish_non_exhaustive()
    }
}

/// Why one attempt failed.
enum Failed {
    /// The server said no, and perhaps when to come back.
    Said(Box<Status>, Option<Duration>),
    /// It did not get through.
    Broken(String),
    /// It took too long.
    Late,
}

impl Files {
    /// Files below `base`, an `http://` or `https://` address, which errors call `shown`; `timeout` is for each attempt.
    pub fn new(
        base: &str,
        shown: &str,
        ca_file: Option<&Path>,
        token: Option<&str>,
        timeout: Duration,
    ) -> Result<Self> {
        // a machine without certificate authorities still talks to its own loopback
        let tls = if base.starts_with("https:") { tls(ca_file)? } else { without_tls()? };
        let connector = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1();
        let authorization = token
            .map(|token| {
                let mut value = HeaderValue::try_from(format!("Bearer {token}")).map_err(|_| {
                    Error::Local("the token holds characters that no token has; copy it again".to_owned())
                })?;
                value.set_sensitive(true);
                Ok::<_, Error>(value)
            })
            .transpose()?;
        Ok(Self {
            client: Client::builder(TokioExecutor::new()).build(connector.build()),
            base: format!("{}/", base.trim_end_matches('/')),
            shown: shown.to_owned(),
            authorization,
            timeout,
        })
    }

    /// A file, or NOT_FOUND in the server's words.
    pub async fn get(&self, path: &str) -> Result<Bytes> {
        let mut done = 0;
        loop {
            let failed = match tokio::time::timeout(self.timeout, self.attempt(path)).await {
                Ok(Ok(bytes)) => return Ok(bytes),
                Ok(Err(failed)) => failed,
                Err(_) => Failed::Late,
            };
            match pause(&failed, done) {
                Some(pause) if done < MAX_REPEATS => tokio::time::sleep(pause).await,
                _ => return Err(self.error(failed)),
            }
            done += 1;
        }
    }

    /// A file; nothing when there is none.
    pub async fn find(&self, path: &str) -> Result<Option<Bytes>> {
        match self.get(path).await {
            Ok(bytes) => Ok(Some(bytes)),
            Err(Error::Api(status)) if status.code() == Code::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn attempt(&self, path: &str) -> std::result::Result<Bytes, Failed> {
        let broken = |e: &dyn std::error::Error| Failed::Broken(causes(e));
        let mut request = Request::get(format!("{}{path}", self.base))
            .header(USER_AGENT, concat!("provost/", env!("CARGO_PKG_VERSION")));
        if let Some(token) = &self.authorization {
            request = request.header(AUTHORIZATION, token);
        }
        let request = request.body(Empty::new()).map_err(|e| broken(&e))?;
        let (head, body) = self.client.request(request).await.map_err(|e| broken(&e))?.into_parts();
        let body = Limited::new(body, MAX_FILE_BYTES).collect().await.map_err(|e| broken(&*e))?.to_bytes();
        if head.status == StatusCode::OK {
            return Ok(body);
        }
        let wait = head.headers.get(RETRY_AFTER).and_then(|v| v.to_str().ok()?.parse().ok());
        Err(Failed::Said(Box::new(refusal(head.status, &body)), wait.map(Duration::from_secs)))
    }

    fn error(&self, failed: Failed) -> Error {
        match failed {
            Failed::Said(status, _) => Error::Api(status),
            Failed::Broken(cause) => Error::Transport { address: self.shown.clone(), cause },
            Failed::Late => Error::TimedOut { after: self.timeout },
        }
    }
}

/// How long to wait before repetition number `done`; `None` when repeating does not help.
fn pause(failed: &Failed, done: u32) -> Option<Duration> {
    let usual = FIRST_PAUSE * 2_u32.saturating_pow(done);
    match failed {
        Failed::Said(status, wait) => {
            let passes = matches!(status.code(), Code::Unavailable | Code::ResourceExhausted);
            Some(wait.unwrap_or(usual)).filter(|pause| passes && *pause <= MAX_PAUSE)
        }
        Failed::Broken(_) => Some(usual),
        Failed::Late => None,
    }
}

/// What the server said: a `google.rpc.Status` in JSON, or else what its HTTP status means.
fn refusal(status: StatusCode, body: &[u8]) -> Status {
    let said: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    let text = |pointer| said.pointer(pointer).and_then(serde_json::Value::as_str).unwrap_or_default();
    let code = match status.as_u16() {
        400 => Code::InvalidArgument,
        401 => Code::Unauthenticated,
        403 => Code::PermissionDenied,
        404 | 410 => Code::NotFound,
        429 => Code::ResourceExhausted,
        502..=504 => Code::Unavailable,
        _ => Code::Unknown,
    };
    let message = match text("/message") {
        "" => format!("the server answered with HTTP {status}"),
        message => message.to_owned(),
    };
    let mut details = ErrorDetails::new();
    if !text("/details/0/reason").is_empty() {
        let metadata = said.pointer("/details/0/metadata").cloned().unwrap_or_default();
        let metadata: HashMap<String, String> = serde_json::from_value(metadata).unwrap_or_default();
        details.set_error_info(text("/details/0/reason"), text("/details/0/domain"), metadata);
    }
    Status::with_error_details(code, message, details)
}

/// The error and its sources, without repetition.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let line = cause.to_string();
        if !text.contains(&line) {
            text = format!("{text}: {line}");
        }
        source = cause.source();
    }
    text
}

fn tls(ca_file: Option<&Path>) -> Result<ClientConfig> {
    let Some(path) = ca_file else {
        return Ok(config()?.with_native_roots().map_err(|e| unusable(&e))?.with_no_client_auth());
    };
    let unreadable = |e: &dyn std::fmt::Display| {
        Error::Local(format!("the CA certificates in `{}` cannot be read: {e}", path.display()))
    };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).map_err(|e| unreadable(&e))? {
        roots.add(certificate.map_err(|e| unreadable(&e))?).map_err(|e| unreadable(&e))?;
    }
    Ok(config()?.with_root_certificates(roots).with_no_client_auth())
}

fn without_tls() -> Result<ClientConfig> {
    Ok(config()?.with_root_certificates(RootCertStore::empty()).with_no_client_auth())
}

fn config() -> Result<ConfigBuilder<ClientConfig, WantsVerifier>> {
    ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|e| unusable(&e))
}

fn unusable(why: &dyn std::fmt::Display) -> Error {
    Error::Local(format!("TLS cannot be set up: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_server_said_keeps_its_reason() {
        let body = br#"{"code":5,"message":"entries below index 512 were pruned","details":[{"reason":"RESOURCE_NOT_FOUND","domain":"provost.dev","metadata":{}}]}"#;
        let status = refusal(StatusCode::NOT_FOUND, body);
        assert_eq!(
            (status.code(), status.message()),
            (Code::NotFound, "entries below index 512 were pruned")
        );
        assert_eq!(status.get_error_details().error_info().unwrap().reason, "RESOURCE_NOT_FOUND");
        let bare = refusal(StatusCode::BAD_GATEWAY, b"<html>");
        assert_eq!(
            (bare.code(), bare.message()),
            (Code::Unavailable, "the server answered with HTTP 502 Bad Gateway")
        );
    }

    #[test]
    fn only_what_passes_is_repeated() {
        let said = |code, wait| Failed::Said(Box::new(Status::new(code, "")), wait);
        assert_eq!(pause(&said(Code::Unavailable, None), 1), Some(FIRST_PAUSE * 2));
        assert_eq!(
            pause(&said(Code::ResourceExhausted, Some(Duration::from_secs(1))), 0),
            Some(Duration::from_secs(1))
        );
        assert_eq!(pause(&said(Code::Unavailable, Some(MAX_PAUSE * 2)), 0), None);
        assert_eq!(pause(&said(Code::NotFound, None), 0), None);
        assert_eq!(pause(&Failed::Broken(String::new()), 0), Some(FIRST_PAUSE));
    }

    #[test]
    fn a_secret_in_the_path_is_never_shown() {
        let at = Files::new(
            "http://x/audit/v1/link/pvl_secret",
            "the link",
            None,
            Some("pv_pat_secret"),
            MAX_PAUSE,
        );
        let files = at.unwrap();
        assert!(!format!("{files:?}").contains("secret"));
        assert!(!format!("{:?}", files.error(Failed::Broken("gone".to_owned()))).contains("secret"));
    }
}
