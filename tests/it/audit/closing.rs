//! A closed tenant's record stays, and everything else goes once its time has come.

use std::{
    collections::BTreeSet,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use audit::closing::{
    Eraser, erase_closed,
    tables::{CLEARED, KEPT, PEOPLE, SHARED},
};
use kernel::clock::Time;
use proto::token::v1::{self as token, TokenKind};
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;
use tests::{Engine, Site, World, both_engines, http, raw, site::Caller, staff, world};
use tokio_util::sync::CancellationToken;
use tonic::Code;
use uuid::Uuid;

use super::{
    events,
    reconcile::{assert_all_agree, peopled},
    retention::check_receipt,
};
use crate::{errors::reason, schema};

const DAY: Duration = Duration::from_hours(24);
/// Longer than what had begun before the tenant took no changes any more can take.
const MINUTE: Duration = Duration::from_mins(1);
/// What people are called in the tenant.
const TRACES: [&str; 4] = ["Maria Lopez", "maria@acme.example", "Lopez", "lopez"];

async fn call(by: &Caller, rpc: &str, request: Value) -> Value {
    let outcome = raw::json(by, &format!("provost.{rpc}"), request).await;
    outcome.unwrap_or_else(|status| panic!("{rpc}: {} {}", status.code(), status.message()))
}

/// A client with something in every table.
async fn busy(site: Site) -> World {
    // nothing is rolled up: days that were corrected would not wait to be
    let still = [("usage.rollup_interval_ms", "3600000".to_owned())];
    let site = Site::start_with(site.engine, &still).await;
    let world = peopled(site).await;
    let owner = &world.owner;
    for (id, parent) in [("north", ""), ("coast", "tenants/acme/units/north")] {
        let unit = json!({"displayName": id, "parentUnit": parent});
        let request = json!({"parent": world::ACME, "unitId": id, "unit": unit,
            "requestId": Uuid::from_u128(id.len() as u128 + u128::from(parent.is_empty()))});
        call(owner, "unit.v1.UnitService/CreateUnit", request).await;
    }
    staff::agent(owner, "helper", "maria").await;
    let search = json!({"displayName": "S", "filter": "text(\"lopez\")"});
    for parent in [world::ACME, world::NORTHWIND] {
        let request = json!({"parent": parent, "savedSearchId": "s", "savedSearch": search});
        call(&world.admin, "audit.v1.AuditService/CreateSavedSearch", request).await;
    }
    let link = json!({"displayName": "M", "expireTime": "2027-06-01T00:00:00Z"});
    call(owner, "audit.v1.AuditService/CreateMirrorLink", json!({"parent": world::ACME, "mirrorLink": link}))
        .await;
    let sink = json!({"displayName": "S", "webhook": {"url": "https://siem.invalid/in"}});
    call(
        owner,
        "sink.v1.SinkService/CreateSink",
        json!({"parent": world::ACME, "sinkId": "siem", "sink": sink}),
    )
    .await;
    for row in USAGE {
        sql(&world.site, row).await;
    }
    let letter = "INSERT INTO audit_sink_letter (scope_id, sink_id, idx, event_id, reason, attempts, redeliver, create_time) \
         SELECT scope_id, id, 1, id, 'refused', 5, FALSE, 1 FROM audit_sink";
    sql(&world.site, letter).await;
    // created on the partner's mandate, so that the partner's log has the name too
    let pat = json!({"kind": "PRINCIPAL_KIND_USER", "displayName": "Pat Lopez"});
    let request = json!({"parent": world::ACME, "principalId": "pat", "principal": pat});
    call(&world.consultant, "principal.v1.PrincipalService/CreatePrincipal", request).await;
    let longer = json!({"name": "tenants/acme/retention", "classes": [{"eventClass": "auth", "days": 400}]});
    call(owner, "retention.v1.RetentionService/UpdateRetention", json!({"retention": longer})).await;
    hold(&world, "first").await;
    release(&world, "first").await;
    let token = staff::ingest_token(owner, "maria").await;
    let nanos = (world.site.kernel().clock.now().micros() * 1_000).to_string();
    let text = |key: &str, value: &str| json!({"key": key, "value": {"stringValue": value}});
    let record = json!({"timeUnixNano": nanos, "attributes": [
        text("event.name", "api_request"), text("session.id", "one"), text("request_id", "r"),
        {"key": "output_tokens", "value": {"intValue": 7}},
    ]});
    let resource = json!({"attributes": [text("service.name", "claude-code")]});
    let body = json!({"resourceLogs": [{"resource": resource, "scopeLogs": [{"logRecords": [record]}]}]});
    let answer = http::post_logs(&world.site.running.url(), &token, body.to_string().into_bytes()).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    world
}

/// What only comes of telemetry of a certain kind, and with time.
const USAGE: [&str; 16] = [
    "INSERT INTO usage_watermark (tenant_id, sums_seq, sums_time, members_seq, members_time, holder, fence, lease_until) \
     SELECT id, 0, 0, 0, 0, id, 0, 0 FROM tenant WHERE 1 = 1 ON CONFLICT DO NOTHING",
    "INSERT INTO usage_series (tenant_id, id, meter, version, client, dims) SELECT id, 999, 'm', 1, 'c', '{}' FROM tenant",
    "INSERT INTO usage_meter (tenant_id, number, key, version, event_type, aggregation, value_path, unit, scale, dims, allow_negative, \
     description, first_seq, live_seq, caught_seq, revision, create_time) \
     SELECT id, 1, 'm', 1, 'e', 'COUNT', '', 'events', 0, '[]', FALSE, '', 1, 1, 1, 1, 1 FROM tenant",
    "INSERT INTO usage_member (tenant_id, id, principal_id) SELECT id, 999, id FROM tenant",
    "INSERT INTO usage_rollup (tenant_id, meter, version, level, bucket, series_id, principal_id, events, sum) \
     SELECT id, 'm', 1, 'day', 0, 999, id, 0, 0 FROM tenant",
    "INSERT INTO usage_reject (tenant_id, id, code, field, message, source, event_id, event_type, ingest_time) \
     SELECT id, id, 'c', '', '', '', '', '', 1 FROM tenant",
    "INSERT INTO usage_reject_count (tenant_id, day, code, surface, count) SELECT id, 1, 'c', 's', 1 FROM tenant",
    "INSERT INTO usage_session_source (tenant_id, session, client, principal_id, kind, decided_time) \
     SELECT id, 's', 'c', id, 'logs', 1 FROM tenant",
    "INSERT INTO seen_plugin (tenant_id, id, client, plugin_hash, plugin, bundled, first_time, last_time) \
     SELECT id, id, 'c', 'h', 'p', FALSE, 1, 1 FROM tenant",
    "INSERT INTO plugin_sighting (tenant_id, id, client, plugin_hash, principal_id, version, first_time, last_time) \
     SELECT id, id, 'c', 'h', id, '', 1, 1 FROM tenant",
    "INSERT INTO settings_observation (tenant_id, id, client, principal_id, resolved_sha256, sources, helper_state, first_time, \
     last_time) SELECT id, id, 'c', id, '', '', '', 1, 1 FROM tenant",
    "INSERT INTO usage_correction (tenant_id, id, kind, state, reason, actor, client, source, replaces, staged_next, staged_count, \
     taken_count, added_count, skipped_count, effects, end_reason, end_actor, revision, create_time, update_time) \
     SELECT id, id, 'backfill', 'staged', 'r', 'a', '', '', FALSE, 2, 1, 0, 0, 0, '[]', '', '', 1, 1, 1 FROM tenant",
    "INSERT INTO usage_staged (tenant_id, correction_id, n, dedupe_key, own_key, payload_key, source, event_id, event_type, client, time, \
     ingest_time, dims, amounts) SELECT id, id, 1, sha256, sha256, sha256, 's', 'e', 't', 'c', 1, 1, '{}', '{}' \
     FROM tenant CROSS JOIN (SELECT payload_sha256 AS sha256 FROM request_result LIMIT 1) AS k",
    "INSERT INTO usage_void (tenant_id, seq, correction_id, void_time) SELECT id, 999, id, 1 FROM tenant",
    "INSERT INTO usage_event_again (tenant_id, seq, dedupe_key) SELECT tenant_id, 999, dedupe_key FROM usage_staged",
    "INSERT INTO usage_stale_day (tenant_id, day, mark) SELECT id, 0, id FROM tenant",
];

async fn sql(site: &Site, text: &'static str) {
    let mut tx = site.kernel().db.begin_derived();
    kernel::execute!(&mut tx, sqlx::query(text)).unwrap();
    tx.finish().await.unwrap();
}

/// Sets a legal hold on all of the client's log, as its partner's administrator may not and the platform's may.
async fn hold(world: &World, id: &str) {
    let request = json!({"parent": world::ACME, "legalHoldId": id, "legalHold": {"reason": "matter 7"}});
    call(&world.admin, "retention.v1.RetentionService/CreateLegalHold", request).await;
}

async fn release(world: &World, id: &str) {
    let request = json!({"name": format!("tenants/acme/legalHolds/{id}")});
    call(&world.admin, "retention.v1.RetentionService/ReleaseLegalHold", request).await;
}

/// Leads the client to its end; returns what closing answered.
async fn close(world: &World) -> Value {
    let (boss, name) = (&world.holders["partner_admin"], json!({"name": world::ACME}));
    let contract = json!({
        "signedDate": "2026-11-01", "startDate": "2026-12-01", "endDate": "2027-12-01", "currency": "EUR",
        "renewal": "RENEWAL_MANUAL", "seats": [{"pool": "standard", "count": "10", "monthlyPriceMinor": "3000"}],
    });
    let tenant = |verb: &str| format!("tenant.v1.TenantService/{verb}");
    call(boss, &tenant("ContractTenant"), json!({"name": world::ACME, "contract": contract})).await;
    call(&world.consultant, &tenant("StartPilot"), name.clone()).await;
    for verb in ["GoLive", "SuspendTenant"] {
        call(&world.owner, &tenant(verb), name.clone()).await;
    }
    call(&world.owner, &tenant("CloseTenant"), name).await
}

async fn tenant(by: &Caller) -> Value {
    call(by, "tenant.v1.TenantService/GetTenant", json!({"name": world::ACME})).await
}

async fn erasure(world: &World) -> String {
    let erasure = &tenant(&world.admin).await["erasure"];
    erasure.as_str().unwrap().strip_prefix("TENANT_ERASURE_").unwrap().to_owned()
}

/// A run of the job.
async fn run(world: &World) -> bool {
    erase_closed(world.site.kernel(), &world.site.running.sequencer).await.unwrap()
}

async fn acme(world: &World) -> Uuid {
    let mut db = world.site.kernel().db.reader().await.unwrap();
    kernel::on!(&mut db, |c| sqlx::query_scalar("SELECT id FROM tenant WHERE slug = 'acme'").fetch_one(c))
        .unwrap()
}

/// The tables of the schema with a tenant's rows in them, of those that say whose a row is.
async fn tables_with_rows(world: &World) -> BTreeSet<String> {
    let acme = acme(world).await;
    let mut found = BTreeSet::new();
    for (table, columns) in schema::sqlite().await.0 {
        let Some(owner) = ["tenant_id", "scope_id"].into_iter().find(|c| columns.contains_key(*c)) else {
            continue;
        };
        let query = format!("SELECT COUNT(*) FROM {table} WHERE {owner} = $1");
        let mut db = world.site.kernel().db.reader().await.unwrap();
        let rows: i64 = kernel::on!(&mut db, |c| sqlx::query_scalar(AssertSqlSafe(query.clone()))
            .bind(acme)
            .fetch_one(c))
        .unwrap();
        if rows > 0 {
            found.insert(table);
        }
    }
    found
}

/// Those of them out of which the data goes.
async fn data(world: &World) -> BTreeSet<String> {
    let goes: Vec<_> = CLEARED.iter().map(|t| t.name).chain([PEOPLE]).collect();
    tables_with_rows(world).await.into_iter().filter(|table| goes.contains(&table.as_str())).collect()
}

/// A future that is dropped after so many polls, as if the process had died there.
struct Dying<F>(Pin<Box<F>>, usize);

impl<F: Future> Future for Dying<F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.1.checked_sub(1) {
            None => Poll::Ready(None),
            Some(left) => {
                self.1 = left;
                self.0.as_mut().poll(cx).map(Some)
            }
        }
    }
}

/// The events of an erasure in a log, the oldest first.
async fn acts(by: &Caller, log: &str) -> Vec<String> {
    let found = events(by, log, "action = tenant.*").await;
    let ours = ["tenant.schedule_erasure", "tenant.hold_erasure", "tenant.erase", "tenant.erased"];
    found.into_iter().rev().map(|e| e.action).filter(|a| ours.contains(&a.as_str())).collect()
}

#[tokio::test]
async fn every_table_is_cleared_or_kept_for_a_reason() {
    let schema: BTreeSet<_> = schema::sqlite().await.0.into_keys().collect();
    let cleared = CLEARED.iter().map(|t| t.name).chain([PEOPLE]);
    let listed: Vec<_> =
        cleared.chain(KEPT.iter().map(|(name, _)| *name)).chain(SHARED.iter().copied()).collect();
    let known: BTreeSet<_> = listed.iter().map(ToString::to_string).collect();
    assert_eq!(listed.len(), known.len(), "a table is in two lists");
    assert_eq!(known, schema, "audit/src/closing/tables.rs says what becomes of each table");
}

both_engines! {
    async fn the_data_of_a_closed_client_goes_in_time_and_its_record_stays(site: Site) {
        let world = busy(site).await;
        let until = Time::parse("until", "2027-02-01T00:00:00Z").unwrap();
        let token = token::Token {
            expire_time: Some(until.into()),
            ..world::token_of(world::ACME, "owner", TokenKind::Personal)
        };
        let made = world::create_token(&world.admin, world::ACME, token).await.unwrap();
        let lasting = Caller { secret: made.secret, ..world.admin.clone() };
        let closed = close(&world).await;
        assert_eq!(closed["eraseTime"], "2026-12-23T12:00:00Z");
        assert_eq!(closed["erasure"], "TENANT_ERASURE_SCHEDULED");
        let full = data(&world).await;
        for table in CLEARED.iter().map(|t| t.name).chain([PEOPLE]) {
            assert!(full.contains(table), "nothing is in `{table}`, so that nothing is seen to go");
        }
        let asked = |text: &str| format!("text(\"{text}\") AND action = principal.*");
        for log in [world::ACME, world::NORTHWIND] {
            assert!(!events(&world.admin, log, &asked("lopez")).await.is_empty(), "{log}");
        }
        world.site.advance((30 * DAY).saturating_sub(Duration::from_micros(1)));
        assert!(!run(&world).await);
        assert_eq!(erasure(&world).await, "SCHEDULED");
        assert_eq!(data(&world).await, full);
        let member = json!({"name": world::ACME});
        let get = async || raw::json(&lasting, "provost.tenant.v1.TenantService/GetTenant", member.clone()).await;
        get().await.expect("until then the client's people get in");

        world.site.advance(Duration::from_micros(1));
        assert!(run(&world).await, "it has begun");
        assert_eq!(erasure(&world).await, "RUNNING");
        let refused = get().await.unwrap_err();
        assert_eq!((refused.code(), reason(&refused).as_str()), (Code::Unauthenticated, "TOKEN_UNKNOWN"));
        let other = json!({"parent": world::ACME, "principalId": "new", "principal":
            {"kind": "PRINCIPAL_KIND_USER", "displayName": "N"}});
        let refused = raw::json(&world.admin, "provost.principal.v1.PrincipalService/CreatePrincipal", other).await;
        let refused = refused.unwrap_err();
        assert_eq!((refused.code(), reason(&refused).as_str()), (Code::FailedPrecondition, "ILLEGAL_STATE"));
        assert!(refused.message().contains("is closed and its data is erased"), "{}", refused.message());
        assert_all_agree(&world, "while it is erased").await;

        world.site.advance(MINUTE);
        assert!(!run(&world).await);
        let left = tenant(&world.admin).await;
        assert_eq!((&left["erasure"], &left["displayName"]), (&json!("TENANT_ERASURE_DONE"), &json!("(erased)")));
        assert!(left["contract"].is_null() && left["name"] == world::ACME, "{left}");
        let kept: BTreeSet<_> = KEPT.iter().map(|(table, _)| (*table).to_owned()).collect();
        let rest: Vec<_> = tables_with_rows(&world).await.into_iter().filter(|t| !kept.contains(t)).collect();
        // that the tenant itself changed
        assert_eq!(rest, ["policy_change"]);
        assert_all_agree(&world, "when it is erased").await;
        world.site.advance(DAY);
        assert!(!run(&world).await, "once is enough");

        for log in [world::ACME, world::NORTHWIND] {
            assert_eq!(acts(&world.admin, log).await, ["tenant.erase", "tenant.erased"], "{log}");
        }
        let dump = world.site.dump(&[]).await;
        for text in TRACES {
            assert!(!dump.contains(text), "{text}");
            for log in [world::ACME, world::NORTHWIND, ""] {
                assert!(events(&world.admin, log, &asked(text)).await.is_empty(), "{text} in {log}");
            }
        }
        let all = events(&world.admin, world::ACME, "action = \"principal.create\" AND outcome = ok").await;
        assert!(all.iter().any(|e| e.targets[0] == "tenants/acme/principals/maria"), "the record stays");
        for event in &all {
            check_receipt(&world.admin, event).await;
        }
    }

    async fn a_legal_hold_puts_it_off_and_keeps_what_is_left(site: Site) {
        let world = busy(site).await;
        close(&world).await;
        hold(&world, "second").await;
        let full = data(&world).await;
        world.site.advance(31 * DAY);
        for _ in 0..2 {
            assert!(!run(&world).await);
            assert_eq!(erasure(&world).await, "HELD");
            assert_eq!(data(&world).await, full);
        }
        assert_all_agree(&world, "while it is held").await;
        release(&world, "second").await;
        // the first steps only: then the process dies
        let eraser = Eraser::new(world.site.kernel(), &world.site.running.sequencer, CancellationToken::new());
        let mut polls = 0;
        while erasure(&world).await != "RUNNING" {
            polls += 5;
            assert!(Dying(Box::pin(eraser.run()), polls).await.is_none(), "it goes on for longer");
        }
        hold(&world, "third").await;
        let left = data(&world).await;
        assert!(!run_later(&world).await);
        assert_eq!(erasure(&world).await, "STOPPED");
        assert_eq!(data(&world).await, left, "nothing more has gone");
        release(&world, "third").await;
        assert!(run(&world).await);
        world.site.advance(MINUTE);
        assert!(!run(&world).await);
        assert_eq!(erasure(&world).await, "DONE");
        assert_all_agree(&world, "when it is erased").await;
        let expected = ["tenant.hold_erasure", "tenant.erase", "tenant.hold_erasure", "tenant.erase", "tenant.erased"];
        assert_eq!(acts(&world.admin, world::ACME).await, expected);
        // what is left can still be held
        hold(&world, "fourth").await;
    }

    async fn whoever_dies_in_between_another_goes_on_where_it_was(site: Site) {
        let world = busy(site).await;
        close(&world).await;
        world.site.advance(30 * DAY);
        let (mut deaths, mut polls) = (0, 3);
        loop {
            let eraser = Eraser::new(world.site.kernel(), &world.site.running.sequencer, CancellationToken::new());
            let outcome = Dying(Box::pin(eraser.run()), polls).await;
            // a dead one's lease ends
            world.site.advance(3 * MINUTE);
            assert_all_agree(&world, &format!("after {polls} polls")).await;
            match outcome {
                Some(outcome) => {
                    outcome.unwrap();
                    if erasure(&world).await == "DONE" {
                        break;
                    }
                }
                None => deaths += 1,
            }
            polls += 9;
            assert!(polls < 100_000, "it never ends");
        }
        assert!(deaths > 5, "{deaths}");
        assert_eq!(acts(&world.admin, world::ACME).await, ["tenant.erase", "tenant.erased"]);
        let dump = world.site.dump(&[]).await;
        assert!(TRACES.iter().all(|text| !dump.contains(text)));
    }

    async fn a_tenant_that_was_closed_before_there_was_a_time_gets_one(site: Site) {
        let world = busy(site).await;
        close(&world).await;
        // as an older program left it, on the record too
        sql(&world.site, "UPDATE tenant SET erase_time = NULL, erasure = NULL WHERE slug = 'acme'").await;
        world.site.advance(2 * DAY);
        assert!(!run(&world).await);
        let left = tenant(&world.admin).await;
        assert_eq!((&left["erasure"], &left["eraseTime"]), (&json!("TENANT_ERASURE_SCHEDULED"), &json!("2026-12-25T12:00:00Z")));
        assert_eq!(acts(&world.admin, world::NORTHWIND).await, ["tenant.schedule_erasure"]);
        assert_all_agree(&world, "when it has a time").await;
    }
}

/// A run once the lease of one that died has ended.
async fn run_later(world: &World) -> bool {
    world.site.advance(3 * MINUTE);
    run(world).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_at_once_on_one_database_each_does_what_the_other_does_not() {
    let world = busy(Site::start(Engine::Postgres).await).await;
    close(&world).await;
    world.site.advance(30 * DAY);
    let eraser = || Eraser::new(world.site.kernel(), &world.site.running.sequencer, CancellationToken::new());
    let (one, two) = (eraser(), eraser());
    let (first, second) = tokio::join!(one.run(), two.run());
    assert!(first.unwrap() || second.unwrap());
    world.site.advance(3 * MINUTE);
    let (first, second) = tokio::join!(one.run(), two.run());
    first.unwrap();
    second.unwrap();
    assert_eq!(erasure(&world).await, "DONE");
    assert_eq!(acts(&world.admin, world::ACME).await, ["tenant.erase", "tenant.erased"]);
}
