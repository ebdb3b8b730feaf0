//! Every no is on the record, and the number of all answers.

use std::collections::BTreeMap;

use proto::entitlement::v1::Effect;
use serde_json::Value;
use tests::{Site, World, both_engines, http, world};

use super::{Bank, PLUGIN, check, named};
use crate::audit::events;

/// All that the log says of decisions: answers by reason, lines that forbid, lines that allow, and how many have none.
async fn logged(bank: &Bank) -> (BTreeMap<String, u64>, Vec<Value>, Vec<Value>, u64) {
    bank.world.site.running.flush_decisions().await.unwrap();
    let (mut answered, mut denied, mut allowed, mut unlisted) = (BTreeMap::new(), Vec::new(), Vec::new(), 0);
    let found = events(&bank.world.owner, world::ACME, "action = \"decision.log\"").await;
    for event in found.iter().rev() {
        assert_eq!((event.actor.as_str(), event.targets[0].as_str()), ("system", world::ACME));
        let entry: Value = serde_json::from_str(&event.entry).unwrap();
        assert_eq!(entry["cls"], "decision");
        assert!(event.entry.len() <= 32 * 1024, "{}", event.entry.len());
        for change in &event.changes {
            let value: Value = serde_json::from_str(&change.new_value).unwrap();
            match change.field.as_str() {
                "/answered" => {
                    let counts: BTreeMap<String, u64> = serde_json::from_value(value).unwrap();
                    assert_eq!(entry["n"].as_u64().unwrap_or(1), counts.values().sum::<u64>());
                    for (reason, count) in counts {
                        *answered.entry(reason).or_default() += count;
                    }
                }
                "/denied" => denied.extend(value.as_array().unwrap().iter().cloned()),
                "/allowed_sample" => allowed.extend(value.as_array().unwrap().iter().cloned()),
                "/unlisted" => unlisted += value.as_u64().unwrap(),
                other => panic!("{other}"),
            }
        }
    }
    (answered, denied, allowed, unlisted)
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
