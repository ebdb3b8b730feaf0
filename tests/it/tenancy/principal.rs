//! Users, services and agents, in tenants, in partners and on the platform.

use proto::{
    duty::v1::Duty,
    principal::v1::{Principal, PrincipalKind, PrincipalState},
    token::v1::TokenKind,
};
use tests::{
    World, both_engines,
    site::Caller,
    world::{self, ACME, NORTHWIND},
};
use tonic::Status;

use super::{
    DENIED, ID, ILLEGAL, IN_USE, INVALID, MISSING, REUSED, SUSPENDED, TAKEN, faults, ids, mask, refused, unit,
};

fn name(id: &str) -> String {
    world::child(ACME, "principals", id)
}

/// A user.
pub fn person(display_name: &str, email: &str, unit: &str) -> Principal {
    Principal {
        kind: PrincipalKind::User.into(),
        display_name: display_name.to_owned(),
        email: email.to_owned(),
        unit: unit.to_owned(),
        ..Default::default()
    }
}

fn agent(owner: &str) -> Principal {
    Principal { kind: PrincipalKind::Agent.into(), owner: owner.to_owned(), ..person("Agent", "", "") }
}

async fn get(by: &Caller, name: impl Into<String>) -> Result<Principal, Status> {
    ask!(by, principal.get_principal, GetPrincipalRequest { name: name })
}

async fn delete(by: &Caller, id: &str) -> Result<Principal, Status> {
    ask!(by, principal.delete_principal, DeletePrincipalRequest { name: name(id) })
}

async fn undelete(by: &Caller, id: &str) -> Result<Principal, Status> {
    ask!(by, principal.undelete_principal, UndeletePrincipalRequest { name: name(id) })
}

async fn suspend(by: &Caller, id: &str) -> Result<Principal, Status> {
    ask!(by, principal.suspend_principal, SuspendPrincipalRequest { name: name(id) })
}

async fn resume(by: &Caller, id: &str) -> Result<Principal, Status> {
    ask!(by, principal.resume_principal, ResumePrincipalRequest { name: name(id) })
}

async fn change(by: &Caller, new: Principal, paths: &[&str]) -> Result<Principal, Status> {
    ask!(by, principal.update_principal, UpdatePrincipalRequest { principal: new, update_mask: mask(paths) })
}

async fn list(by: &Caller, parent: &str, filter: &str) -> Result<Vec<String>, Status> {
    let page = ask!(
        by,
        principal.list_principals,
        ListPrincipalsRequest { parent: parent, filter: filter, order_by: "principal_id" }
    );
    page.map(|page| ids(page.principals.iter().map(|p| &p.name)))
}

both_engines! {
    async fn there_are_users_services_and_agents_and_nothing_else(site: Site) {
        let world = World::build(site).await;
        let by = &world.owner;
        let maria = world::principal(by, ACME, "maria.lopez_2", person("Maria", "maria@acme.test", "")).await.unwrap();
        assert_eq!((maria.name.as_str(), maria.kind()), ("tenants/acme/principals/maria.lopez_2", PrincipalKind::User));
        assert_eq!((maria.state(), maria.owner.as_str()), (PrincipalState::Active, ""));
        assert_eq!(get(by, &maria.name).await.unwrap(), maria);
        let service = Principal { kind: PrincipalKind::Service.into(), ..person("Sync", "", "") };
        let service = world::principal(by, ACME, "sync", service).await.unwrap();
        assert_eq!(service.kind(), PrincipalKind::Service);
        let bot = world::principal(by, ACME, "bot", agent(&maria.name)).await.unwrap();
        assert_eq!((bot.kind(), bot.owner.as_str()), (PrincipalKind::Agent, maria.name.as_str()));
        for kind in [0, 4, -1] {
            let new = Principal { kind, ..person("X", "", "") };
            assert_eq!(faults(world::principal(by, ACME, "x", new).await), ["principal.kind"]);
        }
        assert_eq!(list(by, ACME, "kind = agent").await.unwrap(), ["bot"]);
        let filter = "kind = SERVICE OR email = \"maria@acme.test\"";
        assert_eq!(list(by, ACME, filter).await.unwrap(), ["maria.lopez_2", "sync"]);
        // what it is never changes
        let new = Principal { name: maria.name.clone(), kind: PrincipalKind::Service.into(), ..person("M", "", "") };
        assert_eq!(faults(change(by, new.clone(), &["kind"]).await), ["update_mask"]);
        assert_eq!(change(by, new, &[]).await.unwrap().kind(), PrincipalKind::User);
    }

    async fn an_agent_has_an_owner_who_is_a_living_user_of_its_tenant(site: Site) {
        let world = World::build(site).await;
        let by = &world.owner;
        let service = Principal { kind: PrincipalKind::Service.into(), ..person("Sync", "", "") };
        world::principal(by, ACME, "sync", service.clone()).await.unwrap();
        world::principal(by, ACME, "bot", agent(&name("member"))).await.unwrap();
        for owner in [String::new(), name("sync"), name("bot"), "member".to_owned(), "principals/root".to_owned()] {
            assert_eq!(faults(world::principal(by, ACME, "x", agent(&owner)).await), ["principal.owner"], "{owner}");
        }
        for owner in [name("nobody"), "tenants/globex/principals/owner".to_owned()] {
            refused(world::principal(by, ACME, "x", agent(&owner)).await, MISSING);
        }
        for new in [person("X", "", ""), service] {
            let owned = Principal { owner: name("member"), ..new };
            assert_eq!(faults(world::principal(by, ACME, "x", owned).await), ["principal.owner"]);
        }
        // only in tenants
        for parent in ["", NORTHWIND] {
            let owner = world::child(parent, "principals", if parent.is_empty() { "root" } else { "boss" });
            refused(world::principal(&world.admin, parent, "x", agent(&owner)).await, INVALID);
            refused(world::principal(&world.admin, parent, "x", agent("")).await, INVALID);
        }
        // a user with agents stays, and an agent does not outlive its owner
        refused(delete(by, "member").await, IN_USE);
        delete(by, "bot").await.unwrap();
        delete(by, "member").await.unwrap();
        refused(undelete(by, "bot").await, ILLEGAL);
        refused(world::principal(by, ACME, "x", agent(&name("member"))).await, ILLEGAL);
        undelete(by, "member").await.unwrap();
        undelete(by, "bot").await.unwrap();
        refused(delete(by, "member").await, IN_USE);
    }

    async fn an_owner_and_a_new_agent_never_miss_each_other(site: Site) {
        let world = World::build(site).await;
        let by = &world.owner;
        for n in 0..12 {
            let (owner, bot) = (format!("u{n}"), format!("bot{n}"));
            world::user(by, ACME, &owner).await;
            let (gone, come) =
                tokio::join!(delete(by, &owner), world::principal(by, ACME, &bot, agent(&name(&owner))));
            match (gone, come) {
                (Ok(_), late) => drop(refused(late, ILLEGAL)),
                (late, Ok(_)) => drop(refused(late, IN_USE)),
                (Err(a), Err(b)) => panic!("both lost: {a}, {b}"),
            }
        }
    }

    async fn an_address_is_used_once_among_the_living_of_a_parent(site: Site) {
        let world = World::build(site).await;
        let by = &world.owner;
        let mail = "maria@acme.test";
        world::principal(by, ACME, "maria", person("Maria", mail, "")).await.unwrap();
        let words = refused(world::principal(by, ACME, "other", person("Other", mail, "")).await, TAKEN);
        let words = words.message();
        assert!(words.contains(mail) && !words.contains("principals/maria"), "whose it is stays untold: {words}");
        // a taken id is named before a taken address, on both engines
        let both = refused(world::principal(by, ACME, "maria", person("Other", mail, "")).await, TAKEN);
        assert!(both.message().contains("principals/maria"), "{}", both.message());
        // elsewhere it is free, and so is none at all
        world::principal(&world.stranger, "tenants/globex", "maria", person("Maria", mail, "")).await.unwrap();
        world::principal(&world.admin, NORTHWIND, "maria", person("Maria", mail, "")).await.unwrap();
        for id in ["a", "b"] {
            world::principal(by, ACME, id, person("X", "", "")).await.unwrap();
        }
        let moved = |mail: &str| Principal { name: name("a"), ..person("", mail, "") };
        refused(change(by, moved(mail), &["email"]).await, TAKEN);
        // a deleted principal gives its address up, and comes back only while nobody else has it
        delete(by, "maria").await.unwrap();
        assert_eq!(change(by, moved(mail), &["email"]).await.unwrap().email, mail);
        refused(undelete(by, "maria").await, TAKEN);
        assert_eq!(change(by, moved(""), &["email"]).await.unwrap().email, "");
        assert_eq!(undelete(by, "maria").await.unwrap().email, mail);
    }

    async fn a_principals_words_fit_their_limits(site: Site) {
        let world = World::build(site).await;
        let by = &world.owner;
        for id in ["", "Maria", "1maria", ".maria", "_m", "-m", "m@x", "m/x", "é", &"m".repeat(64)] {
            assert_eq!(faults(world::principal(by, ACME, id, person("M", "", "")).await), ["principal_id"], "{id}");
        }
        world::principal(by, ACME, &"m".repeat(63), person("M", "", "")).await.unwrap();
        let longer = format!("{}@a.test", "m".repeat(248));
        for mail in ["maria", "@acme.test", "maria@", "a@b@c", "ma ria@acme.test", &longer] {
            let new = Principal { name: name("member"), ..person("", mail, "") };
            assert_eq!(faults(change(by, new, &["email"]).await), ["principal.email"], "{mail}");
        }
        let longest = format!("{}@a.test", "m".repeat(247));
        let new = Principal { name: name("member"), ..person("", &longest, "") };
        assert_eq!(change(by, new, &["email"]).await.unwrap().email, longest);
        for words in ["", &"x".repeat(129)] {
            let new = Principal { name: name("member"), ..person(words, "", "") };
            assert_eq!(faults(change(by, new, &["display_name"]).await), ["principal.display_name"]);
        }
    }

    async fn a_principal_is_in_a_living_unit_of_its_own_tenant(site: Site) {
        let world = World::build(site).await;
        let by = &world.owner;
        unit::create(by, "sales", "").await.unwrap();
        let sales = "tenants/acme/units/sales";
        let maria = world::principal(by, ACME, "maria", person("Maria", "m@acme.test", sales)).await.unwrap();
        assert_eq!(maria.unit, sales);
        let (none, elsewhere) = ("tenants/acme/units/none", "tenants/globex/units/sales");
        for (unit, how) in [(none, MISSING), (elsewhere, MISSING), ("sales", INVALID)] {
            refused(world::principal(by, ACME, "x", person("X", "", unit)).await, how);
            refused(change(by, Principal { name: name("maria"), ..person("", "", unit) }, &["unit"]).await, how);
        }
        for parent in ["", NORTHWIND] {
            refused(world::principal(&world.admin, parent, "x", person("X", "", sales)).await, INVALID);
        }
        // cleared when the mask says so, kept when it does not
        let new = Principal { name: name("maria"), ..person("Mary", "", "") };
        let kept = change(by, new.clone(), &[]).await.unwrap();
        assert_eq!([&*kept.display_name, &*kept.email, &*kept.unit], ["Mary", "m@acme.test", sales]);
        let cleared = change(by, new, &["*"]).await.unwrap();
        assert_eq!((cleared.email.as_str(), cleared.unit.as_str()), ("", ""));
    }

    async fn suspension_stops_the_next_call_and_resuming_lets_it_through(site: Site) {
        let world = World::build(site).await;
        let (by, member) = (&world.owner, &world.holders["member"]);
        get(member, name("member")).await.unwrap();
        refused(resume(by, "member").await, ILLEGAL);
        let stopped = suspend(by, "member").await.unwrap();
        assert_eq!(stopped.state(), PrincipalState::Suspended);
        refused(get(member, name("member")).await, SUSPENDED);
        refused(suspend(by, "member").await, ILLEGAL);
        assert_eq!(list(by, ACME, "state = SUSPENDED").await.unwrap(), ["member"]);
        // words change meanwhile, and deletion keeps the state
        let new = Principal { name: name("member"), ..person("M", "", "") };
        let renamed = change(by, new, &["display_name"]).await.unwrap();
        assert_eq!(renamed.state(), PrincipalState::Suspended);
        delete(by, "member").await.unwrap();
        refused(resume(by, "member").await, ILLEGAL);
        refused(suspend(by, "member").await, ILLEGAL);
        assert_eq!(undelete(by, "member").await.unwrap().state(), PrincipalState::Suspended);
        assert_eq!(resume(by, "member").await.unwrap().state(), PrincipalState::Active);
        get(member, name("member")).await.unwrap();
        delete(by, "member").await.unwrap();
        refused(get(member, name("member")).await, SUSPENDED);
        for answer in [suspend(by, "nobody").await, resume(by, "nobody").await] {
            refused(answer, MISSING);
        }
    }

    async fn an_agent_does_not_act_while_its_owner_may_not(site: Site) {
        let world = World::build(site).await;
        let by = &world.owner;
        world::user(by, ACME, "maria").await;
        world::principal(by, ACME, "bot", agent(&name("maria"))).await.unwrap();
        world::grant(by, ACME, "bot", Duty::Member).await.unwrap();
        let token = world::token_of(ACME, "bot", TokenKind::Service);
        let bot = world.site.caller(&world::create_token(by, ACME, token).await.unwrap().secret);
        assert_eq!(get(&bot, name("bot")).await.unwrap().state(), PrincipalState::Active);
        suspend(by, "maria").await.unwrap();
        refused(get(&bot, name("bot")).await, SUSPENDED);
        assert_eq!(get(by, name("bot")).await.unwrap().state(), PrincipalState::Active, "it is not suspended itself");
        resume(by, "maria").await.unwrap();
        get(&bot, name("bot")).await.unwrap();
    }

    async fn a_suspension_under_the_same_request_id_is_done_once(site: Site) {
        let world = World::build(site).await;
        let stop = async |id: &str| ask!(world.owner, principal.suspend_principal, SuspendPrincipalRequest {
            name: name(id), request_id: ID,
        });
        let first = stop("member").await.unwrap();
        resume(&world.owner, "member").await.unwrap();
        assert_eq!(stop("member").await.unwrap(), first, "the first answer, though it is active again");
        assert_eq!(get(&world.owner, name("member")).await.unwrap().state(), PrincipalState::Active);
        refused(stop("finance").await, REUSED);
    }

    async fn a_member_gets_itself_and_nobody_else(site: Site) {
        let world = World::build(site).await;
        let member = &world.holders["member"];
        assert_eq!(get(member, name("member")).await.unwrap().name, name("member"));
        // a name that is not there is refused like one that is
        for other in ["owner", "nobody"] {
            refused(get(member, name(other)).await, DENIED);
        }
        refused(list(member, ACME, "").await, DENIED);
        refused(get(member, "principals/root").await, DENIED);
        // the same id elsewhere is somebody else
        world::user(&world.stranger, "tenants/globex", "member").await;
        refused(get(member, "tenants/globex/principals/member").await, MISSING);
        refused(get(member, "partners/northwind/principals/carla").await, MISSING);
        refused(suspend(member, "member").await, DENIED);
        let new = Principal { name: name("member"), ..person("Me", "", "") };
        refused(change(member, new, &["display_name"]).await, DENIED);
    }

    async fn every_scope_has_principals_of_its_own(site: Site) {
        let world = World::build(site).await;
        let boss = &world.holders["partner_admin"];
        let everywhere = [("", &world.admin), (NORTHWIND, boss), (ACME, &world.owner)];
        for (parent, by) in everywhere {
            let made = world::principal(by, parent, "jo.do", person("Jo", "jo@x.test", "")).await.unwrap();
            assert_eq!(made.name, world::child(parent, "principals", "jo.do"));
            assert_eq!(get(by, &made.name).await.unwrap(), made);
            assert_eq!(list(by, parent, "principal_id = \"jo.do\"").await.unwrap(), ["jo.do"]);
            refused(world::principal(by, parent, "jo.do", person("Jo", "", "")).await, TAKEN);
            let new = Principal { display_name: "Joe".to_owned(), ..made.clone() };
            assert_eq!(change(by, new, &[]).await.unwrap().display_name, "Joe");
            let stopped = ask!(by, principal.suspend_principal, SuspendPrincipalRequest { name: made.name.clone() });
            assert_eq!(stopped.unwrap().state(), PrincipalState::Suspended);
            let gone = ask!(by, principal.delete_principal, DeletePrincipalRequest { name: made.name.clone() });
            assert!(gone.unwrap().delete_time.is_some());
            refused(world::principal(by, parent, "jo.do", person("Jo", "", "")).await, TAKEN);
            assert!(list(by, parent, "principal_id = \"jo.do\"").await.unwrap().is_empty());
        }
        assert_eq!(list(boss, NORTHWIND, "").await.unwrap(), ["boss", "carla"]);
        assert_eq!(list(&world.admin, "", "").await.unwrap(), ["auditor", "root"]);
        refused(list(boss, "", "").await, DENIED);
        refused(list(&world.owner, NORTHWIND, "").await, MISSING);
        refused(list(&world.rival, NORTHWIND, "").await, MISSING);
        refused(list(&world.rival, ACME, "").await, MISSING);
        for parent in ["nowhere", "tenants/acme/units/x", "partners/"] {
            assert_eq!(faults(list(&world.admin, parent, "").await), ["parent"], "{parent}");
        }
        for bad in ["", "root", "tenants/acme", "tenants/acme/roles/x", "partners/northwind/principals/"] {
            assert_eq!(faults(get(&world.admin, bad).await), ["name"], "{bad}");
        }
    }
}
