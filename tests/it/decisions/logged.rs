//! Every no is on the record, and the number of all answers.

use std::collections::BTreeMap;

use proto::{
    decision::v1::{
        ListPrincipalsRequest, ListUsableRequest, decision_service_client::DecisionServiceClient,
    },
    entitlement::v1::Effect,
};
use serde_json::{Value, json};
use tests::{Site, World, both_engines, http, staff, world};

use super::{
    Bank, PLUGIN,
    authzen::{Asker, may, stock},
    check, named,
    revisions::{compared, shadowed},
    rule,
};
use crate::audit::events;

const OTHER: &str = "marketplaces/vendor/plugins/other";

/// All that the log says.
#[derive(Debug, Default)]
struct Log {
    /// Decisions by reason.
    answered: BTreeMap<String, u64>,
    /// Lists by what they are of.
    listed: BTreeMap<String, u64>,
    /// Lines, by the key that they stand under.
    lines: BTreeMap<String, Vec<Value>>,
    /// Answers without a line that should have one.
    unlisted: u64,
}

async fn log(bank: &Bank) -> Log {
    bank.world.site.running.flush_decisions().await.unwrap();
    let mut log = Log::default();
    let found = events(&bank.world.owner, world::ACME, "action = \"decision.log\"").await;
    for event in found.iter().rev() {
        assert_eq!((event.actor.as_str(), event.targets[0].as_str()), ("system", world::ACME));
        let entry: Value = serde_json::from_str(&event.entry).unwrap();
        assert_eq!(entry["cls"], "decision");
        assert!(event.entry.len() <= 32 * 1024, "{}", event.entry.len());
        let mut acts = 0;
        for change in &event.changes {
            let value: Value = serde_json::from_str(&change.new_value).unwrap();
            let counts = match change.field.as_str() {
                "/answered" => &mut log.answered,
                "/listed" => &mut log.listed,
                "/unlisted" => {
                    log.unlisted += value.as_u64().unwrap();
                    continue;
                }
                lines => {
                    let lines = log.lines.entry(lines.trim_start_matches('/').to_owned()).or_default();
                    lines.extend(value.as_array().unwrap().iter().cloned());
                    continue;
                }
            };
            for (what, count) in serde_json::from_value::<BTreeMap<String, u64>>(value).unwrap() {
                acts += count;
                *counts.entry(what).or_default() += count;
            }
        }
        assert_eq!(entry["n"].as_u64().unwrap_or(1), acts.max(1));
    }
    log
}

impl Log {
    fn lines(&self, key: &str) -> &[Value] {
        self.lines.get(key).map_or(&[], Vec::as_slice)
    }

    /// How often each question was asked, by principal, plugin and reason.
    fn denied(&self) -> BTreeMap<(String, String, String), u64> {
        let mut denied = BTreeMap::new();
        for line in self.lines("denied") {
            let text = |key: &str| line[key].as_str().unwrap_or_default().to_owned();
            let key = (text("principal"), text("plugin"), text("reason"));
            *denied.entry(key).or_default() += line["count"].as_u64().unwrap();
        }
        denied
    }
}

/// What the log says of decisions: answers by reason, lines that forbid, lines that allow, and how many have none.
async fn logged(bank: &Bank) -> (BTreeMap<String, u64>, Vec<Value>, Vec<Value>, u64) {
    let log = log(bank).await;
    assert!(log.listed.is_empty(), "{log:?}");
    let lines = |key| log.lines(key).to_vec();
    (log.answered.clone(), lines("denied"), lines("allowed_sample"), log.unlisted)
}

fn counts<const N: usize>(counts: [(&str, u64); N]) -> BTreeMap<String, u64> {
    counts.map(|(what, count)| (what.to_owned(), count)).into()
}

async fn list_usable(bank: &Bank, who: &str) -> usize {
    let principal = world::child(world::ACME, "principals", who);
    let request = ListUsableRequest { principal, ..Default::default() };
    let by = &bank.world.owner;
    let answer = DecisionServiceClient::new(by.channel.clone()).list_usable(by.ask(request)).await.unwrap();
    answer.into_inner().plugins.len()
}

async fn list_principals(bank: &Bank, plugin: &str) -> usize {
    let request = ListPrincipalsRequest {
        parent: world::ACME.to_owned(),
        plugin: plugin.to_owned(),
        ..Default::default()
    };
    let by = &bank.world.owner;
    let answer =
        DecisionServiceClient::new(by.channel.clone()).list_principals(by.ask(request)).await.unwrap();
    answer.into_inner().principals.len()
}

fn times(lines: &[Value]) -> u64 {
    lines.iter().map(|line| line["count"].as_u64().unwrap()).sum()
}

both_engines! {
    async fn every_no_is_a_line_and_every_answer_is_counted(site: Site) {
        let bank = Bank::open(site).await;
        let owner = &bank.world.owner;
        world::user(owner, world::ACME, "ann").await;
        bank.rule("may", "banker", Effect::Default).await;
        bank.rule("not-ann", "banker", Effect::Denied).await;
        for _ in 0..3 {
            check(owner, "maria", PLUGIN).await.unwrap();
        }
        check(owner, "ann", PLUGIN).await.unwrap();
        check(owner, "nobody", "marketplaces/vendor/plugins/none").await.unwrap();
        let (answered, denied, allowed, unlisted) = logged(&bank).await;
        let expected = [("EXPLICIT_DENY", 3), ("NO_MATCHING_RULE", 1), ("UNKNOWN_PRINCIPAL", 1)];
        assert_eq!(answered, BTreeMap::from(expected.map(|(reason, n)| (reason.to_owned(), n))));
        assert_eq!((times(&denied), allowed.len(), unlisted), (5, 0, 0));
        let of_maria: Vec<_> = denied.iter().filter(|line| line["principal"] == "maria").collect();
        assert_eq!(of_maria.iter().map(|line| line["count"].as_u64().unwrap()).sum::<u64>(), 3);
        assert_eq!(of_maria[0]["plugin"], PLUGIN);
        assert_eq!(of_maria[0]["reason"], "EXPLICIT_DENY");
        assert_eq!(of_maria[0]["entitlements"], serde_json::json!(named(&["not-ann"])));
        assert!(of_maria[0]["revision"].as_str().unwrap().contains('.'));
        // the first yes is of the sample, a hundred are counted
        bank.drop_rule("not-ann").await;
        for _ in 0..100 {
            assert!(check(owner, "maria", PLUGIN).await.unwrap().allowed);
        }
        let (answered, _, allowed, _) = logged(&bank).await;
        assert_eq!((answered["ALLOWED"], times(&allowed)), (100, 1));
        assert_eq!((&allowed[0]["principal"], &allowed[0]["reason"]), (&"maria".into(), &"ALLOWED".into()));
        let metrics = http::get(&format!("{}/metrics", bank.world.site.running.url())).await.text();
        let line = metrics.lines().find(|line| line.starts_with("provost_decision_answered") && line.contains("\"ALLOWED\""));
        assert!(line.unwrap().ends_with(" 100"), "{line:?}");
    }

    async fn a_no_over_authzen_is_the_line_that_it_is_over_check(site: Site) {
        let bank = Bank::open(site).await;
        bank.rule("not", "banker", Effect::Denied).await;
        let owner = &bank.world.owner;
        let asker = Asker { url: bank.world.site.running.url(), secret: owner.secret.clone() };
        check(owner, "maria", PLUGIN).await.unwrap();
        check(owner, "nobody", OTHER).await.unwrap();
        let resource = |id: &str| json!({"resource": {"type": "plugin", "id": id}});
        let mut batch = may("maria", "vendor/kit");
        batch["evaluations"] = json!([{}, resource("vendor/other"), {"subject": {"type": "user", "id": "nobody"}, "resource": resource("vendor/other")["resource"]}]);
        asker.ask("evaluation", &may("maria", "vendor/kit")).await;
        asker.ask("evaluations", &batch).await;
        asker.ask("evaluations", &may("nobody", "vendor/other")).await;
        let mut acts = may("maria", "vendor/kit");
        acts.as_object_mut().unwrap().remove("action");
        asker.ask("search/action", &acts).await;
        // what comes after the first no is not asked
        batch["options"] = json!({"evaluations_semantic": "deny_on_first_deny"});
        asker.ask("evaluations", &batch).await;
        let log = log(&bank).await;
        let line = |who: &str, plugin: &str, why: &str| (who.to_owned(), plugin.to_owned(), why.to_owned());
        let expected = [
            (line("maria", PLUGIN, "EXPLICIT_DENY"), 5),
            (line("maria", OTHER, "NO_MATCHING_RULE"), 1),
            (line("nobody", OTHER, "UNKNOWN_PRINCIPAL"), 3),
        ];
        assert_eq!(log.denied(), BTreeMap::from(expected));
        assert_eq!(log.answered, counts([("EXPLICIT_DENY", 5), ("NO_MATCHING_RULE", 1), ("UNKNOWN_PRINCIPAL", 3)]));
        let of_kit: Vec<_> = log.lines("denied").iter().filter(|line| line["plugin"] == PLUGIN).collect();
        assert!(of_kit.iter().all(|line| line["entitlements"] == json!(named(&["not"])) && line["revision"] == of_kit[0]["revision"]), "{of_kit:?}");
        assert_eq!(log.unlisted, 0);
    }

    async fn what_authzen_says_no_to_by_itself_is_on_the_record_without_words_of_the_caller(site: Site) {
        let bank = Bank::open(site).await;
        bank.rule("may", "banker", Effect::Default).await;
        let owner = &bank.world.owner;
        let asker = Asker { url: bank.world.site.running.url(), secret: owner.secret.clone() };
        let asked = |pointer: &str, value: &str| {
            let mut request = may("maria", "vendor/kit");
            *request.pointer_mut(pointer).unwrap() = json!(value);
            request
        };
        for request in [
            asked("/action/name", "delete"),
            asked("/subject/type", "agent"),
            asked("/resource/type", "document"),
            asked("/subject/id", "maria@acme.example"),
            asked("/resource/id", "vendor/Über uns"),
        ] {
            assert_eq!(asker.ask("evaluation", &request).await, json!({"decision": false}), "{request}");
        }
        let mut batch = may("maria", "vendor/kit");
        batch["evaluations"] = json!([{}, {"subject": {"type": "user"}}, {"action": {"name": 1}}]);
        asker.ask("evaluations", &batch).await;
        let log = log(&bank).await;
        let line = |who: &str, plugin: &str, why: &str| (who.to_owned(), plugin.to_owned(), why.to_owned());
        let expected = [
            (line("maria", PLUGIN, "UNKNOWN_ACTION"), 1),
            (line("maria", PLUGIN, "UNKNOWN_PRINCIPAL"), 1),
            (line("maria", "", "UNKNOWN_PLUGIN"), 2),
            (line("", PLUGIN, "UNKNOWN_PRINCIPAL"), 1),
            (line("", "", "INCOMPLETE"), 2),
        ];
        assert_eq!(log.denied(), BTreeMap::from(expected));
        let answered = [("ALLOWED", 1), ("INCOMPLETE", 2), ("UNKNOWN_ACTION", 1), ("UNKNOWN_PLUGIN", 2), ("UNKNOWN_PRINCIPAL", 2)];
        assert_eq!(log.answered, counts(answered));
        let all = format!("{log:?}");
        assert!(!all.contains("example") && !all.contains("uns"), "{all}");
        let metrics = http::get(&format!("{}/metrics", asker.url)).await.text();
        let line = metrics.lines().find(|line| line.starts_with("provost_decision_answered") && line.contains("\"UNKNOWN_ACTION\""));
        assert!(line.unwrap().ends_with(" 1"), "{line:?}");
    }

    async fn lists_are_counted_and_those_that_nothing_is_on_are_lines(site: Site) {
        let bank = Bank::open(site).await;
        bank.rule("may", "banker", Effect::Default).await;
        let owner = &bank.world.owner;
        world::user(owner, world::ACME, "paul").await;
        let asker = Asker { url: bank.world.site.running.url(), secret: owner.secret.clone() };
        assert_eq!(list_usable(&bank, "maria").await, 1);
        assert_eq!(list_usable(&bank, "paul").await, 0);
        assert_eq!(list_usable(&bank, "nobody").await, 0);
        assert_eq!(list_principals(&bank, PLUGIN).await, 1);
        assert_eq!(list_principals(&bank, OTHER).await, 0);
        for (path, body) in [
            ("search/resource", may("maria", "ignored")),
            ("search/resource", may("paul", "ignored")),
            ("search/subject", may("ignored", "vendor/kit")),
            ("search/subject", may("ignored", "vendor/none")),
        ] {
            asker.ask(path, &body).await;
        }
        let mut other = may("maria", "ignored");
        other["resource"]["type"] = json!("document");
        asker.ask("search/resource", &other).await;
        let log = log(&bank).await;
        assert_eq!(log.listed, counts([("other", 1), ("plugins", 5), ("principals", 4)]));
        assert!(log.answered.is_empty() && log.lines("denied").is_empty(), "{log:?}");
        let mut nothing = BTreeMap::<_, u64>::new();
        for line in log.lines("listed_nothing") {
            assert_eq!(line["found"], 0);
            let text = |key: &str| line[key].as_str().unwrap_or_default();
            let key = format!("{} {}{} {}", text("list"), text("principal"), text("plugin"), text("reason"));
            *nothing.entry(key).or_default() += line["count"].as_u64().unwrap();
        }
        let none_of_other = format!("principals {OTHER} ");
        let expected = [
            ("other maria UNKNOWN_PLUGIN", 1),
            ("plugins nobody UNKNOWN_PRINCIPAL", 1),
            // that is for the rules to say
            ("plugins paul ", 2),
            ("principals marketplaces/vendor/plugins/none UNKNOWN_PLUGIN", 1),
            (none_of_other.as_str(), 1),
        ];
        assert_eq!(nothing, counts(expected));
        let sample: u64 = log.lines("listed_sample").iter().map(|line| {
            assert_eq!(line["found"], 1);
            line["count"].as_u64().unwrap()
        }).sum();
        assert_eq!(sample, 2, "the first of each");
        let metrics = http::get(&format!("{}/metrics", asker.url)).await.text();
        let line = metrics.lines().find(|line| line.starts_with("provost_decision_listed") && line.contains("\"plugins\""));
        assert!(line.unwrap().ends_with(" 5"), "{line:?}");
    }

    async fn what_authzen_and_lists_answer_casbin_answers_alike(site: Site) {
        let bank = Bank::open(site).await;
        stock(&bank.world.admin, &bank.world.owner).await;
        let owner = &bank.world.owner;
        world::user(owner, world::ACME, "paul").await;
        staff::agent(owner, "bot", "maria").await;
        staff::give(owner, "banker", "principals/bot").await;
        bank.add("not-write", rule("*", &format!("{PLUGIN}/skills/write"), Effect::Denied)).await.unwrap();
        let asker = Asker { url: bank.world.site.running.url(), secret: owner.secret.clone() };
        let site = &bank.world.site;
        let principal = |who: &str, kind: &str| {
            let mut request = may(who, "vendor/kit");
            request["subject"]["type"] = json!("principal");
            request["resource"]["type"] = json!(kind);
            request
        };
        let mut asked = 0;
        for who in ["maria", "paul", "bot"] {
            for kind in ["plugin", "skill"] {
                asker.ask("search/resource", &principal(who, kind)).await;
            }
            asker.ask("evaluation", &principal(who, "plugin")).await;
            asker.ask("search/subject", &principal(who, "plugin")).await;
            list_usable(&bank, who).await;
            list_principals(&bank, &format!("{PLUGIN}/skills/write")).await;
            asked += 6;
            let until = tokio::time::timeout(std::time::Duration::from_secs(60), async {
                while compared(site).await < asked {
                    tokio::task::yield_now().await;
                }
            });
            until.await.unwrap();
        }
        assert_eq!(shadowed(site, "same").await, 18);
        for outcome in ["different", "failed", "skipped"] {
            assert_eq!(shadowed(site, outcome).await, 0, "{outcome}");
        }
    }

    async fn more_than_one_event_holds_is_written_as_several_and_nothing_is_lost(site: Site) {
        let bank = Bank::open(site).await;
        let owner = &bank.world.owner;
        let items = |from: usize| -> Vec<Value> {
            (from..from + 1_000).map(|n| serde_json::json!({
                "principal": world::child(world::ACME, "principals", &format!("nobody-{n}")),
                "plugin": format!("{PLUGIN}/apps/{}", "k".repeat(n % 700)).trim_end_matches("/apps/"),
            })).collect()
        };
        for from in [0, 1_000] {
            let request = serde_json::json!({"parent": world::ACME, "items": items(from)});
            tests::raw::json(owner, "provost.decision.v1.DecisionService/BatchCheck", request).await.unwrap();
        }
        let (answered, denied, _, unlisted) = logged(&bank).await;
        assert_eq!((answered["UNKNOWN_PRINCIPAL"], times(&denied), unlisted), (2_000, 2_000, 0));
        assert!(denied.iter().all(|line| line["plugin"].as_str().unwrap().chars().count() <= 512));
    }

    async fn a_flood_leaves_a_count_of_what_was_not_written_down(site: Site) {
        let bank = Bank::open(site).await;
        let owner = &bank.world.owner;
        for batch in 0..12 {
            let items: Vec<_> = (0..1_000).map(|n| serde_json::json!({
                "principal": world::child(world::ACME, "principals", &format!("n{batch}-{n}")), "plugin": PLUGIN,
            })).collect();
            let request = serde_json::json!({"parent": world::ACME, "items": items});
            tests::raw::json(owner, "provost.decision.v1.DecisionService/BatchCheck", request).await.unwrap();
        }
        let (answered, denied, _, unlisted) = logged(&bank).await;
        assert_eq!(answered["UNKNOWN_PRINCIPAL"], 12_000, "counted, whatever was written down");
        assert_eq!(times(&denied) + unlisted, 12_000);
    }

    async fn what_was_decided_before_the_server_stops_is_on_the_record(site: Site) {
        let bank = Bank::open(site).await;
        let owner = bank.world.owner.secret.clone();
        check(&bank.world.owner, "maria", PLUGIN).await.unwrap();
        let World { site, .. } = bank.world;
        let (engine, dir, url, clock) = site.stop().await;
        let again = Site::on(engine, dir, url, clock, &[]).await;
        let owner = again.caller(&owner);
        let found = events(&owner, world::ACME, "action = \"decision.log\"").await;
        assert!(found.iter().any(|event| event.entry.contains("NO_MATCHING_RULE")), "{found:?}");
        again.stop().await;
    }
}

/// A sample of all, or of none, as it is configured.
#[tokio::test]
async fn the_sample_is_as_large_as_it_is_set() {
    for (sample, lines) in [("0", 0), ("1000", 5), ("400", 2)] {
        let setting = [("decision.allow_sample_per_mille", sample.to_owned())];
        let site = Site::start_with(tests::Engine::Sqlite, &setting).await;
        let bank = Bank::open(site).await;
        bank.rule("may", "banker", Effect::Default).await;
        for _ in 0..5 {
            assert!(check(&bank.world.owner, "maria", PLUGIN).await.unwrap().allowed);
        }
        let (answered, _, allowed, _) = logged(&bank).await;
        assert_eq!((answered["ALLOWED"], times(&allowed)), (5, lines), "{sample}");
    }
}
