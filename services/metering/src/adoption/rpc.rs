//! Adoption on the wire. The service it is part of is usage's.

use kernel::{Ctx, Error, Result, clock::Time, db::list::Page};
use proto::usage::v1 as pb;
use tenancy::role::model::RoleFamily;

use super::{
    dormant::Dormant,
    model::{self, DEFAULT_PERIODS, Row, Window},
    ops::Adoption,
    portfolio::Client,
};
use crate::query::{
    collect::Directory,
    model::Dimension,
    window::{Span, zone},
};

/// The asked periods and the one before them; `count` 0 means the default.
pub fn periods(ctx: &Ctx, kind: i32, time_zone: &str, count: i32) -> Result<Vec<Span>> {
    let kind = window(kind)?;
    let count = if count == 0 { DEFAULT_PERIODS } else { count };
    model::periods(kind, &zone("time_zone", time_zone)?, ctx.now(), count)
}

fn window(number: i32) -> Result<Window> {
    match pb::AdoptionWindow::try_from(number) {
        Ok(pb::AdoptionWindow::Unspecified | pb::AdoptionWindow::Week) => Ok(Window::Week),
        Ok(pb::AdoptionWindow::Month) => Ok(Window::Month),
        Ok(pb::AdoptionWindow::Days28) => Ok(Window::Days28),
        Err(_) => {
            let message = format!("`{number}` is no window; use WEEK, MONTH or DAYS_28");
            Err(Error::invalid("window", message))
        }
    }
}

/// The dimension asked for.
pub fn dimension(number: i32) -> Result<Option<Dimension>> {
    Ok(Some(match pb::AdoptionDimension::try_from(number) {
        Ok(pb::AdoptionDimension::Unspecified) => return Ok(None),
        Ok(pb::AdoptionDimension::RoleFamily) => Dimension::RoleFamily,
        Ok(pb::AdoptionDimension::Role) => Dimension::Role,
        Ok(pb::AdoptionDimension::Unit) => Dimension::Unit,
        Ok(pb::AdoptionDimension::Plugin) => Dimension::Dim("plugin".into()),
        Ok(pb::AdoptionDimension::Client) => Dimension::Client,
        Err(_) => {
            let message =
                format!("`{number}` is no dimension; use ROLE_FAMILY, ROLE, UNIT, PLUGIN or CLIENT, or none");
            return Err(Error::invalid("group_by", message));
        }
    }))
}

/// The answer about `tenant`.
pub fn answer(ctx: &Ctx, tenant: &str, found: Adoption) -> pb::QueryAdoptionResponse {
    let Adoption { funnel, first_use, names, .. } = found;
    let rows = |rows: Vec<Row>| rows.into_iter().map(|r| row(tenant, r, &names)).collect();
    pb::QueryAdoptionResponse {
        rows: rows(found.rows),
        totals: rows(found.totals),
        funnel: Some(pb::ActivationFunnel {
            entitled: funnel.entitled,
            installed: funnel.installed,
            first_use: funnel.first_use,
            weekly_use: funnel.weekly_use,
        }),
        time_to_first_use: Some(pb::TimeToFirstUse {
            principals: first_use.principals,
            p50_days: first_use.p50,
            p90_days: first_use.p90,
        }),
        dormant_entitlements: found.dormant,
        complete_through: Some(ctx.now().into()),
        watermark_time: told(found.watermark_time),
        tail_events: i64::try_from(found.tail_events).unwrap_or(i64::MAX),
    }
}

/// A time that has come.
fn told(time: Time) -> Option<prost_types::Timestamp> {
    (time.micros() > 0).then(|| time.into())
}

fn row(tenant: &str, row: Row, names: &Directory) -> pb::AdoptionRow {
    let name = |collection: &str, slug: Option<&String>| {
        slug.map_or_else(String::new, |slug| format!("{tenant}/{collection}/{slug}"))
    };
    let group = row.group;
    pb::AdoptionRow {
        role_family: family(group.family.unwrap_or_default()),
        role: name("roles", group.role.and_then(|id| names.roles.get(&id))),
        unit_name: name("units", group.unit.and_then(|id| names.units.get(&id))),
        plugin: group.dims.into_values().next().unwrap_or_default(),
        client: group.client,
        start_time: Some(row.period.start.into()),
        end_time: Some(row.period.end.into()),
        partial: row.partial,
        active_principals: row.active,
        share_basis_points: row.share,
        growth_basis_points: row.growth,
        new_principals: row.new,
        returning_principals: row.returning,
    }
}

fn family(family: RoleFamily) -> i32 {
    proto::role::v1::RoleFamily::from(family).into()
}

/// A page of who may use what and does not.
pub fn dormant_page(tenant: &str, page: Page<Dormant>) -> pb::ListDormantEntitlementsResponse {
    let one = |d: Dormant| pb::DormantEntitlement {
        principal: format!("{tenant}/principals/{}", d.principal),
        plugin: d.plugin,
        installed_time: d.installed.map(Into::into),
        last_use_day: d.last_use.map(Into::into),
    };
    let Page { items, next_page_token } = page;
    let dormant_entitlements = items.into_iter().map(one).collect();
    pb::ListDormantEntitlementsResponse { dormant_entitlements, next_page_token }
}

/// A page of how clients stand.
pub fn portfolio_page(page: Page<Client>) -> pb::ListPortfolioAdoptionResponse {
    let one = |client: Client| pb::TenantAdoption {
        tenant: format!("tenants/{}", client.tenant.slug),
        stage: client.tenant.state.as_str().to_ascii_uppercase(),
        active_principals: client.row.active,
        developers: client.developers,
        non_developers: client.non_developers,
        new_principals: client.row.new,
        growth_basis_points: client.row.growth,
        start_time: Some(client.row.period.start.into()),
        end_time: Some(client.row.period.end.into()),
        watermark_time: told(client.watermark_time),
    };
    let Page { items, next_page_token } = page;
    pb::ListPortfolioAdoptionResponse { tenants: items.into_iter().map(one).collect(), next_page_token }
}
