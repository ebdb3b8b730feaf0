//! The deployment's root key: made once, kept in the database, shared by every node.

use crate::{
    clock::Time,
    db::Db,
    error::{Error, Result},
    execute, on,
};

/// The key from which page tokens and digests of personal fields are derived.
pub(crate) async fn deployment_key(db: &Db, now: Time) -> Result<Vec<u8>> {
    let mut fresh = [0_u8; 32];
    getrandom::fill(&mut fresh).map_err(Error::internal)?;
    let mut tx = db.begin();
    // two nodes may start on an empty database at once: the first key stays
    let query =
        "INSERT INTO deployment (id, root_key, create_time) VALUES (1, $1, $2) ON CONFLICT (id) DO NOTHING";
    execute!(&mut tx, sqlx::query(query).bind(fresh.as_slice()).bind(now))?;
    let (key,): (Vec<u8>,) =
        on!(&mut tx, |c| sqlx::query_as("SELECT root_key FROM deployment WHERE id = 1").fetch_one(c))?;
    tx.finish().await?;
    Ok(key)
}
