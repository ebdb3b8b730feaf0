//! The use cases of a tenant's adoption.

use std::{collections::BTreeSet, sync::Arc};

use entitlement::{Policies, decision::live::Loaded};
use kernel::{
    Ctx, Error, Result,
    authz::{Action, Class},
    clock::Time,
    db::{
        Reader,
        list::{ListQuery, Page},
    },
    ids::TenantId,
    revision::Revision,
    scope::ScopeKind,
};

use super::{
    activation::{Activation, FirstUse, Funnel, Uses},
    dormant::{Asked, Dormant},
    model::{Actives, Row, by_window},
    since::Grounds,
    store,
};
use crate::{
    event,
    meter::{self, ACTIVE_PRINCIPALS, Meter, Meters},
    query::{
        self,
        collect::{Collect, Directory, Members, Place},
        filter::Filter,
        model::{Dimension, MAX_FIGURES, UsageQuery},
        window::Span,
    },
    rollup::{self, book::Book, fold::QUARTER, store::Watermark},
};

const fn action(rpc: &'static str, verb: &'static str) -> Action {
    Action { rpc, noun: "usage", verb, class: Class::Read, scopes: &[ScopeKind::Tenant] }
}
/// Asks who is active.
pub const ADOPTION: Action = action("provost.usage.v1.UsageService/QueryAdoption", "query_adoption");
/// Lists who may use what and does not.
pub const DORMANT: Action = action("provost.usage.v1.UsageService/ListDormantEntitlements", "list_dormant");

/// What is known of a tenant's active principals at one moment: all that follows is read on the same snapshot.
pub struct Ledger {
    db: Reader,
    tenant: TenantId,
    mark: Watermark,
    /// The first place that is not taken.
    head: i64,
    meters: Arc<Meters>,
    /// Names of what principals are told apart by.
    pub names: Directory,
    meter: Arc<Meter>,
    /// Days whose rollups are not what the events say.
    stale: BTreeSet<Time>,
    /// Series and members by number, once they are read.
    book: Option<Book>,
    read: u64,
}

impl Ledger {
    /// Opens it.
    pub async fn open(ctx: &Ctx, tenant: TenantId) -> Result<Self> {
        let mut db = ctx.kernel().db.snapshot().await?;
        // the first statement fixes what all others see
        let head = event::store::head_get(&mut db, tenant).await?;
        let mark = rollup::store::watermark_get(&mut db, tenant).await?.unwrap_or_default();
        let names = query::ops::directory(&mut db, tenant).await?;
        let meters = meter::store::meters_of(&mut db, tenant, head.meters).await?;
        let stale = rollup::stale::days_of(&mut db, tenant).await?;
        let meter = meter::find(ACTIVE_PRINCIPALS).and_then(|m| meters.get(m.number)).cloned();
        let meter = meter.ok_or_else(|| Error::internal("no meter of active principals"))?;
        Ok(Self { db, tenant, mark, head: head.next_seq, meters, names, meter, stale, book: None, read: 0 })
    }

    /// All series and members; read once, and not at all for what needs none of them.
    async fn book(&mut self) -> Result<Book> {
        if let Some(book) = self.book.take() {
            return Ok(book);
        }
        let mut book =
            rollup::store::series_list(&mut self.db, self.tenant, &self.meters, Some(&self.meter)).await?;
        for (id, principal) in rollup::store::member_list(&mut self.db, self.tenant).await? {
            book.enter_member(u32::try_from(id).unwrap_or(u32::MAX), principal);
        }
        Ok(book)
    }

    /// Whether a question is answered by sums of everything together alone.
    fn is_plain(&self, windows: &[Span], group_by: &[Dimension]) -> bool {
        let whole = |span: &Span| [span.start, span.end].iter().all(|t| t.micros().rem_euclid(QUARTER) == 0);
        group_by.is_empty()
            && self.stale.is_empty()
            && self.mark.members_seq >= self.head
            && windows.iter().all(whole)
    }

    /// Who was active, by window and group.
    pub async fn members(&mut self, windows: Vec<Span>, group_by: Vec<Dimension>) -> Result<Members> {
        let plain = self.is_plain(&windows, &group_by);
        let book = if plain { Book::default() } else { self.book().await? };
        let query = UsageQuery {
            meters: vec![Arc::clone(&self.meter)],
            windows,
            open: false,
            group_by,
            filter: Filter::default(),
            principal: None,
        };
        let Self { db, tenant, mark, head, meters, names, meter, stale, .. } = self;
        let place = Place { tenant: *tenant, mark: *mark, head: *head, names, meters, stale: stale.clone() };
        let (members, grown, read) = Collect::members(db, &query, meter, &place, book).await?;
        if !plain {
            self.book = Some(grown);
        }
        self.read = self.read.max(read);
        Ok(members)
    }

    /// Who was active in `periods` and before them.
    pub async fn actives<'p>(&mut self, periods: &'p [Span], now: Time) -> Result<Actives<'p>> {
        let first = periods.first().map_or(now, |p| p.start);
        let ever = Span { start: Time::from_micros(0).min(first), end: first };
        let windows: Vec<_> = std::iter::once(ever).chain(periods.iter().copied()).collect();
        let count = windows.len();
        let mut totals = by_window(self.members(windows, Vec::new()).await?, count);
        let before = totals.remove(0);
        Ok(Actives { periods, totals, before, now })
    }

    /// Where people stand who may use plugins.
    pub async fn activation(&mut self, loaded: &Loaded, now: Time) -> Result<Activation> {
        let mut book = self.book().await?;
        let Self { db, tenant, mark, head, meters, names, meter, stale, read, .. } = self;
        let place = Place { tenant: *tenant, mark: *mark, head: *head, names, meters, stale: stale.clone() };
        let uses = Uses::load(db, meter, &place, &mut book, now).await?;
        *read = uses.read.max(*read);
        let people = store::person_list(db, *tenant).await?;
        let sighted = store::sighted_list(db, *tenant).await?;
        let activation = Activation::new(people, loaded, &sighted, &uses, &book, now);
        self.book = Some(book);
        Ok(activation)
    }

    /// When the rollups were last brought up to date.
    pub fn watermark_time(&self) -> Time {
        self.mark.members_time
    }
}

/// A tenant's adoption.
#[derive(Debug)]
pub struct Adoption {
    /// By group and period.
    pub rows: Vec<Row>,
    /// By period.
    pub totals: Vec<Row>,
    /// How far people came.
    pub funnel: Funnel,
    /// How fast.
    pub first_use: FirstUse,
    /// Pairs of principal and plugin.
    pub dormant: i64,
    /// Up to when the rollups go.
    pub watermark_time: Time,
    /// Events that were read beside them.
    pub tail_events: u64,
    /// Names of the groups.
    pub names: Directory,
}

/// Who is active in `parent`, in `periods` of which the first is only compared with.
pub async fn adoption_query(
    ctx: &Ctx,
    policies: &Arc<Policies>,
    parent: &str,
    periods: &[Span],
    by: Option<Dimension>,
) -> Result<Adoption> {
    let scope = ctx.tenant("parent", parent).await?;
    ctx.authorize(ADOPTION, &scope).await?;
    let (tenant, now) = (scope.tenant()?.id, ctx.now());
    // before the snapshot: nobody holds one connection while it waits for another
    let loaded = policies.current(tenant, Revision::default()).await?;
    let mut ledger = Ledger::open(ctx, tenant).await?;
    let actives = ledger.actives(periods, now).await?;
    let mut rows = match by {
        None => Vec::new(),
        Some(dimension) => actives.group_rows(&ledger.members(periods.to_vec(), vec![dimension]).await?),
    };
    if rows.len() > MAX_FIGURES {
        let message = format!(
            "the answer has more than {MAX_FIGURES} rows; ask for fewer periods, or group by something with fewer values"
        );
        return Err(Error::Limit { limit: "usage.rows".to_owned(), message });
    }
    sort(&mut rows, &ledger.names);
    let activation = ledger.activation(&loaded, now).await?;
    let grounds = Grounds::load(&mut ledger.db, tenant).await?;
    Ok(Adoption {
        rows,
        totals: actives.total_rows(),
        funnel: activation.funnel(),
        first_use: activation.first_use(&grounds),
        dormant: activation.dormant(),
        watermark_time: ledger.watermark_time(),
        tail_events: ledger.read,
        names: ledger.names,
    })
}

/// By the names of groups, which is how people read them, and by time.
fn sort(rows: &mut [Row], names: &Directory) {
    rows.sort_by_cached_key(|row| {
        let of = |id: Option<uuid::Uuid>, map: &std::collections::HashMap<uuid::Uuid, String>| {
            id.and_then(|id| map.get(&id).cloned()).unwrap_or_default()
        };
        let (role, unit) = (of(row.group.role, &names.roles), of(row.group.unit, &names.units));
        let dims: Vec<_> = row.group.dims.values().cloned().collect();
        (row.group.family, role, unit, row.group.client.clone(), dims, row.period)
    });
}

/// Who of `parent` may use what and does not.
pub async fn dormant_list(
    ctx: &Ctx,
    policies: &Arc<Policies>,
    parent: &str,
    query: &ListQuery,
) -> Result<Page<Dormant>> {
    let scope = ctx.tenant("parent", parent).await?;
    ctx.authorize(DORMANT, &scope).await?;
    let asked = Asked::parse(parent, query)?;
    let tenant = scope.tenant()?.id;
    let loaded = policies.current(tenant, Revision::default()).await?;
    let activation = Ledger::open(ctx, tenant).await?.activation(&loaded, ctx.now()).await?;
    asked.page(&activation, query, &ctx.kernel().page_key)
}
