//! How a person leaves the record: the key of the sealed fields is destroyed, and what is not sealed is removed.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use kernel::{
    Ctx, Error, Result,
    audit::{
        Resource as _,
        subject::{KeyId, Subject},
    },
    authz::{Action, Class},
    db::{Db, Executor, tx::Tx},
    scope::Scope,
};
use tenancy::principal::{self, model::Principal, name::parse};
use tokio::sync::oneshot;
use uuid::Uuid;

use super::{
    action,
    model::{Erasure, LegalHold},
    names::Names,
    store,
};
use crate::{
    Sequencer,
    event::{Searcher, index::Layout, open::opened, store as events},
    sequencer::store as logs,
};

pub(super) const ERASE: Action =
    action("provost.retention.v1.RetentionService/EraseSubject", "privacy", "erased", Class::Write);

/// Tables out of which an erasure takes something.
const TOUCHED: &[&str] = &[
    "principal",
    "api_token",
    "request_result",
    "saved_search",
    "legal_hold",
    "subject_key",
    "audit_posting",
];

/// How often the files are emptied when readers are in the way,
const ATTEMPTS: usize = 600;
/// and how long after each other.
const PAUSE: Duration = Duration::from_millis(500);

/// Events read at once.
const CHUNK: usize = 1_000;

/// Erases the deleted principal that `name` names, unless a hold stands against it.
///
/// What stays: the principal's id, which is part of the names in the record, and what it belonged to by that id.
pub async fn subject_erase(ctx: &Ctx, log: &Sequencer, name: &str, reason: String) -> Result<Erasure> {
    const FIELD: &str = "principal";
    let (parent, slug) = parse(FIELD, name)?;
    let scope = ctx.scope(FIELD, &parent).await?;
    let permit = ctx.authorize(ERASE, &scope).await?;
    Erasure::checked_reason(&reason)?;
    let logs = logs_about(ctx, &scope).await?;
    for id in &logs {
        // what has its index is found by its key
        log.catch_up(*id).await?;
    }
    let mut tx = ctx.begin(&permit).await?;
    if let Some(first) = tx.replayed()? {
        return Ok(first);
    }
    store::log_lock(&mut tx, scope.id()).await?;
    let [before, after] = principal::ops::principal_erase(&mut tx, &scope, &slug, ctx.now()).await?;
    unheld(&mut tx, &before).await?;
    remove_copies(ctx, &mut tx, &before).await?;
    let events = destroy_key(ctx, log, &mut tx, &before, &logs).await?;
    let (revision, erase_time) = (after.stamp.revision, after.stamp.update_time);
    let erasure = Erasure { principal: after.name(), reason, revision, erase_time, events };
    let (kernel, reading) = (Arc::clone(ctx.kernel()), Arc::clone(log.reading()));
    let (tell, scrubbed) = oneshot::channel();
    tx.once_known(move |committed| {
        kernel.subjects.forget();
        // whoever searched while the transaction went on has read the person's words once more
        reading.tails.forget();
        if committed.is_ok() {
            tokio::spawn(scrub(kernel.db.clone(), tell));
        }
    });
    tx.commit(permit.audit().target(&erasure).after(&erasure)).await?;
    // of a dry run nobody tells
    let _ = scrubbed.await;
    Ok(erasure)
}

/// Refuses while a hold on the person or on the whole log stands.
async fn unheld(tx: &mut Tx<'_>, principal: &Principal) -> Result<()> {
    let holds = store::hold_standing(tx, principal.scope_id).await?;
    let against = |hold: &LegalHold| hold.principal_id.is_none_or(|id| id == principal.id);
    let Some(hold) = holds.into_iter().find(against) else { return Ok(()) };
    let (name, held) = (principal.name(), hold.name());
    let message = format!("`{name}` is kept by the legal hold `{held}`; erase it once the hold is released");
    Err(Error::illegal_state(held, message))
}

/// Removes what the other tables have of the person in plain text.
async fn remove_copies(ctx: &Ctx, tx: &mut Tx<'_>, principal: &Principal) -> Result<()> {
    let scope = principal.scope_id;
    access::token::store::token_erase_all(tx, scope, principal.id, ctx.now()).await?;
    store::hold_reason_erase(tx, scope, principal.id).await?;
    // first results of others' calls go too: a call repeated with its request_id runs again and finds its work done
    store::request_result_delete_all(tx, scope).await
}

/// Destroys the person's key, after everything that only it gave to the search index, and after what the names that it opens
/// lead to; returns how many events it opened.
pub(crate) async fn destroy_key(
    ctx: &Ctx,
    log: &Sequencer,
    tx: &mut impl Executor,
    principal: &Principal,
    logs: &[Uuid],
) -> Result<i64> {
    let subject = Subject { scope: principal.scope_id, principal: principal.id.0 };
    // a person without a key gets a destroyed one: nothing can be sealed for them from now on
    store::subject_key_insert_destroyed(tx, subject, ctx.new_id(), ctx.now()).await?;
    let key = store::subject_key_get(tx, subject).await?;
    let mut names = Names::of(principal);
    let key = KeyId { scope: subject.scope, key };
    let events = unindex(ctx, log, tx, (key, principal, logs), &mut names).await?;
    for scope in logs {
        for (id, display_name, filter) in store::saved_search_texts(tx, *scope).await? {
            if names.are_in(&display_name, &filter) {
                store::saved_search_delete(tx, *scope, id).await?;
            }
        }
    }
    ctx.kernel().subjects.destroy(tx, subject, ctx.now()).await?;
    Ok(events)
}

/// Takes what is sealed with a key out of the search index, and the names that its person had into `names`; returns how many
/// events have something sealed with it.
async fn unindex(
    ctx: &Ctx,
    log: &Sequencer,
    tx: &mut impl Executor,
    (key, principal, logs): (KeyId, &Principal, &[Uuid]),
    names: &mut Names,
) -> Result<i64> {
    let searcher = Searcher { kernel: ctx.kernel(), tails: &log.reading().tails, layout: Layout::LIVE };
    // a partner's act in a client is in both logs under one id
    let mut found = BTreeSet::new();
    for id in logs {
        let Some(head) = logs::log_get(tx, *id).await? else { continue };
        let indexes = searcher.events_of_key(tx, key, &head).await?;
        searcher.unindex_subject(tx, *id, key, &indexes).await?;
        for chunk in indexes.chunks(CHUNK) {
            for row in events::event_at(tx, *id, chunk).await? {
                if found.insert(row.id) {
                    names.learn(&opened(ctx.kernel(), tx, &row.entry).await?.1, &principal.name());
                }
            }
        }
    }
    i64::try_from(found.len()).map_err(Error::internal)
}

/// The logs that a person of the scope can be in: that of the scope, those above it (a partner's acts in a client, refused
/// probes of strangers) and those below it.
async fn logs_about(ctx: &Ctx, scope: &Scope) -> Result<Vec<Uuid>> {
    let platform = Scope::Platform.id();
    match scope {
        Scope::Tenant(tenant) => Ok(vec![tenant.id.0, tenant.partner.id.0, platform]),
        Scope::Partner(partner) => {
            let clients = store::client_list(&mut ctx.read().await?, partner.id).await?;
            Ok([vec![partner.id.0, platform], clients].concat())
        }
        Scope::Platform => store::log_list(&mut ctx.read().await?).await,
    }
}

/// Empties what the engine keeps of overwritten rows, whether or not the caller is still there. The erasure is done by then; a
/// reader may stand in the way for a while, so the caller hears after the first attempt and further ones follow.
async fn scrub(db: Db, tell: oneshot::Sender<()>) {
    let mut tell = Some(tell);
    for _ in 0..ATTEMPTS {
        let done = db.scrub(TOUCHED).await;
        if let Some(tell) = tell.take() {
            let _ = tell.send(());
        }
        match done {
            Ok(()) => return,
            Err(error) => tracing::debug!(%error, "what an erasure removed is still in the database's files"),
        }
        tokio::time::sleep(PAUSE).await;
    }
    tracing::warn!(
        "an erasure is committed; the write-ahead log still has what it removed until its next checkpoint"
    );
}
