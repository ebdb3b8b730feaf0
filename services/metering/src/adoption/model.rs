//! Periods, and who was active in them. Pure.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{Span as Length, Timestamp, ToSpan as _, civil::Date, tz::TimeZone};
use kernel::{Error, Result, clock::Time};
use roaring::RoaringBitmap;

use crate::query::{collect::Members, model::Group, window::Span};

/// Periods in an answer when none are asked for.
pub const DEFAULT_PERIODS: i32 = 12;
/// Most periods in an answer.
pub const MAX_PERIODS: i32 = 60;
/// A whole, in basis points.
const WHOLE: i128 = 10_000;

/// What a period is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Window {
    /// An ISO week.
    Week,
    /// A calendar month.
    Month,
    /// 28 calendar days, the last of which is today.
    Days28,
}

/// The last `count` periods in `zone`, oldest first, and the one before them; the last one has `now`.
pub fn periods(window: Window, zone: &TimeZone, now: Time, count: i32) -> Result<Vec<Span>> {
    if !(1..=MAX_PERIODS).contains(&count) {
        let message = format!("is {count}; ask for 1 to {MAX_PERIODS}");
        return Err(Error::invalid("periods", message));
    }
    let beyond = |_| Error::invalid("periods", "lead out of the calendar; ask for fewer");
    let today = Timestamp::from_microsecond(now.micros()).map_err(beyond)?.to_zoned(zone.clone()).date();
    let (end, length) = last_end(window, today).map_err(beyond)?;
    let bounds = (0..=i64::from(count) + 1).rev().map(|back| {
        let date = end.checked_sub(length.checked_mul(back)?)?;
        // where the clocks jump over midnight, the day begins when they have
        let start = date.to_zoned(zone.clone())?.start_of_day()?;
        Ok(Time::from_micros(start.timestamp().as_microsecond()))
    });
    let bounds = bounds.collect::<Result<Vec<_>, jiff::Error>>().map_err(beyond)?;
    Ok(bounds.windows(2).filter_map(|w| Some(Span { start: *w.first()?, end: *w.get(1)? })).collect())
}

/// The day on which the period with `today` has ended, and how long periods are.
fn last_end(window: Window, today: Date) -> Result<(Date, Length), jiff::Error> {
    Ok(match window {
        Window::Week => {
            let monday = today.checked_sub(i64::from(today.weekday().to_monday_zero_offset()).days())?;
            (monday.checked_add(1.week())?, 1.week())
        }
        Window::Month => (today.first_of_month().checked_add(1.month())?, 1.month()),
        Window::Days28 => (today.tomorrow()?, 28.days()),
    })
}

/// Who was active in a period and group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The group.
    pub group: Group,
    /// The period.
    pub period: Span,
    /// Whether it is not over yet.
    pub partial: bool,
    /// How many were active.
    pub active: i64,
    /// Of all who were, in basis points, rounded down.
    pub share: i64,
    /// Against the period before, in basis points of it, rounded towards 0; none where nobody was active then.
    pub growth: Option<i64>,
    /// Never active in the tenant before.
    pub new: i64,
    /// The others.
    pub returning: i64,
}

/// What rows are made of: the periods with the one before them, and who was active.
#[derive(Debug)]
pub struct Actives<'a> {
    /// The periods; the first is only compared with.
    pub periods: &'a [Span],
    /// Everybody, by period.
    pub totals: Vec<RoaringBitmap>,
    /// Whoever was active before the first of `periods`.
    pub before: RoaringBitmap,
    /// The present.
    pub now: Time,
}

impl Actives<'_> {
    /// The rows of everybody together, one a period.
    pub fn total_rows(&self) -> Vec<Row> {
        let cells = self.totals.iter().enumerate();
        self.rows(&cells.map(|(at, members)| ((at, Group::default()), members.clone())).collect(), true)
    }

    /// The rows of groups, one a period for each that was active in any of them.
    pub fn group_rows(&self, cells: &Members) -> Vec<Row> {
        self.rows(cells, false)
    }

    fn rows(&self, cells: &Members, always: bool) -> Vec<Row> {
        let known = cells.iter().filter(|((at, _), members)| always || (*at > 0 && !members.is_empty()));
        let groups: BTreeSet<&Group> = known.map(|((_, group), _)| group).collect();
        let (seen, nobody) = (self.seen(), RoaringBitmap::new());
        let mut rows = Vec::new();
        for group in groups {
            let mut previous = 0;
            for (at, period) in self.periods.iter().enumerate() {
                let members = cells.get(&(at, group.clone())).unwrap_or(&nobody);
                let active = count(members);
                if at > 0 {
                    let returning = seen.get(at).map_or(0, |seen| count_both(members, seen));
                    let all = self.totals.get(at).map_or(0, count);
                    rows.push(Row {
                        group: group.clone(),
                        period: *period,
                        partial: self.now < period.end,
                        active,
                        share: basis_points(active, all).unwrap_or(0),
                        growth: basis_points(active - previous, previous),
                        new: active - returning,
                        returning,
                    });
                }
                previous = active;
            }
        }
        rows
    }

    /// Whoever was active before each period.
    fn seen(&self) -> Vec<RoaringBitmap> {
        let mut so_far = self.before.clone();
        let before = |members: &RoaringBitmap| {
            let before = so_far.clone();
            so_far |= members;
            before
        };
        self.totals.iter().map(before).collect()
    }
}

/// `part` of `whole` in basis points, rounded towards 0; none of nothing.
pub fn basis_points(part: i64, whole: i64) -> Option<i64> {
    let points = (i128::from(part) * WHOLE).checked_div(i128::from(whole))?;
    Some(i64::try_from(points).unwrap_or(i64::MAX))
}

/// How many are in a set.
pub fn count(members: &RoaringBitmap) -> i64 {
    i64::try_from(members.len()).unwrap_or(i64::MAX)
}

fn count_both(a: &RoaringBitmap, b: &RoaringBitmap) -> i64 {
    i64::try_from(a.intersection_len(b)).unwrap_or(i64::MAX)
}

/// The sets of a question without groups, by window.
pub fn by_window(members: Members, windows: usize) -> Vec<RoaringBitmap> {
    let mut found: BTreeMap<usize, RoaringBitmap> = members.into_iter().map(|((at, _), m)| (at, m)).collect();
    (0..windows).map(|at| found.remove(&at).unwrap_or_default()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::window::zone;

    fn at(text: &str) -> Time {
        Time::parse("t", text).unwrap()
    }

    fn starts(window: Window, name: &str, now: &str, count: i32) -> Vec<String> {
        let spans = periods(window, &zone("z", name).unwrap(), at(now), count).unwrap();
        assert!(spans.windows(2).all(|w| w[0].end == w[1].start));
        let ends = spans.last().map(|s| s.end);
        spans.iter().map(|s| s.start).chain(ends).map(|t| t.to_string().replace(".000000Z", "Z")).collect()
    }

    #[test]
    fn the_last_period_has_the_present_and_the_first_is_the_one_before_those_asked_for() {
        // a Thursday
        let now = "2026-03-12T10:00:00Z";
        assert_eq!(
            starts(Window::Week, "", now, 1),
            ["2026-03-02T00:00:00Z", "2026-03-09T00:00:00Z", "2026-03-16T00:00:00Z"]
        );
        assert_eq!(
            starts(Window::Month, "", now, 2),
            ["2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z", "2026-03-01T00:00:00Z", "2026-04-01T00:00:00Z"]
        );
        assert_eq!(
            starts(Window::Days28, "", now, 1),
            ["2026-01-16T00:00:00Z", "2026-02-13T00:00:00Z", "2026-03-13T00:00:00Z"]
        );
    }

    #[test]
    fn periods_follow_the_wall_clock_through_daylight_saving_and_odd_zones() {
        // the clocks of Berlin go forward on 2026-03-29
        assert_eq!(
            starts(Window::Week, "Europe/Berlin", "2026-03-30T00:00:00Z", 1),
            ["2026-03-22T23:00:00Z", "2026-03-29T22:00:00Z", "2026-04-05T22:00:00Z"]
        );
        assert_eq!(
            starts(Window::Days28, "Asia/Kathmandu", "2026-03-12T18:30:00Z", 1)[2],
            "2026-03-13T18:15:00Z",
            "it is the 13th there already"
        );
    }

    #[test]
    fn more_periods_than_the_limit_and_none_are_refused() {
        for bad in [0, -1, MAX_PERIODS + 1] {
            assert!(periods(Window::Week, &TimeZone::UTC, at("2026-03-12T10:00:00Z"), bad).is_err(), "{bad}");
        }
        assert!(periods(Window::Month, &TimeZone::UTC, at("1970-01-01T00:00:00Z"), MAX_PERIODS).is_ok());
    }

    #[test]
    fn growth_is_against_the_period_before_and_new_is_new_to_the_tenant() {
        let periods = periods(Window::Week, &TimeZone::UTC, at("2026-03-12T10:00:00Z"), 2).unwrap();
        let set = |members: &[u32]| members.iter().copied().collect::<RoaringBitmap>();
        let group = |client: &str| Group { client: client.to_owned(), ..Group::default() };
        let actives = Actives {
            periods: &periods,
            totals: vec![set(&[1, 2, 3]), set(&[1, 4]), set(&[])],
            before: set(&[9]),
            now: at("2026-03-12T10:00:00Z"),
        };
        let cells = Members::from([
            ((0, group("a")), set(&[1, 2, 3])),
            ((1, group("a")), set(&[4])),
            ((1, group("b")), set(&[1, 4])),
            // active only before those asked for
            ((0, group("c")), set(&[1])),
        ]);
        let rows = actives.group_rows(&cells);
        let told: Vec<_> = rows
            .iter()
            .map(|r| (r.group.client.as_str(), r.active, r.share, r.growth, r.new, r.returning, r.partial))
            .collect();
        assert_eq!(
            told,
            [
                ("a", 1, 5_000, Some(-6_666), 1, 0, false),
                ("a", 0, 0, Some(-10_000), 0, 0, true),
                ("b", 2, 10_000, None, 1, 1, false),
                ("b", 0, 0, Some(-10_000), 0, 0, true),
            ]
        );
        let totals: Vec<_> =
            actives.total_rows().iter().map(|r| (r.active, r.share, r.growth, r.new)).collect();
        assert_eq!(totals, [(2, 10_000, Some(-3_333), 1), (0, 0, Some(-10_000), 0)]);
    }
}
