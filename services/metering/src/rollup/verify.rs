//! Whether the rollups are what the events say: all of them are derived again, day by day, and compared.

use std::{collections::BTreeSet, fmt, sync::Arc, time::Duration};

use kernel::{Kernel, Result, clock::Time, db::Executor, ids::TenantId};
use opentelemetry::metrics::{Counter, Meter};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{
    book::Book,
    fold::{Cell, Cells, DAY, Groups, Key, Level, Pick, Tier},
    stale, store,
};
use crate::{
    event,
    meter::{self, Meters},
    query::{store::event_list_by_time, window::Span},
};

/// Differences that a report names.
const NAMED: usize = 40;
/// Events that are read at a time.
const PAGE: i64 = 20_000;

/// What was compared, and what was found.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Events in the sums.
    pub events: u64,
    /// Sums that were compared.
    pub rollups: u64,
    /// How many of them differ.
    pub count: u64,
    /// The first of those.
    pub differences: Vec<Difference>,
    /// Days that were left out because a correction touched them and they are not derived again yet.
    pub stale: u64,
}

/// A sum that is not what the events say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Key of the meter; with `@` and the version, if it is the tenant's own.
    pub meter: String,
    /// `day`, `quarter`, …
    pub level: &'static str,
    /// Start of its bucket.
    pub bucket: Time,
    /// Its series.
    pub series: i64,
    /// Its principal, or nil.
    pub principal: Uuid,
    /// As stored.
    pub stored: Figures,
    /// As derived.
    pub derived: Figures,
}

/// What a sum says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Figures {
    /// How many events.
    pub events: i64,
    /// What they add up to.
    pub sum: i128,
    /// How many are counted once.
    pub members: u64,
    /// What the meter goes by.
    pub picked: Option<Pick>,
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} events, sum {}, {} members", self.events, self.sum, self.members)?;
        self.picked.map_or(Ok(()), |pick| write!(f, ", picked {}", pick.value))
    }
}

/// Compares all rollups of a tenant with its events, in one snapshot of the database.
pub async fn verify(kernel: &Kernel, tenant: TenantId) -> Result<Report> {
    let mut db = kernel.db.snapshot().await?;
    let mut report = Report::default();
    let Some(mark) = store::watermark_get(&mut db, tenant).await? else { return Ok(report) };
    let revision = event::store::head_get(&mut db, tenant).await?.meters;
    let meters = meter::store::meters_of(&mut db, tenant, revision).await?;
    let mut book = store::series_list(&mut db, tenant, &meters, None).await?;
    for (id, principal) in store::member_list(&mut db, tenant).await? {
        book.enter_member(u32::try_from(id).unwrap_or(u32::MAX), principal);
    }
    // what a correction touched is derived again soon, and until then no answer uses it
    let stale = stale::days_of(&mut db, tenant).await?;
    let mut next = store::day_first(&mut db, tenant, &meters, Time::from_micros(i64::MIN)).await?;
    while let Some(day) = next {
        let until = Time::from_micros(day.micros().saturating_add(DAY));
        if stale.contains(&day) {
            report.stale += 1;
        } else {
            let derived =
                derive(&mut db, tenant, (&meters, &mut book), (day, until), &mark, &mut report).await?;
            compare(&mut db, tenant, &meters, (day, until), &derived, &mut report).await?;
        }
        next = store::day_first(&mut db, tenant, &meters, until).await?;
    }
    Ok(report)
}

/// What the events of a day say, as far as each tier is rolled up.
pub(super) async fn derive(
    db: &mut impl Executor,
    tenant: TenantId,
    (meters, book): (&Meters, &mut Book),
    (start, end): (Time, Time),
    mark: &store::Watermark,
    report: &mut Report,
) -> Result<Cells> {
    let (mut groups, mut after) = (Groups::default(), (i64::MIN, 0));
    loop {
        let page =
            event_list_by_time(db, tenant, meters.has_own(), Span { start, end }, mark.sums_seq, after, PAGE)
                .await?;
        let Some(last) = page.last() else { break };
        after = (last.time.micros(), last.seq);
        report.events += page.len() as u64;
        for event in &page {
            if event.seq < mark.members_seq {
                groups.add(meters, book, event, Tier::All);
            } else {
                // the sums have it already, the figures by principal do not
                let mut ahead = Groups::default();
                ahead.add(meters, book, event, Tier::All);
                for (key, cell) in ahead.sums {
                    groups.sums.entry(key).or_default().add(&cell);
                }
            }
        }
    }
    let Groups { mut sums, members } = groups;
    sums.extend(members);
    Ok(sums)
}

/// Compares the rollups of a day with what was derived; returns the buckets in which something differs.
pub(super) async fn compare(
    db: &mut impl Executor,
    tenant: TenantId,
    meters: &Meters,
    day: (Time, Time),
    derived: &Cells,
    report: &mut Report,
) -> Result<BTreeSet<Bucket>> {
    let (mut seen, mut differ) = (BTreeSet::new(), BTreeSet::new());
    for meter in meters.all() {
        for level in [Level::TotalQuarter, Level::TotalDay, Level::Quarter, Level::Day, Level::Person] {
            for row in store::rollup_list(db, tenant, meter, level, day, None).await? {
                let key = Key {
                    meter: meter.number,
                    level,
                    bucket: row.bucket,
                    series: row.series_id,
                    principal: row.principal_id,
                };
                report.rollups += 1;
                seen.insert(key);
                let mut stored = row.cell()?;
                if !meter.unique() {
                    stored.members.clear();
                }
                let mut should = derived.get(&key).cloned().unwrap_or_default();
                should.sum = store::stored_sum(should.sum).into();
                if stored != should {
                    report.note(meters, key, &stored, &should);
                    differ.insert(bucket(&key));
                }
            }
        }
    }
    let mut missing: Vec<_> = derived.iter().filter(|(key, _)| !seen.contains(key)).collect();
    missing.sort_by_key(|(key, _)| **key);
    for (key, cell) in missing {
        report.note(meters, *key, &Cell::default(), cell);
        differ.insert(bucket(key));
    }
    Ok(differ)
}

/// All sums of a meter at a level that are of the same time.
pub(super) type Bucket = (u32, Level, Time);

pub(super) fn bucket(key: &Key) -> Bucket {
    (key.meter, key.level, key.bucket)
}

impl Report {
    /// Whether nothing differs.
    pub fn agrees(&self) -> bool {
        self.count == 0
    }

    fn note(&mut self, meters: &Meters, key: Key, stored: &Cell, derived: &Cell) {
        self.count += 1;
        if self.differences.len() < NAMED {
            let figures = |cell: &Cell| Figures {
                events: cell.events,
                sum: cell.sum,
                members: cell.members.len(),
                picked: cell.pick,
            };
            self.differences.push(Difference {
                meter: meters.get(key.meter).map(|m| m.name()).unwrap_or_default(),
                level: key.level.as_str(),
                bucket: key.bucket,
                series: key.series,
                principal: key.principal,
                stored: figures(stored),
                derived: figures(derived),
            });
        }
    }
}

/// Verifies the tenants one after another, every `usage.verify_interval_seconds`, until `stop`. A difference is an error in our log and a
/// metric. With 0 it is never done.
pub fn spawn_verifier(
    kernel: &Arc<Kernel>,
    meter: &Meter,
    stop: CancellationToken,
) -> Option<JoinHandle<()>> {
    let every = Duration::from_secs(kernel.config.usage.verify_interval_seconds);
    if every.is_zero() {
        return None;
    }
    let (kernel, differences) = (
        Arc::clone(kernel),
        meter
            .u64_counter("provost.usage.differences")
            .with_description("Rollups that were not what the usage events say.")
            .build(),
    );
    // there to be watched before the first round
    differences.add(0, &[]);
    Some(tokio::spawn(async move {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(every) => {}
            }
            if let Err(error) = verify_all(&kernel, &differences, &stop).await {
                tracing::error!(%error, "the rollups of usage were not verified; the next round tries again");
            }
        }
    }))
}

async fn verify_all(kernel: &Kernel, differences: &Counter<u64>, stop: &CancellationToken) -> Result<()> {
    let tenants = store::tenant_list(&mut kernel.db.reader().await?).await?;
    for tenant in tenants {
        if stop.is_cancelled() {
            return Ok(());
        }
        let report = verify(kernel, tenant).await?;
        differences.add(report.count, &[]);
        if let Some(first) = report.differences.first() {
            tracing::error!(%tenant, count = report.count, meter = %first.meter, bucket = %first.bucket,
                "rollups of usage differ from its events; `provostd metering verify` lists them");
        }
    }
    Ok(())
}
