//! Rows that were read, for as long as they are true. Only for the embedded engine, whose database this process alone
//! writes: every commit ends what was remembered of its scope, before it is acknowledged.

use std::{
    any::Any,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
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
/// The scope's count when the row was read, and the row.
type Row = (u64, Arc<dyn Any + Send + Sync>);

/// Remembers rows by scope.
pub struct RowCache {
    rows: Option<Cache<Key, Row>>,
    changes: Vec<AtomicU64>,
}

impl RowCache {
    /// One that remembers (`on`), or one that always asks.
    pub fn new(on: bool) -> Self {
        Self {
            rows: on.then(|| Cache::new(ROWS)),
            changes: (0..COUNTERS).map(|_| AtomicU64::new(0)).collect(),
        }
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
        let Some(rows) = &self.rows else { return load().await.map(Arc::new) };
        let key = (kind, scope, id.to_owned());
        // counted before it is read: a change in between makes what was read worthless, not wrong
        let count = self.counter(scope).load(Ordering::SeqCst);
        if let Some((then, row)) = rows.get(&key)
            && then == count
            && let Ok(row) = row.downcast::<T>()
        {
            return Ok(row);
        }
        let row = Arc::new(load().await?);
        rows.insert(key, (count, Arc::clone(&row) as Arc<dyn Any + Send + Sync>));
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
        let (cache, scope, other) = (RowCache::new(true), Uuid::from_u128(1), Uuid::from_u128(2));
        assert_eq!(read(&cache, scope, 1).await, 1);
        assert_eq!(read(&cache, scope, 2).await, 1);
        cache.changed(other);
        assert_eq!(read(&cache, scope, 3).await, 1);
        cache.changed(scope);
        assert_eq!(read(&cache, scope, 4).await, 4);
    }

    #[tokio::test]
    async fn what_was_read_while_it_changed_is_not_remembered() {
        let (cache, scope) = (RowCache::new(true), Uuid::from_u128(1));
        let stale = cache.get("n", scope, "x", || async {
            cache.changed(scope);
            Ok(1_u32)
        });
        assert_eq!(*stale.await.unwrap(), 1);
        assert_eq!(read(&cache, scope, 2).await, 2);
    }

    #[tokio::test]
    async fn a_shared_database_is_always_asked() {
        let (cache, scope) = (RowCache::new(false), Uuid::from_u128(1));
        assert_eq!(read(&cache, scope, 1).await, 1);
        assert_eq!(read(&cache, scope, 2).await, 2);
    }
}
