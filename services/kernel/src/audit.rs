//! The audit record of an act: built beside the change, written in its transaction (`audit_pending` is an outbox).

pub mod sealed;
pub mod subject;

use serde::Serialize;
use serde_json::{Map, Value, json};

use self::subject::{FreshKey, Subject};
use crate::{
    authn::Actor,
    authz::{Action, Class},
    ctx::Ctx,
    db::Executor,
    error::{Error, Result},
    hash,
    ids::EventId,
    revision,
    scope::Scope,
};

/// Largest entry in bytes; beyond it the longest values are replaced by their digests.
const MAX_ENTRY: usize = 32 * 1024;
/// Length of a digest as it stands in an entry.
const MAX_DIGEST: usize = 77;

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
    also_in: Option<uuid::Uuid>,
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
            subject: None,
            also_in: None,
            query: None,
            decided: None,
            count: 1,
        }
    }

    /// Kind and name of what was acted on, where decisions rest on it.
    pub(crate) fn policy_change(&self) -> Option<(uuid::Uuid, &'static str, String)> {
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

    /// Fixes the bytes: RFC 8785 canonical JSON of the fields in the specification of the audit log, version 1.
    /// `fresh`: keys that earlier records of the same transaction made; they go on with this one.
    pub(crate) async fn seal(
        self,
        ctx: &Ctx,
        db: &mut impl Executor,
        mut fresh: Vec<FreshKey>,
    ) -> Result<Event> {
        let kernel = ctx.kernel();
        // of two acts of which one was done before the other began, the first has the lower id: not the call's time
        let id = EventId(kernel.ids.new_id(kernel.clock.now()));
        let partner = self.acting_partner();
        let targets: Vec<_> = self.targets.iter().map(|(k, name)| json!({"k": k, "id": name})).collect();
        let mut entry = json!({
            "v": 1, "id": id, "t": ctx.now(), "log": self.scope.to_string(), "act": self.action.name(),
            "out": self.outcome, "cls": self.class(),
            "actor": {"k": self.actor.kind, "id": self.actor.id, "p": self.actor.name},
            "tgt": targets, "req": ctx.request_label(), "trace": ctx.trace_id(), "pol": kernel.policy.revision(),
            "chg": self.changes(),
        });
        let mut put = |name: &str, value: Value| {
            if let Some(object) = entry.as_object_mut() {
                object.insert(name.to_owned(), value);
            }
        };
        if let Some(owner) = &self.actor.owner {
            put(
                "actor",
                json!({"k": self.actor.kind, "id": self.actor.id, "p": self.actor.name, "o": owner}),
            );
        }
        if !partner.is_empty() {
            put("via", json!({"partner": partner}));
        }
        if self.count > 1 {
            put("n", json!(self.count));
        }
        let caller = ctx.call();
        let own = [("ip", &caller.ip), ("ua", &caller.user_agent)].map(|(name, text)| (name, text.clone()));
        let asked = self.query.clone().map(|text| ("q", text));
        for (name, text) in own.into_iter().chain(asked).filter(|(_, text)| !text.is_empty()) {
            put(name, Value::String(text));
        }
        self.seal_fields(ctx, db, id, &mut entry, &mut fresh).await?;
        let entry = canonical(entry)?;
        let mut logs = match (&self.scope, partner.is_empty()) {
            (Scope::Tenant(tenant), false) => vec![tenant.id.0, tenant.partner.id.0],
            (scope, _) => vec![scope.id()],
        };
        logs.extend(self.also_in);
        let result = self.after.or(self.before).unwrap_or(Value::Null);
        Ok(Event { id, noun: self.action.noun, entry, fresh, logs, result: result.to_string() })
    }

    /// Seals what is personal in the entry: the caller's own data with the caller's key, the target's with its subject's.
    async fn seal_fields(
        &self,
        ctx: &Ctx,
        db: &mut impl Executor,
        event: EventId,
        entry: &mut Value,
        fresh: &mut Vec<FreshKey>,
    ) -> Result<()> {
        let actor = Subject { scope: self.actor.home, principal: self.actor.id };
        let mut places: Vec<_> = ["/ip", "/ua", "/q"].map(|p| (p.to_owned(), actor)).into();
        let changes = entry.get("chg").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        for (i, change) in changes.iter().enumerate() {
            let field = change.get("f").and_then(Value::as_str).unwrap_or_default().trim_start_matches('/');
            if self.personal.contains(&field) {
                let subject = self.subject.unwrap_or(actor);
                places.extend(["o", "n"].map(|side| (format!("/chg/{i}/{side}"), subject)));
            }
        }
        let kernel = ctx.kernel();
        for (pointer, subject) in places {
            let Some(value) = entry.pointer_mut(&pointer) else { continue };
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

    /// The partner on whose mandate its person acts in a client; empty for everybody else.
    fn acting_partner(&self) -> String {
        match &self.scope {
            Scope::Tenant(tenant) if self.actor.home == tenant.partner.id.0 => {
                format!("partners/{}", tenant.partner.slug)
            }
            _ => String::new(),
        }
    }

    /// Field by field, old and new.
    fn changes(&self) -> Vec<Value> {
        let empty = Map::new();
        let old = self.before.as_ref().and_then(Value::as_object).unwrap_or(&empty);
        let new = self.after.as_ref().and_then(Value::as_object).unwrap_or(&empty);
        let mut fields: Vec<_> = old.keys().chain(new.keys()).collect();
        fields.sort();
        fields.dedup();
        let changed = fields.into_iter().filter(|f| old.get(*f) != new.get(*f));
        let change = |f: &String| json!({"f": format!("/{f}"), "o": old.get(f), "n": new.get(f)});
        changed.map(change).collect()
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

/// RFC 8785; in an entry over the limit the longest old and new values give way to their digests, as many as it takes.
fn canonical(mut entry: Value) -> Result<String> {
    // they are in order already, unless a crate of the same build has `serde_json` keep them as they come
    entry.sort_all_objects();
    loop {
        let plain = is_plain(&entry);
        let text = if plain { Ok(entry.to_string()) } else { serde_json_canonicalizer::to_string(&entry) };
        let text = text.map_err(Error::internal)?;
        if text.len() <= MAX_ENTRY || !shorten(&mut entry) {
            return Ok(text);
        }
    }
}

/// Whether the JSON that `serde_json` writes is the canonical one already, which it is but for the order of names that are
/// not ASCII and for numbers that are not small integers.
fn is_plain(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(_) | Value::String(_) => true,
        Value::Number(number) => number.as_i64().is_some_and(|n| n.unsigned_abs() < 1 << 53),
        Value::Array(items) => items.iter().all(is_plain),
        Value::Object(fields) => {
            let names = fields.keys();
            names.clone().zip(names.clone().skip(1)).all(|(a, b)| a < b)
                && names.clone().all(|name| name.is_ascii())
                && fields.values().all(is_plain)
        }
    }
}

/// Puts the SHA-256 of its JSON in the place of the longest value of the changes; `false` when no value is longer than
/// what would take its place.
fn shorten(entry: &mut Value) -> bool {
    let changes = entry.get_mut("chg").and_then(Value::as_array_mut).into_iter().flatten();
    let values = changes.filter_map(Value::as_object_mut).flat_map(|change| change.iter_mut());
    let sides = values.filter(|(side, _)| *side != "f").map(|(_, value)| (value.to_string(), value));
    let longest = sides.max_by_key(|(text, _)| text.len()).filter(|(text, _)| text.len() > MAX_DIGEST);
    let Some((text, value)) = longest else { return false };
    *value = json!({"sha256": hash::hex(&hash::sha256(text.as_bytes()))});
    true
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::Bool),
            any::<i64>().prop_map(Value::from),
            (-9_i64..9).prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
            "[\\x00-\\x1f\"\\\\/\\x7f\\u{2028}\u{1f600}]{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 24, 5, |inner| {
            let name = prop_oneof!["[a-z$_]{0,3}", any::<String>()];
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::vec((name, inner), 0..5)
                    .prop_map(|all| Value::Object(all.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn whatever_is_recorded_is_canonical_json(value in any_json()) {
            let text = canonical(value.clone()).unwrap();
            prop_assert_eq!(text, serde_json_canonicalizer::to_string(&value).unwrap());
        }
    }

    #[test]
    fn a_large_entry_keeps_all_but_its_longest_values() {
        let (long, longer) = ("x".repeat(20_000), "y".repeat(40_000));
        let changes = json!([
            {"f": "/revision", "o": 1, "n": 2},
            {"f": "/words", "o": long, "n": longer},
            {"f": "/reason", "o": null, "n": "short"},
        ]);
        let text = canonical(json!({"v": 1, "chg": changes})).unwrap();
        assert!(text.len() <= MAX_ENTRY);
        let kept: Value = serde_json::from_str(&text).unwrap();
        let digest = hash::hex(&hash::sha256(format!("\"{longer}\"").as_bytes()));
        assert_eq!(kept["chg"][1]["n"], json!({"sha256": digest}));
        assert_eq!(kept["chg"][1]["o"], json!(long), "one digest is enough");
        assert_eq!((&kept["chg"][0], &kept["chg"][2]), (&changes[0], &changes[2]));

        let many: Vec<_> =
            (0..100).map(|n| json!({"f": format!("/{n}"), "o": null, "n": "z".repeat(2_000)})).collect();
        let text = canonical(json!({"chg": many})).unwrap();
        assert!(text.len() <= MAX_ENTRY, "{}", text.len());
        // what cannot be shortened is kept whole rather than lost
        assert!(canonical(json!({"tgt": "t".repeat(40_000), "chg": []})).unwrap().len() > MAX_ENTRY);
    }
}
