//! SQL of duty grants.

use kernel::{
    Result,
    authz::Duty,
    clock::Time,
    db::{
        Executor,
        list::{ListQuery, ListSpec, Page, list},
        tx::Tx,
    },
    error::Error,
    execute,
    filter::{Field, Value},
    ids::{PrincipalId, Slug},
    on,
    page::PageKey,
    scope::Scope,
};
use uuid::Uuid;

use super::model::DutyGrant;

macro_rules! columns {
    () => {
        "g.id, g.principal_id, p.slug AS principal_slug, g.duty, g.create_time"
    };
}
macro_rules! tables {
    () => {
        "duty_grant g JOIN principal p ON p.scope_id = g.scope_id AND p.id = g.principal_id"
    };
}

const DUTIES: &[&str] = &[
    "platform_admin",
    "platform_auditor",
    "partner_admin",
    "consultant",
    "owner",
    "admin",
    "compliance",
    "finance",
    "approver",
    "member",
];

const LIST: ListSpec = ListSpec {
    name: "duty grants",
    columns: columns!(),
    from: tables!(),
    id: "g.id",
    fields: &[
        Field::words("duty", "g.duty", DUTIES),
        Field::text("principal_id", "p.slug").unsorted(),
        Field::time("create_time", "g.create_time"),
    ],
    order: "create_time",
    deleted: "",
};

/// A grant as stored; its names come from the scope.
#[derive(sqlx::FromRow)]
struct GrantRow {
    id: Uuid,
    principal_id: PrincipalId,
    principal_slug: Slug,
    duty: String,
    create_time: Time,
}

impl GrantRow {
    fn in_scope(self, scope: &Scope) -> Result<DutyGrant> {
        let duty = Duty::parse(&self.duty).ok_or_else(|| Error::internal("unknown duty in the database"))?;
        DutyGrant::create(scope, self.principal_id, &self.principal_slug, duty, self.id, self.create_time)
    }
}

/// Inserts a grant; the same duty twice is ALREADY_EXISTS.
pub async fn grant_insert(tx: &mut Tx<'_>, grant: &DutyGrant) -> Result<()> {
    let query = "INSERT INTO duty_grant (scope_id, id, scope_kind, principal_id, duty, create_time) \
         VALUES ($1, $2, $3, $4, $5, $6)";
    execute!(
        tx,
        sqlx::query(query)
            .bind(grant.scope_id)
            .bind(grant.id)
            .bind(grant.scope_kind.as_str())
            .bind(grant.principal_id)
            .bind(grant.duty.as_str())
            .bind(grant.create_time)
    )
    .map(|_| ())
    .map_err(|e| {
        e.on_unique(|| Error::Exists {
            kind: "duty grant",
            name: format!("{} of {}", grant.duty.as_str(), grant.principal),
            hint: "there is nothing to do",
        })
    })
}

/// A grant of the scope.
pub async fn grant_get(db: &mut impl Executor, scope: &Scope, id: Uuid) -> Result<Option<DutyGrant>> {
    let row: Option<GrantRow> = on!(db, |c| sqlx::query_as(concat!(
        "SELECT ",
        columns!(),
        " FROM ",
        tables!(),
        " WHERE g.scope_id = $1 AND g.id = $2"
    ))
    .bind(scope.id())
    .bind(id)
    .fetch_optional(c))?;
    row.map(|r| r.in_scope(scope)).transpose()
}

/// Deletes a grant; returns how many rows that were.
pub async fn grant_delete(tx: &mut Tx<'_>, grant: &DutyGrant) -> Result<u64> {
    let query = "DELETE FROM duty_grant WHERE scope_id = $1 AND id = $2";
    execute!(tx, sqlx::query(query).bind(grant.scope_id).bind(grant.id))
}

/// Living, active holders of a duty in a scope.
pub async fn holder_count(db: &mut impl Executor, scope: Uuid, duty: Duty) -> Result<i64> {
    on!(db, |c| {
        sqlx::query_scalar(
        "SELECT COUNT(*) FROM duty_grant g JOIN principal p ON p.scope_id = g.scope_id AND p.id = g.principal_id \
         WHERE g.scope_id = $1 AND g.duty = $2 AND p.delete_time IS NULL AND p.state = 'active'"
    )
    .bind(scope)
    .bind(duty.as_str())
    .fetch_one(c)
    })
}

/// Grants of a duty in a scope, whatever became of their holders.
pub async fn grant_count(db: &mut impl Executor, scope: Uuid, duty: Duty) -> Result<i64> {
    on!(db, |c| sqlx::query_scalar("SELECT COUNT(*) FROM duty_grant WHERE scope_id = $1 AND duty = $2")
        .bind(scope)
        .bind(duty.as_str())
        .fetch_one(c))
}

/// Duties of one principal.
pub async fn duties_of(db: &mut impl Executor, scope: Uuid, principal: PrincipalId) -> Result<Vec<Duty>> {
    let rows: Vec<(String,)> = on!(db, |c| sqlx::query_as(
        "SELECT duty FROM duty_grant WHERE scope_id = $1 AND principal_id = $2 ORDER BY duty"
    )
    .bind(scope)
    .bind(principal)
    .fetch_all(c))?;
    Ok(rows.iter().filter_map(|(d,)| Duty::parse(d)).collect())
}

/// Makes changes of one scope's grants take turns, so that two revocations cannot both leave the other as the last.
pub async fn scope_lock(tx: &mut Tx<'_>, scope: &Scope) -> Result<()> {
    let query = match scope {
        Scope::Platform => "UPDATE deployment SET create_time = create_time WHERE id = 1 OR $1 IS NULL",
        Scope::Partner(_) => "UPDATE partner SET update_time = update_time WHERE id = $1",
        Scope::Tenant(_) => "UPDATE tenant SET update_time = update_time WHERE id = $1",
    };
    execute!(tx, sqlx::query(query).bind(scope.id())).map(|_| ())
}

/// Grants of the scope.
pub async fn grant_list(
    db: &mut impl Executor,
    scope: &Scope,
    query: &ListQuery,
    key: &PageKey,
) -> Result<Page<DutyGrant>> {
    let keys = [("g.scope_id", Value::Id(scope.id()))];
    let page: Page<GrantRow> = list(db, &LIST, &keys, query, key).await?;
    let items: Result<Vec<_>> = page.items.into_iter().map(|r| r.in_scope(scope)).collect();
    Ok(Page { items: items?, next_page_token: page.next_page_token })
}
