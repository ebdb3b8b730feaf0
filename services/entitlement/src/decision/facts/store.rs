//! SQL of the facts. Every function reads all of a tenant's, or what one id (`only`) stands for.

use std::collections::{HashMap, HashSet};

use ::decision::{Effect, Level, MaxStage, Plugin, Rule, Stage, Target};
use catalog::model::{App, JsonList, Stage as Released};
use kernel::{Error, Result, clock::Time, db::Executor, ids::TenantId, on};

use crate::{
    binding::model as binding,
    decision::model::plugin_name,
    entitlement::model::{Effect as Stored, MaxStage as Ceiling},
    stage_override::model::effective,
};

/// Runs `$all`, or with `$and` for `only`.
macro_rules! some_or_all {
    ($db:expr, $tenant:expr, $only:expr, $all:literal, $and:literal) => {
        match $only {
            None => on!($db, |c| sqlx::query_as($all).bind($tenant).fetch_all(c)),
            Some(only) => {
                on!($db, |c| sqlx::query_as(concat!($all, " AND ", $and))
                    .bind($tenant)
                    .bind(only)
                    .fetch_all(c))
            }
        }
    };
}

/// A principal that lives.
#[derive(sqlx::FromRow)]
pub struct PrincipalRow {
    /// Last segment of its name.
    pub slug: String,
    /// What it is.
    pub kind: String,
    /// Whether it may act.
    pub state: String,
    /// Whom an agent acts for.
    pub owner: Option<String>,
}

/// Slug, state and time of deletion of a tenant.
pub async fn tenant_get(
    db: &mut impl Executor,
    tenant: TenantId,
) -> Result<Option<(String, String, Option<Time>)>> {
    let query = "SELECT slug, state, delete_time FROM tenant WHERE id = $1";
    on!(db, |c| sqlx::query_as(query).bind(tenant).fetch_optional(c))
}

pub async fn principal_list(
    db: &mut impl Executor,
    tenant: TenantId,
    only: Option<&str>,
) -> Result<Vec<PrincipalRow>> {
    some_or_all!(
        db,
        tenant,
        only,
        "SELECT p.slug, p.kind, p.state, o.slug AS owner FROM principal p \
         LEFT JOIN principal o ON o.scope_id = p.scope_id AND o.id = p.owner_id \
         WHERE p.scope_id = $1 AND p.delete_time IS NULL",
        "p.slug = $2"
    )
}

/// All groups, deleted ones too.
pub async fn group_list(db: &mut impl Executor, tenant: TenantId, only: Option<&str>) -> Result<Vec<String>> {
    let rows: Result<Vec<(String,)>> =
        some_or_all!(db, tenant, only, "SELECT slug FROM principal_group WHERE tenant_id = $1", "slug = $2");
    Ok(rows?.into_iter().map(|(slug,)| slug).collect())
}

/// Living members of living groups.
pub async fn group_member_list(
    db: &mut impl Executor,
    tenant: TenantId,
    only: Option<&str>,
) -> Result<Vec<(String, String)>> {
    some_or_all!(
        db,
        tenant,
        only,
        "SELECT g.slug, p.slug FROM group_member m \
         JOIN principal_group g ON g.tenant_id = m.tenant_id AND g.id = m.group_id AND g.delete_time IS NULL \
         JOIN principal p ON p.scope_id = m.tenant_id AND p.id = m.principal_id AND p.delete_time IS NULL \
         WHERE m.tenant_id = $1",
        "g.slug = $2"
    )
}

/// All roles, deleted ones too.
pub async fn role_list(db: &mut impl Executor, tenant: TenantId, only: Option<&str>) -> Result<Vec<String>> {
    let rows: Result<Vec<(String,)>> =
        some_or_all!(db, tenant, only, "SELECT slug FROM role WHERE tenant_id = $1", "slug = $2");
    Ok(rows?.into_iter().map(|(slug,)| slug).collect())
}

/// Role, kind of holder and holder, of living roles; a deleted principal holds nothing, and a deleted group is empty.
pub async fn role_member_list(
    db: &mut impl Executor,
    tenant: TenantId,
    only: Option<&str>,
) -> Result<Vec<(String, String, String)>> {
    some_or_all!(
        db,
        tenant,
        only,
        "SELECT r.slug, m.member_kind, COALESCE(p.slug, g.slug) FROM role_member m \
         JOIN role r ON r.tenant_id = m.tenant_id AND r.id = m.role_id AND r.delete_time IS NULL \
         LEFT JOIN principal p ON m.member_kind = 'principal' AND p.scope_id = m.tenant_id AND p.id = m.member_id \
           AND p.delete_time IS NULL \
         LEFT JOIN principal_group g ON m.member_kind = 'group' AND g.tenant_id = m.tenant_id AND g.id = m.member_id \
         WHERE m.tenant_id = $1 AND COALESCE(p.slug, g.slug) IS NOT NULL",
        "r.slug = $2"
    )
}

/// Which living role takes in which.
pub async fn role_inclusion_list(
    db: &mut impl Executor,
    tenant: TenantId,
    only: Option<&str>,
) -> Result<Vec<(String, String)>> {
    some_or_all!(
        db,
        tenant,
        only,
        "SELECT r.slug, i.slug FROM role_inclusion n \
         JOIN role r ON r.tenant_id = n.tenant_id AND r.id = n.role_id AND r.delete_time IS NULL \
         JOIN role i ON i.tenant_id = n.tenant_id AND i.id = n.included_id AND i.delete_time IS NULL \
         WHERE n.tenant_id = $1",
        "r.slug = $2"
    )
}

/// The groups that a principal is in.
pub async fn group_list_of(db: &mut impl Executor, tenant: TenantId, principal: &str) -> Result<Vec<String>> {
    let query = "SELECT g.slug FROM principal p \
         JOIN group_member m ON m.tenant_id = p.scope_id AND m.principal_id = p.id \
         JOIN principal_group g ON g.tenant_id = m.tenant_id AND g.id = m.group_id \
         WHERE p.scope_id = $1 AND p.slug = $2";
    on!(db, |c| sqlx::query_scalar(query).bind(tenant).bind(principal).fetch_all(c))
}

/// The roles that a principal holds itself.
pub async fn role_list_of(db: &mut impl Executor, tenant: TenantId, principal: &str) -> Result<Vec<String>> {
    let query = "SELECT r.slug FROM principal p \
         JOIN role_member m ON m.tenant_id = p.scope_id AND m.member_kind = 'principal' AND m.member_id = p.id \
         JOIN role r ON r.tenant_id = m.tenant_id AND r.id = m.role_id \
         WHERE p.scope_id = $1 AND p.slug = $2";
    on!(db, |c| sqlx::query_scalar(query).bind(tenant).bind(principal).fetch_all(c))
}

/// The roles that take a role in.
pub async fn role_list_including(
    db: &mut impl Executor,
    tenant: TenantId,
    role: &str,
) -> Result<Vec<String>> {
    let query = "SELECT r.slug FROM role i \
         JOIN role_inclusion n ON n.tenant_id = i.tenant_id AND n.included_id = i.id \
         JOIN role r ON r.tenant_id = n.tenant_id AND r.id = n.role_id \
         WHERE i.tenant_id = $1 AND i.slug = $2";
    on!(db, |c| sqlx::query_scalar(query).bind(tenant).bind(role).fetch_all(c))
}

/// All plugin groups, deleted ones too.
pub async fn plugin_group_list(
    db: &mut impl Executor,
    tenant: TenantId,
    only: Option<&str>,
) -> Result<Vec<String>> {
    let rows: Result<Vec<(String,)>> =
        some_or_all!(db, tenant, only, "SELECT slug FROM plugin_group WHERE tenant_id = $1", "slug = $2");
    Ok(rows?.into_iter().map(|(slug,)| slug).collect())
}

/// Living plugin groups with the marketplaces and ids of their listed plugins.
pub async fn plugin_group_member_list(
    db: &mut impl Executor,
    tenant: TenantId,
    only: Option<&str>,
) -> Result<Vec<(String, String, String)>> {
    some_or_all!(
        db,
        tenant,
        only,
        "SELECT g.slug, k.slug, p.slug FROM plugin_group_member m \
         JOIN plugin_group g ON g.tenant_id = m.tenant_id AND g.id = m.plugin_group_id AND g.delete_time IS NULL \
         JOIN marketplace k ON k.id = m.marketplace_id \
         JOIN plugin p ON p.marketplace_id = m.marketplace_id AND p.id = m.plugin_id AND p.delete_time IS NULL \
         WHERE m.tenant_id = $1",
        "g.slug = $2"
    )
}

/// All seat pools, deleted ones too.
pub async fn seat_pool_list(
    db: &mut impl Executor,
    tenant: TenantId,
    only: Option<&str>,
) -> Result<Vec<String>> {
    let rows: Result<Vec<(String,)>> =
        some_or_all!(db, tenant, only, "SELECT slug FROM seat_pool WHERE tenant_id = $1", "slug = $2");
    Ok(rows?.into_iter().map(|(slug,)| slug).collect())
}

/// Living seat pools with their living holders.
pub async fn seat_holder_list(
    db: &mut impl Executor,
    tenant: TenantId,
    only: Option<&str>,
) -> Result<Vec<(String, String)>> {
    some_or_all!(
        db,
        tenant,
        only,
        "SELECT s.slug, p.slug FROM seat_holder h \
         JOIN seat_pool s ON s.tenant_id = h.tenant_id AND s.id = h.seat_pool_id AND s.delete_time IS NULL \
         JOIN principal p ON p.scope_id = h.tenant_id AND p.id = h.principal_id AND p.delete_time IS NULL \
         WHERE h.tenant_id = $1",
        "s.slug = $2"
    )
}

/// The pools of which a principal holds a seat.
pub async fn seat_pool_list_of(
    db: &mut impl Executor,
    tenant: TenantId,
    principal: &str,
) -> Result<Vec<String>> {
    let query = "SELECT s.slug FROM principal p \
         JOIN seat_holder h ON h.tenant_id = p.scope_id AND h.principal_id = p.id \
         JOIN seat_pool s ON s.tenant_id = h.tenant_id AND s.id = h.seat_pool_id \
         WHERE p.scope_id = $1 AND p.slug = $2";
    on!(db, |c| sqlx::query_scalar(query).bind(tenant).bind(principal).fetch_all(c))
}

#[derive(sqlx::FromRow)]
struct PluginRow {
    marketplace: String,
    plugin: String,
    #[sqlx(try_from = "String")]
    stage: Released,
    sunset_time: Option<Time>,
    #[sqlx(try_from = "String")]
    apps: JsonList<App>,
    #[sqlx(try_from = "String")]
    skills: JsonList<String>,
}

/// What a tenant has of its own for plugins.
#[derive(Default)]
struct Own {
    /// Plugin, by name, and key of an app that is bound.
    bound: HashSet<(String, String)>,
    /// Stages by name of the plugin.
    stages: HashMap<String, Released>,
}

impl PluginRow {
    /// As the tenant has it.
    fn with(self, own: &Own) -> Plugin {
        let id = plugin_id(&self.marketplace, &self.plugin);
        let name = plugin_name(&id);
        let apps = self.apps.0;
        let templated = apps.iter().filter(|app| app.templated).map(|app| app.key.as_str());
        let is_bound = |app: &str| own.bound.contains(&(name.clone(), app.to_owned()));
        let missing = binding::missing(templated, is_bound).map(str::to_owned).collect();
        Plugin {
            stage: engine_stage(effective(self.stage, own.stages.get(&name).copied())),
            // the platform's, whatever stage the tenant holds it to meanwhile
            sunset: self.sunset_time.map(Time::micros),
            missing,
            id,
            marketplace: self.marketplace,
            apps: apps.into_iter().map(|app| app.key).collect(),
            skills: self.skills.0,
        }
    }
}

/// A stage as the engine knows it.
pub fn engine_stage(stage: Released) -> Stage {
    match stage {
        Released::Alpha => Stage::Alpha,
        Released::Preview => Stage::Preview,
        Released::Live => Stage::Live,
        Released::Deprecated => Stage::Deprecated,
        Released::Withdrawn => Stage::Withdrawn,
    }
}

/// The id of a plugin in the engine.
pub fn plugin_id(marketplace: &str, plugin: &str) -> String {
    format!("{marketplace}/{plugin}")
}

macro_rules! plugins {
    () => {
        "SELECT m.slug AS marketplace, p.slug AS plugin, v.stage, v.sunset_time, v.apps, v.skills FROM plugin p \
         JOIN marketplace m ON m.id = p.marketplace_id \
         JOIN plugin_version v ON v.marketplace_id = p.marketplace_id AND v.plugin_id = p.id AND v.id = p.version_id \
         WHERE p.delete_time IS NULL"
    };
}

/// The listed plugins as a tenant has them, sorted by id, or the one of a resource name.
pub async fn plugin_list(
    db: &mut impl Executor,
    tenant: TenantId,
    only: Option<&str>,
) -> Result<Vec<Plugin>> {
    let rows: Vec<PluginRow> = match only {
        None => on!(db, |c| sqlx::query_as(plugins!()).fetch_all(c))?,
        Some(only) => {
            let [marketplace, plugin] = kernel::name::parse("plugin", "marketplaces/{}/plugins/{}", only)?;
            on!(db, |c| sqlx::query_as(concat!(plugins!(), " AND m.slug = $1 AND p.slug = $2"))
                .bind(&marketplace)
                .bind(&plugin)
                .fetch_all(c))?
        }
    };
    let own = Own {
        bound: bound_list(db, tenant, only).await?.into_iter().collect(),
        stages: stage_list(db, tenant, only).await?,
    };
    let mut plugins: Vec<Plugin> = rows.into_iter().map(|row| row.with(&own)).collect();
    plugins.sort_unstable_by(|a, b| a.id.cmp(&b.id));
    Ok(plugins)
}

/// Plugins by name, and keys of their apps that are bound.
pub async fn bound_list(
    db: &mut impl Executor,
    tenant: TenantId,
    only: Option<&str>,
) -> Result<Vec<(String, String)>> {
    some_or_all!(
        db,
        tenant,
        only,
        "SELECT plugin, app FROM connector_binding WHERE tenant_id = $1",
        "plugin = $2"
    )
}

/// The stages that a tenant holds plugins to, by name of the plugin.
pub async fn stage_list(
    db: &mut impl Executor,
    tenant: TenantId,
    only: Option<&str>,
) -> Result<HashMap<String, Released>> {
    let rows: Result<Vec<(String, String)>> = some_or_all!(
        db,
        tenant,
        only,
        "SELECT plugin, stage FROM stage_override WHERE tenant_id = $1",
        "plugin = $2"
    );
    rows?.into_iter().map(|(plugin, stage)| Ok((plugin, Released::try_from(stage)?))).collect()
}

#[derive(sqlx::FromRow)]
struct RuleRow {
    slug: String,
    role: Option<String>,
    marketplace: Option<String>,
    plugin: Option<String>,
    app: Option<String>,
    skill: Option<String>,
    plugin_group: Option<String>,
    seat_pool: Option<String>,
    #[sqlx(try_from = "String")]
    effect: Stored,
    #[sqlx(try_from = "String")]
    max_stage: Ceiling,
    not_before: Option<Time>,
    not_after: Option<Time>,
    reason: String,
    floor: bool,
}

impl TryFrom<RuleRow> for Rule {
    type Error = Error;

    fn try_from(row: RuleRow) -> Result<Self> {
        let target = match (row.marketplace, row.plugin, row.plugin_group) {
            (None, None, Some(group)) => Target::PluginGroup(group),
            (Some(marketplace), None, None) => Target::Marketplace(marketplace),
            (Some(marketplace), Some(plugin), None) => {
                let plugin = plugin_id(&marketplace, &plugin);
                match (row.app, row.skill) {
                    (Some(app), _) => Target::App { plugin, app },
                    (None, Some(skill)) => Target::Skill { plugin, skill },
                    (None, None) => Target::Plugin(plugin),
                }
            }
            _ => return Err(Error::internal(format!("target of rule `{}` in the database", row.slug))),
        };
        Ok(Self {
            id: row.slug,
            tenant: None,
            role: row.role,
            target,
            effect: row.effect.into(),
            max_stage: row.max_stage.into(),
            seat_pool: row.seat_pool,
            not_before: row.not_before.map(Time::micros),
            not_after: row.not_after.map(Time::micros),
            level: if row.floor { Level::Floor } else { Level::Ordinary },
            reason: row.reason,
        })
    }
}

impl From<Ceiling> for MaxStage {
    fn from(ceiling: Ceiling) -> Self {
        match ceiling {
            Ceiling::Alpha => Self::Alpha,
            Ceiling::Preview => Self::Preview,
            Ceiling::Live => Self::Live,
        }
    }
}

impl From<Stored> for Effect {
    fn from(effect: Stored) -> Self {
        match effect {
            Stored::Denied => Self::Denied,
            Stored::Available => Self::Available,
            Stored::Default => Self::Default,
            Stored::Required => Self::Required,
        }
    }
}

/// Rules about marketplaces, listed plugins and plugin groups.
pub async fn rule_list(db: &mut impl Executor, tenant: TenantId, only: Option<&str>) -> Result<Vec<Rule>> {
    let rows: Result<Vec<RuleRow>> = some_or_all!(
        db,
        tenant,
        only,
        "SELECT e.slug, r.slug AS role, m.slug AS marketplace, p.slug AS plugin, e.effect, e.max_stage, \
         e.not_before, e.not_after, e.reason, e.floor, e.app, e.skill, g.slug AS plugin_group, s.slug AS seat_pool \
         FROM entitlement e LEFT JOIN marketplace m ON m.id = e.marketplace_id \
         LEFT JOIN plugin p ON p.marketplace_id = e.marketplace_id AND p.id = e.plugin_id AND p.delete_time IS NULL \
         LEFT JOIN role r ON r.tenant_id = e.tenant_id AND r.id = e.role_id \
         LEFT JOIN plugin_group g ON g.tenant_id = e.tenant_id AND g.id = e.plugin_group_id \
         LEFT JOIN seat_pool s ON s.tenant_id = e.tenant_id AND s.id = e.seat_pool_id \
         WHERE e.tenant_id = $1 AND (e.plugin_id IS NULL OR p.id IS NOT NULL)",
        "e.slug = $2"
    );
    rows?.into_iter().map(TryInto::try_into).collect()
}
