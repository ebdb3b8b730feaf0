//! Who holds a role: the use cases and their SQL.

use kernel::{
    Ctx, Error, Result,
    audit::Resource as _,
    authz::{Action, Class},
    clock::Time,
    db::{
        Executor,
        list::{ListQuery, ListSpec, Page, list},
        tx::Tx,
    },
    execute,
    filter::{Field, Value},
    ids::Slug,
    on,
    page::PageKey,
    scope::TenantRef,
    stamp::changed_one,
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    model::Role,
    ops::{action, find, parse},
};
use crate::{floor::role_guard, group, principal, sibling::sibling};

pub(super) const ADD: Action =
    action("provost.role.v1.RoleService/AddRoleMember", "add_member", Class::Write);
pub(super) const REMOVE: Action =
    action("provost.role.v1.RoleService/RemoveRoleMember", "remove_member", Class::Write);
pub(super) const LIST: Action =
    action("provost.role.v1.RoleService/ListRoleMembers", "list_members", Class::Read);

/// What can hold a role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HolderKind {
    /// One principal.
    Principal,
    /// Everybody in a group.
    Group,
}

impl HolderKind {
    /// As stored, and the kind of resource.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Principal => "principal",
            Self::Group => "group",
        }
    }
}

impl TryFrom<String> for HolderKind {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        match text.as_str() {
            "principal" => Ok(Self::Principal),
            "group" => Ok(Self::Group),
            other => Err(Error::internal(format!("holder kind `{other}` in the database"))),
        }
    }
}

/// One holder of a role.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, sqlx::FromRow)]
pub struct RoleMember {
    /// Identity of the membership: one that ends and begins again is another.
    pub id: Uuid,
    /// Whose, by id in names.
    pub tenant_slug: Slug,
    /// What holds it.
    #[sqlx(try_from = "String")]
    pub kind: HolderKind,
    /// The holder.
    pub member_id: Uuid,
    /// The holder, by id in names.
    pub slug: Slug,
    /// Since when.
    pub create_time: Time,
}

impl RoleMember {
    /// Name of the holder.
    pub fn member(&self) -> String {
        format!("tenants/{}/{}s/{}", self.tenant_slug, self.kind.as_str(), self.slug)
    }
}

/// Gives a living role to a living principal or group of the tenant.
pub async fn role_member_add(ctx: &Ctx, name: &str, member: &str) -> Result<RoleMember> {
    let (tenant, slug) = parse("name", name)?;
    let scope = ctx.tenant("name", &tenant).await?;
    let permit = ctx.authorize(ADD, &scope).await?;
    let mut tx = ctx.begin(&permit).await?;
    if let Some(first) = tx.replayed()? {
        return Ok(first);
    }
    let tenant = scope.tenant()?;
    let role = find(&mut tx, tenant, &slug).await?;
    role.stamp.alive(role.name())?;
    let (kind, slug) = holder(tenant, member)?;
    let member_id = holder_id(&mut tx, tenant, kind, &slug)
        .await?
        .ok_or_else(|| Error::not_found(kind.as_str(), member))?;
    let (id, tenant_slug) = (ctx.new_id(), tenant.slug.clone());
    let added = RoleMember { id, tenant_slug, kind, member_id, slug, create_time: ctx.now() };
    role_member_insert(&mut tx, &role, &added).await?;
    tx.commit(permit.audit().target(&role).also(kind.as_str(), added.member()).after(&added)).await?;
    Ok(added)
}

/// Takes a role, a deleted one too, from a holder and returns what it was.
pub async fn role_member_remove(ctx: &Ctx, name: &str, member: &str) -> Result<RoleMember> {
    let (tenant, slug) = parse("name", name)?;
    let scope = ctx.tenant("name", &tenant).await?;
    let permit = ctx.authorize(REMOVE, &scope).await?;
    role_guard(ctx, REMOVE, &scope, &slug).await?;
    let mut tx = ctx.begin(&permit).await?;
    if let Some(first) = tx.replayed()? {
        return Ok(first);
    }
    let tenant = scope.tenant()?;
    let role = find(&mut tx, tenant, &slug).await?;
    let (kind, slug) = holder(tenant, member)?;
    let removed = role_member_get(&mut tx, &role, kind, &slug).await?;
    let removed = removed.ok_or_else(|| Error::not_found("role member", member))?;
    role_member_delete(&mut tx, &role, &removed).await?;
    tx.commit(permit.audit().target(&role).also(kind.as_str(), removed.member()).before(&removed)).await?;
    Ok(removed)
}

/// Lists who holds `parent`, a role, deleted or not, directly.
pub async fn role_member_list(ctx: &Ctx, parent: &str, query: &ListQuery) -> Result<Page<RoleMember>> {
    let (tenant, slug) = parse("parent", parent)?;
    let scope = ctx.tenant("parent", &tenant).await?;
    ctx.authorize(LIST, &scope).await?;
    let mut db = ctx.read().await?;
    let role = find(&mut db, scope.tenant()?, &slug).await?;
    role_member_select(&mut db, &role, query, &ctx.kernel().page_key).await
}

/// The kind and the slug of the holder that `member` names.
fn holder(tenant: &TenantRef, member: &str) -> Result<(HolderKind, Slug)> {
    let kind = match member.split('/').nth(2) {
        Some("groups") => HolderKind::Group,
        Some("principals") => HolderKind::Principal,
        _ => {
            let message = format!(
                "`{}` cannot hold a role; use `tenants/…/principals/…` or `tenants/…/groups/…`",
                kernel::ids::clip(member)
            );
            return Err(Error::invalid("member", message));
        }
    };
    Ok((kind, sibling(tenant, "member", kind.as_str(), member)?))
}

/// The identity of a living holder.
async fn holder_id(
    tx: &mut Tx<'_>,
    tenant: &TenantRef,
    kind: HolderKind,
    slug: &Slug,
) -> Result<Option<Uuid>> {
    match kind {
        HolderKind::Principal => Ok(principal::ops::find(tx, tenant.id.0, slug).await?.map(|p| p.id.0)),
        HolderKind::Group => {
            let group = group::store::group_get(tx, tenant.id, slug).await?;
            Ok(group.filter(|g| g.stamp.delete_time.is_none()).map(|g| g.id.0))
        }
    }
}

macro_rules! columns {
    () => {
        "m.id, (SELECT t.slug FROM tenant t WHERE t.id = m.tenant_id) AS tenant_slug, m.member_kind AS kind, \
         m.member_id, COALESCE(p.slug, g.slug) AS slug, m.create_time"
    };
}

macro_rules! from {
    () => {
        "role_member m \
         LEFT JOIN principal p ON m.member_kind = 'principal' AND p.scope_id = m.tenant_id AND p.id = m.member_id \
         LEFT JOIN principal_group g ON m.member_kind = 'group' AND g.tenant_id = m.tenant_id AND g.id = m.member_id"
    };
}

/// A deleted holder holds nothing while it is deleted.
const MEMBERS: ListSpec = ListSpec {
    name: "role members",
    columns: columns!(),
    from: from!(),
    id: "m.id",
    fields: &[
        Field::text("member_id", "COALESCE(p.slug, g.slug)"),
        Field::words("kind", "m.member_kind", &["principal", "group"]),
        Field::time("create_time", "m.create_time"),
    ],
    order: "create_time",
    deleted: "COALESCE(p.delete_time, g.delete_time)",
};

/// Inserts a membership; one that is there already is `ALREADY_EXISTS`.
async fn role_member_insert(tx: &mut Tx<'_>, role: &Role, member: &RoleMember) -> Result<()> {
    let query = "INSERT INTO role_member (tenant_id, role_id, member_kind, member_id, id, create_time) \
         VALUES ($1, $2, $3, $4, $5, $6)";
    execute!(
        tx,
        sqlx::query(query)
            .bind(role.tenant_id)
            .bind(role.id)
            .bind(member.kind.as_str())
            .bind(member.member_id)
            .bind(member.id)
            .bind(member.create_time)
    )
    .map(|_| ())
    .map_err(|e| {
        e.on_unique(|| Error::Exists {
            kind: "role member",
            name: member.member(),
            hint: "it holds the role, so there is nothing to add",
        })
    })
}

/// The membership of a holder, living or not.
async fn role_member_get(
    db: &mut impl Executor,
    role: &Role,
    kind: HolderKind,
    slug: &Slug,
) -> Result<Option<RoleMember>> {
    on!(db, |c| sqlx::query_as(concat!(
        "SELECT ",
        columns!(),
        " FROM ",
        from!(),
        " WHERE m.tenant_id = $1 AND m.role_id = $2 AND m.member_kind = $3 AND COALESCE(p.slug, g.slug) = $4"
    ))
    .bind(role.tenant_id)
    .bind(role.id)
    .bind(kind.as_str())
    .bind(slug)
    .fetch_optional(c))
}

/// Deletes the membership that was read.
async fn role_member_delete(tx: &mut Tx<'_>, role: &Role, member: &RoleMember) -> Result<()> {
    let query = "DELETE FROM role_member \
         WHERE tenant_id = $1 AND role_id = $2 AND member_kind = $3 AND member_id = $4 AND id = $5";
    let rows = execute!(
        tx,
        sqlx::query(query)
            .bind(role.tenant_id)
            .bind(role.id)
            .bind(member.kind.as_str())
            .bind(member.member_id)
            .bind(member.id)
    )?;
    changed_one(rows)
}

/// One page of a role's holders.
async fn role_member_select(
    db: &mut impl Executor,
    role: &Role,
    query: &ListQuery,
    key: &PageKey,
) -> Result<Page<RoleMember>> {
    let keys = [("m.tenant_id", Value::Id(role.tenant_id.0)), ("m.role_id", Value::Id(role.id.0))];
    list(db, &MEMBERS, &keys, query, key).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use kernel::{
        ids::{PartnerId, TenantId},
        scope::PartnerRef,
    };

    #[test]
    fn principals_and_groups_hold_roles_and_nothing_else_does() {
        let slug = |text: &str| Slug::parse_dotted("id", text).unwrap();
        let partner = PartnerRef { id: PartnerId(Uuid::nil()), slug: slug("northwind") };
        let acme =
            TenantRef { id: TenantId(Uuid::nil()), slug: slug("acme"), state: "live".to_owned(), partner };
        let good = holder(&acme, "tenants/acme/principals/maria.lopez").unwrap();
        assert_eq!(good, (HolderKind::Principal, slug("maria.lopez")));
        assert_eq!(holder(&acme, "tenants/acme/groups/sales").unwrap(), (HolderKind::Group, slug("sales")));
        for bad in
            ["", "maria", "tenants/acme/roles/banker", "tenants/acme/groups/a.b", "partners/x/principals/y"]
        {
            assert!(matches!(holder(&acme, bad), Err(Error::Invalid(_))), "{bad}");
        }
        assert!(matches!(
            holder(&acme, "tenants/other/groups/sales"),
            Err(Error::NotFound { kind: "group", .. })
        ));
    }

    #[test]
    fn a_member_is_named_by_its_kind() {
        let slug = |text: &str| Slug::parse("id", text).unwrap();
        let create_time = Time::from_micros(0);
        let member = RoleMember {
            id: Uuid::nil(),
            tenant_slug: slug("acme"),
            kind: HolderKind::Group,
            member_id: Uuid::nil(),
            slug: slug("sales"),
            create_time,
        };
        assert_eq!(member.member(), "tenants/acme/groups/sales");
    }
}
