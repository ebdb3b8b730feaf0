//! Client organisations: the lifecycle, the contract, who sees whom.

use proto::tenant::v1::{Contract, ContractSeats, Renewal, Tenant, TenantState};
use tests::{
    World, both_engines,
    site::Caller,
    world::{self, ACME, NORTHWIND},
};
use tonic::Status;

use super::{
    DENIED, ID, ILLEGAL, INVALID, MISSING, REUSED, SUSPENDED, TAKEN, faults, group, ids, mask, refused,
};

const STATES: [TenantState; 6] = [
    TenantState::Pipeline,
    TenantState::Contracted,
    TenantState::Pilot,
    TenantState::Live,
    TenantState::Suspended,
    TenantState::Closed,
];

/// All moves that there are: verb, from, to.
const MOVES: [(&str, TenantState, TenantState); 6] = [
    ("contract", TenantState::Pipeline, TenantState::Contracted),
    ("start_pilot", TenantState::Contracted, TenantState::Pilot),
    ("go_live", TenantState::Pilot, TenantState::Live),
    ("suspend", TenantState::Live, TenantState::Suspended),
    ("resume", TenantState::Suspended, TenantState::Live),
    ("close", TenantState::Suspended, TenantState::Closed),
];

/// Something done to a contract.
type Change = fn(&mut Contract);

/// What was signed: `seats` in one pool.
pub fn signed(seats: i64) -> Contract {
    Contract {
        signed_date: "2026-10-01".to_owned(),
        start_date: "2026-11-01".to_owned(),
        end_date: "2027-11-01".to_owned(),
        currency: "EUR".to_owned(),
        seats: vec![pool("committed", seats, 3_900)],
        renewal: Renewal::Manual.into(),
    }
}

fn pool(pool: &str, count: i64, monthly_price_minor: i64) -> ContractSeats {
    ContractSeats { pool: pool.to_owned(), count, monthly_price_minor }
}

pub async fn get(by: &Caller, name: &str) -> Result<Tenant, Status> {
    ask!(by, tenant.get_tenant, GetTenantRequest { name: name })
}

/// The verb of that name; `delete` and `undelete` are verbs here too.
pub async fn step(by: &Caller, verb: &str, name: &str) -> Result<Tenant, Status> {
    match verb {
        "contract" => {
            ask!(by, tenant.contract_tenant, ContractTenantRequest { name: name, contract: signed(250) })
        }
        "start_pilot" => ask!(by, tenant.start_pilot, StartPilotRequest { name: name }),
        "go_live" => ask!(by, tenant.go_live, GoLiveRequest { name: name }),
        "suspend" => ask!(by, tenant.suspend_tenant, SuspendTenantRequest { name: name }),
        "resume" => ask!(by, tenant.resume_tenant, ResumeTenantRequest { name: name }),
        "close" => ask!(by, tenant.close_tenant, CloseTenantRequest { name: name }),
        "delete" => ask!(by, tenant.delete_tenant, DeleteTenantRequest { name: name }),
        "undelete" => ask!(by, tenant.undelete_tenant, UndeleteTenantRequest { name: name }),
        other => panic!("no verb `{other}`"),
    }
}

/// A new tenant of the partner in that state, with somebody who holds a role.
pub async fn tenant_in(by: &Caller, id: &str, partner: &str, state: TenantState) -> Tenant {
    let mut tenant = world::tenant(by, id, partner).await.unwrap();
    let name = tenant.name.clone();
    world::user(by, &name, "maria").await;
    let role = proto::role::v1::Role { display_name: "Sales".to_owned(), ..Default::default() };
    let role =
        ask!(by, role.create_role, CreateRoleRequest { parent: name.clone(), role_id: "sales", role: role });
    let member = format!("{name}/principals/maria");
    ask!(by, role.add_role_member, AddRoleMemberRequest { name: role.unwrap().name, member: member })
        .unwrap();
    for (verb, from, to) in MOVES {
        // the way to CLOSED does not lead through `resume`
        if tenant.state() != state && verb != "resume" {
            assert_eq!(tenant.state(), from);
            tenant = step(by, verb, &name).await.unwrap();
            assert_eq!(tenant.state(), to, "{verb}");
        }
    }
    assert_eq!(tenant.state(), state);
    tenant
}

async fn list(by: &Caller, filter: &str, show_deleted: bool) -> Result<Vec<String>, Status> {
    let request = ask!(
        by,
        tenant.list_tenants,
        ListTenantsRequest { filter: filter, order_by: "tenant_id", show_deleted: show_deleted }
    );
    request.map(|page| ids(page.tenants.iter().map(|t| &t.name)))
}

both_engines! {
    async fn every_state_and_every_verb_do_what_the_table_says(site: Site) {
        let world = World::build(site).await;
        let verbs = MOVES.map(|(verb, ..)| verb);
        for (n, state) in STATES.into_iter().enumerate() {
            for verb in verbs.into_iter().chain(["delete", "undelete"]) {
                let id = format!("t{n}-{}", verb.replace('_', "-"));
                let before = tenant_in(&world.admin, &id, NORTHWIND, state).await;
                let answer = step(&world.admin, verb, &before.name).await;
                let after = get(&world.admin, &before.name).await.unwrap();
                let young = matches!(state, TenantState::Pipeline | TenantState::Contracted);
                match MOVES.iter().find(|(v, from, _)| *v == verb && *from == state) {
                    Some((.., to)) => {
                        assert_eq!(answer.unwrap(), after, "{verb}");
                        assert_eq!(after.state(), *to);
                        assert_ne!(after.etag, before.etag);
                    }
                    None if verb == "delete" && young => {
                        assert_eq!(answer.unwrap(), after);
                        assert!(after.delete_time.is_some() && after.state() == state);
                    }
                    None => {
                        let words = refused(answer, ILLEGAL).message().to_owned();
                        assert!(words.contains(&before.name), "{words}");
                        assert_eq!(before, after, "{verb} of a tenant that is {state:?}");
                    }
                }
            }
        }
    }

    async fn a_deleted_tenant_takes_no_verb_but_undelete(site: Site) {
        let world = World::build(site).await;
        step(&world.admin, "delete", ACME).await.unwrap();
        for (verb, ..) in MOVES {
            refused(step(&world.admin, verb, ACME).await, ILLEGAL);
        }
        refused(step(&world.admin, "delete", ACME).await, ILLEGAL);
        let new = Tenant { name: ACME.to_owned(), display_name: "Acme".to_owned(), ..Default::default() };
        refused(ask!(world.admin, tenant.update_tenant, UpdateTenantRequest { tenant: new }), ILLEGAL);
        assert!(step(&world.admin, "undelete", ACME).await.unwrap().delete_time.is_none());
        refused(step(&world.admin, "undelete", ACME).await, ILLEGAL);
    }

    async fn a_contract_is_kept_as_signed_and_checked_field_by_field(site: Site) {
        let world = World::build(site).await;
        let good: [(&str, Change); 9] = [
            ("a count of 1", |c| c.seats[0].count = 1),
            ("the largest count", |c| c.seats[0].count = 10_000_000),
            ("a price of 0", |c| c.seats[0].monthly_price_minor = 0),
            ("32 pools", |c| c.seats = (0..32).map(|n| pool(&format!("p{n}"), 1, 1)).collect()),
            ("the longest pool id", |c| c.seats[0].pool = "a".repeat(63)),
            ("a term of a day", |c| c.end_date = "2026-11-02".into()),
            ("a leap day", |c| c.end_date = "2028-02-29".into()),
            ("another currency", |c| c.currency = "JPY".into()),
            ("another renewal", |c| c.renewal = Renewal::Automatic.into()),
        ];
        let bad: [(&str, Change); 23] = [
            ("signed_date", |c| c.signed_date.clear()),
            ("signed_date", |c| c.signed_date = "01.10.2026".into()),
            ("start_date", |c| c.start_date = "2026-11-31".into()),
            ("start_date", |c| c.start_date = "2026-11-01T00:00:00Z".into()),
            ("end_date", |c| c.end_date = "soon".into()),
            ("end_date", |c| c.end_date = "2027-02-29".into()),
            ("end_date", |c| c.end_date = c.start_date.clone()),
            ("end_date", |c| c.end_date = "2026-10-31".into()),
            ("currency", |c| c.currency.clear()),
            ("currency", |c| c.currency = "eur".into()),
            ("currency", |c| c.currency = "EURO".into()),
            ("currency", |c| c.currency = "QQQ".into()),
            ("seats", |c| c.seats.clear()),
            ("seats", |c| c.seats = (0..33).map(|n| pool(&format!("p{n}"), 1, 1)).collect()),
            ("seats[0].count", |c| c.seats[0].count = 0),
            ("seats[0].count", |c| c.seats[0].count = 10_000_001),
            ("seats[0].monthly_price_minor", |c| c.seats[0].monthly_price_minor = -1),
            ("seats[0].pool", |c| c.seats[0].pool = "Committed".into()),
            ("seats[0].pool", |c| c.seats[0].pool = "a".repeat(64)),
            ("seats[1].pool", |c| c.seats.push(pool("committed", 1, 1))),
            ("renewal", |c| c.renewal = 0),
            ("renewal", |c| c.renewal = 3),
            ("renewal", |c| c.renewal = -1),
        ];
        let sign = async |contract: Contract, validate_only: bool| {
            ask!(world.admin, tenant.contract_tenant, ContractTenantRequest {
                name: ACME, contract: contract, validate_only: validate_only,
            })
        };
        for (what, change) in good {
            let mut contract = signed(250);
            change(&mut contract);
            let shown = sign(contract.clone(), true).await.unwrap_or_else(|e| panic!("{what}: {e}"));
            assert_eq!(shown.contract, Some(contract), "{what}");
        }
        for (field, change) in bad {
            let mut contract = signed(250);
            change(&mut contract);
            assert_eq!(faults(sign(contract, false).await), [format!("contract.{field}")]);
        }
        let none = faults(ask!(world.admin, tenant.contract_tenant, ContractTenantRequest { name: ACME }));
        let all = ["signed_date", "start_date", "end_date", "currency", "renewal", "seats"];
        assert_eq!(none, all.map(|field| format!("contract.{field}")));
        assert_eq!(get(&world.admin, ACME).await.unwrap().state(), TenantState::Pipeline, "nothing of that was kept");
        sign(signed(9), false).await.unwrap();
        assert_eq!(get(&world.owner, ACME).await.unwrap().contract, Some(signed(9)));
        refused(sign(signed(10), false).await, ILLEGAL);
        assert_eq!(get(&world.owner, ACME).await.unwrap().contract, Some(signed(9)), "a contract is signed once");
    }

    async fn going_live_needs_somebody_living_who_holds_a_living_role(site: Site) {
        let world = World::build(site).await;
        let by = &world.admin;
        step(by, "contract", ACME).await.unwrap();
        step(by, "start_pilot", ACME).await.unwrap();
        let live = async || ask!(by, tenant.go_live, GoLiveRequest { name: ACME, validate_only: true });
        refused(live().await, ILLEGAL);
        let role = world.role("sales").await.name;
        refused(live().await, ILLEGAL);
        // a group holds the role, but nobody is in it
        let group = group::create(by, "field").await.unwrap().name;
        ask!(by, role.add_role_member, AddRoleMemberRequest { name: role.clone(), member: group.clone() }).unwrap();
        refused(live().await, ILLEGAL);
        let member = "tenants/acme/principals/member";
        ask!(by, group.add_group_member, AddGroupMemberRequest { name: group.clone(), member: member }).unwrap();
        live().await.unwrap();
        // whoever is deleted on the way from the role to the person breaks it
        ask!(by, principal.delete_principal, DeletePrincipalRequest { name: member }).unwrap();
        refused(live().await, ILLEGAL);
        ask!(by, principal.undelete_principal, UndeletePrincipalRequest { name: member }).unwrap();
        ask!(by, group.delete_group, DeleteGroupRequest { name: group.clone() }).unwrap();
        refused(live().await, ILLEGAL);
        // and somebody who holds it directly is enough
        ask!(by, role.add_role_member, AddRoleMemberRequest { name: role.clone(), member: member }).unwrap();
        live().await.unwrap();
        ask!(by, role.delete_role, DeleteRoleRequest { name: role.clone() }).unwrap();
        refused(live().await, ILLEGAL);
        ask!(by, role.undelete_role, UndeleteRoleRequest { name: role }).unwrap();
        assert_eq!(get(by, ACME).await.unwrap().state(), TenantState::Pilot);
        assert_eq!(step(by, "go_live", ACME).await.unwrap().state(), TenantState::Live);
    }

    async fn a_verb_under_the_same_request_id_is_done_once(site: Site) {
        let world = World::build(site).await;
        let sign = async |seats: i64| ask!(world.admin, tenant.contract_tenant, ContractTenantRequest {
            name: ACME, contract: signed(seats), request_id: ID,
        });
        let first = sign(5).await.unwrap();
        assert_eq!(sign(5).await.unwrap(), first, "not refused as a second contract");
        refused(sign(6).await, REUSED);
        assert_eq!(get(&world.admin, ACME).await.unwrap(), first);
    }

    async fn a_deleted_tenant_is_seen_by_those_who_could_see_it_and_its_id_stays_taken(site: Site) {
        let world = World::build(site).await;
        let role = world.role("sales").await.name;
        let gone = step(&world.consultant, "delete", ACME).await.unwrap();
        assert!(gone.delete_time.is_some());
        let (boss, auditor) = (&world.holders["partner_admin"], &world.holders["platform_auditor"]);
        for by in [&world.admin, auditor, boss, &world.consultant] {
            assert_eq!(get(by, ACME).await.unwrap(), gone);
            assert_eq!(list(by, "tenant_id = acme", true).await.unwrap(), ["acme"]);
            assert!(list(by, "tenant_id = acme", false).await.unwrap().is_empty());
        }
        for by in [&world.rival, &world.stranger] {
            refused(get(by, ACME).await, MISSING);
        }
        // its people cannot act and what is below it cannot be reached
        refused(get(&world.owner, ACME).await, SUSPENDED);
        refused(ask!(world.admin, role.get_role, GetRoleRequest { name: role.clone() }), MISSING);
        refused(world::tenant(&world.consultant, "acme", NORTHWIND).await, TAKEN);
        refused(world::tenant(&world.rival, "acme", "partners/contoso").await, TAKEN);
        let back = step(&world.consultant, "undelete", ACME).await.unwrap();
        assert_eq!((back.delete_time, &back.uid), (None, &gone.uid));
        assert_eq!(get(&world.owner, ACME).await.unwrap(), back);
        ask!(world.owner, role.get_role, GetRoleRequest { name: role }).unwrap();
    }

    async fn partners_list_their_clients_and_a_client_lists_itself(site: Site) {
        let world = World::build(site).await;
        world::tenant(&world.consultant, "initech", NORTHWIND).await.unwrap();
        step(&world.admin, "contract", "tenants/globex").await.unwrap();
        let all = ["acme", "globex", "initech"];
        for (by, seen) in [
            (&world.admin, &all[..]),
            (&world.holders["platform_auditor"], &all[..]),
            (&world.consultant, &["acme", "initech"]),
            (&world.holders["partner_admin"], &["acme", "initech"]),
            (&world.rival, &["globex"]),
            (&world.owner, &["acme"]),
            (&world.holders["finance"], &["acme"]),
            (&world.stranger, &["globex"]),
        ] {
            assert_eq!(list(by, "", false).await.unwrap(), seen);
            // no filter widens what somebody sees
            assert_eq!(list(by, "state = PIPELINE OR state = CONTRACTED", true).await.unwrap(), seen);
        }
        refused(list(&world.holders["member"], "", false).await, DENIED);
        assert_eq!(list(&world.admin, "state = contracted", false).await.unwrap(), ["globex"]);
        assert_eq!(list(&world.admin, "partner_id = northwind", false).await.unwrap(), ["acme", "initech"]);
        assert!(list(&world.rival, "partner_id = northwind", false).await.unwrap().is_empty());
    }

    async fn a_suspended_tenant_can_still_be_read_by_its_own_people(site: Site) {
        let world = World::build(site).await;
        let role = world.role("sales").await;
        let member = "tenants/acme/principals/member";
        let name = role.name.clone();
        ask!(world.owner, role.add_role_member, AddRoleMemberRequest { name: name, member: member }).unwrap();
        for verb in ["contract", "start_pilot", "go_live", "suspend"] {
            step(&world.admin, verb, ACME).await.unwrap();
        }
        for by in [&world.owner, &world.holders["compliance"], &world.consultant] {
            assert_eq!(get(by, ACME).await.unwrap().state(), TenantState::Suspended);
            assert_eq!(ask!(by, role.get_role, GetRoleRequest { name: role.name.clone() }).unwrap(), role);
            let people = ask!(by, principal.list_principals, ListPrincipalsRequest { parent: ACME }).unwrap();
            assert_eq!(people.principals.len(), 6);
        }
    }

    async fn a_tenant_is_created_in_the_pipeline_of_a_living_partner_with_words_that_fit(site: Site) {
        let world = World::build(site).await;
        let made = world::tenant(&world.consultant, "initech", NORTHWIND).await.unwrap();
        assert_eq!((made.name.as_str(), made.partner.as_str()), ("tenants/initech", NORTHWIND));
        assert_eq!((made.state(), &made.contract, made.delete_time), (TenantState::Pipeline, &None, None));
        assert_eq!(made.create_time, made.update_time);
        assert_eq!(get(&world.consultant, "tenants/initech").await.unwrap(), made);
        refused(world::tenant(&world.consultant, "initech", NORTHWIND).await, TAKEN);
        refused(world::tenant(&world.consultant, "hooli", "partners/contoso").await, MISSING);
        refused(world::tenant(&world.admin, "hooli", "partners/nobody").await, MISSING);
        refused(world::tenant(&world.admin, "hooli", "").await, INVALID);
        refused(world::tenant(&world.owner, "hooli", NORTHWIND).await, MISSING);
        // what only the verbs set is ignored
        let ahead = Tenant {
            partner: NORTHWIND.to_owned(),
            display_name: "H".repeat(128),
            state: TenantState::Live.into(),
            contract: Some(signed(9)),
            ..Default::default()
        };
        let made = ask!(world.admin, tenant.create_tenant, CreateTenantRequest { tenant_id: "hooli", tenant: ahead });
        assert_eq!(made.map(|t| (t.state(), t.contract)).unwrap(), (TenantState::Pipeline, None));
        let mut words = Tenant { name: "tenants/hooli".to_owned(), ..Default::default() };
        let (longest, longer) = ("é".repeat(128), "e".repeat(129));
        for (text, good) in [("", false), ("é", true), (&longest, true), (&longer, false), ("a\0", false)] {
            text.clone_into(&mut words.display_name);
            let answer = ask!(world.admin, tenant.update_tenant, UpdateTenantRequest {
                tenant: words.clone(), update_mask: mask(&["display_name"]),
            });
            if good {
                assert_eq!(answer.unwrap().display_name, text);
            } else {
                assert_eq!(faults(answer), ["tenant.display_name"], "{text}");
            }
        }
    }
}
