//! Which roles a principal holds: directly, through its groups, and through what those roles take in.

use kernel::{
    Result,
    clock::Time,
    db::Executor,
    ids::{PrincipalId, Slug, TenantId},
    on,
};

use crate::role::model::{MAX_DEPTH, RoleId};

/// A role that counts for a principal.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct HeldRole {
    /// Identity.
    pub id: RoleId,
    /// Last segment of the role's name.
    pub slug: Slug,
    /// Held by the principal itself; `false` when it comes through a group or through another role.
    pub direct: bool,
    /// Since when the principal holds it, or the role that brings it.
    pub since: Time,
}

/// The living roles that the principal holds directly or through living groups, each once: directly held ones first, then
/// by how long they are held, then by slug. Whether the principal itself lives and is active is the caller's question.
pub async fn roles_of(
    db: &mut impl Executor,
    tenant: TenantId,
    principal: PrincipalId,
) -> Result<Vec<HeldRole>> {
    Ok(one_each(held_select(db, tenant, principal, 1).await?))
}

/// Like [`roles_of`], with the roles that those take in, transitively. A deleted role takes nothing in.
pub async fn roles_with_included(
    db: &mut impl Executor,
    tenant: TenantId,
    principal: PrincipalId,
) -> Result<Vec<HeldRole>> {
    let depth = i64::try_from(MAX_DEPTH).unwrap_or(i64::MAX);
    Ok(one_each(held_select(db, tenant, principal, depth).await?))
}

/// Every way in which a role comes to the principal, in chains of at most `depth` roles.
async fn held_select(
    db: &mut impl Executor,
    tenant: TenantId,
    principal: PrincipalId,
    depth: i64,
) -> Result<Vec<HeldRole>> {
    let query = "WITH RECURSIVE \
         seed (role_id, direct, since) AS ( \
             SELECT m.role_id, TRUE, m.create_time FROM role_member m \
              WHERE m.tenant_id = $1 AND m.member_kind = 'principal' AND m.member_id = $2 \
             UNION ALL \
             SELECT m.role_id, FALSE, CASE WHEN m.create_time > g.create_time THEN m.create_time ELSE g.create_time END \
               FROM group_member g \
               JOIN principal_group p ON p.tenant_id = g.tenant_id AND p.id = g.group_id AND p.delete_time IS NULL \
               JOIN role_member m ON m.tenant_id = g.tenant_id AND m.member_kind = 'group' AND m.member_id = g.group_id \
              WHERE g.tenant_id = $1 AND g.principal_id = $2), \
         held (id, slug, direct, since, depth) AS ( \
             SELECT r.id, r.slug, s.direct, s.since, 1 FROM seed s \
               JOIN role r ON r.tenant_id = $1 AND r.id = s.role_id AND r.delete_time IS NULL \
             UNION \
             SELECT r.id, r.slug, FALSE, h.since, h.depth + 1 FROM held h \
               JOIN role_inclusion n ON n.tenant_id = $1 AND n.role_id = h.id \
               JOIN role r ON r.tenant_id = $1 AND r.id = n.included_id AND r.delete_time IS NULL \
              WHERE h.depth < $3) \
         SELECT id, slug, direct, since FROM held";
    on!(db, |c| sqlx::query_as(query).bind(tenant).bind(principal).bind(depth).fetch_all(c))
}

/// Keeps the strongest way in which each role is held.
fn one_each(mut held: Vec<HeldRole>) -> Vec<HeldRole> {
    held.sort_by(|a, b| (!a.direct, a.since, &a.slug).cmp(&(!b.direct, b.since, &b.slug)));
    let mut seen = std::collections::HashSet::new();
    held.retain(|role| seen.insert(role.id));
    held
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(slug: &str, direct: bool, since: i64) -> HeldRole {
        let id = RoleId(uuid::Uuid::from_u128(slug.bytes().fold(0, |n, b| n * 256 + u128::from(b))));
        HeldRole { id, slug: Slug::parse("role", slug).unwrap(), direct, since: Time::from_micros(since) }
    }

    #[test]
    fn a_role_held_in_several_ways_counts_once_and_directly_held_ones_come_first() {
        let ways = vec![
            held("sales", false, 1),
            held("banker", true, 9),
            held("sales", true, 5),
            held("banker", false, 2),
        ];
        assert_eq!(one_each(ways), [held("sales", true, 5), held("banker", true, 9)]);
    }

    #[test]
    fn of_two_indirect_ways_the_older_counts_and_ties_go_by_slug() {
        let ways = vec![held("b", false, 7), held("b", false, 3), held("c", false, 3), held("a", false, 3)];
        assert_eq!(one_each(ways), [held("a", false, 3), held("b", false, 3), held("c", false, 3)]);
    }
}
