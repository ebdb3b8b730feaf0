//! SQL of retention, holds, erasure and pruning.

use kernel::{
    Error, Result,
    audit::{Resource as _, sealed::ERASED, subject::Subject},
    clock::Time,
    db::{
        Executor,
        list::{ListQuery, ListSpec, Page, list},
        tx::Tx,
    },
    execute,
    filter::{Field, Value},
    ids::{PartnerId, PrincipalId, Slug},
    on,
    page::PageKey,
    scope::{PartnerRef, Scope, TenantRef},
    stamp::changed_one,
};
use uuid::Uuid;

use super::model::LegalHold;

macro_rules! columns {
    () => {
        "legal_hold.scope_id, \
         COALESCE((SELECT 'tenants/' || t.slug FROM tenant t WHERE t.id = legal_hold.scope_id), \
                  (SELECT 'partners/' || p.slug FROM partner p WHERE p.id = legal_hold.scope_id), '') AS parent, \
         legal_hold.id, legal_hold.slug, legal_hold.reason, legal_hold.principal_id, \
         (SELECT p.slug FROM principal p WHERE p.scope_id = legal_hold.scope_id AND p.id = legal_hold.principal_id) \
            AS principal_slug, \
         legal_hold.revision, legal_hold.create_time, legal_hold.update_time, legal_hold.release_time"
    };
}

const HOLDS: ListSpec = ListSpec {
    name: "legal holds",
    columns: columns!(),
    from: "legal_hold",
    id: "legal_hold.id",
    fields: &[
        Field::text("legal_hold_id", "legal_hold.slug"),
        Field::time("create_time", "legal_hold.create_time"),
        Field::time("release_time", "legal_hold.release_time").unsorted(),
    ],
    order: "create_time",
    deleted: "",
};

/// An event as far as pruning looks at it.
#[derive(Debug, sqlx::FromRow)]
pub struct Aged {
    /// When it happened.
    pub time: Time,
    /// Its bytes.
    pub entry: String,
}

/// Makes those who take something out of a log, and those who hold it against them, take turns.
pub async fn log_lock(tx: &mut impl Executor, scope: Uuid) -> Result<()> {
    let query = "UPDATE audit_log SET minimum_index = minimum_index WHERE scope_id = $1";
    execute!(tx, sqlx::query(query).bind(scope)).map(|_| ())
}

/// Days by class, where they were set.
pub async fn retention_list(db: &mut impl Executor, scope: Uuid) -> Result<Vec<(String, i64)>> {
    let query = "SELECT event_class, days FROM audit_retention WHERE scope_id = $1";
    on!(db, |c| sqlx::query_as(query).bind(scope).fetch_all(c))
}

/// Sets the days of a class.
pub async fn retention_put(tx: &mut Tx<'_>, scope: Uuid, class: &str, days: i64) -> Result<()> {
    let query = "INSERT INTO audit_retention (scope_id, event_class, days) VALUES ($1, $2, $3) \
         ON CONFLICT (scope_id, event_class) DO UPDATE SET days = excluded.days";
    execute!(tx, sqlx::query(query).bind(scope).bind(class).bind(days)).map(|_| ())
}

/// Inserts; a taken id is `ALREADY_EXISTS`.
pub async fn hold_insert(tx: &mut Tx<'_>, hold: &LegalHold) -> Result<()> {
    let query = "INSERT INTO legal_hold (scope_id, id, slug, reason, principal_id, revision, create_time, update_time) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
    execute!(
        tx,
        sqlx::query(query)
            .bind(hold.scope_id)
            .bind(hold.id)
            .bind(&hold.slug)
            .bind(&hold.reason)
            .bind(hold.principal_id)
            .bind(hold.revision)
            .bind(hold.create_time)
            .bind(hold.update_time)
    )
    .map(|_| ())
    .map_err(|e| e.on_unique(|| Error::exists("legal hold", hold.name())))
}

/// The hold of that id, released or not.
pub async fn hold_get(db: &mut impl Executor, scope: Uuid, slug: &Slug) -> Result<Option<LegalHold>> {
    on!(db, |c| sqlx::query_as(concat!(
        "SELECT ",
        columns!(),
        " FROM legal_hold WHERE legal_hold.scope_id = $1 AND legal_hold.slug = $2"
    ))
    .bind(scope)
    .bind(slug)
    .fetch_optional(c))
}

/// Releases, against the revision before.
pub async fn hold_release(tx: &mut Tx<'_>, hold: &LegalHold) -> Result<()> {
    let query = "UPDATE legal_hold SET revision = $1, update_time = $2, release_time = $3 \
         WHERE scope_id = $4 AND id = $5 AND revision = $6";
    changed_one(execute!(
        tx,
        sqlx::query(query)
            .bind(hold.revision)
            .bind(hold.update_time)
            .bind(hold.release_time)
            .bind(hold.scope_id)
            .bind(hold.id)
            .bind(hold.revision - 1)
    )?)
}

/// One page of a scope's holds.
pub async fn hold_list(
    db: &mut impl Executor,
    scope: Uuid,
    query: &ListQuery,
    key: &PageKey,
) -> Result<Page<LegalHold>> {
    list(db, &HOLDS, &[("legal_hold.scope_id", Value::Id(scope))], query, key).await
}

/// The holds of a scope that stand, the oldest first.
pub async fn hold_standing(db: &mut impl Executor, scope: Uuid) -> Result<Vec<LegalHold>> {
    on!(db, |c| sqlx::query_as(concat!(
        "SELECT ",
        columns!(),
        " FROM legal_hold WHERE legal_hold.scope_id = $1 AND legal_hold.release_time IS NULL \
         ORDER BY legal_hold.create_time, legal_hold.id"
    ))
    .bind(scope)
    .fetch_all(c))
}

/// Ids of the keys of those who are held.
pub async fn hold_key_list(db: &mut impl Executor, scope: Uuid) -> Result<Vec<Uuid>> {
    let query = "SELECT k.id FROM subject_key k WHERE k.scope_id = $1 AND k.principal_id IN \
         (SELECT h.principal_id FROM legal_hold h WHERE h.scope_id = $1 AND h.release_time IS NULL) ORDER BY k.id";
    on!(db, |c| sqlx::query_scalar(query).bind(scope).fetch_all(c))
}

/// Blanks the reasons of the holds that were about a person.
pub async fn hold_reason_erase(tx: &mut Tx<'_>, scope: Uuid, principal: PrincipalId) -> Result<()> {
    let query = "UPDATE legal_hold SET reason = $1 WHERE scope_id = $2 AND principal_id = $3";
    execute!(tx, sqlx::query(query).bind(ERASED).bind(scope).bind(principal)).map(|_| ())
}

/// Every saved search of a scope: its identity, what it is called, its filter.
pub async fn saved_search_texts(tx: &mut impl Executor, scope: Uuid) -> Result<Vec<(Uuid, String, String)>> {
    let query = "SELECT id, display_name, filter FROM saved_search WHERE scope_id = $1 ORDER BY id";
    on!(tx, |c| sqlx::query_as(query).bind(scope).fetch_all(c))
}

/// Deletes a saved search.
pub async fn saved_search_delete(tx: &mut impl Executor, scope: Uuid, id: Uuid) -> Result<()> {
    let query = "DELETE FROM saved_search WHERE scope_id = $1 AND id = $2";
    execute!(tx, sqlx::query(query).bind(scope).bind(id)).map(|_| ())
}

/// Forgets the first results of all calls in a scope.
pub async fn request_result_delete_all(tx: &mut Tx<'_>, scope: Uuid) -> Result<()> {
    execute!(tx, sqlx::query("DELETE FROM request_result WHERE scope_id = $1").bind(scope)).map(|_| ())
}

/// Gives a person without a key one that was never there.
pub async fn subject_key_insert_destroyed(
    tx: &mut impl Executor,
    subject: Subject,
    id: Uuid,
    now: Time,
) -> Result<()> {
    let query = "INSERT INTO subject_key (scope_id, id, principal_id, create_time, destroy_time) VALUES ($1, $2, $3, $4, $4) \
         ON CONFLICT (scope_id, principal_id) DO NOTHING";
    execute!(tx, sqlx::query(query).bind(subject.scope).bind(id).bind(subject.principal).bind(now))
        .map(|_| ())
}

/// The key that a person has, destroyed or not.
pub async fn subject_key_get(tx: &mut impl Executor, subject: Subject) -> Result<Uuid> {
    let query = "SELECT id FROM subject_key WHERE scope_id = $1 AND principal_id = $2";
    on!(tx, |c| sqlx::query_scalar(query).bind(subject.scope).bind(subject.principal).fetch_one(c))
}

/// A partner's tenants, deleted or not.
pub async fn client_list(db: &mut impl Executor, partner: PartnerId) -> Result<Vec<Uuid>> {
    let query = "SELECT id FROM tenant WHERE partner_id = $1 ORDER BY id";
    on!(db, |c| sqlx::query_scalar(query).bind(partner).fetch_all(c))
}

/// The logs that there are.
pub async fn log_list(db: &mut impl Executor) -> Result<Vec<Uuid>> {
    on!(db, |c| sqlx::query_scalar("SELECT scope_id FROM audit_log ORDER BY scope_id").fetch_all(c))
}

/// Moves the minimum index, under the log's lock. Returns 0 when it is not at `old` any more or `new` is not signed.
pub async fn log_prune(tx: &mut Tx<'_>, scope: Uuid, old: i64, new: i64) -> Result<u64> {
    let query = "UPDATE audit_log SET minimum_index = $1 WHERE scope_id = $2 AND minimum_index = $3 AND signed_size >= $1";
    execute!(tx, sqlx::query(query).bind(new).bind(scope).bind(old))
}

/// Events from `first` to before `end`.
pub async fn event_range(db: &mut impl Executor, scope: Uuid, first: i64, end: i64) -> Result<Vec<Aged>> {
    let query =
        "SELECT time, entry FROM audit_event WHERE scope_id = $1 AND idx >= $2 AND idx < $3 ORDER BY idx";
    on!(db, |c| sqlx::query_as(query).bind(scope).bind(first).bind(end).fetch_all(c))
}

/// The lowest index that is still stored.
pub async fn event_first(db: &mut impl Executor, scope: Uuid) -> Result<Option<i64>> {
    let query = "SELECT idx FROM audit_event WHERE scope_id = $1 ORDER BY idx LIMIT 1";
    on!(db, |c| sqlx::query_scalar(query).bind(scope).fetch_optional(c))
}

/// Deletes the events below `end`.
pub async fn event_delete(db: &mut impl Executor, scope: Uuid, end: i64) -> Result<()> {
    let query = "DELETE FROM audit_event WHERE scope_id = $1 AND idx < $2";
    execute!(db, sqlx::query(query).bind(scope).bind(end)).map(|_| ())
}

/// The scope of a log by its identity, deleted or not; none for a log that is no scope's.
pub async fn scope_get(db: &mut impl Executor, id: Uuid) -> Result<Option<Scope>> {
    if id.is_nil() {
        return Ok(Some(Scope::Platform));
    }
    let query = "SELECT t.id AS tenant_id, t.slug AS tenant_slug, \
         CASE WHEN t.erasure IN ('running', 'stopped', 'done') THEN 'erased' ELSE t.state END AS state, p.id AS partner_id, p.slug AS partner_slug \
         FROM tenant t JOIN partner p ON p.id = t.partner_id WHERE t.id = $1";
    let tenant: Option<TenantRef> = on!(db, |c| sqlx::query_as(query).bind(id).fetch_optional(c))?;
    if let Some(tenant) = tenant {
        return Ok(Some(Scope::Tenant(tenant)));
    }
    let query = "SELECT id AS partner_id, slug AS partner_slug FROM partner WHERE id = $1";
    let partner: Option<PartnerRef> = on!(db, |c| sqlx::query_as(query).bind(id).fetch_optional(c))?;
    Ok(partner.map(Scope::Partner))
}
