//! SQL of tenants. Soft deletion, updates and verbs all go through `tenant_update`.

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
    ids::{PartnerId, Slug, TenantId},
    insert_one, on,
    page::PageKey,
    scope::Scope,
    stamp::changed_one,
};

use super::model::{Tenant, TenantErasure, TenantState};

macro_rules! partner_slug {
    () => {
        "(SELECT p.slug FROM partner p WHERE p.id = tenant.partner_id)"
    };
}

macro_rules! columns {
    () => {
        concat!(
            "tenant.id, tenant.slug, tenant.partner_id, ",
            partner_slug!(),
            " AS partner_slug, tenant.display_name, tenant.state, tenant.contract, \
             tenant.erase_time, tenant.erasure, tenant.revision, tenant.create_time, tenant.update_time, tenant.delete_time"
        )
    };
}

const LIST: ListSpec = ListSpec {
    name: "tenants",
    columns: columns!(),
    from: "tenant",
    id: "tenant.id",
    fields: &[
        Field::text("tenant_id", "tenant.slug"),
        Field::text("display_name", "tenant.display_name"),
        Field::words("state", "tenant.state", &TenantState::WORDS),
        Field::text("partner_id", partner_slug!()).unsorted(),
        Field::time("create_time", "tenant.create_time"),
        Field::time("update_time", "tenant.update_time"),
    ],
    order: "create_time",
    deleted: "tenant.delete_time",
};

/// Inserts; a taken id is `ALREADY_EXISTS`.
pub async fn tenant_insert(tx: &mut Tx<'_>, tenant: &Tenant) -> Result<()> {
    insert_one!(
        tx,
        "INSERT INTO tenant (id, slug, partner_id, display_name, state, revision, create_time, update_time)",
        [
            tenant.id,
            tenant.slug.clone(),
            tenant.partner.id,
            tenant.display_name.clone(),
            tenant.state.as_str().to_owned(),
            tenant.stamp.revision,
            tenant.stamp.create_time,
            tenant.stamp.update_time,
        ],
        Error::exists("tenant", tenant.name())
    )
}

/// The tenant of that id, deleted or not.
pub async fn tenant_get(db: &mut impl Executor, slug: &Slug) -> Result<Option<Tenant>> {
    on!(db, |c| sqlx::query_as(concat!("SELECT ", columns!(), " FROM tenant WHERE slug = $1"))
        .bind(slug)
        .fetch_optional(c))
}

/// The closed tenants of which something may be left, in the order of their ids.
pub async fn tenant_closed_list(db: &mut impl Executor) -> Result<Vec<Tenant>> {
    let query = concat!(
        "SELECT ",
        columns!(),
        " FROM tenant WHERE state = 'closed' AND (erasure IS NULL OR erasure <> 'done') ORDER BY tenant.id"
    );
    on!(db, |c| sqlx::query_as(query).fetch_all(c))
}

/// Writes all that can change, against the revision before.
pub async fn tenant_update(tx: &mut Tx<'_>, tenant: &Tenant) -> Result<()> {
    let contract = tenant.contract.as_ref().map(super::contract::Contract::canonical).transpose()?;
    let query = "UPDATE tenant SET display_name = $1, state = $2, contract = $3, revision = $4, update_time = $5, \
         delete_time = $6, erase_time = $7, erasure = $8 WHERE id = $9 AND revision = $10";
    let rows = execute!(
        tx,
        sqlx::query(query)
            .bind(&tenant.display_name)
            .bind(tenant.state.as_str())
            .bind(&contract)
            .bind(tenant.stamp.revision)
            .bind(tenant.stamp.update_time)
            .bind(tenant.stamp.delete_time)
            .bind(tenant.erase_time)
            .bind(tenant.erasure.map(TenantErasure::as_str))
            .bind(tenant.id)
            .bind(tenant.stamp.revision - 1)
    )?;
    changed_one(rows)
}

/// Holds the tenant until the transaction ends: changes to its trees take turns.
pub async fn tenant_hold(tx: &mut Tx<'_>, id: TenantId) -> Result<()> {
    let query = "UPDATE tenant SET revision = revision WHERE id = $1";
    execute!(tx, sqlx::query(query).bind(id)).map(|_| ())
}

/// Whether some living principal holds a living role, directly or through a living group.
pub async fn tenant_has_role_holder(db: &mut impl Executor, id: TenantId) -> Result<bool> {
    let query = "SELECT COUNT(*) FROM role r WHERE r.tenant_id = $1 AND r.delete_time IS NULL AND ( \
           EXISTS (SELECT 1 FROM role_member m \
             JOIN principal p ON p.scope_id = m.tenant_id AND p.id = m.member_id AND p.delete_time IS NULL \
             WHERE m.tenant_id = r.tenant_id AND m.role_id = r.id AND m.member_kind = 'principal') \
           OR EXISTS (SELECT 1 FROM role_member m \
             JOIN principal_group g ON g.tenant_id = m.tenant_id AND g.id = m.member_id AND g.delete_time IS NULL \
             JOIN group_member n ON n.tenant_id = m.tenant_id AND n.group_id = m.member_id \
             JOIN principal p ON p.scope_id = m.tenant_id AND p.id = n.principal_id AND p.delete_time IS NULL \
             WHERE m.tenant_id = r.tenant_id AND m.role_id = r.id AND m.member_kind = 'group'))";
    let roles: i64 = on!(db, |c| sqlx::query_scalar(query).bind(id).fetch_one(c))?;
    Ok(roles > 0)
}

/// How many living tenants the partner has.
pub async fn tenant_count_of_partner(db: &mut impl Executor, partner: PartnerId) -> Result<i64> {
    let query = "SELECT COUNT(*) FROM tenant WHERE partner_id = $1 AND delete_time IS NULL";
    on!(db, |c| sqlx::query_scalar(query).bind(partner).fetch_one(c))
}

/// One page of the tenants that somebody at home in `within` may list: all, a partner's, or the one.
pub async fn tenant_list(
    db: &mut impl Executor,
    within: &Scope,
    query: &ListQuery,
    key: &PageKey,
) -> Result<Page<Tenant>> {
    let keys = match within {
        Scope::Platform => Vec::new(),
        Scope::Partner(partner) => vec![("tenant.partner_id", Value::Id(partner.id.0))],
        Scope::Tenant(tenant) => vec![("tenant.id", Value::Id(tenant.id.0))],
    };
    list(db, &LIST, &keys, query, key).await
}
