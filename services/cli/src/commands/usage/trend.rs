//! Figures of many windows as a line for each meter and group.

use std::collections::BTreeMap;

use jiff::{Timestamp, ToSpan as _, civil::Weekday, tz::TimeZone};
use proto::{
    role::v1::RoleFamily,
    usage::v1::{UsageRow, UsageWindow},
};

use crate::output::{clean, rows, sparkline};

/// Longest line.
const MOST: usize = 120;

/// A line for each meter and group of `figures`, one character a window, those without figures included; nothing for fewer than two
/// windows. Of very many windows the last ones are shown.
pub fn text(figures: &[UsageRow], window: UsageWindow, time_zone: &str) -> String {
    let seconds = |row: &UsageRow| row.start_time.map(|t| t.seconds);
    let Some((first, last)) =
        figures.iter().filter_map(seconds).min().zip(figures.iter().filter_map(seconds).max())
    else {
        return String::new();
    };
    let starts = starts(first, last, window, time_zone);
    if starts.len() < 2 {
        return String::new();
    }
    let mut groups: BTreeMap<(&str, String), BTreeMap<i64, i64>> = BTreeMap::new();
    for row in figures {
        let line = groups.entry((&row.meter, group(row))).or_default();
        line.insert(seconds(row).unwrap_or_default(), row.value);
    }
    let shown = starts.get(starts.len().saturating_sub(MOST)..).unwrap_or_default();
    let line = |((meter, group), line): ((&str, String), BTreeMap<i64, i64>)| {
        let values: Vec<_> = shown.iter().map(|start| line.get(start).copied().unwrap_or(0)).collect();
        vec![clean(meter), group, sparkline(&values)]
    };
    format!("\n{}", rows(&["meter", "group", "trend"], groups.into_iter().map(line).collect()))
}

/// Where windows start from `first` to `last`, in seconds.
fn starts(first: i64, last: i64, window: UsageWindow, time_zone: &str) -> Vec<i64> {
    // whatever the server knows and this machine does not: hours and days of UTC then
    let zone = TimeZone::get(if time_zone.is_empty() { "UTC" } else { time_zone }).unwrap_or(TimeZone::UTC);
    let mut starts = vec![first];
    let mut at = first;
    while let Some(next) = next(at, window, &zone).filter(|next| *next > at && *next <= last) {
        starts.push(next);
        at = next;
    }
    starts
}

fn next(at: i64, window: UsageWindow, zone: &TimeZone) -> Option<i64> {
    let time = Timestamp::from_second(at).ok()?.to_zoned(zone.clone());
    let date = time.date();
    let next = match window {
        UsageWindow::Hour => {
            let left = 3_600 - (at + i64::from(time.offset().seconds())).rem_euclid(3_600);
            return Some(at + left);
        }
        UsageWindow::Day => date.tomorrow().ok()?,
        UsageWindow::Week => date.nth_weekday(1, Weekday::Monday).ok()?,
        UsageWindow::Month => date.first_of_month().checked_add(1.month()).ok()?,
        UsageWindow::Total | UsageWindow::Unspecified => return None,
    };
    Some(next.to_zoned(zone.clone()).ok()?.start_of_day().ok()?.timestamp().as_second())
}

/// What a figure is of.
fn group(row: &UsageRow) -> String {
    let family = match row.role_family() {
        RoleFamily::Unspecified => "",
        RoleFamily::Developer => "developer",
        RoleFamily::NonDeveloper => "non-developer",
    };
    let names = [family, &row.role, &row.unit_name, &row.principal, &row.client];
    let last = |name: &str| clean(name.rsplit('/').next().unwrap_or(name));
    let dims = row.dims.iter().map(|dim| clean(&dim.value));
    let words: Vec<_> = names.into_iter().map(last).chain(dims).filter(|word| !word.is_empty()).collect();
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400;

    fn row(meter: &str, start: i64, value: i64) -> UsageRow {
        UsageRow {
            meter: meter.to_owned(),
            value,
            client: "codex".to_owned(),
            start_time: Some(prost_types::Timestamp { seconds: start, nanos: 0 }),
            ..UsageRow::default()
        }
    }

    #[test]
    fn windows_without_figures_are_there_and_low() {
        let figures = [row("sessions", 0, 8), row("sessions", 2 * DAY, 4), row("tool.calls", DAY, 1)];
        insta::assert_snapshot!(text(&figures, UsageWindow::Day, ""), @"
        METER       GROUP  TREND
        sessions    codex  █▁▅
        tool.calls  codex  ▁█▁
        ");
        assert_eq!(text(&figures[..1], UsageWindow::Day, ""), "", "one figure has no trend");
        assert_eq!(text(&figures, UsageWindow::Total, ""), "");
    }

    #[test]
    fn windows_follow_the_wall_clock() {
        // the clocks of Berlin go forward on 2026-03-29
        let start = 1_774_652_400;
        assert_eq!(
            starts(start, start + 2 * DAY, UsageWindow::Day, "Europe/Berlin"),
            [start, start + DAY, start + DAY + 23 * 3_600]
        );
    }
}
