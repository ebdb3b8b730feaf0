//! PostgreSQL connections at hand.
//!
//! sqlx asks every connection that is given back whether it is well: a round trip a call. Here a connection whose last
//! statement ended well goes back to the shelf without a question; any other goes to sqlx's pool, which asks it, mends
//! it or closes it.

use std::{
    pin::pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use sqlx::{PgConnection, Postgres, pool::PoolConnection, postgres::PgPool};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::{Error, Result};

/// A connection older than this is replaced: the server's memory for it grows with what it has prepared.
const LIFETIME: Duration = Duration::from_mins(30);

/// The connections. Cheap to clone.
#[derive(Clone)]
pub(super) struct Shelf(Arc<Inner>);

struct Inner {
    pool: PgPool,
    /// None once it is closed: a connection that comes back later goes to the pool, which waits for it.
    idle: Mutex<Option<Vec<Kept>>>,
    places: Arc<Semaphore>,
    /// Connections that came back well: the server answers, and whoever waits comes closer.
    back: AtomicU64,
    wait: Duration,
}

struct Idle {
    conn: PoolConnection<Postgres>,
    since: Instant,
}

/// Boxed once, and moved between the shelf and its user as it is.
type Kept = Box<Idle>;

/// A connection in use; dropping it gives it back.
pub struct Shelved {
    conn: Option<Kept>,
    /// Whether its last statement ended well and nothing is open on it.
    well: bool,
    shelf: Shelf,
    _place: OwnedSemaphorePermit,
}

impl Shelf {
    /// At most `size` connections of `pool`; a caller waits in turn, but no longer than `wait` while none comes back.
    pub(super) fn new(pool: PgPool, size: u32, wait: Duration) -> Self {
        let places = Arc::new(Semaphore::new(usize::try_from(size).unwrap_or(usize::MAX >> 4)));
        Self(Arc::new(Inner {
            pool,
            idle: Mutex::new(Some(Vec::new())),
            places,
            back: AtomicU64::new(0),
            wait,
        }))
    }

    /// Takes one from the shelf, or a new one.
    pub(super) async fn acquire(&self) -> Result<Shelved> {
        let place = Arc::clone(&self.0.places).acquire_owned();
        let place = in_turn(place, self.0.wait, || self.0.back.load(Ordering::Relaxed)).await;
        let place = place.ok_or(sqlx::Error::PoolTimedOut)?.map_err(Error::internal)?;
        let shelved = self.idle().as_mut().and_then(Vec::pop);
        let conn = match shelved {
            Some(idle) if idle.since.elapsed() < LIFETIME => idle,
            _ => Box::new(Idle { conn: self.0.pool.acquire().await?, since: Instant::now() }),
        };
        Ok(Shelved { conn: Some(conn), well: false, shelf: self.clone(), _place: place })
    }

    /// Gives every idle connection to sqlx's pool: the server went away, and they went with it.
    fn clear(&self) {
        let idle = self.idle().as_mut().map(std::mem::take);
        drop(idle);
    }

    /// Waits for connections in use and closes.
    pub(super) async fn close(&self) {
        let idle = self.idle().take();
        drop(idle);
        self.0.pool.close().await;
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Option<Vec<Kept>>> {
        self.0.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What `place` comes to, in its turn of a queue; none once nothing has moved for as long as `wait`. A queue that is long because
/// there is much to do moves.
async fn in_turn<T>(place: impl Future<Output = T>, wait: Duration, moved: impl Fn() -> u64) -> Option<T> {
    let mut place = pin!(place);
    let mut seen = moved();
    loop {
        if let Ok(place) = tokio::time::timeout(wait, place.as_mut()).await {
            return Some(place);
        }
        let now = moved();
        if now == seen {
            return None;
        }
        seen = now;
    }
}

impl Shelved {
    /// A statement begins: until it has ended well, nothing is known of the connection.
    pub(super) fn conn(&mut self) -> Result<&mut PgConnection> {
        self.well = false;
        match &mut self.conn {
            Some(idle) => Ok(&mut idle.conn),
            None => Err(Error::internal("the connection was given back")),
        }
    }

    /// A statement has ended.
    pub(super) fn ended(&mut self, error: Option<&Error>) {
        self.well = error.is_none();
        if matches!(error, Some(Error::DatabaseUnavailable { .. })) {
            self.shelf.clear();
        }
    }
}

impl Drop for Shelved {
    fn drop(&mut self) {
        let Some(conn) = self.conn.take() else { return };
        if self.well {
            self.shelf.0.back.fetch_add(1, Ordering::Relaxed);
        }
        if self.well
            && let Some(idle) = self.shelf.idle().as_mut()
        {
            idle.push(conn);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn whoever_waits_in_a_queue_that_moves_waits_on_and_in_one_that_stands_gives_up() {
        let begun = tokio::time::Instant::now();
        let halves = || u64::try_from(begun.elapsed().as_millis() / 500).unwrap();
        let place = tokio::time::sleep(10 * SECOND);
        assert!(in_turn(place, SECOND, halves).await.is_some());
        assert_eq!(begun.elapsed(), 10 * SECOND);
        assert!(in_turn(tokio::time::sleep(10 * SECOND), SECOND, || 7).await.is_none());
        assert_eq!(begun.elapsed(), 11 * SECOND);
        // it stands from the third second on
        let until_then = || halves().min(28);
        assert!(in_turn(tokio::time::sleep(10 * SECOND), SECOND, until_then).await.is_none());
        assert_eq!(begun.elapsed(), 15 * SECOND);
    }
}
