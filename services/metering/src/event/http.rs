//! `POST /v1/usage/events`: CloudEvents 1.0 in JSON, one or a batch.
//!
//! `data` holds `value` (or several quantities in `values`), `dims` and `client`; extensions and other fields are not kept.

use std::{borrow::Cow, collections::BTreeMap, sync::Arc};

use axum::{
    Extension, Json,
    extract::{FromRequest as _, Request, State},
    response::{IntoResponse as _, Response},
};
use bytes::Bytes;
use http::{
    HeaderMap, StatusCode,
    header::{AUTHORIZATION, CONTENT_TYPE, HeaderName},
};
use kernel::{Error, Result, authz::Action, clock::Time, ctx::CallInfo, error::http::Refusal};
use serde::Deserialize;
use serde_json::{json, value::RawValue};

use super::{
    model::{Code, Dims, MAX_BATCH, OTHER_CLIENT, Rejection, Status, UsageEvent, VALUE},
    ops::{self, Incoming, refused, short},
    rpc::quantities,
    writer::{Refused, Surface, Writer},
};

/// Sends usage events as CloudEvents.
pub const SEND: Action = Action { rpc: "POST /v1/usage/events", ..ops::INGEST };
const ONE: &str = "application/cloudevents+json";
const BATCH: &str = "application/cloudevents-batch+json";

/// A CloudEvent as it is sent; what is not read here is not kept.
#[derive(Deserialize)]
struct Sent<'a> {
    #[serde(default, borrow)]
    specversion: Cow<'a, str>,
    #[serde(default, borrow)]
    id: Cow<'a, str>,
    #[serde(default, borrow)]
    source: Cow<'a, str>,
    #[serde(default, borrow, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(default, borrow)]
    subject: Cow<'a, str>,
    #[serde(default, borrow)]
    time: Option<Cow<'a, str>>,
    #[serde(default, borrow)]
    data: Data<'a>,
}

#[derive(Default, Deserialize)]
struct Data<'a> {
    #[serde(default, borrow)]
    value: Option<&'a RawValue>,
    #[serde(default, borrow)]
    values: BTreeMap<Cow<'a, str>, &'a RawValue>,
    #[serde(default)]
    dims: BTreeMap<String, String>,
    #[serde(default, borrow)]
    client: Cow<'a, str>,
}

/// Takes events in; answers `{"statuses":[{"outcome":"ACCEPTED","seq":"7"}, …]}`, one for every event, in order.
///
/// Errors carry a `google.rpc.Status`: 400 malformed, 401 and 403 credential, 413 too much at once, 415 another format, 429 and
/// 503 come back later.
pub async fn events(
    State(writer): State<Arc<Writer>>,
    info: Option<Extension<CallInfo>>,
    request: Request,
) -> Response {
    let kernel = writer.kernel();
    let fresh = || CallInfo { id: kernel.ids.new_id(kernel.clock.now()), ..CallInfo::default() };
    let info = info.map_or_else(fresh, |Extension(info)| info);
    let incident = info.id.to_string();
    match take(&writer, info, request).await {
        Ok(statuses) => {
            Json(json!({ "statuses": statuses.iter().map(status).collect::<Vec<_>>() })).into_response()
        }
        Err(refusal) => refusal.answer(&incident).into_response(),
    }
}

async fn take(writer: &Writer, info: CallInfo, request: Request) -> Result<Vec<Status>, Refusal> {
    // who calls comes before what is sent: nobody unknown makes us read megabytes
    let (authorization, media) =
        (text(request.headers(), AUTHORIZATION), text(request.headers(), CONTENT_TYPE));
    let ctx = Arc::new(writer.kernel().enter(authorization.as_deref(), info).await?);
    let media = media.unwrap_or_default();
    let media = media.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if media != ONE && media != BATCH {
        let message = format!("is `{media}`; send `{ONE}` or `{BATCH}`");
        return Err(
            Refusal::from(Error::invalid("content-type", message)).under(StatusCode::UNSUPPORTED_MEDIA_TYPE)
        );
    }
    let limit = writer.kernel().config.usage.max_body_bytes;
    let body = Bytes::from_request(request, &()).await.map_err(|e| match e.status() {
        StatusCode::PAYLOAD_TOO_LARGE => too_large(limit),
        _ => Error::invalid("body", "could not be read to its end; send the request anew").into(),
    })?;
    let items = decode(&body, media == BATCH, ctx.now())?;
    Ok(Box::pin(ops::usage_ingest(writer, &ctx, SEND, Surface::CloudEvents, items, false)).await?)
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<String> {
    headers.get(name).and_then(|v| v.to_str().ok()).map(str::to_owned)
}

fn too_large(limit: usize) -> Refusal {
    let message = format!("the request holds more than {limit} bytes; send less at a time");
    Error::Limit { limit: "usage.max_body_bytes".to_owned(), message }.into()
}

/// The events of a body. One that is malformed costs itself and not its neighbours.
fn decode(body: &[u8], batch: bool, now: Time) -> Result<Vec<Result<Incoming, Refused>>> {
    let malformed =
        |e: serde_json::Error| Error::invalid("body", format!("is not JSON of the announced form: {e}"));
    let texts: Vec<&RawValue> = if batch {
        serde_json::from_slice(body).map_err(malformed)?
    } else {
        vec![serde_json::from_slice(body).map_err(malformed)?]
    };
    if texts.len() > MAX_BATCH {
        let message = format!("has {} events; send at most {MAX_BATCH} in a batch", texts.len());
        return Err(Error::Limit { limit: "usage.batch".to_owned(), message });
    }
    Ok(texts.into_iter().map(|text| read(text, now)).collect())
}

fn read(text: &RawValue, now: Time) -> Result<Incoming, Refused> {
    let malformed = |why: String| Refused {
        said: Box::default(),
        why: Rejection::of(Code::Malformed, "", format!("is no CloudEvent: {why}")),
    };
    let sent: Sent<'_> = serde_json::from_str(text.get()).map_err(|e| malformed(e.to_string()))?;
    let client = &*sent.data.client;
    let mut event = UsageEvent {
        source: sent.source.into_owned().into(),
        id: sent.id.into_owned(),
        event_type: sent.kind.into_owned().into(),
        client: if client.is_empty() { OTHER_CLIENT.into() } else { short(client).into() },
        time: now,
        timed: sent.time.is_some(),
        session: None,
        dims: Dims(sent.data.dims.into_iter().map(|(k, v)| (k.into(), v)).collect()),
        values: Vec::new(),
        attributes: String::new(),
        claim: None,
        observation: None,
    };
    let finish = |event: &mut UsageEvent| -> Result<(), Rejection> {
        if sent.specversion != "1.0" {
            return Err(Rejection::of(Code::Malformed, "specversion", "is not `1.0`"));
        }
        if let Some(text) = &sent.time {
            event.time = Time::parse("time", text).map_err(|_| {
                Rejection::of(Code::Malformed, "time", "is no RFC 3339 time, such as `2026-11-05T10:30:00Z`")
            })?;
        }
        let one = sent.data.value.map(|raw| (VALUE.to_owned(), number(raw)));
        let named = sent.data.values.iter().map(|(name, raw)| (name.to_string(), number(raw)));
        event.values = quantities(one.into_iter().chain(named))?;
        Ok(())
    };
    match finish(&mut event) {
        Ok(()) => Ok(Incoming { event, subject: sent.subject.into_owned() }),
        Err(why) => Err(refused(&event, why)),
    }
}

/// A JSON number or string as it is written, so that no digit passes through a float.
fn number(raw: &RawValue) -> String {
    let text = raw.get();
    serde_json::from_str::<String>(text).unwrap_or_else(|_| text.to_owned())
}

fn status(status: &Status) -> serde_json::Value {
    match status {
        Status::Accepted(seq) => json!({"outcome": "ACCEPTED", "seq": seq.to_string()}),
        Status::Duplicate(seq) => json!({"outcome": "DUPLICATE", "seq": seq.to_string()}),
        Status::Conflict(seq) => json!({"outcome": "CONFLICT", "seq": seq.to_string()}),
        Status::Rejected(why) => {
            json!({"outcome": "REJECTED", "code": why.code.as_str(), "field": why.field, "message": why.message})
        }
    }
}
