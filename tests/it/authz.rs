//! Who may do what: the whole table, and every RPC probed over the wire.

use std::fmt::Write as _;

use kernel::{
    authz::{Action, Duty, DutySet, Policy, Question},
    clock::Time,
    scope::ScopeKind,
};
use tests::{World, both_engines, golden, raw};
use tonic::Code;

/// Every duty x every action, as `policies/duties.csv` answers.
#[tokio::test]
async fn the_matrix_is_as_reviewed() {
    let policy = Policy::built_in().await.unwrap();
    let now = Time::parse("now", tests::site::START).unwrap();
    let mut out = String::from(
        "# Every duty x every action: A allowed, s allowed on one's own only, - refused.\n\
         # A column is a duty, in the order of the enum: PlatformAdmin PlatformAuditor PartnerAdmin Consultant\n\
         # Owner Admin Compliance Finance Approver Member, then a caller without any duty.\n\n",
    );
    let mut actions: Vec<&Action> = server::app::actions().collect();
    actions.sort_by_key(|a| (a.rpc, a.noun));
    for action in actions {
        for kind in action.scopes {
            let answer = |duty: Option<Duty>, own: bool| {
                let duties = duty.map_or(DutySet::default(), |d| DutySet::default().with(d));
                let object = action.noun.into();
                policy.allows(
                    &Question { duties, kind: *kind, object, class: action.class, verb: action.verb, own },
                    now,
                )
            };
            let cells: Vec<_> = Duty::ALL
                .into_iter()
                .map(Some)
                .chain([None])
                .map(|duty| match (answer(duty, false), answer(duty, true)) {
                    (true, _) => "A",
                    (false, true) => "s",
                    (false, false) => "-",
                })
                .collect();
            let (cells, object) = (cells.join(" "), format!("{}/{}", action.noun, action.verb));
            writeln!(out, "{:<58} {:<9} {object:<28} {cells}", action.rpc, kind.as_str()).unwrap();
        }
    }
    golden::matches("it/authz/matrix.out", &out);
}

/// An RPC without an action would be an RPC that nobody thought about.
#[test]
fn every_rpc_has_an_action_and_every_action_an_rpc() {
    let known: Vec<_> = raw::methods().iter().map(raw::path).collect();
    let covered: Vec<_> = server::app::actions().map(|a| a.rpc).collect();
    let bare: Vec<_> = known.iter().filter(|rpc| !covered.contains(&rpc.as_str())).collect();
    assert!(bare.is_empty(), "without an authorization case: {bare:?}");
    // plain-HTTP routes have their method in front
    let dead: Vec<_> =
        covered.iter().filter(|rpc| !known.iter().any(|k| k == *rpc) && !rpc.contains(' ')).collect();
    assert!(dead.is_empty(), "no such RPC: {dead:?}");
}

/// Fills a request's names so that they point into `acme`.
fn into_acme(field: &str) -> Option<String> {
    let text = match field {
        "parent" => "tenants/acme",
        "principal" | "member" | "holder" => "tenants/acme/principals/member",
        "plugin" => "marketplaces/m/plugins/p",
        _ => return None,
    };
    Some(text.to_owned())
}

/// The `name` of each noun's resource in `acme`.
fn name_in_acme(service: &str) -> Option<&'static str> {
    Some(match service {
        "TenantService" => "tenants/acme",
        "UnitService" => "tenants/acme/units/hq",
        "PrincipalService" => "tenants/acme/principals/member",
        "GroupService" => "tenants/acme/groups/g",
        "RoleService" => "tenants/acme/roles/r",
        "PluginGroupService" => "tenants/acme/pluginGroups/g",
        "SeatPoolService" => "tenants/acme/seatPools/p",
        "EntitlementService" => "tenants/acme/entitlements/e",
        "ConnectorBindingService" => "tenants/acme/connectorBindings/b",
        "StageOverrideService" => "tenants/acme/stageOverrides/s",
        "TenantPluginService" => "tenants/acme/marketplaces/m/plugins/p",
        "TokenService" => "tenants/acme/tokens/01a20000-0000-7000-8000-000000000000",
        "DutyService" => "tenants/acme/dutyGrants/01a20000-0000-7000-8000-000000000000",
        "SinkService" => "tenants/acme/sinks/siem",
        "RetentionService" => "tenants/acme/retention",
        "UsageCorrectionService" => "tenants/acme/usageCorrections/01a20000-0000-7000-8000-000000000000",
        _ => return None,
    })
}

/// Those of services with several nouns.
fn name_of(rpc: &str) -> Option<&'static str> {
    Some(match rpc {
        "GetAuditEvent" | "GetReceipt" => "tenants/acme/auditEvents/01a20000-0000-7000-8000-000000000000",
        "GetAuditLog" => "tenants/acme/auditLog",
        "DeleteSavedSearch" => "tenants/acme/savedSearches/s",
        "RevokeMirrorLink" => "tenants/acme/mirrorLinks/01a20000-0000-7000-8000-000000000000",
        "GetUsageMeter" | "UpdateUsageMeter" | "ArchiveUsageMeter" => "tenants/acme/usageMeters/m",
        "ReleaseLegalHold" => "tenants/acme/legalHolds/h",
        _ => return None,
    })
}

/// RPCs of tenants, by their actions, that name nothing of one. This list only shrinks.
const NOT_OF_A_TENANT: [&str; 2] = [
    "tenant.v1.TenantService/ListTenants",
    // the tenant is that of the token, whatever the events say
    "usage.v1.UsageService/Ingest",
];

both_engines! {
    async fn nobody_gets_in_without_a_credential(site: Site) {
        for method in raw::methods() {
            let request = raw::request(&method.input(), &|_| None);
            let refused = raw::call(&site.nobody(), &method, request).await.unwrap_err();
            assert_eq!(refused.code(), Code::Unauthenticated, "{}", raw::path(&method));
        }
    }

    async fn another_tenants_resource_is_not_found_whatever_the_rpc(site: Site) {
        let world = World::build(site).await;
        let mut unprobed = Vec::new();
        for method in raw::methods() {
            let path = raw::path(&method);
            let service = method.parent_service().name().to_owned();
            let fill = |field: &str| match field {
                "name" => name_of(method.name()).or(name_in_acme(&service)).map(str::to_owned),
                "parent" if path.ends_with("Members") || path.ends_with("Holders") || path.ends_with("ListDeadLetters") => name_in_acme(&service).map(str::to_owned),
                last => into_acme(last),
            };
            let request = raw::request(&method.input(), &fill);
            let mut actions = server::app::actions().filter(|action| action.rpc == path);
            if !actions.any(|action| action.scopes.contains(&ScopeKind::Tenant)) {
                continue;
            }
            let aims = format!("{request:?}").contains("tenants/acme");
            if !aims || NOT_OF_A_TENANT.contains(&path.trim_start_matches("provost.")) {
                unprobed.push(path);
                continue;
            }
            for outsider in [&world.stranger, &world.rival] {
                let refused = raw::call(outsider, &method, request.clone()).await.unwrap_err();
                assert_eq!(refused.code(), Code::NotFound, "{path}: {}", refused.message());
            }
        }
        let mut unprobed: Vec<_> = unprobed.iter().map(|p| p.trim_start_matches("provost.")).collect();
        unprobed.sort_unstable();
        assert_eq!(unprobed, NOT_OF_A_TENANT, "every RPC is probed but these");
    }
}
