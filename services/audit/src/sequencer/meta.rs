//! The deployment's meta log: what each log signed and when, under ids that say nothing. Only its checkpoints go to outside
//! witnesses, so that neither names nor volumes of tenants leak; a tenant that knows its own id finds its checkpoints in it.

use kernel::{
    Kernel, Result,
    audit::class_of,
    authz::{Action, Class},
    error::Error,
    hash,
};
use serde_json::json;
use uuid::Uuid;

use super::store;

/// Scope of the meta log. No partner or tenant can have it: theirs are UUIDv7.
pub const META: Uuid = Uuid::from_u128(1);
/// Of the process itself, in the meta log alone; no RPC asks for it.
pub(crate) const PUBLISH: Action =
    Action { rpc: "", noun: "checkpoint", verb: "publish", class: Class::Write, scopes: &[] };
/// Logs in one transaction.
pub const LOGS: i64 = 200;

/// What a log is called in the meta log: a keyed digest of its scope, 64 hex digits.
pub fn meta_id(kernel: &Kernel, scope: Uuid) -> String {
    hash::hex(&hash::mac(&kernel.key_for("meta log"), scope.as_bytes()))
}

/// Puts every checkpoint that is new since the last time into the meta log's outbox, `most` logs in one transaction; returns
/// how many. It goes once through all logs, in the order of their scopes: of many that sign all the time, none waits for others.
pub async fn publish(kernel: &Kernel, most: i64) -> Result<usize> {
    let (mut published, mut from) = (0, Uuid::nil());
    loop {
        let logs = publish_some(kernel, from, most).await?;
        published += logs.len();
        match logs.last().and_then(|last| last.as_u128().checked_add(1)) {
            Some(next) if i64::try_from(logs.len()) == Ok(most) => from = Uuid::from_u128(next),
            _ => return Ok(published),
        }
    }
}

/// One transaction of it, with the first logs from the scope `from` on; returns their scopes.
async fn publish_some(kernel: &Kernel, from: Uuid, most: i64) -> Result<Vec<Uuid>> {
    let mut tx = kernel.db.begin_derived();
    let logs = store::log_unpublished(&mut tx, (META, from), most).await?;
    for log in &logs {
        let now = kernel.clock.now();
        let id = kernel.ids.new_id(now);
        let entry = json!({
            "v": 1, "id": id, "t": now, "log": "meta", "act": PUBLISH.name(), "out": "ok", "cls": class_of(&PUBLISH),
            "actor": {"k": "system", "id": Uuid::nil(), "p": "system"},
            "tgt": [{"k": "log", "id": meta_id(kernel, log.scope_id)}],
            "chg": [{"f": "/checkpoint", "o": null, "n": {
                "size": log.signed_size,
                "sha256": hash::hex(&hash::sha256(log.checkpoint.as_bytes())),
            }}],
        });
        let entry = serde_json_canonicalizer::to_string(&entry).map_err(Error::internal)?;
        store::pending_insert(&mut tx, META, id, &entry).await?;
        if store::log_published(&mut tx, log.scope_id, log.published_size, log.signed_size).await? == 0 {
            return Err(Error::Conflict);
        }
    }
    if !logs.is_empty() {
        tx.finish().await?;
    }
    Ok(logs.into_iter().map(|log| log.scope_id).collect())
}
