//! The period that a pack is about.

use std::time::Duration;

use kernel::{Result, check::Checks, clock::Time, error::Error};
use prost_types::Timestamp;

/// Longest period: a year, and some weeks to prepare the audit in.
const LONGEST: Duration = Duration::from_hours(400 * 24);

/// From `start` to before `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Period {
    /// The first moment.
    pub start: Time,
    /// The moment after the last.
    pub end: Time,
}

impl Period {
    /// What a caller asks for, when it is over.
    pub fn new(start: Option<Timestamp>, end: Option<Timestamp>, now: Time) -> Result<Self> {
        let time = |field: &str, time: Option<Timestamp>| {
            let time = time.ok_or_else(|| Error::invalid(field, "is required"))?;
            Time::try_from(time).map_err(|_| Error::invalid(field, "is no time of the years 1970 to 9999"))
        };
        let (start, end) = (time("start_time", start)?, time("end_time", end)?);
        let mut checks = Checks::new();
        let message = format!("`{end}` is in the future; evidence is of what was, give a time up to `{now}`");
        checks.that("end_time", end <= now, message);
        checks.that("end_time", start < end, "must be after `start_time`");
        checks.that("end_time", end.since(start) <= LONGEST, "must be at most 400 days after `start_time`");
        checks.done()?;
        Ok(Self { start, end })
    }

    /// The moment before the first: what was then is what the period begins with.
    pub fn before(&self) -> Time {
        self.start.minus(Duration::from_micros(1))
    }

    /// The last moment.
    pub fn last(&self) -> Time {
        self.end.minus(Duration::from_micros(1))
    }

    /// Whether it holds a moment.
    pub fn holds(&self, time: Time) -> bool {
        (self.start..self.end).contains(&time)
    }

    /// The events in it, in the filter language.
    pub fn filter(&self) -> String {
        format!("time >= \"{}\" AND time < \"{}\"", self.start, self.end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Time {
        Time::parse("t", text).unwrap()
    }

    fn asked(start: &str, end: &str) -> Result<Period> {
        Period::new(Some(at(start).into()), Some(at(end).into()), at("2026-11-23T12:00:00Z"))
    }

    #[test]
    fn a_period_is_over_and_holds_its_first_moment_and_not_its_end() {
        let period = asked("2026-01-01T00:00:00Z", "2026-04-01T00:00:00Z").unwrap();
        assert!(period.holds(period.start) && period.holds(period.last()));
        assert!(!period.holds(period.before()) && !period.holds(period.end));
        assert!(asked("2026-11-01T00:00:00Z", "2026-11-23T12:00:00Z").is_ok());
        for (start, end) in [
            ("2026-11-01T00:00:00Z", "2026-11-23T12:00:01Z"),
            ("2026-04-01T00:00:00Z", "2026-04-01T00:00:00Z"),
            ("2026-04-01T00:00:00Z", "2026-01-01T00:00:00Z"),
            ("2025-10-01T00:00:00Z", "2026-11-06T00:00:00Z"),
        ] {
            assert!(matches!(asked(start, end), Err(Error::Invalid(_))), "{start} to {end}");
        }
        assert!(matches!(Period::new(None, None, at("2026-11-23T12:00:00Z")), Err(Error::Invalid(_))));
    }
}
