//! Questions about usage, and to whom it is attributed.

use std::{collections::BTreeMap, time::Duration};

use kernel::clock::Time;
use proto::{
    principal::v1::{self as principal, principal_service_client::PrincipalServiceClient},
    usage::v1::{self as pb, UsageDimension, usage_service_client::UsageServiceClient},
};
use serde_json::json;
use tests::{both_engines, site::START, staff, world};
use tonic::Code;

use super::{Desk, event, query};
use crate::errors::reason;

/// The start of the clock and `seconds` more.
fn at(seconds: i64) -> Time {
    Time::from_micros(Time::parse("start", START).unwrap().micros() + seconds * 1_000_000)
}

/// What Maria's role, unit and so on has in `tokens.output`.
async fn output(desk: &Desk, dimension: UsageDimension) -> BTreeMap<String, i64> {
    let groups = desk.figures(&[dimension]).await;
    groups.into_iter().filter_map(|(group, meters)| Some((group, *meters.get("tokens.output")?))).collect()
}

both_engines! {
    async fn intervals_hold_their_start_and_not_their_end(site: Site) {
        let desk = Desk::open(site).await;
        for (id, seconds, tokens) in [("a", -60, 1), ("b", -30, 10), ("c", 0, 100)] {
            assert_eq!(desk.send(&desk.maria, &event(id, at(seconds), tokens)).await, json!({}));
        }
        let micro = Duration::from_micros(1);
        for (start, end, sum) in [
            (None, None, 111),
            (None, Some(at(0).plus(micro)), 111),
            (Some(at(-60)), Some(at(-30)), 1),
            (Some(at(-60)), Some(at(-30).plus(micro)), 11),
            (Some(at(-60).plus(micro)), Some(at(0)), 10),
            (Some(at(-30)), None, 110),
            (None, Some(at(0)), 11),
            (Some(at(0)), Some(at(60)), 100),
            (Some(at(1)), Some(at(60)), 0),
        ] {
            let request = pb::QueryUsageRequest {
                meters: vec!["tokens.output".to_owned()],
                start_time: start.map(Into::into),
                end_time: end.map(Into::into),
                ..Default::default()
            };
            let answer = query(&desk.world.owner, request).await.unwrap();
            let values: Vec<_> = answer.rows.iter().map(|r| r.value).collect();
            assert_eq!(values, if sum == 0 { vec![] } else { vec![sum] }, "{start:?} to {end:?}");
            assert_eq!(answer.complete_through, Some(at(0).into()));
        }
    }

    async fn each_dimension_has_its_own_full_names_and_the_others_are_empty(site: Site) {
        let desk = Desk::open(site).await;
        assert_eq!(desk.send(&desk.maria, &event("a", at(-1), 5)).await, json!({}));
        let empty = pb::UsageRow {
            meter: "tokens.output".to_owned(),
            unit: "tokens".to_owned(),
            value: 5,
            events: 1,
            decimal_value: "5".to_owned(),
            version: 1,
            ..Default::default()
        };
        let acme = |rest: &str| format!("{}/{rest}", world::ACME);
        for (dimension, row) in [
            (UsageDimension::Role, pb::UsageRow { role: acme("roles/analyst"), ..empty.clone() }),
            (UsageDimension::Unit, pb::UsageRow { unit_name: acme("units/finance"), ..empty.clone() }),
            (UsageDimension::Principal, pb::UsageRow { principal: acme("principals/maria"), ..empty.clone() }),
            (UsageDimension::Client, pb::UsageRow { client: "claude-code".to_owned(), ..empty.clone() }),
        ] {
            let request = pb::QueryUsageRequest {
                meters: vec!["tokens.output".to_owned()],
                group_by: vec![dimension.into()],
                ..Default::default()
            };
            assert_eq!(query(&desk.world.owner, request).await.unwrap().rows, [row]);
        }
        let rows = query(&desk.world.owner, pb::QueryUsageRequest::default()).await.unwrap().rows;
        assert!(rows.is_sorted_by_key(|r| r.meter.clone()) && rows.len() == 3, "{rows:?}");
    }

    async fn questions_that_make_no_sense_are_refused_with_the_field(site: Site) {
        let desk = Desk::open(site).await;
        let good = pb::QueryUsageRequest::default;
        let many = ["sessions"; 33].map(str::to_owned).to_vec();
        let early = prost_types::Timestamp { seconds: 0, nanos: -1 };
        for (bad, field) in [
            (pb::QueryUsageRequest { parent: "acme".to_owned(), ..good() }, "parent"),
            (pb::QueryUsageRequest { meters: vec!["tokens".to_owned()], ..good() }, "meters"),
            (pb::QueryUsageRequest { meters: many, ..good() }, "meters"),
            (pb::QueryUsageRequest { meters: vec!["sessions".to_owned(); 2], ..good() }, "meters"),
            (pb::QueryUsageRequest { group_by: vec![0], ..good() }, "group_by"),
            (pb::QueryUsageRequest { group_by: vec![9], ..good() }, "group_by"),
            (pb::QueryUsageRequest { group_by: vec![1, 1], ..good() }, "group_by"),
            (pb::QueryUsageRequest { group_by: vec![1, 2, 3, 4, 1], ..good() }, "group_by"),
            (pb::QueryUsageRequest { start_time: Some(early), ..good() }, "start_time"),
            (pb::QueryUsageRequest { start_time: Some(at(300_000).into()), ..good() }, "end_time"),
            (pb::QueryUsageRequest { start_time: Some(at(-1).into()), end_time: Some(at(-1).into()), ..good() }, "end_time"),
        ] {
            let refused = query(&desk.world.owner, bad).await.unwrap_err();
            assert_eq!((refused.code(), reason(&refused).as_str()), (Code::InvalidArgument, "INVALID_FIELD"), "{field}");
            let details = tonic_types::StatusExt::get_error_details(&refused);
            let violations = &details.bad_request().unwrap().field_violations;
            assert!(violations.iter().any(|v| v.field == field), "{field}: {violations:?}");
        }
        let others = pb::QueryUsageRequest { parent: "tenants/globex".to_owned(), ..good() };
        let refused = query(&desk.world.owner, others).await.unwrap_err();
        assert_eq!((refused.code(), reason(&refused).as_str()), (Code::NotFound, "RESOURCE_NOT_FOUND"));
        let refused = query(&desk.world.holders["member"], good()).await.unwrap_err();
        assert_eq!((refused.code(), reason(&refused).as_str()), (Code::PermissionDenied, "DUTY_MISSING"));
        let ingest = desk.world.site.caller(&desk.maria);
        let refused = query(&ingest, good()).await.unwrap_err();
        assert_eq!((refused.code(), reason(&refused).as_str()), (Code::PermissionDenied, "TOKEN_SCOPE"));
    }

    async fn a_member_sees_the_own_figures_and_nobody_elses(site: Site) {
        let desk = Desk::open(site).await;
        let (owner, member) = (&desk.world.owner, &desk.world.holders["member"]);
        let own = staff::ingest_token(owner, "member").await;
        assert_eq!(desk.send(&desk.maria, &event("hers", at(-2), 5)).await, json!({}));
        assert_eq!(desk.send(&own, &event("own", at(-1), 70)).await, json!({}));
        let of = |id: &str| pb::QueryUsageRequest {
            principal: if id.is_empty() { String::new() } else { world::child(world::ACME, "principals", id) },
            meters: vec!["tokens.output".to_owned()],
            ..Default::default()
        };
        let figures = async |by, id| query(by, of(id)).await.map(|a| a.rows.iter().map(|r| r.value).collect::<Vec<_>>());
        assert_eq!(figures(member, "member").await.unwrap(), [70]);
        for id in ["", "maria", "nobody"] {
            let refused = figures(member, id).await.unwrap_err();
            assert_eq!((refused.code(), reason(&refused).as_str()), (Code::PermissionDenied, "DUTY_MISSING"), "{id}");
        }
        for (id, sum) in [("member", vec![70]), ("maria", vec![5]), ("sam", vec![]), ("", vec![75])] {
            assert_eq!(figures(owner, id).await.unwrap(), sum, "{id}");
        }
        let refused = figures(owner, "nobody").await.unwrap_err();
        assert_eq!((refused.code(), reason(&refused).as_str()), (Code::NotFound, "RESOURCE_NOT_FOUND"));
        for strange in ["tenants/globex/principals/owner", "partners/northwind/principals/carla", "maria"] {
            let bad = pb::QueryUsageRequest { principal: strange.to_owned(), ..Default::default() };
            let refused = query(owner, bad).await.unwrap_err();
            assert_eq!((refused.code(), reason(&refused).as_str()), (Code::InvalidArgument, "INVALID_FIELD"), "{strange}");
        }
    }

    async fn meters_are_listed_by_key_with_their_units(site: Site) {
        let desk = Desk::open(site).await;
        let by = &desk.world.holders["member"];
        let mut client = UsageServiceClient::new(by.channel.clone());
        let meters = client.list_meters(by.ask(pb::ListMetersRequest::default())).await.unwrap().into_inner().meters;
        assert!(meters.is_sorted_by_key(|m| m.key.clone()));
        let units: BTreeMap<_, _> = meters.iter().map(|m| (m.key.as_str(), m.unit.as_str())).collect();
        assert_eq!((units["tokens.input"], units["cost.usd"], units["sessions"]), ("tokens", "micro-usd", "sessions"));
        assert!(meters.iter().all(|m| !m.description.is_empty()));
        let (mut paged, mut page_token) = (Vec::new(), String::new());
        for pages in 1.. {
            let request = pb::ListMetersRequest { page_size: 4, page_token, ..Default::default() };
            let page = client.list_meters(by.ask(request)).await.unwrap().into_inner();
            assert!(page.meters.len() <= 4);
            paged.extend(page.meters);
            page_token = page.next_page_token;
            if page_token.is_empty() {
                assert_eq!(pages, meters.len().div_ceil(4));
                break;
            }
        }
        assert_eq!(paged, meters, "no meter twice and none left out");
        for (page_size, page_token) in [(-1, ""), (1, "bogus")] {
            let request = pb::ListMetersRequest { page_size, page_token: page_token.to_owned(), ..Default::default() };
            assert_eq!(client.list_meters(by.ask(request)).await.unwrap_err().code(), Code::InvalidArgument);
        }
    }

    async fn usage_stays_with_the_role_and_the_unit_of_its_time(site: Site) {
        let desk = Desk::open(site).await;
        let owner = &desk.world.owner;
        assert_eq!(desk.send(&desk.maria, &event("before", at(-10), 7)).await, json!({}));
        staff::take(owner, "analyst", "principals/maria").await;
        staff::give(owner, "sales", "principals/maria").await;
        let moved = principal::UpdatePrincipalRequest {
            principal: Some(principal::Principal {
                name: world::child(world::ACME, "principals", "maria"),
                unit: world::child(world::ACME, "units", "field"),
                ..Default::default()
            }),
            update_mask: Some(prost_types::FieldMask { paths: vec!["unit".to_owned()] }),
            ..Default::default()
        };
        PrincipalServiceClient::new(owner.channel.clone()).update_principal(owner.ask(moved)).await.unwrap();
        assert_eq!(desk.send(&desk.maria, &event("after", at(-5), 30)).await, json!({}));
        let figure = |group: &str, value| (group.to_owned(), value);
        let roles = BTreeMap::from([figure("analyst", 7), figure("sales", 30)]);
        assert_eq!(output(&desk, UsageDimension::Role).await, roles);
        let units = BTreeMap::from([figure("finance", 7), figure("field", 30)]);
        assert_eq!(output(&desk, UsageDimension::Unit).await, units);
        // a late repetition of the first does not move it
        assert_eq!(desk.send(&desk.maria, &event("before", at(-10), 7)).await, json!({}));
        staff::delete_role(owner, "analyst").await;
        assert_eq!(output(&desk, UsageDimension::Role).await, roles, "what was deleted keeps its name");
    }

    async fn a_persons_first_own_role_counts_and_an_agent_counts_where_its_owner_does(site: Site) {
        let desk = Desk::open(site).await;
        let owner = &desk.world.owner;
        desk.world.role("banker").await;
        staff::group(owner, "desk", &["maria"]).await;
        staff::give(owner, "banker", "groups/desk").await;
        desk.world.site.advance(Duration::from_secs(1));
        staff::give(owner, "sales", "principals/maria").await;
        staff::agent(owner, "maria-agent", "maria").await;
        let agent = staff::ingest_token(owner, "maria-agent").await;
        assert_eq!(desk.send(&desk.maria, &event("hers", at(-2), 1)).await, json!({}));
        assert_eq!(desk.send(&agent, &event("its", at(-1), 2)).await, json!({}));
        assert_eq!(output(&desk, UsageDimension::Role).await, BTreeMap::from([("analyst".to_owned(), 3)]));
        assert_eq!(output(&desk, UsageDimension::Unit).await, BTreeMap::from([("finance".to_owned(), 3)]));
        let people = BTreeMap::from([("maria".to_owned(), 1), ("maria-agent".to_owned(), 2)]);
        assert_eq!(output(&desk, UsageDimension::Principal).await, people);
        // without a role of her own the group's counts
        staff::take(owner, "analyst", "principals/maria").await;
        staff::take(owner, "sales", "principals/maria").await;
        assert_eq!(desk.send(&desk.maria, &event("later", at(0), 40)).await, json!({}));
        assert_eq!(output(&desk, UsageDimension::Role).await["banker"], 40);
    }
}
