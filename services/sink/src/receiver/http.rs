//! What an HTTP answer means.

use std::time::Duration;

use audit::https::{Answer, Client};
use bytes::Bytes;
use http::{Method, StatusCode, header::RETRY_AFTER};
use kernel::Result;

use super::{Outcome, PATIENCE, clipped};

/// Largest answer that is read, bytes.
const MAX_ANSWER: usize = 64 * 1024;

/// One request; the answer when it was taken.
pub async fn post(
    client: &Client,
    url: &str,
    headers: &[(&str, String)],
    body: String,
) -> Result<Answer, Outcome> {
    post_bytes(client, url, headers, body.into()).await
}

/// The same with any bytes.
pub async fn post_bytes(
    client: &Client,
    url: &str,
    headers: &[(&str, String)],
    body: Bytes,
) -> Result<Answer, Outcome> {
    let sent: Result<Answer> = client.send(Method::POST, url, headers, body, PATIENCE, MAX_ANSWER).await;
    let answer = sent.map_err(Outcome::again)?;
    match meaning(&answer) {
        Outcome::Taken => Ok(answer),
        other => Err(other),
    }
}

/// 410 ends the sink. What may pass by itself is tried again: no time, too much, our credential, an address that is wrong or
/// was moved; those are about the sink, and no event is given up for them. The rest of 4xx is about what was sent.
fn meaning(answer: &Answer) -> Outcome {
    let status = answer.status;
    let body = clipped(String::from_utf8_lossy(&answer.body).trim());
    let why = if body.is_empty() {
        format!("it answered {status}")
    } else {
        format!("it answered {status}: {body}")
    };
    match status {
        s if s.is_success() => Outcome::Taken,
        StatusCode::GONE => Outcome::Gone(why),
        s if s.is_redirection() => Outcome::again(format!("{why}; redirects are not followed")),
        StatusCode::UNAUTHORIZED
        | StatusCode::FORBIDDEN
        | StatusCode::NOT_FOUND
        | StatusCode::METHOD_NOT_ALLOWED
        | StatusCode::PROXY_AUTHENTICATION_REQUIRED
        | StatusCode::REQUEST_TIMEOUT
        | StatusCode::TOO_EARLY
        | StatusCode::TOO_MANY_REQUESTS => Outcome::Again { why, after: retry_after(answer) },
        s if s.is_client_error() => Outcome::Refused(why),
        _ => Outcome::Again { why, after: retry_after(answer) },
    }
}

/// Seconds in `Retry-After`; a date in it is passed over, our own pause is as good.
fn retry_after(answer: &Answer) -> Option<Duration> {
    answer.headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok().map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(status: u16, retry: Option<&str>) -> Outcome {
        let mut headers = http::HeaderMap::new();
        if let Some(value) = retry {
            headers.insert(RETRY_AFTER, value.parse().unwrap());
        }
        meaning(&Answer { status: StatusCode::from_u16(status).unwrap(), headers, body: Bytes::from("no\n") })
    }

    #[test]
    fn a_status_says_whether_to_try_again() {
        assert_eq!(of(204, None), Outcome::Taken);
        for status in [301, 302, 401, 403, 404, 408, 425, 429, 500, 502, 503, 599] {
            assert!(matches!(of(status, None), Outcome::Again { after: None, .. }), "{status}");
        }
        for status in [400, 409, 413, 415, 422] {
            assert!(matches!(of(status, None), Outcome::Refused(_)), "{status}");
        }
        assert!(matches!(of(410, None), Outcome::Gone(why) if why == "it answered 410 Gone: no"));
        assert!(matches!(of(429, Some("7")), Outcome::Again { after: Some(t), .. } if t.as_secs() == 7));
        assert!(matches!(of(503, Some("soon")), Outcome::Again { after: None, .. }));
    }
}
