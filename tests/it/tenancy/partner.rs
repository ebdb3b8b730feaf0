//! Consulting firms: who sees them, when they can go, how their clients stand.

use proto::{
    partner::v1::{Partner, PortfolioStage},
    tenant::v1::TenantState,
};
use tests::{
    World, both_engines,
    site::Caller,
    world::{self, NORTHWIND},
};
use tonic::Status;

use super::{
    DENIED, ILLEGAL, IN_USE, MISSING, STALE, SUSPENDED, TAKEN, faults, ids, mask, refused,
    tenant::{step, tenant_in},
};

const CONTOSO: &str = "partners/contoso";

async fn get(by: &Caller, name: &str) -> Result<Partner, Status> {
    ask!(by, partner.get_partner, GetPartnerRequest { name: name })
}

async fn create(by: &Caller, id: &str, display_name: &str) -> Result<Partner, Status> {
    let new = Partner { display_name: display_name.to_owned(), ..Default::default() };
    ask!(by, partner.create_partner, CreatePartnerRequest { partner_id: id, partner: new })
}

async fn delete(by: &Caller, name: &str) -> Result<Partner, Status> {
    ask!(by, partner.delete_partner, DeletePartnerRequest { name: name })
}

async fn undelete(by: &Caller, name: &str) -> Result<Partner, Status> {
    ask!(by, partner.undelete_partner, UndeletePartnerRequest { name: name })
}

async fn list(by: &Caller, filter: &str, show_deleted: bool) -> Result<Vec<String>, Status> {
    let page = ask!(
        by,
        partner.list_partners,
        ListPartnersRequest { filter: filter, order_by: "partner_id", show_deleted: show_deleted }
    );
    page.map(|page| ids(page.partners.iter().map(|p| &p.name)))
}

/// (stage, tenants, seats) of each row.
async fn portfolio(by: &Caller, name: &str) -> Result<Vec<(String, i64, i64)>, Status> {
    let answer = ask!(by, partner.get_portfolio, GetPortfolioRequest { name: name })?;
    assert_eq!(answer.name, name);
    let row = |PortfolioStage { stage, tenants, seats_contracted, .. }| (stage, tenants, seats_contracted);
    Ok(answer.stages.into_iter().map(row).collect())
}

fn rows(counts: [(i64, i64); 6]) -> Vec<(String, i64, i64)> {
    let stages = ["PIPELINE", "CONTRACTED", "PILOT", "LIVE", "SUSPENDED", "CLOSED"];
    stages
        .into_iter()
        .zip(counts)
        .map(|(stage, (tenants, seats))| (stage.to_owned(), tenants, seats))
        .collect()
}

both_engines! {
    async fn a_partner_is_created_read_renamed_and_its_id_never_used_again(site: Site) {
        let admin = site.admin().await;
        let made = create(&admin, "initech", "Initech").await.unwrap();
        assert_eq!((made.name.as_str(), made.display_name.as_str()), ("partners/initech", "Initech"));
        assert_eq!(get(&admin, &made.name).await.unwrap(), made);
        site.advance(std::time::Duration::from_mins(1));
        let new = Partner { display_name: "Initrode".to_owned(), ..made.clone() };
        let renamed = ask!(admin, partner.update_partner, UpdatePartnerRequest { partner: new.clone() }).unwrap();
        assert_eq!((renamed.display_name.as_str(), &renamed.uid), ("Initrode", &made.uid));
        assert_eq!(renamed.create_time, made.create_time);
        assert!(renamed.update_time.unwrap().seconds == made.update_time.unwrap().seconds + 60);
        refused(ask!(admin, partner.update_partner, UpdatePartnerRequest { partner: new }), STALE);
        refused(create(&admin, "initech", "Other").await, TAKEN);
        let gone = delete(&admin, &made.name).await.unwrap();
        assert!(gone.delete_time.is_some());
        assert_eq!(get(&admin, &made.name).await.unwrap(), gone, "a deleted one is still read");
        refused(create(&admin, "initech", "Other").await, TAKEN);
        refused(delete(&admin, &made.name).await, ILLEGAL);
        let new = Partner { name: made.name.clone(), display_name: "X".to_owned(), ..Default::default() };
        refused(ask!(admin, partner.update_partner, UpdatePartnerRequest { partner: new }), ILLEGAL);
        assert_eq!(undelete(&admin, &made.name).await.unwrap().delete_time, None);
        refused(undelete(&admin, &made.name).await, ILLEGAL);
    }

    async fn a_partners_words_fit_their_limits(site: Site) {
        let admin = site.admin().await;
        for id in ["", "Initech", "1a", "a_b", "a.b", "a/b", "é", &"a".repeat(64)] {
            assert_eq!(faults(create(&admin, id, "x").await), ["partner_id"], "{id}");
        }
        create(&admin, &"a".repeat(63), &"é".repeat(128)).await.unwrap();
        for name in ["", &"e".repeat(129), "a\u{7}"] {
            assert_eq!(faults(create(&admin, "b", name).await), ["partner.display_name"]);
        }
        let named = Partner { name: "partners/a/x".to_owned(), display_name: "x".to_owned(), ..Default::default() };
        assert_eq!(faults(ask!(admin, partner.update_partner, UpdatePartnerRequest {
            partner: named, update_mask: mask(&["display_name"]),
        })), ["name"]);
    }

    async fn a_partner_with_clients_stays_and_one_without_locks_its_people_out(site: Site) {
        let world = World::build(site).await;
        refused(delete(&world.admin, CONTOSO).await, IN_USE);
        step(&world.admin, "delete", "tenants/globex").await.unwrap();
        delete(&world.admin, CONTOSO).await.unwrap();
        refused(get(&world.rival, CONTOSO).await, SUSPENDED);
        // no client without a partner
        refused(world::tenant(&world.admin, "hooli", CONTOSO).await, MISSING);
        refused(step(&world.admin, "undelete", "tenants/globex").await, ILLEGAL);
        undelete(&world.admin, CONTOSO).await.unwrap();
        step(&world.admin, "undelete", "tenants/globex").await.unwrap();
        get(&world.rival, CONTOSO).await.unwrap();
    }

    async fn a_partner_and_a_client_of_it_never_miss_each_other(site: Site) {
        let world = World::build(site).await;
        for n in 0..12 {
            let (partner, tenant) = (format!("partners/p{n}"), format!("t{n}"));
            create(&world.admin, &format!("p{n}"), "P").await.unwrap();
            let (gone, come) =
                tokio::join!(delete(&world.admin, &partner), world::tenant(&world.admin, &tenant, &partner));
            let living = get(&world.admin, &partner).await.unwrap().delete_time.is_none();
            match (gone, come) {
                (Ok(_), Err(late)) => {
                    assert!(!living && matches!(late.code(), tonic::Code::NotFound | tonic::Code::FailedPrecondition));
                }
                (late, Ok(_)) => {
                    refused(late, IN_USE);
                    assert!(living);
                }
                (Err(a), Err(b)) => panic!("both lost: {a}, {b}"),
            }
        }
    }

    async fn partners_see_themselves_and_clients_see_none(site: Site) {
        let world = World::build(site).await;
        let boss = &world.holders["partner_admin"];
        assert_eq!(list(&world.admin, "", false).await.unwrap(), ["contoso", "northwind"]);
        for by in [boss, &world.consultant] {
            assert_eq!(list(by, "", true).await.unwrap(), ["northwind"]);
            assert!(list(by, "partner_id = contoso", true).await.unwrap().is_empty());
            get(by, NORTHWIND).await.unwrap();
            refused(get(by, CONTOSO).await, MISSING);
            refused(create(by, "another", "Another").await, DENIED);
            refused(delete(by, NORTHWIND).await, DENIED);
            refused(delete(by, CONTOSO).await, MISSING);
        }
        refused(list(&world.owner, "", false).await, DENIED);
        refused(get(&world.owner, NORTHWIND).await, MISSING);
        refused(portfolio(&world.owner, NORTHWIND).await, MISSING);
        let new = Partner { name: NORTHWIND.to_owned(), display_name: "North".to_owned(), ..Default::default() };
        refused(ask!(world.consultant, partner.update_partner, UpdatePartnerRequest { partner: new.clone() }), DENIED);
        let renamed = ask!(boss, partner.update_partner, UpdatePartnerRequest { partner: new });
        assert_eq!(renamed.unwrap().display_name, "North");
        refused(delete(&world.admin, "partners/missing").await, MISSING);
        create(&world.admin, "idle", "Idle").await.unwrap();
        delete(&world.admin, "partners/idle").await.unwrap();
        assert_eq!(list(&world.admin, "", false).await.unwrap(), ["contoso", "northwind"]);
        assert_eq!(list(&world.admin, "", true).await.unwrap(), ["contoso", "idle", "northwind"]);
    }

    async fn a_portfolio_has_every_stage_and_counts_seats_of_contracts_only(site: Site) {
        use TenantState::{Closed, Contracted, Live, Pilot, Pipeline, Suspended};
        let world = World::build(site).await;
        create(&world.admin, "idle", "Idle").await.unwrap();
        assert_eq!(portfolio(&world.admin, "partners/idle").await.unwrap(), rows([(0, 0); 6]));
        // the one of the world is in the pipeline
        assert_eq!(
            portfolio(&world.consultant, NORTHWIND).await.unwrap(),
            rows([(1, 0), (0, 0), (0, 0), (0, 0), (0, 0), (0, 0)])
        );
        let more = [Pipeline, Contracted, Contracted, Pilot, Live, Live, Live, Suspended, Closed];
        for (n, state) in more.into_iter().enumerate() {
            tenant_in(&world.admin, &format!("t{n}"), NORTHWIND, state).await;
        }
        let counted = rows([(2, 0), (2, 500), (1, 250), (3, 750), (1, 250), (1, 250)]);
        for by in [&world.admin, &world.consultant, &world.holders["partner_admin"]] {
            assert_eq!(portfolio(by, NORTHWIND).await.unwrap(), counted);
        }
        // a deleted client is no client, and somebody else's never was one
        step(&world.admin, "delete", "tenants/t1").await.unwrap();
        assert_eq!(
            portfolio(&world.consultant, NORTHWIND).await.unwrap(),
            rows([(2, 0), (1, 250), (1, 250), (3, 750), (1, 250), (1, 250)])
        );
        assert_eq!(
            portfolio(&world.rival, CONTOSO).await.unwrap(),
            rows([(1, 0), (0, 0), (0, 0), (0, 0), (0, 0), (0, 0)])
        );
        refused(portfolio(&world.rival, NORTHWIND).await, MISSING);
        refused(portfolio(&world.admin, "partners/nobody").await, MISSING);
        assert_eq!(faults(portfolio(&world.admin, "northwind").await), ["name"]);
    }
}
