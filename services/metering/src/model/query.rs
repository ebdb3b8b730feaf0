//! What figures can be asked for.

use kernel::{Result, check::Checks, clock::Time, ids::clip};

use crate::meter::{self, METERS, Meter};

/// Most meters in a question.
pub const MAX_METERS: usize = 32;

/// What figures are told apart by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dimension {
    /// The role under which it counted when it came in.
    Role,
    /// The unit of the principal when it came in.
    Unit,
    /// The principal.
    Principal,
    /// The assistant.
    Client,
}

impl Dimension {
    /// Its column, after a comma.
    pub(crate) fn column(self) -> &'static str {
        match self {
            Self::Role => ", a.role_id",
            Self::Unit => ", a.unit_id",
            Self::Principal => ", a.principal_id",
            Self::Client => ", a.client",
        }
    }
}

/// A question: which meters, from when (inclusive) until when (exclusive), told apart by what.
#[derive(Clone, Debug)]
pub struct UsageQuery {
    /// At least one.
    pub meters: Vec<&'static Meter>,
    /// From, inclusive.
    pub start: Time,
    /// Until, exclusive.
    pub end: Time,
    /// No dimension twice.
    pub group_by: Vec<Dimension>,
}

impl UsageQuery {
    /// A checked question. No `meters`: all of them; no `start`: from the first event; no `end`: until `now`.
    pub fn new(
        meters: &[String],
        start: Option<Time>,
        end: Option<Time>,
        group_by: Vec<Dimension>,
        now: Time,
    ) -> Result<Self> {
        let mut checks = Checks::new();
        checks.that(
            "meters",
            meters.len() <= MAX_METERS,
            format!("has {} entries; use at most {MAX_METERS}", meters.len()),
        );
        let mut found: Vec<&'static Meter> = Vec::new();
        for key in meters.iter().take(MAX_METERS) {
            match meter::find(key) {
                Some(meter) if !found.contains(&meter) => found.push(meter),
                Some(_) => checks.that("meters", false, format!("names `{key}` twice")),
                None => checks.that(
                    "meters",
                    false,
                    format!("`{}` is no meter; ListMeters lists them", clip(key)),
                ),
            }
        }
        if meters.is_empty() {
            found = METERS.iter().collect();
        }
        let (start, end) = (start.unwrap_or(Time::from_micros(0)), end.unwrap_or(now));
        checks.that("end_time", start < end, "must be after `start_time`");
        let twice =
            group_by.iter().enumerate().any(|(at, d)| group_by.iter().skip(at + 1).any(|other| other == d));
        checks.that("group_by", !twice, "names a dimension twice");
        checks.done().map(|()| Self { meters: found, start, end, group_by })
    }
}

/// One figure; fields that are not grouped by are empty, and so are those that the principal did not have.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, sqlx::FromRow)]
pub struct Figure {
    /// Key of the meter.
    pub meter: String,
    /// Last segment of the role's name.
    pub role: String,
    /// Last segment of the unit's name.
    pub unit: String,
    /// Last segment of the principal's name.
    pub principal: String,
    /// The assistant.
    pub client: String,
    /// In whole units of the meter.
    pub value: i64,
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Time = Time::from_micros(1_795_000_000_000_000);

    fn query(
        meters: &[&str],
        start: Option<i64>,
        end: Option<i64>,
        group_by: &[Dimension],
    ) -> Result<UsageQuery> {
        let meters: Vec<_> = meters.iter().map(ToString::to_string).collect();
        let time = |t: Option<i64>| t.map(Time::from_micros);
        UsageQuery::new(&meters, time(start), time(end), group_by.to_vec(), NOW)
    }

    #[test]
    fn nothing_said_means_all_meters_until_now() {
        let all = query(&[], None, None, &[]).unwrap();
        assert_eq!((all.meters.len(), all.start, all.end), (METERS.len(), Time::from_micros(0), NOW));
    }

    #[test]
    fn unknown_and_repeated_meters_empty_intervals_and_repeated_dimensions_are_refused() {
        assert!(
            query(&["tokens.input", "sessions"], Some(1), Some(2), &[Dimension::Role, Dimension::Unit])
                .is_ok()
        );
        for (bad, field) in [
            (query(&["tokens"], None, None, &[]), "meters"),
            (query(&["sessions", "sessions"], None, None, &[]), "meters"),
            (query(&["sessions"; 33], None, None, &[]), "meters"),
            (query(&[], Some(2), Some(2), &[]), "end_time"),
            (query(&[], Some(NOW.micros()), None, &[]), "end_time"),
            (query(&[], None, None, &[Dimension::Role, Dimension::Role]), "group_by"),
        ] {
            assert!(bad.unwrap_err().to_string().contains(field));
        }
    }
}
