//! A small HTTP client for what we send to others: witnesses and sinks. One request, bounded in time and size, no redirects.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_rustls::{ConfigBuilderExt as _, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{
        self,
        connect::{HttpConnector, dns::Name},
    },
    rt::TokioExecutor,
};
use kernel::{Result, error::Error, telemetry};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject as _},
};
use tower::Service;
use tracing::Instrument as _;

/// Where one may connect to, decided on the addresses that a name resolves to: what a name means can change between two looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reach {
    /// This machine.
    pub loopback: bool,
    /// Private, shared, link-local and other networks that are not the Internet.
    pub private: bool,
}

impl Reach {
    /// Everywhere: for addresses that the operator configured.
    pub const ANYWHERE: Self = Self { loopback: true, private: true };

    /// Refuses an address that may not be reached, in words.
    pub fn check(self, ip: IpAddr) -> Result<(), String> {
        let ip = match ip {
            IpAddr::V6(v6) => embedded(v6).map_or(ip, IpAddr::V4),
            v4 @ IpAddr::V4(_) => v4,
        };
        if ip.is_loopback() {
            return if self.loopback {
                Ok(())
            } else {
                Err(format!(
                    "`{ip}` is this machine, where sinks may not deliver; see `sinks.allow_loopback`"
                ))
            };
        }
        let never = ip.is_multicast() || ip.is_unspecified() || ip == IpAddr::V4(Ipv4Addr::BROADCAST);
        if never {
            return Err(format!("`{ip}` is not the address of a host"));
        }
        let inside = match ip {
            IpAddr::V4(v4) => is_inside(v4),
            IpAddr::V6(v6) => is_inside_v6(v6),
        };
        if inside && !self.private {
            return Err(format!(
                "`{ip}` is in a private network, where sinks may not deliver; see `sinks.allow_private_networks`"
            ));
        }
        Ok(())
    }

    /// The addresses of a host; fails when one of them may not be reached.
    pub async fn resolve(self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        let found: Vec<_> = tokio::net::lookup_host((host, port)).await?.collect();
        for address in &found {
            self.check(address.ip()).map_err(|why| io::Error::new(io::ErrorKind::PermissionDenied, why))?;
        }
        Ok(found)
    }
}

/// The IPv4 address that an IPv6 one stands for: mapped (RFC 4291), NAT64 (RFC 6052), 6to4 (RFC 3056).
fn embedded(ip: Ipv6Addr) -> Option<Ipv4Addr> {
    let of = |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    match ip.segments() {
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] => Some(of(high, low)),
        _ => ip.to_ipv4_mapped(),
    }
}

/// The special blocks of RFC 6890 that are no multicast.
fn is_inside(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    ip.is_private()
        || ip.is_link_local()
        || ip.is_documentation()
        || matches!((a, b, c), (0 | 240..=255, ..) | (100, 64..=127, _) | (192, 0, 0) | (198, 18..=19, _))
}

fn is_inside_v6(ip: Ipv6Addr) -> bool {
    ip.is_unique_local()
        || ip.is_unicast_link_local()
        || matches!(ip.segments(), [0x2001, 0xdb8, ..] | [0xfec0..=0xfeff, ..])
}

impl Service<Name> for Reach {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let reach = *self;
        // the connector puts the port in
        Box::pin(async move { Ok(reach.resolve(name.as_str(), 0).await?.into_iter()) })
    }
}

/// TLS that trusts the certificate authorities in `ca` (PEM), or the system's when that is empty.
pub fn tls(ca: &str) -> Result<ClientConfig> {
    let ring = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(ring).with_safe_default_protocol_versions();
    let builder = builder.map_err(Error::internal)?;
    let builder = if ca.is_empty() {
        builder.with_native_roots().map_err(Error::internal)?
    } else {
        builder.with_root_certificates(roots(ca).map_err(Error::internal)?)
    };
    Ok(builder.with_no_client_auth())
}

/// The certificate authorities in a PEM text, at least one; otherwise why not.
pub fn roots(ca: &str) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(ca.as_bytes()) {
        let certificate = certificate.map_err(|e| e.to_string())?;
        roots.add(certificate).map_err(|e| e.to_string())?;
    }
    if roots.is_empty() { Err("it holds no certificate".to_owned()) } else { Ok(roots) }
}

/// The client. Cheap to clone; connections are kept.
#[derive(Clone)]
pub struct Client {
    inner: legacy::Client<HttpsConnector<HttpConnector<Reach>>, Full<Bytes>>,
    reach: Reach,
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

impl Client {
    /// Trusts the system's certificate authorities; `http://` is for the loopback and for networks of one's own.
    pub fn new() -> Result<Self> {
        Self::guarded(Reach::ANYWHERE, "")
    }

    /// Goes only where `reach` lets it, and trusts what [`tls`] says of `ca`.
    pub fn guarded(reach: Reach, ca: &str) -> Result<Self> {
        let mut http = HttpConnector::new_with_resolver(reach);
        http.enforce_http(false);
        let tls = HttpsConnectorBuilder::new().with_tls_config(tls(ca)?);
        let connector = tls.https_or_http().enable_http1().wrap_connector(http);
        Ok(Self { inner: legacy::Client::builder(TokioExecutor::new()).build(connector), reach })
    }

    /// Sends one request; the whole of it, body included, takes at most `patience`, and the answer's body at most `limit` bytes.
    /// Where traces are kept, it is a span of the trace in which it is sent, and says so to the other side (W3C Trace Context).
    pub async fn send(
        &self,
        method: Method,
        url: &str,
        headers: &[(&str, String)],
        body: Bytes,
        patience: Duration,
        limit: usize,
    ) -> Result<Answer> {
        let span = tracing::info_span!("send", otel.name = %format!("send {method}"), otel.kind = "client");
        self.exchange(method, url, headers, body, patience, limit).instrument(span).await
    }

    async fn exchange(
        &self,
        method: Method,
        url: &str,
        headers: &[(&str, String)],
        body: Bytes,
        patience: Duration,
        limit: usize,
    ) -> Result<Answer> {
        let mut request = Request::builder().method(method).uri(url).header("user-agent", "provost");
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        for (name, value) in telemetry::outgoing() {
            request = request.header(name, value);
        }
        // errors are logged: they say where to, not what else an address holds
        let url = origin(url);
        let request = request.body(Full::new(body)).map_err(|e| away(&url, &e))?;
        // an address in the place of a name is not resolved
        let host = request.uri().host().unwrap_or_default().trim_matches(['[', ']']);
        if let Ok(ip) = host.parse() {
            self.reach.check(ip).map_err(|why| Error::internal(format!("`{url}`: {why}")))?;
        }
        let exchange = async {
            let (head, body) = self.inner.request(request).await.map_err(|e| away(&url, &e))?.into_parts();
            let body = Limited::new(body, limit).collect().await;
            let body = body.map_err(|e| Error::internal(format!("`{url}`: {e}")))?.to_bytes();
            Ok(Answer { status: head.status, headers: head.headers, body })
        };
        let late = |_| Error::internal(format!("`{url}`: it did not answer in time"));
        tokio::time::timeout(patience, exchange).await.map_err(late)?
    }
}

/// The scheme, the host and the port of an address; paths, queries and users are their owner's.
fn origin(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("https", url));
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    format!("{scheme}://{host}")
}

/// An error with everything that it came from.
fn away(url: &str, why: &(dyn std::error::Error + 'static)) -> Error {
    let mut words = vec![why.to_string()];
    let mut source = why.source();
    while let Some(error) = source {
        words.push(error.to_string());
        source = error.source();
    }
    Error::internal(format!("`{url}`: {}", advised(words.join(": "))))
}

/// What went wrong, with what to do about it where the words of TLS are for those who know its library.
pub fn advised(words: String) -> String {
    if !words.contains("CaUsedAsEndEntity") {
        return words;
    }
    format!(
        "{words}; it shows the certificate of an authority (`CA:TRUE`) as its own: give it one with `basicConstraints=CA:FALSE`, \
         signed by that authority, and name the authority in `ca_certificate`"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_the_internet_is_refused_unless_it_is_allowed() {
        let (none, loopback, private) = (
            Reach { loopback: false, private: false },
            Reach { loopback: true, private: false },
            Reach { loopback: false, private: true },
        );
        let at = |reach: Reach, ip: &str| reach.check(ip.parse().unwrap()).is_ok();
        for ip in ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::"] {
            assert!(!at(none, ip) && at(loopback, ip) && !at(private, ip), "{ip}");
        }
        for ip in [
            "10.0.0.1",
            "172.16.3.4",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "198.18.0.1",
            "192.0.0.8",
            "240.0.0.1",
            "0.1.2.3",
            "fd00::1",
            "fe80::1",
            "::ffff:10.0.0.1",
            "64:ff9b::a9fe:a9fe",
        ] {
            assert!(!at(none, ip) && !at(loopback, ip) && at(private, ip), "{ip}");
        }
        for ip in ["224.0.0.1", "255.255.255.255", "0.0.0.0", "::", "ff02::1"] {
            assert!(!at(Reach::ANYWHERE, ip), "{ip}");
        }
        for ip in ["1.1.1.1", "172.32.0.1", "2606:4700::1111", "64:ff9b::101:101"] {
            assert!(at(none, ip), "{ip}");
        }
    }

    #[test]
    fn errors_name_the_host_of_an_address_and_nothing_else() {
        for url in [
            "https://siem.example:8443/a?key=s",
            "https://u:p@siem.example:8443",
            "https://siem.example:8443#x",
        ] {
            assert_eq!(origin(url), "https://siem.example:8443", "{url}");
        }
        assert_eq!(origin("no address at all/secret"), "https://no address at all");
    }

    #[test]
    fn a_text_without_a_certificate_is_no_authority() {
        assert!(roots("").is_err());
        assert!(roots("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").is_err());
    }
}
