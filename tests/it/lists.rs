//! Filters, orders and pages, against a model in memory.

use std::{collections::BTreeSet, time::Duration};

use proto::{
    catalog::v1::Stage,
    role::v1::{self as role, role_service_client::RoleServiceClient},
};
use serde_json::json;
use tests::{World, both_engines, market, raw, sets, site::Caller, staff, world};
use tonic::{Code, Status};

use crate::errors::reason;

/// What a list is ordered by.
type Key = fn(&role::Role) -> String;
/// What a filter means.
type Model = Box<dyn Fn(&role::Role) -> bool>;

const WORDS: [&str; 6] = ["banker", "broker", "analyst", "Analyst Prime", "50% off_er", "naïve'--"];

/// Sixty roles whose names repeat, created a minute apart.
async fn sixty(world: &World) -> Vec<role::Role> {
    let mut made = Vec::new();
    for n in 0..60_usize {
        let (id, name) = (format!("role-{:02}", (n * 37) % 60), WORDS[n % WORDS.len()]);
        made.push(world::create_role(&world.owner, &id, name).await.unwrap());
        if n % 2 == 0 {
            world.site.advance(Duration::from_mins(1));
        }
    }
    made
}

async fn page(by: &Caller, request: role::ListRolesRequest) -> Result<role::ListRolesResponse, Status> {
    let request = role::ListRolesRequest { parent: world::ACME.to_owned(), ..request };
    Ok(RoleServiceClient::new(by.channel.clone()).list_roles(by.ask(request)).await?.into_inner())
}

/// All pages, of `size` rows each.
async fn all(by: &Caller, filter: &str, order_by: &str, size: i32) -> Vec<role::Role> {
    let (mut rows, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = role::ListRolesRequest {
            filter: filter.to_owned(),
            order_by: order_by.to_owned(),
            page_size: size,
            page_token,
            ..Default::default()
        };
        let answer = page(by, request).await.unwrap();
        assert!(answer.roles.len() <= usize::try_from(size).unwrap());
        rows.extend(answer.roles);
        if answer.next_page_token.is_empty() {
            return rows;
        }
        page_token = answer.next_page_token;
    }
}

fn ids(rows: &[role::Role]) -> Vec<String> {
    rows.iter().map(|r| r.name.rsplit('/').next().unwrap().to_owned()).collect()
}

/// Lists that are not paged, filtered and ordered like all others. This list only shrinks.
const OF_THEIR_OWN: [&str; 4] = [
    // the built-in ones and a few of the tenant's own, page by page
    "provost.usage.v1.UsageService/ListMeters",
    // answers about a moment and about decisions, whose rows are no resources
    "provost.audit.v1.AuditService/ListAccessAsOf",
    "provost.decision.v1.DecisionService/ListUsable",
    "provost.decision.v1.DecisionService/ListPrincipals",
];

both_engines! {
    async fn every_list_of_the_contract_pages_filters_and_orders(site: Site) {
        let world = World::build(site).await;
        let (admin, owner) = (&world.admin, &world.owner);
        market::import(admin, &market::small(&["kit"])).await.unwrap();
        world.role("banker").await;
        staff::group(owner, "desk", &["member"]).await;
        sets::plugin_group(owner, "research", &["kit"]).await.unwrap();
        sets::seat_pool(owner, "standard", &["member"]).await.unwrap();
        let sink = json!({"displayName": "S", "webhook": {"url": "https://siem.invalid/in"}});
        let new = json!({"parent": world::ACME, "sinkId": "siem", "sink": sink});
        raw::json(owner, "provost.sink.v1.SinkService/CreateSink", new).await.unwrap();
        let mut own = Vec::new();
        for method in raw::methods().into_iter().filter(|m| m.name().starts_with("List")) {
            let path = raw::path(&method);
            let all = ["page_size", "page_token", "filter", "order_by"];
            if !all.iter().all(|f| method.input().get_field_by_name(f).is_some()) {
                own.push(path);
                continue;
            }
            let parent = match method.name() {
                "ListPlugins" => "marketplaces/vendor",
                "ListPluginVersions" => "marketplaces/vendor/plugins/kit",
                "ListGroupMembers" => "tenants/acme/groups/desk",
                "ListRoleMembers" => "tenants/acme/roles/banker",
                "ListPluginGroupMembers" => "tenants/acme/pluginGroups/research",
                "ListSeatHolders" => "tenants/acme/seatPools/standard",
                "ListPortfolioAdoption" => world::NORTHWIND,
                "ListDeadLetters" => "tenants/acme/sinks/siem",
                _ => world::ACME,
            };
            let ask = async |field: &str, value: serde_json::Value| {
                let mut request = json!({field: value});
                if method.input().get_field_by_name("parent").is_some() {
                    request["parent"] = json!(parent);
                }
                raw::json(admin, &path, request).await
            };
            let page = ask("pageSize", json!(1_001)).await.unwrap_or_else(|e| panic!("{path}: {e:?}"));
            assert!(page.is_object());
            for (field, value, why) in [
                ("filter", json!("colour = red"), "INVALID_FILTER"),
                ("filter", json!("x".repeat(2_049)), "INVALID_FILTER"),
                ("orderBy", json!("colour"), "INVALID_FIELD"),
                ("pageToken", json!("garbage"), "INVALID_PAGE_TOKEN"),
                ("pageSize", json!(-1), "INVALID_FIELD"),
            ] {
                let refused = ask(field, value.clone()).await.unwrap_err();
                assert_eq!((refused.code(), reason(&refused).as_str()), (Code::InvalidArgument, why), "{path} {field}: {value}");
            }
        }
        own.sort();
        let mut exempt = OF_THEIR_OWN.map(str::to_owned);
        exempt.sort();
        assert_eq!(own, exempt);
    }

    async fn members_are_filtered_and_ordered(site: Site) {
        let world = World::build(site).await;
        let owner = &world.owner;
        world.role("banker").await;
        staff::group(owner, "desk", &["member", "admin", "finance"]).await;
        for holder in ["principals/member", "groups/desk", "principals/admin"] {
            staff::give(owner, "banker", holder).await;
        }
        let list = async |noun: &str, service: &str, id: &str, filter: &str, order: &str| {
            let path = format!("provost.{noun}.v1.{service}");
            let parent = world::child(world::ACME, &format!("{noun}s"), id);
            let request = json!({"parent": parent, "filter": filter, "orderBy": order});
            let page = raw::json(owner, &path, request).await.unwrap();
            let rows = page["members"].as_array().cloned().unwrap_or_default();
            rows.iter().map(|m| m["member"].as_str().unwrap().rsplit('/').next().unwrap().to_owned()).collect::<Vec<_>>()
        };
        for (filter, order, found) in [
            ("", "", vec!["member", "admin", "finance"]),
            ("", "member_id desc", vec!["member", "finance", "admin"]),
            ("member_id = \"*i*\"", "member_id", vec!["admin", "finance"]),
            ("create_time < \"2026-01-01T00:00:00Z\"", "", vec![]),
        ] {
            assert_eq!(list("group", "GroupService/ListGroupMembers", "desk", filter, order).await, found, "{filter} {order}");
        }
        for (filter, order, found) in [
            ("", "", vec!["member", "desk", "admin"]),
            ("", "member_id", vec!["admin", "desk", "member"]),
            ("kind = GROUP", "", vec!["desk"]),
            ("kind = PRINCIPAL AND member_id != admin", "", vec!["member"]),
        ] {
            assert_eq!(list("role", "RoleService/ListRoleMembers", "banker", filter, order).await, found, "{filter} {order}");
        }
    }

    async fn what_is_in_sets_and_what_a_tenant_has_is_filtered_and_ordered(site: Site) {
        let world = World::build(site).await;
        let owner = &world.owner;
        market::import(&world.admin, &market::small(&["kit", "mail", "a"])).await.unwrap();
        market::stage(&world.admin, "mail", Stage::Preview).await.unwrap();
        sets::plugin_group(owner, "research", &["mail", "kit"]).await.unwrap();
        sets::seat_pool(owner, "standard", &["member", "admin", "finance"]).await.unwrap();
        let last = |row: &serde_json::Value, key: &str| row[key].as_str().unwrap().rsplit('/').next().unwrap().to_owned();
        let list = async |(rpc, rows, key): (&str, &str, &str), parent: &str, filter: &str, order: &str| {
            let (mut found, mut token) = (Vec::new(), String::new());
            loop {
                let request = json!({"parent": parent, "filter": filter, "orderBy": order, "pageSize": 1, "pageToken": token});
                let page = raw::json(owner, rpc, request).await.unwrap();
                found.extend(page[rows].as_array().into_iter().flatten().map(|row| last(row, key)));
                page["nextPageToken"].as_str().unwrap_or_default().clone_into(&mut token);
                if token.is_empty() {
                    return found;
                }
            }
        };
        let members = ("provost.plugin_group.v1.PluginGroupService/ListPluginGroupMembers", "members", "member");
        for (filter, order, found) in [
            ("", "", vec!["mail", "kit"]),
            ("", "plugin_id", vec!["kit", "mail"]),
            ("plugin_id != kit", "", vec!["mail"]),
            ("marketplace_id = vendor", "plugin_id desc", vec!["mail", "kit"]),
            ("create_time < \"2026-01-01T00:00:00Z\"", "", vec![]),
        ] {
            assert_eq!(list(members, "tenants/acme/pluginGroups/research", filter, order).await, found, "{filter} {order}");
        }
        let holders = ("provost.seat_pool.v1.SeatPoolService/ListSeatHolders", "holders", "holder");
        for (filter, order, found) in [
            ("", "", vec!["member", "admin", "finance"]),
            ("", "holder_id", vec!["admin", "finance", "member"]),
            ("holder_id = \"*i*\"", "holder_id desc", vec!["finance", "admin"]),
        ] {
            assert_eq!(list(holders, "tenants/acme/seatPools/standard", filter, order).await, found, "{filter} {order}");
        }
        let plugins = ("provost.tenant_plugin.v1.TenantPluginService/ListTenantPlugins", "tenantPlugins", "plugin");
        for (filter, order, found) in [
            ("", "", vec!["a", "kit", "mail"]),
            ("", "plugin desc", vec!["mail", "kit", "a"]),
            ("platform_stage = PREVIEW OR plugin_id = a", "plugin_id", vec!["a", "mail"]),
            ("plugin = \"*/plugins/kit\" marketplace_id = vendor", "", vec!["kit"]),
        ] {
            assert_eq!(list(plugins, world::ACME, filter, order).await, found, "{filter} {order}");
        }
        // another wish is another question
        let request = json!({"parent": world::ACME, "pageSize": 1});
        let token = raw::json(owner, plugins.0, request).await.unwrap()["nextPageToken"].clone();
        let other = json!({"parent": world::ACME, "pageSize": 1, "pageToken": token, "readiness": "READINESS_READY"});
        assert_eq!(reason(&raw::json(owner, plugins.0, other).await.unwrap_err()), "INVALID_PAGE_TOKEN");
    }

    async fn pages_of_any_size_hold_every_row_once_in_order(site: Site) {
        let world = World::build(site).await;
        let made = sixty(&world).await;
        let orders: [(&str, Key); 2] = [
            ("role_id", |r| r.name.clone()),
            ("display_name", |r| r.display_name.clone()),
        ];
        for (order, key) in orders {
            for size in [1, 7, 60, 1_000] {
                let rows = all(&world.owner, "", order, size).await;
                assert_eq!(ids(&rows).into_iter().collect::<BTreeSet<_>>().len(), made.len());
                assert!(rows.iter().map(key).is_sorted(), "{order} by bytes, {size} a page");
                let mut down = all(&world.owner, "", &format!("{order} desc"), size).await;
                down.reverse();
                assert_eq!(ids(&rows), ids(&down));
            }
        }
        assert_eq!(ids(&all(&world.owner, "", "", 7).await), ids(&made), "oldest first when not said otherwise");
    }

    async fn filters_mean_what_the_model_says(site: Site) {
        let world = World::build(site).await;
        let made = sixty(&world).await;
        let middle = made[30].create_time.unwrap();
        let seconds = |r: &role::Role| r.create_time.unwrap().seconds;
        let instant = kernel::clock::Time::try_from(middle).unwrap().to_string();
        let id = |r: &role::Role| r.name.rsplit('/').next().unwrap().to_owned();
        let cases: Vec<(String, Model)> = vec![
            ("display_name = \"banker\"".into(), Box::new(|r| r.display_name == "banker")),
            ("display_name != banker".into(), Box::new(|r| r.display_name != "banker")),
            ("display_name = \"*nalyst*\"".into(), Box::new(|r| r.display_name.contains("nalyst"))),
            ("display_name = \"Analyst*\"".into(), Box::new(|r| r.display_name.starts_with("Analyst"))),
            ("display_name = \"*er\"".into(), Box::new(|r| r.display_name.ends_with("er"))),
            ("display_name : \"%\"".into(), Box::new(|r| r.display_name.contains('%'))),
            ("display_name : \"'--\"".into(), Box::new(|r| r.display_name.contains("'--"))),
            ("display_name : \"ANALYST\"".into(), Box::new(|_| false)),
            ("NOT display_name : \"an\"".into(), Box::new(|r| !r.display_name.contains("an"))),
            ("role_id < \"role-10\" OR role_id >= \"role-50\" AND display_name = banker".into(), Box::new(move |r| {
                // OR binds tighter
                (id(r).as_str() < "role-10" || id(r).as_str() >= "role-50") && r.display_name == "banker"
            })),
            (format!("create_time >= \"{instant}\""), Box::new(move |r| seconds(r) >= middle.seconds)),
            (format!("create_time < {instant} -display_name = broker"), Box::new(move |r| {
                seconds(r) < middle.seconds && r.display_name != "broker"
            })),
            ("naïve".into(), Box::new(|r| r.display_name.contains("naïve"))),
        ];
        for (filter, model) in cases {
            let expected: Vec<_> = made.iter().filter(|r| model(r)).cloned().collect();
            assert_eq!(ids(&all(&world.owner, &filter, "", 9).await), ids(&expected), "{filter}");
        }
    }

    async fn rows_that_come_and_go_disturb_no_page(site: Site) {
        let world = World::build(site).await;
        let made = sixty(&world).await;
        let first = page(&world.owner, role::ListRolesRequest { page_size: 20, ..Default::default() }).await.unwrap();
        world::create_role(&world.owner, "late", "late").await.unwrap();
        let gone = role::DeleteRoleRequest { name: made[40].name.clone(), ..Default::default() };
        RoleServiceClient::new(world.owner.channel.clone()).delete_role(world.owner.ask(gone)).await.unwrap();
        let rest = page(&world.owner, role::ListRolesRequest {
            page_size: 1_000,
            page_token: first.next_page_token,
            ..Default::default()
        }).await.unwrap();
        let mut expected = ids(&made[20..]);
        expected.remove(20);
        expected.push("late".to_owned());
        assert_eq!(ids(&rest.roles), expected);
    }

    async fn a_page_token_fits_its_own_question_only(site: Site) {
        let world = World::build(site).await;
        sixty(&world).await;
        let first = page(&world.owner, role::ListRolesRequest { page_size: 5, ..Default::default() }).await.unwrap();
        let token = first.next_page_token;
        let wrong = [
            role::ListRolesRequest { filter: "role_id : \"1\"".to_owned(), page_token: token.clone(), ..Default::default() },
            role::ListRolesRequest { order_by: "role_id".to_owned(), page_token: token.clone(), ..Default::default() },
            role::ListRolesRequest { show_deleted: true, page_token: token.clone(), ..Default::default() },
            role::ListRolesRequest { page_token: format!("{token}x"), ..Default::default() },
            role::ListRolesRequest { page_token: "garbage".to_owned(), ..Default::default() },
        ];
        for request in wrong {
            let refused = page(&world.owner, request).await.unwrap_err();
            assert_eq!((refused.code(), reason(&refused).as_str()), (Code::InvalidArgument, "INVALID_PAGE_TOKEN"));
        }
        let other = role::ListRolesRequest { parent: "tenants/globex".to_owned(), page_token: token, ..Default::default() };
        let mut client = RoleServiceClient::new(world.stranger.channel.clone());
        assert_eq!(client.list_roles(world.stranger.ask(other)).await.unwrap_err().code(), Code::InvalidArgument);
    }

    async fn a_filter_with_an_unknown_field_or_word_is_refused_with_its_position(site: Site) {
        let world = World::build(site).await;
        for filter in ["colour = red", "role_id = ", "(role_id = a", "create_time > tomorrow"] {
            let request = role::ListRolesRequest { filter: filter.to_owned(), ..Default::default() };
            let refused = page(&world.owner, request).await.unwrap_err();
            assert_eq!((refused.code(), reason(&refused).as_str()), (Code::InvalidArgument, "INVALID_FILTER"), "{filter}");
        }
        let request = role::ListRolesRequest { order_by: "description".to_owned(), ..Default::default() };
        assert_eq!(page(&world.owner, request).await.unwrap_err().code(), Code::InvalidArgument);
        let request = role::ListRolesRequest { page_size: -1, ..Default::default() };
        assert_eq!(page(&world.owner, request).await.unwrap_err().code(), Code::InvalidArgument);
    }
}
