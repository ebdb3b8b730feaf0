//! Meters of a tenant's own: what they count, from when, and what they refuse.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use kernel::clock::Time;
use proto::usage::v1::{
    self as pb, EventOutcome, UsageDimension, UsageEvent, UsageWindow,
    usage_service_client::UsageServiceClient,
};
use serde_json::json;
use tests::{Engine, Site, both_engines, raw, site::Caller, site::START, world};
use tonic::{Code, Status};

use super::{Desk, ingest::ingest, query, rollup::rolled_up};
use crate::errors::reason;

mod definitions;

fn at(minutes: i64) -> Time {
    Time::from_micros(
        Time::parse("start", START).unwrap().micros() - 30 * 86_400_000_000 + minutes * 60_000_000,
    )
}

/// What a meter of pages says if nothing else is said.
pub fn pages(aggregation: &str) -> pb::Meter {
    pb::Meter {
        event_type: "report".to_owned(),
        aggregation: aggregation.to_owned(),
        value_path: match aggregation {
            "COUNT" => String::new(),
            "UNIQUE_COUNT" => "principal".to_owned(),
            _ => "data.values.pages".to_owned(),
        },
        unit: "pages".to_owned(),
        ..Default::default()
    }
}

async fn create_in(by: &Caller, parent: &str, id: &str, meter: pb::Meter) -> Result<pb::Meter, Status> {
    let request = pb::CreateUsageMeterRequest {
        parent: parent.to_owned(),
        meter_id: id.to_owned(),
        meter: Some(meter),
        ..Default::default()
    };
    Ok(UsageServiceClient::new(by.channel.clone()).create_usage_meter(by.ask(request)).await?.into_inner())
}

pub async fn create(by: &Caller, id: &str, meter: pb::Meter) -> Result<pb::Meter, Status> {
    create_in(by, world::ACME, id, meter).await
}

fn full(id: &str) -> String {
    format!("{}/usageMeters/{id}", world::ACME)
}

async fn update(by: &Caller, id: &str, fields: &[&str], meter: pb::Meter) -> Result<pb::Meter, Status> {
    let request = pb::UpdateUsageMeterRequest {
        meter: Some(pb::Meter { name: full(id), ..meter }),
        update_mask: Some(prost_types::FieldMask { paths: fields.iter().map(ToString::to_string).collect() }),
        ..Default::default()
    };
    Ok(UsageServiceClient::new(by.channel.clone()).update_usage_meter(by.ask(request)).await?.into_inner())
}

async fn archive(by: &Caller, id: &str, etag: &str) -> Result<pb::Meter, Status> {
    let request =
        pb::ArchiveUsageMeterRequest { name: full(id), etag: etag.to_owned(), ..Default::default() };
    Ok(UsageServiceClient::new(by.channel.clone()).archive_usage_meter(by.ask(request)).await?.into_inner())
}

pub fn event(id: &str, time: Time, pages: &str) -> UsageEvent {
    UsageEvent {
        id: id.to_owned(),
        source: "s".to_owned(),
        r#type: "report".to_owned(),
        time: Some(time.into()),
        values: vec![pb::Quantity { key: "pages".to_owned(), value: pages.to_owned() }],
        ..Default::default()
    }
}

/// What an event came to, for the plain count.
#[derive(Clone, Debug)]
struct Plain {
    seq: i64,
    time: i64,
    who: &'static str,
    client: &'static str,
    kind: String,
    /// In hundredths.
    value: i64,
}

/// A figure by plain count: value in the meter's base units, and events.
fn plain(aggregation: &str, of: &[&Plain]) -> (i64, i64) {
    let values = || of.iter().map(|p| p.value);
    let count = i64::try_from(of.len()).unwrap();
    let value = match aggregation {
        "SUM" => values().sum(),
        "COUNT" => count,
        "UNIQUE_COUNT" => {
            let people: BTreeSet<_> = of.iter().map(|p| p.who).filter(|who| !who.is_empty()).collect();
            i64::try_from(people.len()).unwrap()
        }
        "MAX" => values().max().unwrap(),
        "MIN" => values().min().unwrap(),
        "LATEST" => of.iter().max_by_key(|p| (p.time, p.seq)).unwrap().value,
        _ => {
            // half to even, by hand
            let sum = values().sum::<i64>();
            let down = sum.div_euclid(count);
            match (2 * sum.rem_euclid(count)).cmp(&count) {
                std::cmp::Ordering::Less => down,
                std::cmp::Ordering::Greater => down + 1,
                std::cmp::Ordering::Equal => down + down.rem_euclid(2),
            }
        }
    };
    let events = match aggregation {
        // what nobody in particular is behind counts for nobody
        "UNIQUE_COUNT" => i64::try_from(of.iter().filter(|p| !p.who.is_empty()).count()).unwrap(),
        _ => count,
    };
    (value, events)
}

const ALL: [&str; 7] = ["SUM", "COUNT", "UNIQUE_COUNT", "MAX", "MIN", "LATEST", "AVG"];

fn key(aggregation: &str) -> String {
    format!("pages.{}", aggregation.to_lowercase())
}

/// Sends a round of reports; returns what they come to.
async fn round(desk: &Desk, round: usize) -> Vec<Plain> {
    let (who, secret) = [("maria", &desk.maria), ("sam", &desk.sam), ("", &desk.tenant)][round % 3];
    let mut sent = Vec::new();
    let mut events = Vec::new();
    for n in round * 300..(round + 1) * 300 {
        // several at one moment, so that places decide; below zero, and with a quarter
        let minutes = i64::try_from(n * 97 % 400 * 71).unwrap();
        let value = i64::try_from(n * 7_919 % 4_001).unwrap() * 25 - 50_000;
        let (client, kind) = (["codex", "claude-code"][n % 2], format!("k{}", n % 4));
        let text =
            format!("{}{}.{:02}", if value < 0 { "-" } else { "" }, value.abs() / 100, value.abs() % 100);
        let mut event = event(&n.to_string(), at(minutes), &text);
        client.clone_into(&mut event.client);
        event.dims = vec![pb::Dim { key: "kind".to_owned(), value: kind.clone() }];
        events.push(event.clone());
        // of another type: nobody asked for it
        events.push(UsageEvent {
            r#type: "draft".to_owned(),
            id: format!("draft-{n}"),
            values: Vec::new(),
            ..event
        });
        sent.push(Plain { seq: 0, time: at(minutes).micros(), who, client, kind, value });
    }
    let answers = ingest(desk, secret, vec![events]).await.unwrap();
    for (plain, status) in sent.iter_mut().zip(answers[0].statuses.iter().step_by(2)) {
        assert_eq!(status.outcome(), EventOutcome::Accepted, "{status:?}");
        plain.seq = status.seq;
    }
    sent
}

/// How questions cut and tell apart, and what they are asked as.
#[derive(Clone, Copy, Debug)]
enum By {
    Nothing,
    Kind,
    Client,
    Principal,
}

/// Asks all meters in all ways and holds the answers against the plain count.
async fn holds(desk: &Desk, all: &[Plain]) {
    const MINUTE: i64 = 60_000_000;
    for (window, zone, length, offset) in [
        (UsageWindow::Total, "", i64::MAX, 0),
        (UsageWindow::Day, "Asia/Kathmandu", 1_440 * MINUTE, 345 * MINUTE),
        (UsageWindow::Hour, "", 60 * MINUTE, 0),
    ] {
        for by in [By::Nothing, By::Kind, By::Client, By::Principal] {
            for aggregation in ALL {
                if (aggregation == "UNIQUE_COUNT" && matches!(by, By::Principal))
                    || (matches!(by, By::Client) && length != i64::MAX)
                {
                    continue;
                }
                let mut groups = BTreeMap::<(i64, String), Vec<&Plain>>::new();
                for p in all {
                    let group = match by {
                        By::Nothing => "",
                        By::Kind => &p.kind,
                        By::Client => p.client,
                        By::Principal => p.who,
                    };
                    let start = if length == i64::MAX { 0 } else { (p.time + offset).div_euclid(length) };
                    groups.entry((start, group.to_owned())).or_default().push(p);
                }
                let mut expected: Vec<_> = groups
                    .iter()
                    .map(|((start, group), of)| (*start, group.clone(), plain(aggregation, of)))
                    .collect();
                expected.retain(|(_, _, (value, _))| aggregation != "UNIQUE_COUNT" || *value > 0);
                let question = pb::QueryUsageRequest {
                    meters: vec![key(aggregation)],
                    start_time: Some(at(0).into()),
                    window: window.into(),
                    time_zone: zone.to_owned(),
                    group_by: match by {
                        By::Client => vec![UsageDimension::Client.into()],
                        By::Principal => vec![UsageDimension::Principal.into()],
                        By::Nothing | By::Kind => Vec::new(),
                    },
                    group_by_dims: if matches!(by, By::Kind) { vec!["kind".to_owned()] } else { Vec::new() },
                    ..Default::default()
                };
                let answer = query(&desk.world.owner, question).await.unwrap();
                let found: Vec<_> = answer
                    .rows
                    .iter()
                    .map(|row| {
                        let start = Time::try_from(row.start_time.unwrap()).unwrap().micros();
                        let start = if length == i64::MAX { 0 } else { (start + offset).div_euclid(length) };
                        let last = row.principal.rsplit('/').next().unwrap_or_default();
                        let dims: String = row.dims.iter().map(|d| d.value.as_str()).collect();
                        assert_eq!(row.version, 1);
                        (start, format!("{last}{}{dims}", row.client), (row.value, row.events))
                    })
                    .collect();
                assert_eq!(found, expected, "{aggregation} {window:?} {by:?}");
            }
        }
    }
}

both_engines! {
    async fn every_aggregation_is_what_a_plain_count_says_before_while_and_after_the_rollup(site: Site) {
        let desk = Desk::open(site).await;
        for aggregation in ALL {
            let of_numbers = !aggregation.ends_with("COUNT");
            let meter = pb::Meter {
                scale: if of_numbers { 2 } else { 0 },
                allow_negative: true,
                dims: vec!["kind".to_owned()],
                ..pages(aggregation)
            };
            create(&desk.world.owner, &key(aggregation), meter).await.unwrap();
        }
        let mut all = Vec::new();
        for n in 0..4 {
            all.extend(round(&desk, n).await);
            holds(&desk, &all).await;
            rolled_up(&desk).await;
            holds(&desk, &all).await;
        }
        let answer = query(&desk.world.owner, pb::QueryUsageRequest { meters: vec![key("AVG")], ..Default::default() }).await.unwrap();
        let (row, sum) = (&answer.rows[0], all.iter().map(|p| p.value).sum::<i64>());
        assert_eq!((row.decimal_sum.replace('.', "").parse::<i64>().unwrap(), row.events), (sum, 1_200));
        let kernel = &desk.world.site.running.kernel;
        let tenant = metering::rollup::store::tenant_list(&mut kernel.db.reader().await.unwrap()).await.unwrap()[0];
        let good = metering::rollup::verify::verify(kernel, tenant).await.unwrap();
        assert!(good.agrees() && good.rollups > 5_000, "{good:?}");
        for (meter, level) in [("pages.max", "total_day"), ("pages.min", "quarter"), ("pages.latest", "person")] {
            let mut tx = kernel.db.begin_derived();
            let change = format!("UPDATE usage_rollup SET picked = picked + 1 WHERE level = '{level}' AND meter = '{meter}'");
            kernel::execute!(&mut tx, sqlx::query(sqlx::AssertSqlSafe(change.clone()))).unwrap();
            tx.finish().await.unwrap();
            let bad = metering::rollup::verify::verify(kernel, tenant).await.unwrap();
            let name = format!("{meter}@1");
            assert!(bad.differences.iter().any(|d| d.level == level && d.meter == name), "{change}: {bad:?}");
        }
    }

    async fn a_definition_counts_what_comes_in_after_it_and_versions_never_mix(site: Site) {
        let desk = Desk::open(site).await;
        let owner = &desk.world.owner;
        let send = async |id: &str, value: &str| {
            let answers = ingest(&desk, &desk.maria, vec![vec![event(id, at(0), value)]]).await.unwrap();
            answers[0].statuses[0].clone()
        };
        let ask = async |meter: &str| {
            let question = pb::QueryUsageRequest { meters: vec![meter.to_owned()], ..Default::default() };
            let answer = query(owner, question).await.unwrap();
            let rows: Vec<_> = answer.rows.iter().map(|r| (r.version, r.decimal_value.clone(), r.unit.clone())).collect();
            (rows, answer.warnings)
        };
        let row = |version: i64, value: &str, unit: &str| (version, value.to_owned(), unit.to_owned());
        send("before", "7").await;
        let first = create(owner, "pages", pages("SUM")).await.unwrap();
        assert_eq!((first.version, first.first_seq, first.end_seq, first.state()), (1, 2, 0, pb::MeterState::Active));
        assert_eq!(first.creator, format!("{}/principals/owner", world::ACME));
        assert_eq!(ask("pages").await, (vec![], vec![]), "what was there before it does not count");
        send("a", "3").await;
        assert_eq!(ask("pages").await.0, [row(1, "3", "pages")]);
        rolled_up(&desk).await;
        let change = pb::Meter { scale: 1, unit: "sheets".to_owned(), etag: first.etag.clone(), ..Default::default() };
        let second = update(owner, "pages", &["scale", "unit"], change.clone()).await.unwrap();
        assert_eq!((second.version, second.first_seq, second.scale, second.event_type.as_str()), (2, 3, 1, "report"));
        let stale = update(owner, "pages", &["scale"], change).await.unwrap_err();
        assert_eq!((stale.code(), reason(&stale).as_str()), (Code::Aborted, "ETAG_STALE"));
        assert_eq!(send("b", "0.5").await.outcome(), EventOutcome::Accepted, "exact at the new scale");
        for _ in 0..2 {
            let (rows, warnings) = ask("pages").await;
            assert_eq!(rows, [row(1, "3", "pages"), row(2, "0.5", "sheets")]);
            assert!(warnings[0].contains("versions 1, 2"), "{warnings:?}");
            assert_eq!(ask("pages@1").await, (vec![row(1, "3", "pages")], vec![]));
            assert_eq!(ask("pages@2").await, (vec![row(2, "0.5", "sheets")], vec![]));
            rolled_up(&desk).await;
        }
        let question = pb::QueryUsageRequest { meters: vec!["pages@3".to_owned()], ..Default::default() };
        assert_eq!(query(owner, question).await.unwrap_err().code(), Code::InvalidArgument);
        let gone = archive(owner, "pages", &second.etag).await.unwrap();
        assert_eq!((gone.state(), gone.end_seq), (pb::MeterState::Archived, 4));
        assert_eq!(send("c", "0.25").await.outcome(), EventOutcome::Accepted, "nothing counts it, so nothing refuses it");
        assert_eq!(ask("pages").await.0.len(), 2);
        for refused in [archive(owner, "pages", "").await, update(owner, "pages", &["unit"], pages("SUM")).await] {
            assert_eq!(reason(&refused.unwrap_err()), "ILLEGAL_STATE");
        }
        let taken = create(owner, "pages", pages("SUM")).await.unwrap_err();
        assert_eq!((taken.code(), reason(&taken).as_str()), (Code::AlreadyExists, "RESOURCE_EXISTS"));
        let got = raw::json(owner, "provost.usage.v1.UsageService/GetUsageMeter", json!({"name": full("pages"), "version": 1})).await.unwrap();
        assert_eq!((got["unit"].as_str(), got["state"].as_str()), (Some("pages"), Some("METER_STATE_SUPERSEDED")));
        let none = raw::json(owner, "provost.usage.v1.UsageService/GetUsageMeter", json!({"name": full("pages"), "version": 9})).await;
        assert_eq!(none.unwrap_err().code(), Code::NotFound);
    }

    async fn a_meter_can_count_what_was_there_before_it(site: Site) {
        let desk = Desk::open(site).await;
        let owner = &desk.world.owner;
        // somebody takes what is below zero
        create(owner, "first", pb::Meter { scale: 2, allow_negative: true, ..pages("SUM") }).await.unwrap();
        let mut all = round(&desk, 0).await;
        rolled_up(&desk).await;
        all.extend(round(&desk, 1).await);
        for aggregation in ALL {
            let of_numbers = !aggregation.ends_with("COUNT");
            let meter = json!({
                "eventType": "report", "aggregation": aggregation, "unit": "pages", "dims": ["kind"], "allowNegative": true,
                "valuePath": pages(aggregation).value_path, "scale": if of_numbers { 2 } else { 0 },
            });
            let request = json!({"parent": world::ACME, "meterId": key(aggregation), "meter": meter, "backfill": true});
            let made = raw::json(owner, "provost.usage.v1.UsageService/CreateUsageMeter", request).await.unwrap();
            assert_eq!((made["firstSeq"].as_str(), made["state"].as_str()), (Some("1"), Some("METER_STATE_CATCHING_UP")));
        }
        // what it cannot count exactly, or takes not below zero, is left out of what was there
        let strict = json!({"eventType": "report", "aggregation": "MIN", "unit": "pages", "valuePath": "data.values.pages"});
        let request = json!({"parent": world::ACME, "meterId": "strict", "meter": strict, "backfill": true});
        raw::json(owner, "provost.usage.v1.UsageService/CreateUsageMeter", request).await.unwrap();
        rolled_up(&desk).await;
        holds(&desk, &all).await;
        let question = pb::QueryUsageRequest { meters: vec!["strict".to_owned()], ..Default::default() };
        let row = query(owner, question).await.unwrap().rows.remove(0);
        let whole = || all.iter().filter(|p| p.value >= 0 && p.value % 100 == 0);
        assert_eq!((row.value, row.events), (whole().map(|p| p.value / 100).min().unwrap(), i64::try_from(whole().count()).unwrap()));
        archive(owner, "strict", "").await.unwrap();
        all.extend(round(&desk, 2).await);
        holds(&desk, &all).await;
        rolled_up(&desk).await;
        holds(&desk, &all).await;
        let kernel = &desk.world.site.running.kernel;
        let tenant = metering::rollup::store::tenant_list(&mut kernel.db.reader().await.unwrap()).await.unwrap()[0];
        let good = metering::rollup::verify::verify(kernel, tenant).await.unwrap();
        assert!(good.agrees(), "{good:?}");
    }

    async fn lists_have_the_built_in_meters_and_the_tenants_own_page_by_page(site: Site) {
        let desk = Desk::open(site).await;
        let owner = &desk.world.owner;
        create(owner, "a.kept", pages("SUM")).await.unwrap();
        create(owner, "z.gone", pages("MAX")).await.unwrap();
        update(owner, "a.kept", &["unit"], pb::Meter { unit: "sheets".to_owned(), ..Default::default() }).await.unwrap();
        archive(owner, "z.gone", "").await.unwrap();
        let list = async |shown: serde_json::Value| {
            let (mut keys, mut token) = (Vec::new(), String::new());
            loop {
                let mut request = shown.clone();
                request["pageSize"] = json!(4);
                request["pageToken"] = json!(token);
                let answer = raw::json(owner, "provost.usage.v1.UsageService/ListMeters", request).await.unwrap();
                for meter in answer["meters"].as_array().unwrap() {
                    keys.push(format!("{}@{}", meter["key"].as_str().unwrap(), meter["version"].as_str().unwrap()));
                }
                answer["nextPageToken"].as_str().unwrap_or_default().clone_into(&mut token);
                if token.is_empty() {
                    return keys;
                }
            }
        };
        let built_in = list(json!({})).await;
        assert_eq!(built_in.len(), metering::meter::METERS.len());
        let with = |own: &[&str]| {
            let mut all: Vec<_> = built_in.iter().cloned().chain(own.iter().map(ToString::to_string)).collect();
            all.sort();
            all
        };
        assert_eq!(list(json!({"parent": world::ACME})).await, with(&["a.kept@2"]));
        assert_eq!(list(json!({"parent": world::ACME, "showVersions": true})).await, with(&["a.kept@1", "a.kept@2"]));
        assert_eq!(list(json!({"parent": world::ACME, "showArchived": true})).await, with(&["a.kept@2", "z.gone@1"]));
    }

    async fn what_a_meter_cannot_count_exactly_is_rejected_with_the_field(site: Site) {
        let desk = Desk::open(site).await;
        let owner = &desk.world.owner;
        let values = |id: &str, of: &[(&str, &str)]| UsageEvent {
            values: of.iter().map(|(k, v)| pb::Quantity { key: (*k).to_owned(), value: (*v).to_owned() }).collect(),
            ..event(id, at(0), "1")
        };
        let outcome = async |event: UsageEvent| {
            let answers = ingest(&desk, &desk.maria, vec![vec![event]]).await.unwrap();
            let status = answers[0].statuses[0].clone();
            (status.outcome(), status.code, status.field)
        };
        let accepted = (EventOutcome::Accepted, String::new(), String::new());
        let rejected = |code: &str, field: &str| (EventOutcome::Rejected, code.to_owned(), field.to_owned());
        assert_eq!(outcome(values("0", &[("pages", "-1")])).await, rejected("NEGATIVE", "data.values.pages"), "no meter takes it");
        assert_eq!(outcome(values("1", &[("pages", "0.125")])).await, accepted, "no meter counts it");
        create(owner, "pages", pb::Meter { scale: 2, ..pages("SUM") }).await.unwrap();
        create(owner, "balance", pb::Meter { value_path: "data.value".to_owned(), allow_negative: true, scale: 9, ..pages("LATEST") }).await.unwrap();
        assert_eq!(outcome(values("2", &[("pages", "0.125")])).await, rejected("NOT_EXACT", "data.values.pages"));
        assert_eq!(outcome(values("3", &[("pages", "0.12")])).await, accepted);
        assert_eq!(outcome(values("4", &[("pages", "-0.12")])).await, rejected("NEGATIVE", "data.values.pages"));
        assert_eq!(outcome(values("5", &[("value", "-0.000000001")])).await, accepted, "a meter takes it");
        assert_eq!(outcome(values("6", &[("value", "99999999999")])).await, rejected("TOO_LARGE", "data.value"));
        assert_eq!(outcome(values("7", &[("tokens.output", "-1")])).await, rejected("NEGATIVE", "data.values.tokens.output"));
        let mut other = values("8", &[("value", "-1")]);
        "draft".clone_into(&mut other.r#type);
        assert_eq!(outcome(other).await, rejected("NEGATIVE", "data.value"), "the meter is of another type");
        // one bad event costs itself alone, and is listed
        let batch = vec![values("9", &[("pages", "1")]), values("10", &[("pages", "0.001")]), values("11", &[("pages", "0")])];
        let answers = ingest(&desk, &desk.sam, vec![batch]).await.unwrap();
        let outcomes: Vec<_> = answers[0].statuses.iter().map(pb::EventStatus::outcome).collect();
        assert_eq!(outcomes, [EventOutcome::Accepted, EventOutcome::Rejected, EventOutcome::Accepted]);
        let rejects = json!({"parent": world::ACME, "filter": "code = NOT_EXACT"});
        let rejects = raw::json(owner, "provost.usage.v1.UsageService/ListUsageRejects", rejects).await.unwrap();
        assert_eq!(rejects["rejects"].as_array().unwrap().len(), 2);
        let question = pb::QueryUsageRequest { meters: vec!["pages".to_owned(), "balance".to_owned()], ..Default::default() };
        let rows = query(owner, question).await.unwrap().rows;
        let found: Vec<_> = rows.iter().map(|r| (r.meter.as_str(), r.decimal_value.as_str(), r.events)).collect();
        assert_eq!(found, [("balance", "-0.000000001", 1), ("pages", "1.12", 3)], "a zero is an event too");
    }

    async fn values_beyond_the_limit_are_one_of_which_the_greatest_and_the_latest_are_exact(site: Site) {
        let desk = Desk::open(site).await;
        for aggregation in ["MAX", "LATEST"] {
            let meter = pb::Meter { dims: vec!["kind".to_owned()], ..pages(aggregation) };
            create(&desk.world.owner, &key(aggregation), meter).await.unwrap();
        }
        let send = async |from: i64, count: i64| {
            let events = (from..from + count).map(|n| UsageEvent {
                dims: vec![pb::Dim { key: "kind".to_owned(), value: format!("k{n}") }],
                ..event(&n.to_string(), at(n), &((n * 7_919) % 10_007).to_string())
            });
            ingest(&desk, &desk.maria, vec![events.collect()]).await.unwrap();
            rolled_up(&desk).await;
        };
        // those that come first are told apart
        send(0, 1_000).await;
        send(1_000, 100).await;
        for (aggregation, expected) in [("MAX", (1_000..1_100).map(|n| (n * 7_919) % 10_007).max().unwrap()), ("LATEST", (1_099 * 7_919) % 10_007)] {
            let question = pb::QueryUsageRequest { meters: vec![key(aggregation)], group_by_dims: vec!["kind".to_owned()], ..Default::default() };
            let answer = query(&desk.world.owner, question).await.unwrap();
            let other = answer.rows.iter().find(|r| r.dims[0].value == "__other__").unwrap();
            assert_eq!((answer.rows.len(), other.value, other.events), (1_001, expected, 100), "{aggregation}");
            assert!(answer.warnings[0].contains("__other__"), "{:?}", answer.warnings);
        }
    }

    async fn a_tenants_meters_are_its_own(site: Site) {
        let desk = Desk::open(site).await;
        let (admin, owner) = (&desk.world.admin, &desk.world.owner);
        create_in(admin, "tenants/globex", "pages", pages("SUM")).await.unwrap();
        create_in(admin, "tenants/globex", "theirs", pages("SUM")).await.unwrap();
        // what globex could not count is nothing to acme
        let answers = ingest(&desk, &desk.maria, vec![vec![event("a", at(0), "0.5")]]).await.unwrap();
        assert_eq!(answers[0].statuses[0].outcome(), EventOutcome::Accepted);
        create(owner, "pages", pages("MAX")).await.unwrap();
        ingest(&desk, &desk.maria, vec![vec![event("b", at(0), "2")]]).await.unwrap();
        let of = async |by: &Caller, parent: &str, meter: &str| {
            let question = pb::QueryUsageRequest { parent: parent.to_owned(), meters: vec![meter.to_owned()], ..Default::default() };
            query(by, question).await.map(|a| a.rows.iter().map(|r| r.value).collect::<Vec<_>>())
        };
        assert_eq!(of(owner, world::ACME, "pages").await.unwrap(), [2]);
        assert!(of(admin, "tenants/globex", "pages").await.unwrap().is_empty());
        assert_eq!(of(owner, world::ACME, "theirs").await.unwrap_err().code(), Code::InvalidArgument);
        for rpc in ["GetUsageMeter", "ArchiveUsageMeter"] {
            let request = json!({"name": "tenants/globex/usageMeters/pages"});
            let refused = raw::json(owner, &format!("provost.usage.v1.UsageService/{rpc}"), request).await.unwrap_err();
            assert_eq!(refused.code(), Code::NotFound, "{rpc}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_server_is_told_the_other_goes_by_at_once() {
    let desk = Desk::open(Site::start(Engine::Postgres).await).await;
    let here = &desk.world.site;
    let (dir, clock) = (Arc::new(tempfile::tempdir().unwrap()), here.kernel().clock.clone());
    std::fs::copy(here.dir.path().join("audit.key"), dir.path().join("audit.key")).unwrap();
    let there = Site::on(Engine::Postgres, dir, here.database_url.clone(), clock, &[]).await;
    let (owner, secret) = (&desk.world.owner, desk.maria.clone());
    let owner_there = there.caller(&owner.secret);
    let send = async |site: &Site, id: &str, value: &str| {
        let by = site.caller(&secret);
        let request = pb::IngestRequest { batch_id: String::new(), events: vec![event(id, at(0), value)] };
        let stream = by.ask(tokio_stream::iter([request]));
        let mut answers =
            UsageServiceClient::new(by.channel.clone()).ingest(stream).await.unwrap().into_inner();
        let status = answers.message().await.unwrap().unwrap().statuses[0].clone();
        (status.outcome(), status.code)
    };
    let ask = async |by: &Caller| {
        let question = pb::QueryUsageRequest { meters: vec!["pages".to_owned()], ..Default::default() };
        query(by, question).await.unwrap().rows.iter().map(|r| (r.version, r.value)).collect::<Vec<_>>()
    };
    let rejected = (EventOutcome::Rejected, "NOT_EXACT".to_owned());
    // both have written before, and remember that there are no meters
    for (n, site) in [here, &there].into_iter().enumerate() {
        assert_eq!(send(site, &format!("warm-{n}"), "0.5").await.0, EventOutcome::Accepted);
    }
    create(owner, "pages", pages("MAX")).await.unwrap();
    assert_eq!(send(&there, "a", "0.5").await, rejected);
    assert_eq!(send(&there, "b", "4").await.0, EventOutcome::Accepted);
    assert_eq!(send(here, "c", "3").await.0, EventOutcome::Accepted);
    assert_eq!((ask(owner).await, ask(&owner_there).await), (vec![(1, 4)], vec![(1, 4)]));
    rolled_up(&desk).await;
    update(&owner_there, "pages", &["scale"], pb::Meter { scale: 1, ..Default::default() }).await.unwrap();
    assert_eq!(send(here, "d", "0.5").await.0, EventOutcome::Accepted);
    assert_eq!(send(here, "e", "0.25").await, rejected);
    for _ in 0..2 {
        assert_eq!((ask(owner).await, ask(&owner_there).await), (vec![(1, 4), (2, 5)], vec![(1, 4), (2, 5)]));
        rolled_up(&desk).await;
    }
}
