//! `provost usage adoption`, `dormant` and `portfolio`.

use clap::Args;
use proto::{
    role::v1::RoleFamily,
    usage::v1::{
        AdoptionRow, AdoptionWindow, ListDormantEntitlementsRequest, ListPortfolioAdoptionRequest,
        QueryAdoptionRequest, QueryAdoptionResponse,
    },
};

use super::client;
use crate::{
    app::{App, Page},
    args::{ListArgs, choice},
    client::Repeat,
    error::{Exit, Result},
    output::{Answer, Format, bar, clean, facts, figures, percent, reflect, sparkline},
};

/// Length of the bars of the funnel.
const WIDTH: usize = 32;

/// What to count.
#[derive(Args, Debug)]
pub struct Adoption {
    /// Of which tenant; the context's by default
    #[arg(value_name = "TENANT")]
    parent: Option<String>,
    /// What a period is
    #[arg(long, value_parser = choice("provost.usage.v1.AdoptionWindow"), default_value = "week")]
    window: i32,
    /// A line for each of these; everybody together by default
    #[arg(long = "by", value_name = "DIMENSION", value_parser = choice("provost.usage.v1.AdoptionDimension"))]
    by: Option<i32>,
    /// How many periods, 1 to 60, the last of which is the present one; 12 by default
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..=60))]
    periods: Option<i32>,
    /// Time zone of the periods: an IANA name such as `Europe/Berlin`; UTC by default
    #[arg(long, value_name = "ZONE", default_value = "", hide_default_value = true)]
    time_zone: String,
}

/// Whose clients.
#[derive(Args, Debug)]
pub struct Portfolio {
    /// Of which partner; the context's by default
    #[arg(value_name = "PARTNER")]
    parent: Option<String>,
    /// What a period is
    #[arg(long, value_parser = choice("provost.usage.v1.AdoptionWindow"), default_value = "week")]
    window: i32,
    /// Time zone of the periods: an IANA name such as `Europe/Berlin`; UTC by default
    #[arg(long, value_name = "ZONE", default_value = "", hide_default_value = true)]
    time_zone: String,
    #[command(flatten)]
    list: ListArgs,
}

/// Shows who is active and how far people came.
pub(super) async fn adoption(args: Adoption, app: &mut App<'_, '_>) -> Result<Exit> {
    let request = QueryAdoptionRequest {
        parent: app.names.tenant(args.parent.as_deref())?,
        window: args.window,
        time_zone: args.time_zone,
        periods: args.periods.unwrap_or_default(),
        group_by: args.by.unwrap_or_default(),
    };
    let rpc = async |l, r| client(l).query_adoption(r).await;
    let answer = app.client()?.call(Repeat::Safe, &request, rpc).await?;
    if app.format() != Format::Table {
        app.print(&Answer::One(reflect(&answer)?))?;
        return Ok(Exit::OK);
    }
    app.console.print(&text(&answer, request.window()))?;
    app.console.note(&format!("tail events: {}", answer.tail_events));
    Ok(Exit::OK)
}

/// Lists who may use which plugin and does not.
pub(super) async fn dormant(of: &super::seen::Seen, app: &mut App<'_, '_>) -> Result<Exit> {
    let parent = app.names.tenant(of.parent.as_deref())?;
    let ask = |Page { filter, order_by, page_size, page_token }| ListDormantEntitlementsRequest {
        parent: parent.clone(),
        page_size,
        page_token,
        filter,
        order_by,
    };
    app.list(false, &of.list, ask, async |l, r| client(l).list_dormant_entitlements(r).await).await
}

/// Lists how a partner's clients stand.
pub(super) async fn portfolio(of: &Portfolio, app: &mut App<'_, '_>) -> Result<Exit> {
    let parent = app.names.partner(of.parent.as_deref())?;
    let ask = |Page { filter, order_by, page_size, page_token }| ListPortfolioAdoptionRequest {
        parent: parent.clone(),
        window: of.window,
        time_zone: of.time_zone.clone(),
        page_size,
        page_token,
        filter,
        order_by,
    };
    app.list(false, &of.list, ask, async |l, r| client(l).list_portfolio_adoption(r).await).await
}

/// The answer for people: a line a group with the figures of one period and how it came there, and the funnel.
fn text(answer: &QueryAdoptionResponse, window: AdoptionWindow) -> String {
    let shown = shown(&answer.totals, window);
    let mut lines: Vec<Vec<String>> = Vec::new();
    let mut groups: Vec<(String, Vec<&AdoptionRow>)> = Vec::new();
    let totals = answer.totals.iter().map(|row| ("everybody".to_owned(), row));
    for (name, row) in answer.rows.iter().map(|row| (group(row), row)).chain(totals) {
        match groups.last_mut().filter(|(last, _)| *last == name) {
            Some((_, rows)) => rows.push(row),
            None => groups.push((name, vec![row])),
        }
    }
    for (name, periods) in groups {
        let Some(last) = periods.get(shown) else { continue };
        let actives: Vec<_> = periods.iter().map(|row| row.active_principals).collect();
        lines.push(vec![
            name,
            last.active_principals.to_string(),
            percent(last.share_basis_points, false),
            last.growth_basis_points.map_or_else(|| "-".to_owned(), |growth| percent(growth, true)),
            last.new_principals.to_string(),
            last.returning_principals.to_string(),
            sparkline(&actives),
        ]);
    }
    let heading = ["group", "active", "share", "growth", "new", "returning", "trend"];
    let mut text = figures(&heading, lines, 1..6);
    if let Some(last) = answer.totals.get(shown) {
        let time = |t: Option<prost_types::Timestamp>| t.map(|t| t.to_string()).unwrap_or_default();
        let partial = if last.partial { ", which is not over" } else { "" };
        let (start, end) = (time(last.start_time), time(last.end_time));
        text += &format!("\nfigures of {start} to {end}{partial}; growth is against the period before\n");
    }
    text + &stages(answer)
}

/// Which period's figures are shown: the last that is over, for growth against a part of one says little; the present one where nobody
/// was active before, and of 28 days, which always end today.
fn shown(totals: &[AdoptionRow], window: AdoptionWindow) -> usize {
    let last = totals.len().saturating_sub(1);
    let whole = last.saturating_sub(1);
    let is_told = totals.get(whole).is_some_and(|row| !row.partial && row.active_principals > 0);
    if window != AdoptionWindow::Days28 && is_told { whole } else { last }
}

fn stages(answer: &QueryAdoptionResponse) -> String {
    let funnel = answer.funnel.unwrap_or_default();
    let stages = [
        ("entitled", funnel.entitled),
        ("installed", funnel.installed),
        ("first use", funnel.first_use),
        ("weekly use", funnel.weekly_use),
    ];
    let stage = |(name, count): (&str, i64)| {
        vec![name.to_owned(), count.to_string(), bar(count, funnel.entitled, WIDTH)]
    };
    let lines = stages.into_iter().map(stage).collect();
    let first = answer.time_to_first_use.unwrap_or_default();
    let took = format!(
        "half within {} days, nine of ten within {} days, of {}",
        first.p50_days, first.p90_days, first.principals
    );
    let facts = facts(&[
        ("time to first use", if first.principals == 0 { "-".to_owned() } else { took }),
        ("dormant entitlements", answer.dormant_entitlements.to_string()),
    ]);
    format!("\n{}\n{facts}", figures(&["stage", "principals", "of the entitled"], lines, 1..2))
}

/// What a row is of; what has no name is of none.
fn group(row: &AdoptionRow) -> String {
    let named =
        [&row.role, &row.unit_name, &row.plugin, &row.client].into_iter().find(|name| !name.is_empty());
    match (named, row.role_family()) {
        (Some(name), _) => clean(name),
        (None, RoleFamily::Developer) => "developer".to_owned(),
        (None, RoleFamily::NonDeveloper) => "non-developer".to_owned(),
        (None, RoleFamily::Unspecified) => "(none)".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use proto::usage::v1::{ActivationFunnel, TimeToFirstUse};

    use super::*;

    #[test]
    fn adoption_is_a_table_with_trends_and_a_funnel_with_bars() {
        let row = |family: RoleFamily, active: i64, growth: Option<i64>| AdoptionRow {
            role_family: family.into(),
            active_principals: active,
            share_basis_points: 5_000,
            growth_basis_points: growth,
            new_principals: 1,
            returning_principals: active - 1,
            start_time: Some(prost_types::Timestamp { seconds: 1_793_577_600, nanos: 0 }),
            end_time: Some(prost_types::Timestamp { seconds: 1_794_182_400, nanos: 0 }),
            partial: true,
            ..AdoptionRow::default()
        };
        let answer = QueryAdoptionResponse {
            rows: vec![
                row(RoleFamily::Developer, 5, None),
                row(RoleFamily::Developer, 10, Some(10_000)),
                row(RoleFamily::NonDeveloper, 100, None),
                row(RoleFamily::NonDeveloper, 50, Some(-5_000)),
            ],
            totals: vec![
                row(RoleFamily::Unspecified, 104, None),
                row(RoleFamily::Unspecified, 60, Some(-4_230)),
            ],
            funnel: Some(ActivationFunnel { entitled: 200, installed: 100, first_use: 50, weekly_use: 1 }),
            time_to_first_use: Some(TimeToFirstUse { principals: 50, p50_days: 3, p90_days: 12 }),
            dormant_entitlements: 640,
            ..QueryAdoptionResponse::default()
        };
        insta::assert_snapshot!(text(&answer, AdoptionWindow::Week), @"
        GROUP          ACTIVE   SHARE    GROWTH  NEW  RETURNING  TREND
        developer          10  50.0 %  +100.0 %    1          9  ▅█
        non-developer      50  50.0 %   -50.0 %    1         49  █▅
        everybody          60  50.0 %   -42.3 %    1         59  █▆

        figures of 2026-11-02T00:00:00Z to 2026-11-09T00:00:00Z, which is not over; growth is against the period before

        STAGE       PRINCIPALS  OF THE ENTITLED
        entitled           200  ████████████████████████████████
        installed          100  ████████████████
        first use           50  ████████
        weekly use           1  ▏

        time to first use     half within 3 days, nine of ten within 12 days, of 50
        dormant entitlements  640
        ");
    }

    #[test]
    fn the_last_whole_period_is_shown_while_it_says_something() {
        let row = |active_principals: i64, partial: bool| AdoptionRow {
            active_principals,
            partial,
            ..AdoptionRow::default()
        };
        let busy = [row(5, false), row(1, true)];
        assert_eq!((shown(&busy, AdoptionWindow::Week), shown(&busy, AdoptionWindow::Days28)), (0, 1));
        assert_eq!(shown(&[row(0, false), row(1, true)], AdoptionWindow::Month), 1);
        assert_eq!((shown(&[row(1, true)], AdoptionWindow::Week), shown(&[], AdoptionWindow::Week)), (0, 0));
    }
}
