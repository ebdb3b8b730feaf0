//! Finding the events that somebody means to correct.

use std::collections::{BTreeSet, HashMap};

use kernel::{
    Error, Result,
    clock::Time,
    db::{Engine, Executor, bulk, tx::Tx},
    ids::{PrincipalId, TenantId, clip},
    on,
};
use sqlx::AssertSqlSafe;
use tenancy::{role::model::RoleId, unit::model::UnitId};
use uuid::Uuid;

use super::model::MAX_PICKED;
use crate::event::{
    key::{Digest, dedupe_key},
    model::MAX_ID,
};

/// Names an event.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum EventRef {
    /// By its place.
    Seq(i64),
    /// By source and id.
    Key(String, String),
}

/// An event that was found.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct Picked {
    /// Its place.
    pub seq: i64,
    /// That of its source and id.
    pub dedupe_key: Vec<u8>,
    /// Who says so.
    pub source: String,
    /// Its id.
    pub event_id: String,
    /// What happened.
    pub event_type: String,
    /// The assistant.
    pub client: String,
    /// To whom it is attributed.
    pub principal_id: Option<PrincipalId>,
    /// Under which role.
    pub role_id: Option<RoleId>,
    /// Under which unit.
    pub unit_id: Option<UnitId>,
    /// When it happened.
    pub time: Time,
    /// Its dimensions, JSON.
    pub dims: String,
    /// The correction that took it back.
    pub void_id: Option<Uuid>,
}

/// The named event, or what is wrong with its name.
pub fn event_ref(field: &str, (seq, source, id): (i64, String, String)) -> Result<EventRef> {
    match (seq, source.is_empty() && id.is_empty()) {
        (1.., true) => Ok(EventRef::Seq(seq)),
        (0, false) if !source.is_empty() && !id.is_empty() && source.len().max(id.len()) <= MAX_ID => {
            Ok(EventRef::Key(source, id))
        }
        _ => Err(Error::invalid(
            field,
            format!(
                "names no event; give either `seq`, above 0, or `source` and `id`, each of 1 to {MAX_ID} bytes"
            ),
        )),
    }
}

/// Refuses none, too many, and one twice.
pub fn check(field: &str, refs: &[EventRef]) -> Result<()> {
    if refs.is_empty() {
        return Err(Error::invalid(field, "is empty; name at least one event"));
    }
    if refs.len() > MAX_PICKED {
        let message =
            format!("names {} events; use at most {MAX_PICKED}, or a backfill that replaces", refs.len());
        return Err(Error::Limit { limit: "usage.corrected_events".to_owned(), message });
    }
    let mut seen = BTreeSet::new();
    match refs.iter().find(|of| !seen.insert(*of)) {
        Some(of) => Err(Error::invalid(field, format!("names {} twice", said(of)))),
        None => Ok(()),
    }
}

fn said(of: &EventRef) -> String {
    match of {
        EventRef::Seq(seq) => format!("`{seq}`"),
        EventRef::Key(source, id) => format!("`{}` of `{}`", clip(id), clip(source)),
    }
}

/// The events that `refs` name, in order; all of them stand.
pub async fn standing(
    tx: &mut Tx<'_>,
    tenant: TenantId,
    field: &str,
    refs: &[EventRef],
) -> Result<Vec<Picked>> {
    let key = |of: &EventRef| match of {
        EventRef::Key(source, id) => Some(dedupe_key(tenant, source, id)),
        EventRef::Seq(_) => None,
    };
    let keys: Vec<_> = refs.iter().filter_map(key).collect();
    let mut seqs: Vec<_> = refs
        .iter()
        .filter_map(|of| match of {
            EventRef::Seq(seq) => Some(*seq),
            EventRef::Key(..) => None,
        })
        .collect();
    seqs.extend(seq_find_all(tx, tenant, &keys).await?);
    seqs.sort_unstable();
    seqs.dedup();
    let found = event_get_all(tx, tenant, &seqs).await?;
    let by_seq: HashMap<i64, &Picked> = found.iter().map(|e| (e.seq, e)).collect();
    let mut by_key = HashMap::<Digest, &Picked>::new();
    for event in &found {
        let Some(key) = Digest::from_bytes(&event.dedupe_key) else { continue };
        let best = by_key.entry(key).or_insert(event);
        if event.void_id.is_none() {
            *best = event;
        }
    }
    let mut picked = Vec::with_capacity(refs.len());
    let mut taken = BTreeSet::new();
    for of in refs {
        let event = match (of, key(of)) {
            (EventRef::Seq(seq), _) => by_seq.get(seq).copied(),
            (EventRef::Key(..), key) => key.and_then(|key| by_key.get(&key).copied()),
        };
        let event = event.ok_or_else(|| Error::not_found("usage event", said(of).replace('`', "")))?;
        if let Some(by) = event.void_id {
            let message = format!(
                "event `{}` does not stand: correction `{by}` took it back; revert that one, or correct the event that stands for it",
                event.seq
            );
            return Err(Error::illegal_state(event.seq, message));
        }
        if !taken.insert(event.seq) {
            return Err(Error::invalid(field, format!("names event `{}` twice", event.seq)));
        }
        picked.push(event.clone());
    }
    Ok(picked)
}

/// Places of the events with these keys, standing or not.
async fn seq_find_all(tx: &mut Tx<'_>, tenant: TenantId, keys: &[Digest]) -> Result<Vec<i64>> {
    let mut found = Vec::new();
    for (part, marks) in bulk(tx.engine(), keys, 1) {
        let own = own(tx.engine(), part.len() + 1);
        for table in ["usage_event", "usage_event_again"] {
            let text = format!(
                "WITH k (dedupe_key) AS (VALUES {marks}) SELECT e.seq FROM k CROSS JOIN {table} e \
                 WHERE e.dedupe_key = k.dedupe_key AND e.tenant_id = {own}"
            );
            let seqs: Vec<i64> = on!(tx, |c| {
                let mut query = sqlx::query_scalar(AssertSqlSafe(text.clone()));
                for key in part {
                    query = query.bind(key.as_bytes());
                }
                query.bind(tenant).fetch_all(c)
            })?;
            found.extend(seqs);
        }
    }
    Ok(found)
}

/// Events by their places.
async fn event_get_all(tx: &mut Tx<'_>, tenant: TenantId, seqs: &[i64]) -> Result<Vec<Picked>> {
    let mut found = Vec::with_capacity(seqs.len());
    for (part, marks) in bulk(tx.engine(), seqs, 1) {
        let text = format!(
            "WITH k (seq) AS (VALUES {marks}) SELECT e.seq, COALESCE(a.dedupe_key, e.dedupe_key) AS dedupe_key, e.source, e.event_id, \
             e.event_type, e.client, e.principal_id, e.role_id, e.unit_id, e.time, e.dims, v.correction_id AS void_id \
             FROM k CROSS JOIN usage_event e LEFT JOIN usage_event_again a ON a.tenant_id = e.tenant_id AND a.seq = e.seq \
             LEFT JOIN usage_void v ON v.tenant_id = e.tenant_id AND v.seq = e.seq AND v.undone_time IS NULL \
             WHERE e.seq = k.seq AND e.tenant_id = {}",
            own(tx.engine(), part.len() + 1)
        );
        let rows: Vec<Picked> = on!(tx, |c| {
            let mut query = sqlx::query_as(AssertSqlSafe(text.clone()));
            for seq in part {
                query = query.bind(*seq);
            }
            query.bind(tenant).fetch_all(c)
        })?;
        found.extend(rows);
    }
    Ok(found)
}

/// The parameter after those of a list.
fn own(engine: Engine, n: usize) -> String {
    if engine == Engine::Sqlite { "?".to_owned() } else { format!("${n}") }
}
