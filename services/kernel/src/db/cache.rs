//! Rows that were read, for as long as they are true. The embedded database is written by this process alone: every
//! commit ends what was remembered of its scope, before it is acknowledged. A shared database is always asked, but for
//! what a tenant's name means and to whom usage is attributed: like a token, those are trusted for the moment that the
//! configuration allows.

use std::{
    any::Any,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use quick_cache::sync::Cache;
use uuid::Uuid;

use crate::error::Result;

/// Rows remembered.
const ROWS: usize = 20_000;
/// Counters that scopes share by hash: a collision forgets too much, never too little.
const COUNTERS: usize = 1_024;

/// Kind of row, scope, id in the scope.
type Key = (&'static str, Uuid, String);
/// The scope's count and the time when the row was read, and the row.
type Row = (u64, Instant, Arc<dyn Any + Send + Sync>);

/// What a tenant's name means.
pub const TENANT: &str = "tenant";
/// To whom the usage of a principal is attributed.
pub const USAGE_HOLDER: &str = "usage_holder";
/// The kinds of rows that are remembered of a shared database.
const SHARED: [&str; 2] = [TENANT, USAGE_HOLDER];

/// Remembers rows by scope.
pub struct RowCache {
    rows: Cache<Key, Row>,
    changes: Vec<AtomicU64>,
    /// How long the [`SHARED`] kinds are trusted where others may change them; none where only this process can.
    shared: Option<Duration>,
}

impl RowCache {
    /// For a database that others write too, and how long its tenants are trusted; or, with none, for one of our own.
    pub fn new(shared: Option<Duration>) -> Self {
        Self { rows: Cache::new(ROWS), changes: (0..COUNTERS).map(|_| AtomicU64::new(0)).collect(), shared }
    }

    /// The row, remembered or else from `load`.
    pub async fn get<T, F>(
        &self,
        kind: &'static str,
        scope: Uuid,
        id: &str,
        load: impl FnOnce() -> F,
    ) -> Result<Arc<T>>
    where
        T: Send + Sync + 'static,
        F: Future<Output = Result<T>>,
    {
        if self.shared.is_some() && !SHARED.contains(&kind) {
            return load().await.map(Arc::new);
        }
        let key = (kind, scope, id.to_owned());
        // counted before it is read: a change in between makes what was read worthless, not wrong
        let count = self.counter(scope).load(Ordering::SeqCst);
        if let Some((then, since, row)) = self.rows.get(&key)
            && then == count
            && self.shared.is_none_or(|trust| since.elapsed() < trust)
            && let Ok(row) = row.downcast::<T>()
        {
            return Ok(row);
        }
        let asked = Instant::now();
        // beside: a query takes no room in the calls whose row is remembered
        let row = Arc::new(Box::pin(load()).await?);
        self.rows.insert(key, (count, asked, Arc::clone(&row) as Arc<dyn Any + Send + Sync>));
        Ok(row)
    }

    /// Forgets everything of a scope.
    pub fn changed(&self, scope: Uuid) {
        self.counter(scope).fetch_add(1, Ordering::SeqCst);
    }

    fn counter(&self, scope: Uuid) -> &AtomicU64 {
        let index = usize::try_from(scope.as_u128() % COUNTERS as u128).unwrap_or(0);
        self.changes.get(index).unwrap_or(&NONE)
    }
}

/// Never reached: there are as many counters as the index can say.
static NONE: AtomicU64 = AtomicU64::new(0);

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(cache: &RowCache, scope: Uuid, value: u32) -> u32 {
        *cache.get("n", scope, "x", || async { Ok(value) }).await.unwrap()
    }

    #[tokio::test]
    async fn a_row_is_remembered_until_its_scope_changes() {
        let (cache, scope, other) = (RowCache::new(None), Uuid::from_u128(1), Uuid::from_u128(2));
        assert_eq!(read(&cache, scope, 1).await, 1);
        assert_eq!(read(&cache, scope, 2).await, 1);
        cache.changed(other);
        assert_eq!(read(&cache, scope, 3).await, 1);
        cache.changed(scope);
        assert_eq!(read(&cache, scope, 4).await, 4);
    }

    #[tokio::test]
    async fn what_was_read_while_it_changed_is_not_remembered() {
        let (cache, scope) = (RowCache::new(None), Uuid::from_u128(1));
        let stale = cache.get("n", scope, "x", || async {
            cache.changed(scope);
            Ok(1_u32)
        });
        assert_eq!(*stale.await.unwrap(), 1);
        assert_eq!(read(&cache, scope, 2).await, 2);
    }

    #[tokio::test]
    async fn a_shared_database_is_always_asked_but_for_its_tenants() {
        let (cache, scope) = (RowCache::new(Some(Duration::from_hours(1))), Uuid::from_u128(1));
        assert_eq!(read(&cache, scope, 1).await, 1);
        assert_eq!(read(&cache, scope, 2).await, 2);
        let tenant = async |cache: &RowCache, value: u32| {
            *cache.get(TENANT, scope, "x", || async move { Ok(value) }).await.unwrap()
        };
        assert_eq!(tenant(&cache, 1).await, 1);
        assert_eq!(tenant(&cache, 2).await, 1);
        cache.changed(scope);
        assert_eq!(tenant(&cache, 3).await, 3);
        let distrustful = RowCache::new(Some(Duration::ZERO));
        assert_eq!(tenant(&distrustful, 1).await, 1);
        assert_eq!(tenant(&distrustful, 2).await, 2);
    }
}
