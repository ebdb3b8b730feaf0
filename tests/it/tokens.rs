//! Credentials: what they open, when they stop, and how the first administrator comes to be.

use std::time::Duration;

use proto::{
    duty::v1::Duty,
    principal::v1::{self as principal, principal_service_client::PrincipalServiceClient},
    role::v1::{self as role, role_service_client::RoleServiceClient},
    token::v1::{self as pb, TokenKind, TokenScope, token_service_client::TokenServiceClient},
};
use tests::{World, both_engines, site::Caller, world};
use tonic::{Code, Status};

use crate::errors::reason;

async fn whoami(by: &Caller) -> Result<pb::WhoAmIResponse, Status> {
    let mut client = TokenServiceClient::new(by.channel.clone());
    Ok(client.who_am_i(by.ask(pb::WhoAmIRequest {})).await?.into_inner())
}

async fn refused(by: &Caller) -> String {
    let status = whoami(by).await.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated);
    reason(&status)
}

both_engines! {
    async fn a_mistyped_an_unknown_and_a_missing_token_are_told_apart(site: Site) {
        let world = World::build(site).await;
        assert_eq!(refused(&world.site.nobody()).await, "CREDENTIAL_MISSING");
        let mut typo = world.owner.secret.clone();
        typo.replace_range(10..11, if typo.as_bytes()[10] == b'x' { "y" } else { "x" });
        assert_eq!(refused(&world.site.caller(&typo)).await, "TOKEN_MALFORMED");
        let never = kernel::authn::Secret::generate(kernel::authn::TokenKind::Personal).unwrap();
        assert_eq!(refused(&world.site.caller(&never.text)).await, "TOKEN_UNKNOWN");
    }

    async fn a_token_ends_at_its_very_instant(site: Site) {
        let world = World::build(site).await;
        world.site.advance(Duration::from_hours(24) - Duration::from_micros(1));
        assert!(whoami(&world.owner).await.is_ok());
        world.site.advance(Duration::from_micros(1));
        assert_eq!(refused(&world.owner).await, "TOKEN_EXPIRED");
    }

    async fn a_revoked_token_and_a_suspended_principal_are_out_at_the_next_call(site: Site) {
        let world = World::build(site).await;
        let made = world::create_token(&world.owner, world::ACME, world::token_of(world::ACME, "owner", TokenKind::Personal)).await.unwrap();
        let second = world.site.caller(&made.secret);
        assert!(whoami(&second).await.is_ok());
        let mut client = TokenServiceClient::new(world.owner.channel.clone());
        let request = pb::RevokeTokenRequest { name: made.token.unwrap().name, ..Default::default() };
        client.revoke_token(world.owner.ask(request.clone())).await.unwrap();
        assert_eq!(refused(&second).await, "TOKEN_UNKNOWN");
        let again = client.revoke_token(world.owner.ask(request)).await.unwrap_err();
        assert_eq!((again.code(), reason(&again).as_str()), (Code::FailedPrecondition, "ILLEGAL_STATE"));

        let admin = &world.holders["admin"];
        assert!(whoami(admin).await.is_ok());
        let mut client = PrincipalServiceClient::new(world.owner.channel.clone());
        let request = principal::SuspendPrincipalRequest { name: "tenants/acme/principals/admin".to_owned(), ..Default::default() };
        client.suspend_principal(world.owner.ask(request)).await.unwrap();
        assert_eq!(refused(admin).await, "PRINCIPAL_SUSPENDED");
    }

    async fn a_tokens_scopes_narrow_what_its_principal_may(site: Site) {
        let world = World::build(site).await;
        let mut new = world::token_of(world::ACME, "owner", TokenKind::Personal);
        new.scopes = vec![TokenScope::Read.into()];
        let made = world::create_token(&world.owner, world::ACME, new).await.unwrap();
        let reader = world.site.caller(&made.secret);
        world.role("banker").await;
        let get = role::GetRoleRequest { name: "tenants/acme/roles/banker".to_owned() };
        RoleServiceClient::new(reader.channel.clone()).get_role(reader.ask(get)).await.unwrap();
        let status = world::create_role(&reader, "trader", "x").await.unwrap_err();
        assert_eq!((status.code(), reason(&status).as_str()), (Code::PermissionDenied, "TOKEN_SCOPE"));
    }

    async fn a_secret_is_shown_once_and_kept_nowhere(site: Site) {
        let world = World::build(site).await;
        let made = world::create_token(&world.owner, world::ACME, world::token_of(world::ACME, "owner", TokenKind::Personal)).await.unwrap();
        let list = pb::ListTokensRequest { parent: world::ACME.to_owned(), page_size: 1_000, ..Default::default() };
        let mut client = TokenServiceClient::new(world.owner.channel.clone());
        let listed = client.list_tokens(world.owner.ask(list)).await.unwrap().into_inner();
        assert!(!format!("{listed:?}").contains(&made.secret));
        let recorded = crate::audit::events(&world.owner, world::ACME, "").await;
        assert!(!format!("{recorded:?}").contains(&made.secret));
        if world.site.engine == tests::Engine::Postgres {
            let dump = tests::postgres::shared().psql(&world.site.database_url, "SELECT string_agg(t::text, ' ') FROM api_token t");
            assert!(!dump.contains(&made.secret) && dump.contains("personal"));
        }
    }

    async fn nobody_raises_their_own_duty_or_mints_a_stronger_token(site: Site) {
        let world = World::build(site).await;
        let status = world::grant(&world.owner, world::ACME, "owner", Duty::Compliance).await.unwrap_err();
        assert_eq!((status.code(), reason(&status).as_str()), (Code::PermissionDenied, "DUTY_MISSING"));
        // an admin may make service tokens, but not one for a service that holds what the admin cannot grant
        let robot = principal::Principal {
            kind: principal::PrincipalKind::Service.into(),
            display_name: "robot".to_owned(),
            ..Default::default()
        };
        world::principal(&world.owner, world::ACME, "robot", robot).await.unwrap();
        let admin = &world.holders["admin"];
        world::create_token(admin, world::ACME, world::token_of(world::ACME, "robot", TokenKind::Service)).await.unwrap();
        world::grant(&world.owner, world::ACME, "robot", Duty::Owner).await.unwrap();
        let status = world::create_token(admin, world::ACME, world::token_of(world::ACME, "robot", TokenKind::Service)).await.unwrap_err();
        assert_eq!(status.code(), Code::PermissionDenied);
    }

    async fn an_agent_holds_no_duty_but_that_of_a_member(site: Site) {
        let world = World::build(site).await;
        let agent = principal::Principal {
            kind: principal::PrincipalKind::Agent.into(),
            display_name: "agent".to_owned(),
            owner: "tenants/acme/principals/member".to_owned(),
            ..Default::default()
        };
        world::principal(&world.owner, world::ACME, "agent", agent).await.unwrap();
        let status = world::grant(&world.owner, world::ACME, "agent", Duty::Admin).await.unwrap_err();
        assert_eq!((status.code(), reason(&status).as_str()), (Code::InvalidArgument, "INVALID_FIELD"));
        world::grant(&world.owner, world::ACME, "agent", Duty::Member).await.unwrap();
    }

    async fn a_consultant_names_the_first_owner_and_no_second(site: Site) {
        let world = World::build(site).await;
        world::tenant(&world.consultant, "initech", world::NORTHWIND).await.unwrap();
        world::user(&world.consultant, "tenants/initech", "ann").await;
        world::user(&world.consultant, "tenants/initech", "bob").await;
        world::grant(&world.consultant, "tenants/initech", "ann", Duty::Owner).await.unwrap();
        let status = world::grant(&world.consultant, "tenants/initech", "bob", Duty::Owner).await.unwrap_err();
        assert_eq!(status.code(), Code::PermissionDenied);
    }

    async fn who_provisions_people_cannot_take_away_those_who_watch(site: Site) {
        let world = World::build(site).await;
        let mut client = PrincipalServiceClient::new(world.owner.channel.clone());
        for watched in ["owner", "compliance"] {
            let name = format!("tenants/acme/principals/{watched}");
            let suspend = principal::SuspendPrincipalRequest { name: name.clone(), ..Default::default() };
            let delete = principal::DeletePrincipalRequest { name, ..Default::default() };
            for by in [&world.consultant, &world.holders["admin"]] {
                let status = client.suspend_principal(by.ask(suspend.clone())).await.unwrap_err();
                assert_eq!((status.code(), reason(&status).as_str()), (Code::PermissionDenied, "DUTY_MISSING"));
                let status = client.delete_principal(by.ask(delete.clone())).await.unwrap_err();
                assert_eq!(status.code(), Code::PermissionDenied);
            }
        }
        // an owner may, but not so that nobody is left
        let request = principal::SuspendPrincipalRequest { name: "tenants/acme/principals/owner".to_owned(), ..Default::default() };
        let status = client.suspend_principal(world.owner.ask(request.clone())).await.unwrap_err();
        assert_eq!((status.code(), reason(&status).as_str()), (Code::FailedPrecondition, "STILL_IN_USE"));
        world::grant(&world.owner, world::ACME, "admin", Duty::Owner).await.unwrap();
        client.suspend_principal(world.holders["admin"].ask(request)).await.unwrap();
        // with its owner suspended the client still has one: the consultant cannot name another
        let status = world::grant(&world.consultant, world::ACME, "member", Duty::Owner).await.unwrap_err();
        assert_eq!(status.code(), Code::PermissionDenied);
    }

    async fn the_last_owner_stays(site: Site) {
        let world = World::build(site).await;
        let list = proto::duty::v1::ListDutyGrantsRequest { parent: world::ACME.to_owned(), filter: "duty = owner".to_owned(), ..Default::default() };
        let mut client = proto::duty::v1::duty_service_client::DutyServiceClient::new(world.admin.channel.clone());
        let grants = client.list_duty_grants(world.admin.ask(list)).await.unwrap().into_inner().duty_grants;
        assert_eq!(grants.len(), 1);
        let request = proto::duty::v1::RevokeDutyRequest { name: grants[0].name.clone(), ..Default::default() };
        let status = client.revoke_duty(world.admin.ask(request)).await.unwrap_err();
        assert_eq!((status.code(), reason(&status).as_str()), (Code::FailedPrecondition, "STILL_IN_USE"));
    }

    async fn the_bootstrap_token_makes_one_administrator_and_nothing_else(site: Site) {
        let secret = access::token::bootstrap::ensure(site.kernel()).await.unwrap().unwrap();
        assert!(access::token::bootstrap::ensure(site.kernel()).await.unwrap().is_none(), "one at a time");
        let boot = site.caller(&secret.text);
        let status = whoami(&boot).await.unwrap_err();
        assert_eq!((status.code(), reason(&status).as_str()), (Code::PermissionDenied, "TOKEN_SCOPE"));
        let mut client = TokenServiceClient::new(boot.channel.clone());
        let request = pb::BootstrapRequest { principal_id: "root".to_owned(), display_name: "Root".to_owned(), email: String::new() };
        let made = client.bootstrap(boot.ask(request.clone())).await.unwrap().into_inner();
        let root = site.caller(&made.secret);
        let who = whoami(&root).await.unwrap();
        assert_eq!((who.principal.as_str(), who.duties), ("principals/root", vec!["platform_admin@platform".to_owned()]));
        assert_eq!(refused(&boot).await, "TOKEN_UNKNOWN");
        assert_eq!(client.bootstrap(root.ask(request)).await.unwrap_err().code(), Code::PermissionDenied);
        assert!(access::token::bootstrap::ensure(site.kernel()).await.unwrap().is_none());
    }

    async fn an_unused_bootstrap_token_dies_after_a_day(site: Site) {
        let secret = access::token::bootstrap::ensure(site.kernel()).await.unwrap().unwrap();
        site.advance(Duration::from_hours(24));
        assert_eq!(refused(&site.caller(&secret.text)).await, "TOKEN_EXPIRED");
        assert!(access::token::bootstrap::ensure(site.kernel()).await.unwrap().is_some(), "a new one is made");
    }

    async fn an_ingest_token_sends_telemetry_and_nothing_else(site: Site) {
        let world = World::build(site).await;
        let made = world::create_token(&world.consultant, world::ACME, world::token_of(world::ACME, "member", TokenKind::Ingest)).await.unwrap();
        let ingest = world.site.caller(&made.secret);
        let get = proto::tenant::v1::GetTenantRequest { name: world::ACME.to_owned() };
        let mut client = proto::tenant::v1::tenant_service_client::TenantServiceClient::new(ingest.channel.clone());
        let status = client.get_tenant(ingest.ask(get)).await.unwrap_err();
        assert_eq!((status.code(), reason(&status).as_str()), (Code::PermissionDenied, "TOKEN_SCOPE"));
    }
}
