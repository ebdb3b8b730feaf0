//! What floors stand on. A floor is a rule that forbids and that only the tenant's own officers set and take away; whoever could
//! take its role from people would loosen it all the same, so a delegate of the partner cannot.
//!
//! Rules belong to a slice above, so of them nothing is known here but which roles the floors name.

use kernel::{
    Ctx, Result,
    authz::Action,
    db::Executor,
    ids::{Slug, TenantId},
    on,
    scope::Scope,
};

use crate::role::model::MAX_DEPTH;

/// What the policy calls that somebody holds a role that a floor names.
const HOLDER: &str = "floor/holder";

/// Asks for the right to loosen floors as well, where a floor names the role or one that it takes in.
pub(crate) async fn role_guard(ctx: &Ctx, action: Action, scope: &Scope, role: &Slug) -> Result<()> {
    if role_is_under_floor(&mut ctx.read().await?, scope.tenant()?.id, role).await? {
        ctx.authorize_on(action, HOLDER.into(), scope, false).await?;
    }
    Ok(())
}

/// The same for a group that holds such a role.
pub(crate) async fn group_guard(ctx: &Ctx, action: Action, scope: &Scope, group: &Slug) -> Result<()> {
    if group_is_under_floor(&mut ctx.read().await?, scope.tenant()?.id, group).await? {
        ctx.authorize_on(action, HOLDER.into(), scope, false).await?;
    }
    Ok(())
}

/// The roles that floors name, and those that take them in.
macro_rules! under_floor {
    ($then:literal) => {
        concat!(
            "WITH RECURSIVE under (id, depth) AS ( \
                 SELECT e.role_id, 1 FROM entitlement e WHERE e.tenant_id = $1 AND e.floor AND e.role_id IS NOT NULL \
                 UNION \
                 SELECT n.role_id, u.depth + 1 FROM under u \
                   JOIN role_inclusion n ON n.tenant_id = $1 AND n.included_id = u.id WHERE u.depth < $2) ",
            $then
        )
    };
}

async fn role_is_under_floor(db: &mut impl Executor, tenant: TenantId, role: &Slug) -> Result<bool> {
    let query = under_floor!(
        "SELECT COUNT(*) FROM under u JOIN role r ON r.tenant_id = $1 AND r.id = u.id WHERE r.slug = $3"
    );
    let found: i64 =
        on!(db, |c| sqlx::query_scalar(query).bind(tenant).bind(depth()).bind(role).fetch_one(c))?;
    Ok(found > 0)
}

async fn group_is_under_floor(db: &mut impl Executor, tenant: TenantId, group: &Slug) -> Result<bool> {
    let query = under_floor!(
        "SELECT COUNT(*) FROM under u \
           JOIN role_member m ON m.tenant_id = $1 AND m.role_id = u.id AND m.member_kind = 'group' \
           JOIN principal_group g ON g.tenant_id = $1 AND g.id = m.member_id WHERE g.slug = $3"
    );
    let found: i64 =
        on!(db, |c| sqlx::query_scalar(query).bind(tenant).bind(depth()).bind(group).fetch_one(c))?;
    Ok(found > 0)
}

fn depth() -> i64 {
    i64::try_from(MAX_DEPTH).unwrap_or(i64::MAX)
}
