//! Who rolls up: in every process one task, for each tenant the one process that holds its lease.
//!
//! A turn reads the events since the watermark, adds them up in memory, and moves sums and watermark in one transaction under the
//! lease's fence. Figures by principal are gathered over several turns: there are many of them, and few ask.

use std::{collections::HashMap, sync::Arc, time::Duration};

use kernel::{
    Error, Kernel, Result,
    db::{Engine, Executor, tx::EngineTx},
    ids::TenantId,
};
use opentelemetry::metrics::{Counter, Gauge, Meter};
use tokio::{task::JoinHandle, time::sleep};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{
    book::Book,
    fold::{Cells, Groups, Key, Level, Tier},
    stale,
    store::{self, Due, Watermark},
};
use crate::meter::{self, Meters};

/// How long a lease is good without being renewed.
const LEASE: Duration = Duration::from_secs(10);
/// Events that one transaction adds.
const TURN: i64 = 20_000;
/// Figures by principal are stored after so many events,
const MANY: i64 = 200_000;
/// or so long after the last time.
const LONG: Duration = Duration::from_secs(10);
/// Turns of one look at what came before a meter: others have theirs in between.
const CATCHING: usize = 10;
/// Most tenants that one look finds.
const DUE: i64 = 256;
/// A tenant whose memory has not been used for so many looks is forgotten.
const IDLE: u32 = 240;

/// Rolls up for the tenants of this deployment, together with the other processes on the same database.
pub struct Roller {
    kernel: Arc<Kernel>,
    node: Uuid,
    tenants: HashMap<TenantId, Memory>,
    metrics: Metrics,
}

struct Metrics {
    rolled: Counter<u64>,
    tail: Gauge<u64>,
}

/// What is remembered of a tenant between turns, true while the lease is ours.
struct Memory {
    watermark: Watermark,
    /// No older than the events that are rolled up with them.
    meters: Arc<Meters>,
    book: Book,
    /// Figures by principal that are not stored yet: of the places from `members_seq` until before `sums_seq`.
    members: Cells,
    /// Looks since it was used.
    idle: u32,
}

/// Rolls up until `stop`; the turn that is under way then is finished.
pub fn spawn_roller(kernel: &Arc<Kernel>, meter: &Meter, stop: CancellationToken) -> JoinHandle<()> {
    let mut roller = Roller::new(kernel, meter);
    let pause = Duration::from_millis(kernel.config.usage.rollup_interval_ms.max(1));
    tokio::spawn(async move {
        while !stop.is_cancelled() {
            if let Err(error) = roller.look(&stop).await {
                tracing::error!(%error, "no usage was rolled up; the next look tries again");
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = sleep(pause) => {}
            }
        }
    })
}

impl Roller {
    /// For the kernel's database.
    pub fn new(kernel: &Arc<Kernel>, meter: &Meter) -> Self {
        let metrics = Metrics {
            rolled: meter
                .u64_counter("provost.usage.rolled_up")
                .with_description("Usage events that were added to the rollups.")
                .build(),
            tail: meter
                .u64_gauge("provost.usage.tail")
                .with_description("Usage events of all tenants that are not in the rollups yet.")
                .build(),
        };
        let node = kernel.ids.new_id(kernel.clock.now());
        Self { kernel: Arc::clone(kernel), node, tenants: HashMap::new(), metrics }
    }

    /// Brings every tenant that has news up to date.
    pub async fn look(&mut self, stop: &CancellationToken) -> Result<()> {
        let due = store::due_list(&mut self.kernel.db.reader().await?, DUE).await?;
        for memory in self.tenants.values_mut() {
            memory.idle += 1;
        }
        self.tenants.retain(|_, memory| memory.idle < IDLE);
        let mut tail = 0;
        for tenant in due {
            if stop.is_cancelled() {
                break;
            }
            match self.bring_up(tenant).await {
                Ok(left) => tail += left,
                // another process rolls this tenant up
                Err(Error::Conflict) => {
                    self.tenants.remove(&tenant.tenant_id);
                }
                Err(error) => {
                    self.tenants.remove(&tenant.tenant_id);
                    tracing::error!(tenant = %tenant.tenant_id, %error, "usage of a tenant was not rolled up; the next look tries again");
                }
            }
        }
        self.metrics.tail.record(tail, &[]);
        Ok(())
    }

    /// Turns until the sums have everything that was there; returns how many events are in no sums.
    async fn bring_up(&mut self, due: Due) -> Result<u64> {
        let Some(mut memory) = self.hold(&due).await? else {
            return Ok(0);
        };
        memory.idle = 0;
        if memory.meters.revision() != due.meters {
            let mut db = self.kernel.db.reader().await?;
            memory.meters = meter::store::meters_of(&mut db, due.tenant_id, due.meters).await?;
        }
        while memory.watermark.sums_seq < due.next_seq {
            let until = due.next_seq.min(memory.watermark.sums_seq + TURN);
            self.turn(due.tenant_id, &mut memory, until).await?;
        }
        let left = due.next_seq - memory.watermark.sums_seq;
        if self.members_are_due(&memory) {
            self.members_store(due.tenant_id, &mut memory).await?;
        }
        self.redo(due.tenant_id, &mut memory).await?;
        self.catch_up(&due, &mut memory).await?;
        self.tenants.insert(due.tenant_id, memory);
        Ok(u64::try_from(left).unwrap_or(0))
    }

    /// Counts, for meters that ask for it, what came before them: once all of that is in the other rollups, so that from then on the
    /// watermarks hold for these meters too.
    async fn catch_up(&self, due: &Due, memory: &mut Memory) -> Result<()> {
        for _ in 0..CATCHING {
            let meters = Arc::clone(&memory.meters);
            let Some(meter) = meters.all().iter().find(|m| m.catching_up()) else { return Ok(()) };
            if memory.watermark.sums_seq < meter.live_seq {
                return Ok(());
            }
            if memory.watermark.members_seq < meter.live_seq {
                self.members_store(due.tenant_id, memory).await?;
            }
            let to = meter.live_seq.min(meter.caught_seq + TURN);
            let range = (meter.caught_seq, to);
            let mut db = self.kernel.db.reader().await?;
            let mut groups = Groups::default();
            for event in store::raw_list(&mut db, due.tenant_id, true, range).await? {
                groups.add_one(meter, &mut memory.book, &event);
            }
            drop(db);
            let mut cells = groups.sums;
            cells.extend(groups.members);
            let lease_until = self.kernel.clock.now().plus(LEASE);
            let mark = Watermark { lease_until, ..memory.watermark };
            self.store(due.tenant_id, memory, mark, cells, Some((meter.number, range))).await?;
            let mut db = self.kernel.db.reader().await?;
            memory.meters = meter::store::meters_of(&mut db, due.tenant_id, due.meters).await?;
        }
        Ok(())
    }

    fn members_are_due(&self, memory: &Memory) -> bool {
        let mark = &memory.watermark;
        let waiting = mark.sums_seq - mark.members_seq;
        let long = self.kernel.clock.now().since(mark.members_time) >= LONG;
        waiting >= MANY || (waiting > 0 && long)
    }

    /// What is remembered of a tenant, with a lease on it; none while another process has it.
    async fn hold(&mut self, due: &Due) -> Result<Option<Memory>> {
        let tenant = due.tenant_id;
        let now = self.kernel.clock.now();
        if let Some(memory) = self.tenants.remove(&tenant) {
            // every turn renews it
            return Ok(Some(memory));
        }
        let mut tx = self.kernel.db.begin_derived();
        store::watermark_insert(&mut tx, tenant).await?;
        let Some(seen) = store::watermark_get(&mut tx, tenant).await? else { return Ok(None) };
        // the embedded database belongs to this process: whoever held a lease before is gone
        let free = seen.lease_until <= now || self.kernel.db.engine() == Engine::Sqlite;
        if !free && seen.holder != self.node {
            return Ok(None);
        }
        let lease = (self.node, now.plus(LEASE));
        let Some(watermark) = store::watermark_take(&mut tx, tenant, seen.fence, lease).await? else {
            return Ok(None);
        };
        tx.finish().await?;
        self.remember(due, watermark).await.map(Some)
    }

    /// Reads what a lease needs: the book, and the figures by principal that were not stored.
    async fn remember(&self, due: &Due, watermark: Watermark) -> Result<Memory> {
        let tenant = due.tenant_id;
        let mut db = self.kernel.db.reader().await?;
        let meters = meter::store::meters_of(&mut db, tenant, due.meters).await?;
        let mut book = store::series_list(&mut db, tenant, &meters, None).await?;
        for (id, principal) in store::member_list(&mut db, tenant).await? {
            book.enter_member(u32::try_from(id).unwrap_or(u32::MAX), principal);
        }
        let mut groups = Groups::default();
        let mut from = watermark.members_seq;
        while from < watermark.sums_seq {
            let until = watermark.sums_seq.min(from + TURN);
            for event in store::raw_list(&mut db, tenant, meters.has_own(), (from, until)).await? {
                groups.add(&meters, &mut book, &event, Tier::Members);
            }
            from = until;
        }
        Ok(Memory { watermark, meters, book, members: groups.members, idle: 0 })
    }

    /// Adds the events until before the place `until` to the sums.
    async fn turn(&self, tenant: TenantId, memory: &mut Memory, until: i64) -> Result<()> {
        let from = memory.watermark.sums_seq;
        let typed = memory.meters.has_own();
        let events =
            store::raw_list(&mut self.kernel.db.reader().await?, tenant, typed, (from, until)).await?;
        let mut groups = Groups::default();
        for event in &events {
            groups.add(&memory.meters, &mut memory.book, event, Tier::All);
        }
        let now = self.kernel.clock.now();
        let to =
            Watermark { sums_seq: until, sums_time: now, lease_until: now.plus(LEASE), ..memory.watermark };
        self.store(tenant, memory, to, groups.sums, None).await?;
        for (key, cell) in groups.members {
            memory.members.entry(key).or_default().add(&cell);
        }
        self.metrics.rolled.add(events.len() as u64, &[]);
        Ok(())
    }

    /// Stores the figures by principal of all that is in the sums.
    async fn members_store(&self, tenant: TenantId, memory: &mut Memory) -> Result<()> {
        let now = self.kernel.clock.now();
        let mark = memory.watermark;
        let to =
            Watermark { members_seq: mark.sums_seq, members_time: now, lease_until: now.plus(LEASE), ..mark };
        let cells = std::mem::take(&mut memory.members);
        self.store(tenant, memory, to, cells, None).await
    }

    /// Derives the days again that corrections touched, each in a transaction of its own.
    async fn redo(&self, tenant: TenantId, memory: &mut Memory) -> Result<()> {
        let days = stale::day_list(&mut self.kernel.db.reader().await?, tenant).await?;
        if days.is_empty() {
            return Ok(());
        }
        // what is gathered in memory may be of those days: from here on both watermarks are the same, and all is stored
        self.members_store(tenant, memory).await?;
        for day in days {
            let mut db = self.kernel.db.snapshot().await?;
            let Some(redone) =
                stale::redo(&mut db, tenant, (&memory.meters, &mut memory.book), &memory.watermark, day)
                    .await?
            else {
                continue;
            };
            drop(db);
            let to = Watermark { lease_until: self.kernel.clock.now().plus(LEASE), ..memory.watermark };
            let mut tx = self.begin(tenant, memory, &to).await?;
            for (number, level, bucket) in &redone.buckets {
                if let Some(meter) = memory.meters.get(*number) {
                    store::rollup_delete(&mut tx, tenant, meter, *level, *bucket).await?;
                }
            }
            store::rollup_add_all(&mut tx, tenant, &memory.meters, &redone.rows).await?;
            stale::mark_delete(&mut tx, tenant, day, redone.mark).await?;
            tx.finish().await?;
            memory.watermark = to;
        }
        Ok(())
    }

    /// Begins a transaction that moves the watermark and stores what is new in the book. Errors: CONFLICT when the lease is another's.
    async fn begin(&self, tenant: TenantId, memory: &mut Memory, to: &Watermark) -> Result<EngineTx> {
        let new = memory.book.take_new();
        let mut tx = self.kernel.db.begin_derived();
        if store::watermark_put(&mut tx, tenant, memory.watermark.fence, to).await? == 0 {
            return Err(Error::Conflict);
        }
        store::series_insert_all(&mut tx, tenant, &memory.meters, &new.series).await?;
        store::member_insert_all(&mut tx, tenant, &new.members).await?;
        Ok(tx)
    }

    /// Moves the watermark, or how far a meter has caught up, and adds `cells` in one transaction. Errors: CONFLICT when the lease is another's.
    async fn store(
        &self,
        tenant: TenantId,
        memory: &mut Memory,
        to: Watermark,
        cells: Cells,
        caught: Option<(u32, (i64, i64))>,
    ) -> Result<()> {
        let mut rows: Vec<_> = cells.into_iter().collect();
        // in the order of the key: neighbours are written together
        rows.sort_unstable_by_key(|(key, _)| *key);
        let mut tx = self.begin(tenant, memory, &to).await?;
        if let Some((number, range)) = caught {
            meter::store::meter_catch(&mut tx, tenant, Meters::stored_number(number), range).await?;
        }
        unite(&mut tx, tenant, &memory.meters, &mut rows).await?;
        store::rollup_add_all(&mut tx, tenant, &memory.meters, &rows).await?;
        tx.finish().await?;
        memory.watermark = to;
        Ok(())
    }
}

/// Adds the members that are stored to those of `rows`: bitmaps are replaced, not added.
async fn unite(
    db: &mut impl Executor,
    tenant: TenantId,
    meters: &Meters,
    rows: &mut [(Key, super::fold::Cell)],
) -> Result<()> {
    let mut stored = HashMap::<(u32, Level, kernel::clock::Time), HashMap<i64, Vec<u8>>>::new();
    for (key, cell) in rows.iter_mut().filter(|(_, cell)| !cell.members.is_empty()) {
        let bucket = (key.meter, key.level, key.bucket);
        if let std::collections::hash_map::Entry::Vacant(new) = stored.entry(bucket) {
            let until = kernel::clock::Time::from_micros(key.bucket.micros() + key.level.length());
            let Some(meter) = meters.get(key.meter) else { continue };
            let found = store::rollup_list(db, tenant, meter, key.level, (key.bucket, until), None).await?;
            new.insert(found.into_iter().filter_map(|s| Some((s.series_id, s.members?))).collect());
        }
        if let Some(bytes) = stored.get(&bucket).and_then(|found| found.get(&key.series)) {
            cell.members |=
                roaring::RoaringBitmap::deserialize_from(bytes.as_slice()).map_err(Error::internal)?;
        }
    }
    Ok(())
}
