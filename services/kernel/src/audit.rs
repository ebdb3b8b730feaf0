//! The audit record of an act: built beside the change, written in its transaction (`audit_pending` is an outbox).

mod entry;
pub mod sealed;
pub mod subject;

use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use self::{
    entry::{Acted, Acting, Change, Entry, Via, changes},
    subject::{FreshKey, Subject},
};
use crate::{
    authn::Actor,
    authz::{Action, Class},
    ctx::Ctx,
    db::Executor,
    error::Result,
    ids::EventId,
    revision,
    scope::{PartnerRef, Scope},
};

/// Something that can be the target of an act.
pub trait Resource: Serialize {
    /// Kind: `role`.
    const KIND: &'static str;
    /// Fields that hold a person's data: the record keeps them sealed with a key of [`Resource::subject`].
    const PERSONAL: &'static [&'static str] = &[];

    /// Resource name.
    fn name(&self) -> String;

    /// Whose data the personal fields are; without one they are the actor's.
    fn subject(&self) -> Option<Subject> {
        None
    }
}

/// The record under construction.
#[derive(Clone, Debug)]
pub struct Audit {
    action: Action,
    scope: Scope,
    actor: Actor,
    outcome: &'static str,
    targets: Vec<(&'static str, String)>,
    before: Option<Value>,
    after: Option<Value>,
    personal: &'static [&'static str],
    subject: Option<Subject>,
    also_in: Option<Uuid>,
    query: Option<String>,
    decided: Option<(&'static str, String)>,
    count: u64,
}

/// A finished record.
pub struct Event {
    pub(crate) id: EventId,
    pub(crate) noun: &'static str,
    /// RFC 8785 canonical JSON.
    pub(crate) entry: String,
    /// Keys that the transaction makes.
    pub(crate) fresh: Vec<FreshKey>,
    logs: Vec<Uuid>,
    result: String,
}

impl Event {
    /// The logs that it goes into: the scope's, and the partner's when its person acted in a client.
    pub(crate) fn logs(&self) -> &[Uuid] {
        &self.logs
    }

    /// What the call returned, as JSON.
    pub(crate) fn result(&self) -> &str {
        &self.result
    }
}

impl Audit {
    pub(crate) fn new(action: Action, scope: Scope, actor: Actor) -> Self {
        Self {
            action,
            scope,
            actor,
            outcome: "ok",
            targets: Vec::new(),
            before: None,
            after: None,
            personal: &[],
            subject: None,
            also_in: None,
            query: None,
            decided: None,
            count: 1,
        }
    }

    /// Kind and name of what was acted on, where decisions rest on it.
    pub(crate) fn policy_change(&self) -> Option<(Uuid, &'static str, String)> {
        let (kind, name) = self.decided.as_ref().or(self.targets.first())?;
        revision::concerns(&self.action, &self.scope).then(|| (self.scope.id(), *kind, name.clone()))
    }

    /// What decisions are read anew about, where it is not the first target: what was acted on may be gone by then.
    #[must_use]
    pub fn deciding(mut self, kind: &'static str, name: String) -> Self {
        self.decided = Some((kind, name));
        self
    }

    pub(crate) fn denied(mut self, target: String) -> Self {
        self.outcome = "denied";
        self.targets.push(("scope", target));
        self
    }

    /// What was acted on; the first target is the one that can be searched for.
    #[must_use]
    pub fn target<R: Resource>(mut self, resource: &R) -> Self {
        self.targets.push((R::KIND, resource.name()));
        self.personal = R::PERSONAL;
        self.subject = resource.subject();
        self
    }

    /// What was searched for: people write names into filters, so it is sealed like a person's data.
    #[must_use]
    pub fn query(mut self, text: &str) -> Self {
        self.query = Some(text.to_owned());
        self
    }

    /// How many equal acts the record stands for.
    #[must_use]
    pub fn counting(mut self, acts: u64) -> Self {
        self.count = acts;
        self
    }

    /// A further target by name.
    #[must_use]
    pub fn also(mut self, kind: &'static str, name: String) -> Self {
        self.targets.push((kind, name));
        self
    }

    /// Puts the event into one more log: that of a scope which the act brought into being.
    #[must_use]
    pub fn also_in(mut self, scope: Uuid) -> Self {
        self.also_in = Some(scope);
        self
    }

    /// The resource before the act.
    #[must_use]
    pub fn before(mut self, resource: &impl Serialize) -> Self {
        self.before = serde_json::to_value(resource).ok();
        self
    }

    /// The resource after the act: what the call returns.
    #[must_use]
    pub fn after(mut self, resource: &impl Serialize) -> Self {
        self.after = serde_json::to_value(resource).ok();
        self
    }

    /// Fixes the bytes: RFC 8785 canonical JSON of the fields in the specification of the audit log, version 1.
    /// `fresh`: keys that earlier records of the same transaction made; they go on with this one.
    pub(crate) async fn seal(
        mut self,
        ctx: &Ctx,
        db: &mut impl Executor,
        mut fresh: Vec<FreshKey>,
    ) -> Result<Event> {
        let kernel = ctx.kernel();
        // of two acts of which one was done before the other began, the first has the lower id: not the call's time
        let id = EventId(kernel.ids.new_id(kernel.clock.now()));
        // it is remembered under a request_id, and for nothing else
        let result = match ctx.request_id() {
            "" => String::new(),
            _ => self.after.as_ref().or(self.before.as_ref()).unwrap_or(&Value::Null).to_string(),
        };
        let changes = changes(self.before.take(), self.after.take());
        let mut entry = self.entry(ctx, id, changes);
        self.seal_fields(ctx, db, id, &mut entry, &mut fresh).await?;
        let entry = entry.text()?;
        let mut logs = match (&self.scope, self.acting_partner()) {
            (Scope::Tenant(tenant), Some(_)) => vec![tenant.id.0, tenant.partner.id.0],
            (scope, _) => vec![scope.id()],
        };
        logs.extend(self.also_in);
        Ok(Event { id, noun: self.action.noun, entry, fresh, logs, result })
    }

    /// The entry, with nothing sealed in it yet.
    fn entry<'e>(&'e self, ctx: &'e Ctx, id: EventId, chg: Vec<Change>) -> Entry<'e> {
        let (actor, caller) = (&self.actor, ctx.call());
        let told = |text: &str| (!text.is_empty()).then(|| Value::String(text.to_owned()));
        Entry {
            act: self.action.name(),
            actor: Acting { id: actor.id, k: actor.kind, o: actor.owner.as_deref(), p: &actor.name },
            chg,
            cls: self.class(),
            id,
            ip: told(&caller.ip),
            log: self.scope.to_string(),
            n: (self.count > 1).then_some(self.count),
            out: self.outcome,
            pol: ctx.kernel().policy.revision(),
            q: self.query.as_deref().and_then(told),
            req: ctx.request_label(),
            t: ctx.now(),
            tgt: self.targets.iter().map(|(k, id)| Acted { id, k }).collect(),
            trace: ctx.trace_id(),
            ua: told(&caller.user_agent),
            v: 1,
            via: self.acting_partner().map(|partner| Via { partner: format!("partners/{}", partner.slug) }),
        }
    }

    /// Seals what is personal in the entry: the caller's own data with the caller's key, the target's with its subject's.
    async fn seal_fields(
        &self,
        ctx: &Ctx,
        db: &mut impl Executor,
        event: EventId,
        entry: &mut Entry<'_>,
        fresh: &mut Vec<FreshKey>,
    ) -> Result<()> {
        let actor = Subject { scope: self.actor.home, principal: self.actor.id };
        let subject = self.subject.unwrap_or(actor);
        let own = [("/ip", &mut entry.ip), ("/ua", &mut entry.ua), ("/q", &mut entry.q)].into_iter();
        let own = own.filter_map(|(at, value)| Some((at.to_owned(), actor, value.as_mut()?)));
        let changes = entry.chg.iter_mut().enumerate();
        let changes = changes.filter(|(_, change)| self.personal.contains(&change.field()));
        let changed = changes.flat_map(|(i, Change { o, n, .. })| {
            [(format!("/chg/{i}/o"), subject, o), (format!("/chg/{i}/n"), subject, n)]
        });
        let places: Vec<_> = own.chain(changed).collect();
        let kernel = ctx.kernel();
        for (pointer, subject, value) in places {
            if value.is_null() || value.as_str() == Some("") {
                continue;
            }
            let key = kernel.subjects.obtain(db, subject, (&kernel.ids, ctx.now()), fresh).await?;
            *value = match &key.key {
                Some(bytes) => sealed::seal(bytes, key.id, event.0, &pointer, value)?,
                None => Value::String(sealed::ERASED.to_owned()),
            };
        }
        Ok(())
    }

    fn class(&self) -> &'static str {
        class_of(&self.action)
    }

    /// The partner on whose mandate its person acts in a client.
    fn acting_partner(&self) -> Option<&PartnerRef> {
        match &self.scope {
            Scope::Tenant(tenant) if self.actor.home == tenant.partner.id.0 => Some(&tenant.partner),
            _ => None,
        }
    }
}

/// The event class of an action (`cls`).
pub fn class_of(action: &Action) -> &'static str {
    match (action.class, action.noun) {
        (Class::Read, "audit") => "audit_read",
        // proof of what is in a log
        (Class::Read, "sink") if action.verb == "certify" => "audit_read",
        (Class::Write, noun) if noun.starts_with("token") || noun == "bootstrap" => "auth",
        // nobody writes to the record but the process itself
        (Class::Ingest, _) | (Class::Write, "audit" | "checkpoint") => "system",
        (Class::Write, _) => "admin_write",
        (Class::Read, _) => "admin_read",
        (Class::Decide, _) => "decision",
    }
}
