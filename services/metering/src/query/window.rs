//! Intervals of a question in a time zone, and which rollups cover each: whole days of UTC, quarters of hours at their edges, and events
//! where an edge is between two quarters.

use std::collections::BTreeSet;

use jiff::{Timestamp, ToSpan as _, Zoned, civil::Weekday, tz::TimeZone};
use kernel::{Error, Result, clock::Time, ids::clip};

use crate::rollup::fold::{DAY, QUARTER};

/// Most windows in an answer.
pub const MAX_WINDOWS: usize = 10_000;
const HOUR: i64 = 3_600_000_000;

/// How an interval is cut.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Window {
    /// Not at all.
    #[default]
    Total,
    /// By hour of the time zone.
    Hour,
    /// By calendar day.
    Day,
    /// By ISO week, which begins on Monday.
    Week,
    /// By calendar month.
    Month,
}

/// A half-open interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    /// From, inclusive.
    pub start: Time,
    /// Until, exclusive.
    pub end: Time,
}

impl Span {
    /// Whether it has this moment.
    pub fn has(self, time: Time) -> bool {
        self.start <= time && time < self.end
    }
}

/// The time zone of this IANA name; empty is UTC.
pub fn zone(field: &str, name: &str) -> Result<TimeZone> {
    if name.is_empty() {
        return Ok(TimeZone::UTC);
    }
    TimeZone::get(name).map_err(|_| {
        Error::invalid(
            field,
            format!("`{}` is no IANA time zone; write one such as `Europe/Berlin`", clip(name)),
        )
    })
}

/// `whole` cut at the boundaries of `window` in `zone`; the first and the last piece may be shorter. Daylight saving makes days of 23
/// or 25 hours, and an hour that happens twice is two hours.
pub fn cut(whole: Span, window: Window, zone: &TimeZone) -> Result<Vec<Span>> {
    let mut spans = Vec::new();
    let mut start = whole.start;
    while start < whole.end {
        let next = match window {
            Window::Total => whole.end,
            other => boundary_after(start, other, zone).unwrap_or(whole.end),
        };
        let end = next.min(whole.end);
        if spans.len() >= MAX_WINDOWS {
            return Err(Error::Limit {
                limit: "usage.windows".to_owned(),
                message: format!(
                    "the interval has more than {MAX_WINDOWS} windows; ask for a shorter one, or for longer windows"
                ),
            });
        }
        spans.push(Span { start, end });
        start = end;
    }
    Ok(spans)
}

/// The first boundary after `time`; none beyond the calendar.
fn boundary_after(time: Time, window: Window, zone: &TimeZone) -> Option<Time> {
    let at = Timestamp::from_microsecond(time.micros()).ok()?.to_zoned(zone.clone());
    if window == Window::Hour {
        // by what is left of the hour on the wall: an hour that is repeated is passed twice
        let offset = i64::from(at.offset().seconds()) * 1_000_000;
        let left = HOUR - (time.micros() + offset).rem_euclid(HOUR);
        return Some(Time::from_micros(time.micros() + left));
    }
    let date = at.date();
    let next = match window {
        Window::Week => date.nth_weekday(1, Weekday::Monday).ok()?,
        Window::Month => date.first_of_month().checked_add(1.month()).ok()?,
        Window::Day | Window::Hour | Window::Total => date.tomorrow().ok()?,
    };
    // where the clocks jump over midnight, the day begins when they have
    let next: Zoned = next.to_zoned(zone.clone()).ok()?.start_of_day().ok()?;
    Some(Time::from_micros(next.timestamp().as_microsecond()))
}

/// What covers a span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Whole days of UTC.
    Days(Span),
    /// Whole quarters.
    Quarters(Span),
    /// Part of a quarter: event by event.
    Events(Span),
}

/// The pieces that cover `span`, in order, without overlap. `quarters`: whether there are sums by quarter; otherwise what is no whole day
/// is read event by event.
pub fn cover(span: Span, quarters: bool) -> Vec<Piece> {
    let up = |t: Time, unit: i64| {
        t.micros().div_euclid(unit) * unit + if t.micros().rem_euclid(unit) == 0 { 0 } else { unit }
    };
    let down = |t: Time, unit: i64| t.micros().div_euclid(unit) * unit;
    let (from, until) = (span.start.micros(), span.end.micros());
    let unit = if quarters { QUARTER } else { DAY };
    let (q0, q1) = (up(span.start, unit), down(span.end, unit));
    let mut pieces = Vec::with_capacity(5);
    let mut put = |kind: fn(Span) -> Piece, a: i64, b: i64| {
        if a < b {
            pieces.push(kind(Span { start: Time::from_micros(a), end: Time::from_micros(b) }));
        }
    };
    if q0 >= q1 {
        put(Piece::Events, from, until);
        return pieces;
    }
    let (d0, d1) = (up(Time::from_micros(q0), DAY), down(Time::from_micros(q1), DAY));
    put(Piece::Events, from, q0);
    if d0 < d1 {
        put(Piece::Quarters, q0, d0);
        put(Piece::Days, d0, d1);
        put(Piece::Quarters, d1, q1);
    } else {
        put(Piece::Quarters, q0, q1);
    }
    put(Piece::Events, q1, until);
    pieces
}

/// The same, where no sums are used of the days in `stale` (UTC): what is in them is read event by event.
pub fn without(pieces: Vec<Piece>, stale: &BTreeSet<Time>) -> Vec<Piece> {
    if stale.is_empty() {
        return pieces;
    }
    let mut apart = Vec::with_capacity(pieces.len());
    for piece in pieces {
        let (kind, whole): (fn(Span) -> Piece, Span) = match piece {
            Piece::Days(span) => (Piece::Days, span),
            Piece::Quarters(span) => (Piece::Quarters, span),
            Piece::Events(_) => {
                apart.push(piece);
                continue;
            }
        };
        let mut start = whole.start;
        let first = Time::from_micros(start.micros().div_euclid(DAY) * DAY);
        for day in stale.range(first..whole.end) {
            let end = Time::from_micros(day.micros().saturating_add(DAY)).min(whole.end);
            let from = start.max(*day);
            if start < from {
                apart.push(kind(Span { start, end: from }));
            }
            apart.push(Piece::Events(Span { start: from, end }));
            start = end;
        }
        if start < whole.end {
            apart.push(kind(Span { start, end: whole.end }));
        }
    }
    apart
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::rollup::fold::Level;

    fn at(text: &str) -> Time {
        Time::parse("t", text).unwrap()
    }

    fn spans(from: &str, until: &str, window: Window, name: &str) -> Vec<(String, i64)> {
        let whole = Span { start: at(from), end: at(until) };
        let cut = cut(whole, window, &zone("z", name).unwrap()).unwrap();
        cut.iter().map(|s| (s.start.to_string(), (s.end.micros() - s.start.micros()) / 60_000_000)).collect()
    }

    #[test]
    fn days_have_23_and_25_hours_where_the_clocks_change() {
        let spring = spans("2026-03-28T23:00:00Z", "2026-03-31T22:00:00Z", Window::Day, "Europe/Berlin");
        assert_eq!(spring.iter().map(|s| s.1).collect::<Vec<_>>(), [23 * 60, 24 * 60, 24 * 60]);
        let autumn = spans("2026-10-24T22:00:00Z", "2026-10-26T23:00:00Z", Window::Day, "Europe/Berlin");
        assert_eq!(autumn.iter().map(|s| s.1).collect::<Vec<_>>(), [25 * 60, 24 * 60]);
    }

    #[test]
    fn an_hour_that_happens_twice_is_two_hours_and_one_that_does_not_is_none() {
        let twice = spans("2026-10-25T00:00:00Z", "2026-10-25T03:00:00Z", Window::Hour, "Europe/Berlin");
        assert_eq!(twice.len(), 3);
        // Lord Howe Island moves its clocks by half an hour
        let half = spans("2026-04-04T14:00:00Z", "2026-04-04T17:30:00Z", Window::Hour, "Australia/Lord_Howe");
        assert_eq!(half.iter().map(|s| s.1).sum::<i64>(), 210);
    }

    #[test]
    fn zones_a_half_or_a_quarter_of_an_hour_off_are_exact() {
        for (name, start) in
            [("Asia/Kolkata", "2026-11-01T18:30:00Z"), ("Asia/Kathmandu", "2026-11-01T18:15:00Z")]
        {
            let days = spans("2026-11-01T12:00:00Z", "2026-11-03T12:00:00Z", Window::Day, name);
            assert_eq!((days.len(), days[1].0.as_str()), (3, &*at(start).to_string()), "{name}");
        }
    }

    #[test]
    fn weeks_begin_on_monday_and_months_have_their_length() {
        let weeks = spans("2026-11-05T00:00:00Z", "2026-11-20T00:00:00Z", Window::Week, "");
        assert_eq!(weeks.iter().map(|w| w.1 / 1_440).collect::<Vec<_>>(), [4, 7, 4]);
        let months = spans("2026-01-01T00:00:00Z", "2026-04-01T00:00:00Z", Window::Month, "");
        assert_eq!(months.iter().map(|w| w.1 / 1_440).collect::<Vec<_>>(), [31, 28, 31]);
        // the clocks jump over midnight there
        let days = spans("2026-03-28T02:00:00Z", "2026-03-30T00:00:00Z", Window::Day, "Asia/Beirut");
        assert_eq!(days.iter().map(|w| w.1).sum::<i64>(), 46 * 60);
    }

    #[test]
    fn a_zone_that_does_not_exist_and_too_many_windows_are_refused() {
        assert!(zone("time_zone", "Mars/Olympus").is_err());
        let whole = Span { start: Time::from_micros(0), end: at("2026-01-01T00:00:00Z") };
        assert!(cut(whole, Window::Hour, &TimeZone::UTC).is_err());
    }

    proptest! {
        #[test]
        fn windows_and_pieces_cover_everything_once(
            start in 0_i64..4_000_000_000_000_000, length in 1_i64..20_000_000_000_000, which in 0_usize..5, quarters: bool,
            stale in prop::collection::btree_set(-2_i64..240, 0..6),
            name in prop::sample::select(vec!["", "Europe/Berlin", "Asia/Kathmandu", "Australia/Lord_Howe", "America/St_Johns", "Pacific/Apia"]),
        ) {
            let whole = Span { start: Time::from_micros(start), end: Time::from_micros(start + length) };
            let window = [Window::Total, Window::Hour, Window::Day, Window::Week, Window::Month][which];
            let mut next = whole.start;
            for span in cut(whole, window, &zone("z", name).unwrap()).unwrap() {
                prop_assert_eq!(span.start, next);
                prop_assert!(span.start < span.end);
                let mut inner = span.start;
                let stale: BTreeSet<_> = stale.iter().map(|n| Level::Day.bucket(Time::from_micros(start + n * DAY))).collect();
                for piece in without(cover(span, quarters), &stale) {
                    if !matches!(piece, Piece::Events(_)) {
                        let (Piece::Days(s) | Piece::Quarters(s) | Piece::Events(s)) = piece;
                        let mut days = stale.iter().filter(|d| **d < s.end && s.start.micros() < d.micros() + DAY);
                        prop_assert_eq!(days.next(), None, "no sum of a stale day is used");
                    }
                    let (span, unit) = match piece {
                        Piece::Days(s) => (s, DAY),
                        Piece::Quarters(s) => (s, QUARTER),
                        Piece::Events(s) => (s, 1),
                    };
                    prop_assert_eq!(span.start, inner);
                    prop_assert!(span.start.micros() % unit == 0 && span.end.micros() % unit == 0);
                    inner = span.end;
                }
                prop_assert_eq!(inner, span.end);
                next = span.end;
            }
            prop_assert_eq!(next, whole.end);
        }
    }
}
