//! SQL that folding reads: the log, its outbox, and what pruning left of what it removed.

use kernel::{Result, clock::Time, db::Executor, error::Error, execute, on};
use uuid::Uuid;

use super::Fold;

/// Bytes of one part of a snapshot.
const PART: usize = 256 * 1024;

/// The entries of acts that can change the state: they are canonical, so `act` comes first.
macro_rules! of_acts {
    ($($from:literal .. $to:literal),+ $(,)?) => {
        concat!("(1 = 0", $(" OR (entry >= '{\"act\":\"", $from, "' AND entry < '{\"act\":\"", $to, "')"),+, ")")
    };
}

macro_rules! acts {
    () => {
        of_acts!(
            "audit.agreement".."audit.agreement~",
            "audit.divergence".."audit.divergence~",
            "bootstrap.".."bootstrap/",
            "connector_binding.".."connector_binding/",
            "duty.".."duty/",
            "entitlement.".."entitlement/",
            "erasure.".."erasure/",
            "group.".."group/",
            "plugin.".."plugin/",
            "plugin_group.".."plugin_group/",
            "principal.".."principal/",
            "privacy.".."privacy/",
            "role.".."role/",
            "stage_override.".."stage_override/",
            "seat_pool.".."seat_pool/",
            "tenant.".."tenant/",
        )
    };
}

/// Entries that can change the state, at the indexes `from` to `stop`, exclusive, up to the time `until`.
pub async fn event_texts(
    db: &mut impl Executor,
    scope: Uuid,
    from: i64,
    stop: i64,
    until: Option<Time>,
) -> Result<Vec<String>> {
    let query = concat!(
        "SELECT entry FROM audit_event WHERE scope_id = $1 AND idx >= $2 AND idx < $3 AND time <= $4 AND ",
        acts!(),
        " ORDER BY idx"
    );
    let until = until.map_or(i64::MAX, Time::micros);
    on!(db, |c| sqlx::query_scalar(query).bind(scope).bind(from).bind(stop).bind(until).fetch_all(c))
}

/// Entries that can change the state and wait for their index, after the event `after`, with their identities.
pub async fn pending_texts(
    db: &mut impl Executor,
    scope: Uuid,
    after: Uuid,
    limit: i64,
) -> Result<Vec<(Uuid, String)>> {
    let query = concat!(
        "SELECT id, entry FROM audit_pending WHERE scope_id = $1 AND id > $2 AND ",
        acts!(),
        " ORDER BY id LIMIT $3"
    );
    on!(db, |c| sqlx::query_as(query).bind(scope).bind(after).bind(limit).fetch_all(c))
}

/// How far a log is sequenced; 0 for one without events.
pub async fn size(db: &mut impl Executor, scope: Uuid) -> Result<i64> {
    let query = "SELECT size FROM audit_log WHERE scope_id = $1";
    let size: Option<i64> = on!(db, |c| sqlx::query_scalar(query).bind(scope).fetch_optional(c))?;
    Ok(size.unwrap_or(0))
}

/// What pruning left of the events that it removed.
pub async fn snapshot_get(db: &mut impl Executor, scope: Uuid) -> Result<Option<Fold>> {
    let query = "SELECT idx, state FROM audit_snapshot WHERE scope_id = $1 ORDER BY part";
    let parts: Vec<(i64, String)> = on!(db, |c| sqlx::query_as(query).bind(scope).fetch_all(c))?;
    let Some((next, _)) = parts.first() else { return Ok(None) };
    let text: String = parts.iter().map(|(_, part)| part.as_str()).collect();
    let state = serde_json::from_str(&text).map_err(Error::internal)?;
    Ok(Some(Fold { next: *next, state }))
}

/// Puts a fold in the place of the one that is kept.
pub async fn snapshot_put(db: &mut impl Executor, scope: Uuid, fold: &Fold) -> Result<()> {
    execute!(db, sqlx::query("DELETE FROM audit_snapshot WHERE scope_id = $1").bind(scope))?;
    let text = serde_json::to_string(&fold.state).map_err(Error::internal)?;
    for (part, state) in (0_i64..).zip(parts(&text)) {
        let query = "INSERT INTO audit_snapshot (scope_id, part, idx, state) VALUES ($1, $2, $3, $4)";
        execute!(db, sqlx::query(query).bind(scope).bind(part).bind(fold.next).bind(state))?;
    }
    Ok(())
}

/// Pieces of at most [`PART`] bytes, cut between characters.
fn parts(text: &str) -> Vec<&str> {
    let (mut parts, mut rest) = (Vec::new(), text);
    while !rest.is_empty() {
        let (part, more) = rest.split_at(rest.floor_char_boundary(PART.min(rest.len())));
        parts.push(part);
        rest = more;
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_between_characters_and_nothing_is_lost() {
        let text = "ä€x".repeat(100_000);
        let cut = parts(&text);
        assert!(cut.len() > 2 && cut.iter().all(|p| p.len() <= PART));
        assert_eq!(cut.concat(), text);
        assert!(parts("").is_empty());
    }

    #[test]
    fn acts_that_change_state_are_chosen_by_their_first_bytes() {
        let sql = acts!();
        assert!(sql.contains(r#"entry >= '{"act":"role.' AND entry < '{"act":"role/'"#), "{sql}");
    }
}
