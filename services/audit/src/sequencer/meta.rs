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
const LOGS: i64 = 200;

/// What a log is called in the meta log: a keyed digest of its scope, 64 hex digits.
pub fn meta_id(kernel: &Kernel, scope: Uuid) -> String {
    hash::hex(&hash::mac(&kernel.key_for("meta log"), scope.as_bytes()))
}

/// Puts every checkpoint that is new since the last time into the meta log's outbox; returns how many.
pub async fn publish(kernel: &Kernel) -> Result<usize> {
    let mut tx = kernel.db.begin_derived();
    let logs = store::log_unpublished(&mut tx, META, LOGS).await?;
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
    Ok(logs.len())
}
