//! Filters, orders and pages, against a model in memory.

use std::{collections::BTreeSet, time::Duration};

use proto::role::v1::{self as role, role_service_client::RoleServiceClient};
use tests::{World, both_engines, site::Caller, world};
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

both_engines! {
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
