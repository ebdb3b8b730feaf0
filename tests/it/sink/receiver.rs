//! Receivers on the loopback: HTTP, and syslog over TLS.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode, Uri},
    response::{IntoResponse as _, Response},
};
use rcgen::CertifiedKey;
use rustls::pki_types::PrivateKeyDer;
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    task::JoinHandle,
};
use tokio_rustls::TlsAcceptor;

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

/// A receiver over TLS that keeps the bytes of each connection, and closes it when the sender does.
pub struct Tls {
    pub address: SocketAddr,
    /// PEM of its certificate, which is its own authority.
    pub ca: String,
    connections: Arc<Mutex<Vec<Vec<u8>>>>,
    task: JoinHandle<()>,
}

impl Tls {
    pub async fn start() -> Self {
        let CertifiedKey { cert, signing_key } =
            rcgen::generate_simple_self_signed(vec!["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
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
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (acceptor, kept) = (acceptor.clone(), Arc::clone(&kept));
                tokio::spawn(async move {
                    let Ok(mut stream) = acceptor.accept(stream).await else { return };
                    let mut bytes = Vec::new();
                    if stream.read_to_end(&mut bytes).await.is_ok() {
                        kept.lock().unwrap().push(bytes);
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
