//! request_id, validate_only, and what they leave behind.

use std::time::Duration;

use proto::role::v1::{self as role, role_service_client::RoleServiceClient};
use tests::{World, both_engines, world};
use tonic::Code;

use crate::{audit::events, errors::reason};

const ID: &str = "0197f0a0-0000-7000-8000-000000000001";

fn create(id: &str, name: &str, request_id: &str) -> role::CreateRoleRequest {
    role::CreateRoleRequest {
        parent: world::ACME.to_owned(),
        role_id: id.to_owned(),
        role: Some(role::Role { display_name: name.to_owned(), ..Default::default() }),
        request_id: request_id.to_owned(),
        validate_only: false,
    }
}

both_engines! {
    async fn a_retry_with_the_same_request_id_returns_the_first_result(site: Site) {
        let world = World::build(site).await;
        let mut client = RoleServiceClient::new(world.owner.channel.clone());
        let first = client.create_role(world.owner.ask(create("banker", "Banker", ID))).await.unwrap().into_inner();
        world.site.advance(Duration::from_mins(5));
        let again = client.create_role(world.owner.ask(create("banker", "Banker", ID))).await.unwrap().into_inner();
        assert_eq!(first, again);
        let created = events(&world.owner, world::ACME, "action = \"role.create\"").await;
        assert_eq!(created.len(), 1);
        assert_eq!(created[0].request_id, ID);
    }

    async fn a_request_id_with_another_payload_is_refused(site: Site) {
        let world = World::build(site).await;
        let mut client = RoleServiceClient::new(world.owner.channel.clone());
        client.create_role(world.owner.ask(create("banker", "Banker", ID))).await.unwrap();
        let refused = client.create_role(world.owner.ask(create("trader", "Trader", ID))).await.unwrap_err();
        assert_eq!((refused.code(), reason(&refused).as_str()), (Code::AlreadyExists, "REQUEST_ID_REUSED"));
        let name = "tenants/acme/roles/trader".to_owned();
        let missing = client.get_role(world.owner.ask(role::GetRoleRequest { name })).await.unwrap_err();
        assert_eq!(missing.code(), Code::NotFound);
    }

    async fn a_request_id_is_remembered_for_a_day(site: Site) {
        let world = World::build(site).await;
        let mut client = RoleServiceClient::new(world.consultant.channel.clone());
        client.create_role(world.owner.ask(create("banker", "Banker", ID))).await.unwrap();
        world.site.advance(Duration::from_hours(23));
        let refused = client.create_role(world.owner.ask(create("trader", "Trader", ID))).await.unwrap_err();
        assert_eq!(reason(&refused), "REQUEST_ID_REUSED");
    }

    async fn a_malformed_request_id_is_refused(site: Site) {
        let world = World::build(site).await;
        let mut client = RoleServiceClient::new(world.owner.channel.clone());
        let refused = client.create_role(world.owner.ask(create("banker", "Banker", "once"))).await.unwrap_err();
        assert_eq!((refused.code(), reason(&refused).as_str()), (Code::InvalidArgument, "INVALID_FIELD"));
    }

    async fn concurrent_retries_create_one_role_and_agree_on_it(site: Site) {
        let world = World::build(site).await;
        let calls = (0..16).map(|_| {
            let owner = world.owner.clone();
            tokio::spawn(async move {
                let mut client = RoleServiceClient::new(owner.channel.clone());
                client.create_role(owner.ask(create("banker", "Banker", ID))).await.map(|r| r.into_inner().uid)
            })
        });
        let mut uids = Vec::new();
        for call in calls.collect::<Vec<_>>() {
            uids.push(call.await.unwrap().unwrap());
        }
        uids.dedup();
        assert_eq!(uids.len(), 1);
        assert_eq!(events(&world.owner, world::ACME, "action = \"role.create\"").await.len(), 1);
    }

    async fn validate_only_runs_every_check_and_changes_nothing(site: Site) {
        let world = World::build(site).await;
        let mut client = RoleServiceClient::new(world.owner.channel.clone());
        let before = events(&world.owner, world::ACME, "").await.len();
        let dry = |id: &str| role::CreateRoleRequest { validate_only: true, ..create(id, "Banker", "") };
        let shown = client.create_role(world.owner.ask(dry("banker"))).await.unwrap();
        assert!(shown.metadata().get("provost-audit-event").is_none());
        assert_eq!(shown.into_inner().name, "tenants/acme/roles/banker");
        let refused = client.create_role(world.holders["finance"].ask(dry("banker"))).await.unwrap_err();
        assert_eq!(refused.code(), Code::PermissionDenied);
        // the id is still free, and taken ids are found out in a dry run too
        world.role("banker").await;
        assert_eq!(client.create_role(world.owner.ask(dry("banker"))).await.unwrap_err().code(), Code::AlreadyExists);
        // one for the denial, one for the real creation
        assert_eq!(events(&world.owner, world::ACME, "").await.len(), before + 2);
    }
}
