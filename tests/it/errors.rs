//! Bad input gets the documented error and changes nothing.

use proto::role::v1::{self as role, role_service_client::RoleServiceClient};
use tests::{World, both_engines, world};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

/// The reason that travels in ErrorInfo; every error has one.
pub fn reason(status: &Status) -> String {
    let info = status.get_error_details().error_info().cloned();
    let info = info.unwrap_or_else(|| panic!("no ErrorInfo in {status:?}"));
    assert_eq!(info.domain, "provost.dev");
    info.reason
}

both_engines! {
    async fn stale_etag_is_aborted(site: Site) {
        let world = World::build(site).await;
        let mut client = RoleServiceClient::new(world.owner.channel.clone());
        let first = world.role("banker").await;
        let change = |etag: &str, name: &str| role::UpdateRoleRequest {
            role: Some(role::Role {
                name: first.name.clone(),
                display_name: name.to_owned(),
                etag: etag.to_owned(),
                ..Default::default()
            }),
            ..Default::default()
        };
        let second = client.update_role(world.owner.ask(change(&first.etag, "Bankers"))).await.unwrap().into_inner();
        assert_ne!(first.etag, second.etag);
        let stale = client.update_role(world.owner.ask(change(&first.etag, "Lost"))).await.unwrap_err();
        assert_eq!((stale.code(), reason(&stale).as_str()), (Code::Aborted, "ETAG_STALE"));
        let now = client.get_role(world.owner.ask(role::GetRoleRequest { name: first.name })).await.unwrap();
        assert_eq!(now.into_inner().display_name, "Bankers");
    }

    async fn over_long_and_malformed_fields_are_named_together(site: Site) {
        let world = World::build(site).await;
        let long = "x".repeat(129);
        let request = role::CreateRoleRequest {
            parent: world::ACME.to_owned(),
            role_id: "banker".to_owned(),
            role: Some(role::Role { display_name: long, description: "y".repeat(1_025), ..Default::default() }),
            ..Default::default()
        };
        let mut client = RoleServiceClient::new(world.owner.channel.clone());
        let refused = client.create_role(world.owner.ask(request)).await.unwrap_err();
        assert_eq!((refused.code(), reason(&refused).as_str()), (Code::InvalidArgument, "INVALID_FIELD"));
        let details = refused.get_error_details();
        let fields: Vec<_> = details.bad_request().unwrap().field_violations.iter().map(|v| v.field.as_str()).collect();
        assert_eq!(fields, ["role.display_name", "role.description"]);
        for id in ["", "Banker", "1a", "a/b", "../x", &"a".repeat(64)] {
            let refused = world::create_role(&world.owner, id, "x").await.unwrap_err();
            assert_eq!((refused.code(), reason(&refused).as_str()), (Code::InvalidArgument, "INVALID_FIELD"), "{id}");
        }
    }

    async fn a_taken_id_stays_with_its_first_owner(site: Site) {
        let world = World::build(site).await;
        world.role("banker").await;
        let refused = world::create_role(&world.owner, "banker", "Other").await.unwrap_err();
        assert_eq!((refused.code(), reason(&refused).as_str()), (Code::AlreadyExists, "RESOURCE_EXISTS"));
        // deleted ids stay taken: an old name never means somebody new
        let mut client = RoleServiceClient::new(world.owner.channel.clone());
        let name = "tenants/acme/roles/banker".to_owned();
        client.delete_role(world.owner.ask(role::DeleteRoleRequest { name, ..Default::default() })).await.unwrap();
        assert_eq!(world::create_role(&world.owner, "banker", "x").await.unwrap_err().code(), Code::AlreadyExists);
    }

    async fn a_refused_duty_says_action_and_scope(site: Site) {
        let world = World::build(site).await;
        let refused = world::create_role(&world.holders["finance"], "banker", "x").await.unwrap_err();
        assert_eq!((refused.code(), reason(&refused).as_str()), (Code::PermissionDenied, "DUTY_MISSING"));
        let details = refused.get_error_details();
        let info = details.error_info().unwrap();
        assert_eq!(info.metadata["action"], "role.create");
        assert_eq!(info.metadata["scope"], "tenants/acme");
    }
}
