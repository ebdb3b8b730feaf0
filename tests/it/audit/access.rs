//! Who could use what: told from the log, and the same as the tables told then.

use std::{collections::BTreeMap, time::Duration};

use audit::fold::Fold;
use kernel::{Kernel, clock::Time};
use proto::{
    audit::v1::{self as pb, audit_service_client::AuditServiceClient},
    catalog::v1::Stage,
    decision::v1::{CheckRequest, decision_service_client::DecisionServiceClient},
    entitlement::v1::Effect,
};
use tests::{World, both_engines, market, own, site::Caller, staff, world};
use tonic::{Code, Status};

use super::{
    events,
    history::{self, Dice, PEOPLE, PLUGINS},
};
use crate::errors::reason;

/// Who could use what: how, and by one of which rules.
type Table = BTreeMap<(String, String), (String, Vec<String>)>;

fn plugin(id: &str) -> String {
    format!("marketplaces/vendor/plugins/{id}")
}

/// What the tables say now: every principal is asked about every plugin.
async fn live(by: &Caller) -> Table {
    let mut table = Table::new();
    let mut client = DecisionServiceClient::new(by.channel.clone());
    for id in PEOPLE {
        for plugin in PLUGINS.map(plugin) {
            let principal = world::child(world::ACME, "principals", id);
            let request = CheckRequest {
                principal: principal.clone(),
                plugin: plugin.clone(),
                revision_token: String::new(),
            };
            let decision = client.check(by.ask(request)).await.unwrap().into_inner();
            if decision.allowed {
                let effect = Effect::as_str_name(&decision.effect()).trim_start_matches("EFFECT_").to_owned();
                table.insert((principal, plugin), (effect, decision.entitlements));
            }
        }
    }
    table
}

fn ask(time: Time) -> pb::ListAccessAsOfRequest {
    pb::ListAccessAsOfRequest {
        parent: world::ACME.to_owned(),
        time: Some(time.into()),
        page_size: 1_000,
        ..Default::default()
    }
}

async fn page(by: &Caller, request: pb::ListAccessAsOfRequest) -> Result<pb::ListAccessAsOfResponse, Status> {
    Ok(AuditServiceClient::new(by.channel.clone()).list_access_as_of(by.ask(request)).await?.into_inner())
}

/// Everything that is answered, page by page.
async fn all(by: &Caller, mut request: pb::ListAccessAsOfRequest) -> Vec<pb::Access> {
    let mut access = Vec::new();
    loop {
        let answer = page(by, request.clone()).await.unwrap();
        access.extend(answer.access);
        if answer.next_page_token.is_empty() {
            return access;
        }
        request.page_token = answer.next_page_token;
    }
}

/// The answer about a moment is what the tables said then.
#[track_caller]
fn assert_same(access: &[pb::Access], table: &Table, what: &str) {
    let pairs: Vec<_> = access.iter().map(|a| (a.principal.clone(), a.plugin.clone())).collect();
    assert!(pairs.is_sorted(), "{what}: by principal and plugin");
    let expected: Vec<_> = table.keys().cloned().collect();
    let ours =
        |principal: &str| PEOPLE.iter().any(|id| principal == world::child(world::ACME, "principals", id));
    let told: Vec<_> = pairs.into_iter().filter(|(principal, _)| ours(principal)).collect();
    assert_eq!(told, expected, "{what}");
    for a in access.iter().filter(|a| ours(&a.principal)) {
        let (effect, rules) = &table[&(a.principal.clone(), a.plugin.clone())];
        assert_eq!(&a.effect, effect, "{what}: {a:?}");
        assert!(rules.contains(&a.entitlement), "{what}: {a:?} of {rules:?}");
    }
}

async fn lives(world: &World, seed: u64) {
    history::begin(world).await;
    let everybody = proto::entitlement::v1::Entitlement {
        role: "*".to_owned(),
        target: "marketplaces/vendor".to_owned(),
        effect: Effect::Available.into(),
        ..Default::default()
    };
    // so that what is bound, held and listed makes a difference from the beginning
    crate::decisions::create(&world.owner, "base", everybody).await.unwrap();
    let mut dice = Dice::new(seed);
    let mut then = Vec::new();
    let now = || world.site.kernel().clock.now();
    for n in 0..12 {
        for _ in 0..9 {
            history::step(world, &mut dice).await;
        }
        let table = live(&world.owner).await;
        let told = all(&world.owner, ask(now())).await;
        assert_same(&told, &table, &format!("seed {seed}, now, after {n}"));
        then.push((now(), table));
        world.site.advance(Duration::from_mins(1));
        // a client that stayed frozen would take no changes
        history::thaw(world).await;
    }
    assert!(then.iter().any(|(_, table)| !table.is_empty()), "a history in which nothing is allowed");
    assert!(then.windows(2).any(|w| w[0].1 != w[1].1), "a history in which nothing changes");
    for (moment, table) in &then {
        let told = all(&world.owner, ask(*moment)).await;
        assert_same(&told, table, &format!("seed {seed}, at {moment}"));
        // in pages of any size, and for one principal or plugin
        let small = pb::ListAccessAsOfRequest { page_size: 2, ..ask(*moment) };
        assert_eq!(all(&world.owner, small).await, told);
        let (who, what) = (world::child(world::ACME, "principals", PEOPLE[1]), plugin(PLUGINS[2]));
        let narrow = |principal: &str, plugin: &str| pb::ListAccessAsOfRequest {
            principal: principal.to_owned(),
            plugin: plugin.to_owned(),
            page_size: 1,
            ..ask(*moment)
        };
        let only = |keep: &dyn Fn(&pb::Access) -> bool| -> Vec<_> {
            told.iter().filter(|a| keep(a)).cloned().collect()
        };
        assert_eq!(all(&world.owner, narrow(&who, "")).await, only(&|a| a.principal == who));
        assert_eq!(all(&world.owner, narrow("", &what)).await, only(&|a| a.plugin == what));
    }
}

/// Removes the events of the client's log below `until`, as retention does, with or without keeping what they came to.
async fn prune(kernel: &Kernel, until: i64, keep: bool) {
    let mut db = kernel.db.reader().await.unwrap();
    let scope = kernel::scope::Scope::find(&mut db, "parent", world::ACME).await.unwrap().id();
    let fold = Fold::below(&mut db, (scope, world::ACME), until).await.unwrap();
    drop(db);
    let mut tx = kernel.db.begin_derived();
    if keep {
        fold.keep(&mut tx, scope).await.unwrap();
    }
    for sql in [
        "DELETE FROM audit_event WHERE scope_id = $1 AND idx < $2",
        "UPDATE audit_log SET minimum_index = $2 WHERE scope_id = $1",
    ] {
        kernel::execute!(&mut tx, sqlx::query(sql).bind(scope).bind(until)).unwrap();
    }
    tx.finish().await.unwrap();
}

both_engines! {
    async fn whatever_happened_the_log_tells_what_the_tables_told_then(site: Site) {
        let world = World::build(site).await;
        lives(&world, 1).await;
    }

    async fn and_in_another_life(site: Site) {
        let world = World::build(site).await;
        lives(&world, 2).await;
    }

    async fn access_names_the_role_and_the_rule_through_which(site: Site) {
        let world = World::build(site).await;
        market::import(&world.admin, &market::small(&["kit"])).await.unwrap();
        for role in ["banker", "clerk"] {
            world.role(role).await;
        }
        world::user(&world.owner, world::ACME, "maria").await;
        staff::agent(&world.owner, "maria-agent", "maria").await;
        staff::group(&world.owner, "desk", &["maria"]).await;
        staff::give(&world.owner, "banker", "groups/desk").await;
        staff::give(&world.owner, "clerk", "principals/maria-agent").await;
        staff::include(&world.owner, "banker", "clerk").await;
        let before = world.site.kernel().clock.now();
        world.site.advance(Duration::from_mins(1));
        for (id, role, effect) in [("may", "tenants/acme/roles/banker", Effect::Available), ("must", "tenants/acme/roles/clerk", Effect::Required)] {
            let rule = proto::entitlement::v1::Entitlement {
                role: role.to_owned(), target: plugin("kit"), effect: effect.into(), ..Default::default()
            };
            crate::decisions::create(&world.owner, id, rule).await.unwrap();
        }
        let now = world.site.kernel().clock.now();
        let row = |id: &str| pb::Access {
            principal: world::child(world::ACME, "principals", id),
            plugin: plugin("kit"),
            effect: "REQUIRED".to_owned(),
            role: "tenants/acme/roles/clerk".to_owned(),
            entitlement: "tenants/acme/entitlements/must".to_owned(),
        };
        assert_eq!(all(&world.owner, ask(now)).await, [row("maria"), row("maria-agent")]);
        assert_eq!(all(&world.owner, ask(before)).await, []);
        // and what changes now does not change what was
        staff::take(&world.owner, "clerk", "principals/maria-agent").await;
        world.site.advance(Duration::from_mins(1));
        staff::delete_role(&world.owner, "banker").await;
        assert_eq!(all(&world.owner, ask(world.site.kernel().clock.now())).await, []);
        assert_eq!(all(&world.owner, ask(now)).await, [row("maria")], "the agent gave its role back within the same instant");
    }

    async fn connectors_and_stages_of_the_clients_own_count_as_they_were(site: Site) {
        let world = World::build(site).await;
        let mut files = market::small(&["kit"]);
        own::apps(&mut files, "kit", &["crm", "mail"], &[]);
        market::import(&world.admin, &files).await.unwrap();
        let everybody = proto::entitlement::v1::Entitlement {
            role: "*".to_owned(), target: plugin("kit"), effect: Effect::Available.into(), ..Default::default()
        };
        crate::decisions::create(&world.owner, "all", everybody).await.unwrap();
        world::user(&world.owner, world::ACME, "maria").await;
        let mut then = Vec::new();
        let mut note = |may: bool| {
            then.push((world.site.kernel().clock.now(), may));
            world.site.advance(Duration::from_mins(1));
        };
        let owner = &world.owner;
        own::bind(owner, "crm", "kit", "crm", "a").await.unwrap();
        note(false);
        own::bind(owner, "mail", "kit", "mail", "a").await.unwrap();
        note(true);
        own::hold(owner, "s", "kit", Stage::Alpha).await.unwrap();
        note(false);
        own::move_to(owner, "s", Stage::Deprecated, "").await.unwrap();
        note(true);
        own::unbind(owner, "mail", "").await.unwrap();
        note(false);
        // the same name for another app; that one is bound, and the first is not
        own::unbind(owner, "crm", "").await.unwrap();
        own::bind(owner, "crm", "kit", "mail", "a").await.unwrap();
        note(false);
        own::bind(owner, "mail", "kit", "crm", "a").await.unwrap();
        own::let_go(owner, "s", "").await.unwrap();
        note(true);
        market::import(&world.admin, &market::small(&["kit"])).await.unwrap();
        own::unbind(owner, "crm", "").await.unwrap();
        note(true);
        for (n, (moment, may)) in then.into_iter().enumerate() {
            let request = pb::ListAccessAsOfRequest { principal: world::child(world::ACME, "principals", "maria"), ..ask(moment) };
            assert_eq!(all(owner, request).await.len(), usize::from(may), "{n}");
        }
    }

    async fn asking_is_on_the_record_and_a_burst_of_it_once(site: Site) {
        let world = World::build(site).await;
        market::import(&world.admin, &market::small(&["kit"])).await.unwrap();
        let compliance = &world.holders["compliance"];
        let now = world.site.kernel().clock.now();
        for _ in 0..3 {
            page(compliance, ask(now)).await.unwrap();
        }
        let found = events(&world.owner, world::ACME, "action = \"audit.as_of\"").await;
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].event_class.as_str(), found[0].actor.as_str()), ("audit_read", "tenants/acme/principals/compliance"));
        let entry: serde_json::Value = serde_json::from_str(&found[0].entry).unwrap();
        assert!(entry["q"]["$s"].is_string(), "what was asked is sealed: {entry}");
    }

    async fn the_future_other_tenants_and_malformed_names_are_refused(site: Site) {
        let world = World::build(site).await;
        let now = world.site.kernel().clock.now();
        let with = |change: &dyn Fn(&mut pb::ListAccessAsOfRequest)| {
            let mut request = ask(now);
            change(&mut request);
            request
        };
        let invalid = [
            with(&|r| r.time = Some(now.plus(Duration::from_micros(1)).into())),
            with(&|r| r.time = None),
            with(&|r| "maria".clone_into(&mut r.principal)),
            with(&|r| "marketplaces/vendor".clone_into(&mut r.plugin)),
            with(&|r| r.page_size = -1),
        ];
        for request in invalid {
            let refused = page(&world.owner, request.clone()).await.unwrap_err();
            assert_eq!((refused.code(), reason(&refused).as_str()), (Code::InvalidArgument, "INVALID_FIELD"), "{request:?}");
        }
        let other = with(&|r| "tenants/globex/principals/owner".clone_into(&mut r.principal));
        assert_eq!(page(&world.owner, other).await.unwrap_err().code(), Code::NotFound);
        assert_eq!(page(&world.stranger, ask(now)).await.unwrap_err().code(), Code::NotFound);
        for duty in ["finance", "member", "consultant"] {
            assert_eq!(page(&world.holders[duty], ask(now)).await.unwrap_err().code(), Code::PermissionDenied, "{duty}");
        }
    }

    async fn a_page_token_pins_the_moment_and_the_conditions(site: Site) {
        let world = World::build(site).await;
        history::begin(&world).await;
        let everybody = proto::entitlement::v1::Entitlement {
            role: "*".to_owned(), target: "marketplaces/vendor".to_owned(), effect: Effect::Available.into(), ..Default::default()
        };
        crate::decisions::create(&world.owner, "all", everybody).await.unwrap();
        let now = world.site.kernel().clock.now();
        let whole = all(&world.owner, ask(now)).await;
        let first = page(&world.owner, pb::ListAccessAsOfRequest { page_size: 5, ..ask(now) }).await.unwrap();
        assert_eq!(first.access, whole[..5]);
        // what is recorded meanwhile, in the same instant, does not move under the pages
        world::user(&world.owner, world::ACME, "aaa").await;
        let rest = pb::ListAccessAsOfRequest { page_token: first.next_page_token.clone(), ..ask(now) };
        let answer = page(&world.owner, rest.clone()).await.unwrap();
        assert_eq!((answer.access.as_slice(), answer.as_of_size), (&whole[5..], first.as_of_size));
        let others = [
            pb::ListAccessAsOfRequest { time: Some(now.minus(Duration::from_mins(1)).into()), ..rest.clone() },
            pb::ListAccessAsOfRequest { plugin: plugin("p0"), ..rest.clone() },
            pb::ListAccessAsOfRequest { parent: "tenants/globex".to_owned(), ..rest.clone() },
            pb::ListAccessAsOfRequest { page_token: first.next_page_token.replace(|c: char| c.is_ascii_digit(), "x"), ..rest },
        ];
        for other in others {
            let refused = page(&world.admin, other.clone()).await.unwrap_err();
            assert_eq!((refused.code(), reason(&refused).as_str()), (Code::InvalidArgument, "INVALID_PAGE_TOKEN"), "{other:?}");
        }
    }

    async fn what_retention_removed_is_out_of_range_and_what_it_kept_is_told(site: Site) {
        let world = World::build(site).await;
        history::begin(&world).await;
        // what history allows everybody says nothing of who holds what
        history::forget_first_rule(&world).await;
        let rule = |role: &str| proto::entitlement::v1::Entitlement {
            role: role.to_owned(), target: plugin("p0"), effect: Effect::Available.into(), ..Default::default()
        };
        crate::decisions::create(&world.owner, "a", rule("tenants/acme/roles/r0")).await.unwrap();
        let early = world.site.kernel().clock.now();
        let old = page(&world.owner, ask(early)).await.unwrap();
        assert_eq!(old.access.iter().map(|a| a.principal.as_str()).collect::<Vec<_>>(), ["tenants/acme/principals/ana"]);
        world.site.advance(Duration::from_mins(1));
        staff::take(&world.owner, "r0", "principals/ana").await;
        staff::give(&world.owner, "r0", "principals/ben").await;
        let late = world.site.kernel().clock.now();
        let told = page(&world.owner, ask(late)).await.unwrap();
        assert_eq!(told.access.iter().map(|a| a.principal.as_str()).collect::<Vec<_>>(), ["tenants/acme/principals/ben"]);

        // the events before are gone, and what they came to is kept
        prune(world.site.kernel(), old.as_of_size, true).await;
        assert_eq!(page(&world.owner, ask(early)).await.unwrap().access, old.access);
        assert_eq!(page(&world.owner, ask(late)).await.unwrap().access, told.access);
        prune(world.site.kernel(), told.as_of_size, true).await;
        let refused = page(&world.owner, ask(early)).await.unwrap_err();
        assert_eq!((refused.code(), reason(&refused).as_str()), (Code::OutOfRange, "AUDIT_OUT_OF_RANGE"));
        assert_eq!(page(&world.owner, ask(late)).await.unwrap().access, told.access);
        // nothing is told of what nothing was kept of
        world.site.advance(Duration::from_mins(2));
        let size = page(&world.owner, ask(late)).await.unwrap().as_of_size;
        prune(world.site.kernel(), size, false).await;
        let refused = page(&world.owner, ask(late)).await.unwrap_err();
        assert_eq!((refused.code(), reason(&refused).as_str()), (Code::OutOfRange, "AUDIT_OUT_OF_RANGE"));
    }
}
