use std::sync::Arc;

use decision::{
    Target,
    sample::{NOW, Size, facts},
};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::{
    Policy, answer,
    parse::{self, Evaluations, Page, Resource, Semantic, Subject},
};

fn parsed(value: &Value) -> Result<parse::Question, String> {
    parse::evaluation(&parse::body(value.to_string().as_bytes())?)
}

fn whole() -> Value {
    json!({
        "subject": {"type": "user", "id": "maria"},
        "action": {"name": "use"},
        "resource": {"type": "plugin", "id": "codex/pitchbook"},
    })
}

#[test]
fn a_question_is_read_and_what_is_unknown_is_passed_over() {
    let mut request = whole();
    request["more"] = json!([1]);
    request["subject"]["more"] = json!({});
    let question = parsed(&request).unwrap();
    assert_eq!(question.subject, Subject { tenant: None, kind: "user".to_owned(), id: "maria".to_owned() });
    assert_eq!(question.resource.target(), Some(Target::Plugin("codex/pitchbook".to_owned())));
    assert!(!question.explain);
}

#[test]
fn what_is_missing_or_of_another_type_is_named() {
    for (pointer, value) in [
        ("/subject", json!(null)),
        ("/subject", json!("maria")),
        ("/subject/id", json!(7)),
        ("/subject/type", json!("")),
        ("/subject/properties", json!([])),
        ("/action", json!("use")),
        ("/action/name", json!(123)),
        ("/resource/id", json!(null)),
        ("/resource/id", json!("x".repeat(1_025))),
        ("/context", json!("now")),
    ] {
        let mut request = whole();
        if let Some(place) = request.pointer_mut(pointer) {
            *place = value.clone();
        } else {
            let (holder, key) = pointer.rsplit_once('/').unwrap();
            request.pointer_mut(holder).unwrap()[key] = value.clone();
        }
        let wrong = parsed(&request).unwrap_err();
        let key = pointer.trim_start_matches('/').replace('/', ".");
        assert!(wrong.contains(&format!("`{key}`")), "{pointer} {value}: {wrong}");
    }
}

#[test]
fn the_tenant_is_the_nearest_that_is_named() {
    let tenant = |request: &Value| parsed(request).unwrap().subject.tenant;
    let mut request = whole();
    assert_eq!(tenant(&request), None);
    request["context"] = json!({"tenant": "a"});
    assert_eq!(tenant(&request).as_deref(), Some("a"));
    request["subject"]["properties"] = json!({"tenant": "tenants/b"});
    assert_eq!(tenant(&request).as_deref(), Some("b"));
    request["subject"]["id"] = json!("tenants/c/principals/maria");
    assert_eq!(tenant(&request).as_deref(), Some("c"));
    assert_eq!(parsed(&request).unwrap().subject.id, "maria");
}

#[test]
fn plugins_apps_and_skills_are_named_in_short_and_in_full() {
    let target = |kind: &str, id: &str| Resource { kind: kind.to_owned(), id: id.to_owned() }.target();
    let plugin = "m/p".to_owned();
    let app = Some(Target::App { plugin: plugin.clone(), app: "a b".to_owned() });
    let skill = Some(Target::Skill { plugin: plugin.clone(), skill: "s".to_owned() });
    assert_eq!(target("plugin", "marketplaces/m/plugins/p"), Some(Target::Plugin(plugin)));
    assert_eq!(target("app", "m/p/a b"), app);
    assert_eq!(target("app", "marketplaces/m/plugins/p/apps/a b"), app);
    assert_eq!(target("skill", "m/p/s"), skill);
    assert_eq!(target("skill", "marketplaces/m/plugins/p/skills/s"), skill);
    for (kind, id) in [
        ("plugin", "p"),
        ("plugin", "m/p/a"),
        ("app", "m/p"),
        ("app", "marketplaces/m/plugins/p/skills/s"),
        ("document", "m/p"),
        ("plugin", "marketplaces/m"),
    ] {
        assert_eq!(target(kind, id), None, "{kind} {id}");
    }
}

#[test]
fn items_inherit_and_say_themselves_what_differs() {
    let mut request = whole();
    request["evaluations"] =
        json!([{}, {"subject": {"type": "user", "id": "paul"}}, {"action": {}}, {"action": {"name": 1}}]);
    request["options"] = json!({"evaluations_semantic": "deny_on_first_deny"});
    let object = parse::body(request.to_string().as_bytes()).unwrap();
    let Evaluations::Many(items, semantic) = parse::evaluations(&object).unwrap() else { panic!("one") };
    assert_eq!(semantic, Semantic::DenyOnFirstDeny);
    assert_eq!(items[0].as_ref().unwrap().subject.id, "maria");
    assert_eq!(items[1].as_ref().unwrap().subject.id, "paul");
    assert!(items[2].is_err() && items[3].is_err());
    for empty in [json!([]), json!(null)] {
        request["evaluations"] = empty;
        let object = parse::body(request.to_string().as_bytes()).unwrap();
        assert!(matches!(parse::evaluations(&object), Ok(Evaluations::One(_))));
    }
    for (key, value) in [
        ("evaluations", json!({})),
        ("evaluations", json!([1])),
        ("evaluations", json!(vec![json!({}); 1_001])),
        ("options", json!([])),
        ("options", json!({"evaluations_semantic": "sometimes"})),
        ("options", json!({"evaluations_semantic": 1})),
        ("subject", json!(1)),
    ] {
        let mut request = whole();
        request["evaluations"] = json!([{}]);
        request[key] = value;
        let object = parse::body(request.to_string().as_bytes()).unwrap();
        assert!(parse::evaluations(&object).is_err(), "{key}");
    }
}

#[test]
fn pages_lead_through_everything_once_and_pin_their_question() {
    let ids: Vec<_> = (0..25).map(|n| format!("id-{n:02}")).collect();
    let shape = |id: &str| json!(id);
    let (mut page, mut seen) = (Page { asked: true, token: String::new(), limit: Some(10) }, Vec::new());
    loop {
        let answer = answer::paged(&ids, &page, "q", shape).unwrap();
        seen.extend(answer["results"].as_array().unwrap().iter().map(|id| id.as_str().unwrap().to_owned()));
        page.token = answer["page"]["next_token"].as_str().unwrap().to_owned();
        if page.token.is_empty() {
            break;
        }
        assert!(answer::paged(&ids, &page, "another", shape).is_err());
    }
    assert_eq!(seen, ids);
    let all = answer::paged(&ids, &Page::default(), "q", shape).unwrap();
    assert!(all.get("page").is_none() && all["results"].as_array().unwrap().len() == 25);
    let many: Vec<_> = (0..1_001).map(|n| format!("{n:04}")).collect();
    let cut = answer::paged(&many, &Page::default(), "q", shape).unwrap();
    assert_ne!(cut["page"]["next_token"], "", "more than one page is said so");
    assert_eq!(cut["results"].as_array().unwrap().len(), 1_000);
}

#[test]
fn searches_find_what_is_decided_with_yes() {
    let facts = facts(Size { rules: 60, principals: 30, roles: 6, plugins: 12 });
    let snapshot = Arc::new(decision::compile(&facts).unwrap());
    let policy =
        Policy { tenant: "acme".to_owned(), snapshot: Some(Arc::clone(&snapshot)), now: NOW, witness: None };
    let mut found = 0;
    for principal in &facts.principals {
        let subject = Subject { tenant: None, kind: "principal".to_owned(), id: principal.id.clone() };
        for kind in ["plugin", "app", "skill"] {
            let usable = answer::resources(&subject, kind, "use", &policy, &snapshot);
            let mut expected = Vec::new();
            for plugin in &facts.plugins {
                let ids: Vec<_> = match kind {
                    "plugin" => vec![plugin.id.clone()],
                    "app" => plugin.apps.iter().map(|app| format!("{}/{app}", plugin.id)).collect(),
                    _ => plugin.skills.iter().map(|skill| format!("{}/{skill}", plugin.id)).collect(),
                };
                for id in ids {
                    let resource = Resource { kind: kind.to_owned(), id: id.clone() };
                    let question = parse::Question {
                        subject: subject.clone(),
                        resource: resource.clone(),
                        action: "use".to_owned(),
                        explain: false,
                    };
                    let decided = answer::decide(&question, &policy) == json!({"decision": true});
                    let able = answer::subjects("principal", &resource, "use", &policy, &snapshot);
                    assert_eq!(able.contains(&principal.id), decided, "{id}");
                    let acts = answer::actions(subject.clone(), resource, &policy);
                    assert_eq!(acts == ["use"], decided);
                    if decided {
                        expected.push(id);
                    }
                }
            }
            expected.sort_unstable();
            assert_eq!(usable, expected, "{kind}");
            found += expected.len();
        }
    }
    assert!(found > 50, "{found}");
}

#[test]
fn without_rules_the_answer_is_no_and_says_why_when_asked() {
    let mut request = whole();
    request["context"] = json!({"explain": true});
    let policy = Policy { tenant: "acme".to_owned(), snapshot: None, now: NOW, witness: None };
    let answer = answer::decide(&parsed(&request).unwrap(), &policy);
    assert_eq!(
        (&answer["decision"], &answer["context"]["reason"]),
        (&json!(false), &json!("POLICY_UNAVAILABLE"))
    );
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), text in "[{}\\[\\]\",:a-z0-9 ]{0,80}") {
        for bytes in [bytes.as_slice(), text.as_bytes()] {
            if let Ok(object) = parse::body(bytes) {
                let _ = parse::evaluation(&object);
                let _ = parse::evaluations(&object);
                let _ = parse::page(&object);
            }
        }
    }
}
