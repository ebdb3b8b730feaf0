//! Random histories of a tenant over the wire, beside the model.

use std::collections::BTreeSet;

use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};
use proto::{
    principal::v1::{Principal as Person, PrincipalState},
    unit::v1 as pb,
};
use tests::{both_engines, raw, site::Caller, world};
use tonic::Status;

use super::{
    every::{request, standard},
    mask,
    model::{Model, Noun, Op, history, local},
    principal::person,
};
use crate::errors::reason;

/// One of the standard methods, which all nouns have alike.
async fn plain(by: &Caller, verb: &str, noun: Noun, texts: &[(&str, &str)]) -> Result<(), Status> {
    let method = standard(verb, &format!("{noun:?}"));
    raw::call(by, &method, request(&method, texts)).await.map(drop)
}

/// The same call over the wire.
async fn call(by: &Caller, tenant: &str, op: Op) -> Result<(), Status> {
    use Noun::{Group, Principal, Role, Unit};
    let name = |noun, id| format!("{tenant}/{}", local(noun, id));
    let above = |unit: Option<usize>| unit.map_or_else(String::new, |unit| name(Unit, unit));
    match op {
        Op::Create(Principal, id) => {
            world::principal(by, tenant, &format!("x{id}"), person("new", "", "")).await.map(drop)
        }
        Op::Create(noun, id) => {
            let word = format!("{noun:?}").to_lowercase();
            let (own, words) = (format!("{word}_id"), format!("{word}.display_name"));
            plain(by, "Create", noun, &[("parent", tenant), (&own, &format!("x{id}")), (&words, "new")]).await
        }
        Op::Rename(noun, id, words) => {
            let word = format!("{noun:?}").to_lowercase();
            let fields = (format!("{word}.name"), format!("{word}.display_name"));
            plain(by, "Update", noun, &[(&fields.0, &name(noun, id)), (&fields.1, &words.to_string())]).await
        }
        Op::Delete(noun, id) => plain(by, "Delete", noun, &[("name", &name(noun, id))]).await,
        Op::Undelete(noun, id) => plain(by, "Undelete", noun, &[("name", &name(noun, id))]).await,
        Op::Suspend(id) => plain(by, "Suspend", Principal, &[("name", &name(Principal, id))]).await,
        Op::Resume(id) => plain(by, "Resume", Principal, &[("name", &name(Principal, id))]).await,
        Op::Move(id, unit) => {
            let new = pb::Unit { name: name(Unit, id), parent_unit: above(unit), ..Default::default() };
            let mask = mask(&["parent_unit"]);
            ask!(by, unit.update_unit, UpdateUnitRequest { unit: new, update_mask: mask }).map(drop)
        }
        Op::Place(id, unit) => {
            let new = Person { name: name(Principal, id), ..person("", "", &above(unit)) };
            let mask = mask(&["unit"]);
            ask!(by, principal.update_principal, UpdatePrincipalRequest { principal: new, update_mask: mask })
                .map(drop)
        }
        Op::Join(group, id) => ask!(
            by,
            group.add_group_member,
            AddGroupMemberRequest { name: name(Group, group), member: name(Principal, id) }
        )
        .map(drop),
        Op::Leave(group, id) => ask!(
            by,
            group.remove_group_member,
            RemoveGroupMemberRequest { name: name(Group, group), member: name(Principal, id) }
        )
        .map(drop),
        Op::Hold(role, (kind, id)) => ask!(
            by,
            role.add_role_member,
            AddRoleMemberRequest { name: name(Role, role), member: name(kind, id) }
        )
        .map(drop),
        Op::Drop(role, (kind, id)) => ask!(
            by,
            role.remove_role_member,
            RemoveRoleMemberRequest { name: name(Role, role), member: name(kind, id) }
        )
        .map(drop),
        Op::Include(role, other) => ask!(
            by,
            role.include_role,
            IncludeRoleRequest { name: name(Role, role), included_role: name(Role, other) }
        )
        .map(drop),
        Op::Exclude(role, other) => ask!(
            by,
            role.exclude_role,
            ExcludeRoleRequest { name: name(Role, role), included_role: name(Role, other) }
        )
        .map(drop),
    }
}

/// All that the lists show, in the model's words.
async fn listed(by: &Caller, tenant: &str) -> Result<BTreeSet<String>, Status> {
    let mut lines = BTreeSet::new();
    for u in ask!(by, unit.list_units, ListUnitsRequest { parent: tenant, show_deleted: true })?.units {
        lines.insert(format!(
            "{} {} {} false {}",
            u.name,
            u.display_name,
            u.delete_time.is_some(),
            u.parent_unit
        ));
    }
    let people =
        ask!(by, principal.list_principals, ListPrincipalsRequest { parent: tenant, show_deleted: true })?;
    for p in people.principals {
        let suspended = p.state() == PrincipalState::Suspended;
        lines.insert(format!(
            "{} {} {} {suspended} {}",
            p.name,
            p.display_name,
            p.delete_time.is_some(),
            p.unit
        ));
    }
    for g in ask!(by, group.list_groups, ListGroupsRequest { parent: tenant, show_deleted: true })?.groups {
        lines.insert(format!("{} {} {} false ", g.name, g.display_name, g.delete_time.is_some()));
        let members =
            ask!(by, group.list_group_members, ListGroupMembersRequest { parent: g.name.clone() })?.members;
        lines.extend(members.into_iter().map(|m| format!("{} has {}", g.name, m.member)));
    }
    for r in ask!(by, role.list_roles, ListRolesRequest { parent: tenant, show_deleted: true })?.roles {
        lines.insert(format!("{} {} {} false ", r.name, r.display_name, r.delete_time.is_some()));
        let members =
            ask!(by, role.list_role_members, ListRoleMembersRequest { parent: r.name.clone() })?.members;
        lines.extend(members.into_iter().map(|m| format!("{} is held by {}", r.name, m.member)));
        lines.extend(r.included_roles.into_iter().map(|other| format!("{} takes in {other}", r.name)));
    }
    let within = format!("{tenant}/");
    Ok(lines.into_iter().map(|line| line.replace(&within, "")).collect())
}

/// Lives through one history in a tenant of its own.
async fn live(by: &Caller, tenant: &str, ops: &[Op]) -> Result<(), TestCaseError> {
    world::tenant(by, tenant, world::NORTHWIND).await.unwrap();
    let tenant = format!("tenants/{tenant}");
    let mut model = Model::default();
    for (n, op) in ops.iter().enumerate() {
        let expected = model.apply(*op).err().unwrap_or("OK");
        let found = call(by, &tenant, *op).await.err().map_or_else(|| "OK".to_owned(), |e| reason(&e));
        prop_assert_eq!(found, expected, "at {}: {:?}\n{:#?}", n, op, model);
    }
    prop_assert_eq!(listed(by, &tenant).await.unwrap(), model.lines());
    Ok(())
}

both_engines! {
    async fn any_history_goes_as_in_the_model_and_ends_where_it_ends(site: Site) {
        let admin = site.admin().await;
        world::partner(&admin, "northwind").await;
        let lived = std::cell::Cell::new(0);
        tokio::task::block_in_place(|| {
            let config = Config { cases: 24, max_shrink_iters: 100, failure_persistence: None, ..Config::default() };
            let outcome = TestRunner::new(config).run(&history(), |ops| {
                lived.set(lived.get() + 1);
                let tenant = format!("t{}", lived.get());
                tokio::runtime::Handle::current().block_on(live(&admin, &tenant, &ops))
            });
            outcome.unwrap_or_else(|e| panic!("{e}"));
        });
    }
}
