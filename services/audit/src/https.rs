//! A small HTTP client for what we send to others: witnesses and sinks. One request, bounded in time and size, no redirects.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{self, connect::HttpConnector},
    rt::TokioExecutor,
};
use kernel::{Result, error::Error};

/// The client. Cheap to clone; connections are kept.
#[derive(Clone)]
pub struct Client(legacy::Client<HttpsConnector<HttpConnector>, Full<Bytes>>);

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
        let tls = HttpsConnectorBuilder::new().with_native_roots().map_err(Error::internal)?;
        let connector = tls.https_or_http().enable_http1().build();
        Ok(Self(legacy::Client::builder(TokioExecutor::new()).build(connector)))
    }

    /// Sends one request; the whole of it, body included, takes at most `patience`, and the answer's body at most `limit` bytes.
    pub async fn send(
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
        let request = request.body(Full::new(body)).map_err(|e| away(url, &e))?;
        let exchange = async {
            let (head, body) = self.0.request(request).await.map_err(|e| away(url, &e))?.into_parts();
            let body = Limited::new(body, limit).collect().await.map_err(|e| away(url, &e))?.to_bytes();
            Ok(Answer { status: head.status, headers: head.headers, body })
        };
        tokio::time::timeout(patience, exchange).await.map_err(|_| away(url, &"it did not answer in time"))?
    }
}

fn away(url: &str, why: &dyn std::fmt::Display) -> Error {
    Error::internal(format!("`{url}`: {why}"))
}
