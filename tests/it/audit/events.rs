//! Every act is on the record, in the transaction of the change.

use proto::{
    audit::v1::{self as pb, AuditEvent, Outcome, audit_service_client::AuditServiceClient},
    role::v1::{self as role, role_service_client::RoleServiceClient},
};
use tests::{World, both_engines, site::Caller, world};
use tonic::Code;

/// All events of a log that pass a filter, newest first; without one, everything but the reading of the log itself and the
/// decisions, which come when a second is over.
pub async fn events(by: &Caller, parent: &str, filter: &str) -> Vec<AuditEvent> {
    match filter {
        "" => everything(by, parent, "NOT event_class = audit_read AND NOT event_class = decision").await,
        filter => everything(by, parent, filter).await,
    }
}

async fn everything(by: &Caller, parent: &str, filter: &str) -> Vec<AuditEvent> {
    let mut client = AuditServiceClient::new(by.channel.clone());
    let (mut all, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = pb::ListAuditEventsRequest {
            parent: parent.to_owned(),
            page_size: 1_000,
            filter: filter.to_owned(),
            page_token,
            ..Default::default()
        };
        let page = client.list_audit_events(by.ask(request)).await.unwrap().into_inner();
        all.extend(page.audit_events);
        if page.next_page_token.is_empty() {
            return all;
        }
        page_token = page.next_page_token;
    }
}

both_engines! {
    async fn address_class_and_delegation_are_fields_of_the_filter(site: Site) {
        let world = World::build(site).await;
        world.role("banker").await;
        let found = |filter: &'static str| {
            let owner = world.owner.clone();
            async move { events(&owner, world::ACME, &format!("action = role.create AND {filter}")).await.len() }
        };
        for (filter, count) in [
            ("class = admin_write", 1),
            ("event_class = admin_write", 1),
            ("class = auth", 0),
            ("ip = \"127.0.0.1\"", 1),
            ("ip != \"127.0.0.1\"", 0),
            ("ip = \"127.0.0.2\"", 0),
            ("delegation = \"\"", 1),
            ("delegation:*", 0),
        ] {
            assert_eq!(found(filter).await, count, "{filter}");
        }
    }

    async fn a_change_is_recorded_with_who_what_and_the_difference(site: Site) {
        let world = World::build(site).await;
        let role = world.role("banker").await;
        let mut client = RoleServiceClient::new(world.owner.channel.clone());
        let change = role::UpdateRoleRequest {
            role: Some(role::Role { name: role.name.clone(), display_name: "Bankers".to_owned(), ..Default::default() }),
            ..Default::default()
        };
        let answer = client.update_role(world.owner.ask(change)).await.unwrap();
        let id = answer.metadata().get("provost-audit-event").unwrap().to_str().unwrap().to_owned();
        let found = events(&world.owner, world::ACME, "action = \"role.update\"").await;
        assert_eq!(found.len(), 1);
        let event = &found[0];
        assert_eq!(event.name, format!("tenants/acme/auditEvents/{id}"));
        assert_eq!((event.actor.as_str(), event.outcome()), ("tenants/acme/principals/owner", Outcome::Ok));
        assert_eq!(event.targets, [role.name]);
        let changed = event.changes.iter().find(|c| c.field == "/display_name").unwrap();
        assert_eq!((changed.old_value.as_str(), changed.new_value.as_str()), ("\"A role\"", "\"Bankers\""));
        assert!(event.changes.iter().all(|c| c.field != "/description"), "unchanged fields are not listed");
        // the recorded bytes are canonical: what a parser and a canonicaliser make of them again
        let value: serde_json::Value = serde_json::from_str(&event.entry).unwrap();
        assert_eq!(value["act"], "role.update");
        assert_eq!(value["id"].as_str(), Some(id.as_str()));
    }

    async fn a_denial_is_recorded_before_it_is_returned(site: Site) {
        let world = World::build(site).await;
        let refused = world::create_role(&world.holders["finance"], "banker", "x").await.unwrap_err();
        assert_eq!(refused.code(), Code::PermissionDenied);
        let found = events(&world.owner, world::ACME, "outcome = denied").await;
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].action.as_str(), found[0].actor.as_str()), ("role.create", "tenants/acme/principals/finance"));
    }

    async fn a_strangers_probe_is_on_the_platforms_log_and_not_in_the_client(site: Site) {
        let world = World::build(site).await;
        let before = events(&world.owner, world::ACME, "").await.len();
        assert_eq!(world::create_role(&world.stranger, "banker", "x").await.unwrap_err().code(), Code::NotFound);
        assert_eq!(events(&world.owner, world::ACME, "").await.len(), before);
        let found = events(&world.admin, "", "outcome = denied").await;
        assert_eq!(found[0].actor, "tenants/globex/principals/owner");
    }

    async fn a_partners_act_is_in_both_logs_under_one_id(site: Site) {
        let world = World::build(site).await;
        world::create_role(&world.consultant, "banker", "Banker").await.unwrap();
        let filter = "action = \"role.create\"";
        let client = events(&world.owner, world::ACME, filter).await;
        let partner = events(&world.holders["partner_admin"], world::NORTHWIND, filter).await;
        assert_eq!(client.len(), 1);
        assert_eq!(client[0].partner, "partners/northwind");
        assert_eq!(partner.len(), 1);
        assert_eq!(client[0].entry, partner[0].entry);
        // an act of the client's own stays with the client
        world::create_role(&world.owner, "trader", "Trader").await.unwrap();
        assert_eq!(events(&world.holders["partner_admin"], world::NORTHWIND, filter).await.len(), 1);
    }

    async fn names_and_addresses_of_people_are_sealed_in_the_record_and_open_for_its_readers(site: Site) {
        let world = World::build(site).await;
        let new = proto::principal::v1::Principal {
            kind: proto::principal::v1::PrincipalKind::User.into(),
            display_name: "Zebedee Quux".to_owned(),
            email: "zebedee@acme.example".to_owned(),
            ..Default::default()
        };
        world::principal(&world.owner, world::ACME, "zq", new).await.unwrap();
        let found = events(&world.owner, world::ACME, "target = \"tenants/acme/principals/zq\"").await;
        assert_eq!(found.len(), 1);
        assert!(!found[0].entry.contains("Zebedee") && !found[0].entry.contains("zebedee@"), "{}", found[0].entry);
        assert!(found[0].entry.contains("\"$s\""));
        let opened = |field: &str| found[0].changes.iter().find(|c| c.field == field).unwrap().new_value.clone();
        assert_eq!((opened("/display_name").as_str(), opened("/email").as_str()), ("\"Zebedee Quux\"", "\"zebedee@acme.example\""));
    }

    async fn where_an_act_came_from_is_on_the_record_for_its_readers_only(site: Site) {
        let world = World::build(site).await;
        world.role("banker").await;
        let found = events(&world.owner, world::ACME, "action = \"role.create\"").await;
        assert_eq!(found[0].ip, "127.0.0.1");
        assert!(found[0].user_agent.starts_with("tonic/"), "{}", found[0].user_agent);
        assert!(!found[0].entry.contains("127.0.0.1") && !found[0].entry.contains("tonic/"), "{}", found[0].entry);
    }

    async fn an_events_place_and_leaf_are_those_of_its_bytes(site: Site) {
        let world = World::build(site).await;
        for n in 0..5 {
            world.role(&format!("r-{n}")).await;
        }
        let found = everything(&world.owner, world::ACME, "").await;
        let indexes: Vec<_> = found.iter().map(|e| e.index).collect();
        let newest = indexes[0];
        assert_eq!(indexes, (0..=newest).rev().collect::<Vec<_>>());
        assert!(found.iter().all(|e| e.leaf_hash == tlog::leaf_hash(e.entry.as_bytes()).as_bytes()));
    }

    async fn reading_the_record_is_on_the_record_once_for_a_burst(site: Site) {
        let world = World::build(site).await;
        let compliance = &world.holders["compliance"];
        let reads = async || {
            events(&world.owner, world::ACME, "event_class = \"audit_read\" AND actor = \"tenants/acme/principals/compliance\"").await
        };
        for _ in 0..5 {
            events(compliance, world::ACME, "action = \"role.create\"").await;
        }
        let first = reads().await;
        assert_eq!(first.len(), 1, "the first of a burst is on the record before its answer leaves");
        assert!(!first[0].entry.contains("role.create"), "what was searched for is sealed");
        world.site.advance(std::time::Duration::from_secs(61));
        events(compliance, world::ACME, "action = \"role.create\"").await;
        let later = reads().await;
        assert_eq!(later.iter().map(|e| e.count).sum::<i64>(), 6, "{later:?}");
        assert!(later.len() <= 3);
    }

    async fn finance_sees_no_audit_and_compliance_does(site: Site) {
        let world = World::build(site).await;
        let request = pb::ListAuditEventsRequest { parent: world::ACME.to_owned(), ..Default::default() };
        let mut client = AuditServiceClient::new(world.owner.channel.clone());
        let refused = client.list_audit_events(world.holders["finance"].ask(request.clone())).await.unwrap_err();
        assert_eq!(refused.code(), Code::PermissionDenied);
        client.list_audit_events(world.holders["compliance"].ask(request)).await.unwrap();
    }
}
