//! SQL of principals. Soft deletion, updates and verbs all go through `principal_update`.

use kernel::{
    Error, Result,
    audit::Resource as _,
    db::{
        Executor,
        list::{ListQuery, ListSpec, Page, list},
        tx::Tx,
    },
    execute,
    filter::{Field, Value},
    ids::{PrincipalId, Slug, TenantId},
    on,
    page::PageKey,
    stamp::changed_one,
};
use uuid::Uuid;

use super::model::{Principal, PrincipalKind, PrincipalState};
use crate::unit::model::UnitId;

macro_rules! columns {
    () => {
        "principal.scope_id, \
         CASE principal.scope_kind \
           WHEN 'partner' THEN 'partners/' || (SELECT p.slug FROM partner p WHERE p.id = principal.scope_id) \
           WHEN 'tenant' THEN 'tenants/' || (SELECT t.slug FROM tenant t WHERE t.id = principal.scope_id) \
           ELSE '' END AS parent, \
         principal.id, principal.slug, principal.kind, principal.display_name, principal.email, principal.unit_id, \
         (SELECT u.slug FROM unit u WHERE u.tenant_id = principal.scope_id AND u.id = principal.unit_id) AS unit_slug, \
         principal.owner_id, \
         (SELECT o.slug FROM principal o WHERE o.scope_id = principal.scope_id AND o.id = principal.owner_id) AS owner_slug, \
         principal.state, principal.revision, principal.create_time, principal.update_time, principal.delete_time"
    };
}

const LIST: ListSpec = ListSpec {
    name: "principals",
    columns: columns!(),
    from: "principal",
    id: "principal.id",
    fields: &[
        Field::text("principal_id", "principal.slug"),
        Field::text("display_name", "principal.display_name"),
        Field::text("email", "principal.email").unsorted(),
        Field::words("kind", "principal.kind", &PrincipalKind::WORDS),
        Field::words("state", "principal.state", &PrincipalState::WORDS),
        Field::time("create_time", "principal.create_time"),
        Field::time("update_time", "principal.update_time"),
    ],
    order: "create_time",
    deleted: "principal.delete_time",
};

/// Inserts; a taken id or address is `ALREADY_EXISTS`.
pub async fn principal_insert(tx: &mut Tx<'_>, principal: &Principal) -> Result<()> {
    let query = "INSERT INTO principal (scope_id, id, scope_kind, slug, kind, display_name, email, unit_id, owner_id, state, \
         revision, create_time, update_time) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)";
    execute!(
        tx,
        sqlx::query(query)
            .bind(principal.scope_id)
            .bind(principal.id)
            .bind(principal.scope_kind().as_str())
            .bind(&principal.slug)
            .bind(principal.kind.as_str())
            .bind(&principal.display_name)
            .bind(&principal.email)
            .bind(principal.unit_id)
            .bind(principal.owner_id)
            .bind(principal.state.as_str())
            .bind(principal.stamp.revision)
            .bind(principal.stamp.create_time)
            .bind(principal.stamp.update_time)
    )
    .map(|_| ())
    .map_err(|e| taken(e, principal))
}

/// The principal of that id, deleted or not.
pub async fn principal_get(db: &mut impl Executor, scope: Uuid, slug: &Slug) -> Result<Option<Principal>> {
    on!(db, |c| sqlx::query_as(concat!(
        "SELECT ",
        columns!(),
        " FROM principal WHERE scope_id = $1 AND slug = $2"
    ))
    .bind(scope)
    .bind(slug)
    .fetch_optional(c))
}

/// The first principals of a scope by identity, deleted or not.
pub async fn principal_some(db: &mut impl Executor, scope: Uuid, limit: i64) -> Result<Vec<Principal>> {
    on!(db, |c| sqlx::query_as(concat!(
        "SELECT ",
        columns!(),
        " FROM principal WHERE scope_id = $1 ORDER BY principal.id LIMIT $2"
    ))
    .bind(scope)
    .bind(limit)
    .fetch_all(c))
}

/// Writes all that can change, against the revision before.
pub async fn principal_update(tx: &mut Tx<'_>, principal: &Principal) -> Result<()> {
    let query = "UPDATE principal SET display_name = $1, email = $2, unit_id = $3, state = $4, revision = $5, \
         update_time = $6, delete_time = $7 WHERE scope_id = $8 AND id = $9 AND revision = $10";
    let rows = execute!(
        tx,
        sqlx::query(query)
            .bind(&principal.display_name)
            .bind(&principal.email)
            .bind(principal.unit_id)
            .bind(principal.state.as_str())
            .bind(principal.stamp.revision)
            .bind(principal.stamp.update_time)
            .bind(principal.stamp.delete_time)
            .bind(principal.scope_id)
            .bind(principal.id)
            .bind(principal.stamp.revision - 1)
    )
    .map_err(|e| taken(e, principal))?;
    changed_one(rows)
}

/// Keeps a living principal as it is until the transaction ends; `false` when it is deleted.
pub async fn principal_hold(tx: &mut Tx<'_>, scope: Uuid, id: PrincipalId) -> Result<bool> {
    let query =
        "UPDATE principal SET revision = revision WHERE scope_id = $1 AND id = $2 AND delete_time IS NULL";
    Ok(execute!(tx, sqlx::query(query).bind(scope).bind(id))? == 1)
}

/// How many living agents act for the principal.
pub async fn principal_count_owned(db: &mut impl Executor, scope: Uuid, owner: PrincipalId) -> Result<i64> {
    let query =
        "SELECT COUNT(*) FROM principal WHERE scope_id = $1 AND owner_id = $2 AND delete_time IS NULL";
    on!(db, |c| sqlx::query_scalar(query).bind(scope).bind(owner).fetch_one(c))
}

/// How many living principals are in the unit.
pub async fn principal_count_in_unit(db: &mut impl Executor, tenant: TenantId, unit: UnitId) -> Result<i64> {
    let query = "SELECT COUNT(*) FROM principal WHERE scope_id = $1 AND unit_id = $2 AND delete_time IS NULL";
    on!(db, |c| sqlx::query_scalar(query).bind(tenant).bind(unit).fetch_one(c))
}

/// One page of a scope's principals.
pub async fn principal_list(
    db: &mut impl Executor,
    scope: Uuid,
    query: &ListQuery,
    key: &PageKey,
) -> Result<Page<Principal>> {
    list(db, &LIST, &[("principal.scope_id", Value::Id(scope))], query, key).await
}

/// Which of the two unique keys refused. Whose the address is stays untold.
fn taken(error: Error, principal: &Principal) -> Error {
    match error {
        Error::Unique { constraint } if constraint.contains("email") => Error::Exists {
            kind: "principal.email",
            name: principal.email.clone(),
            hint: "another principal of the same parent has this address; give another `email`, or none",
        },
        other => other.on_unique(|| Error::exists("principal", principal.name())),
    }
}

/// Whether the principal holds a duty beyond `member`.
pub async fn principal_is_officer(db: &mut impl Executor, scope: Uuid, slug: &Slug) -> Result<bool> {
    let held: i64 = on!(db, |c| {
        sqlx::query_scalar(
        "SELECT COUNT(*) FROM principal p JOIN duty_grant g ON g.scope_id = p.scope_id AND g.principal_id = p.id \
         WHERE p.scope_id = $1 AND p.slug = $2 AND g.duty <> 'member'"
    )
    .bind(scope)
    .bind(slug)
    .fetch_one(c)
    })?;
    Ok(held > 0)
}

/// Whether nobody else who lives and is active holds the duty of owner or platform administrator that this one holds.
pub async fn principal_is_last_keeper(tx: &mut Tx<'_>, scope: Uuid, id: PrincipalId) -> Result<bool> {
    let alone: i64 = on!(tx, |c| {
        sqlx::query_scalar(
        "SELECT COUNT(*) FROM duty_grant own WHERE own.scope_id = $1 AND own.principal_id = $2 \
            AND own.duty IN ('owner', 'platform_admin') \
            AND NOT EXISTS (SELECT 1 FROM duty_grant g JOIN principal p ON p.scope_id = g.scope_id AND p.id = g.principal_id \
                WHERE g.scope_id = $1 AND g.duty = own.duty AND g.principal_id <> $2 \
                  AND p.state = 'active' AND p.delete_time IS NULL)"
    )
    .bind(scope)
    .bind(id)
    .fetch_one(c)
    })?;
    Ok(alone > 0)
}

/// Makes changes that take keepers away from one scope take turns, so that two cannot both leave the other as the last.
pub async fn keepers_hold(tx: &mut Tx<'_>, scope: Uuid) -> Result<()> {
    let query = "UPDATE principal SET revision = revision WHERE scope_id = $1 AND id IN \
         (SELECT g.principal_id FROM duty_grant g WHERE g.scope_id = $1 AND g.duty IN ('owner', 'platform_admin'))";
    execute!(tx, sqlx::query(query).bind(scope)).map(|_| ())
}
