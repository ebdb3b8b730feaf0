//! SQL of adoption.

use kernel::{Result, clock::Time, db::Executor, ids::TenantId, on};
use uuid::Uuid;

use super::since::{Rule, Seat, Step};

/// Somebody of a tenant who lives.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct Person {
    /// Identity.
    pub id: Uuid,
    /// Last segment of the name.
    pub slug: String,
    /// Since when there is such a principal.
    pub create_time: Time,
}

/// Everybody who lives, by name.
pub async fn person_list(db: &mut impl Executor, tenant: TenantId) -> Result<Vec<Person>> {
    let query = "SELECT id, slug, create_time FROM principal WHERE scope_id = $1 AND delete_time IS NULL ORDER BY slug";
    on!(db, |c| sqlx::query_as(query).bind(tenant).fetch_all(c))
}

/// With whom an assistant told of which plugin of the catalogue first when.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct Sighted {
    /// With whom.
    pub principal_id: Uuid,
    /// Last segment of the marketplace's name.
    pub marketplace: String,
    /// Last segment of the plugin's name.
    pub plugin: String,
    /// When first.
    pub first_time: Time,
}

/// First sightings of listed plugins with principals.
pub async fn sighted_list(db: &mut impl Executor, tenant: TenantId) -> Result<Vec<Sighted>> {
    let query = "SELECT s.principal_id, m.slug AS marketplace, c.slug AS plugin, MIN(s.first_time) AS first_time \
         FROM plugin_sighting s JOIN plugin c ON c.telemetry_hash = s.plugin_hash AND c.delete_time IS NULL \
         JOIN marketplace m ON m.id = c.marketplace_id WHERE s.tenant_id = $1 GROUP BY s.principal_id, m.slug, c.slug";
    on!(db, |c| sqlx::query_as(query).bind(tenant).fetch_all(c))
}

/// The first day that has a sum of a meter.
pub async fn rollup_first_day(db: &mut impl Executor, tenant: TenantId, meter: &str) -> Result<Option<Time>> {
    let query = "SELECT MIN(bucket) FROM usage_rollup WHERE tenant_id = $1 AND meter = $2 AND version = 1 AND level = 'total_day'";
    on!(db, |c| sqlx::query_scalar(query).bind(tenant).bind(meter).fetch_one(c))
}

/// Which living role is held by whom or by which living group: (role, holder).
pub async fn role_step_list(db: &mut impl Executor, tenant: TenantId) -> Result<Vec<Step>> {
    let query = "SELECT m.member_id AS from_id, m.role_id AS to_id, m.create_time AS since FROM role_member m \
         JOIN role r ON r.tenant_id = m.tenant_id AND r.id = m.role_id AND r.delete_time IS NULL \
         WHERE m.tenant_id = $1";
    on!(db, |c| sqlx::query_as(query).bind(tenant).fetch_all(c))
}

/// Who is in which living group.
pub async fn group_step_list(db: &mut impl Executor, tenant: TenantId) -> Result<Vec<Step>> {
    let query = "SELECT m.principal_id AS from_id, m.group_id AS to_id, m.create_time AS since FROM group_member m \
         JOIN principal_group g ON g.tenant_id = m.tenant_id AND g.id = m.group_id AND g.delete_time IS NULL \
         WHERE m.tenant_id = $1";
    on!(db, |c| sqlx::query_as(query).bind(tenant).fetch_all(c))
}

/// Which living role takes in which other.
pub async fn inclusion_step_list(db: &mut impl Executor, tenant: TenantId) -> Result<Vec<Step>> {
    let query = "SELECT n.role_id AS from_id, n.included_id AS to_id, n.create_time AS since FROM role_inclusion n \
         JOIN role i ON i.tenant_id = n.tenant_id AND i.id = n.included_id AND i.delete_time IS NULL \
         WHERE n.tenant_id = $1";
    on!(db, |c| sqlx::query_as(query).bind(tenant).fetch_all(c))
}

/// Rules that allow whole plugins. What is allowed of a single app or skill entitles to no plugin.
pub async fn rule_since_list(db: &mut impl Executor, tenant: TenantId) -> Result<Vec<Rule>> {
    let query = "SELECT e.role_id, e.seat_pool_id, \
         CASE WHEN e.not_before IS NOT NULL AND e.not_before > e.create_time THEN e.not_before ELSE e.create_time END AS since \
         FROM entitlement e WHERE e.tenant_id = $1 AND e.effect <> 'denied' AND e.app IS NULL AND e.skill IS NULL";
    on!(db, |c| sqlx::query_as(query).bind(tenant).fetch_all(c))
}

/// Who holds a seat of which living pool.
pub async fn seat_since_list(db: &mut impl Executor, tenant: TenantId) -> Result<Vec<Seat>> {
    let query = "SELECT h.seat_pool_id, h.principal_id, h.create_time AS since FROM seat_holder h \
         JOIN seat_pool p ON p.tenant_id = h.tenant_id AND p.id = h.seat_pool_id AND p.delete_time IS NULL \
         WHERE h.tenant_id = $1";
    on!(db, |c| sqlx::query_as(query).bind(tenant).fetch_all(c))
}
