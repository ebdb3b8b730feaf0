//! PostgreSQL connections at hand.
//!
//! sqlx asks every connection that is given back whether it is well: a round trip a call. Here a connection whose last
//! statement ended well goes back to the shelf without a question; any other goes to sqlx's pool, which asks it, mends
//! it or closes it.

use std::{
    sync::{Arc, Mutex, PoisonError},
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
    /// At most `size` connections of `pool`; a caller waits at most `wait` for one.
    pub(super) fn new(pool: PgPool, size: u32, wait: Duration) -> Self {
        let places = Arc::new(Semaphore::new(usize::try_from(size).unwrap_or(usize::MAX >> 4)));
        Self(Arc::new(Inner { pool, idle: Mutex::new(Some(Vec::new())), places, wait }))
    }

    /// Takes one from the shelf, or a new one.
    pub(super) async fn acquire(&self) -> Result<Shelved> {
        let place = tokio::time::timeout(self.0.wait, Arc::clone(&self.0.places).acquire_owned()).await;
        let place = place.map_err(|_| sqlx::Error::PoolTimedOut)?.map_err(Error::internal)?;
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
        if self.well
            && let Some(idle) = self.shelf.idle().as_mut()
        {
            idle.push(conn);
        }
    }
}
