//! SQL of mirror links, and of the entries that bundles are made of.

use kernel::{
    Result,
    clock::Time,
    db::{
        Executor,
        list::{ListQuery, ListSpec, Page, list},
        tx::Tx,
    },
    execute,
    filter::{Field, Value},
    on,
    page::PageKey,
    scope::{Scope, ScopeKind},
};
use uuid::Uuid;

use super::model::{MirrorLink, MirrorLinkId};

macro_rules! columns {
    () => {
        "l.id, l.display_name, l.create_time, l.expire_time, l.revoke_time"
    };
}

const LIST: ListSpec = ListSpec {
    name: "mirror_links",
    columns: columns!(),
    from: "mirror_link l",
    id: "l.id",
    fields: &[
        Field::text("display_name", "l.display_name").unsorted(),
        Field::time("create_time", "l.create_time"),
        Field::time("expire_time", "l.expire_time"),
        Field::time("revoke_time", "l.revoke_time").unsorted(),
    ],
    order: "create_time",
    deleted: "",
};

/// A link as stored; its name comes from the scope.
#[derive(sqlx::FromRow)]
struct LinkRow {
    id: MirrorLinkId,
    display_name: String,
    create_time: Time,
    expire_time: Time,
    revoke_time: Option<Time>,
}

/// A link and where it belongs, as its secret finds it.
#[derive(sqlx::FromRow)]
struct FoundRow {
    scope_id: Uuid,
    scope_kind: String,
    #[sqlx(flatten)]
    link: LinkRow,
}

impl LinkRow {
    fn in_scope(self, scope: &Scope) -> MirrorLink {
        MirrorLink {
            name: scope.child("mirrorLinks", self.id),
            scope_kind: scope.kind(),
            scope_id: scope.id(),
            id: self.id,
            display_name: self.display_name,
            create_time: self.create_time,
            expire_time: self.expire_time,
            revoke_time: self.revoke_time,
        }
    }
}

/// Inserts a link and the digest under which its secret is found.
pub async fn link_insert(tx: &mut Tx<'_>, link: &MirrorLink, digest: &[u8; 32]) -> Result<()> {
    let query = "INSERT INTO mirror_link (scope_id, id, scope_kind, display_name, create_time, expire_time) \
         VALUES ($1, $2, $3, $4, $5, $6)";
    execute!(
        tx,
        sqlx::query(query)
            .bind(link.scope_id)
            .bind(link.id)
            .bind(link.scope_kind.as_str())
            .bind(&link.display_name)
            .bind(link.create_time)
            .bind(link.expire_time)
    )?;
    let query = "INSERT INTO mirror_link_key (sha256, scope_id, link_id) VALUES ($1, $2, $3)";
    execute!(tx, sqlx::query(query).bind(digest.as_slice()).bind(link.scope_id).bind(link.id)).map(|_| ())
}

/// A link of the scope.
pub async fn link_get(db: &mut impl Executor, scope: &Scope, id: Uuid) -> Result<Option<MirrorLink>> {
    let row: Option<LinkRow> = on!(db, |c| sqlx::query_as(concat!(
        "SELECT ",
        columns!(),
        " FROM mirror_link l WHERE l.scope_id = $1 AND l.id = $2"
    ))
    .bind(scope.id())
    .bind(id)
    .fetch_optional(c))?;
    Ok(row.map(|r| r.in_scope(scope)))
}

/// The link with this secret, good or not, and its scope; none when either is gone.
pub async fn link_find(db: &mut impl Executor, digest: &[u8; 32]) -> Result<Option<(Scope, MirrorLink)>> {
    let found: Option<FoundRow> = on!(db, |c| {
        sqlx::query_as(concat!(
        "SELECT l.scope_id, l.scope_kind, ",
        columns!(),
        " FROM mirror_link_key k JOIN mirror_link l ON l.scope_id = k.scope_id AND l.id = k.link_id WHERE k.sha256 = $1"
    ))
    .bind(digest.as_slice())
    .fetch_optional(c)
    })?;
    let Some(found) = found else { return Ok(None) };
    let scope = Scope::by_id(db, ScopeKind::parse(&found.scope_kind)?, found.scope_id).await?;
    Ok(scope.map(|scope| {
        let link = found.link.in_scope(&scope);
        (scope, link)
    }))
}

/// Marks a link revoked; returns how many rows changed: none when it is revoked already.
pub async fn link_revoke(tx: &mut Tx<'_>, link: &MirrorLink, at: Time) -> Result<u64> {
    let query =
        "UPDATE mirror_link SET revoke_time = $1 WHERE scope_id = $2 AND id = $3 AND revoke_time IS NULL";
    execute!(tx, sqlx::query(query).bind(at).bind(link.scope_id).bind(link.id))
}

/// Links of the scope.
pub async fn link_list(
    db: &mut impl Executor,
    scope: &Scope,
    query: &ListQuery,
    key: &PageKey,
) -> Result<Page<MirrorLink>> {
    let keys = [("l.scope_id", Value::Id(scope.id()))];
    let page: Page<LinkRow> = list(db, &LIST, &keys, query, key).await?;
    Ok(page.map(|r| r.in_scope(scope)))
}

/// Entries of a log from index `first` up to, not including, `end`, in order.
pub async fn entry_get_all(db: &mut impl Executor, scope: Uuid, first: i64, end: i64) -> Result<Vec<String>> {
    let query = "SELECT entry FROM audit_event WHERE scope_id = $1 AND idx >= $2 AND idx < $3 ORDER BY idx";
    on!(db, |c| sqlx::query_scalar(query).bind(scope).bind(first).bind(end).fetch_all(c))
}
