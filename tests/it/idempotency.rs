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

    async fn after_a_day_a_request_id_is_forgotten_and_its_row_goes(site: Site) {
        let world = World::build(site).await;
        let mut token = world::token_of(world::ACME, "owner", proto::token::v1::TokenKind::Personal);
        let end = world.site.kernel().clock.now().plus(Duration::from_hours(72));
        token.expire_time = Some(end.into());
        let secret = world::create_token(&world.owner, world::ACME, token).await.unwrap().secret;
        let owner = world.site.caller(&secret);
        let other = "0197f0a0-0000-7000-8000-000000000003";
        let mut client = RoleServiceClient::new(owner.channel.clone());
        for (id, request_id) in [("banker", ID), ("trader", other)] {
            client.create_role(owner.ask(create(id, "x", request_id))).await.unwrap();
        }
        world.site.advance(Duration::from_hours(24));
        // the id is free for another request, whose result takes the place of the first
        client.create_role(owner.ask(create("analyst", "Analyst", ID))).await.unwrap();
        assert!(world.site.dump(&["request_result"]).await.contains(other));
        // the job runs at the start and then now and then
        let (engine, dir, url, clock) = world.site.stop().await;
        let site = tests::Site::on(engine, dir, url, clock, &[]).await;
        let gone = async { while site.dump(&["request_result"]).await.contains(other) {} };
        tokio::time::timeout(Duration::from_mins(1), gone).await.expect("the old row is deleted");
        assert!(site.dump(&["request_result"]).await.contains(ID), "what is younger than a day stays");
    }

    async fn a_refused_probe_with_a_request_id_is_recorded_once(site: Site) {
        let world = World::build(site).await;
        let mut client = RoleServiceClient::new(world.owner.channel.clone());
        let denied = async |log: &str| events(&world.admin, log, "outcome = denied").await.len();
        let before = denied("").await;
        let refused = client.create_role(world.stranger.ask(create("banker", "Banker", ID))).await.unwrap_err();
        assert_eq!(refused.code(), Code::NotFound);
        assert_eq!(denied("").await, before + 1);
        let refused = client.create_role(world.holders["finance"].ask(create("banker", "Banker", ID))).await.unwrap_err();
        assert_eq!(refused.code(), Code::PermissionDenied);
        assert_eq!(denied(world::ACME).await, 1);
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
