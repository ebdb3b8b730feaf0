//! Receivers on the loopback: HTTP, syslog over TLS, and rsyslog.

use std::{
    net::SocketAddr,
    path::Path,
    process::{Child, Command},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode, Uri},
    response::{IntoResponse as _, Response},
};
use rcgen::{CertificateParams, CertifiedKey, IsCa, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use serde_json::Value;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    task::JoinHandle,
};
use tokio_rustls::TlsAcceptor;

use super::until;

/// A request that came.
#[derive(Clone)]
pub struct Received {
    pub path: String,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Received {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers[name].to_str().unwrap()
    }
}

/// Status and headers of an answer.
pub type Answer = (u16, Vec<(&'static str, String)>);
type Answering = Box<dyn FnMut(&Received) -> Answer + Send>;

#[derive(Clone)]
struct Shared {
    taken: Arc<Mutex<Vec<Received>>>,
    refused: Arc<Mutex<Vec<Received>>>,
    answering: Arc<Mutex<Answering>>,
}

/// A receiver over HTTP that keeps what it took.
pub struct Http {
    pub address: SocketAddr,
    shared: Shared,
    task: JoinHandle<()>,
}

impl Http {
    pub async fn start() -> Self {
        Self::start_at("127.0.0.1:0".parse().unwrap()).await
    }

    pub async fn start_at(address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let yes: Answering = Box::new(|_| (200, Vec::new()));
        let shared =
            Shared { taken: Arc::default(), refused: Arc::default(), answering: Arc::new(Mutex::new(yes)) };
        let router = Router::new().fallback(receive).with_state(shared.clone());
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, shared, task }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Answers like this from now on.
    pub fn answer(&self, answering: impl FnMut(&Received) -> Answer + Send + 'static) {
        *self.shared.answering.lock().unwrap() = Box::new(answering);
    }

    /// What was answered with 2xx.
    pub fn taken(&self) -> Vec<Received> {
        self.shared.taken.lock().unwrap().clone()
    }

    /// What was not.
    pub fn refused(&self) -> usize {
        self.shared.refused.lock().unwrap().len()
    }

    /// Index and id of every event that was taken, as it came.
    pub fn events(&self) -> Vec<(i64, String)> {
        let of = |r: &Received| {
            let data = &r.json()["data"];
            (data["sequence"].as_i64().unwrap(), data["event"]["id"].as_str().unwrap().to_owned())
        };
        self.taken().iter().map(of).collect()
    }
}

impl Drop for Http {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn receive(State(shared): State<Shared>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let received = Received { path: uri.path().to_owned(), headers, body };
    let (status, headers) = (shared.answering.lock().unwrap())(&received);
    let kept = if status < 300 { &shared.taken } else { &shared.refused };
    kept.lock().unwrap().push(received);
    let mut response = (StatusCode::from_u16(status).unwrap(), "said so").into_response();
    for (name, value) in headers {
        response.headers_mut().insert(name, value.parse().unwrap());
    }
    response
}

/// How a receiver ends a connection that the sender has closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// With a `close_notify`, as RFC 5425 says.
    Clean,
    /// Without one, as rsyslog does.
    Rude,
    /// The first one with a reset, before it has kept anything; the others without a `close_notify`.
    ResetOnce,
}

/// A receiver over TLS that keeps the bytes of each connection, and closes it when the sender does.
pub struct Tls {
    pub address: SocketAddr,
    /// PEM of its certificate, which is its own authority.
    pub ca: String,
    connections: Arc<Mutex<Vec<Vec<u8>>>>,
    task: JoinHandle<()>,
}

impl Tls {
    pub async fn start(ending: Ending) -> Self {
        Self::showing(ending, IsCa::NoCa).await
    }

    /// With a certificate that is, or is not, one of an authority.
    pub async fn showing(ending: Ending, is_ca: IsCa) -> Self {
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let mut params = CertificateParams::new(names).unwrap();
        params.is_ca = is_ca;
        let signing_key = KeyPair::generate().unwrap();
        let cert = params.self_signed(&signing_key).unwrap();
        let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
        let ring = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(ring)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key)
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections: Arc<Mutex<Vec<Vec<u8>>>> = Arc::default();
        let kept = Arc::clone(&connections);
        let task = tokio::spawn(async move {
            let acceptor = TlsAcceptor::from(Arc::new(config));
            let resets = Arc::new(AtomicBool::new(ending == Ending::ResetOnce));
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (acceptor, kept, resets) = (acceptor.clone(), Arc::clone(&kept), Arc::clone(&resets));
                tokio::spawn(async move {
                    let Ok(mut stream) = acceptor.accept(stream).await else { return };
                    let mut bytes = Vec::new();
                    if stream.read_to_end(&mut bytes).await.is_err() {
                        return;
                    }
                    if resets.swap(false, Ordering::SeqCst) {
                        stream.get_ref().0.set_zero_linger().unwrap();
                        return;
                    }
                    kept.lock().unwrap().push(bytes);
                    if ending == Ending::Clean {
                        let _ = stream.shutdown().await;
                    }
                });
            }
        });
        Self { address, ca: cert.pem(), connections, task }
    }

    /// The syslog messages that came, taken out of their frames (RFC 5425).
    pub fn messages(&self) -> Vec<String> {
        let mut messages = Vec::new();
        for connection in self.connections.lock().unwrap().iter() {
            let mut rest = connection.as_slice();
            while !rest.is_empty() {
                let space = rest.iter().position(|b| *b == b' ').unwrap();
                let length: usize = std::str::from_utf8(&rest[..space]).unwrap().parse().unwrap();
                let (message, after) = rest[space + 1..].split_at(length);
                messages.push(String::from_utf8(message.to_vec()).unwrap());
                rest = after;
            }
        }
        messages
    }
}

impl Drop for Tls {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Debian's rsyslog, its TLS by GnuTLS, on a port and in a directory of its own.
pub struct Rsyslog {
    pub address: SocketAddr,
    pub ca: String,
    place: TempDir,
    process: Child,
}

impl Rsyslog {
    pub async fn start() -> Self {
        let CertifiedKey { cert, signing_key } =
            rcgen::generate_simple_self_signed(vec!["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
        let place = tempfile::tempdir().unwrap();
        let path = |name: &str| place.path().join(name).display().to_string();
        std::fs::write(path("cert.pem"), cert.pem()).unwrap();
        std::fs::write(path("key.pem"), signing_key.serialize_pem()).unwrap();
        let config = format!(
            r#"global(workDirectory="{dir}" maxMessageSize="64k" defaultNetstreamDriver="gtls"
                defaultNetstreamDriverCAFile="{cert}" defaultNetstreamDriverCertFile="{cert}" defaultNetstreamDriverKeyFile="{key}")
            module(load="imtcp" streamDriver.name="gtls" streamDriver.mode="1" streamDriver.authMode="anon")
            input(type="imtcp" address="127.0.0.1" port="0" listenPortFileName="{port}")
            template(name="raw" type="string" string="%rawmsg%\n")
            action(type="omfile" file="{out}" template="raw")
            "#,
            dir = place.path().display(),
            cert = path("cert.pem"),
            key = path("key.pem"),
            port = path("port"),
            out = path("out"),
        );
        std::fs::write(path("rsyslog.conf"), config).unwrap();
        let daemon = ["/usr/sbin/rsyslogd", "/usr/bin/rsyslogd"].into_iter().find(|p| Path::new(p).exists());
        let daemon = daemon.expect("no rsyslogd; `tests/install` installs rsyslog and rsyslog-gnutls");
        let (config, pid) = (path("rsyslog.conf"), path("pid"));
        let process = Command::new(daemon).args(["-n", "-f", &config, "-i", &pid]).spawn().unwrap();
        let port = path("port");
        let port: u16 =
            until("rsyslog listens", async || std::fs::read_to_string(&port).ok()?.trim().parse().ok()).await;
        Self { address: SocketAddr::from(([127, 0, 0, 1], port)), ca: cert.pem(), place, process }
    }

    /// The messages that it wrote.
    pub fn messages(&self) -> Vec<String> {
        let written = std::fs::read_to_string(self.place.path().join("out")).unwrap_or_default();
        // the last line may still be on its way
        written.split_inclusive('\n').filter_map(|line| Some(line.strip_suffix('\n')?.to_owned())).collect()
    }
}

impl Drop for Rsyslog {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
