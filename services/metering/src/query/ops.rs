//! The use cases of figures.

use kernel::{
    Ctx, Result,
    authz::{Action, Class},
    db::list::Page,
    error::Error,
    ids::{Slug, TenantId, clip},
    page::{self, Cursor},
    scope::{Scope, ScopeKind},
};
use tenancy::principal::{name::parse, store::principal_get};
use uuid::Uuid;

use super::{
    collect::{Collect, Directory, Place},
    model::{Answer, MAX_FIGURES, UsageQuery},
    store,
};
use crate::{
    event,
    meter::{METERS, Meter},
    rollup::{self, book::OTHER},
};

/// Asks for figures.
pub const QUERY: Action = Action {
    rpc: "provost.usage.v1.UsageService/QueryUsage",
    noun: "usage",
    verb: "query",
    class: Class::Read,
    scopes: &[ScopeKind::Tenant],
};
/// Lists the meters.
pub const LIST_METERS: Action = Action {
    rpc: "provost.usage.v1.UsageService/ListMeters",
    noun: "meter",
    verb: "list",
    class: Class::Read,
    scopes: &[ScopeKind::Platform],
};

/// Figures of the tenant `parent`, or of its `principal`. Every event that was answered before the call is in them.
pub async fn usage_query(
    ctx: &Ctx,
    parent: &str,
    principal: &str,
    mut query: UsageQuery,
) -> Result<(Answer, Names)> {
    let scope = ctx.tenant("parent", parent).await?;
    let slug = one_of(&scope, principal)?;
    let caller = ctx.caller();
    let own = caller.home.id() == scope.id()
        && caller.principal.as_ref().is_some_and(|p| Some(&p.slug) == slug.as_ref());
    ctx.authorize_own(QUERY, &scope, own).await?;
    let tenant = scope.tenant()?.id;
    if let Some(slug) = &slug {
        let found = principal_get(&mut ctx.read().await?, scope.id(), slug).await?;
        query.principal = Some(found.ok_or_else(|| Error::not_found("principal", clip(principal)))?.id.0);
    }
    answer(ctx, tenant, &query).await
}

/// Names of what figures are told apart by.
#[derive(Debug, Default)]
pub struct Names {
    /// Of roles and units.
    pub directory: Directory,
    /// Of principals.
    pub principals: std::collections::HashMap<uuid::Uuid, String>,
}

/// Answers a question about a tenant in one snapshot.
pub async fn answer(ctx: &Ctx, tenant: TenantId, query: &UsageQuery) -> Result<(Answer, Names)> {
    let mut db = ctx.kernel().db.snapshot().await?;
    // the first statement fixes what all others see
    let head = event::store::head_get(&mut db, tenant).await?;
    let mark = rollup::store::watermark_get(&mut db, tenant).await?.unwrap_or_default();
    let mut names = Names::default();
    names.directory.roles = store::role_names(&mut db, tenant).await?.into_iter().collect();
    names.directory.units = store::unit_names(&mut db, tenant).await?.into_iter().collect();
    let stale = rollup::stale::days_of(&mut db, tenant).await?;
    let place = Place { tenant, mark, head, names: &names.directory, stale };
    let mut answer =
        Answer { figures: Vec::new(), watermark_time: mark.sums_time, tail_events: 0, warnings: Vec::new() };
    for meter in &query.meters {
        let (figures, read) = Collect::run(&mut db, query, meter, &place).await?;
        answer.tail_events = answer.tail_events.max(read);
        answer.figures.extend(figures);
        if answer.figures.len() > MAX_FIGURES {
            return Err(too_many());
        }
    }
    let mut people: Vec<_> = answer.figures.iter().filter_map(|f| f.group.principal).collect();
    people.sort_unstable();
    people.dedup();
    names.principals = store::principal_names(&mut db, tenant, &people).await?.into_iter().collect();
    let other = answer.figures.iter().any(|f| f.group.dims.values().any(|value| value == OTHER));
    if other {
        answer.warnings.push(format!(
            "`{OTHER}` stands for values beyond the {} that are told apart of one dimension; the figures are exact",
            rollup::book::MAX_DIM_VALUES
        ));
    }
    sort(&mut answer, &names);
    Ok((answer, names))
}

fn too_many() -> Error {
    Error::Limit {
        limit: "usage.rows".to_owned(),
        message: format!(
            "the answer has more than {MAX_FIGURES} rows; ask for fewer meters, a shorter interval, longer windows or fewer dimensions"
        ),
    }
}

/// By meter, window and the names of the group, which is how people read them.
fn sort(answer: &mut Answer, names: &Names) {
    answer.figures.sort_by_cached_key(|f| {
        let of = |id: Option<uuid::Uuid>, map: &std::collections::HashMap<uuid::Uuid, String>| {
            id.and_then(|id| map.get(&id).cloned()).unwrap_or_default()
        };
        (
            f.meter.key,
            f.window,
            of(f.group.role, &names.directory.roles),
            of(f.group.unit, &names.directory.units),
            of(f.group.principal, &names.principals),
            f.group.client.clone(),
            f.group.dims.values().cloned().collect::<Vec<_>>(),
        )
    });
}

/// The slug of the scope's principal that `name` names; none when it is empty.
fn one_of(scope: &Scope, name: &str) -> Result<Option<Slug>> {
    const FIELD: &str = "principal";
    if name.is_empty() {
        return Ok(None);
    }
    let (parent, slug) = parse(FIELD, name)?;
    if parent != scope.to_string() {
        return Err(Error::invalid(FIELD, format!("`{}` is no principal of `{scope}`", clip(name))));
    }
    Ok(Some(slug))
}

/// A page of the built-in meters, sorted by key.
pub async fn meter_list(ctx: &Ctx, page_size: i32, page_token: &str) -> Result<Page<&'static Meter>> {
    const QUESTION: &str = "meters";
    ctx.authorize(LIST_METERS, &Scope::Platform).await?;
    let (size, key) = (usize::try_from(page::size(page_size)?).unwrap_or(usize::MAX), &ctx.kernel().page_key);
    let after = match page_token {
        "" => String::new(),
        token => key.open(QUESTION, token)?.text,
    };
    let mut items: Vec<_> = METERS.iter().filter(|m| *m.key > *after).collect();
    let more = items.len() > size;
    items.truncate(size);
    let next_page_token = match items.last().filter(|_| more) {
        Some(last) => key.seal(QUESTION, Cursor { text: last.key.to_owned(), int: 0, id: Uuid::nil() })?,
        None => String::new(),
    };
    Ok(Page { items, next_page_token })
}
