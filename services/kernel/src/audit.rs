//! The audit record of an act: built beside the change, written in its transaction (`audit_pending` is an outbox).

use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::{
    authn::Actor,
    authz::{Action, Class},
    clock::Time,
    ctx::Ctx,
    error::{Error, Result},
    hash,
    ids::EventId,
    scope::Scope,
};

/// Largest entry in bytes; beyond it the changes are replaced by their digest.
const MAX_ENTRY: usize = 32 * 1024;

/// Something that can be the target of an act.
pub trait Resource: Serialize {
    /// Kind: `role`.
    const KIND: &'static str;
    /// Fields that hold a person's data. The record keeps a keyed digest of them, so that it can be compared and says
    /// nothing.
    const PERSONAL: &'static [&'static str] = &[];

    /// Resource name.
    fn name(&self) -> String;
}

/// The record under construction.
#[derive(Debug)]
pub struct Audit {
    action: Action,
    scope: Scope,
    actor: Actor,
    outcome: &'static str,
    targets: Vec<(&'static str, String)>,
    before: Option<Value>,
    after: Option<Value>,
    personal: &'static [&'static str],
    also_in: Option<uuid::Uuid>,
}

/// A finished record.
pub struct Event {
    pub(crate) id: EventId,
    pub(crate) time: Time,
    pub(crate) action: String,
    pub(crate) noun: &'static str,
    pub(crate) outcome: &'static str,
    pub(crate) class: &'static str,
    pub(crate) actor: String,
    pub(crate) partner: String,
    pub(crate) target: String,
    pub(crate) request_id: String,
    pub(crate) trace_id: String,
    pub(crate) entry: String,
    logs: Vec<uuid::Uuid>,
    result: String,
}

impl Event {
    /// The logs that it goes into: the scope's, and the partner's when its person acted in a client.
    pub(crate) fn logs(&self) -> &[uuid::Uuid] {
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
            also_in: None,
        }
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
    pub fn also_in(mut self, scope: uuid::Uuid) -> Self {
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

    /// Fixes the bytes: RFC 8785 canonical JSON of the fields in specs of the audit log, version 1.
    pub(crate) fn seal(self, ctx: &Ctx) -> Result<Event> {
        let kernel = ctx.kernel();
        let (id, time) = (EventId(ctx.new_id()), ctx.now());
        let partner = self.acting_partner();
        let changes = self.changes(&kernel.personal_key);
        let targets: Vec<_> = self.targets.iter().map(|(k, name)| json!({"k": k, "id": name})).collect();
        let mut entry = json!({
            "v": 1, "id": id, "t": time, "log": self.scope.to_string(), "act": self.action.name(), "out": self.outcome,
            "cls": self.class(), "actor": {"k": self.actor.kind, "id": self.actor.id, "p": self.actor.name},
            "tgt": targets, "req": ctx.request_label(), "trace": ctx.trace_id(), "pol": kernel.policy.revision(),
            "chg": changes,
        });
        if !partner.is_empty()
            && let Some(object) = entry.as_object_mut()
        {
            object.insert("via".to_owned(), json!({"partner": partner}));
        }
        let entry = canonical(entry)?;
        let mut logs = match (&self.scope, partner.is_empty()) {
            (Scope::Tenant(tenant), false) => vec![tenant.id.0, tenant.partner.id.0],
            (scope, _) => vec![scope.id()],
        };
        logs.extend(self.also_in);
        let result = self.after.or(self.before).unwrap_or(Value::Null);
        Ok(Event {
            id,
            time,
            action: self.action.name(),
            noun: self.action.noun,
            outcome: self.outcome,
            class: class_of(self.action.class, self.outcome),
            actor: self.actor.name,
            partner,
            target: self.targets.into_iter().next().map_or_else(String::new, |(_, name)| name),
            request_id: ctx.request_label().to_owned(),
            trace_id: ctx.trace_id().to_owned(),
            entry,
            logs,
            result: result.to_string(),
        })
    }

    fn class(&self) -> &'static str {
        class_of(self.action.class, self.outcome)
    }

    /// The partner on whose mandate its person acts in a client; empty for everybody else.
    fn acting_partner(&self) -> String {
        match &self.scope {
            Scope::Tenant(tenant) if self.actor.home == tenant.partner.id.0 => {
                format!("partners/{}", tenant.partner.slug)
            }
            _ => String::new(),
        }
    }

    /// Field by field, old and new; a person's data as a keyed digest.
    fn changes(&self, key: &[u8]) -> Vec<Value> {
        let empty = Map::new();
        let old = self.before.as_ref().and_then(Value::as_object).unwrap_or(&empty);
        let new = self.after.as_ref().and_then(Value::as_object).unwrap_or(&empty);
        let mut fields: Vec<_> = old.keys().chain(new.keys()).collect();
        fields.sort();
        fields.dedup();
        let mut changes = Vec::new();
        for field in fields {
            let (o, n) = (old.get(field), new.get(field));
            if o == n {
                continue;
            }
            let keep = |v: Option<&Value>| match v {
                Some(v) if self.personal.contains(&field.as_str()) && v.as_str() != Some("") => {
                    json!({"$h": hash::hex(&hash::mac(key, v.to_string().as_bytes()))})
                }
                Some(v) => v.clone(),
                None => Value::Null,
            };
            changes.push(json!({"f": format!("/{field}"), "o": keep(o), "n": keep(n)}));
        }
        changes
    }
}

/// The event class of an action (`cls`).
fn class_of(class: Class, outcome: &str) -> &'static str {
    match (class, outcome) {
        (Class::Write, _) => "admin_write",
        (Class::Read, _) => "admin_read",
        (Class::Decide, _) => "decision",
        (Class::Ingest, _) => "system",
    }
}

/// RFC 8785; an entry over the limit keeps the digest of its changes.
fn canonical(mut entry: Value) -> Result<String> {
    let text = serde_json_canonicalizer::to_string(&entry).map_err(Error::internal)?;
    if text.len() <= MAX_ENTRY {
        return Ok(text);
    }
    if let Some(changes) = entry.get_mut("chg") {
        let digest = hash::hex(&hash::sha256(changes.to_string().as_bytes()));
        *changes = json!([{"f": "", "o": null, "n": {"sha256": digest}}]);
    }
    serde_json_canonicalizer::to_string(&entry).map_err(Error::internal)
}
