//! A look at the database that changes nothing: for whoever checks an installation.

use std::fs::File;

use sqlx::{ConnectOptions as _, Connection as _, sqlite::SqliteConnectOptions};

use super::{Db, Engine, LOCK_FILE, SQLITE_FILE, in_use};
use crate::{
    config::Config,
    error::{Error, Result},
};

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// There is no embedded database yet; the first start makes it.
    Nothing,
    /// It answers, and has this schema version; 0 when it is empty.
    Answers(Engine, i64),
}

/// Looks at the database that the configuration names. Nothing is created: no directory, no lock, no database.
pub async fn look(config: &Config) -> Result<Look> {
    if !config.database.url.is_empty() {
        let db = Db::open(config).await?;
        let versions = db.schema_versions().await;
        db.close().await;
        return Ok(Look::Answers(Engine::Postgres, versions?.0));
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
    Ok(Look::Answers(Engine::Sqlite, version?))
}
