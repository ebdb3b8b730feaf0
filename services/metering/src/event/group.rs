//! One transaction for the requests of a group: places, events, refusals, records.

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
};

use kernel::{Error, Kernel, Result, db::tx::Tx, ids::TenantId};

use super::{
    key::{Digest, dedupe_key},
    model::{CONFLICT, Rejection, Status, amounts_json},
    report::Report,
    store::{self, Placed, Reject},
    writer::{Checked, Job, day_of},
};
use crate::{
    claim::{Claimant, claims_settle, settled},
    meter::{self, Meters},
    observation::{self, observations_store},
};

/// Refused events of one request that are listed; further ones are only counted.
const LISTED: usize = 100;
/// Refused events of one tenant that are listed.
const KEPT: i64 = 10_000;

/// What became of the items of every job.
pub type Outcome = Vec<Vec<Status>>;

/// Where an item is: job, position.
type At = (usize, usize);

/// The meters of the tenant that a queue is of, as they were last seen.
pub type Seen = Mutex<Arc<Meters>>;

/// Stores what is new in `jobs`, all of one tenant, in one transaction with one audit record for every credential. `seen` are the
/// meters that refuse what they cannot count; whether they are still those is known once the places are taken.
pub async fn commit(kernel: &Arc<Kernel>, jobs: &[Job], seen: &Seen) -> Result<Outcome> {
    let Some(first) = jobs.first() else { return Ok(Vec::new()) };
    let (tenant, now) = (first.tenant, kernel.clock.now());
    let meters = Arc::clone(&seen.lock().unwrap_or_else(PoisonError::into_inner));
    let group = Group::of(jobs, &meters);
    let mut tx = first.ctx.begin(&first.permit).await?;
    let (known, revision) = group.place(&mut tx, tenant, now).await?;
    if let Some(revision) = revision.filter(|revision| *revision != meters.revision()) {
        let new = meter::store::meters_of(&mut tx, tenant, revision).await?;
        *seen.lock().unwrap_or_else(PoisonError::into_inner) = new;
        // once more, with those
        return Err(Error::Conflict);
    }
    group.observe(&mut tx, tenant, first, &known).await?;
    let outcome = group.outcome(&known);
    let reports: Vec<_> = outcome.iter().map(Report::of).collect();
    if !reports.iter().any(Report::changes) {
        tx.abandon().await?;
        return Ok(outcome);
    }
    rejects_store(&mut tx, tenant, jobs, &outcome, now).await?;
    // one record a credential; that of the first ends the transaction
    let mut records = Vec::<(&Job, Report)>::new();
    for (job, report) in jobs.iter().zip(&reports) {
        let token = job.ctx.caller().token;
        match records.iter_mut().find(|(other, _)| other.ctx.caller().token == token) {
            Some((_, sum)) => sum.add(report),
            None => records.push((job, report.clone())),
        }
    }
    let record = |job: &Job, report: &Report| {
        job.permit.audit().also("tenant", job.permit.scope().to_string()).after(report)
    };
    let mut records = records.into_iter();
    let Some((_, own)) = records.next() else { return Ok(outcome) };
    for (job, report) in records.filter(|(_, report)| report.changes()) {
        tx.record_for(&job.ctx, record(job, &report)).await?;
    }
    tx.commit(record(first, &own)).await?;
    Ok(outcome)
}

/// The events of a group, each key once.
struct Group<'j> {
    jobs: &'j [Job],
    /// The first event of every key, sorted by key: two transactions that overlap take keys in the same order.
    rows: Vec<(&'j Checked, At)>,
    /// What the tenant's meters cannot count.
    refused: HashMap<At, Rejection>,
}

/// What is stored under a key: its place, what it says, and whether this transaction put it there.
type Known = HashMap<Digest, (i64, Digest, bool)>;

impl<'j> Group<'j> {
    fn of(jobs: &'j [Job], meters: &Meters) -> Self {
        let (mut rows, mut refused): (Vec<(&Checked, At)>, _) = (Vec::new(), HashMap::new());
        for (j, job) in jobs.iter().enumerate() {
            for (n, checked) in job.items.iter().enumerate().filter_map(|(n, i)| Some((n, i.as_ref().ok()?)))
            {
                match meters.check(&checked.event) {
                    Ok(()) => rows.push((checked, (j, n))),
                    Err(why) => _ = refused.insert((j, n), why),
                }
            }
        }
        if !refused.is_empty() {
            without_source(jobs, &refused, &mut rows);
        }
        rows.sort_by_key(|(checked, at)| (checked.key, *at));
        rows.dedup_by_key(|(checked, _)| checked.key);
        Self { jobs, rows, refused }
    }

    /// Gives every new event its place; also returns the revision of the tenant's meters, unless nothing depends on it.
    async fn place(
        &self,
        tx: &mut Tx<'_>,
        tenant: TenantId,
        now: kernel::clock::Time,
    ) -> Result<(Known, Option<i64>)> {
        if self.rows.is_empty() {
            // nothing takes a place, but what is refused has to be so by the meters of this moment
            let asked = !self.refused.is_empty();
            let revision = if asked { Some(store::head_get(tx, tenant).await?.meters) } else { None };
            return Ok((HashMap::new(), revision));
        }
        let count = i64::try_from(self.rows.len()).unwrap_or(i64::MAX);
        let counted = self.settle(tx, tenant, now).await?;
        let head = store::places_take(tx, tenant, count).await?;
        let placed: Vec<_> = (head.next_seq..)
            .zip(self.rows.iter().zip(counted))
            .map(|(seq, ((c, _), counted))| Placed {
                seq,
                key: c.key,
                payload: c.payload,
                holder: c.holder,
                event: &c.event,
                dims: &c.dims,
                amounts: amounts(c, counted),
            })
            .collect();
        let stored = store::event_insert_all(tx, tenant, now, &placed).await?;
        if stored == placed.len() as u64 {
            let known = placed.iter().map(|p| (p.key, (p.seq, p.payload, true))).collect();
            return Ok((known, Some(head.meters)));
        }
        // some were known: what is there tells which
        let keys: Vec<_> = placed.iter().map(|p| p.key).collect();
        let found = store::event_find_all(tx, tenant, &keys).await?;
        let ours: HashMap<_, _> = placed.iter().map(|p| (p.key, p.seq)).collect();
        let known = found.iter().filter_map(|row| {
            let (key, says) = (Digest::from_bytes(&row.dedupe_key)?, Digest::from_bytes(&row.payload_key)?);
            Some((key, (row.seq, says, ours.get(&key) == Some(&row.seq))))
        });
        let known: Known = known.collect();
        // somebody removed events in between: nobody is told that an event is there which is not
        if known.len() < self.rows.len() { Err(Error::Conflict) } else { Ok((known, Some(head.meters))) }
    }

    /// Of every event, whether what is told in several ways counts in its way.
    async fn settle(&self, tx: &mut Tx<'_>, tenant: TenantId, now: kernel::clock::Time) -> Result<Vec<bool>> {
        let claimants: Vec<_> = self.rows.iter().filter_map(|(c, _)| claimant(c)).collect();
        if claimants.is_empty() {
            return Ok(vec![true; self.rows.len()]);
        }
        let mut settled = claims_settle(tx, tenant, now, &claimants).await?.into_iter();
        let counted =
            self.rows.iter().map(|(c, _)| claimant(c).is_none() || settled.next().unwrap_or_default());
        Ok(counted.collect())
    }

    /// Keeps what new events say besides what is counted.
    async fn observe(&self, tx: &mut Tx<'_>, tenant: TenantId, first: &Job, known: &Known) -> Result<()> {
        let new = self.rows.iter().filter(|(c, _)| known.get(&c.key).is_some_and(|(_, _, new)| *new));
        let seen: Vec<_> = new
            .filter_map(|(c, _)| {
                let observation = c.event.observation.as_ref()?;
                let (principal, client, time) = (c.holder.principal, &*c.event.client, c.event.time);
                Some(observation::Seen { principal, client, time, observation })
            })
            .collect();
        if seen.is_empty() {
            return Ok(());
        }
        observations_store(tx, tenant, || first.ctx.new_id(), &seen).await
    }

    /// What became of every item that was sent.
    fn outcome(&self, known: &Known) -> Outcome {
        let firsts: HashMap<Digest, At> = self.rows.iter().map(|(c, at)| (c.key, *at)).collect();
        let status = |checked: &Checked, at: At| match known.get(&checked.key) {
            Some((seq, _, true)) if firsts.get(&checked.key) == Some(&at) => Status::Accepted(*seq),
            Some((seq, says, _)) if *says == checked.payload => Status::Duplicate(*seq),
            Some((seq, ..)) => Status::Conflict(*seq),
            // every key was placed or found
            None => Status::Duplicate(0),
        };
        let of_job = |(j, job): (usize, &Job)| {
            let items = job.items.iter().enumerate();
            items
                .filter(|(_, item)| !item.as_ref().is_ok_and(|c| c.derived))
                .map(|(n, item)| match item {
                    Ok(checked) => match self.refused.get(&(j, n)) {
                        Some(why) => Status::Rejected(why.clone()),
                        None => status(checked, (j, n)),
                    },
                    Err(refused) => Status::Rejected(refused.why.clone()),
                })
                .collect()
        };
        self.jobs.iter().enumerate().map(of_job).collect()
    }
}

/// Takes out what was derived from events of which all are refused.
fn without_source(jobs: &[Job], refused: &HashMap<At, Rejection>, rows: &mut Vec<(&Checked, At)>) {
    let mut told = HashSet::new();
    for (j, job) in jobs.iter().enumerate() {
        for (n, checked) in job.items.iter().enumerate().filter_map(|(n, i)| Some((n, i.as_ref().ok()?))) {
            if let Some(session) = checked.event.session.as_deref()
                && !refused.contains_key(&(j, n))
            {
                let made = crate::client::session(&checked.event, session);
                told.insert(dedupe_key(job.tenant, &made.source, &made.id));
            }
        }
    }
    rows.retain(|(checked, _)| !checked.derived || told.contains(&checked.key));
}

/// Its quantities, without those that another way tells.
fn amounts(checked: &Checked, counted: bool) -> Cow<'_, str> {
    if counted {
        return Cow::Borrowed(&checked.amounts);
    }
    let mut values = checked.event.values.clone();
    settled(&mut values);
    Cow::Owned(amounts_json(&values))
}

fn claimant(checked: &Checked) -> Option<Claimant<'_>> {
    let claim = checked.event.claim.as_ref()?;
    Some(Claimant { principal: checked.holder.principal, client: &checked.event.client, claim })
}

/// Counts what was refused and lists the first of it.
async fn rejects_store(
    tx: &mut Tx<'_>,
    tenant: TenantId,
    jobs: &[Job],
    outcome: &Outcome,
    now: kernel::clock::Time,
) -> Result<()> {
    let mut listed = Vec::new();
    let mut counts = BTreeMap::<(String, &'static str), i64>::new();
    for (job, statuses) in jobs.iter().zip(outcome) {
        let sent = job.items.iter().filter(|item| !item.as_ref().is_ok_and(|c| c.derived));
        let refused: Vec<_> =
            sent.zip(statuses).filter_map(|(item, status)| reject(job, item, status, now)).collect();
        for reject in &refused {
            *counts.entry((reject.code.clone(), job.surface.as_str())).or_default() += 1;
        }
        listed.extend(refused.into_iter().take(LISTED));
    }
    if counts.is_empty() {
        return Ok(());
    }
    for ((code, surface), count) in counts {
        store::reject_count_add(tx, tenant, (day_of(now), &code, surface), count).await?;
    }
    store::reject_insert_all(tx, tenant, &listed).await?;
    store::reject_prune(tx, tenant, KEPT).await.map(|_| ())
}

fn reject(
    job: &Job,
    item: &Result<Checked, super::writer::Refused>,
    status: &Status,
    now: kernel::clock::Time,
) -> Option<Reject> {
    let (code, field, message, seq) = match status {
        Status::Rejected(why) => (why.code.as_str(), why.field.clone(), why.message.clone(), None),
        Status::Conflict(seq) => {
            (CONFLICT, "id".into(), format!("is known with other content, as event {seq}"), Some(*seq))
        }
        Status::Accepted(_) | Status::Duplicate(_) => return None,
    };
    let ([source, event_id, event_type], principal_id) = match item {
        Ok(c) => {
            let said = [c.event.source.to_string(), c.event.id.clone(), c.event.event_type.to_string()];
            (said, c.holder.principal)
        }
        Err(refused) => ((*refused.said).clone(), job.ctx.caller().principal.as_ref().map(|p| p.id)),
    };
    Some(Reject {
        id: job.ctx.new_id(),
        code: code.to_owned(),
        field: field.into_owned(),
        message,
        source,
        event_id,
        event_type,
        principal_id,
        token_id: Some(job.ctx.caller().token),
        seq,
        ingest_time: now,
    })
}
