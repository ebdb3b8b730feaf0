//! Answers, decided by the engine.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use decision::{Effect, Reason, Snapshot, Target};
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use crate::{
    MAX_RESULTS, Policy,
    parse::{Incomplete, Page, Question, Resource, Subject, Wrong},
    witness::{Answered, Because, Listed, Search},
};

/// The one action.
const USE: &str = "use";
/// What a subject can be.
const KINDS: [&str; 4] = ["user", "service", "agent", "principal"];
/// Bytes of a question's digest in a page token.
const PIN: usize = 16;

/// The answer to one question: `{"decision": …}`, with a context only if it was asked for.
pub fn decide(question: &Question, policy: &Policy) -> Value {
    let target = question.resource.target();
    let answered = decided(question, target.as_ref().map(Target::as_ref), policy);
    policy.tell(&answered);
    if !question.explain {
        return json!({"decision": answered.allowed()});
    }
    let mut context = Map::from_iter([("reason".to_owned(), json!(answered.because.as_str()))]);
    if let Some(effect) = answered.effect {
        context.insert("effect".to_owned(), json!(word(effect)));
    }
    let rules: Vec<_> =
        answered.rules.iter().map(|rule| format!("tenants/{}/entitlements/{rule}", policy.tenant)).collect();
    context.insert("entitlements".to_owned(), json!(rules));
    json!({"decision": answered.allowed(), "context": context})
}

/// The answer to what is no whole question, asked of the tenant of `policy`.
pub fn incomplete(item: &Incomplete, policy: &Policy) -> Value {
    policy.tell(&Answered::no("", None, Because::Incomplete));
    if item.explain {
        let error = json!({"status": 400, "message": item.why});
        json!({"decision": false, "context": {"reason": Because::Incomplete.as_str(), "error": error}})
    } else {
        json!({"decision": false})
    }
}

fn decided<'p>(question: &'p Question, target: Option<Target<&'p str>>, policy: &'p Policy) -> Answered<'p> {
    let (subject, kind) = (question.subject.id.as_str(), question.subject.kind.as_str());
    let no = |because| Answered::no(subject, target, because);
    let Some(snapshot) = policy.snapshot.as_deref() else {
        return no(Because::Rules(Reason::PolicyUnavailable));
    };
    if question.action != USE {
        return no(Because::UnknownAction);
    }
    if !is_kind(snapshot, kind, subject) {
        return no(Because::OtherSubject);
    }
    let Some(target) = target else { return no(Because::OtherResource) };
    let (decision, rules) = snapshot.decide_by(subject, target, policy.now);
    Answered::by_rules(subject, target, decision, rules)
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
    let target = resource.target();
    let target = target.as_ref().map(Target::as_ref);
    let because = match target {
        _ if action != USE => Some(Because::UnknownAction),
        _ if !KINDS.contains(&kind) => Some(Because::OtherSubject),
        None => Some(Because::OtherResource),
        Some(target) => by.closed(target, policy.now).map(Because::Rules),
    };
    let able = target.filter(|_| because.is_none()).map(|target| by.principals(target, policy.now));
    let able = able.into_iter().flatten();
    let mut ids: Vec<_> = able.filter(|id| is_kind(by, kind, id)).map(str::to_owned).collect();
    ids.sort_unstable();
    policy.tell_all(&Listed { search: Search::Subjects { kind, target }, found: &ids, because });
    ids
}

/// What `subject` may use of a kind, sorted.
pub fn resources(subject: &Subject, kind: &str, action: &str, policy: &Policy, by: &Snapshot) -> Vec<String> {
    let because = match action {
        USE if !is_kind(by, &subject.kind, &subject.id) => Some(Because::OtherSubject),
        USE if !["plugin", "app", "skill"].contains(&kind) => Some(Because::OtherResource),
        USE => by.barred(&subject.id).map(Because::Rules),
        _ => Some(Because::UnknownAction),
    };
    let mut ids = if because.is_none() { usable(&subject.id, kind, policy.now, by) } else { Vec::new() };
    ids.sort_unstable();
    let search = Search::Resources { subject: &subject.id, kind };
    policy.tell_all(&Listed { search, found: &ids, because });
    ids
}

fn usable(who: &str, kind: &str, now: i64, by: &Snapshot) -> Vec<String> {
    if kind == "plugin" {
        return by.usable(who, now).into_iter().map(|usable| usable.plugin.to_owned()).collect();
    }
    let parts = by.plugin_ids().flat_map(|plugin| by.usable_parts(who, plugin, now));
    let id = |part| match (kind, part) {
        ("app", Target::App { plugin, app: key }) | ("skill", Target::Skill { plugin, skill: key }) => {
            Some(format!("{plugin}/{key}"))
        }
        _ => None,
    };
    parts.filter_map(id).collect()
}

/// What `subject` may do with `resource`.
pub fn actions(subject: Subject, resource: Resource, policy: &Policy) -> Vec<String> {
    let question = Question { subject, resource, action: USE.to_owned(), explain: false };
    let target = question.resource.target();
    let answered = decided(&question, target.as_ref().map(Target::as_ref), policy);
    policy.tell(&answered);
    if answered.allowed() { vec![USE.to_owned()] } else { Vec::new() }
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
