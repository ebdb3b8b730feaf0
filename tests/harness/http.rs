//! Plain HTTP to a site.

use bytes::Bytes;
use http::{Method, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};

/// An answer, whole.
#[derive(Debug)]
pub struct Answer {
    /// Status.
    pub status: StatusCode,
    /// Headers.
    pub headers: http::HeaderMap,
    /// Body.
    pub body: Bytes,
}

impl Answer {
    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// One request.
pub async fn send(method: Method, url: &str, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Answer {
    let mut request = http::Request::builder().method(method).uri(url);
    for (key, value) in headers {
        request = request.header(*key, *value);
    }
    let request = request.body(Full::new(body.into())).unwrap();
    let response = Client::builder(TokioExecutor::new()).build_http().request(request).await.unwrap();
    let (status, headers) = (response.status(), response.headers().clone());
    Answer { status, headers, body: response.into_body().collect().await.unwrap().to_bytes() }
}

/// GET.
pub async fn get(url: &str) -> Answer {
    send(Method::GET, url, &[], Bytes::new()).await
}

/// POST of an OTLP/HTTP JSON log request.
pub async fn post_logs(url: &str, secret: &str, body: impl Into<Bytes>) -> Answer {
    post_otlp(url, secret, ("logs", "application/json"), body).await
}

/// POST of an OTLP/HTTP request about a signal (`logs`, `metrics`, `traces`) in a media type.
pub async fn post_otlp(
    url: &str,
    secret: &str,
    (signal, media): (&str, &str),
    body: impl Into<Bytes>,
) -> Answer {
    let bearer = format!("Bearer {secret}");
    let headers = [("authorization", bearer.as_str()), ("content-type", media)];
    send(Method::POST, &format!("{url}/v1/{signal}"), &headers, body).await
}
