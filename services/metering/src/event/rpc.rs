//! `UsageService.Ingest`: a stream of batches in, a stream of answers out.

use std::sync::Arc;

use futures::{Stream, StreamExt as _};
use kernel::{Ctx, Error, Result, clock::Time};
use proto::usage::v1 as pb;

use super::{
    decimal::Decimal,
    model::{Code, Dims, MAX_BATCH, OTHER_CLIENT, Rejection, Status, UsageEvent, VALUE},
    ops::{self, Incoming, refused, short},
    writer::{Refused, Surface, Writer},
};

/// Batches of one stream that are under way at a time: the next ones wait in the connection, which slows the sender down.
const UNDER_WAY: usize = 8;

/// Answers every batch, in order. A batch that breaks a limit as a whole ends the stream.
pub fn ingest(
    writer: Arc<Writer>,
    ctx: Arc<Ctx>,
    batches: impl Stream<Item = Result<pb::IngestRequest, tonic::Status>> + Send + 'static,
) -> impl Stream<Item = Result<pb::IngestResponse>> + Send {
    batches
        .map(move |batch| {
            let (writer, ctx) = (Arc::clone(&writer), Arc::clone(&ctx));
            async move {
                // a sender that went away in mid-stream has nobody to answer
                let batch = batch.map_err(|e| Error::Message(e.message().to_owned()))?;
                answer(&writer, &ctx, batch).await
            }
        })
        .buffered(UNDER_WAY)
}

async fn answer(writer: &Writer, ctx: &Arc<Ctx>, batch: pb::IngestRequest) -> Result<pb::IngestResponse> {
    if batch.events.len() > MAX_BATCH {
        let message = format!("has {} events; send at most {MAX_BATCH} in a batch", batch.events.len());
        return Err(Error::Limit { limit: "usage.batch".to_owned(), message });
    }
    // the stream may outlive its token: every batch asks again
    let ctx = Arc::new(ctx.renewed().await?);
    let now = ctx.now();
    let items = batch.events.into_iter().map(|event| read(event, now)).collect();
    let statuses = Box::pin(ops::usage_ingest(writer, &ctx, ops::INGEST, Surface::Grpc, items, true)).await?;
    Ok(pb::IngestResponse { batch_id: batch.batch_id, statuses: statuses.iter().map(status).collect() })
}

/// An event as it came over gRPC.
pub(crate) fn read(event: pb::UsageEvent, now: Time) -> Result<Incoming, Refused> {
    let pb::UsageEvent { id, source, r#type, subject, time, client, value, values, dims } = event;
    let (timed, time) = (time.is_some(), time.map_or(Ok(now), Time::try_from));
    let mut event = UsageEvent {
        source: source.into(),
        id,
        event_type: r#type.into(),
        client: if client.is_empty() { OTHER_CLIENT.into() } else { client.into() },
        time: now,
        timed,
        session: None,
        dims: Dims(dims.into_iter().map(|d| (d.key.into(), d.value)).collect()),
        values: Vec::new(),
        attributes: String::new(),
        claim: None,
        observation: None,
    };
    let Ok(time) = time else {
        let why = Rejection::of(Code::Future, "time", "is out of range: years 1970 to 9999 are accepted");
        return Err(refused(&event, why));
    };
    event.time = time;
    let all = std::iter::once((VALUE.to_owned(), value)).chain(values.into_iter().map(|v| (v.key, v.value)));
    match quantities(all.filter(|(name, text)| name != VALUE || !text.is_empty())) {
        Ok(values) => event.values = values,
        Err(why) => return Err(refused(&event, why)),
    }
    Ok(Incoming { event, subject })
}

/// Quantities from texts, each exact. A zero stays: it may be the least or the latest there is.
pub fn quantities(
    texts: impl Iterator<Item = (String, String)>,
) -> Result<Vec<(std::borrow::Cow<'static, str>, Decimal)>, Rejection> {
    let mut values: Vec<(std::borrow::Cow<'static, str>, Decimal)> = Vec::new();
    for (name, text) in texts {
        let field =
            || if name == VALUE { "data.value".to_owned() } else { format!("data.values.{}", short(&name)) };
        let Some(value) = Decimal::parse(&text) else {
            let message = format!(
                "`{}` is no exact number; write digits with at most nine after the point, and at most 18 in all",
                kernel::ids::clip(&text)
            );
            return Err(Rejection::of(Code::NotExact, field(), message));
        };
        if values.iter().any(|(other, _)| *other == name) {
            return Err(Rejection::of(Code::Malformed, field(), "stands there twice"));
        }
        values.push((name.into(), value));
    }
    Ok(values)
}

/// An outcome on the wire.
pub(crate) fn status(status: &Status) -> pb::EventStatus {
    let mut answer = pb::EventStatus::default();
    let outcome = match status {
        Status::Accepted(seq) => (pb::EventOutcome::Accepted, *seq),
        Status::Duplicate(seq) => (pb::EventOutcome::Duplicate, *seq),
        Status::Conflict(seq) => (pb::EventOutcome::Conflict, *seq),
        Status::Rejected(why) => {
            why.code.as_str().clone_into(&mut answer.code);
            answer.field = why.field.to_string();
            answer.message.clone_from(&why.message);
            (pb::EventOutcome::Rejected, 0)
        }
    };
    (answer.outcome, answer.seq) = (outcome.0.into(), outcome.1);
    answer
}
