//! Who may correct, what of it is on the record, and what the command line says first.

use proto::usage::v1 as pb;
use tests::both_engines;
use tonic::Code;

use super::{Client, amend, amendment, bench::Bench, code, revert, seq, void};
use crate::audit::events;

both_engines! {
    async fn finance_and_the_owner_correct_and_others_look(site: Site) {
        let mut bench = Bench::open(site).await;
        bench.ingest(4).await;
        let holders = &bench.desk.world.holders;
        let refused = (Code::PermissionDenied, "DUTY_MISSING".to_owned());
        for duty in ["admin", "compliance", "approver", "member", "consultant", "partner_admin"] {
            assert_eq!(code(void(&holders[duty], vec![seq(bench.facts[0].seq)], "x").await), refused, "{duty}");
        }
        let made = void(&holders["finance"], vec![seq(bench.facts[0].seq)], "x").await.unwrap();
        assert_eq!(made.actor, "tenants/acme/principals/finance");
        for (duty, may) in [("finance", true), ("compliance", true), ("admin", true), ("consultant", true), ("member", false), ("approver", false)] {
            let by = &holders[duty];
            let request = pb::GetUsageCorrectionRequest { name: made.name.clone() };
            let got = Client::new(by.channel.clone()).get_usage_correction(by.ask(request)).await;
            assert_eq!(got.is_ok(), may, "{duty}");
        }
        let request = pb::ListUsageCorrectionsRequest {
            parent: tests::world::ACME.to_owned(),
            filter: "kind = void AND state = committed".to_owned(),
            ..Default::default()
        };
        let by = &holders["compliance"];
        let page = Client::new(by.channel.clone()).list_usage_corrections(by.ask(request)).await.unwrap().into_inner();
        assert_eq!(page.usage_corrections, [made]);
    }

    async fn the_record_says_who_corrected_what_and_why(site: Site) {
        let mut bench = Bench::open(site).await;
        bench.ingest(4).await;
        let (owner, finance) = (bench.owner(), bench.desk.world.holders["finance"].clone());
        let (one, two) = (bench.facts[0].seq, bench.facts[1].seq);
        let made = void(&finance, vec![seq(one), seq(two)], "sent by a load test").await.unwrap();
        amend(&finance, vec![amendment(seq(bench.facts[2].seq), "8")]).await.unwrap();
        revert(&owner, &made.name).await.unwrap();
        // a dry run leaves nothing
        let dry = pb::VoidUsageEventsRequest {
            parent: tests::world::ACME.to_owned(),
            events: vec![seq(one)],
            reason: "x".to_owned(),
            validate_only: true,
            ..Default::default()
        };
        let would = Client::new(owner.channel.clone()).void_usage_events(owner.ask(dry)).await.unwrap().into_inner();
        assert_eq!(would.taken_count, 1);
        let found = events(&owner, tests::world::ACME, "action = usage_correction.*").await;
        let told: Vec<_> = found.iter().rev().map(|e| (e.action.as_str(), e.actor.as_str(), e.event_class.as_str())).collect();
        let (by_finance, by_owner) = ("tenants/acme/principals/finance", "tenants/acme/principals/owner");
        assert_eq!(told, [
            ("usage_correction.void", by_finance, "admin_write"),
            ("usage_correction.amend", by_finance, "admin_write"),
            ("usage_correction.revert", by_owner, "admin_write"),
        ]);
        let first = found.last().unwrap();
        assert!(first.targets.iter().any(|t| t.contains(&made.name)), "{:?}", first.targets);
        let value = |field: &str| first.changes.iter().find(|c| c.field == format!("/{field}")).map(|c| c.new_value.clone()).unwrap_or_default();
        assert_eq!(value("reason"), "\"sent by a load test\"");
        assert_eq!(value("events"), format!("[{one},{two}]"));
        assert_eq!(value("taken_count"), "2");
        assert!(value("effects").contains("tokens.output"), "{first:?}");
        assert!(!first.entry.contains("load test"), "the reason is sealed: {}", first.entry);
        let last = &found[0];
        let state = last.changes.iter().find(|c| c.field == "/state").unwrap();
        assert_eq!((state.old_value.as_str(), state.new_value.as_str()), ("\"COMMITTED\"", "\"REVERTED\""));
    }
}
