//! Moves SQLite's write-ahead log into the database file beside the writer, so that no change waits for it.
//!
//! SQLite itself does it in the commit that makes the log too long, and that commit and all behind it wait. Here another
//! connection moves what it finds while the writer goes on. The log begins anew only when nothing in it is left to move,
//! and under load something always is; so when it has grown long, the last of it is moved on the writer's turn.

use std::{sync::Arc, time::Duration};

use sqlx::{Connection as _, SqliteConnection, sqlite::SqliteConnectOptions};
use tokio::{sync::Notify, time::sleep};
use tokio_util::task::AbortOnDropHandle;

use super::group::Writer;
use crate::error::Result;

/// Rest between two looks while there are changes.
const PAUSE: Duration = Duration::from_millis(300);
/// Pages of log from which its end is moved on the writer's turn: 16 MiB.
const LONG: i64 = 4_096;
/// Pages of log from which the writer moves it by itself, should nobody else do it.
pub(super) const TOO_LONG: &str = "32768";
/// Moves what can be moved without waiting for anybody.
const MOVE: &str = "PRAGMA wal_checkpoint(PASSIVE)";

/// Goes on until it is dropped.
pub(super) async fn tend(options: &SqliteConnectOptions, writer: Writer) -> Result<AbortOnDropHandle<()>> {
    let mut conn = SqliteConnection::connect_with(options).await?;
    Ok(AbortOnDropHandle::new(tokio::spawn(async move {
        let changed: Arc<Notify> = writer.changed();
        loop {
            changed.notified().await;
            sleep(PAUSE).await;
            if let Err(error) = round(&mut conn, &writer).await {
                tracing::warn!(%error, "the write-ahead log was not moved into the database; the next change tries again");
            }
        }
    })))
}

async fn round(conn: &mut SqliteConnection, writer: &Writer) -> Result<()> {
    let _moving = writer.moving().await;
    if pages(conn).await? < LONG {
        return Ok(());
    }
    pages(&mut *writer.connection().await?).await.map(|_| ())
}

/// Moves what can be moved; returns how long the log was.
async fn pages(conn: &mut SqliteConnection) -> Result<i64> {
    let (_, pages, _): (i64, i64, i64) = sqlx::query_as(MOVE).fetch_one(conn).await?;
    Ok(pages)
}
