//! Filters that people keep under a name.

use proto::audit::v1::{self as pb, audit_service_client::AuditServiceClient};
use serde_json::json;
use tests::{World, both_engines, raw, site::Caller, world};
use tonic::{Code, Status};

use super::events;
use crate::errors::reason;

async fn save(by: &Caller, parent: &str, id: &str, filter: &str) -> Result<pb::SavedSearch, Status> {
    let search = pb::SavedSearch {
        display_name: "What Maria did".to_owned(),
        filter: filter.to_owned(),
        ..Default::default()
    };
    let request = pb::CreateSavedSearchRequest {
        parent: parent.to_owned(),
        saved_search_id: id.to_owned(),
        saved_search: Some(search),
        ..Default::default()
    };
    Ok(AuditServiceClient::new(by.channel.clone()).create_saved_search(by.ask(request)).await?.into_inner())
}

async fn list(
    by: &Caller,
    parent: &str,
    (filter, order_by): (&str, &str),
    page: (i32, &str),
) -> Result<pb::ListSavedSearchesResponse, Status> {
    let request = pb::ListSavedSearchesRequest {
        parent: parent.to_owned(),
        page_size: page.0,
        page_token: page.1.to_owned(),
        filter: filter.to_owned(),
        order_by: order_by.to_owned(),
    };
    Ok(AuditServiceClient::new(by.channel.clone()).list_saved_searches(by.ask(request)).await?.into_inner())
}

async fn drop_search(by: &Caller, name: &str) -> Result<pb::SavedSearch, Status> {
    let request = pb::DeleteSavedSearchRequest { name: name.to_owned(), ..Default::default() };
    Ok(AuditServiceClient::new(by.channel.clone()).delete_saved_search(by.ask(request)).await?.into_inner())
}

fn ids(answer: &pb::ListSavedSearchesResponse) -> Vec<&str> {
    answer.saved_searches.iter().map(|s| s.name.rsplit('/').next().unwrap()).collect()
}

both_engines! {
    async fn what_names_an_erased_person_goes_also_by_a_former_name_and_in_any_case(site: Site) {
        let world = World::build(site).await;
        let call = async |rpc: &str, request: serde_json::Value| raw::json(&world.owner, &format!("provost.{rpc}"), request).await.unwrap();
        let zoe = json!({"kind": "PRINCIPAL_KIND_USER", "displayName": "Zoe Xiuhtecuhtli", "email": "zoe.x@acme.example"});
        call("principal.v1.PrincipalService/CreatePrincipal", json!({"parent": world::ACME, "principalId": "zoe", "principal": zoe})).await;
        let name = "tenants/acme/principals/zoe";
        let married = json!({"principal": {"name": name, "displayName": "Zoe Zimmermann"}});
        call("principal.v1.PrincipalService/UpdatePrincipal", married).await;
        for (id, display_name, filter) in [
            ("former", "Acts", "text(\"XIUHTECUHTLI\")"),
            ("called", "zimmermann's acts", ""),
            ("address", "Acts", "target = \"Zoe.X@acme.example\""),
            ("denials", "Denials at acme.example", "outcome = denied"),
            ("by-id", "Hers", "actor = \"tenants/acme/principals/zoe\""),
        ] {
            let search = json!({"displayName": display_name, "filter": filter});
            call("audit.v1.AuditService/CreateSavedSearch", json!({"parent": world::ACME, "savedSearchId": id, "savedSearch": search})).await;
        }
        call("principal.v1.PrincipalService/DeletePrincipal", json!({"name": name})).await;
        call("retention.v1.RetentionService/EraseSubject", json!({"principal": name, "reason": "her request"})).await;
        let left = list(&world.owner, world::ACME, ("", ""), (0, "")).await.unwrap();
        assert_eq!(ids(&left), ["by-id", "denials"], "the id stays, as everywhere in the record");
    }

    async fn a_search_is_kept_listed_run_and_deleted_in_each_kind_of_scope(site: Site) {
        let world = World::build(site).await;
        for (by, parent, prefix) in [
            (&world.admin, "", ""),
            (&world.admin, world::NORTHWIND, "partners/northwind/"),
            (&world.owner, world::ACME, "tenants/acme/"),
        ] {
            let made = save(by, parent, "denials.today", "outcome = denied").await.unwrap();
            assert_eq!(made.name, format!("{prefix}savedSearches/denials.today"));
            assert_eq!(made.create_time, Some(world.site.kernel().clock.now().into()));
            let found = list(by, parent, ("", ""), (0, "")).await.unwrap();
            assert_eq!(found.saved_searches, std::slice::from_ref(&made));
            events(by, parent, &made.filter).await;
            assert_eq!(drop_search(by, &made.name).await.unwrap(), made);
            assert!(list(by, parent, ("", ""), (0, "")).await.unwrap().saved_searches.is_empty());
            assert_eq!(drop_search(by, &made.name).await.unwrap_err().code(), Code::NotFound);
        }
        let creator = save(&world.owner, world::ACME, "mine", "").await.unwrap().creator;
        assert_eq!(creator, "tenants/acme/principals/owner");
    }

    async fn a_filter_is_checked_when_it_is_saved(site: Site) {
        let world = World::build(site).await;
        for bad in ["outcome = ", "colour = red", "cidr(ip, \"10.0.0.0/99\")", "outcome = maybe"] {
            let refused = save(&world.owner, world::ACME, "bad", bad).await.unwrap_err();
            assert_eq!((refused.code(), reason(&refused).as_str()), (Code::InvalidArgument, "INVALID_FILTER"), "{bad}");
            assert!(refused.message().contains("at byte"), "{}", refused.message());
        }
        for bad in ["", "1st", "a/b", "A"] {
            let refused = save(&world.owner, world::ACME, bad, "").await.unwrap_err();
            assert_eq!((refused.code(), reason(&refused).as_str()), (Code::InvalidArgument, "INVALID_FIELD"), "{bad}");
        }
        assert!(list(&world.owner, world::ACME, ("", ""), (0, "")).await.unwrap().saved_searches.is_empty());
        save(&world.owner, world::ACME, "good", "text(\"maria\") AND outcome = ok").await.unwrap();
        let taken = save(&world.owner, world::ACME, "good", "outcome = ok").await.unwrap_err();
        assert_eq!((taken.code(), reason(&taken).as_str()), (Code::AlreadyExists, "RESOURCE_EXISTS"));
    }

    async fn searches_are_listed_by_id_or_age_in_pages(site: Site) {
        let world = World::build(site).await;
        let owner = &world.owner;
        for id in ["c", "a", "b"] {
            save(owner, world::ACME, id, "").await.unwrap();
            world.site.advance(std::time::Duration::from_secs(1));
        }
        let first = list(owner, world::ACME, ("", ""), (2, "")).await.unwrap();
        assert_eq!(ids(&first), ["a", "b"]);
        let second = list(owner, world::ACME, ("", ""), (2, &first.next_page_token)).await.unwrap();
        assert_eq!((ids(&second), second.next_page_token.as_str()), (vec!["c"], ""));
        assert_eq!(ids(&list(owner, world::ACME, ("", "create_time desc"), (0, "")).await.unwrap()), ["b", "a", "c"]);
        assert_eq!(ids(&list(owner, world::ACME, ("saved_search_id = b", ""), (0, "")).await.unwrap()), ["b"]);
        let refused = list(owner, world::ACME, ("", "filter"), (0, "")).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
    }

    async fn a_search_belongs_to_its_log_and_what_it_looks_for_is_sealed_in_the_record(site: Site) {
        let world = World::build(site).await;
        let made = save(&world.owner, world::ACME, "maria", "text(\"Maria Lopez\")").await.unwrap();
        assert_eq!(list(&world.stranger, world::ACME, ("", ""), (0, "")).await.unwrap_err().code(), Code::NotFound);
        assert_eq!(drop_search(&world.stranger, &made.name).await.unwrap_err().code(), Code::NotFound);
        let refused = drop_search(&world.holders["finance"], &made.name).await.unwrap_err();
        assert_eq!((refused.code(), reason(&refused).as_str()), (Code::PermissionDenied, "DUTY_MISSING"));
        let recorded = events(&world.owner, world::ACME, "action = \"saved_search.create\"").await;
        assert_eq!(recorded.len(), 1);
        assert!(!recorded[0].entry.contains("Maria"), "{}", recorded[0].entry);
        assert!(recorded[0].changes.iter().any(|c| c.new_value.contains("Maria Lopez")), "opened for those who may read it");
    }
}
