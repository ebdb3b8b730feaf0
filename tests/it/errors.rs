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

/// Sends bytes as a gRPC message and returns the status.
async fn sent(url: &str, rpc: &str, secret: &str, encoding: Option<&str>, frame: Vec<u8>) -> Status {
    let bearer = format!("Bearer {secret}");
    let mut headers =
        vec![("content-type", "application/grpc-web+proto"), ("authorization", bearer.as_str())];
    headers.extend(encoding.map(|e| ("grpc-encoding", e)));
    let answer = tests::http::send(http::Method::POST, &format!("{url}/{rpc}"), &headers, frame).await;
    Status::from_header_map(&answer.headers).unwrap_or_else(|| panic!("{}", answer.text()))
}

both_engines! {
    async fn bytes_that_are_no_message_and_methods_that_are_not_there_have_a_reason(site: Site) {
        const GET: &str = "provost.role.v1.RoleService/GetRole";
        let world = World::build(site).await;
        let (url, secret) = (world.site.running.url(), world.owner.secret.as_str());
        let frame = |body: &[u8]| [&[0, 0, 0, 0, u8::try_from(body.len()).unwrap()], body].concat();
        // a field whose length goes past the end; an impossible tag; text that is no UTF-8; a frame cut off; none at all
        for bytes in [frame(&[0x0a, 0x7f, b'x']), frame(&[0xff; 12]), frame(&[0x0a, 0x01, 0xff]), vec![0, 0, 0, 0, 9, 1], vec![], vec![7, 0, 0, 0, 0]] {
            let status = sent(&url, GET, secret, None, bytes.clone()).await;
            assert_eq!((status.code(), reason(&status).as_str()), (Code::InvalidArgument, "INVALID_MESSAGE"), "{bytes:?}: {status:?}");
        }
        for rpc in ["provost.role.v1.RoleService/ReadRole", "provost.none.v1.NoneService/Get"] {
            let status = sent(&url, rpc, secret, None, frame(&[])).await;
            assert_eq!((status.code(), reason(&status).as_str()), (Code::Unimplemented, "UNIMPLEMENTED"), "{rpc}: {status:?}");
            assert!(status.message().contains(rpc), "{}", status.message());
        }
        let status = sent(&url, GET, secret, Some("snappy"), vec![1, 0, 0, 0, 1, 0]).await;
        assert_eq!((status.code(), reason(&status).as_str()), (Code::Unimplemented, "UNIMPLEMENTED"), "{status:?}");
    }

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
