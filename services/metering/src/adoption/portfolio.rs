//! How the clients of a partner stand: the same figures, tenant by tenant.

use std::{collections::HashMap, sync::Arc};

use kernel::{
    Ctx, Result,
    authz::{Action, Class},
    clock::Time,
    db::list::{ListQuery, Page},
    ids::TenantId,
    scope::ScopeKind,
};
use tenancy::{
    partner::activity::Activity,
    role::model::RoleFamily,
    tenant::{model::Tenant, store::tenant_list},
};

use super::{
    activation::WEEK,
    model::{Row, count},
    ops::Ledger,
};
use crate::{
    query::{model::Dimension, window::Span},
    rollup::fold::{DAY, Level},
};

/// Lists how the clients of a partner stand.
pub const PORTFOLIO: Action = Action {
    rpc: "provost.usage.v1.UsageService/ListPortfolioAdoption",
    noun: "partner",
    verb: "portfolio_adoption",
    class: Class::Read,
    scopes: &[ScopeKind::Partner],
};
/// Most clients in an answer: each takes questions of its own.
const MAX_PAGE: i32 = 100;

/// How one client stands in the last period.
#[derive(Debug)]
pub struct Client {
    /// The client.
    pub tenant: Tenant,
    /// Everybody.
    pub row: Row,
    /// Under a role of this family.
    pub developers: i64,
    /// Likewise.
    pub non_developers: i64,
    /// Up to when its rollups go.
    pub watermark_time: Time,
}

/// How the living clients of `parent` stand in the last of two `periods`. Which clients those are is the partner's own list: nobody
/// sees another partner's.
pub async fn portfolio_list(
    ctx: &Ctx,
    parent: &str,
    periods: &[Span],
    query: &ListQuery,
) -> Result<Page<Client>> {
    let scope = ctx.partner("parent", parent).await?;
    ctx.authorize(PORTFOLIO, &scope).await?;
    let query = ListQuery { page_size: query.page_size.min(MAX_PAGE), ..query.clone() };
    let page = tenant_list(&mut ctx.read().await?, &scope, &query, &ctx.kernel().page_key).await?;
    let mut items = Vec::with_capacity(page.items.len());
    for tenant in page.items {
        items.extend(client(ctx, tenant, periods).await?);
    }
    Ok(Page { items, next_page_token: page.next_page_token })
}

async fn client(ctx: &Ctx, tenant: Tenant, periods: &[Span]) -> Result<Option<Client>> {
    let mut ledger = Ledger::open(ctx, tenant.id).await?;
    let actives = ledger.actives(periods, ctx.now()).await?;
    let Some(row) = actives.total_rows().pop() else { return Ok(None) };
    let last = periods.last().copied().into_iter().collect();
    let families = ledger.members(last, vec![Dimension::RoleFamily]).await?;
    let of = |family| {
        let found = families.iter().find(|((_, group), _)| group.family == Some(family));
        found.map_or(0, |(_, members)| count(members))
    };
    let (developers, non_developers) = (of(RoleFamily::Developer), of(RoleFamily::NonDeveloper));
    Ok(Some(Client { tenant, row, developers, non_developers, watermark_time: ledger.watermark_time() }))
}

/// What the portfolio of tenancy, which lies below, is told of activity.
#[derive(Debug)]
pub struct Weekly;

#[tonic::async_trait]
impl Activity for Weekly {
    async fn weekly_active(&self, ctx: &Ctx, tenants: &[TenantId]) -> Result<HashMap<TenantId, i64>> {
        let today = Level::Day.bucket(ctx.now()).micros();
        let days =
            Span { start: Time::from_micros(today + DAY - WEEK * DAY), end: Time::from_micros(today + DAY) };
        let mut active = HashMap::with_capacity(tenants.len());
        for tenant in tenants {
            let members = Ledger::open(ctx, *tenant).await?.members(vec![days], Vec::new()).await?;
            active.insert(*tenant, members.values().map(count).sum());
        }
        Ok(active)
    }
}

/// For the server, to be handed to tenancy.
pub fn activity() -> Arc<dyn Activity> {
    Arc::new(Weekly)
}
