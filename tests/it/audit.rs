//! Every act is on the record, in the transaction of the change.

use proto::{
    audit::v1::{self as pb, AuditEvent, Outcome, audit_service_client::AuditServiceClient},
    role::v1::{self as role, role_service_client::RoleServiceClient},
};
use tests::{World, both_engines, site::Caller, world};
use tonic::Code;

/// All events of a log that pass a filter, newest first.
pub async fn events(by: &Caller, parent: &str, filter: &str) -> Vec<AuditEvent> {
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

    async fn names_and_addresses_of_people_are_not_in_the_record(site: Site) {
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
        assert!(found[0].entry.contains("\"$h\""));
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
