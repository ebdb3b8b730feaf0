//! The use cases of figures.

use std::collections::{BTreeMap, BTreeSet};

use kernel::{
    Ctx, Result,
    authz::{Action, Class},
    db::Executor,
    error::Error,
    ids::{Slug, TenantId, clip},
    scope::{Scope, ScopeKind},
};
use tenancy::{
    principal::{name::parse, store::principal_get},
    role::model::RoleFamily,
};
use uuid::Uuid;

use super::{
    collect::{Collect, Directory, Place},
    model::{Answer, Asked, MAX_FIGURES, UsageQuery},
    store,
};
use crate::{
    event, meter,
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

/// Figures of the tenant `parent`, or of its `principal`. Every event that was answered before the call is in them.
pub async fn usage_query(ctx: &Ctx, parent: &str, principal: &str, asked: Asked) -> Result<(Answer, Names)> {
    let scope = ctx.tenant("parent", parent).await?;
    let slug = one_of(&scope, principal)?;
    let caller = ctx.caller();
    let own = caller.home.id() == scope.id()
        && caller.principal.as_ref().is_some_and(|p| Some(&p.slug) == slug.as_ref());
    ctx.authorize_own(QUERY, &scope, own).await?;
    let tenant = scope.tenant()?.id;
    let of = match &slug {
        None => None,
        Some(slug) => {
            let found = principal_get(&mut ctx.read().await?, scope.id(), slug).await?;
            Some(found.ok_or_else(|| Error::not_found("principal", clip(principal)))?.id.0)
        }
    };
    answer(ctx, tenant, of, asked).await
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
pub async fn answer(
    ctx: &Ctx,
    tenant: TenantId,
    principal: Option<Uuid>,
    asked: Asked,
) -> Result<(Answer, Names)> {
    let mut db = ctx.kernel().db.snapshot().await?;
    // the first statement fixes what all others see
    let head = event::store::head_get(&mut db, tenant).await?;
    let meters = meter::store::meters_of(&mut db, tenant, head.meters).await?;
    let query = UsageQuery { principal, ..UsageQuery::new(asked, ctx.now(), &meters)? };
    let mark = rollup::store::watermark_get(&mut db, tenant).await?.unwrap_or_default();
    let mut names = Names { directory: directory(&mut db, tenant).await?, ..Names::default() };
    let stale = rollup::stale::days_of(&mut db, tenant).await?;
    let place = Place { tenant, mark, head: head.next_seq, names: &names.directory, meters: &meters, stale };
    let mut answer = Answer {
        figures: Vec::new(),
        watermark_time: mark.sums_time,
        tail_events: 0,
        warnings: Vec::new(),
        // an end that was left open is not told
        open: query.windows.last().filter(|_| query.open).map(|span| span.end),
    };
    for meter in &query.meters {
        let (figures, read) = Collect::run(&mut db, &query, meter, &place).await?;
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
    warn_of_versions(&mut answer);
    sort(&mut answer, &names);
    Ok((answer, names))
}

/// Names of roles and units, and the families of roles.
pub async fn directory(db: &mut impl Executor, tenant: TenantId) -> Result<Directory> {
    let mut directory = Directory::default();
    for (id, slug, family) in store::role_names(db, tenant).await? {
        directory.families.insert(id, RoleFamily::try_from(family)?);
        directory.roles.insert(id, slug);
    }
    directory.units = store::unit_names(db, tenant).await?.into_iter().collect();
    Ok(directory)
}

/// Says of which meters there are figures of several versions.
fn warn_of_versions(answer: &mut Answer) {
    let mut versions = BTreeMap::<&str, BTreeSet<i64>>::new();
    for figure in &answer.figures {
        versions.entry(&figure.meter.key).or_default().insert(figure.meter.version);
    }
    let several = versions.into_iter().filter(|(_, versions)| versions.len() > 1);
    let warnings: Vec<_> = several
        .map(|(key, versions)| {
            let versions: Vec<_> = versions.iter().map(ToString::to_string).collect();
            format!(
                "`{key}` has figures of versions {}, which do not add up: each has rows of its own",
                versions.join(", ")
            )
        })
        .collect();
    answer.warnings.extend(warnings);
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
            f.meter.key.to_string(),
            f.meter.version,
            f.window,
            f.group.family,
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
