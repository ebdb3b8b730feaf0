//! Entries with their sealed values opened.

use std::collections::{HashMap, HashSet};

use kernel::{Kernel, Result, audit::subject::KeyId, db::Executor, error::Error};
use serde_json::Value;
use uuid::Uuid;

use super::{
    filter::Filter,
    model::{Opened, Row, erase, keys},
    store,
};

/// An entry as recorded, and the same as far as it can be opened.
pub async fn opened(kernel: &Kernel, db: &mut impl Executor, entry: &str) -> Result<(Value, Value)> {
    opened_but(kernel, db, entry, &HashSet::new()).await
}

/// The same; what is sealed with one of `erased` is not opened, even if this process still has the key.
pub(super) async fn opened_but(
    kernel: &Kernel,
    db: &mut impl Executor,
    entry: &str,
    erased: &HashSet<KeyId>,
) -> Result<(Value, Value)> {
    // an entry that is not readable shows as empty: its bytes are still there to look at
    let sealed: Value = serde_json::from_str(entry).unwrap_or_default();
    let mut opened = sealed.clone();
    erase(&mut opened, erased);
    if !keys(&opened).is_empty()
        && let Err(error) = kernel.subjects.open(db, &mut opened).await
    {
        // one altered seal must not hide the rest of the log
        if !matches!(error, Error::Internal { .. }) {
            return Err(error);
        }
        tracing::error!(%error, id = sealed.get("id").and_then(serde_json::Value::as_str), "a sealed value of an audit event");
    }
    Ok((sealed, opened))
}

/// Puts [`ERASED`](kernel::audit::sealed::ERASED) in the place of what no key opens any more; the rest stays sealed.
pub async fn name_erased(db: &mut impl Executor, entries: &mut [Value]) -> Result<()> {
    let mut scopes: HashMap<Uuid, Vec<Uuid>> = HashMap::new();
    for key in entries.iter().flat_map(keys).collect::<HashSet<_>>() {
        scopes.entry(key.scope).or_default().push(key.key);
    }
    let mut erased = HashSet::new();
    for (scope, keys) in scopes {
        let destroyed = store::key_destroyed(db, scope, &keys).await?;
        erased.extend(destroyed.into_iter().map(|key| KeyId { scope, key }));
    }
    if !erased.is_empty() {
        for entry in entries {
            erase(entry, &erased);
        }
    }
    Ok(())
}

/// Opens an event; none when it does not match.
pub async fn matching(
    kernel: &Kernel,
    db: &mut impl Executor,
    filter: &Filter,
    row: Row,
) -> Result<Option<Opened>> {
    let (_, entry) = opened(kernel, db, &row.entry).await?;
    Ok(filter.matches(&entry, row.time).then_some(Opened { row, entry }))
}
