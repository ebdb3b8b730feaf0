//! One log as the process that sequences it knows it: its lease, its head, the right edge of its tree.

use std::time::Duration;

use kernel::{Kernel, Result, clock::Time, db::Engine, error::Error};
use serde::Deserialize;
use tlog::{Appender, Checkpoint, TileSet, Vkey};
use uuid::Uuid;

use super::{
    head::{Lease, LogHead},
    key::Keys,
    meta::META,
    store::{self, Pending},
};

/// How long a lease is good without being renewed: what a take-over may have to wait.
const LEASE: Duration = Duration::from_secs(5);
/// Renewed when less than this is left.
const RENEW: Duration = Duration::from_secs(3);
/// Events without a checkpoint whose times are remembered: what a log may have of them when its process died.
const UNSIGNED: i64 = 100_000;
/// Events in one transaction. On SQLite changes wait for it, and an event costs the same in small ones.
fn batch(engine: Engine) -> i64 {
    match engine {
        Engine::Sqlite => 64,
        Engine::Postgres => 512,
    }
}

/// What is known while the lease is ours.
pub struct Log {
    lease: Lease,
    head: LogHead,
    tree: Appender,
    /// When the events happened that no checkpoint covers yet, also those of whoever had the lease before.
    unsigned: Vec<Time>,
}

/// What one batch did.
#[derive(Clone, Copy, Debug)]
pub struct Batch {
    /// Events in it.
    pub events: usize,
    /// Whether there may be more.
    pub full: bool,
}

/// The one field of an entry that has a column.
#[derive(Deserialize)]
struct Stamp {
    t: Time,
}

impl Log {
    /// Takes the lease and proves that the stored tree extends the last signed one; none while another process has it.
    pub async fn take(kernel: &Kernel, keys: &Keys, node: Uuid, scope: Uuid) -> Result<Option<Self>> {
        let now = kernel.clock.now();
        let mut tx = kernel.db.begin_derived();
        let seen = if let Some(lease) = store::lease_get(&mut tx, scope).await? {
            lease
        } else {
            let origin = origin(kernel, &mut tx, scope).await?;
            store::log_insert(&mut tx, scope, &origin, now).await?;
            Lease { holder: Uuid::nil(), fence: 0, until: now }
        };
        // the embedded database belongs to one process: whoever held the lease before is gone
        let embedded = kernel.db.engine() == Engine::Sqlite;
        if seen.holder != node && seen.until > now && !embedded {
            return Ok(None);
        }
        let lease = Lease { holder: node, fence: seen.fence + 1, until: now.plus(LEASE) };
        if store::lease_put(&mut tx, scope, seen.fence, &lease).await? == 0 {
            return Ok(None);
        }
        let missing = || Error::internal("a log without a head");
        let head = store::log_get(&mut tx, scope).await?.ok_or_else(missing)?;
        let tree = recovered(&mut tx, keys, &head).await?;
        let unsigned = match head.size - head.signed_size {
            0 => Vec::new(),
            _ => store::event_times(&mut tx, scope, head.signed_size, UNSIGNED).await?,
        };
        tx.finish().await?;
        Ok(Some(Self { lease, head, tree, unsigned }))
    }

    /// Whether the lease is still ours for a while; renews it when little is left.
    pub async fn renew(&mut self, kernel: &Kernel) -> Result<bool> {
        let now = kernel.clock.now();
        if self.lease.until > now.plus(RENEW) {
            return Ok(true);
        }
        let lease = Lease { until: now.plus(LEASE), ..self.lease };
        let mut tx = kernel.db.begin_derived();
        if store::lease_put(&mut tx, self.head.scope_id, self.lease.fence, &lease).await? == 0 {
            return Ok(false);
        }
        tx.finish().await?;
        self.lease = lease;
        Ok(true)
    }

    /// Gives the next indexes to the events that wait. On an error nothing has moved, and this value must not be used again.
    pub async fn extend(&mut self, kernel: &Kernel) -> Result<Batch> {
        let scope = self.head.scope_id;
        // nobody else takes from it while the lease is ours, and if it is not, the head's fence refuses the batch
        let most = batch(kernel.db.engine());
        let waiting = store::pending_take(&mut kernel.db.reader().await?, scope, most).await?;
        if waiting.is_empty() {
            return Ok(Batch { events: 0, full: false });
        }
        if let Some(last) = waiting.last() {
            // what others have recorded is older than what this process records from now on
            kernel.ids.not_below(last.id);
        }
        let events: Vec<_> = waiting.into_iter().map(stamped).collect();
        let leaves = events.iter().map(|(event, _)| tlog::leaf_hash(event.entry.as_bytes()));
        self.tree.append_all(leaves).map_err(Error::internal)?;
        let old = self.head.size;
        let size = i64::try_from(self.tree.size()).map_err(Error::internal)?;
        let head = LogHead { size, root: self.tree.root().as_bytes().to_vec(), ..self.head.clone() };
        let tiles = self.tree.take_tiles();
        let mut tx = kernel.db.begin_derived();
        store::event_insert_all(&mut tx, scope, old, &events).await?;
        store::tile_put_all(&mut tx, scope, &tiles).await?;
        store::pending_delete(&mut tx, scope, old).await?;
        if store::log_extend(&mut tx, self.lease.fence, old, &head).await? == 0 {
            return Err(Error::Conflict);
        }
        tx.finish().await?;
        self.head = head;
        let full = i64::try_from(events.len()) == Ok(most);
        self.unsigned.extend(events.iter().map(|(_, time)| *time));
        Ok(Batch { events: events.len(), full })
    }

    /// Signs what is durable, if it is not signed. Returns when the events happened that the new checkpoint covers, and the one
    /// before did not; none when there is no new one.
    pub async fn sign(&mut self, kernel: &Kernel, keys: &Keys) -> Result<Option<Vec<Time>>> {
        if self.head.signed_size == self.head.size {
            return Ok(None);
        }
        let size = u64::try_from(self.head.size).map_err(Error::internal)?;
        let checkpoint =
            Checkpoint::new(&self.head.origin, size, self.tree.root()).map_err(Error::internal)?;
        let head = LogHead {
            signed_size: self.head.size,
            checkpoint: keys.sign(&checkpoint)?.to_string(),
            sign_time: kernel.clock.now(),
            ..self.head.clone()
        };
        let mut tx = kernel.db.begin_derived();
        if store::log_sign(&mut tx, self.lease.fence, &head).await? == 0 {
            return Err(Error::Conflict);
        }
        tx.finish().await?;
        self.head = head;
        Ok(Some(std::mem::take(&mut self.unsigned)))
    }
}

/// When the event happened, out of its entry; or, where that is not readable, out of its id: the log must not stand still.
fn stamped(event: Pending) -> (Pending, Time) {
    let stamp = serde_json::from_str(&event.entry).map(|s: Stamp| s.t);
    let time = stamp.unwrap_or_else(|_| {
        let (seconds, nanos) = event.id.get_timestamp().map_or((0, 0), |t| t.to_unix());
        Time::from_unix_parts(seconds, nanos)
    });
    (event, time)
}

/// The right edge of the stored tree, once it is proved to be what the head says and to extend the last checkpoint.
async fn recovered(db: &mut impl kernel::db::Executor, keys: &Keys, head: &LogHead) -> Result<Appender> {
    let refuse = |why: &dyn std::fmt::Display| {
        Error::internal(format!(
            "log `{}` is not signed any more: {why}; restore the database or the key",
            head.origin
        ))
    };
    let size = u64::try_from(head.size).map_err(Error::internal)?;
    let edge = store::tile_get_all(db, head.scope_id, &tlog::right_edge(size)).await?;
    let tree = Appender::new(size, edge).map_err(|e| refuse(&e))?;
    if tree.root().as_bytes().as_slice() != head.root {
        return Err(refuse(&"its tiles do not hash to its root"));
    }
    if head.checkpoint.is_empty() {
        return Ok(tree);
    }
    let vkeys = keys.verifier_keys(&head.origin);
    let vkeys =
        vkeys.iter().map(|k| Vkey::parse(k)).collect::<Result<Vec<_>, _>>().map_err(Error::internal)?;
    let signed = Checkpoint::open(head.checkpoint.as_bytes(), &vkeys).map_err(|e| refuse(&e))?.checkpoint;
    let needed = tlog::tiles_for_consistency(signed.size(), size).map_err(|e| refuse(&e))?;
    let tiles: TileSet = store::tile_get_all(db, head.scope_id, &needed).await?.into_iter().collect();
    let proof = tlog::consistency_proof(&tiles, signed.size(), size).map_err(|e| refuse(&e))?;
    tlog::verify_consistency(signed.size(), signed.root(), size, &tree.root(), &proof)
        .map_err(|e| refuse(&e))?;
    Ok(tree)
}

/// First line of the checkpoints of a scope's log.
pub(super) async fn origin(
    kernel: &Kernel,
    db: &mut impl kernel::db::Executor,
    scope: Uuid,
) -> Result<String> {
    let host = &kernel.config.audit.host;
    if scope.is_nil() {
        return Ok(format!("{host}/platform"));
    }
    if scope == META {
        return Ok(format!("{host}/meta"));
    }
    let collection = store::scope_collection(db, scope).await?;
    Ok(format!("{host}/{}/{scope}", collection.as_deref().unwrap_or("logs")))
}
