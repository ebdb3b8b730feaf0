//! OpenID AuthZEN Authorization API 1.0, over real HTTP: the same rules at the control plane and at an edge.

use http::Method;
use proto::{decision::v1::DecisionReason, entitlement::v1::Effect};
use serde_json::{Value, json};
use tests::{both_engines, http as web, market, staff, world};

use super::{Bank, PLUGIN, check, rule};

/// Somebody who asks over HTTP.
pub struct Asker {
    /// Where.
    pub url: String,
    /// The token; empty for nobody.
    pub secret: String,
}

impl Asker {
    pub async fn send(&self, path: &str, headers: &[(&str, &str)], body: &str) -> web::Answer {
        let bearer = format!("Bearer {}", self.secret);
        let mut all = headers.to_vec();
        if !self.secret.is_empty() {
            all.push(("authorization", &bearer));
        }
        web::send(Method::POST, &format!("{}/access/v1/{path}", self.url), &all, body.to_owned()).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> web::Answer {
        self.send(path, &[("content-type", "application/json")], &body.to_string()).await
    }

    /// The answer to what must be answered.
    pub async fn ask(&self, path: &str, body: &Value) -> Value {
        let answer = self.post(path, body).await;
        assert_eq!(answer.status, 200, "{path} {body}: {}", answer.text());
        assert_eq!(answer.headers["content-type"], "application/json");
        answer.json()
    }
}

/// Whether `who` may use a plugin.
pub fn may(who: &str, plugin: &str) -> Value {
    json!({
        "subject": {"type": "user", "id": who},
        "action": {"name": "use"},
        "resource": {"type": "plugin", "id": plugin},
    })
}

fn with(mut request: Value, key: &str, value: Value) -> Value {
    request[key] = value;
    request
}

/// Every rule of the wire. Maria may use `vendor/kit` and nobody may use `vendor/other`.
pub async fn keeps_the_rules(asker: &Asker) {
    requests_are_read(asker).await;
    batches_are_answered(asker).await;
    searches_are_answered(asker).await;
    bad_requests_are_400(asker).await;
    metadata_is_found(asker).await;
}

async fn requests_are_read(asker: &Asker) {
    let yes = may("maria", "vendor/kit");
    assert_eq!(asker.ask("evaluation", &yes).await, json!({"decision": true}), "and no context");
    assert_eq!(
        asker.ask("evaluation", &may("maria", "vendor/other")).await,
        json!({"decision": false}),
        "a no is 200"
    );
    for unknown in ["nobody", "Nobody at all", "größe", "a/b/c"] {
        assert_eq!(asker.ask("evaluation", &may(unknown, "vendor/kit")).await, json!({"decision": false}));
        assert_eq!(asker.ask("evaluation", &may("maria", unknown)).await, json!({"decision": false}));
    }
    // fields that nobody knows are passed over
    let mut more = with(yes.clone(), "more", json!({"x": 1}));
    more["subject"]["more"] = json!([]);
    more["action"]["properties"] = json!({"method": "GET"});
    more["context"] = json!({"time": "1985-10-26T01:22-07:00"});
    assert_eq!(asker.ask("evaluation", &more).await, json!({"decision": true}));
    // another action, another kind of subject, another kind of resource
    for (pointer, value) in [
        ("/action/name", "delete"),
        ("/subject/type", "agent"),
        ("/subject/type", "robot"),
        ("/resource/type", "app"),
        ("/resource/type", "document"),
    ] {
        let mut other = yes.clone();
        *other.pointer_mut(pointer).unwrap() = json!(value);
        assert_eq!(asker.ask("evaluation", &other).await, json!({"decision": false}), "{pointer} {value}");
    }
    let principal =
        with(yes.clone(), "subject", json!({"type": "principal", "id": "tenants/acme/principals/maria"}));
    assert_eq!(asker.ask("evaluation", &principal).await, json!({"decision": true}));
    // why, only when asked
    let told = asker.ask("evaluation", &with(yes, "context", json!({"explain": true}))).await;
    let context =
        json!({"reason": "ALLOWED", "effect": "DEFAULT", "entitlements": ["tenants/acme/entitlements/may"]});
    assert_eq!(told, json!({"decision": true, "context": context}));
    let unknown = with(may("nobody", "vendor/kit"), "context", json!({"explain": true}));
    assert_eq!(asker.ask("evaluation", &unknown).await["context"]["reason"], "UNKNOWN_PRINCIPAL");
    // the id of the request comes back, also with an error
    for (body, status) in [(may("maria", "vendor/kit").to_string(), 200), (String::new(), 400)] {
        let headers =
            [("content-type", "application/json"), ("x-request-id", "bfe9eb29-ab87-4ca3-be83-a1d5d8305716")];
        let answer = asker.send("evaluation", &headers, &body).await;
        assert_eq!(answer.status, status);
        assert_eq!(answer.headers["x-request-id"], "bfe9eb29-ab87-4ca3-be83-a1d5d8305716");
    }
    assert!(
        asker.post("evaluation", &may("maria", "vendor/kit")).await.headers.get("x-request-id").is_none()
    );
}

async fn batches_are_answered(asker: &Asker) {
    let resource = |plugin: &str| json!({"resource": {"type": "plugin", "id": plugin}});
    let yes = may("maria", "vendor/kit");
    let batch = async |items: Value, semantic: &str| {
        let mut request = with(yes.clone(), "evaluations", items);
        if !semantic.is_empty() {
            request["options"] = json!({"evaluations_semantic": semantic, "another": 1});
        }
        let answers = asker.ask("evaluations", &request).await["evaluations"].as_array().unwrap().clone();
        answers
            .iter()
            .map(|answer| {
                assert!(answer.get("context").is_none());
                answer["decision"].as_bool().unwrap()
            })
            .collect::<Vec<_>>()
    };
    let mixed = || json!([{}, resource("vendor/other"), {}, resource("vendor/other")]);
    assert_eq!(batch(mixed(), "").await, [true, false, true, false], "an empty item inherits everything");
    assert_eq!(batch(mixed(), "execute_all").await, [true, false, true, false]);
    assert_eq!(batch(mixed(), "deny_on_first_deny").await, [true, false], "up to the no and with it");
    assert_eq!(batch(mixed(), "permit_on_first_permit").await, [true]);
    let denied = json!([resource("vendor/other"), {}, {}]);
    assert_eq!(batch(denied, "permit_on_first_permit").await, [false, true]);
    // what an item says itself it does not inherit, not even a part of it
    let incomplete = json!([{"subject": {"type": "user"}}, {"resource": {"id": "vendor/kit"}}, {"action": {"name": 1}}, {}]);
    assert_eq!(batch(incomplete, "").await, [false, false, false, true]);
    // nothing to inherit
    let bare = asker.ask("evaluations", &json!({"evaluations": [may("maria", "vendor/kit"), {}, {"subject": {"type": "user", "id": "maria"}}]})).await;
    assert_eq!(bare, json!({"evaluations": [{"decision": true}, {"decision": false}, {"decision": false}]}));
    // why an item is none, when asked
    let asked = with(json!({"evaluations": [{}]}), "context", json!({"explain": true}));
    let told = asker.ask("evaluations", &asked).await;
    assert_eq!(told["evaluations"][0]["context"]["error"]["status"], 400, "{told}");
    // without a list it is one question
    assert_eq!(asker.ask("evaluations", &yes).await, json!({"decision": true}));
    assert_eq!(
        asker.ask("evaluations", &with(yes.clone(), "evaluations", json!([]))).await,
        json!({"decision": true})
    );
}

async fn searches_are_answered(asker: &Asker) {
    let mut who = may("ignored", "vendor/kit");
    let results = |answer: Value| answer["results"].as_array().unwrap().clone();
    let maria = json!({"type": "user", "id": "maria"});
    assert_eq!(
        results(asker.ask("search/subject", &who).await),
        std::slice::from_ref(&maria),
        "its own id is passed over"
    );
    who["subject"] = json!({"type": "user"});
    assert_eq!(results(asker.ask("search/subject", &who).await), [maria]);
    for other in ["service", "agent", "robot"] {
        who["subject"]["type"] = json!(other);
        assert_eq!(asker.ask("search/subject", &who).await, json!({"results": []}), "{other}");
    }
    let mut what = may("maria", "ignored");
    let kit = json!({"type": "plugin", "id": "vendor/kit"});
    assert_eq!(results(asker.ask("search/resource", &what).await), std::slice::from_ref(&kit));
    what["resource"] = json!({"type": "plugin"});
    assert_eq!(results(asker.ask("search/resource", &what).await), [kit]);
    what["resource"]["type"] = json!("skill");
    let skills = results(asker.ask("search/resource", &what).await);
    assert_eq!(
        skills,
        [
            json!({"type": "skill", "id": "vendor/kit/read"}),
            json!({"type": "skill", "id": "vendor/kit/write"})
        ]
    );
    for other in ["app", "document"] {
        what["resource"]["type"] = json!(other);
        assert_eq!(asker.ask("search/resource", &what).await, json!({"results": []}), "{other}");
    }
    let mut acts = may("maria", "vendor/kit");
    acts.as_object_mut().unwrap().remove("action");
    assert_eq!(asker.ask("search/action", &acts).await, json!({"results": [{"name": "use"}]}));
    acts["action"] = json!({"name": "ignored"});
    assert_eq!(asker.ask("search/action", &acts).await, json!({"results": [{"name": "use"}]}));
    acts["resource"]["id"] = json!("vendor/other");
    assert_eq!(asker.ask("search/action", &acts).await, json!({"results": []}));
    // page by page
    what["resource"] = json!({"type": "skill"});
    what["page"] = json!({"limit": 1});
    let first = asker.ask("search/resource", &what).await;
    assert_eq!((&first["page"]["count"], &first["results"][0]["id"]), (&json!(1), &json!("vendor/kit/read")));
    what["page"]["token"] = first["page"]["next_token"].clone();
    let second = asker.ask("search/resource", &what).await;
    assert_eq!(second["results"], json!([{"type": "skill", "id": "vendor/kit/write"}]));
    assert_eq!(second["page"]["next_token"], "");
    what["resource"]["type"] = json!("app");
    assert_eq!(asker.post("search/resource", &what).await.status, 400, "another question");
}

async fn bad_requests_are_400(asker: &Asker) {
    let yes = may("maria", "vendor/kit").to_string();
    let json = [("content-type", "application/json")];
    for kind in ["text/plain", "application/xml", "application/x-www-form-urlencoded"] {
        assert_eq!(
            asker.send("evaluation", &[("content-type", kind)], &yes).await.status,
            400,
            "{kind}, and not 415"
        );
    }
    assert_eq!(asker.send("evaluation", &[], &yes).await.status, 400);
    let charset = [("content-type", "Application/JSON; charset=utf-8")];
    assert_eq!(asker.send("evaluation", &charset, &yes).await.status, 200);
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    for path in ["evaluation", "evaluations", "search/subject", "search/resource", "search/action"] {
        for body in ["", "{", "[]", "1", "null", "{}", "{\"subject\":", deep.as_str(), "\u{0}"] {
            let answer = asker.send(path, &json, body).await;
            assert_eq!(answer.status, 400, "{path} {body}");
            assert_eq!(answer.json()["code"], 3, "{path} {body}");
        }
    }
    for (pointer, value) in [
        ("/action/name", json!(123)),
        ("/action/name", json!("")),
        ("/action", json!("use")),
        ("/subject/id", json!(true)),
        ("/subject/type", json!([])),
        ("/subject", json!(null)),
        ("/resource/type", json!({})),
        ("/resource/id", json!("x".repeat(2_000))),
    ] {
        let mut request = may("maria", "vendor/kit");
        *request.pointer_mut(pointer).unwrap() = value.clone();
        assert_eq!(asker.post("evaluation", &request).await.status, 400, "{pointer} {value}");
    }
    let page = with(may("maria", "vendor/kit"), "page", json!({"limit": -1}));
    assert_eq!(asker.post("search/subject", &page).await.status, 400);
    let semantic = with(may("maria", "vendor/kit"), "evaluations", json!([{}]));
    let semantic = with(semantic, "options", json!({"evaluations_semantic": "maybe"}));
    assert_eq!(asker.post("evaluations", &semantic).await.status, 400);
    let many = with(may("maria", "vendor/kit"), "evaluations", json!(vec![json!({}); 1_001]));
    assert_eq!(asker.post("evaluations", &many).await.status, 400);
    let large = format!("{{\"x\":\"{}\"}}", "x".repeat(2 << 20));
    assert_eq!(asker.send("evaluation", &json, &large).await.status, 413);
    let url = format!("{}/access/v1/evaluation", asker.url);
    assert_eq!(web::get(&url).await.status, 405);
}

async fn metadata_is_found(asker: &Asker) {
    let url = format!("{}/.well-known/authzen-configuration", asker.url);
    let answer = web::send(Method::GET, &url, &[("x-request-id", "7")], "").await;
    assert_eq!((answer.status.as_u16(), &answer.headers["x-request-id"]), (200, &"7".parse().unwrap()));
    let document = answer.json();
    assert_eq!(document["policy_decision_point"], asker.url.as_str());
    for (key, path) in [
        ("access_evaluation_endpoint", "evaluation"),
        ("access_evaluations_endpoint", "evaluations"),
        ("search_subject_endpoint", "search/subject"),
        ("search_resource_endpoint", "search/resource"),
        ("search_action_endpoint", "search/action"),
    ] {
        assert_eq!(document[key], format!("{}/access/v1/{path}", asker.url), "{key}");
    }
}

/// `vendor/kit` with two skills, and Maria's rule about it.
pub async fn stock(admin: &tests::site::Caller, owner: &tests::site::Caller) {
    let mut files = market::small(&["kit", "other"]);
    let skill = "---\nname: read\ndescription: Reads a report\n---\n";
    files.insert("plugins/kit/skills/read/SKILL.md".to_owned(), skill.into());
    files.insert("plugins/kit/skills/write/SKILL.md".to_owned(), skill.replace("read", "write").into());
    market::import(admin, &files).await.unwrap();
    super::create(owner, "may", rule("banker", PLUGIN, Effect::Default)).await.unwrap();
}

/// Both protocols answer every question about the people and plugins of `acme` alike.
async fn agree(bank: &Bank, asker: &Asker, people: &[&str]) -> usize {
    let mut asked = 0;
    for who in people {
        for what in ["vendor/kit", "vendor/other", "vendor/none", "vendor/kit/read", "vendor/kit/write"] {
            let (kind, name) = match what.splitn(3, '/').collect::<Vec<_>>()[..] {
                [market, plugin, skill] => {
                    ("skill", format!("marketplaces/{market}/plugins/{plugin}/skills/{skill}"))
                }
                [market, plugin] => ("plugin", format!("marketplaces/{market}/plugins/{plugin}")),
                _ => panic!("{what}"),
            };
            let decision = check(&bank.world.owner, who, &name).await.unwrap();
            let mut request = may(who, what);
            request["subject"]["type"] = json!("principal");
            request["resource"]["type"] = json!(kind);
            request["context"] = json!({"explain": true});
            let answer = asker.ask("evaluation", &request).await;
            assert_eq!(answer["decision"], decision.allowed, "{who} {what}");
            let reason = decision.reason().as_str_name().trim_start_matches("DECISION_REASON_");
            assert_eq!(answer["context"]["reason"], reason, "{who} {what}");
            assert_eq!(answer["context"]["entitlements"], json!(decision.entitlements), "{who} {what}");
            asked += 1;
        }
    }
    asked
}

both_engines! {
    async fn authzen_keeps_its_rules_at_the_control_plane(site: Site) {
        let bank = Bank::open(site).await;
        stock(&bank.world.admin, &bank.world.owner).await;
        let asker = Asker { url: bank.world.site.running.url(), secret: bank.world.owner.secret.clone() };
        keeps_the_rules(&asker).await;
    }

    async fn authzen_and_check_answer_alike_whatever_the_rules(site: Site) {
        let bank = Bank::open(site).await;
        stock(&bank.world.admin, &bank.world.owner).await;
        let owner = &bank.world.owner;
        world::user(owner, world::ACME, "paul").await;
        staff::agent(owner, "bot", "maria").await;
        staff::agent(owner, "pet", "paul").await;
        staff::give(owner, "banker", "principals/bot").await;
        staff::give(owner, "banker", "principals/pet").await;
        let asker = Asker { url: bank.world.site.running.url(), secret: owner.secret.clone() };
        let people = ["maria", "paul", "bot", "pet", "nobody"];
        assert_eq!(agree(&bank, &asker, &people).await, 25);
        bank.add("not-write", rule("*", &format!("{PLUGIN}/skills/write"), Effect::Denied)).await.unwrap();
        agree(&bank, &asker, &people).await;
        market::stage(&bank.world.admin, "kit", proto::catalog::v1::Stage::Withdrawn).await.unwrap();
        agree(&bank, &asker, &people).await;
        assert_eq!(bank.why("maria").await, DecisionReason::Withdrawn);
    }

    async fn who_may_ask_is_who_may_check(site: Site) {
        let bank = Bank::open(site).await;
        stock(&bank.world.admin, &bank.world.owner).await;
        let url = bank.world.site.running.url();
        let ask = async |secret: &str, path: &str, body: Value| {
            let asker = Asker { url: url.clone(), secret: secret.to_owned() };
            asker.post(path, &body).await
        };
        let maria = world::personal(&bank.world.owner, world::ACME, "maria").await;
        world::grant(&bank.world.owner, world::ACME, "maria", proto::duty::v1::Duty::Member).await.unwrap();
        let yes = || may("maria", "vendor/kit");
        for (secret, status) in [("", 401), ("nonsense", 401), (maria.secret.as_str(), 200)] {
            let answer = ask(secret, "evaluation", yes()).await;
            assert_eq!(answer.status, status, "{}", answer.text());
        }
        // others than herself, and everybody, are not hers to ask about
        for (path, body) in [
            ("evaluation", may("owner", "vendor/kit")),
            ("evaluations", with(yes(), "evaluations", json!([{}, {"subject": {"type": "user", "id": "owner"}}]))),
            ("evaluations", json!({"evaluations": [{}]})),
            ("search/subject", yes()),
            ("search/action", may("No Slug", "vendor/kit")),
        ] {
            let answer = ask(&maria.secret, path, body.clone()).await;
            assert_eq!(answer.status, 403, "{path} {body}: {}", answer.text());
            assert_eq!(answer.json()["details"][0]["reason"], "DUTY_MISSING");
        }
        for path in ["search/resource", "search/action"] {
            assert_eq!(ask(&maria.secret, path, yes()).await.status, 200, "{path}");
        }
        // a partner's person names the tenant; one that it may not see is not there
        let carla = bank.world.consultant.secret.clone();
        assert_eq!(ask(&carla, "evaluation", yes()).await.status, 400);
        for tenant in ["acme", "tenants/acme"] {
            let named = with(yes(), "context", json!({"tenant": tenant}));
            assert_eq!(ask(&carla, "evaluation", named).await.json(), json!({"decision": true}));
        }
        for secret in [&bank.world.rival.secret, &bank.world.stranger.secret] {
            let named = with(yes(), "context", json!({"tenant": "acme"}));
            let full = with(yes(), "subject", json!({"type": "user", "id": "tenants/acme/principals/maria"}));
            let none = with(yes(), "context", json!({"tenant": "no-such"}));
            for body in [named, full, none] {
                assert_eq!(ask(secret, "evaluation", body).await.status, 404);
            }
        }
    }
}
