//! By which revision of the rules it is decided: at once where the change was made, soon elsewhere, and never by an older
//! one than was asked for.

use std::{sync::Arc, time::Duration};

use kernel::{
    ctx::REVISION_HEADER,
    revision::{CATALOG, Revision, revision_get, revision_list},
};
use proto::{
    catalog::v1::Stage,
    decision::v1::{
        CheckRequest, Decision, DecisionReason as Reason, decision_service_client::DecisionServiceClient,
    },
    entitlement::v1::{self as entitlement, Effect, entitlement_service_client::EntitlementServiceClient},
};
use tests::{Engine, Site, World, both_engines, http, market, own, sets, site::Caller, staff, world};
use tonic::{Code, Status};
use uuid::Uuid;

use super::{Bank, PLUGIN, check, parts, rule};
use crate::errors::reason;

async fn check_at(by: &Caller, who: &str, token: &str) -> Result<Decision, Status> {
    let request = CheckRequest {
        principal: world::child(world::ACME, "principals", who),
        plugin: PLUGIN.to_owned(),
        revision_token: token.to_owned(),
    };
    Ok(DecisionServiceClient::new(by.channel.clone()).check(by.ask(request)).await?.into_inner())
}

/// Creates a rule and returns the token of the change.
async fn create(by: &Caller, id: &str, effect: Effect) -> String {
    let request = entitlement::CreateEntitlementRequest {
        parent: world::ACME.to_owned(),
        entitlement_id: id.to_owned(),
        entitlement: Some(rule("banker", PLUGIN, effect)),
        ..Default::default()
    };
    let answer =
        EntitlementServiceClient::new(by.channel.clone()).create_entitlement(by.ask(request)).await.unwrap();
    answer.metadata().get(REVISION_HEADER).unwrap().to_str().unwrap().to_owned()
}

/// How many answers casbin was asked about, with that outcome.
pub async fn shadowed(site: &Site, outcome: &str) -> u64 {
    let text = http::get(&format!("{}/metrics", site.running.url())).await.text();
    let line = text.lines().find(|l| l.starts_with("provost_decision_shadow") && l.contains(outcome));
    line.and_then(|l| l.rsplit(' ').next()).map_or(0, |n| n.parse().unwrap())
}

/// How many answers casbin was asked about.
pub async fn compared(site: &Site) -> u64 {
    let mut all = 0;
    for outcome in ["same", "different", "changed_meanwhile", "failed", "skipped"] {
        all += shadowed(site, outcome).await;
    }
    all
}

/// Everything that can be asked for about the plugins of [`parts::with_parts`].
fn everything() -> Vec<String> {
    let other = "marketplaces/vendor/plugins/other".to_owned();
    let parts = ["/skills/read", "/skills/write", ""].map(|part| format!("{PLUGIN}{part}"));
    parts.into_iter().chain([other]).collect()
}

/// Plugin groups, seats, parts of plugins and terms of rules change, and are decided by at once.
async fn sets_parts_and_terms(bank: &Bank) {
    let owner = &bank.world.owner;
    parts::with_parts(bank).await;
    sets::plugin_group(owner, "research", &["other"]).await.unwrap();
    sets::seat_pool(owner, "standard", &[]).await.unwrap();
    let [write, read, kit, other] = ["write", "read", "", "other"].map(|part| match part {
        "" => PLUGIN.to_owned(),
        "other" => "marketplaces/vendor/plugins/other".to_owned(),
        skill => format!("{PLUGIN}/skills/{skill}"),
    });
    let group = "tenants/acme/pluginGroups/research";
    let seated = |role: &str, target: &str| entitlement::Entitlement {
        seat_pool: "tenants/acme/seatPools/standard".to_owned(),
        ..rule(role, target, Effect::Required)
    };
    let why = async |what: &str| check(owner, "maria", what).await.unwrap().reason();
    bank.drop_rule("not-other").await;
    bank.add("group", seated("*", group)).await.unwrap();
    assert_eq!([why(&other).await, why(&kit).await], [Reason::SeatRequired, Reason::NoMatchingRule]);
    sets::seat(owner, "standard", "maria").await.unwrap();
    assert_eq!([why(&other).await, why(&kit).await], [Reason::Allowed, Reason::NoMatchingRule]);
    sets::put(owner, "research", "kit").await.unwrap();
    assert_eq!([why(&kit).await, why(&read).await], [Reason::Allowed; 2]);
    bank.add("no-writing", rule("*", &write, Effect::Denied)).await.unwrap();
    assert_eq!(
        [why(&kit).await, why(&read).await, why(&write).await],
        [Reason::Allowed, Reason::Allowed, Reason::ExplicitDeny]
    );
    sets::unseat(owner, "standard", "maria").await.unwrap();
    assert_eq!([why(&kit).await, why(&write).await], [Reason::SeatRequired, Reason::ExplicitDeny]);
    let name = world::child(world::ACME, "entitlements", "group");
    let mask = prost_types::FieldMask { paths: vec!["seat_pool".to_owned()] };
    let open = entitlement::UpdateEntitlementRequest {
        entitlement: Some(entitlement::Entitlement { name, ..Default::default() }),
        update_mask: Some(mask),
        ..Default::default()
    };
    EntitlementServiceClient::new(owner.channel.clone()).update_entitlement(owner.ask(open)).await.unwrap();
    assert_eq!([why(&kit).await, why(&read).await], [Reason::Allowed; 2]);
    sets::pull(owner, "research", "kit").await.unwrap();
    assert_eq!([why(&kit).await, why(&other).await], [Reason::NoMatchingRule, Reason::Allowed]);
    // something of each kind stays for casbin to be asked about
    sets::seat(owner, "standard", "new").await.unwrap();
    bank.add("seat", seated("*", &kit)).await.unwrap();
}

both_engines! {
    async fn a_change_returns_a_token_and_a_decision_by_it_knows_the_change(site: Site) {
        let bank = Bank::open(site).await;
        let owner = &bank.world.owner;
        let before = bank.ask("maria").await;
        let token = create(owner, "may", Effect::Default).await;
        let after = check_at(owner, "maria", &token).await.unwrap();
        assert!(after.allowed);
        assert_ne!(before.revision_token, after.revision_token);
        assert_eq!(bank.ask("maria").await.revision_token, after.revision_token, "nothing changed");
        // an older token asks for no older answer
        assert!(check_at(owner, "maria", &before.revision_token).await.unwrap().allowed);
        // what changes no decision has no token, and a dry run neither
        let role = proto::role::v1::CreateRoleRequest { parent: world::ACME.to_owned(), role_id: "clerk".to_owned(), role: Some(proto::role::v1::Role { display_name: "Clerk".to_owned(), ..Default::default() }), ..Default::default() };
        let made = proto::role::v1::role_service_client::RoleServiceClient::new(owner.channel.clone()).create_role(owner.ask(role)).await.unwrap();
        assert!(made.metadata().get(REVISION_HEADER).is_none());
        let dry = entitlement::CreateEntitlementRequest { parent: world::ACME.to_owned(), entitlement: Some(rule("banker", PLUGIN, Effect::Denied)), validate_only: true, ..Default::default() };
        let dry = EntitlementServiceClient::new(owner.channel.clone()).create_entitlement(owner.ask(dry)).await.unwrap();
        assert!(dry.metadata().get(REVISION_HEADER).is_none());
        assert!(bank.ask("maria").await.allowed);
        assert_eq!(bank.ask("maria").await.revision_token, after.revision_token);
    }

    async fn a_token_of_elsewhere_is_refused_and_one_of_the_future_is_waited_for(site: Site) {
        let bank = Bank::open(site).await;
        let owner = &bank.world.owner;
        let (revisions, mine) = (&bank.world.site.kernel().revisions, bank.ask("maria").await.revision_token);
        let mut other = mine.clone();
        other.replace_range(5..6, if other[5..6] == *"A" { "B" } else { "A" });
        let strange = revisions.token(Uuid::from_u128(1), Revision { tenant: 1, catalog: 1 });
        for token in ["x", "é", other.as_str(), strange.as_str(), &mine[..mine.len() - 2]] {
            let refused = check_at(owner, "maria", token).await.unwrap_err();
            assert_eq!((refused.code(), reason(&refused).as_str()), (Code::InvalidArgument, "INVALID_FIELD"), "{token}");
        }
        let future = revisions.token(Uuid::nil(), Revision { tenant: 0, catalog: 1_000 });
        let behind = check_at(owner, "maria", &future).await.unwrap_err();
        assert_eq!((behind.code(), reason(&behind).as_str()), (Code::Unavailable, "POLICY_BEHIND"));
    }

    async fn whatever_changes_is_decided_by_at_once_and_casbin_agrees(site: Site) {
        let bank = Bank::open(site).await;
        let (owner, admin) = (&bank.world.owner, &bank.world.admin);
        bank.rule("may", "banker", Effect::Default).await;
        assert!(bank.ask("maria").await.allowed);
        staff::take(owner, "banker", "principals/maria").await;
        assert_eq!(bank.why("maria").await, Reason::NoMatchingRule);
        staff::group(owner, "desk", &["maria"]).await;
        staff::give(owner, "banker", "groups/desk").await;
        assert!(bank.ask("maria").await.allowed);
        market::stage(admin, "kit", Stage::Withdrawn).await.unwrap();
        assert_eq!(bank.why("maria").await, Reason::Withdrawn);
        market::stage(admin, "kit", Stage::Live).await.unwrap();
        assert!(bank.ask("maria").await.allowed);
        // not listed any more, and listed again: its rules come and go with it
        market::import(admin, &market::small(&["other"])).await.unwrap();
        assert_eq!(bank.why("maria").await, Reason::UnknownPlugin);
        bank.add("not-other", rule("*", "marketplaces/vendor/plugins/other", Effect::Denied)).await.unwrap();
        market::import(admin, &market::small(&["kit", "other"])).await.unwrap();
        assert!(bank.ask("maria").await.allowed);
        staff::delete_role(owner, "banker").await;
        assert_eq!(bank.why("maria").await, Reason::NoMatchingRule);
        world::user(owner, world::ACME, "new").await;
        assert_eq!(bank.why("new").await, Reason::NoMatchingRule);
        let site = &bank.world.site;
        // what the tenant has of its own, beside what the platform changes
        let agrees = async |why: Reason| {
            assert_eq!(bank.why("maria").await, why);
            let before = shadowed(site, "same").await;
            let until = tokio::time::timeout(Duration::from_secs(30), async {
                while shadowed(site, "same").await == before {
                    assert_eq!(bank.why("maria").await, why);
                }
            });
            until.await.unwrap();
        };
        bank.rule("all", "*", Effect::Available).await;
        agrees(Reason::Allowed).await;
        let mut files = market::small(&["kit", "other"]);
        own::apps(&mut files, "kit", &["crm", "mail"], &["docs"]);
        market::import(admin, &files).await.unwrap();
        agrees(Reason::NotReady).await;
        own::bind(owner, "crm", "kit", "crm", "acme").await.unwrap();
        agrees(Reason::NotReady).await;
        own::bind(owner, "mail", "kit", "mail", "acme").await.unwrap();
        agrees(Reason::Allowed).await;
        own::hold(owner, "s", "kit", Stage::Preview).await.unwrap();
        agrees(Reason::StageGate).await;
        own::move_to(owner, "s", Stage::Withdrawn, "").await.unwrap();
        agrees(Reason::Withdrawn).await;
        own::move_to(owner, "s", Stage::Deprecated, "").await.unwrap();
        agrees(Reason::Allowed).await;
        // a change of the catalogue is read with what the tenant has of its own
        own::move_to(owner, "s", Stage::Preview, "").await.unwrap();
        market::stage(admin, "kit", Stage::Deprecated).await.unwrap();
        agrees(Reason::StageGate).await;
        own::let_go(owner, "s", "").await.unwrap();
        agrees(Reason::Allowed).await;
        own::unbind(owner, "crm", "").await.unwrap();
        agrees(Reason::NotReady).await;
        market::stage(admin, "kit", Stage::Live).await.unwrap();
        agrees(Reason::NotReady).await;
        own::bind(owner, "crm", "kit", "crm", "acme").await.unwrap();
        agrees(Reason::Allowed).await;
        bank.drop_rule("all").await;
        assert_eq!(bank.why("maria").await, Reason::NoMatchingRule);
        sets_parts_and_terms(&bank).await;
        let compared = async || shadowed(site, "same").await + shadowed(site, "changed_meanwhile").await;
        let until = tokio::time::timeout(Duration::from_secs(30), async {
            while compared().await < 24 {
                for what in everything() {
                    for who in ["maria", "new"] {
                        check(owner, who, &what).await.unwrap();
                    }
                }
            }
        });
        until.await.unwrap();
        assert!(shadowed(site, "same").await > 0);
        assert_eq!((shadowed(site, "different").await, shadowed(site, "failed").await), (0, 0));
    }

    /// As a server reads them that shares its database; one that has it alone has no need to.
    async fn the_counts_of_many_tenants_are_read_at_once(site: Site) {
        let bank = Bank::open(site).await;
        bank.rule("may", "banker", Effect::Default).await;
        let db = &bank.world.site.kernel().db;
        let mut db = db.reader().await.unwrap();
        let query = "SELECT id FROM tenant WHERE slug = 'acme'";
        let scope: Uuid = kernel::on!(&mut db, |c| sqlx::query_scalar(query).fetch_one(c)).unwrap();
        let one = revision_get(&mut db, scope).await.unwrap();
        let none = Uuid::from_u128(7);
        let counts = revision_list(&mut db, &[scope, none, CATALOG]).await.unwrap();
        assert_eq!(counts, [(scope, one.tenant), (CATALOG, one.catalog)].into());
        assert!(one.tenant > 0 && one.catalog > 0, "{one:?}");
        // more than one statement takes parameters for
        let many: Vec<_> = (1..40_000).map(Uuid::from_u128).chain([scope]).collect();
        assert_eq!(revision_list(&mut db, &many).await.unwrap(), [(scope, one.tenant)].into());
    }

    async fn many_changes_at_once_are_all_decided_by(site: Site) {
        let bank = Arc::new(Bank::open(site).await);
        bank.rule("may", "banker", Effect::Default).await;
        bank.ask("maria").await;
        let joining = (0..300).map(|n| {
            let bank = Arc::clone(&bank);
            tokio::spawn(async move {
                let (owner, id) = (&bank.world.owner, format!("p{n}"));
                world::user(owner, world::ACME, &id).await;
                staff::give(owner, "banker", &format!("principals/{id}")).await;
                assert!(check(owner, &id, PLUGIN).await.unwrap().allowed, "{id}");
            })
        });
        for one in joining.collect::<Vec<_>>() {
            one.await.unwrap();
        }
        for n in 0..300 {
            assert!(bank.ask(&format!("p{n}")).await.allowed);
        }
    }
}

/// Another server of the same database: with the token of a change at once, without it soon.
#[tokio::test]
async fn a_second_server_learns_of_a_change() {
    let site = Site::start(Engine::Postgres).await;
    let bank = Bank { world: World::build(site).await };
    let (owner, admin) = (&bank.world.owner, &bank.world.admin);
    market::import(admin, &market::small(&["kit", "other"])).await.unwrap();
    bank.world.role("banker").await;
    world::user(owner, world::ACME, "maria").await;
    staff::give(owner, "banker", "principals/maria").await;
    let site = &bank.world.site;
    let (dir, clock) = (Arc::new(tempfile::tempdir().unwrap()), site.kernel().clock.clone());
    std::fs::copy(site.dir.path().join("audit.key"), dir.path().join("audit.key")).unwrap();
    let second = Site::on(Engine::Postgres, dir, site.database_url.clone(), clock, &[]).await;
    let there = second.caller(&owner.secret);
    assert_eq!(check(&there, "maria", PLUGIN).await.unwrap().reason(), Reason::NoMatchingRule);
    for n in 0..20 {
        let token = create(owner, &format!("may-{n}"), Effect::Default).await;
        assert!(check_at(&there, "maria", &token).await.unwrap().allowed, "{n}");
        bank.drop_rule(&format!("may-{n}")).await;
        assert!(!check_at(&there, "maria", &bank.ask("maria").await.revision_token).await.unwrap().allowed);
    }
    create(owner, "may", Effect::Default).await;
    let soon = tokio::time::timeout(Duration::from_secs(30), async {
        while !check(&there, "maria", PLUGIN).await.unwrap().allowed {
            tokio::task::yield_now().await;
        }
        own::hold(owner, "s", "kit", Stage::Alpha).await.unwrap();
        while check(&there, "maria", PLUGIN).await.unwrap().reason() != Reason::StageGate {
            tokio::task::yield_now().await;
        }
        market::stage(admin, "kit", Stage::Withdrawn).await.unwrap();
        while check(&there, "maria", PLUGIN).await.unwrap().reason() != Reason::Withdrawn {
            tokio::task::yield_now().await;
        }
    });
    soon.await.unwrap();
    second.stop().await;
}
