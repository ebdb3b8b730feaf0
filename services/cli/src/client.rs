//! The channel to the server: credentials, trace context, deadlines and safe repetition.

use std::{fs, net::IpAddr, path::Path, time::Duration};

use proto::RpcRequest;
use tonic::{
    Code, Request, Response, Status,
    metadata::{Ascii, MetadataValue},
    service::{Interceptor, interceptor::InterceptedService},
    transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Uri},
};
use tonic_types::StatusExt as _;

use crate::error::{Error, Result, retry_delay};

/// What the generated clients are made of.
pub type Link = InterceptedService<Channel, Credentials>;

/// Largest answer that is read, in bytes: a page of 1,000 audit events with their bodies.
pub const MAX_ANSWER_BYTES: usize = 64 * 1024 * 1024;
/// Longest wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How often a call is repeated at most.
const MAX_REPEATS: u32 = 3;
/// Pause before the first repetition when the server names none; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// A server that asks for a longer pause than this is taken at its word: the error is shown instead.
const MAX_PAUSE: Duration = Duration::from_secs(10);

/// Adds the token and the trace context to every call.
#[derive(Clone)]
pub struct Credentials {
    authorization: Option<MetadataValue<Ascii>>,
    traceparent: Option<MetadataValue<Ascii>>,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").field("token", &self.authorization.is_some()).finish_non_exhaustive()
    }
}

impl Credentials {
    /// `traceparent` is sent as it is (W3C Trace Context) and dropped when it cannot be a header.
    pub fn new(token: Option<&str>, traceparent: Option<&str>) -> Result<Self> {
        let authorization = token
            .map(|token| {
                let mut value = MetadataValue::try_from(format!("Bearer {token}")).map_err(|_| {
                    Error::Local("the token holds characters that no token has; copy it again".to_owned())
                })?;
                value.set_sensitive(true);
                Ok::<_, Error>(value)
            })
            .transpose()?;
        Ok(Self { authorization, traceparent: traceparent.and_then(|t| t.parse().ok()) })
    }
}

impl Interceptor for Credentials {
    fn call(&mut self, mut request: Request<()>) -> std::result::Result<Request<()>, Status> {
        let headers = [("authorization", &self.authorization), ("traceparent", &self.traceparent)];
        for (name, value) in headers {
            if let Some(value) = value {
                request.metadata_mut().insert(name, value.clone());
            }
        }
        Ok(request)
    }
}

/// Whether a call may be sent again when its outcome is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repeat {
    /// It changes nothing, or the server recognises it by its `request_id`.
    Safe,
    /// It might happen twice.
    Never,
}

impl Repeat {
    /// A change is safe to repeat when it carries a request id, or changes nothing.
    pub fn of_change(request: &impl RpcRequest) -> Self {
        if request.validate_only() || !request.request_id().is_empty() { Self::Safe } else { Self::Never }
    }
}

/// A connection that is made with the first call.
#[derive(Clone, Debug)]
pub struct Client {
    link: Link,
    address: String,
    timeout: Duration,
}

impl Client {
    /// Prepares the connection; the first call makes it. `timeout` is for each attempt.
    pub fn new(
        address: &str,
        ca_file: Option<&Path>,
        credentials: Credentials,
        timeout: Duration,
    ) -> Result<Self> {
        let wrong = |e: tonic::transport::Error| {
            Error::Usage(format!(
                "`{address}` is not an address; write `http://HOST:PORT` or `https://…`: {e}"
            ))
        };
        let mut endpoint = Endpoint::from_shared(address.to_owned())
            .and_then(|e| e.user_agent(concat!("provost/", env!("CARGO_PKG_VERSION"))))
            .map_err(wrong)?
            .connect_timeout(CONNECT_TIMEOUT);
        match endpoint.uri().scheme_str() {
            Some("https") => endpoint = endpoint.tls_config(tls(ca_file)?).map_err(wrong)?,
            Some("http") if ca_file.is_none() => {}
            Some("http") => {
                return Err(Error::Usage(format!("--ca-file is for https, and `{address}` is not")));
            }
            _ => {
                return Err(Error::Usage(format!(
                    "`{address}` is not an address; write `http://HOST:PORT` or `https://…`"
                )));
            }
        }
        let link = InterceptedService::new(endpoint.connect_lazy(), credentials);
        Ok(Self { link, address: address.to_owned(), timeout })
    }

    /// One unary call, repeated when that is safe and may help.
    pub async fn call<Q, A>(
        &self,
        repeat: Repeat,
        request: &Q,
        rpc: impl AsyncFn(Link, Request<Q>) -> std::result::Result<Response<A>, Status>,
    ) -> Result<A>
    where
        Q: Clone,
    {
        self.repeated(repeat, async |link| {
            let mut request = Request::new(request.clone());
            request.set_timeout(self.timeout);
            Ok(rpc(link, request).await?.into_inner())
        })
        .await
    }

    /// Runs `attempt` and, when that is safe and the failure passes, again.
    pub async fn repeated<A>(
        &self,
        repeat: Repeat,
        attempt: impl AsyncFn(Link) -> std::result::Result<A, Status>,
    ) -> Result<A> {
        let mut done = 0;
        loop {
            let status = match attempt(self.link.clone()).await {
                Ok(answer) => return Ok(answer),
                Err(status) => status,
            };
            match pause(&status, done) {
                Some(pause) if repeat == Repeat::Safe && done < MAX_REPEATS => {
                    tokio::time::sleep(pause).await;
                }
                _ => return Err(Error::from_call(status, &self.address, self.timeout)),
            }
            done += 1;
        }
    }

    /// The error that a stream of this connection ended with.
    pub fn failed(&self, status: Status) -> Error {
        Error::from_call(status, &self.address, self.timeout)
    }

    /// How long one attempt may take.
    pub fn timeout(&self) -> Duration {
        self.timeout
    }
}

/// How long to wait before repetition number `done`; `None` when repeating does not help.
fn pause(status: &Status, done: u32) -> Option<Duration> {
    let details = status.get_error_details();
    let passes = match status.code() {
        Code::Unavailable => true,
        Code::Aborted => details.error_info().is_some_and(|info| info.reason == "CONFLICT"),
        _ => false,
    };
    let pause = retry_delay(&details).unwrap_or(FIRST_PAUSE * 2_u32.saturating_pow(done));
    (passes && pause <= MAX_PAUSE).then_some(pause)
}

/// Whether a stream that ended so was cut off, rather than refused: it can be taken up where it ended.
pub fn is_cut(status: &Status) -> bool {
    std::error::Error::source(status).is_some()
        || matches!(status.code(), Code::Unavailable | Code::Cancelled | Code::Aborted)
}

/// Whether what is sent to `address` can be read on the way: plain http, and not to this machine.
pub fn in_the_clear(address: &str) -> bool {
    let Ok(uri) = address.parse::<Uri>() else { return false };
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    let here = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
    uri.scheme_str() == Some("http") && !here
}

fn tls(ca_file: Option<&Path>) -> Result<ClientTlsConfig> {
    let Some(path) = ca_file else { return Ok(ClientTlsConfig::new().with_native_roots()) };
    let pem = fs::read(path).map_err(|e| {
        Error::Local(format!("the CA certificates in `{}` cannot be read: {e}", path.display()))
    })?;
    Ok(ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem)))
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use tonic_types::ErrorDetails;

    use super::*;

    fn status(code: Code, reason: &str, delay: Option<Duration>) -> Status {
        let mut details = ErrorDetails::new();
        details.set_error_info(reason, proto::ERROR_DOMAIN, HashMap::new());
        if delay.is_some() {
            details.set_retry_info(delay);
        }
        Status::with_error_details(code, "", details)
    }

    #[test]
    fn only_passing_failures_are_repeated() {
        assert_eq!(pause(&status(Code::Unavailable, "DATABASE_UNAVAILABLE", None), 0), Some(FIRST_PAUSE));
        assert_eq!(pause(&status(Code::Aborted, "CONFLICT", None), 2), Some(FIRST_PAUSE * 4));
        assert_eq!(pause(&status(Code::Aborted, "ETAG_STALE", None), 0), None);
        assert_eq!(pause(&status(Code::NotFound, "RESOURCE_NOT_FOUND", None), 0), None);
    }

    #[test]
    fn the_server_sets_the_pause() {
        let short = Duration::from_millis(7);
        assert_eq!(pause(&status(Code::Unavailable, "DATABASE_UNAVAILABLE", Some(short)), 2), Some(short));
        let long = MAX_PAUSE * 2;
        assert_eq!(pause(&status(Code::Unavailable, "DATABASE_UNAVAILABLE", Some(long)), 0), None);
    }

    #[test]
    fn a_token_is_never_shown() {
        let credentials = Credentials::new(Some("pv_pat_secret"), None).unwrap();
        assert!(!format!("{credentials:?}").contains("secret"));
        assert!(Credentials::new(Some("two\nlines"), None).is_err());
    }

    #[test]
    fn plain_http_to_another_machine_is_in_the_clear() {
        for address in
            ["http://127.0.0.1:7443", "http://localhost:7443", "http://[::1]:7443", "https://p.example"]
        {
            assert!(!in_the_clear(address), "{address}");
        }
        for address in ["http://p.example", "http://10.0.0.1:7443"] {
            assert!(in_the_clear(address), "{address}");
        }
    }

    #[tokio::test]
    async fn addresses_are_checked() {
        let client = |address: &str, ca: Option<&Path>| {
            Client::new(address, ca, Credentials::new(None, None).unwrap(), Duration::from_secs(1))
        };
        client("http://127.0.0.1:7443", None).unwrap();
        client("https://provost.example", None).unwrap();
        for bad in ["", "127.0.0.1:7443", "ftp://x", "http://"] {
            assert!(matches!(client(bad, None), Err(Error::Usage(_))), "{bad}");
        }
        assert!(matches!(client("http://x", Some(Path::new("ca.pem"))), Err(Error::Usage(_))));
        assert!(matches!(client("https://x", Some(Path::new("/nonexistent/ca.pem"))), Err(Error::Local(_))));
    }
}
