//! What the whole deployment shares: its root key, and the epoch of its store. Both are made once and kept in the database.

use uuid::Uuid;

use crate::{
    clock::Time,
    db::Db,
    error::{Error, Result},
    execute,
    ids::Ids,
    on,
};

/// What every node of a deployment knows.
pub(crate) struct Deployment {
    /// The key from which page tokens and digests of personal fields are derived.
    pub root_key: Vec<u8>,
    /// Which store this is: a UUIDv7, so that a later one is greater.
    pub epoch: Uuid,
}

/// Reads both; makes what is missing.
pub(crate) async fn deployment(db: &Db, now: Time) -> Result<Deployment> {
    let mut fresh = [0_u8; 32];
    getrandom::fill(&mut fresh).map_err(Error::internal)?;
    let epoch = Ids::default().new_id(now);
    let mut tx = db.begin();
    // two nodes may start on an empty database at once: the first key stays
    let query = "INSERT INTO deployment (id, root_key, create_time, store_epoch) VALUES (1, $1, $2, $3) ON CONFLICT (id) DO NOTHING";
    execute!(&mut tx, sqlx::query(query).bind(fresh.as_slice()).bind(now).bind(epoch))?;
    // a database of before there were epochs
    let query = "UPDATE deployment SET store_epoch = $1 WHERE id = 1 AND store_epoch IS NULL";
    execute!(&mut tx, sqlx::query(query).bind(epoch))?;
    let query = "SELECT root_key, store_epoch FROM deployment WHERE id = 1";
    let (root_key, epoch): (Vec<u8>, Uuid) = on!(&mut tx, |c| sqlx::query_as(query).fetch_one(c))?;
    tx.finish().await?;
    Ok(Deployment { root_key, epoch })
}

/// Makes the store another one, after its database was restored from a backup: revisions that were handed out or signed
/// before mean nothing any more. Nodes that run know of it when they are started again.
pub async fn epoch_renew(db: &Db, now: Time) -> Result<Uuid> {
    let epoch = Ids::default().new_id(now);
    let mut tx = db.begin();
    execute!(&mut tx, sqlx::query("UPDATE deployment SET store_epoch = $1 WHERE id = 1").bind(epoch))?;
    tx.finish().await?;
    Ok(epoch)
}
