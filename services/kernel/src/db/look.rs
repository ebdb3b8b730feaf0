//! A look at the database that changes nothing: for whoever checks an installation.

use std::{fs::File, time::Duration};

use sqlx::{ConnectOptions as _, Connection as _, sqlite::SqliteConnectOptions};

use super::{Db, Engine, LOCK_FILE, SQLITE_FILE, in_use};
use crate::{
    clock::{Clock, Time},
    config::Config,
    error::{Error, Result},
};

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// There is no embedded database yet; the first start makes it.
    Nothing,
    /// It answers.
    Answers {
        /// Which it is.
        engine: Engine,
        /// Its schema version; 0 when it is empty.
        version: i64,
        /// How far its clock is from this machine's, at least; none of an embedded one, which has no other.
        skew: Option<Duration>,
    },
}

/// Looks at the database that the configuration names. Nothing is created: no directory, no lock, no database.
pub async fn look(config: &Config) -> Result<Look> {
    if !config.database.url.is_empty() {
        let db = Db::open(config).await?;
        let versions = db.schema_versions().await;
        let skew = skew(&db).await;
        db.close().await;
        return Ok(Look::Answers { engine: Engine::Postgres, version: versions?.0, skew: skew? });
    }
    let dir = &config.server.data_dir;
    let file = dir.join(SQLITE_FILE);
    if !file.exists() {
        return Ok(Look::Nothing);
    }
    // held for the look, as any process holds it that uses the database; without the file nobody does
    let lock = File::open(dir.join(LOCK_FILE)).ok();
    if lock.as_ref().is_some_and(|lock| lock.try_lock().is_err()) {
        return Err(in_use(dir));
    }
    let options = SqliteConnectOptions::new().filename(file).read_only(true).create_if_missing(false);
    let mut conn = options.connect().await?;
    let version = schema::version_sqlite(&mut conn).await.map_err(Error::from);
    conn.close().await?;
    Ok(Look::Answers { engine: Engine::Sqlite, version: version?, skew: None })
}

async fn skew(db: &Db) -> Result<Option<Duration>> {
    let before = Clock::System.now();
    let theirs = db.clock().await?;
    Ok(theirs.map(|theirs| apart(theirs, before, Clock::System.now())))
}

/// The least that a clock can be off which was asked between two times.
fn apart(theirs: Time, before: Time, after: Time) -> Duration {
    before.since(theirs).max(theirs.since(after))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_is_off_by_what_the_question_cannot_have_taken() {
        let at = |ms: i64| Time::from_micros(ms * 1_000);
        for (theirs, off) in [(1_000, 0), (1_010, 0), (1_120, 100), (900, 100), (0, 1_000)] {
            assert_eq!(apart(at(theirs), at(1_000), at(1_020)), Duration::from_millis(off), "{theirs}");
        }
    }
}
