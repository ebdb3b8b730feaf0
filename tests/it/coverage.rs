//! What must not be forgotten: an audit event for every mutation, a test for every reason.

use std::{collections::BTreeSet, path::Path};

use kernel::{
    authz::{Action, Class},
    clock::Time,
};
use proto::{
    catalog::v1::{self as catalog, catalog_service_client::CatalogServiceClient},
    token::v1::TokenKind,
};
use serde_json::{Value, json};
use tests::{
    World, both_engines, http, raw,
    site::{Caller, START},
    world,
};

use crate::{audit::events, schema::sources};

/// Calls an RPC that must succeed.
async fn call(by: &Caller, rpc: &str, request: Value) -> Value {
    let outcome = raw::json(by, &format!("provost.{rpc}"), request).await;
    outcome.unwrap_or_else(|status| panic!("{rpc}: {} {}", status.code(), status.message()))
}

/// A marketplace of one plugin, over the stream.
async fn import(by: &Caller) {
    let file = |path: &str, content: &str| catalog::ImportMarketplaceRequest {
        part: Some(catalog::import_marketplace_request::Part::File(catalog::ImportFile {
            path: path.to_owned(),
            content: content.as_bytes().to_vec(),
            symlink: false,
        })),
    };
    let header = catalog::ImportMarketplaceRequest {
        part: Some(catalog::import_marketplace_request::Part::Header(catalog::ImportHeader::default())),
    };
    let parts = [
        header,
        file(".agents/plugins/marketplace.json", r#"{"name":"m","plugins":[{"name":"p","source":"./p"}]}"#),
        file("p/.codex-plugin/plugin.json", r#"{"name":"p","version":"1"}"#),
        file("p/.app.json", r#"{"apps":{"crm":{"id":"REPLACE_WITH_CRM"}}}"#),
    ];
    CatalogServiceClient::new(by.channel.clone())
        .import_marketplace(by.ask(tokio_stream::iter(parts)))
        .await
        .unwrap();
}

/// Everything that can be done to a client, once.
async fn live_a_life(world: &World) {
    let (admin, owner, boss) = (&world.admin, &world.owner, &world.holders["partner_admin"]);
    call(
        admin,
        "partner.v1.PartnerService/CreatePartner",
        json!({"partnerId": "p2", "partner": {"displayName": "P"}}),
    )
    .await;
    call(
        admin,
        "partner.v1.PartnerService/UpdatePartner",
        json!({"partner": {"name": "partners/p2", "displayName": "Q"}}),
    )
    .await;
    call(admin, "partner.v1.PartnerService/DeletePartner", json!({"name": "partners/p2"})).await;
    call(admin, "partner.v1.PartnerService/UndeletePartner", json!({"name": "partners/p2"})).await;
    let (unit, person) = ("tenants/acme/units/u", "tenants/acme/principals/x");
    call(
        owner,
        "unit.v1.UnitService/CreateUnit",
        json!({"parent": world::ACME, "unitId": "u", "unit": {"displayName": "U"}}),
    )
    .await;
    call(owner, "unit.v1.UnitService/UpdateUnit", json!({"unit": {"name": unit, "costCenter": "c"}})).await;
    call(owner, "unit.v1.UnitService/DeleteUnit", json!({"name": unit})).await;
    call(owner, "unit.v1.UnitService/UndeleteUnit", json!({"name": unit})).await;
    let new = json!({"kind": "PRINCIPAL_KIND_USER", "displayName": "X"});
    call(
        owner,
        "principal.v1.PrincipalService/CreatePrincipal",
        json!({"parent": world::ACME, "principalId": "x", "principal": new}),
    )
    .await;
    call(
        owner,
        "principal.v1.PrincipalService/UpdatePrincipal",
        json!({"principal": {"name": person, "unit": unit}}),
    )
    .await;
    call(owner, "principal.v1.PrincipalService/SuspendPrincipal", json!({"name": person})).await;
    call(owner, "principal.v1.PrincipalService/ResumePrincipal", json!({"name": person})).await;
    call(owner, "principal.v1.PrincipalService/DeletePrincipal", json!({"name": person})).await;
    call(owner, "principal.v1.PrincipalService/UndeletePrincipal", json!({"name": person})).await;
    for (noun, service) in [("group", "group.v1.GroupService"), ("role", "role.v1.RoleService")] {
        let (title, name) =
            (format!("{}{}", noun[..1].to_uppercase(), &noun[1..]), format!("tenants/acme/{noun}s/a"));
        let id = format!("{noun}Id");
        call(
            owner,
            &format!("{service}/Create{title}"),
            json!({"parent": world::ACME, id: "a", noun: {"displayName": "A"}}),
        )
        .await;
        call(owner, &format!("{service}/Update{title}"), json!({noun: {"name": name, "displayName": "B"}}))
            .await;
        call(owner, &format!("{service}/Delete{title}"), json!({"name": name})).await;
        call(owner, &format!("{service}/Undelete{title}"), json!({"name": name})).await;
        call(owner, &format!("{service}/Add{title}Member"), json!({"name": name, "member": person})).await;
        call(owner, &format!("{service}/Remove{title}Member"), json!({"name": name, "member": person})).await;
    }
    world.role("b").await;
    let pair = json!({"name": "tenants/acme/roles/a", "includedRole": "tenants/acme/roles/b"});
    call(owner, "role.v1.RoleService/IncludeRole", pair.clone()).await;
    call(owner, "role.v1.RoleService/ExcludeRole", pair).await;
    import(admin).await;
    let plugin = "marketplaces/m/plugins/p";
    call(
        admin,
        "catalog.v1.CatalogService/SetPluginStage",
        json!({"name": plugin, "stage": "STAGE_PREVIEW"}),
    )
    .await;
    let versions = json!({"parent": plugin});
    let versions = call(admin, "catalog.v1.CatalogService/ListPluginVersions", versions).await;
    let version = json!({"name": versions["pluginVersions"][0]["name"], "stage": "STAGE_PREVIEW"});
    call(admin, "catalog.v1.CatalogService/SetPluginVersionStage", version).await;
    let rule = json!({"role": "*", "target": plugin, "effect": "EFFECT_AVAILABLE"});
    call(
        owner,
        "entitlement.v1.EntitlementService/CreateEntitlement",
        json!({"parent": world::ACME, "entitlementId": "e", "entitlement": rule}),
    )
    .await;
    let terms = json!({"entitlement": {"name": "tenants/acme/entitlements/e", "reason": "pilot"}});
    call(owner, "entitlement.v1.EntitlementService/UpdateEntitlement", terms).await;
    sets(owner, plugin, person).await;
    call(
        owner,
        "entitlement.v1.EntitlementService/DeleteEntitlement",
        json!({"name": "tenants/acme/entitlements/e"}),
    )
    .await;
    own(owner, plugin).await;
    meters(owner).await;
    let grant = call(
        owner,
        "duty.v1.DutyService/GrantDuty",
        json!({"parent": world::ACME, "principal": person, "duty": "DUTY_ADMIN"}),
    )
    .await;
    call(owner, "duty.v1.DutyService/RevokeDuty", json!({"name": grant["name"]})).await;
    tokens(world).await;
    record(world).await;
    sinks(world).await;
    lifecycle(world, boss).await;
}

/// What a client has of its own for a plugin.
async fn own(owner: &Caller, plugin: &str) {
    let binding = |rpc: &str| format!("connector_binding.v1.ConnectorBindingService/{rpc}ConnectorBinding");
    let name = "tenants/acme/connectorBindings/b";
    let new = json!({"plugin": plugin, "app": "crm", "connectorId": "acme-crm"});
    let new = json!({"parent": world::ACME, "connectorBindingId": "b", "connectorBinding": new});
    call(owner, &binding("Create"), new).await;
    call(owner, &binding("Update"), json!({"connectorBinding": {"name": name, "connectorId": "c"}})).await;
    call(owner, &binding("Delete"), json!({"name": name})).await;
    let held = |rpc: &str| format!("stage_override.v1.StageOverrideService/{rpc}StageOverride");
    let name = "tenants/acme/stageOverrides/s";
    let new = json!({"plugin": plugin, "stage": "STAGE_WITHDRAWN"});
    let new = json!({"parent": world::ACME, "stageOverrideId": "s", "stageOverride": new});
    call(owner, &held("Create"), new).await;
    call(owner, &held("Update"), json!({"stageOverride": {"name": name, "reason": "why"}})).await;
    call(owner, &held("Delete"), json!({"name": name})).await;
}

/// What is counted beside what is built in.
async fn meters(owner: &Caller) {
    let usage = |rpc: &str| format!("usage.v1.UsageService/{rpc}UsageMeter");
    let (name, meter) =
        ("tenants/acme/usageMeters/m", json!({"eventType": "e", "aggregation": "COUNT", "unit": "events"}));
    call(owner, &usage("Create"), json!({"parent": world::ACME, "meterId": "m", "meter": meter})).await;
    call(owner, &usage("Update"), json!({"meter": {"name": name, "unit": "things"}})).await;
    call(owner, &usage("Archive"), json!({"name": name})).await;
}

/// What rules speak of.
async fn sets(owner: &Caller, plugin: &str, person: &str) {
    for (service, noun, collection, kind, (verb, part)) in [
        (
            "plugin_group.v1.PluginGroupService",
            "PluginGroup",
            "pluginGroups",
            "PluginGroupMember",
            ("member", plugin),
        ),
        ("seat_pool.v1.SeatPoolService", "SeatPool", "seatPools", "SeatHolder", ("holder", person)),
    ] {
        let (field, name) =
            (format!("{}{}", noun[..1].to_lowercase(), &noun[1..]), format!("tenants/acme/{collection}/s"));
        let id = format!("{field}Id");
        let create = json!({"parent": world::ACME, id: "s", &field: {"displayName": "S"}});
        call(owner, &format!("{service}/Create{noun}"), create).await;
        let update = json!({&field: {"name": name, "description": "sets"}});
        call(owner, &format!("{service}/Update{noun}"), update).await;
        call(owner, &format!("{service}/Delete{noun}"), json!({"name": name})).await;
        call(owner, &format!("{service}/Undelete{noun}"), json!({"name": name})).await;
        for act in ["Add", "Remove"] {
            call(owner, &format!("{service}/{act}{kind}"), json!({"name": name, verb: part})).await;
        }
    }
}

async fn tokens(world: &World) {
    let owner = &world.owner;
    let robot = json!({"kind": "PRINCIPAL_KIND_SERVICE", "displayName": "Robot"});
    call(
        owner,
        "principal.v1.PrincipalService/CreatePrincipal",
        json!({"parent": world::ACME, "principalId": "robot", "principal": robot}),
    )
    .await;
    for (id, kind) in
        [("owner", TokenKind::Personal), ("robot", TokenKind::Service), ("x", TokenKind::Ingest)]
    {
        let made =
            world::create_token(owner, world::ACME, world::token_of(world::ACME, id, kind)).await.unwrap();
        if kind == TokenKind::Ingest {
            let body = json!({"resourceLogs": [{
                "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "codex_cli"}}]},
                "scopeLogs": [{"logRecords": [{
                    "observedTimeUnixNano": "1795420000000000000",
                    "attributes": [
                        {"key": "event.name", "value": {"stringValue": "codex.skill_invocation"}},
                        {"key": "conversation.id", "value": {"stringValue": "c"}},
                        {"key": "skill.name", "value": {"stringValue": "s"}},
                    ],
                }]}],
            }]});
            let answer = http::post_logs(&world.site.running.url(), &made.secret, body.to_string()).await;
            assert_eq!(answer.status, 200, "{}", answer.text());
            let event = json!({"specversion": "1.0", "id": "e", "source": "gateway", "type": "request", "data": {"value": 1}});
            let bearer = format!("Bearer {}", made.secret);
            let headers =
                [("authorization", bearer.as_str()), ("content-type", "application/cloudevents+json")];
            let to = format!("{}/v1/usage/events", world.site.running.url());
            let answer = http::send(::http::Method::POST, &to, &headers, event.to_string()).await;
            assert_eq!(answer.json()["statuses"][0]["outcome"], "ACCEPTED", "{}", answer.text());
            corrections(world, [1, answer.json()["statuses"][0]["seq"].as_str().unwrap().parse().unwrap()])
                .await;
            for (signal, body) in other_telemetry() {
                let url = world.site.running.url();
                let answer =
                    http::post_otlp(&url, &made.secret, (signal, "application/json"), body.to_string()).await;
                assert_eq!((answer.status.as_u16(), answer.json()), (200, json!({"partialSuccess": {}})));
            }
        }
        let name = made.token.unwrap().name;
        call(owner, "token.v1.TokenService/RevokeToken", json!({"name": name})).await;
    }
}

/// Metrics and spans that count.
fn other_telemetry() -> [(&'static str, Value); 2] {
    let nanos = (Time::parse("start", START).unwrap().micros() * 1_000).to_string();
    let text = |key: &str, value: &str| json!({"key": key, "value": {"stringValue": value}});
    let resource = |service: &str| json!({"attributes": [text("service.name", service)]});
    let point = json!({"timeUnixNano": nanos, "asInt": "3", "attributes": [text("type", "added")]});
    let metric = json!({"name": "claude_code.lines_of_code.count", "sum": {"aggregationTemporality": 1, "isMonotonic": true, "dataPoints": [point]}});
    let span = json!({"traceId": "4bf92f3577b34da6a3ce929d0e0e4736", "spanId": "00f067aa0ba902b7", "endTimeUnixNano": nanos,
        "attributes": [text("gen_ai.operation.name", "execute_tool")]});
    [
        (
            "metrics",
            json!({"resourceMetrics": [{"resource": resource("claude-code"), "scopeMetrics": [{"metrics": [metric]}]}]}),
        ),
        (
            "traces",
            json!({"resourceSpans": [{"resource": resource("bot"), "scopeSpans": [{"spans": [span]}]}]}),
        ),
    ]
}

/// What is said anew about usage.
async fn corrections(world: &World, seqs: [i64; 2]) {
    let owner = &world.owner;
    let rpc = |rpc: &str| format!("usage.v1.UsageCorrectionService/{rpc}");
    let [first, second] = seqs.map(|seq| json!({"seq": seq.to_string()}));
    let void = json!({"parent": world::ACME, "events": [first], "reason": "sent by a test"});
    let made = call(owner, &rpc("VoidUsageEvents"), void).await;
    call(owner, &rpc("RevertUsageCorrection"), json!({"name": made["name"], "reason": "it was not"})).await;
    let amend = json!({"parent": world::ACME, "amendments": [{"event": second, "values": [{"key": "value", "value": "2"}]}], "reason": "two"});
    call(owner, &rpc("AmendUsageEvents"), amend).await;
    let frame = json!({"reason": "late", "rangeStartTime": "2026-11-01T00:00:00Z", "rangeEndTime": "2026-11-02T00:00:00Z"});
    for verb in ["CommitUsageBackfill", "AbandonUsageBackfill"] {
        let open = json!({"parent": world::ACME, "backfill": frame});
        let name = call(owner, &rpc("CreateUsageBackfill"), open).await["name"].clone();
        let event =
            json!({"id": verb, "source": "s", "type": "t", "time": "2026-11-01T12:00:00Z", "value": "1"});
        call(owner, &rpc("StageUsageEvents"), json!({"name": name, "events": [event]})).await;
        let mut end = json!({"name": name});
        if verb.starts_with("Abandon") {
            end["reason"] = json!("not needed");
        }
        call(owner, &rpc(verb), end).await;
    }
}

/// What is kept of the record, who may mirror it, and who leaves it.
async fn record(world: &World) {
    let owner = &world.owner;
    let audit = |rpc: &str| format!("audit.v1.AuditService/{rpc}");
    let retention = |rpc: &str| format!("retention.v1.RetentionService/{rpc}");
    let search = json!({"parent": world::ACME, "savedSearchId": "s", "savedSearch": {"displayName": "S", "filter": "outcome = denied"}});
    call(owner, &audit("CreateSavedSearch"), search).await;
    call(owner, &audit("DeleteSavedSearch"), json!({"name": "tenants/acme/savedSearches/s"})).await;
    let link = json!({"parent": world::ACME, "mirrorLink": {"displayName": "M", "expireTime": "2026-12-01T00:00:00Z"}});
    let made = call(owner, &audit("CreateMirrorLink"), link).await;
    call(owner, &audit("RevokeMirrorLink"), json!({"name": made["mirrorLink"]["name"]})).await;
    let longer = json!({"retention": {"name": "tenants/acme/retention", "classes": [{"eventClass": "auth", "days": 400}]}});
    call(owner, &retention("UpdateRetention"), longer).await;
    let hold = json!({"parent": world::ACME, "legalHoldId": "h", "legalHold": {"reason": "matter 7"}});
    call(owner, &retention("CreateLegalHold"), hold).await;
    call(owner, &retention("ReleaseLegalHold"), json!({"name": "tenants/acme/legalHolds/h"})).await;
    let leaver = json!({"kind": "PRINCIPAL_KIND_USER", "displayName": "Leaver"});
    let create = json!({"parent": world::ACME, "principalId": "leaver", "principal": leaver});
    call(owner, "principal.v1.PrincipalService/CreatePrincipal", create).await;
    let name = "tenants/acme/principals/leaver";
    call(owner, "principal.v1.PrincipalService/DeletePrincipal", json!({"name": name})).await;
    call(owner, &retention("EraseSubject"), json!({"principal": name, "reason": "asked for"})).await;
}

/// Where the record goes.
async fn sinks(world: &World) {
    let owner = &world.owner;
    let sink = |rpc: &str| format!("sink.v1.SinkService/{rpc}");
    let (name, target) = ("tenants/acme/sinks/siem", json!({"url": "https://siem.invalid/in"}));
    let new =
        json!({"parent": world::ACME, "sinkId": "siem", "sink": {"displayName": "S", "webhook": target}});
    call(owner, &sink("CreateSink"), new).await;
    call(owner, &sink("UpdateSink"), json!({"sink": {"name": name, "displayName": "T"}})).await;
    for verb in ["PauseSink", "ResumeSink", "ReplaySink", "TestSink", "RedeliverDeadLetters", "DeleteSink"] {
        call(owner, &sink(verb), json!({"name": name})).await;
    }
}

async fn lifecycle(world: &World, boss: &Caller) {
    let (consultant, name) = (&world.consultant, json!({"name": world::ACME}));
    let tenant = |verb: &str| format!("tenant.v1.TenantService/{verb}");
    call(
        &world.owner,
        &tenant("UpdateTenant"),
        json!({"tenant": {"name": world::ACME, "displayName": "Acme"}}),
    )
    .await;
    call(consultant, &tenant("DeleteTenant"), name.clone()).await;
    call(consultant, &tenant("UndeleteTenant"), name.clone()).await;
    let contract = json!({
        "signedDate": "2026-11-01", "startDate": "2026-12-01", "endDate": "2027-12-01", "currency": "EUR",
        "renewal": "RENEWAL_MANUAL", "seats": [{"pool": "standard", "count": "10", "monthlyPriceMinor": "3000"}],
    });
    call(boss, &tenant("ContractTenant"), json!({"name": world::ACME, "contract": contract})).await;
    call(consultant, &tenant("StartPilot"), name.clone()).await;
    let member = json!({"name": "tenants/acme/roles/a", "member": "tenants/acme/principals/x"});
    call(&world.owner, "role.v1.RoleService/AddRoleMember", member).await;
    for verb in ["GoLive", "SuspendTenant", "ResumeTenant", "SuspendTenant", "CloseTenant"] {
        call(&world.owner, &tenant(verb), name.clone()).await;
    }
}

both_engines! {
    async fn every_mutation_leaves_an_audit_event(site: Site) {
        let world = World::build(site).await;
        live_a_life(&world).await;
        let mut recorded = BTreeSet::new();
        for log in ["", world::NORTHWIND, "partners/p2", world::ACME] {
            recorded.extend(events(&world.admin, log, "outcome = ok").await.into_iter().map(|e| e.action));
        }
        let mutations = server::app::actions().filter(|a| matches!(a.class, Class::Write | Class::Ingest));
        let missing: BTreeSet<_> = mutations.map(Action::name).filter(|name| !recorded.contains(name)).collect();
        assert!(missing.is_empty(), "without an audit event, or not called here: {missing:?}");
    }
}

/// Reasons that a caller cannot bring about at will. This list only shrinks.
const OUT_OF_REACH: [&str; 3] = ["UNSPECIFIED", "INTERNAL", "CONFLICT"];

#[test]
fn every_reason_has_a_test_that_produces_it() {
    let here = sources(Path::new("it"));
    let text: String = here.iter().map(|file| std::fs::read_to_string(file).unwrap()).collect();
    let reasons = raw::pool().get_enum_by_name("provost.errors.v1.Reason").unwrap();
    let untested: Vec<_> = reasons
        .values()
        .map(|v| v.name().trim_start_matches("REASON_").to_owned())
        .filter(|reason| !OUT_OF_REACH.contains(&reason.as_str()) && !text.contains(&format!("\"{reason}\"")))
        .collect();
    assert!(untested.is_empty(), "no test names {untested:?}");
}
