//! Job roles: who holds them, and which roles they take in.

use proto::role::v1::{Role, RoleFamily, RoleMember};
use tests::{
    World, both_engines,
    site::Caller,
    world::{self, ACME},
};
use tonic::Status;

use super::{CYCLE, ID, ILLEGAL, INVALID, MISSING, REUSED, TAKEN, faults, group, ids, mask, refused};

fn name(id: &str) -> String {
    world::child(ACME, "roles", id)
}

fn principal(id: &str) -> String {
    world::child(ACME, "principals", id)
}

async fn get(by: &Caller, id: &str) -> Result<Role, Status> {
    ask!(by, role.get_role, GetRoleRequest { name: name(id) })
}

async fn change(by: &Caller, new: Role, paths: &[&str]) -> Result<Role, Status> {
    ask!(by, role.update_role, UpdateRoleRequest { role: new, update_mask: mask(paths) })
}

async fn delete(by: &Caller, id: &str) -> Result<Role, Status> {
    ask!(by, role.delete_role, DeleteRoleRequest { name: name(id) })
}

async fn undelete(by: &Caller, id: &str) -> Result<Role, Status> {
    ask!(by, role.undelete_role, UndeleteRoleRequest { name: name(id) })
}

async fn include(by: &Caller, id: &str, included: &str) -> Result<Role, Status> {
    ask!(by, role.include_role, IncludeRoleRequest { name: name(id), included_role: name(included) })
}

async fn exclude(by: &Caller, id: &str, included: &str) -> Result<Role, Status> {
    ask!(by, role.exclude_role, ExcludeRoleRequest { name: name(id), included_role: name(included) })
}

async fn add(by: &Caller, id: &str, member: &str) -> Result<RoleMember, Status> {
    ask!(by, role.add_role_member, AddRoleMemberRequest { name: name(id), member: member })
}

async fn remove(by: &Caller, id: &str, member: &str) -> Result<RoleMember, Status> {
    ask!(by, role.remove_role_member, RemoveRoleMemberRequest { name: name(id), member: member })
}

async fn members(by: &Caller, id: &str) -> Vec<String> {
    let page = ask!(by, role.list_role_members, ListRoleMembersRequest { parent: name(id) }).unwrap();
    page.members.into_iter().map(|m| m.member.replace("tenants/acme/", "")).collect()
}

/// Roles of those ids.
async fn roles(world: &World, ids: &[&str]) {
    for id in ids {
        world.role(id).await;
    }
}

/// `{prefix}1` takes in `{prefix}2` takes in …: `n` roles.
async fn chain(world: &World, prefix: &str, n: usize) {
    world.role(&format!("{prefix}1")).await;
    for i in 2..=n {
        let (above, id) = (format!("{prefix}{}", i - 1), format!("{prefix}{i}"));
        world.role(&id).await;
        include(&world.owner, &above, &id).await.unwrap();
    }
}

both_engines! {
    async fn a_role_is_created_listed_changed_deleted_and_brought_back(site: Site) {
        let world = World::build(site).await;
        let by = &world.owner;
        roles(&world, &["banker", "sales"]).await;
        let new = Role { name: name("banker"), description: "Deals".to_owned(), ..Default::default() };
        let described = change(by, new.clone(), &[]).await.unwrap();
        assert_eq!((described.display_name.as_str(), described.description.as_str()), ("A role", "Deals"));
        assert_eq!(get(by, "banker").await.unwrap(), described);
        let cleared = change(by, Role { description: String::new(), ..new.clone() }, &["description"]).await.unwrap();
        assert_eq!((cleared.display_name.as_str(), cleared.description.as_str()), ("A role", ""));
        assert_eq!(faults(change(by, new.clone(), &["*"]).await), ["role.display_name"]);
        assert_eq!(faults(change(by, new.clone(), &["included_roles"]).await), ["update_mask"]);
        let list = async |show_deleted: bool| {
            let page = ask!(by, role.list_roles, ListRolesRequest {
                parent: ACME, order_by: "role_id desc", show_deleted: show_deleted,
            });
            ids(page.unwrap().roles.iter().map(|r| &r.name))
        };
        assert_eq!(list(false).await, ["sales", "banker"]);
        let gone = delete(by, "banker").await.unwrap();
        assert_eq!(get(by, "banker").await.unwrap(), gone);
        assert_eq!(list(false).await, ["sales"]);
        assert_eq!(list(true).await, ["sales", "banker"]);
        refused(delete(by, "banker").await, ILLEGAL);
        refused(change(by, new, &[]).await, ILLEGAL);
        assert_eq!(undelete(by, "banker").await.unwrap().delete_time, None);
        refused(undelete(by, "banker").await, ILLEGAL);
        refused(get(by, "none").await, MISSING);
        let long = Role { name: name("sales"), description: "é".repeat(1_024), ..Default::default() };
        change(by, long.clone(), &[]).await.unwrap();
        let longer = Role { description: "é".repeat(1_025), ..long };
        assert_eq!(faults(change(by, longer, &[]).await), ["role.description"]);
    }

    async fn a_role_has_a_family_that_is_set_changed_cleared_and_filtered_by(site: Site) {
        let world = World::build(site).await;
        let by = &world.owner;
        let new = Role { display_name: "Developer".to_owned(), family: RoleFamily::Developer.into(), ..Default::default() };
        let made = ask!(by, role.create_role, CreateRoleRequest { parent: ACME, role_id: "dev", role: new }).unwrap();
        assert_eq!(made.family(), RoleFamily::Developer);
        roles(&world, &["banker", "other"]).await;
        let banker = Role { name: name("banker"), family: RoleFamily::NonDeveloper.into(), ..Default::default() };
        assert_eq!(change(by, banker.clone(), &[]).await.unwrap().family(), RoleFamily::NonDeveloper);
        assert_eq!(get(by, "banker").await.unwrap().family(), RoleFamily::NonDeveloper);
        let list = async |filter: &str| {
            let page = ask!(by, role.list_roles, ListRolesRequest { parent: ACME, filter: filter, order_by: "role_id" });
            ids(page.unwrap().roles.iter().map(|r| &r.name))
        };
        assert_eq!(list("family = NON_DEVELOPER").await, ["banker"]);
        assert_eq!(list("family != developer").await, ["banker", "other"]);
        assert_eq!(list("family = unspecified").await, ["other"]);
        // without the mask an unset field says nothing, with it it clears
        let unset = Role { name: name("banker"), description: "Deals".to_owned(), ..Default::default() };
        assert_eq!(change(by, unset.clone(), &[]).await.unwrap().family(), RoleFamily::NonDeveloper);
        assert_eq!(change(by, unset, &["family"]).await.unwrap().family(), RoleFamily::Unspecified);
        assert_eq!(faults(change(by, Role { family: 3, ..banker }, &[]).await), ["role.family"]);
    }

    async fn principals_and_groups_hold_a_role_once_each(site: Site) {
        let world = World::build(site).await;
        let by = &world.owner;
        roles(&world, &["sales"]).await;
        let group = group::create(by, "field").await.unwrap().name;
        // a principal and a group of one id are two holders
        world::user(by, ACME, "field").await;
        for member in [principal("member"), group.clone(), principal("field")] {
            let added = add(by, "sales", &member).await.unwrap();
            assert_eq!(added.member, member);
            refused(add(by, "sales", &member).await, TAKEN);
        }
        assert_eq!(members(by, "sales").await, ["principals/member", "groups/field", "principals/field"]);
        assert_eq!(remove(by, "sales", &group).await.unwrap().member, group);
        refused(remove(by, "sales", &group).await, MISSING);
        assert_eq!(members(by, "sales").await, ["principals/member", "principals/field"]);
        for (member, how) in [
            (principal("nobody"), MISSING),
            ("tenants/acme/groups/none".to_owned(), MISSING),
            ("tenants/globex/principals/owner".to_owned(), MISSING),
            ("tenants/globex/groups/field".to_owned(), MISSING),
            ("partners/northwind/principals/carla".to_owned(), INVALID),
            (name("sales"), INVALID),
            (String::new(), INVALID),
        ] {
            refused(add(by, "sales", &member).await, how);
            refused(remove(by, "sales", &member).await, how);
        }
        refused(add(by, "none", &principal("member")).await, MISSING);
        refused(remove(by, "none", &principal("member")).await, MISSING);
        refused(ask!(by, role.list_role_members, ListRoleMembersRequest { parent: name("none") }), MISSING);
    }

    async fn the_deleted_neither_take_a_role_nor_hold_it(site: Site) {
        let world = World::build(site).await;
        let by = &world.owner;
        roles(&world, &["sales"]).await;
        let group = group::create(by, "field").await.unwrap().name;
        add(by, "sales", &principal("member")).await.unwrap();
        add(by, "sales", &group).await.unwrap();
        ask!(by, principal.delete_principal, DeletePrincipalRequest { name: principal("member") }).unwrap();
        ask!(by, group.delete_group, DeleteGroupRequest { name: group.clone() }).unwrap();
        assert!(members(by, "sales").await.is_empty());
        refused(add(by, "sales", &principal("member")).await, MISSING);
        refused(add(by, "sales", &group).await, MISSING);
        // what is hidden can still be taken away
        remove(by, "sales", &group).await.unwrap();
        ask!(by, group.undelete_group, UndeleteGroupRequest { name: group.clone() }).unwrap();
        ask!(by, principal.undelete_principal, UndeletePrincipalRequest { name: principal("member") }).unwrap();
        assert_eq!(members(by, "sales").await, ["principals/member"]);
        delete(by, "sales").await.unwrap();
        refused(add(by, "sales", &group).await, ILLEGAL);
        assert_eq!(members(by, "sales").await, ["principals/member"]);
        remove(by, "sales", &principal("member")).await.unwrap();
        undelete(by, "sales").await.unwrap();
        assert!(members(by, "sales").await.is_empty());
    }

    async fn holders_are_listed_in_pages_that_hold_each_once(site: Site) {
        let world = World::build(site).await;
        let by = &world.owner;
        roles(&world, &["sales"]).await;
        let mut joined = Vec::new();
        for n in 0..9 {
            let id = format!("h{}", (n * 5) % 9);
            let member = if n % 2 == 0 {
                group::create(by, &id).await.unwrap().name
            } else {
                world::user(by, ACME, &id).await.name
            };
            add(by, "sales", &member).await.unwrap();
            joined.push(member);
        }
        for size in [1, 4, 9, 0] {
            let (mut seen, mut token) = (Vec::new(), String::new());
            loop {
                let answer = ask!(by, role.list_role_members, ListRoleMembersRequest {
                    parent: name("sales"), page_size: size, page_token: token,
                });
                let answer = answer.unwrap();
                seen.extend(answer.members.into_iter().map(|m| m.member));
                token = answer.next_page_token;
                if token.is_empty() {
                    break;
                }
            }
            assert_eq!(seen, joined, "{size} a page");
        }
    }

    async fn adding_a_holder_under_the_same_request_id_is_done_once(site: Site) {
        let world = World::build(site).await;
        roles(&world, &["sales"]).await;
        let add = async |id: &str| ask!(world.owner, role.add_role_member, AddRoleMemberRequest {
            name: name("sales"), member: principal(id), request_id: ID,
        });
        let first = add("member").await.unwrap();
        remove(&world.owner, "sales", &principal("member")).await.unwrap();
        assert_eq!(add("member").await.unwrap(), first, "the first answer");
        assert!(members(&world.owner, "sales").await.is_empty(), "and nothing done again");
        refused(add("admin").await, REUSED);
    }

    async fn a_role_takes_others_in_and_gives_them_up(site: Site) {
        let world = World::build(site).await;
        let by = &world.owner;
        roles(&world, &["lead", "sales", "analyst"]).await;
        let before = get(by, "lead").await.unwrap();
        let grown = include(by, "lead", "sales").await.unwrap();
        assert_eq!(grown.included_roles, [name("sales")]);
        assert_ne!(grown.etag, before.etag);
        assert_eq!(include(by, "lead", "analyst").await.unwrap().included_roles, [name("analyst"), name("sales")]);
        refused(include(by, "lead", "sales").await, TAKEN);
        assert_eq!(exclude(by, "lead", "sales").await.unwrap().included_roles, [name("analyst")]);
        assert_eq!(get(by, "lead").await.unwrap().included_roles, [name("analyst")]);
        refused(exclude(by, "lead", "sales").await, MISSING);
        let elsewhere = "tenants/globex/roles/sales".to_owned();
        for (other, how) in [(name("none"), MISSING), (elsewhere, MISSING), (principal("member"), INVALID)] {
            let lead = name("lead");
            let answer = ask!(by, role.include_role, IncludeRoleRequest { name: lead.clone(), included_role: &other });
            refused(answer, how);
            refused(ask!(by, role.exclude_role, ExcludeRoleRequest { name: lead, included_role: other }), how);
        }
        refused(include(by, "none", "sales").await, MISSING);
        refused(exclude(by, "none", "sales").await, MISSING);
        // the deleted neither take in nor are taken in, but what was taken in can be given up
        delete(by, "sales").await.unwrap();
        refused(include(by, "lead", "sales").await, ILLEGAL);
        refused(include(by, "sales", "lead").await, ILLEGAL);
        delete(by, "analyst").await.unwrap();
        assert!(exclude(by, "lead", "analyst").await.unwrap().included_roles.is_empty());
    }

    async fn roles_never_include_each_other(site: Site) {
        let world = World::build(site).await;
        let by = &world.owner;
        chain(&world, "r", 4).await;
        refused(include(by, "r1", "r1").await, CYCLE);
        refused(include(by, "r2", "r1").await, CYCLE);
        refused(include(by, "r4", "r1").await, CYCLE);
        include(by, "r1", "r4").await.unwrap();
        // a deleted link still counts: it may come back
        delete(by, "r3").await.unwrap();
        refused(include(by, "r4", "r2").await, CYCLE);
        undelete(by, "r3").await.unwrap();
        exclude(by, "r2", "r3").await.unwrap();
        exclude(by, "r1", "r4").await.unwrap();
        assert_eq!(include(by, "r4", "r1").await.unwrap().included_roles, [name("r1")]);
    }

    async fn a_chain_of_inclusions_is_eight_deep_and_not_nine(site: Site) {
        let world = World::build(site).await;
        let by = &world.owner;
        chain(&world, "r", 8).await;
        roles(&world, &["top", "end"]).await;
        refused(include(by, "r8", "end").await, CYCLE);
        refused(include(by, "top", "r1").await, CYCLE);
        include(by, "r7", "end").await.unwrap();
        include(by, "top", "r2").await.unwrap();
        chain(&world, "s", 4).await;
        refused(include(by, "r5", "s1").await, CYCLE);
        include(by, "r4", "s1").await.unwrap();
        assert!(get(by, "r8").await.unwrap().included_roles.is_empty());
    }

    async fn two_opposite_inclusions_at_once_never_both_succeed(site: Site) {
        let world = World::build(site).await;
        let by = &world.owner;
        roles(&world, &["a", "b", "c"]).await;
        for round in 0..20 {
            let (left, right) = tokio::join!(include(by, "a", "b"), include(by, "b", "a"));
            assert!(left.is_ok() != right.is_ok(), "round {round}: {left:?} {right:?}");
            let (role, other) = if left.is_ok() { ("a", "b") } else { ("b", "a") };
            refused(left.and(right), CYCLE);
            exclude(by, role, other).await.unwrap();
        }
        // nor a circle of three
        for round in 0..20 {
            let (ab, bc, ca) = tokio::join!(include(by, "a", "b"), include(by, "b", "c"), include(by, "c", "a"));
            assert_eq!([&ab, &bc, &ca].iter().filter(|answer| answer.is_ok()).count(), 2, "round {round}");
            for (answer, role, other) in [(ab, "a", "b"), (bc, "b", "c"), (ca, "c", "a")] {
                match answer {
                    Ok(_) => drop(exclude(by, role, other).await.unwrap()),
                    late => drop(refused(late, CYCLE)),
                }
            }
        }
    }
}
