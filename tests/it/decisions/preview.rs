//! What changes would do, told before they are made.

use proto::{
    catalog::v1::Stage,
    decision::v1::DecisionReason as Reason,
    entitlement::v1::{
        self as pb, AccessChangeKind as Kind, AccessDifference, Effect, Entitlement, ProposedEntitlement,
        ProposedMember, ProposedStage, RuleChangeKind, entitlement_service_client::EntitlementServiceClient,
        proposed_change::Change,
    },
};
use tests::{both_engines, market, own, sets, site::Caller, staff, world};
use tonic::{Code, Status};

use super::{Bank, PLUGIN, check, named, rule};
use crate::{audit::events, errors::reason};

const OTHER: &str = "marketplaces/vendor/plugins/other";

fn client(by: &Caller) -> EntitlementServiceClient<tonic::transport::Channel> {
    EntitlementServiceClient::new(by.channel.clone())
}

fn proposed(changes: Vec<Change>) -> Vec<pb::ProposedChange> {
    changes.into_iter().map(|change| pb::ProposedChange { change: Some(change) }).collect()
}

async fn ask(by: &Caller, request: pb::PreviewChangeRequest) -> Result<AccessDifference, Status> {
    let answer = client(by).preview_change(by.ask(request)).await?.into_inner();
    assert!(answer.decide_time.is_some() && !answer.revision_token.is_empty());
    Ok(answer.difference.unwrap())
}

async fn preview(by: &Caller, changes: Vec<Change>) -> Result<AccessDifference, Status> {
    let parent = world::ACME.to_owned();
    ask(by, pb::PreviewChangeRequest { parent, changes: proposed(changes), ..Default::default() }).await
}

fn creates(id: &str, entitlement: Entitlement) -> Change {
    let entitlement = Some(entitlement);
    Change::CreateEntitlement(ProposedEntitlement { entitlement_id: id.to_owned(), entitlement })
}

fn link(name: &str, member: &str) -> ProposedMember {
    ProposedMember { name: format!("{}/{name}", world::ACME), member: format!("{}/{member}", world::ACME) }
}

/// What each line says: kind, target, reason before and after, and last segments of who is named.
fn lines(difference: &AccessDifference) -> Vec<(Kind, &str, Reason, Reason, Vec<&str>)> {
    fn line(change: &pb::AccessChange) -> (Kind, &str, Reason, Reason, Vec<&str>) {
        let pb::AccessChange { target, before, after, principals, .. } = change;
        let (before, after) = (before.as_ref().unwrap().reason(), after.as_ref().unwrap().reason());
        let target = target.strip_prefix("marketplaces/vendor/plugins/").unwrap();
        (change.kind(), target, before, after, principals.iter().map(|name| last(name)).collect())
    }
    difference.changes.iter().map(line).collect()
}

fn last(name: &str) -> &str {
    name.rsplit('/').next().unwrap()
}

fn counts(d: &AccessDifference) -> [i64; 5] {
    [d.gained_count, d.lost_count, d.effect_changed_count, d.reason_changed_count, d.principal_count]
}

both_engines! {
    async fn a_rule_is_previewed_as_it_will_be_and_nothing_is_done(site: Site) {
        let bank = Bank::open(site).await;
        let owner = &bank.world.owner;
        world::user(owner, world::ACME, "ann").await;
        let before = events(owner, world::ACME, "").await.len();
        let told = preview(owner, vec![creates("may", rule("banker", PLUGIN, Effect::Default))]).await.unwrap();
        let line = (Kind::Gained, "kit", Reason::NoMatchingRule, Reason::Allowed, vec!["maria"]);
        assert_eq!(lines(&told), [line]);
        assert_eq!((counts(&told), told.truncated), ([1, 0, 0, 0, 1], false));
        let after = told.changes[0].after.clone().unwrap();
        assert_eq!((after.effect(), after.entitlements), (Effect::Default, named(&["may"])));
        assert_eq!(bank.why("maria").await, Reason::NoMatchingRule);
        assert_eq!(events(owner, world::ACME, "").await.len(), before, "a preview leaves no record of a change");
        // and now it is done
        bank.rule("may", "banker", Effect::Default).await;
        let decided = bank.ask("maria").await;
        assert_eq!((decided.effect(), decided.entitlements), (Effect::Default, named(&["may"])));
        // what is there already changes nothing more; a deny for all takes it away, and the others are refused otherwise
        let told = preview(owner, vec![creates("", rule("banker", PLUGIN, Effect::Available))]).await.unwrap();
        assert_eq!((lines(&told), counts(&told)), (vec![], [0; 5]));
        let told = preview(owner, vec![creates("", rule("*", PLUGIN, Effect::Denied))]).await.unwrap();
        let lost = told.changes.iter().find(|line| line.kind() == Kind::Lost).unwrap();
        assert_eq!(lost.after.as_ref().unwrap().entitlements, named(&["+1"]));
        assert_eq!((told.lost_count, told.gained_count, told.principal_count), (1, 0, told.lost_count + told.reason_changed_count));
        let told = preview(owner, vec![creates("must", rule("banker", PLUGIN, Effect::Required))]).await.unwrap();
        assert_eq!((lines(&told)[0].0, told.changes[0].before.as_ref().unwrap().effect(), counts(&told)), (Kind::Effect, Effect::Default, [0, 0, 1, 0, 1]));
    }

    async fn every_kind_of_change_is_foreseen_as_it_comes_to_be(site: Site) {
        let bank = Bank::open(site).await;
        let (owner, admin) = (&bank.world.owner, &bank.world.admin);
        for who in ["ann", "bob"] {
            world::user(owner, world::ACME, who).await;
        }
        staff::group(owner, "desk", &["ann"]).await;
        bank.world.role("clerk").await;
        bank.rule("may", "banker", Effect::Default).await;
        let seen = async |change: Change| lines_of(&preview(owner, vec![change]).await.unwrap());
        let gain = |who: &str| vec![(Kind::Gained, "kit".to_owned(), Reason::NoMatchingRule, Reason::Allowed, who.to_owned())];
        let lose = |who: &str, why| vec![(Kind::Lost, "kit".to_owned(), Reason::Allowed, why, who.to_owned())];

        assert_eq!(seen(Change::AddRoleMember(link("roles/banker", "principals/bob"))).await, gain("bob"));
        assert_eq!(seen(Change::AddRoleMember(link("roles/banker", "groups/desk"))).await, gain("ann"));
        staff::give(owner, "banker", "groups/desk").await;
        assert!(check(owner, "ann", PLUGIN).await.unwrap().allowed);
        assert_eq!(seen(Change::AddGroupMember(link("groups/desk", "principals/bob"))).await, gain("bob"));
        assert_eq!(seen(Change::RemoveGroupMember(link("groups/desk", "principals/ann"))).await, lose("ann", Reason::NoMatchingRule));
        assert_eq!(seen(Change::RemoveRoleMember(link("roles/banker", "groups/desk"))).await, lose("ann", Reason::NoMatchingRule));
        staff::give(owner, "clerk", "principals/bob").await;
        assert_eq!(seen(Change::IncludeRole(link("roles/clerk", "roles/banker"))).await, gain("bob"));
        staff::include(owner, "clerk", "banker").await;
        assert!(check(owner, "bob", PLUGIN).await.unwrap().allowed);
        assert_eq!(seen(Change::ExcludeRole(link("roles/clerk", "roles/banker"))).await, lose("bob", Reason::NoMatchingRule));
        assert_eq!(seen(Change::DeleteEntitlement(named(&["may"]).remove(0))).await, lose("ann, bob, maria", Reason::NoMatchingRule));
        let maria = world::child(world::ACME, "principals", "maria");
        let suspended = preview(owner, vec![Change::SuspendPrincipal(maria.clone())]).await.unwrap();
        assert_eq!((suspended.lost_count, suspended.principal_count), (1, 1));
        assert_eq!(suspended.changes.iter().find(|l| l.kind() == Kind::Lost).unwrap().after.as_ref().unwrap().reason(), Reason::PrincipalSuspended);
        assert_eq!(seen(Change::ResumePrincipal(maria)).await, vec![]);
        let withdraw = |stage: Stage| Change::SetPluginStage(ProposedStage { plugin: PLUGIN.to_owned(), stage: stage.into() });
        let told = preview(owner, vec![withdraw(Stage::Withdrawn)]).await.unwrap();
        assert_eq!(told.lost_count, 3);
        let gated = preview(owner, vec![withdraw(Stage::Preview)]).await.unwrap();
        assert!(gated.changes.iter().any(|l| l.after.as_ref().unwrap().reason() == Reason::StageGate));
        market::stage(admin, "kit", Stage::Withdrawn).await.unwrap();
        assert_eq!(bank.why("ann").await, Reason::Withdrawn);
        // several together: one undoes the other
        market::stage(admin, "kit", Stage::Live).await.unwrap();
        let both = vec![
            Change::RemoveRoleMember(link("roles/banker", "principals/maria")),
            Change::AddGroupMember(link("groups/desk", "principals/maria")),
        ];
        assert_eq!(lines_of(&preview(owner, both).await.unwrap()), vec![]);
    }

    async fn seats_plugin_groups_and_bindings_are_foreseen_as_they_come_to_be(site: Site) {
        let bank = Bank::open(site).await;
        let owner = &bank.world.owner;
        sets::seat_pool(owner, "standard", &[]).await.unwrap();
        sets::plugin_group(owner, "research", &["other"]).await.unwrap();
        let mut files = market::small(&["kit", "other"]);
        own::apps(&mut files, "kit", &["crm"], &["docs"]);
        market::import(&bank.world.admin, &files).await.unwrap();
        let seated = Entitlement { seat_pool: world::child(world::ACME, "seatPools", "standard"), ..rule("banker", OTHER, Effect::Default) };
        bank.add("seated", seated).await.unwrap();
        bank.add("grouped", rule("banker", &world::child(world::ACME, "pluginGroups", "research"), Effect::Required)).await.unwrap();
        bank.drop_rule("grouped").await;
        let seen = async |change: Change| lines_of(&preview(owner, vec![change]).await.unwrap());
        let line = |kind, what: &str, before, after| vec![(kind, what.to_owned(), before, after, "maria".to_owned())];
        let seat = || link("seatPools/standard", "principals/maria");
        // what is foreseen is what is decided when it is done
        assert_eq!(seen(Change::AddSeatHolder(seat())).await, line(Kind::Gained, "other", Reason::SeatRequired, Reason::Allowed));
        sets::seat(owner, "standard", "maria").await.unwrap();
        assert!(check(owner, "maria", OTHER).await.unwrap().allowed);
        assert_eq!(seen(Change::RemoveSeatHolder(seat())).await, line(Kind::Lost, "other", Reason::Allowed, Reason::SeatRequired));
        let group = |plugin: &str| ProposedMember { name: world::child(world::ACME, "pluginGroups", "research"), member: plugin.to_owned() };
        bank.add("not", rule("banker", &world::child(world::ACME, "pluginGroups", "research"), Effect::Denied)).await.unwrap();
        assert_eq!(seen(Change::RemovePluginGroupMember(group(OTHER))).await, line(Kind::Gained, "other", Reason::ExplicitDeny, Reason::Allowed));
        assert_eq!(seen(Change::AddPluginGroupMember(group(PLUGIN))).await, line(Kind::Reason, "kit", Reason::NoMatchingRule, Reason::ExplicitDeny));
        bank.drop_rule("not").await;
        bank.rule("may", "banker", Effect::Default).await;
        assert_eq!(bank.why("maria").await, Reason::NotReady);
        let crm = |app: &str| pb::ProposedBinding { plugin: PLUGIN.to_owned(), app: app.to_owned() };
        assert_eq!(seen(Change::BindConnector(crm("crm"))).await[0], line(Kind::Gained, "kit", Reason::NotReady, Reason::Allowed)[0]);
        own::bind(owner, "crm", "kit", "crm", "acme").await.unwrap();
        assert!(bank.ask("maria").await.allowed);
        assert_eq!(seen(Change::BindConnector(crm("crm"))).await, vec![]);
        assert_eq!(seen(Change::UnbindConnector(crm("crm"))).await[0], line(Kind::Lost, "kit", Reason::Allowed, Reason::NotReady)[0]);
        own::unbind(owner, "crm", "").await.unwrap();
        assert_eq!(bank.why("maria").await, Reason::NotReady);
        for (code, change) in [
            (Code::NotFound, Change::AddSeatHolder(link("seatPools/none", "principals/maria"))),
            (Code::NotFound, Change::AddSeatHolder(link("seatPools/standard", "principals/none"))),
            (Code::InvalidArgument, Change::AddSeatHolder(link("roles/banker", "principals/maria"))),
            (Code::NotFound, Change::AddPluginGroupMember(group("marketplaces/vendor/plugins/none"))),
            (Code::InvalidArgument, Change::AddPluginGroupMember(group("vendor/kit"))),
            (Code::NotFound, Change::RemovePluginGroupMember(ProposedMember { name: world::child(world::ACME, "pluginGroups", "none"), ..group(PLUGIN) })),
            (Code::NotFound, Change::BindConnector(crm("none"))),
            (Code::FailedPrecondition, Change::BindConnector(crm("docs"))),
            (Code::NotFound, Change::UnbindConnector(crm("crm"))),
            (Code::NotFound, Change::BindConnector(pb::ProposedBinding { plugin: "marketplaces/vendor/plugins/none".to_owned(), app: "crm".to_owned() })),
        ] {
            let told = format!("{change:?}");
            assert_eq!(preview(owner, vec![change]).await.unwrap_err().code(), code, "{told}");
        }
    }

    async fn everybody_is_counted_and_as_many_are_named_as_were_asked_for(site: Site) {
        let bank = Bank::open(site).await;
        let owner = &bank.world.owner;
        for n in 0..7 {
            world::user(owner, world::ACME, &format!("p{n}")).await;
            staff::give(owner, "banker", &format!("principals/p{n}")).await;
        }
        let changes = proposed(vec![creates("", rule("banker", PLUGIN, Effect::Default))]);
        let mut request = pb::PreviewChangeRequest { parent: world::ACME.to_owned(), changes, max_principals: 2, ..Default::default() };
        let told = ask(owner, request.clone()).await.unwrap();
        assert_eq!((counts(&told), told.truncated), ([8, 0, 0, 0, 8], true));
        assert_eq!((told.changes[0].principal_count, lines(&told)[0].4.clone()), (8, vec!["maria", "p0"]));
        request.max_principals = 8;
        assert!(!ask(owner, request.clone()).await.unwrap().truncated);
        for wrong in [-1, 1_001] {
            request.max_principals = wrong;
            assert_eq!(ask(owner, request.clone()).await.unwrap_err().code(), Code::InvalidArgument);
        }
        // a rule with a window, by the moment that is asked about
        let late = Entitlement { not_before: Some(prost_types::Timestamp { seconds: 4_000_000_000, nanos: 0 }), ..rule("banker", PLUGIN, Effect::Default) };
        request.max_principals = 0;
        request.changes = proposed(vec![creates("", late)]);
        assert_eq!(counts(&ask(owner, request.clone()).await.unwrap()), [0, 0, 0, 8, 8]);
        request.at_time = Some(prost_types::Timestamp { seconds: 4_000_000_000, nanos: 0 });
        assert_eq!(counts(&ask(owner, request).await.unwrap()), [8, 0, 0, 0, 8]);
    }

    async fn a_change_that_cannot_be_is_refused_as_it_would_be_when_made(site: Site) {
        let bank = Bank::open(site).await;
        let owner = &bank.world.owner;
        bank.world.role("clerk").await;
        staff::include(owner, "banker", "clerk").await;
        bank.rule("may", "banker", Effect::Default).await;
        let may = || rule("banker", PLUGIN, Effect::Default);
        let elsewhere = ProposedMember { name: "tenants/zenith/roles/banker".to_owned(), ..link("roles/banker", "principals/maria") };
        let stage = |plugin: &str, stage| Change::SetPluginStage(ProposedStage { plugin: plugin.to_owned(), stage });
        for (code, change) in [
            (Code::AlreadyExists, creates("may", may())),
            (Code::NotFound, creates("", rule("nobody", PLUGIN, Effect::Default))),
            (Code::NotFound, creates("", rule("banker", "marketplaces/vendor/plugins/none", Effect::Default))),
            (Code::InvalidArgument, creates("", rule("banker", PLUGIN, Effect::Unspecified))),
            (Code::InvalidArgument, creates("Capital", may())),
            (Code::InvalidArgument, creates("", Entitlement { floor: true, ..may() })),
            (Code::NotFound, Change::DeleteEntitlement(named(&["none"]).remove(0))),
            (Code::InvalidArgument, Change::DeleteEntitlement("tenants/zenith/entitlements/may".to_owned())),
            (Code::InvalidArgument, Change::AddRoleMember(elsewhere)),
            (Code::NotFound, Change::AddRoleMember(link("roles/none", "principals/maria"))),
            (Code::NotFound, Change::AddRoleMember(link("roles/banker", "principals/none"))),
            (Code::NotFound, Change::AddRoleMember(link("roles/banker", "groups/none"))),
            (Code::NotFound, Change::AddGroupMember(link("groups/none", "principals/maria"))),
            (Code::NotFound, Change::SuspendPrincipal(world::child(world::ACME, "principals", "none"))),
            (Code::InvalidArgument, Change::IncludeRole(link("roles/clerk", "roles/banker"))),
            (Code::NotFound, Change::IncludeRole(link("roles/clerk", "roles/none"))),
            (Code::NotFound, stage("marketplaces/vendor/plugins/none", Stage::Live.into())),
            (Code::InvalidArgument, stage(PLUGIN, 0)),
            (Code::InvalidArgument, stage(PLUGIN, 99)),
        ] {
            let told = format!("{change:?}");
            assert_eq!(preview(owner, vec![change]).await.unwrap_err().code(), code, "{told}");
        }
        assert_eq!(preview(owner, vec![]).await.unwrap_err().code(), Code::InvalidArgument);
        assert_eq!(preview(owner, vec![creates("", may()); 101]).await.unwrap_err().code(), Code::InvalidArgument);
        let empty = pb::PreviewChangeRequest { parent: world::ACME.to_owned(), changes: vec![pb::ProposedChange::default()], ..Default::default() };
        assert_eq!(ask(owner, empty).await.unwrap_err().code(), Code::InvalidArgument);
        // the same id twice among the changes
        assert_eq!(preview(owner, vec![creates("new", may()); 2]).await.unwrap_err().code(), Code::AlreadyExists);
        // taken away and made anew is no conflict
        let again = vec![Change::DeleteEntitlement(named(&["may"]).remove(0)), creates("may", rule("banker", PLUGIN, Effect::Required))];
        assert_eq!(counts(&preview(owner, again).await.unwrap()), [0, 0, 1, 0, 1]);
        // a consultant may look ahead; a member may not look at others
        assert!(preview(&bank.world.consultant, vec![creates("", may())]).await.is_ok());
        let member = world::personal(owner, world::ACME, "maria").await;
        assert_eq!(reason(&preview(&member, vec![creates("", may())]).await.unwrap_err()), "DUTY_MISSING");
    }

    async fn another_set_of_rules_is_compared_rule_by_rule_and_answer_by_answer(site: Site) {
        let bank = Bank::open(site).await;
        let owner = &bank.world.owner;
        bank.rule("may", "banker", Effect::Default).await;
        bank.add("all-other", rule("*", OTHER, Effect::Available)).await.unwrap();
        let list = pb::ListEntitlementsRequest { parent: world::ACME.to_owned(), ..Default::default() };
        let mine = client(owner).list_entitlements(owner.ask(list)).await.unwrap().into_inner().entitlements;
        let diff = async |entitlements: Vec<Entitlement>| {
            let request = pb::DiffPoliciesRequest { parent: world::ACME.to_owned(), entitlements, ..Default::default() };
            client(owner).diff_policies(owner.ask(request)).await.map(tonic::Response::into_inner)
        };
        // with itself
        let same = diff(mine.clone()).await.unwrap();
        assert_eq!((same.rules.len(), same.unchanged_count, counts(&same.difference.unwrap())), (0, 2, [0; 5]));
        // one changed, one removed, one added
        let named = |id: &str, rule: Entitlement| Entitlement { name: named(&[id]).remove(0), ..rule };
        let other = vec![
            named("may", rule("banker", PLUGIN, Effect::Required)),
            named("not-other", rule("banker", OTHER, Effect::Denied)),
        ];
        let found = diff(other.clone()).await.unwrap();
        let kinds: Vec<_> = found.rules.iter().map(|r| (r.name.rsplit('/').next().unwrap(), r.kind())).collect();
        assert_eq!(kinds, [("all-other", RuleChangeKind::Removed), ("may", RuleChangeKind::Changed), ("not-other", RuleChangeKind::Added)]);
        assert_eq!(found.rules[1].fields, ["effect"]);
        assert_eq!(found.rules[1].after.as_ref().unwrap().effect(), Effect::Required);
        assert_eq!([found.added_count, found.removed_count, found.changed_count, found.unchanged_count], [1, 1, 1, 0]);
        let difference = found.difference.unwrap();
        let of_maria = difference.changes.iter().filter(|line| line.principals.iter().any(|p| p.ends_with("/maria")));
        let of_maria: Vec<_> = of_maria.map(|line| (line.target.rsplit('/').next().unwrap(), line.kind(), line.after.as_ref().unwrap().reason())).collect();
        assert_eq!(of_maria, [("kit", Kind::Effect, Reason::Allowed), ("other", Kind::Lost, Reason::ExplicitDeny)]);
        // nothing was done, and doing it has that outcome
        assert!(check(owner, "maria", OTHER).await.unwrap().allowed);
        // no rules at all
        let none = diff(vec![]).await.unwrap();
        assert_eq!((none.removed_count, none.difference.unwrap().gained_count), (2, 0));
        // refused: twice, without a name, of elsewhere, unknown role
        let twice = [other.clone(), other.clone()].concat();
        let nameless = vec![rule("banker", PLUGIN, Effect::Default)];
        let elsewhere = vec![Entitlement { name: "tenants/zenith/entitlements/x".to_owned(), ..nameless[0].clone() }];
        for (code, rules) in [
            (Code::InvalidArgument, twice),
            (Code::InvalidArgument, nameless),
            (Code::InvalidArgument, elsewhere),
            (Code::NotFound, vec![named("x", rule("nobody", PLUGIN, Effect::Default))]),
            (Code::InvalidArgument, vec![other[0].clone(); 5_001]),
        ] {
            assert_eq!(diff(rules).await.unwrap_err().code(), code);
        }
    }
}

/// The same with names of its own, everybody on one line.
fn lines_of(difference: &AccessDifference) -> Vec<(Kind, String, Reason, Reason, String)> {
    let owned = |(kind, target, before, after, who): (Kind, &str, Reason, Reason, Vec<&str>)| {
        (kind, target.to_owned(), before, after, who.join(", "))
    };
    lines(difference).into_iter().map(owned).collect()
}
