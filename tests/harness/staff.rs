//! Who holds what in `tenants/acme`; ids and last segments throughout.

use proto::{
    group::v1::{self as group, group_service_client::GroupServiceClient},
    principal::v1::{self as principal, PrincipalKind},
    role::v1::{self as role, role_service_client::RoleServiceClient},
    token::v1::TokenKind,
    unit::v1::{self as unit, unit_service_client::UnitServiceClient},
};

use crate::{
    site::Caller,
    world::{self, ACME, child},
};

/// Gives a role to `principals/{id}` or `groups/{id}`.
pub async fn give(by: &Caller, role: &str, member: &str) {
    let request = role::AddRoleMemberRequest {
        name: child(ACME, "roles", role),
        member: format!("{ACME}/{member}"),
        ..Default::default()
    };
    RoleServiceClient::new(by.channel.clone()).add_role_member(by.ask(request)).await.unwrap();
}

/// Takes a role away again.
pub async fn take(by: &Caller, role: &str, member: &str) {
    let request = role::RemoveRoleMemberRequest {
        name: child(ACME, "roles", role),
        member: format!("{ACME}/{member}"),
        ..Default::default()
    };
    RoleServiceClient::new(by.channel.clone()).remove_role_member(by.ask(request)).await.unwrap();
}

/// Deletes a role.
pub async fn delete_role(by: &Caller, role: &str) {
    let request = role::DeleteRoleRequest { name: child(ACME, "roles", role), ..Default::default() };
    RoleServiceClient::new(by.channel.clone()).delete_role(by.ask(request)).await.unwrap();
}

/// Lets a role take in another one.
pub async fn include(by: &Caller, role: &str, included: &str) {
    let request = role::IncludeRoleRequest {
        name: child(ACME, "roles", role),
        included_role: child(ACME, "roles", included),
        ..Default::default()
    };
    RoleServiceClient::new(by.channel.clone()).include_role(by.ask(request)).await.unwrap();
}

/// Creates a group of `members`.
pub async fn group(by: &Caller, id: &str, members: &[&str]) {
    let mut client = GroupServiceClient::new(by.channel.clone());
    let new = group::Group { display_name: id.to_owned(), ..Default::default() };
    let request = group::CreateGroupRequest {
        parent: ACME.to_owned(),
        group_id: id.to_owned(),
        group: Some(new),
        ..Default::default()
    };
    client.create_group(by.ask(request)).await.unwrap();
    for member in members {
        let request = group::AddGroupMemberRequest {
            name: child(ACME, "groups", id),
            member: child(ACME, "principals", member),
            ..Default::default()
        };
        client.add_group_member(by.ask(request)).await.unwrap();
    }
}

/// Creates a unit.
pub async fn unit(by: &Caller, id: &str) {
    let new = unit::Unit { display_name: id.to_owned(), ..Default::default() };
    let request = unit::CreateUnitRequest {
        parent: ACME.to_owned(),
        unit_id: id.to_owned(),
        unit: Some(new),
        ..Default::default()
    };
    UnitServiceClient::new(by.channel.clone()).create_unit(by.ask(request)).await.unwrap();
}

/// Creates a user in a unit.
pub async fn user(by: &Caller, id: &str, unit: &str) {
    let new = principal::Principal {
        kind: PrincipalKind::User.into(),
        display_name: id.to_owned(),
        unit: child(ACME, "units", unit),
        ..Default::default()
    };
    world::principal(by, ACME, id, new).await.unwrap();
}

/// Creates an agent.
pub async fn agent(by: &Caller, id: &str, owner: &str) {
    let new = principal::Principal {
        kind: PrincipalKind::Agent.into(),
        display_name: id.to_owned(),
        owner: child(ACME, "principals", owner),
        ..Default::default()
    };
    world::principal(by, ACME, id, new).await.unwrap();
}

/// The secret of a new ingest token of a principal, or of the whole tenant when `id` is empty.
pub async fn ingest_token(by: &Caller, id: &str) -> String {
    world::create_token(by, ACME, world::token_of(ACME, id, TokenKind::Ingest)).await.unwrap().secret
}
