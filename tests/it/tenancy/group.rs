//! Directory groups and who is in them.

use proto::group::v1::{Group, GroupMember};
use tests::{
    World, both_engines,
    site::Caller,
    world::{self, ACME},
};
use tonic::{Code, Status};

use super::{ID, ILLEGAL, INVALID, MISSING, REUSED, TAKEN, faults, ids, mask, refused};

const FIELD: &str = "tenants/acme/groups/field";

fn principal(id: &str) -> String {
    world::child(ACME, "principals", id)
}

/// Creates a group of `acme`.
pub async fn create(by: &Caller, id: &str) -> Result<Group, Status> {
    keyed(by, id, "").await
}

async fn keyed(by: &Caller, id: &str, external_id: &str) -> Result<Group, Status> {
    let new =
        Group { display_name: id.to_owned(), external_id: external_id.to_owned(), ..Default::default() };
    ask!(by, group.create_group, CreateGroupRequest { parent: ACME, group_id: id, group: new })
}

async fn get(by: &Caller, name: &str) -> Result<Group, Status> {
    ask!(by, group.get_group, GetGroupRequest { name: name })
}

async fn change(by: &Caller, new: Group, paths: &[&str]) -> Result<Group, Status> {
    ask!(by, group.update_group, UpdateGroupRequest { group: new, update_mask: mask(paths) })
}

async fn delete(by: &Caller, name: &str) -> Result<Group, Status> {
    ask!(by, group.delete_group, DeleteGroupRequest { name: name })
}

async fn undelete(by: &Caller, name: &str) -> Result<Group, Status> {
    ask!(by, group.undelete_group, UndeleteGroupRequest { name: name })
}

async fn add(by: &Caller, group: &str, member: &str) -> Result<GroupMember, Status> {
    ask!(by, group.add_group_member, AddGroupMemberRequest { name: group, member: member })
}

async fn remove(by: &Caller, group: &str, member: &str) -> Result<GroupMember, Status> {
    ask!(by, group.remove_group_member, RemoveGroupMemberRequest { name: group, member: member })
}

async fn members(by: &Caller, group: &str) -> Vec<String> {
    let page = ask!(by, group.list_group_members, ListGroupMembersRequest { parent: group });
    ids(page.unwrap().members.iter().map(|m| &m.member))
}

both_engines! {
    async fn a_group_is_created_listed_changed_deleted_and_brought_back(site: Site) {
        let world = World::build(site).await;
        let by = &world.owner;
        let made = keyed(by, "field", "cn=field").await.unwrap();
        assert_eq!((made.name.as_str(), made.external_id.as_str()), (FIELD, "cn=field"));
        assert_eq!(get(by, FIELD).await.unwrap(), made);
        create(by, "desk").await.unwrap();
        let list = async |filter: &str, show_deleted: bool| {
            let page = ask!(by, group.list_groups, ListGroupsRequest {
                parent: ACME, filter: filter, order_by: "group_id", show_deleted: show_deleted,
            });
            ids(page.unwrap().groups.iter().map(|g| &g.name))
        };
        assert_eq!(list("", false).await, ["desk", "field"]);
        assert_eq!(list("external_id = \"cn=*\"", false).await, ["field"]);
        let new = Group { name: FIELD.to_owned(), display_name: "Field".to_owned(), ..Default::default() };
        let renamed = change(by, new.clone(), &[]).await.unwrap();
        assert_eq!((renamed.display_name.as_str(), renamed.external_id.as_str()), ("Field", "cn=field"));
        assert_eq!(change(by, new.clone(), &["*"]).await.unwrap().external_id, "");
        assert_eq!(faults(change(by, new.clone(), &["name"]).await), ["update_mask"]);
        let gone = delete(by, FIELD).await.unwrap();
        assert_eq!(get(by, FIELD).await.unwrap(), gone);
        assert_eq!(list("", false).await, ["desk"]);
        assert_eq!(list("", true).await, ["desk", "field"]);
        refused(delete(by, FIELD).await, ILLEGAL);
        refused(change(by, new, &[]).await, ILLEGAL);
        refused(create(by, "field").await, TAKEN);
        assert_eq!(undelete(by, FIELD).await.unwrap().delete_time, None);
        refused(undelete(by, FIELD).await, ILLEGAL);
        refused(get(by, "tenants/acme/groups/none").await, MISSING);
        refused(get(&world.stranger, FIELD).await, MISSING);
    }

    async fn a_directorys_key_is_used_once_among_the_living_of_a_tenant(site: Site) {
        let world = World::build(site).await;
        let by = &world.owner;
        assert_eq!(faults(keyed(by, "field", &"x".repeat(257)).await), ["group.external_id"]);
        let key = "x".repeat(256);
        keyed(by, "field", &key).await.unwrap();
        refused(keyed(by, "desk", &key).await, TAKEN);
        let both = refused(keyed(by, "field", &key).await, TAKEN);
        assert!(both.message().contains(FIELD), "a taken id is named before a taken key: {}", both.message());
        create(by, "a").await.unwrap();
        create(by, "b").await.unwrap();
        let new = Group { name: "tenants/acme/groups/a".to_owned(), external_id: key.clone(), ..Default::default() };
        refused(change(by, new.clone(), &["external_id"]).await, TAKEN);
        delete(by, FIELD).await.unwrap();
        assert_eq!(change(by, new.clone(), &["external_id"]).await.unwrap().external_id, key);
        refused(undelete(by, FIELD).await, TAKEN);
        change(by, Group { external_id: String::new(), ..new }, &["external_id"]).await.unwrap();
        assert_eq!(undelete(by, FIELD).await.unwrap().external_id, key);
        for id in ["", "Field", "a.b", &"a".repeat(64)] {
            assert_eq!(faults(create(by, id).await), ["group_id"]);
        }
    }

    async fn members_come_and_go_once_each(site: Site) {
        let world = World::build(site).await;
        let by = &world.owner;
        create(by, "field").await.unwrap();
        let added = add(by, FIELD, &principal("member")).await.unwrap();
        assert_eq!(added.member, principal("member"));
        assert_eq!(added.create_time, Some(world.site.kernel().clock.now().into()));
        refused(add(by, FIELD, &principal("member")).await, TAKEN);
        add(by, FIELD, &principal("admin")).await.unwrap();
        assert_eq!(members(by, FIELD).await, ["member", "admin"], "oldest first");
        assert_eq!(remove(by, FIELD, &principal("member")).await.unwrap(), added);
        refused(remove(by, FIELD, &principal("member")).await, MISSING);
        assert_eq!(members(by, FIELD).await, ["admin"]);
        add(by, FIELD, &principal("member")).await.unwrap();
        assert_eq!(members(by, FIELD).await, ["admin", "member"]);
        for (member, how) in [
            (principal("nobody"), MISSING),
            ("tenants/globex/principals/owner".to_owned(), MISSING),
            ("tenants/acme/groups/field".to_owned(), INVALID),
            ("principals/root".to_owned(), INVALID),
            (String::new(), INVALID),
        ] {
            refused(add(by, FIELD, &member).await, how);
            refused(remove(by, FIELD, &member).await, how);
        }
        let none = "tenants/acme/groups/none";
        refused(add(by, none, &principal("member")).await, MISSING);
        refused(remove(by, none, &principal("member")).await, MISSING);
        refused(ask!(by, group.list_group_members, ListGroupMembersRequest { parent: none }), MISSING);
        refused(add(&world.stranger, FIELD, "tenants/globex/principals/owner").await, MISSING);
    }

    async fn the_deleted_neither_join_nor_count(site: Site) {
        let world = World::build(site).await;
        let by = &world.owner;
        create(by, "field").await.unwrap();
        add(by, FIELD, &principal("member")).await.unwrap();
        add(by, FIELD, &principal("admin")).await.unwrap();
        ask!(by, principal.delete_principal, DeletePrincipalRequest { name: principal("member") }).unwrap();
        assert_eq!(members(by, FIELD).await, ["admin"]);
        refused(add(by, FIELD, &principal("member")).await, MISSING);
        ask!(by, principal.undelete_principal, UndeletePrincipalRequest { name: principal("member") }).unwrap();
        assert_eq!(members(by, FIELD).await, ["member", "admin"], "it comes back as it was");
        delete(by, FIELD).await.unwrap();
        refused(add(by, FIELD, &principal("finance")).await, ILLEGAL);
        assert_eq!(members(by, FIELD).await, ["member", "admin"]);
        remove(by, FIELD, &principal("member")).await.unwrap();
        undelete(by, FIELD).await.unwrap();
        assert_eq!(members(by, FIELD).await, ["admin"]);
    }

    async fn members_are_listed_in_pages_that_hold_each_once(site: Site) {
        let world = World::build(site).await;
        let by = &world.owner;
        create(by, "field").await.unwrap();
        create(by, "desk").await.unwrap();
        let mut joined = Vec::new();
        for n in 0..11 {
            let id = format!("p{:02}", (n * 7) % 11);
            world::user(by, ACME, &id).await;
            add(by, FIELD, &principal(&id)).await.unwrap();
            joined.push(id);
        }
        let page = async |parent: &str, page_size: i32, page_token: &str| {
            ask!(by, group.list_group_members, ListGroupMembersRequest {
                parent: parent, page_size: page_size, page_token: page_token,
            })
        };
        for size in [1, 4, 11, 1_000] {
            let (mut seen, mut token) = (Vec::new(), String::new());
            loop {
                let answer = page(FIELD, size, &token).await.unwrap();
                seen.extend(ids(answer.members.iter().map(|m| &m.member)));
                token = answer.next_page_token;
                if token.is_empty() {
                    break;
                }
            }
            assert_eq!(seen, joined, "{size} a page");
        }
        let first = page(FIELD, 4, "").await.unwrap().next_page_token;
        let wrong = (Code::InvalidArgument, "INVALID_PAGE_TOKEN");
        refused(page("tenants/acme/groups/desk", 4, &first).await, wrong);
        refused(page(FIELD, 4, &format!("{first}x")).await, wrong);
        refused(page(FIELD, -1, "").await, INVALID);
    }

    async fn adding_a_member_under_the_same_request_id_is_done_once(site: Site) {
        let world = World::build(site).await;
        create(&world.owner, "field").await.unwrap();
        let add = async |id: &str| ask!(world.owner, group.add_group_member, AddGroupMemberRequest {
            name: FIELD, member: principal(id), request_id: ID,
        });
        let first = add("member").await.unwrap();
        world.site.advance(std::time::Duration::from_mins(1));
        assert_eq!(add("member").await.unwrap(), first, "not refused as added twice");
        refused(add("admin").await, REUSED);
        assert_eq!(members(&world.owner, FIELD).await, ["member"]);
    }

    async fn a_membership_is_tried_without_being_made(site: Site) {
        let world = World::build(site).await;
        let by = &world.owner;
        create(by, "field").await.unwrap();
        let member = principal("member");
        ask!(by, group.add_group_member, AddGroupMemberRequest {
            name: FIELD, member: member.clone(), validate_only: true,
        }).unwrap();
        assert!(members(by, FIELD).await.is_empty());
        add(by, FIELD, &member).await.unwrap();
        ask!(by, group.remove_group_member, RemoveGroupMemberRequest {
            name: FIELD, member: member.clone(), validate_only: true,
        }).unwrap();
        assert_eq!(members(by, FIELD).await, ["member"]);
        refused(ask!(by, group.add_group_member, AddGroupMemberRequest {
            name: FIELD, member: member, validate_only: true,
        }), TAKEN);
    }
}
