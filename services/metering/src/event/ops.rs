//! The use case of sending events: who may, for whom, and what is refused before the store is asked.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
};

use kernel::{
    Ctx, Result,
    authz::{Action, Class},
    db::{Executor, cache::USAGE_HOLDER},
    error::Error,
    ids::{PrincipalId, Slug, TenantId, clip},
    scope::{Scope, ScopeKind},
};
use tenancy::{holding::roles_of, principal::store::principal_get};

use super::{
    key::{Digest, dedupe_key, payload_key},
    model::{self, Code, Holder, MAX_ID, Rejection, Status, UsageEvent, Window, counted_role},
    store,
    writer::{Checked, Job, Refused, Surface, Writer},
};

/// Sends usage events.
pub const INGEST: Action = Action {
    rpc: "provost.usage.v1.UsageService/Ingest",
    noun: "usage",
    verb: "ingest",
    class: Class::Ingest,
    scopes: &[ScopeKind::Tenant],
};

/// An event as it came, and whom it names.
#[derive(Debug)]
pub struct Incoming {
    /// The event.
    pub event: UsageEvent,
    /// The principal that it names (CloudEvents `subject`), or empty.
    pub subject: String,
}

/// Stores `items`, each once, and says what became of every one, in order. Tenant and principal are those of the credential; an
/// event may name its principal only where the credential is the tenant's own. With `patient`, waits for room in memory.
pub async fn usage_ingest(
    writer: &Writer,
    ctx: &Arc<Ctx>,
    action: Action,
    surface: Surface,
    items: Vec<Result<Incoming, Refused>>,
    patient: bool,
) -> Result<Vec<Status>> {
    let scope = ctx.caller().home.clone();
    let permit = ctx.authorize_own(action, &scope, true).await?;
    let Scope::Tenant(tenant) = &scope else {
        let message = "belongs to no tenant; send usage with an ingest token of the tenant";
        return Err(Error::invalid("authorization", message));
    };
    if items.is_empty() {
        return Ok(Vec::new());
    }
    let window = Window::around(ctx.now(), &ctx.kernel().config.usage);
    let mut holders = Holders::own(ctx, tenant.id);
    let mut checked = Vec::with_capacity(items.len());
    for item in items {
        checked.push(match item {
            Ok(incoming) => match admit(&mut holders, &window, &incoming).await? {
                Ok(holder) => Ok(keyed(tenant.id, holder, incoming.event, false)),
                Err(why) => Err(refused(&incoming.event, why)),
            },
            Err(refused) => Err(refused),
        });
    }
    let sessions = sessions(tenant.id, &checked);
    checked.extend(sessions.into_iter().map(Ok));
    let job = Job { ctx: Arc::clone(ctx), permit, tenant: tenant.id, surface, items: checked };
    writer.store(job, patient).await
}

/// Whether an event may be stored, and to whom it is attributed.
async fn admit(
    holders: &mut Holders,
    window: &Window,
    incoming: &Incoming,
) -> Result<Result<Holder, Rejection>> {
    let checks = || {
        model::check(&incoming.event)?;
        window.check(incoming.event.time)
    };
    match checks() {
        Ok(()) => holders.of(&incoming.subject).await,
        Err(why) => Ok(Err(why)),
    }
}

fn keyed(tenant: TenantId, holder: Holder, event: UsageEvent, derived: bool) -> Checked {
    let (dims, amounts) = (event.dims.to_json(), model::amounts_json(&event.values));
    Checked {
        key: dedupe_key(tenant, &event.source, &event.id),
        payload: payload_key(&event, holder.principal, &dims, &amounts),
        holder,
        derived,
        dims,
        amounts,
        event,
    }
}

/// An event with the reason why it is refused.
pub fn refused(event: &UsageEvent, why: Rejection) -> Refused {
    let said = [&*event.source, &event.id, &event.event_type].map(short);
    Refused { said: Box::new(said), why }
}

/// At most as much as a field may have.
pub fn short(text: &str) -> String {
    let end = (0..=MAX_ID.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    text.get(..end).unwrap_or_default().to_owned()
}

/// One event for every session in `items`, at the earliest time: it is what `sessions` counts. Its id is made of the session's
/// alone, so whichever event of a session arrives first and however often a session is resumed, it is counted once.
fn sessions(tenant: TenantId, items: &[Result<Checked, Refused>]) -> Vec<Checked> {
    let mut first = HashMap::<(&str, &str), &Checked>::new();
    for checked in items.iter().filter_map(|item| item.as_ref().ok()) {
        let Some(session) = checked.event.session.as_deref() else { continue };
        match first.entry((&checked.event.client, session)) {
            Entry::Occupied(mut seen) if seen.get().event.time > checked.event.time => {
                seen.insert(checked);
            }
            Entry::Occupied(_) => {}
            Entry::Vacant(free) => {
                free.insert(checked);
            }
        }
    }
    let derive = |((_, session), of): ((&str, &str), &Checked)| {
        keyed(tenant, of.holder, crate::client::session(&of.event, session), true)
    };
    first.into_iter().map(derive).collect()
}

/// To whom events are attributed, each principal looked up once a request.
pub(crate) struct Holders {
    ctx: Arc<Ctx>,
    scope: Scope,
    tenant: TenantId,
    /// The one principal to whom everything is attributed; none where events may name anybody.
    only: Option<(PrincipalId, Slug)>,
    known: HashMap<String, Result<Holder, Rejection>>,
}

impl Holders {
    /// Those for whom the credential may send: everybody, or the one whose it is.
    fn own(ctx: &Arc<Ctx>, tenant: TenantId) -> Self {
        let caller = ctx.caller();
        let only = caller.principal.as_ref().map(|p| (p.id, p.slug.clone()));
        Self { scope: caller.home.clone(), only, ctx: Arc::clone(ctx), tenant, known: HashMap::new() }
    }

    /// Everybody in the tenant that `scope` is.
    pub(crate) fn free(ctx: &Arc<Ctx>, scope: Scope, tenant: TenantId) -> Self {
        Self { scope, only: None, ctx: Arc::clone(ctx), tenant, known: HashMap::new() }
    }

    pub(crate) async fn of(&mut self, subject: &str) -> Result<Result<Holder, Rejection>> {
        if let Some(known) = self.known.get(subject) {
            return Ok(known.clone());
        }
        let found = self.find(subject).await?;
        self.known.insert(subject.to_owned(), found.clone());
        Ok(found)
    }

    async fn find(&self, subject: &str) -> Result<Result<Holder, Rejection>> {
        let slug = match subject.rsplit_once('/') {
            Some((head, slug)) if head == format!("{}/principals", self.scope) => slug,
            Some(_) => return Ok(Err(stranger(subject))),
            None => subject,
        };
        if let Some((id, own)) = &self.only {
            if !slug.is_empty() && slug != own.as_str() {
                let message =
                    format!("names `{}`; the token is of `{}`, leave `subject` empty", clip(subject), own);
                return Ok(Err(Rejection::of(Code::Subject, "subject", message)));
            }
            return self.holder(*id, own.as_str()).await.map(Ok);
        }
        if slug.is_empty() {
            return Ok(Ok(Holder::default()));
        }
        let Ok(slug) = Slug::parse("subject", slug) else { return Ok(Err(stranger(subject))) };
        let load = || async {
            let mut db = self.ctx.read().await?;
            match principal_get(&mut db, self.tenant.0, &slug).await? {
                Some(principal) => holder(&mut db, self.tenant, principal.id).await.map(Some),
                None => Ok(None),
            }
        };
        Ok(self.remembered(slug.as_str(), load).await?.ok_or_else(|| stranger(subject)))
    }

    async fn holder(&self, id: PrincipalId, slug: &str) -> Result<Holder> {
        let load = || async { holder(&mut self.ctx.read().await?, self.tenant, id).await.map(Some) };
        let known = self.remembered(slug, load).await?;
        Ok(known.unwrap_or(Holder { principal: Some(id), ..Holder::default() }))
    }

    async fn remembered<F>(&self, slug: &str, load: impl FnOnce() -> F) -> Result<Option<Holder>>
    where
        F: Future<Output = Result<Option<Holder>>>,
    {
        self.ctx.row(USAGE_HOLDER, &self.scope, slug, load).await.map(|holder| *holder)
    }
}

fn stranger(subject: &str) -> Rejection {
    let message = format!(
        "`{}` is no principal of the tenant; create it first, or leave `subject` empty",
        clip(subject)
    );
    Rejection::of(Code::Subject, "subject", message)
}

/// To whom the usage of a principal is attributed now. An agent without a role or a unit of its own counts where its owner does.
async fn holder(db: &mut impl Executor, tenant: TenantId, id: PrincipalId) -> Result<Holder> {
    let (mut holder, owner) = own(db, tenant, id).await?;
    if let Some(owner) = owner
        && (holder.role.is_none() || holder.unit.is_none())
    {
        let (owners, _) = own(db, tenant, owner).await?;
        holder = Holder { role: holder.role.or(owners.role), unit: holder.unit.or(owners.unit), ..holder };
    }
    Ok(holder)
}

/// What a principal holds itself, and its owner, if it is an agent.
async fn own(
    db: &mut impl Executor,
    tenant: TenantId,
    id: PrincipalId,
) -> Result<(Holder, Option<PrincipalId>)> {
    let facts = store::principal_facts(db, tenant, id).await?;
    let role = counted_role(&roles_of(db, tenant, id).await?);
    let unit = facts.and_then(|f| f.unit_id);
    Ok((Holder { principal: Some(id), role, unit }, facts.and_then(|f| f.owner_id)))
}

/// Identity of the event that a session makes, from the type of that event and the session.
pub fn session_id(event_type: &str, session: &str) -> String {
    Digest::of(&[event_type.as_bytes(), session.as_bytes()]).hex()
}
