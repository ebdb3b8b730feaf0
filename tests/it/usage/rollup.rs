//! Figures are the same before, while and after events are rolled up, whatever is asked.

use std::{collections::BTreeMap, time::Duration};

use kernel::clock::Time;
use proto::usage::v1::{self as pb, UsageDimension, UsageEvent, UsageWindow};
use tests::{both_engines, site::START};

use super::{Desk, ingest::ingest, query};

fn at(minutes: i64) -> Time {
    Time::from_micros(
        Time::parse("start", START).unwrap().micros() - 30 * 86_400_000_000 + minutes * 60_000_000,
    )
}

/// Events over 29 days: every one of another minute, with one of three models and plugins.
fn events(from: usize, count: usize) -> Vec<UsageEvent> {
    (from..from + count)
        .map(|n| UsageEvent {
            id: n.to_string(),
            source: "s".to_owned(),
            r#type: "t".to_owned(),
            client: ["codex", "claude-code"][n % 2].to_owned(),
            time: Some(at(i64::try_from(n * 137 % (29 * 1_440)).unwrap()).into()),
            values: vec![
                pb::Quantity { key: "tokens.output".to_owned(), value: (n % 7 + 1).to_string() },
                pb::Quantity { key: "skill.invocations".to_owned(), value: "1".to_owned() },
            ],
            dims: vec![
                pb::Dim { key: "model".to_owned(), value: format!("m{}", n % 3) },
                pb::Dim { key: "plugin".to_owned(), value: format!("p{}", n % 5) },
            ],
            ..Default::default()
        })
        .collect()
}

/// Questions of every kind.
fn questions() -> Vec<pb::QueryUsageRequest> {
    let (week, days) = (at(7 * 1_440 + 77), at(21 * 1_440 + 13));
    let base = pb::QueryUsageRequest { start_time: Some(at(0).into()), ..Default::default() };
    let inner = pb::QueryUsageRequest {
        start_time: Some(week.into()),
        end_time: Some(days.into()),
        ..Default::default()
    };
    let sums = vec!["tokens.output".to_owned(), "skill.invocations".to_owned()];
    let with = |window: UsageWindow, zone: &str, of: &pb::QueryUsageRequest| pb::QueryUsageRequest {
        window: window.into(),
        time_zone: zone.to_owned(),
        ..of.clone()
    };
    vec![
        pb::QueryUsageRequest::default(),
        inner.clone(),
        with(UsageWindow::Day, "", &base),
        with(UsageWindow::Day, "Asia/Kathmandu", &base),
        with(UsageWindow::Week, "Europe/Berlin", &inner),
        with(UsageWindow::Month, "America/St_Johns", &base),
        with(
            UsageWindow::Hour,
            "",
            &pb::QueryUsageRequest { end_time: Some(at(2 * 1_440).into()), ..base.clone() },
        ),
        pb::QueryUsageRequest {
            group_by: vec![
                UsageDimension::Role.into(),
                UsageDimension::Unit.into(),
                UsageDimension::Client.into(),
            ],
            ..inner.clone()
        },
        pb::QueryUsageRequest { group_by: vec![UsageDimension::Principal.into()], ..inner.clone() },
        pb::QueryUsageRequest {
            meters: sums.clone(),
            group_by_dims: vec!["plugin".to_owned()],
            ..base.clone()
        },
        pb::QueryUsageRequest {
            meters: sums,
            filter: "client = codex AND NOT plugin = p1".to_owned(),
            ..inner.clone()
        },
        pb::QueryUsageRequest {
            meters: vec!["active_principals".to_owned()],
            filter: "plugin = p2".to_owned(),
            ..with(UsageWindow::Week, "", &base)
        },
        pb::QueryUsageRequest { principal: format!("{}/principals/sam", tests::world::ACME), ..inner },
    ]
}

async fn ask_all(desk: &Desk) -> Vec<Vec<pb::UsageRow>> {
    let mut answers = Vec::new();
    for question in questions() {
        answers.push(query(&desk.world.owner, question).await.unwrap().rows);
    }
    answers
}

/// Waits until everything is rolled up, figures by principal too.
pub async fn rolled_up(desk: &Desk) {
    let kernel = &desk.world.site.running.kernel;
    let all = async {
        loop {
            // figures by principal are stored some seconds after the last time; a clock that ran on while they are stored would
            // let every credential expire on a slow day
            kernel.clock.advance(Duration::from_secs(11));
            for _ in 0..50 {
                let due = {
                    let mut db = kernel.db.reader().await.unwrap();
                    metering::rollup::store::due_list(&mut db, 10).await.unwrap()
                };
                if due.is_empty() {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    };
    tokio::time::timeout(Duration::from_mins(1), all).await.expect("usage is rolled up");
}

both_engines! {
    async fn rollups_that_somebody_changed_are_found_and_all_others_agree(site: Site) {
        let desk = Desk::open(site).await;
        ingest(&desk, &desk.maria, vec![events(0, 400)]).await.unwrap();
        ingest(&desk, &desk.sam, vec![events(400, 400)]).await.unwrap();
        rolled_up(&desk).await;
        let kernel = &desk.world.site.running.kernel;
        let tenant = metering::rollup::store::tenant_list(&mut kernel.db.reader().await.unwrap()).await.unwrap()[0];
        let good = metering::rollup::verify::verify(kernel, tenant).await.unwrap();
        assert!(good.agrees() && good.events == 800 && good.rollups > 2_000, "{good:?}");
        for (change, level) in [
            ("UPDATE usage_rollup SET sum = sum + 1 WHERE level = 'total_day' AND meter = 'tokens.output'", "total_day"),
            ("DELETE FROM usage_rollup WHERE level = 'person' AND meter = 'skill.invocations'", "person"),
            ("UPDATE usage_rollup SET members = NULL WHERE level = 'day' AND meter = 'active_principals'", "day"),
        ] {
            let mut tx = kernel.db.begin_derived();
            kernel::execute!(&mut tx, sqlx::query(change)).unwrap();
            tx.finish().await.unwrap();
            let bad = metering::rollup::verify::verify(kernel, tenant).await.unwrap();
            assert!(bad.count > 0 && bad.differences.iter().any(|d| d.level == level), "{change}: {bad:?}");
        }
    }

    async fn a_question_has_one_answer_before_while_and_after_the_rollup(site: Site) {
        let desk = Desk::open(site).await;
        let mut sent = 0;
        for (round, secret) in [&desk.maria, &desk.sam, &desk.tenant, &desk.maria].into_iter().enumerate() {
            ingest(&desk, secret, vec![events(sent, 500)]).await.unwrap();
            sent += 500;
            let during = ask_all(&desk).await;
            rolled_up(&desk).await;
            let after = ask_all(&desk).await;
            for ((question, during), after) in questions().iter().zip(&during).zip(&after) {
                assert_eq!(during, after, "round {round}: {question:?}");
                assert!(!after.is_empty() || round == 0, "{question:?} has an answer");
            }
        }
        let total = query(&desk.world.owner, pb::QueryUsageRequest::default()).await.unwrap();
        assert_eq!((total.tail_events, total.watermark_time.is_some()), (0, true), "nothing was read one by one");
    }

    async fn windows_of_every_kind_add_up_to_the_plain_sum_of_the_events(site: Site) {
        let desk = Desk::open(site).await;
        let all = events(0, 1_500);
        ingest(&desk, &desk.maria, vec![all.clone()]).await.unwrap();
        rolled_up(&desk).await;
        // the brute sum, by model, from what was sent
        let mut plain = BTreeMap::<String, i64>::new();
        for event in &all {
            *plain.entry(event.dims[0].value.clone()).or_default() += event.values[0].value.parse::<i64>().unwrap();
        }
        for (window, zone) in [(UsageWindow::Total, ""), (UsageWindow::Day, "Asia/Kolkata"), (UsageWindow::Week, "Pacific/Auckland"), (UsageWindow::Month, "America/New_York")] {
            let question = pb::QueryUsageRequest {
                meters: vec!["tokens.output".to_owned()],
                start_time: Some(at(0).into()),
                window: window.into(),
                time_zone: zone.to_owned(),
                group_by_dims: vec!["model".to_owned()],
                ..Default::default()
            };
            let rows = query(&desk.world.owner, question).await.unwrap().rows;
            let mut sums = BTreeMap::<String, i64>::new();
            for row in &rows {
                *sums.entry(row.dims[0].value.clone()).or_default() += row.value;
            }
            assert_eq!(sums, plain, "{window:?} {zone}");
            assert_eq!(rows.iter().map(|r| r.events).sum::<i64>(), 1_500);
        }
    }

    async fn a_principal_is_counted_once_however_long_the_window_is(site: Site) {
        let desk = Desk::open(site).await;
        ingest(&desk, &desk.maria, vec![events(0, 300)]).await.unwrap();
        ingest(&desk, &desk.sam, vec![events(1_000, 300)]).await.unwrap();
        ingest(&desk, &desk.tenant, vec![events(2_000, 10)]).await.unwrap();
        rolled_up(&desk).await;
        let active = async |window: UsageWindow, by: &[UsageDimension]| {
            let question = pb::QueryUsageRequest {
                meters: vec!["active_principals".to_owned()],
                start_time: Some(at(0).into()),
                window: window.into(),
                group_by: by.iter().map(|d| (*d).into()).collect(),
                ..Default::default()
            };
            query(&desk.world.owner, question).await.unwrap().rows.iter().map(|r| r.value).collect::<Vec<_>>()
        };
        assert_eq!(active(UsageWindow::Total, &[]).await, [2]);
        assert_eq!(active(UsageWindow::Total, &[UsageDimension::Role]).await, [1, 1]);
        assert!(active(UsageWindow::Week, &[]).await.iter().all(|n| *n == 2));
    }

    async fn values_beyond_the_limit_of_a_dimension_are_one_and_the_total_is_exact(site: Site) {
        let desk = Desk::open(site).await;
        let mut all = events(0, 1_200);
        for (n, event) in all.iter_mut().enumerate() {
            event.dims[1].value = format!("plugin-{n}");
        }
        ingest(&desk, &desk.maria, vec![all]).await.unwrap();
        rolled_up(&desk).await;
        let question = pb::QueryUsageRequest {
            meters: vec!["skill.invocations".to_owned()],
            group_by_dims: vec!["plugin".to_owned()],
            ..Default::default()
        };
        let answer = query(&desk.world.owner, question).await.unwrap();
        assert_eq!((answer.rows.len(), answer.rows.iter().map(|r| r.value).sum::<i64>()), (1_001, 1_200));
        assert!(answer.warnings[0].contains("__other__"), "{:?}", answer.warnings);
    }
}
