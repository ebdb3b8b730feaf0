//! Answers, decided by the engine.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use decision::{Effect, Reason, Snapshot, Target};
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use crate::{
    MAX_RESULTS, Policy,
    parse::{Incomplete, Page, Question, Resource, Subject, Wrong},
};

/// The one action.
const USE: &str = "use";
/// What a subject can be.
const KINDS: [&str; 4] = ["user", "service", "agent", "principal"];
/// Bytes of a question's digest in a page token.
const PIN: usize = 16;

/// The answer to one question: `{"decision": …}`, with a context only if it was asked for.
pub fn decide(question: &Question, policy: &Policy) -> Value {
    let (allowed, reason, effect, rules) = decided(question, policy);
    if !question.explain {
        return json!({"decision": allowed});
    }
    let mut context = Map::from_iter([("reason".to_owned(), json!(reason))]);
    if let Some(effect) = effect {
        context.insert("effect".to_owned(), json!(word(effect)));
    }
    let rules: Vec<_> =
        rules.into_iter().map(|rule| format!("tenants/{}/entitlements/{rule}", policy.tenant)).collect();
    context.insert("entitlements".to_owned(), json!(rules));
    json!({"decision": allowed, "context": context})
}

/// The answer to what is no whole question.
pub fn incomplete(item: &Incomplete) -> Value {
    if item.explain {
        json!({"decision": false, "context": {"reason": "INCOMPLETE", "error": {"status": 400, "message": item.why}}})
    } else {
        json!({"decision": false})
    }
}

type Decided<'p> = (bool, &'static str, Option<Effect>, Vec<&'p str>);

fn decided<'p>(question: &Question, policy: &'p Policy) -> Decided<'p> {
    let no = |reason| (false, reason, None, Vec::new());
    let Some(snapshot) = policy.snapshot.as_deref() else { return no(Reason::PolicyUnavailable.as_str()) };
    if question.action != USE {
        return no("UNKNOWN_ACTION");
    }
    let subject = &question.subject;
    if !is_kind(snapshot, &subject.kind, &subject.id) {
        return no(Reason::UnknownPrincipal.as_str());
    }
    let Some(target) = question.resource.target() else { return no(Reason::UnknownPlugin.as_str()) };
    let (decision, rules) = snapshot.decide_by(&subject.id, target.as_ref(), policy.now);
    (decision.allowed, decision.reason.as_str(), decision.effect, rules)
}

/// Whether a principal is what the question says; of one that nobody knows the engine has the say.
fn is_kind(snapshot: &Snapshot, kind: &str, id: &str) -> bool {
    match snapshot.kind(id) {
        Some(is) => kind == "principal" || kind == is,
        None => KINDS.contains(&kind),
    }
}

fn word(effect: Effect) -> &'static str {
    match effect {
        Effect::Denied => "DENIED",
        Effect::Available => "AVAILABLE",
        Effect::Default => "DEFAULT",
        Effect::Required => "REQUIRED",
    }
}

/// Who may use `resource`, sorted.
pub fn subjects(
    kind: &str,
    resource: &Resource,
    action: &str,
    policy: &Policy,
    by: &Snapshot,
) -> Vec<String> {
    let Some(target) = resource.target().filter(|_| action == USE && KINDS.contains(&kind)) else {
        return Vec::new();
    };
    let able = by.principals(target.as_ref(), policy.now);
    let mut ids: Vec<_> = able.into_iter().filter(|id| is_kind(by, kind, id)).map(str::to_owned).collect();
    ids.sort_unstable();
    ids
}

/// What `subject` may use of a kind, sorted.
pub fn resources(subject: &Subject, kind: &str, action: &str, policy: &Policy, by: &Snapshot) -> Vec<String> {
    if action != USE || !is_kind(by, &subject.kind, &subject.id) {
        return Vec::new();
    }
    let parts = |wanted: fn(Target<&str>) -> Option<String>| {
        let plugins = by.plugins();
        plugins
            .flat_map(|plugin| by.usable_parts(&subject.id, plugin, policy.now))
            .filter_map(wanted)
            .collect()
    };
    let mut ids: Vec<String> = match kind {
        "plugin" => {
            by.usable(&subject.id, policy.now).into_iter().map(|usable| usable.plugin.to_owned()).collect()
        }
        "app" => parts(|part| match part {
            Target::App { plugin, app } => Some(format!("{plugin}/{app}")),
            _ => None,
        }),
        "skill" => parts(|part| match part {
            Target::Skill { plugin, skill } => Some(format!("{plugin}/{skill}")),
            _ => None,
        }),
        _ => Vec::new(),
    };
    ids.sort_unstable();
    ids
}

/// What `subject` may do with `resource`.
pub fn actions(subject: Subject, resource: Resource, policy: &Policy) -> Vec<String> {
    let question = Question { subject, resource, action: USE.to_owned(), explain: false };
    if decided(&question, policy).0 { vec![USE.to_owned()] } else { Vec::new() }
}

/// A page of `found`, which is sorted; each result is made of an id by `shape`. The token goes on with the same `question`
/// only.
pub fn paged(
    found: &[String],
    page: &Page,
    question: &str,
    shape: impl Fn(&str) -> Value,
) -> Result<Value, Wrong> {
    let pin = Sha256::digest(question);
    let pin = pin.get(..PIN).unwrap_or_default();
    let after = match page.token.as_str() {
        "" => None,
        token => {
            let bytes = URL_SAFE_NO_PAD.decode(token).ok();
            let id = bytes.as_deref().and_then(|bytes| bytes.strip_prefix(pin));
            let id = id.and_then(|id| String::from_utf8(id.to_vec()).ok());
            Some(id.ok_or_else(|| {
                "`page.token` goes on with another question; send the same one, or begin without a token"
                    .to_owned()
            })?)
        }
    };
    let limit = page.limit.unwrap_or(MAX_RESULTS).min(MAX_RESULTS);
    let begin = after.map_or(0, |after| found.partition_point(|id| *id <= after));
    let rest = found.get(begin..).unwrap_or_default();
    let shown = rest.get(..limit.min(rest.len())).unwrap_or_default();
    let results: Vec<_> = shown.iter().map(|id| shape(id)).collect();
    let more = shown.len() < rest.len();
    let mut answer = json!({"results": results});
    if page.asked || more {
        let last = shown.last().filter(|_| more);
        let next = last.map(|last| URL_SAFE_NO_PAD.encode([pin, last.as_bytes()].concat()));
        let page =
            json!({"next_token": next.unwrap_or_default(), "count": shown.len(), "total": found.len()});
        if let Some(answer) = answer.as_object_mut() {
            answer.insert("page".to_owned(), page);
        }
    }
    Ok(answer)
}
