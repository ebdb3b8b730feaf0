//! The routes: content type, body, request id, and the metadata.

#![allow(clippy::result_large_err, reason = "an answer is made once and sent")]

use std::sync::Arc;

use axum::{
    Router,
    extract::{DefaultBodyLimit, FromRequest as _, Request, State},
    response::{IntoResponse as _, Response},
    routing::{get, post},
};
use bytes::Bytes;
use http::{
    HeaderName, HeaderValue, StatusCode, Uri,
    header::{CACHE_CONTROL, CONTENT_TYPE, HOST, RETRY_AFTER},
    request::Parts,
};
use serde_json::{Map, Value, json};

use crate::{
    About, Endpoint, Policy, Source, answer,
    parse::{self, Evaluations, Incomplete, Question, Semantic, Subject},
};

/// Largest request.
pub const MAX_BODY_BYTES: usize = 1 << 20;
/// What a caller calls its request; it comes back with the answer.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Where the metadata lie.
const METADATA: &str = "/.well-known/authzen-configuration";

type Object = Map<String, Value>;

/// `/access/v1/…` and `/.well-known/authzen-configuration`, answered by `source`.
///
/// A no is 200. Errors carry a `google.rpc.Status` in JSON: 400 for what is not a request, 401 and 403 credential, 404 a tenant that
/// there is not or that the caller may not see, 413 too much at once, 503 a search without rules to search by.
pub fn routes<S: Source>(source: Arc<S>) -> Router {
    let mut router = Router::new();
    for endpoint in Endpoint::ALL {
        let asked = move |State(source): State<Arc<S>>, request: Request| async move {
            let id = request.headers().get(&REQUEST_ID).cloned();
            let mut response = match serve(&*source, endpoint, request).await {
                Ok(answer) => ok(&answer),
                Err(refusal) => refusal,
            };
            if let Some(id) = id {
                response.headers_mut().insert(REQUEST_ID, id);
            }
            response
        };
        router = router.route(endpoint.path(), post(asked));
    }
    let metadata = |State(source): State<Arc<S>>, request: Request| async move {
        let id = request.headers().get(&REQUEST_ID).cloned();
        let mut response = metadata(&*source, &request.into_parts().0);
        if let Some(id) = id {
            response.headers_mut().insert(REQUEST_ID, id);
        }
        response
    };
    router.route(METADATA, get(metadata)).layer(DefaultBodyLimit::max(MAX_BODY_BYTES)).with_state(source)
}

/// An error as a `google.rpc.Status`; `code` is gRPC's.
pub fn problem(status: StatusCode, code: i32, reason: &str, message: &str) -> Response {
    let body = json!({
        "code": code,
        "message": message,
        "details": [{
            "@type": "type.googleapis.com/google.rpc.ErrorInfo",
            "reason": reason, "domain": "provost.dev", "metadata": {},
        }],
    });
    let mut response = (status, body.to_string()).into_response();
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if status == StatusCode::SERVICE_UNAVAILABLE {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

fn wrong(message: impl AsRef<str>) -> Response {
    problem(StatusCode::BAD_REQUEST, 3, "INVALID_FIELD", message.as_ref())
}

fn ok(answer: &Value) -> Response {
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static("application/json")),
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    (StatusCode::OK, headers, answer.to_string()).into_response()
}

async fn serve<S: Source>(source: &S, endpoint: Endpoint, request: Request) -> Result<Value, Response> {
    let (parts, body) = request.into_parts();
    // who calls comes before what is sent
    let caller = source.enter(&parts).await?;
    let kind = parts.headers.get(CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    if !kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/json") {
        return Err(wrong("the content type is not `application/json`"));
    }
    let bytes = Bytes::from_request(Request::from_parts(parts, body), &()).await.map_err(|e| {
        if e.status() == StatusCode::PAYLOAD_TOO_LARGE {
            let message = format!("the request holds more than {MAX_BODY_BYTES} bytes; ask less at a time");
            return problem(StatusCode::PAYLOAD_TOO_LARGE, 8, "LIMIT_EXCEEDED", &message);
        }
        wrong("the body could not be read to its end")
    })?;
    let object = parse::body(&bytes).map_err(wrong)?;
    let asking = Asking { source, caller, endpoint };
    match endpoint {
        Endpoint::Evaluation => asking.one(&parse::evaluation(&object).map_err(wrong)?).await,
        Endpoint::Evaluations => match parse::evaluations(&object).map_err(wrong)? {
            Evaluations::One(question) => asking.one(&question).await,
            Evaluations::Many(items, semantic) => asking.many(&items, semantic).await,
        },
        Endpoint::SubjectSearch => asking.subjects(&object).await,
        Endpoint::ResourceSearch => asking.resources(&object).await,
        Endpoint::ActionSearch => asking.actions(&object).await,
    }
}

/// A caller that was let in, and what it asks for.
struct Asking<'s, S: Source> {
    source: &'s S,
    caller: S::Caller,
    endpoint: Endpoint,
}

impl<S: Source> Asking<'_, S> {
    async fn open(&self, about: Vec<About>) -> Result<Vec<Policy>, Response> {
        self.source.open(&self.caller, self.endpoint, about).await
    }

    /// What to decide by about one subject, or about everybody of its tenant.
    async fn by(&self, subject: &Subject, everybody: bool) -> Result<Policy, Response> {
        let whom = if everybody { Vec::new() } else { vec![subject.id.clone()] };
        let about = About { tenant: subject.tenant.clone(), whom };
        let policy = self.open(vec![about]).await?.pop();
        policy.ok_or_else(unavailable)
    }

    async fn one(&self, question: &Question) -> Result<Value, Response> {
        Ok(answer::decide(question, &self.by(&question.subject, false).await?))
    }

    async fn many(
        &self,
        items: &[Result<Question, Incomplete>],
        semantic: Semantic,
    ) -> Result<Value, Response> {
        let mut about: Vec<About> = Vec::new();
        for question in items.iter().flatten() {
            let (tenant, id) = (&question.subject.tenant, question.subject.id.clone());
            match about.iter_mut().find(|about| about.tenant == *tenant) {
                Some(about) => about.whom.push(id),
                None => about.push(About { tenant: tenant.clone(), whom: vec![id] }),
            }
        }
        if about.is_empty() {
            // nobody is asked about, and still not everybody may ask
            about.push(About { tenant: None, whom: Vec::new() });
        }
        let tenants: Vec<_> = about.iter().map(|about| about.tenant.clone()).collect();
        let policies = self.open(about).await?;
        let mut answers = Vec::with_capacity(items.len());
        let of = |tenant: &Option<String>| policies.get(tenants.iter().position(|known| known == tenant)?);
        for item in items {
            let answer = match item {
                Ok(question) => {
                    answer::decide(question, of(&question.subject.tenant).ok_or_else(unavailable)?)
                }
                // what names no tenant that is asked about counts with the first that is
                Err(item) => {
                    let policy = of(&item.tenant).or(policies.first());
                    answer::incomplete(item, policy.ok_or_else(unavailable)?)
                }
            };
            let decision = answer.get("decision").and_then(Value::as_bool).unwrap_or_default();
            answers.push(answer);
            match (semantic, decision) {
                (Semantic::DenyOnFirstDeny, false) | (Semantic::PermitOnFirstPermit, true) => break,
                _ => {}
            }
        }
        Ok(json!({"evaluations": answers}))
    }

    async fn subjects(&self, request: &Object) -> Result<Value, Response> {
        let context = request.get("context");
        parse::object("context", context).map_err(wrong)?;
        let subject = parse::subject(request.get("subject"), context, false).map_err(wrong)?;
        let resource = parse::resource(request.get("resource"), true).map_err(wrong)?;
        let (action, page) = (action(request)?, parse::page(request).map_err(wrong)?);
        let policy = self.by(&subject, true).await?;
        let by = policy.snapshot.as_deref().ok_or_else(unavailable)?;
        let found = answer::subjects(&subject.kind, &resource, &action, &policy, by);
        let question = json!(["subject", policy.tenant, subject.kind, resource.kind, resource.id, action]);
        let shape = |id: &str| json!({"type": subject.kind, "id": id});
        answer::paged(&found, &page, &question.to_string(), shape).map_err(wrong)
    }

    async fn resources(&self, request: &Object) -> Result<Value, Response> {
        let context = request.get("context");
        parse::object("context", context).map_err(wrong)?;
        let subject = parse::subject(request.get("subject"), context, true).map_err(wrong)?;
        let resource = parse::resource(request.get("resource"), false).map_err(wrong)?;
        let (action, page) = (action(request)?, parse::page(request).map_err(wrong)?);
        let policy = self.by(&subject, false).await?;
        let by = policy.snapshot.as_deref().ok_or_else(unavailable)?;
        let found = answer::resources(&subject, &resource.kind, &action, &policy, by);
        let question =
            json!(["resource", policy.tenant, subject.kind, subject.id, resource.kind, action]).to_string();
        let shape = |id: &str| json!({"type": resource.kind, "id": id});
        answer::paged(&found, &page, &question, shape).map_err(wrong)
    }

    async fn actions(&self, request: &Object) -> Result<Value, Response> {
        let context = request.get("context");
        parse::object("context", context).map_err(wrong)?;
        let subject = parse::subject(request.get("subject"), context, true).map_err(wrong)?;
        let resource = parse::resource(request.get("resource"), true).map_err(wrong)?;
        let page = parse::page(request).map_err(wrong)?;
        let policy = self.by(&subject, false).await?;
        if policy.snapshot.is_none() {
            return Err(unavailable());
        }
        let question = json!(["action", policy.tenant, subject.kind, subject.id, resource.kind, resource.id])
            .to_string();
        let found = answer::actions(subject, resource, &policy);
        answer::paged(&found, &page, &question, |name| json!({"name": name})).map_err(wrong)
    }
}

fn action(request: &Object) -> Result<String, Response> {
    parse::action(request.get("action")).map_err(wrong)
}

fn unavailable() -> Response {
    let message = "the rules cannot be read, or are too old to search by; come back later";
    problem(StatusCode::SERVICE_UNAVAILABLE, 14, "POLICY_UNAVAILABLE", message)
}

/// Where everything lies, under the name by which the caller reaches it.
fn metadata<S: Source>(source: &S, parts: &Parts) -> Response {
    let Some(base) = base(source, parts) else {
        return wrong("the request names no host");
    };
    let mut document = Map::from_iter([("policy_decision_point".to_owned(), json!(base))]);
    for endpoint in Endpoint::ALL {
        document.insert(endpoint.key().to_owned(), json!(format!("{base}{}", endpoint.path())));
    }
    let mut response = ok(&Value::Object(document));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("private, max-age=300"));
    response
}

fn base<S: Source>(source: &S, parts: &Parts) -> Option<String> {
    if let Some(url) = source.url() {
        return Some(url.to_owned());
    }
    let host = parts.headers.get(HOST).and_then(|v| v.to_str().ok()).map(str::to_owned);
    let host = host.or_else(|| parts.uri.authority().map(ToString::to_string))?;
    let scheme = if source.is_tls() { "https" } else { "http" };
    // only what can be a host comes back
    let url: Uri = format!("{scheme}://{host}/").parse().ok()?;
    let authority = url.authority().filter(|authority| authority.as_str() == host && !host.contains('@'))?;
    Some(format!("{scheme}://{authority}"))
}
