//! SQL of the erasure of a tenant.

use kernel::{Result, clock::Time, db::Executor, execute, ids::TenantId, on};
use sqlx::AssertSqlSafe;
use uuid::Uuid;

use super::{lease::Lease, tables::Table};

/// Deletes some of the tenant's rows of a table; returns how many.
pub async fn row_delete_some(
    db: &mut impl Executor,
    table: &Table,
    tenant: TenantId,
    limit: i64,
) -> Result<u64> {
    let Table { name, owner, rest } = table;
    let query = format!(
        "DELETE FROM {name} WHERE {owner} = $1 AND ({rest}) IN \
         (SELECT {rest} FROM {name} WHERE {owner} = $1 ORDER BY {rest} LIMIT $2)"
    );
    execute!(db, sqlx::query(AssertSqlSafe(query.clone())).bind(tenant).bind(limit))
}

/// How many rows of a table are the tenant's.
pub async fn row_count(db: &mut impl Executor, table: &str, owner: &str, tenant: TenantId) -> Result<i64> {
    let query = format!("SELECT COUNT(*) FROM {table} WHERE {owner} = $1");
    on!(db, |c| sqlx::query_scalar(AssertSqlSafe(query.clone())).bind(tenant).fetch_one(c))
}

/// Lets some units have no parent, so that they can go in any order; returns how many.
pub async fn unit_unlink_some(db: &mut impl Executor, tenant: TenantId, limit: i64) -> Result<u64> {
    let query = "UPDATE unit SET parent_id = NULL WHERE tenant_id = $1 AND id IN \
         (SELECT id FROM unit WHERE tenant_id = $1 AND parent_id IS NOT NULL ORDER BY id LIMIT $2)";
    execute!(db, sqlx::query(query).bind(tenant).bind(limit))
}

/// Deletes a principal.
pub async fn principal_delete(db: &mut impl Executor, tenant: TenantId, id: Uuid) -> Result<u64> {
    let query = "DELETE FROM principal WHERE scope_id = $1 AND id = $2";
    execute!(db, sqlx::query(query).bind(tenant).bind(id))
}

/// Destroys some keys that are left; returns how many.
pub async fn subject_key_destroy_some(
    db: &mut impl Executor,
    tenant: TenantId,
    now: Time,
    limit: i64,
) -> Result<u64> {
    let query = "UPDATE subject_key SET wrapped = NULL, destroy_time = $1 WHERE scope_id = $2 AND id IN \
         (SELECT id FROM subject_key WHERE scope_id = $2 AND destroy_time IS NULL ORDER BY id LIMIT $3)";
    execute!(db, sqlx::query(query).bind(now).bind(tenant).bind(limit))
}

/// Who erases a tenant.
pub async fn lease_get(db: &mut impl Executor, tenant: TenantId) -> Result<Option<Lease>> {
    let query = "SELECT holder, fence, lease_until FROM tenant_erasure WHERE tenant_id = $1";
    on!(db, |c| sqlx::query_as(query).bind(tenant).fetch_optional(c))
}

/// Makes a lease that nobody has; one that is there stays.
pub async fn lease_insert(db: &mut impl Executor, tenant: TenantId) -> Result<()> {
    let query = "INSERT INTO tenant_erasure (tenant_id, holder, fence, lease_until) VALUES ($1, $2, 0, 0) \
         ON CONFLICT (tenant_id) DO NOTHING";
    execute!(db, sqlx::query(query).bind(tenant).bind(Uuid::nil())).map(|_| ())
}

/// Takes, renews or gives back the lease that stands at `seen`. Returns 0 when somebody else was faster.
pub async fn lease_put(db: &mut impl Executor, tenant: TenantId, seen: i64, lease: &Lease) -> Result<u64> {
    let query = "UPDATE tenant_erasure SET holder = $1, fence = $2, lease_until = $3 \
         WHERE tenant_id = $4 AND fence = $5";
    let Lease { holder, fence, lease_until } = *lease;
    execute!(db, sqlx::query(query).bind(holder).bind(fence).bind(lease_until).bind(tenant).bind(seen))
}

/// Ends the lease for good. Returns 0 when it is another's.
pub async fn lease_delete(db: &mut impl Executor, tenant: TenantId, holder: Uuid) -> Result<u64> {
    let query = "DELETE FROM tenant_erasure WHERE tenant_id = $1 AND holder = $2";
    execute!(db, sqlx::query(query).bind(tenant).bind(holder))
}
