//! Time as a parameter: microseconds since the Unix epoch, read from a clock that a test can hold still.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::error::{Error, Result};

/// A point in time with microsecond resolution, stored as BIGINT in both engines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, sqlx::Type)]
#[sqlx(transparent)]
pub struct Time(i64);

impl Time {
    /// The last instant that RFC 3339 can write with four-digit years.
    const MAX_MICROS: i64 = 253_402_207_200_000_000;

    /// From microseconds since the epoch.
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Microseconds since the epoch.
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// From nanoseconds since the epoch, rounded down; `None` beyond year 9999.
    pub fn from_nanos(nanos: u64) -> Option<Self> {
        i64::try_from(nanos / 1_000).ok().filter(|m| *m < Self::MAX_MICROS).map(Self)
    }

    /// Seconds and nanoseconds, for a UUIDv7; times before the epoch count as the epoch.
    pub fn unix_parts(self) -> (u64, u32) {
        let micros = u64::try_from(self.0).unwrap_or(0);
        (micros / 1_000_000, u32::try_from(micros % 1_000_000).unwrap_or(0) * 1_000)
    }

    /// From seconds and nanoseconds, rounded down, saturating.
    pub fn from_unix_parts(seconds: u64, nanos: u32) -> Self {
        let micros = seconds.saturating_mul(1_000_000).saturating_add(u64::from(nanos) / 1_000);
        Self(i64::try_from(micros).unwrap_or(i64::MAX))
    }

    /// Later by `duration`, saturating.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)))
    }

    /// Earlier by `duration`, saturating.
    #[must_use]
    pub fn minus(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)))
    }

    /// How long after `earlier` it is; zero when it is not.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// Parses RFC 3339; `field` names it in the error.
    pub fn parse(field: &str, text: &str) -> Result<Self> {
        text.parse::<Timestamp>().map(|t| Self(t.as_microsecond())).map_err(|_| {
            Error::invalid(
                field,
                format!(
                    "`{}` is not a time: write RFC 3339, for example `2026-11-05T10:30:00Z`",
                    crate::ids::clip(text)
                ),
            )
        })
    }
}

impl fmt::Display for Time {
    /// RFC 3339 in UTC with exactly six decimals, so that text order is time order.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Timestamp::from_microsecond(self.0) {
            Ok(t) => write!(f, "{t:.6}"),
            Err(_) => write!(f, "{}us", self.0),
        }
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse("time", &text).map_err(|_| de::Error::custom("not an RFC 3339 time"))
    }
}

impl From<Time> for prost_types::Timestamp {
    fn from(time: Time) -> Self {
        Self {
            seconds: time.0.div_euclid(1_000_000),
            nanos: i32::try_from(time.0.rem_euclid(1_000_000) * 1_000).unwrap_or(0),
        }
    }
}

impl TryFrom<prost_types::Timestamp> for Time {
    type Error = Error;

    fn try_from(t: prost_types::Timestamp) -> Result<Self> {
        t.seconds
            .checked_mul(1_000_000)
            .and_then(|s| s.checked_add(i64::from(t.nanos) / 1_000))
            .filter(|m| (0..1_000_000_000).contains(&t.nanos) && (0..Self::MAX_MICROS).contains(m))
            .map(Self)
            .ok_or_else(|| {
                Error::invalid("time", "is out of range: years 1970 to 9999 are accepted".to_owned())
            })
    }
}

/// The clock that everything asks.
#[derive(Clone, Debug, Default)]
pub enum Clock {
    /// The machine's.
    #[default]
    System,
    /// A test's: stands still until moved.
    Manual(Arc<AtomicI64>),
}

impl Clock {
    /// A clock that stands at `start`.
    pub fn manual(start: Time) -> Self {
        Self::Manual(Arc::new(AtomicI64::new(start.micros())))
    }

    /// What time it is.
    pub fn now(&self) -> Time {
        match self {
            Self::System => {
                #[expect(
                    clippy::disallowed_methods,
                    reason = "the one place that may read the machine's clock"
                )]
                let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                Time(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
            }
            Self::Manual(at) => Time(at.load(Ordering::SeqCst)),
        }
    }

    /// Moves a manual clock; the machine's clock does not move.
    pub fn advance(&self, by: Duration) {
        if let Self::Manual(at) = self {
            at.fetch_add(i64::try_from(by.as_micros()).unwrap_or(0), Ordering::SeqCst);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_order_is_time_order_and_reads_back() {
        let times = [0, 1, 999_999, 1_000_000, 1_795_337_483_348_000].map(Time::from_micros);
        let texts = times.map(|t| t.to_string());
        assert!(texts.is_sorted());
        for (time, text) in times.iter().zip(&texts) {
            assert_eq!(Time::parse("t", text).ok(), Some(*time), "{text}");
        }
        assert_eq!(texts.get(1).map(String::as_str), Some("1970-01-01T00:00:00.000001Z"));
    }

    #[test]
    fn out_of_range_protobuf_times_are_refused() {
        for (seconds, nanos) in [(i64::MAX, 0), (-1, 0), (0, -1), (0, 1_000_000_000)] {
            assert!(Time::try_from(prost_types::Timestamp { seconds, nanos }).is_err());
        }
    }
}
