//! Who asks, and about whom.

use proto::{
    decision::v1::DecisionReason as Reason,
    entitlement::v1::Effect,
    principal::v1::{self as principal, principal_service_client::PrincipalServiceClient},
    tenant::v1::{self as tenant, tenant_service_client::TenantServiceClient},
};
use tests::{World, both_engines, staff, world};
use tonic::Code;

use super::{Bank, PLUGIN, check, named};
use crate::errors::reason;

async fn suspend(world: &World, id: &str) {
    let name = world::child(world::ACME, "principals", id);
    let request = principal::SuspendPrincipalRequest { name, ..Default::default() };
    let by = &world.owner;
    PrincipalServiceClient::new(by.channel.clone()).suspend_principal(by.ask(request)).await.unwrap();
}

async fn resume(world: &World, id: &str) {
    let name = world::child(world::ACME, "principals", id);
    let request = principal::ResumePrincipalRequest { name, ..Default::default() };
    let by = &world.owner;
    PrincipalServiceClient::new(by.channel.clone()).resume_principal(by.ask(request)).await.unwrap();
}

/// Signs, pilots and goes live.
async fn go_live(world: &World) {
    let contract = tenant::Contract {
        signed_date: "2026-11-23".to_owned(),
        start_date: "2026-11-23".to_owned(),
        end_date: "2027-11-23".to_owned(),
        currency: "EUR".to_owned(),
        seats: vec![tenant::ContractSeats {
            pool: "standard".to_owned(),
            count: 5,
            monthly_price_minor: 3_000,
        }],
        renewal: tenant::Renewal::Manual.into(),
    };
    let (signer, name) = (&world.holders["partner_admin"], world::ACME.to_owned());
    let mut client = TenantServiceClient::new(signer.channel.clone());
    let request =
        tenant::ContractTenantRequest { name: name.clone(), contract: Some(contract), ..Default::default() };
    client.contract_tenant(signer.ask(request)).await.unwrap();
    let request = tenant::StartPilotRequest { name: name.clone(), ..Default::default() };
    client.start_pilot(signer.ask(request)).await.unwrap();
    client.go_live(signer.ask(tenant::GoLiveRequest { name, ..Default::default() })).await.unwrap();
}

both_engines! {
    async fn who_and_what_is_not_there_is_a_no_and_not_an_error(site: Site) {
        let bank = Bank::open(site).await;
        bank.rule("all", "*", Effect::Default).await;
        assert_eq!(bank.why("nobody").await, Reason::UnknownPrincipal);
        let owner = &bank.world.owner;
        for plugin in ["marketplaces/vendor/plugins/none", "marketplaces/none/plugins/kit"] {
            let decision = check(owner, "maria", plugin).await.unwrap();
            assert_eq!((decision.allowed, decision.reason()), (false, Reason::UnknownPlugin), "{plugin}");
        }
        let mut client = PrincipalServiceClient::new(owner.channel.clone());
        let name = world::child(world::ACME, "principals", "maria");
        let request = principal::DeletePrincipalRequest { name, ..Default::default() };
        client.delete_principal(owner.ask(request)).await.unwrap();
        assert_eq!(bank.why("maria").await, Reason::UnknownPrincipal);
        for (who, plugin) in [("maria", "kit"), ("maria", "marketplaces/vendor"), ("acme/maria", PLUGIN), ("tenants/acme/roles/banker", PLUGIN)] {
            let refused = check(owner, who, plugin).await.unwrap_err();
            assert_eq!((refused.code(), reason(&refused).as_str()), (Code::InvalidArgument, "INVALID_FIELD"), "{who} {plugin}");
        }
    }

    async fn another_tenants_people_are_not_found(site: Site) {
        let bank = Bank::open(site).await;
        let (globex, acme) = ("tenants/globex/principals/owner", "tenants/acme/principals/maria");
        for (by, who) in [(&bank.world.owner, globex), (&bank.world.stranger, acme), (&bank.world.rival, acme)] {
            let refused = check(by, who, PLUGIN).await.unwrap_err();
            assert_eq!((refused.code(), reason(&refused).as_str()), (Code::NotFound, "RESOURCE_NOT_FOUND"), "{who}");
        }
        let refused = check(&bank.world.admin, "tenants/none/principals/maria", PLUGIN).await.unwrap_err();
        assert_eq!(refused.code(), Code::NotFound);
    }

    async fn a_suspended_principal_may_nothing_until_it_is_resumed(site: Site) {
        let bank = Bank::open(site).await;
        bank.rule("all", "*", Effect::Default).await;
        suspend(&bank.world, "maria").await;
        assert_eq!(bank.why("maria").await, Reason::PrincipalSuspended);
        resume(&bank.world, "maria").await;
        assert_eq!(bank.why("maria").await, Reason::Allowed);
    }

    async fn in_a_suspended_tenant_nobody_may_anything(site: Site) {
        let bank = Bank::open(site).await;
        bank.rule("all", "*", Effect::Required).await;
        go_live(&bank.world).await;
        assert_eq!(bank.why("maria").await, Reason::Allowed);
        let by = &bank.world.consultant;
        let mut client = TenantServiceClient::new(by.channel.clone());
        let name = world::ACME.to_owned();
        client.suspend_tenant(by.ask(tenant::SuspendTenantRequest { name: name.clone(), ..Default::default() })).await.unwrap();
        assert_eq!(bank.why("maria").await, Reason::TenantSuspended);
        client.resume_tenant(by.ask(tenant::ResumeTenantRequest { name, ..Default::default() })).await.unwrap();
        assert_eq!(bank.why("maria").await, Reason::Allowed);
    }

    async fn roles_come_directly_through_groups_and_through_other_roles(site: Site) {
        let bank = Bank::open(site).await;
        let owner = &bank.world.owner;
        for role in ["trader", "desk-head", "chief"] {
            bank.world.role(role).await;
        }
        bank.rule("traders", "trader", Effect::Default).await;
        assert_eq!(bank.why("maria").await, Reason::NoMatchingRule);
        // through a group
        staff::group(owner, "desk", &["maria"]).await;
        staff::give(owner, "trader", "groups/desk").await;
        assert_eq!(bank.ask("maria").await.entitlements, named(&["traders"]));
        staff::take(owner, "trader", "groups/desk").await;
        assert_eq!(bank.why("maria").await, Reason::NoMatchingRule);
        // through roles that take it in, over two steps
        staff::include(owner, "desk-head", "trader").await;
        staff::include(owner, "chief", "desk-head").await;
        staff::give(owner, "chief", "groups/desk").await;
        assert_eq!(bank.ask("maria").await.entitlements, named(&["traders"]));
        // a link that is gone holds no longer
        staff::delete_role(owner, "desk-head").await;
        assert_eq!(bank.why("maria").await, Reason::NoMatchingRule);
    }

    async fn a_deleted_role_counts_for_nothing(site: Site) {
        let bank = Bank::open(site).await;
        bank.rule("may", "banker", Effect::Default).await;
        assert!(bank.ask("maria").await.allowed);
        staff::delete_role(&bank.world.owner, "banker").await;
        assert_eq!(bank.why("maria").await, Reason::NoMatchingRule);
    }

    async fn what_is_for_everybody_is_for_people_without_a_role_too(site: Site) {
        let bank = Bank::open(site).await;
        bank.rule("all", "*", Effect::Available).await;
        world::user(&bank.world.owner, world::ACME, "sam").await;
        assert_eq!(bank.ask("sam").await.entitlements, named(&["all"]));
    }

    async fn an_agent_may_what_both_it_and_its_owner_may(site: Site) {
        let bank = Bank::open(site).await;
        let owner = &bank.world.owner;
        staff::agent(owner, "robot", "maria").await;
        bank.world.role("robots").await;
        staff::give(owner, "robots", "principals/robot").await;
        assert_eq!(bank.why("robot").await, Reason::NoMatchingRule);
        bank.rule("bankers", "banker", Effect::Default).await;
        assert_eq!(bank.why("robot").await, Reason::NoMatchingRule, "the owner's rule alone does not do");
        bank.rule("robots", "robots", Effect::Default).await;
        assert_eq!(bank.ask("robot").await.entitlements, named(&["bankers", "robots"]));
        bank.drop_rule("bankers").await;
        assert_eq!(bank.why("robot").await, Reason::OwnerNotEntitled, "the agent's rule alone does not do");
        bank.rule("no-bankers", "banker", Effect::Denied).await;
        let no = bank.ask("robot").await;
        assert_eq!((no.reason(), no.entitlements), (Reason::OwnerNotEntitled, named(&["no-bankers"])));
        bank.drop_rule("no-bankers").await;
        bank.rule("bankers", "banker", Effect::Default).await;
        suspend(&bank.world, "maria").await;
        assert_eq!(bank.why("robot").await, Reason::OwnerNotEntitled);
    }

    async fn a_member_may_ask_about_itself_and_about_nobody_else(site: Site) {
        let bank = Bank::open(site).await;
        bank.rule("all", "*", Effect::Default).await;
        let member = &bank.world.holders["member"];
        assert!(check(member, "member", PLUGIN).await.unwrap().allowed);
        for who in ["maria", "nobody"] {
            let refused = check(member, who, PLUGIN).await.unwrap_err();
            assert_eq!((refused.code(), reason(&refused).as_str()), (Code::PermissionDenied, "DUTY_MISSING"), "{who}");
        }
        let refused = check(&bank.world.site.nobody(), "maria", PLUGIN).await.unwrap_err();
        assert_eq!((refused.code(), reason(&refused).as_str()), (Code::Unauthenticated, "CREDENTIAL_MISSING"));
    }
}
