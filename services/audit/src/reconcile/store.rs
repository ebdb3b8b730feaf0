//! SQL of the comparison: the tables as they are, row by row, in the order of their names.

use futures::TryStreamExt as _;
use kernel::{Result, clock::Time, db::Executor, on};
use serde::Serialize;
use sqlx::{FromRow, postgres::PgRow, sqlite::SqliteRow};
use uuid::Uuid;

/// All partners and tenants, deleted ones too.
pub async fn scope_list(db: &mut impl Executor) -> Result<Vec<Uuid>> {
    let query = "SELECT id FROM partner UNION ALL SELECT id FROM tenant ORDER BY id";
    on!(db, |c| sqlx::query_scalar(query).fetch_all(c))
}

/// A tenant as stored.
#[derive(Serialize, FromRow)]
pub struct TenantRow {
    pub slug: String,
    pub display_name: String,
    pub state: String,
    pub revision: i64,
    pub create_time: Time,
    pub update_time: Time,
    pub delete_time: Option<Time>,
    pub erase_time: Option<Time>,
    pub erasure: Option<String>,
}

/// A principal as stored.
#[derive(Serialize, FromRow)]
pub struct PrincipalRow {
    pub id: Uuid,
    pub scope_kind: String,
    pub slug: String,
    pub kind: String,
    pub display_name: String,
    pub email: String,
    pub unit_id: Option<Uuid>,
    pub owner_id: Option<Uuid>,
    pub state: String,
    pub revision: i64,
    pub create_time: Time,
    pub update_time: Time,
    pub delete_time: Option<Time>,
}

/// A group as stored.
#[derive(Serialize, FromRow)]
pub struct GroupRow {
    pub id: Uuid,
    pub slug: String,
    pub display_name: String,
    pub external_id: String,
    pub revision: i64,
    pub create_time: Time,
    pub update_time: Time,
    pub delete_time: Option<Time>,
}

/// A role as stored.
#[derive(Serialize, FromRow)]
pub struct RoleRow {
    pub id: Uuid,
    pub slug: String,
    pub display_name: String,
    pub description: String,
    /// None where it is not said, as the record has it.
    pub family: Option<String>,
    pub revision: i64,
    pub create_time: Time,
    pub update_time: Time,
    pub delete_time: Option<Time>,
}

/// A membership of a group as stored.
#[derive(Serialize, FromRow)]
pub struct GroupMemberRow {
    /// The group's id in names.
    #[serde(skip)]
    pub whose: String,
    pub id: Uuid,
    pub principal_id: Uuid,
    pub create_time: Time,
}

/// A membership of a role as stored.
#[derive(Serialize, FromRow)]
pub struct RoleMemberRow {
    /// The role's id in names.
    #[serde(skip)]
    pub whose: String,
    pub id: Uuid,
    pub kind: String,
    pub member_id: Uuid,
    pub create_time: Time,
}

/// An inclusion as stored, by ids in names.
#[derive(FromRow)]
pub struct InclusionRow {
    pub whose: String,
    pub included: String,
}

/// An entitlement as stored.
#[derive(Serialize, FromRow)]
pub struct EntitlementRow {
    pub id: Uuid,
    pub slug: String,
    pub role_id: Option<Uuid>,
    pub marketplace_id: Option<Uuid>,
    pub plugin_id: Option<Uuid>,
    pub target: String,
    pub effect: String,
    pub max_stage: String,
    pub not_before: Option<Time>,
    pub not_after: Option<Time>,
    pub reason: String,
    pub revision: i64,
    pub create_time: Time,
    /// An ordinary rule says nothing of it in the log.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub floor: bool,
    pub app: Option<String>,
    pub skill: Option<String>,
    pub plugin_group_id: Option<Uuid>,
    pub seat_pool_id: Option<Uuid>,
    pub update_time: Option<Time>,
}

/// A plugin group or a seat pool as stored.
#[derive(Serialize, FromRow)]
pub struct SetRow {
    pub id: Uuid,
    pub slug: String,
    pub display_name: String,
    pub description: String,
    pub revision: i64,
    pub create_time: Time,
    pub update_time: Time,
    pub delete_time: Option<Time>,
}

/// A plugin in a plugin group as stored.
#[derive(Serialize, FromRow)]
pub struct PluginGroupMemberRow {
    /// The group's id in names.
    #[serde(skip)]
    pub whose: String,
    pub id: Uuid,
    pub marketplace_id: Uuid,
    pub plugin_id: Uuid,
    pub create_time: Time,
}

/// A held seat as stored.
#[derive(Serialize, FromRow)]
pub struct SeatHolderRow {
    /// The pool's id in names.
    #[serde(skip)]
    pub whose: String,
    pub id: Uuid,
    pub principal_id: Uuid,
    pub create_time: Time,
}

/// A connector binding as stored.
#[derive(Serialize, FromRow)]
pub struct ConnectorBindingRow {
    pub id: Uuid,
    pub slug: String,
    pub marketplace_id: Uuid,
    pub plugin_id: Uuid,
    pub plugin: String,
    pub app: String,
    pub connector_id: String,
    pub revision: i64,
    pub create_time: Time,
    pub update_time: Time,
}

/// A stage override as stored.
#[derive(Serialize, FromRow)]
pub struct StageOverrideRow {
    pub id: Uuid,
    pub slug: String,
    pub marketplace_id: Uuid,
    pub plugin_id: Uuid,
    pub plugin: String,
    pub stage: String,
    pub reason: String,
    pub revision: i64,
    pub create_time: Time,
    pub update_time: Time,
}

/// A duty as stored.
#[derive(Serialize, FromRow)]
pub struct DutyRow {
    pub id: Uuid,
    pub scope_kind: String,
    pub principal_id: Uuid,
    pub duty: String,
    pub create_time: Time,
}

pub const TENANT: &str = "SELECT slug, display_name, state, revision, create_time, update_time, delete_time, erase_time, erasure \
     FROM tenant WHERE id = $1";
pub const PRINCIPAL: &str = "SELECT id, scope_kind, slug, kind, display_name, email, unit_id, owner_id, state, revision, create_time, \
     update_time, delete_time FROM principal WHERE scope_id = $1 ORDER BY slug";
pub const GROUP: &str = "SELECT id, slug, display_name, external_id, revision, create_time, update_time, delete_time \
     FROM principal_group WHERE tenant_id = $1 ORDER BY slug";
pub const ROLE: &str = "SELECT id, slug, display_name, description, NULLIF(family, 'unspecified') AS family, revision, create_time, \
     update_time, delete_time FROM role WHERE tenant_id = $1 ORDER BY slug";
pub const GROUP_MEMBER: &str = "SELECT g.slug AS whose, m.id, m.principal_id, m.create_time FROM group_member m \
     JOIN principal_group g ON g.tenant_id = m.tenant_id AND g.id = m.group_id \
     WHERE m.tenant_id = $1 ORDER BY g.slug, m.principal_id";
pub const ROLE_MEMBER: &str = "SELECT r.slug AS whose, m.id, m.member_kind AS kind, m.member_id, m.create_time FROM role_member m \
     JOIN role r ON r.tenant_id = m.tenant_id AND r.id = m.role_id \
     WHERE m.tenant_id = $1 ORDER BY r.slug, m.member_kind, m.member_id";
pub const INCLUSION: &str = "SELECT r.slug AS whose, i.slug AS included FROM role_inclusion n \
     JOIN role r ON r.tenant_id = n.tenant_id AND r.id = n.role_id \
     JOIN role i ON i.tenant_id = n.tenant_id AND i.id = n.included_id \
     WHERE n.tenant_id = $1 ORDER BY r.slug, i.slug";
pub const ENTITLEMENT: &str = "SELECT id, slug, role_id, marketplace_id, plugin_id, target, effect, max_stage, not_before, not_after, \
     reason, revision, create_time, floor, app, skill, plugin_group_id, seat_pool_id, update_time \
     FROM entitlement WHERE tenant_id = $1 ORDER BY slug";
pub const PLUGIN_GROUP: &str = "SELECT id, slug, display_name, description, revision, create_time, update_time, delete_time \
     FROM plugin_group WHERE tenant_id = $1 ORDER BY slug";
pub const PLUGIN_GROUP_MEMBER: &str = "SELECT g.slug AS whose, m.id, m.marketplace_id, m.plugin_id, m.create_time \
     FROM plugin_group_member m JOIN plugin_group g ON g.tenant_id = m.tenant_id AND g.id = m.plugin_group_id \
     WHERE m.tenant_id = $1 ORDER BY g.slug, m.plugin_id";
pub const SEAT_POOL: &str = "SELECT id, slug, display_name, description, revision, create_time, update_time, delete_time \
     FROM seat_pool WHERE tenant_id = $1 ORDER BY slug";
pub const SEAT_HOLDER: &str = "SELECT s.slug AS whose, h.id, h.principal_id, h.create_time FROM seat_holder h \
     JOIN seat_pool s ON s.tenant_id = h.tenant_id AND s.id = h.seat_pool_id \
     WHERE h.tenant_id = $1 ORDER BY s.slug, h.principal_id";
pub const CONNECTOR_BINDING: &str = "SELECT id, slug, marketplace_id, plugin_id, plugin, app, connector_id, revision, create_time, \
     update_time FROM connector_binding WHERE tenant_id = $1 ORDER BY slug";
pub const STAGE_OVERRIDE: &str = "SELECT id, slug, marketplace_id, plugin_id, plugin, stage, reason, revision, create_time, \
     update_time FROM stage_override WHERE tenant_id = $1 ORDER BY slug";
pub const DUTY: &str =
    "SELECT id, scope_kind, principal_id, duty, create_time FROM duty_grant WHERE scope_id = $1 ORDER BY id";

/// Hands over every row that `query` finds for the scope, without holding them all.
pub async fn each<R>(
    db: &mut impl Executor,
    query: &'static str,
    scope: Uuid,
    mut found: impl FnMut(R) + Send,
) -> Result<()>
where
    R: for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow> + Send + Unpin,
{
    let found = &mut found;
    on!(db, |c| async {
        let mut rows = sqlx::query_as::<_, R>(query).bind(scope).fetch(c);
        while let Some(row) = rows.try_next().await? {
            found(row);
        }
        Ok::<(), sqlx::Error>(())
    })
}
