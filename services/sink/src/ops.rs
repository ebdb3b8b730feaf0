//! The use cases of sinks.

use std::time::Duration;

use audit::Sequencer;
use kernel::{
    Ctx, Result,
    authz::{Action, Class},
    db::{
        Executor,
        list::{ListQuery, Page},
    },
    error::Error,
    ids::clip,
    mask::Mask,
    scope::Scope,
};
use proto::sink::v1 as pb;

use crate::{
    EVERYWHERE, action,
    message::Message,
    model::{Letter, Progress, Sink, SinkId, View, parse},
    receiver::Outcome,
    secret::Secret,
    store,
    target::{Draft, Target, reach},
    worker::ready,
};

const CREATE: Action = action("provost.sink.v1.SinkService/CreateSink", "create", Class::Write);
pub(crate) const GET: Action = action("provost.sink.v1.SinkService/GetSink", "get", Class::Read);
const LIST: Action = action("provost.sink.v1.SinkService/ListSinks", "list", Class::Read);
const UPDATE: Action = action("provost.sink.v1.SinkService/UpdateSink", "update", Class::Write);
const DELETE: Action = action("provost.sink.v1.SinkService/DeleteSink", "delete", Class::Write);
const PAUSE: Action = action("provost.sink.v1.SinkService/PauseSink", "pause", Class::Write);
const RESUME: Action = action("provost.sink.v1.SinkService/ResumeSink", "resume", Class::Write);
const REPLAY: Action = action("provost.sink.v1.SinkService/ReplaySink", "replay", Class::Write);
const TEST: Action = action("provost.sink.v1.SinkService/TestSink", "test", Class::Write);
const LETTERS: Action =
    action("provost.sink.v1.SinkService/ListDeadLetters", "list_dead_letters", Class::Read);
const REDELIVER: Action = Action {
    rpc: "provost.sink.v1.SinkService/RedeliverDeadLetters",
    noun: "sink",
    verb: "redeliver",
    class: Class::Write,
    scopes: EVERYWHERE,
};
/// What sinks can be asked for.
pub const ACTIONS: &[Action] =
    &[CREATE, GET, LIST, UPDATE, DELETE, PAUSE, RESUME, REPLAY, TEST, LETTERS, REDELIVER];

/// Most dead letters that one call names.
const MAX_NAMED: usize = 1_000;
/// Longest wait for a name to be looked up when a sink is set.
const LOOKUP: Duration = Duration::from_secs(3);

/// Makes a sink of the log of `parent`; returns also the secrets that were made for it, none when only permission and input
/// were checked.
pub async fn sink_create(
    ctx: &Ctx,
    log: &Sequencer,
    request: pb::CreateSinkRequest,
) -> Result<(View, Vec<String>)> {
    let scope = ctx.scope("parent", &request.parent).await?;
    let permit = ctx.authorize(CREATE, &scope).await?;
    let new = request.sink.unwrap_or_default();
    let (draft, made) = draft(ctx, new.target, &new.ca_certificate).await?.begun()?;
    let id = SinkId(ctx.new_id());
    let head = log.catch_up(scope.id()).await?;
    let first = start(request.start_index, head.minimum_index, head.size)?;
    let tag = draft.secret.tag(ctx.kernel());
    let words = (new.ca_certificate, tag);
    let sink = Sink::create(&scope, (id, &request.sink_id), new.display_name, &draft, words, ctx.now())?;
    let mut tx = ctx.begin(&permit).await?;
    store::sink_insert(&mut tx, &sink, &draft.secret.wrap(ctx.kernel(), id)?).await?;
    store::cursor_insert(&mut tx, &sink, first).await?;
    tx.commit(permit.audit().target(&sink).after(&sink)).await?;
    let made = if ctx.validate_only() { Vec::new() } else { made.reveal() };
    let progress = Progress { signed_size: head.signed_size.max(first), ..Progress::begun(first, ctx.now()) };
    Ok((View { sink, progress, now: ctx.now() }, made))
}

/// The first index of a new sink.
fn start(asked: i64, minimum: i64, size: i64) -> Result<i64> {
    match asked {
        -1 => Ok(size),
        0 => Ok(minimum),
        index if (minimum..=size).contains(&index) => Ok(index),
        index => {
            let message = format!(
                "`{index}` is not in the log, which has {minimum} to {size}; -1 means new events only"
            );
            Err(Error::out_of_range("start_index", message))
        }
    }
}

/// What a caller says of a target, held against what the deployment allows; also what its name means now.
async fn draft(ctx: &Ctx, target: Option<pb::sink::Target>, ca: &str) -> Result<Draft> {
    let settings = &ctx.kernel().config.sinks;
    let missing = || {
        Error::invalid("sink.target", "is missing; give one of webhook, splunk_hec, syslog, file and otlp")
    };
    let draft = Draft::read(target.ok_or_else(missing)?, ca, settings)?;
    if let Some((host, port)) = draft.target.host() {
        // a name that cannot be looked up now may be later, and is looked up for every connection
        let found = tokio::time::timeout(LOOKUP, reach(settings).resolve(&host, port)).await;
        if let Ok(Err(error)) = found
            && error.kind() == std::io::ErrorKind::PermissionDenied
        {
            return Err(Error::invalid("sink.target", format!("`{}`: {error}", clip(&host))));
        }
    }
    Ok(draft)
}

/// Returns a sink and how far it is.
pub async fn sink_get(ctx: &Ctx, name: &str) -> Result<View> {
    let (parent, slug) = parse("name", name)?;
    let scope = ctx.scope("name", &parent).await?;
    ctx.authorize(GET, &scope).await?;
    let found = store::sink_get(&mut ctx.read().await?, scope.id(), &slug, ctx.now()).await?;
    found.ok_or_else(|| Error::not_found("sink", name))
}

/// Lists the sinks of one log.
pub async fn sink_list(ctx: &Ctx, parent: &str, query: &ListQuery) -> Result<Page<View>> {
    let scope = ctx.scope("parent", parent).await?;
    ctx.authorize(LIST, &scope).await?;
    let key = &ctx.kernel().page_key;
    store::sink_list(&mut ctx.read().await?, scope.id(), query, key, ctx.now()).await
}

/// Changes where and how a sink delivers.
pub async fn sink_update(ctx: &Ctx, request: pb::UpdateSinkRequest) -> Result<View> {
    let new = request.sink.unwrap_or_default();
    let (parent, slug) = parse("sink.name", &new.name)?;
    let scope = ctx.scope("sink.name", &parent).await?;
    let permit = ctx.authorize(UPDATE, &scope).await?;
    let mask = Mask::new(request.update_mask.as_ref(), &["display_name", "target", "ca_certificate"])?;
    let display_name = mask.pick("display_name", new.display_name);
    let target = mask.pick("target", new.target);
    let ca = mask.pick("ca_certificate", new.ca_certificate);
    let said = match target {
        // names are looked up before the transaction begins, which holds others up
        Some(target) => Some(draft(ctx, target, ca.as_deref().unwrap_or_default()).await?),
        None => None,
    };
    let mut tx = ctx.begin(&permit).await?;
    if let Some(first) = tx.replayed()? {
        return view(ctx, first).await;
    }
    let found = store::sink_get(&mut tx, scope.id(), &slug, ctx.now()).await?;
    let before = found.ok_or_else(|| Error::not_found("sink", &new.name))?.sink;
    before.matches(&request.etag)?;
    let wrapped = store::secret_get(&mut tx, before.scope_id, before.id).await?;
    let kept = Secret::unwrap(ctx.kernel(), before.id, &wrapped)?;
    check_authorities(ca.as_deref().unwrap_or_default(), matches!(before.target, Target::File { .. }))?;
    let said = said.map(|said| said.instead_of(&before.target, kept)).transpose()?;
    let secret = match &said {
        Some(said) => said.secret.wrap(ctx.kernel(), before.id)?,
        None => wrapped,
    };
    let said = said.map(|said| (said.target, said.secret.tag(ctx.kernel())));
    let after = before.patched(display_name, said, ca, ctx.now())?;
    store::sink_update(&mut tx, &after, &secret).await?;
    store::cursor_interrupt(&mut tx, &after).await?;
    tx.commit(permit.audit().target(&after).before(&before).after(&after)).await?;
    view(ctx, after).await
}

fn check_authorities(ca: &str, is_file: bool) -> Result<()> {
    let bad = |message: String| Err(Error::invalid("sink.ca_certificate", message));
    match audit::https::roots(ca) {
        _ if ca.is_empty() => Ok(()),
        _ if is_file => bad("is not for files; leave it empty".to_owned()),
        _ if ca.len() > 16 * 1024 => bad(format!("has {} bytes; use at most 16384", ca.len())),
        Ok(_) => Ok(()),
        Err(why) => bad(format!("is not a PEM certificate: {why}")),
    }
}

/// A sink and how far it is by now; where a dry run left nothing, as it would begin.
async fn view(ctx: &Ctx, sink: Sink) -> Result<View> {
    let found = store::sink_find(&mut ctx.read().await?, sink.scope_id, sink.id, ctx.now()).await?;
    let progress = found.map_or_else(|| Progress::begun(0, ctx.now()), |found| found.progress);
    Ok(View { sink, progress, now: ctx.now() })
}

/// Deletes a sink for good and returns what it was.
pub async fn sink_delete(ctx: &Ctx, name: &str, etag: &str) -> Result<View> {
    let (parent, slug) = parse("name", name)?;
    let scope = ctx.scope("name", &parent).await?;
    let permit = ctx.authorize(DELETE, &scope).await?;
    let mut tx = ctx.begin(&permit).await?;
    if let Some(first) = tx.replayed()? {
        return view(ctx, first).await;
    }
    let found = store::sink_get(&mut tx, scope.id(), &slug, ctx.now()).await?;
    let before = found.ok_or_else(|| Error::not_found("sink", name))?;
    before.sink.matches(etag)?;
    store::sink_delete(&mut tx, &before.sink).await?;
    tx.commit(permit.audit().target(&before.sink).before(&before.sink)).await?;
    Ok(before)
}

/// Stops delivering.
pub async fn sink_pause(ctx: &Ctx, name: &str, etag: &str, reason: String) -> Result<View> {
    turned(ctx, PAUSE, name, etag, |sink| sink.paused(reason, ctx.now())).await
}

/// Goes on delivering, at once.
pub async fn sink_resume(ctx: &Ctx, name: &str, etag: &str) -> Result<View> {
    turned(ctx, RESUME, name, etag, |sink| sink.resumed(ctx.now())).await
}

async fn turned(
    ctx: &Ctx,
    action: Action,
    name: &str,
    etag: &str,
    turn: impl FnOnce(&Sink) -> Result<Sink>,
) -> Result<View> {
    let (parent, slug) = parse("name", name)?;
    let scope = ctx.scope("name", &parent).await?;
    let permit = ctx.authorize(action, &scope).await?;
    let mut tx = ctx.begin(&permit).await?;
    if let Some(first) = tx.replayed()? {
        return view(ctx, first).await;
    }
    let found = store::sink_get(&mut tx, scope.id(), &slug, ctx.now()).await?;
    let before = found.ok_or_else(|| Error::not_found("sink", name))?.sink;
    before.matches(etag)?;
    let after = turn(&before)?;
    let secret = store::secret_get(&mut tx, before.scope_id, before.id).await?;
    store::sink_update(&mut tx, &after, &secret).await?;
    store::cursor_interrupt(&mut tx, &after).await?;
    tx.commit(permit.audit().target(&after).before(&before).after(&after)).await?;
    view(ctx, after).await
}

/// Pauses a sink on behalf of its receiver; one that was changed meanwhile stays as it is.
pub(crate) async fn pause_for(ctx: &Ctx, scope: &Scope, sink: &Sink, why: &str) -> Result<()> {
    let permit = ctx.authorize(PAUSE, scope).await?;
    let mut tx = ctx.begin(&permit).await?;
    let after = sink.paused(why.chars().take(256).collect(), ctx.now())?;
    let secret = store::secret_get(&mut tx, sink.scope_id, sink.id).await?;
    store::sink_update(&mut tx, &after, &secret).await?;
    tx.commit(permit.audit().target(&after).before(sink).after(&after)).await?;
    Ok(())
}

/// Delivers again from an index on.
pub async fn sink_replay(ctx: &Ctx, log: &Sequencer, name: &str, etag: &str, index: i64) -> Result<View> {
    let (parent, slug) = parse("name", name)?;
    let scope = ctx.scope("name", &parent).await?;
    let permit = ctx.authorize(REPLAY, &scope).await?;
    let mut tx = ctx.begin(&permit).await?;
    if let Some(first) = tx.replayed()? {
        return view(ctx, first).await;
    }
    let found = store::sink_get(&mut tx, scope.id(), &slug, ctx.now()).await?;
    let View { sink, progress, .. } = found.ok_or_else(|| Error::not_found("sink", name))?;
    sink.matches(etag)?;
    let minimum = log.head(scope.id()).await?.minimum_index;
    if index < minimum || index > progress.next_index {
        let message = format!(
            "`{index}` cannot be delivered again; the log has {minimum} on, and the sink has come to {}",
            progress.next_index
        );
        return Err(Error::out_of_range("from_index", message));
    }
    store::cursor_interrupt(&mut tx, &sink).await?;
    if store::cursor_replay(&mut tx, &sink, index).await? == 0 {
        return Err(Error::Conflict);
    }
    let audit = permit.audit().target(&sink).also("audit_event_index", index.to_string());
    tx.commit(audit.before(&sink).after(&sink)).await?;
    view(ctx, sink).await
}

/// Sends what is no event and says what came of it. The act is recorded before.
pub async fn sink_test(ctx: &Ctx, log: &Sequencer, name: &str) -> Result<pb::TestSinkResponse> {
    let (parent, slug) = parse("name", name)?;
    let scope = ctx.scope("name", &parent).await?;
    let permit = ctx.authorize(TEST, &scope).await?;
    let found = store::sink_get(&mut ctx.read().await?, scope.id(), &slug, ctx.now()).await?;
    let sink = found.ok_or_else(|| Error::not_found("sink", name))?.sink;
    ctx.record(permit.audit().target(&sink)).await?;
    let receiver = ready(ctx.kernel(), &sink).await?;
    let origin = log.head(scope.id()).await?.origin;
    let outcome = receiver.test(Message::test(ctx.new_id(), &origin, ctx.now()), ctx.now()).await;
    Ok(match outcome {
        Outcome::Taken => pb::TestSinkResponse { delivered: true, detail: "it was taken".to_owned() },
        Outcome::Again { why, .. } | Outcome::Refused(why) | Outcome::Gone(why) => {
            pb::TestSinkResponse { delivered: false, detail: why }
        }
    })
}

/// Lists what the receiver refused for good.
pub async fn letter_list(ctx: &Ctx, name: &str, query: &ListQuery) -> Result<(Sink, Page<Letter>)> {
    let (parent, slug) = parse("parent", name)?;
    let scope = ctx.scope("parent", &parent).await?;
    ctx.authorize(LETTERS, &scope).await?;
    let mut db = ctx.read().await?;
    let found = store::sink_get(&mut db, scope.id(), &slug, ctx.now()).await?;
    let sink = found.ok_or_else(|| Error::not_found("sink", name))?.sink;
    let page = store::letter_list(&mut db, &sink, query, &ctx.kernel().page_key).await?;
    Ok((sink, page))
}

/// Has dead letters delivered again; says how many.
pub async fn letter_redeliver(ctx: &Ctx, name: &str, sequences: &[i64]) -> Result<i64> {
    let (parent, slug) = parse("name", name)?;
    let scope = ctx.scope("name", &parent).await?;
    let permit = ctx.authorize(REDELIVER, &scope).await?;
    if sequences.len() > MAX_NAMED {
        let message = format!("names {} events; name at most {MAX_NAMED}, or none for all", sequences.len());
        return Err(Error::invalid("sequences", message));
    }
    let mut tx = ctx.begin(&permit).await?;
    if let Some(Redelivery { count }) = tx.replayed()? {
        return Ok(count);
    }
    let found = store::sink_get(&mut tx, scope.id(), &slug, ctx.now()).await?;
    let sink = found.ok_or_else(|| Error::not_found("sink", name))?.sink;
    store::cursor_interrupt(&mut tx, &sink).await?;
    let count = marked(&mut tx, &sink, sequences).await?;
    let redelivery = Redelivery { count: i64::try_from(count).unwrap_or(i64::MAX) };
    tx.commit(permit.audit().target(&sink).after(&redelivery)).await?;
    Ok(redelivery.count)
}

/// What a redelivery came to.
#[derive(serde::Serialize, serde::Deserialize)]
struct Redelivery {
    count: i64,
}

async fn marked(tx: &mut kernel::db::tx::Tx<'_>, sink: &Sink, sequences: &[i64]) -> Result<u64> {
    if sequences.is_empty() {
        return store::letter_redeliver_all(tx, sink).await;
    }
    let mut count = 0;
    for index in sequences {
        let one = store::letter_redeliver(tx, sink, *index).await?;
        if one == 0 {
            return Err(Error::not_found("dead letter", index));
        }
        count += one;
    }
    Ok(count)
}

/// The sink of that name, for whoever was authorized.
pub(crate) async fn found(db: &mut impl Executor, ctx: &Ctx, scope: &Scope, name: &str) -> Result<View> {
    let (_, slug) = parse("name", name)?;
    let found = store::sink_get(db, scope.id(), &slug, ctx.now()).await?;
    found.ok_or_else(|| Error::not_found("sink", name))
}
