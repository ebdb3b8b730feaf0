//! What a correction is, and which state follows which: pure.

use kernel::{Error, Result, audit::Resource, check::Checks, clock::Time, ids::TenantId, stamp};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::event::model::{MAX_ID, UsageEvent};

/// Longest reason, in characters.
pub const MAX_REASON: usize = 1_024;
/// Most events that one call takes back or amends.
pub const MAX_PICKED: usize = 1_000;
/// Most events that a backfill takes in, and that it replaces: bounds how long one transaction holds a tenant's events.
pub const MAX_BACKFILL: i64 = 250_000;
/// Most backfills of a tenant that are open at a time.
pub const MAX_OPEN: i64 = 10;
/// Longest interval of a backfill, in days: as long as an event is told from its repetition.
pub const MAX_DAYS: i64 = 400;

const DAY: i64 = 86_400_000_000;

/// What a correction does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Kind {
    /// Takes events back.
    Void,
    /// Takes events back and puts others in their place.
    Amend,
    /// Puts events into an interval.
    Backfill,
}

/// Where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum State {
    /// Takes events in.
    Staged,
    /// In force.
    Committed,
    /// Undone.
    Reverted,
    /// Given up.
    Abandoned,
}

impl Kind {
    /// As stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Void => "void",
            Self::Amend => "amend",
            Self::Backfill => "backfill",
        }
    }

    /// As it was stored.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Void, Self::Amend, Self::Backfill].into_iter().find(|kind| kind.as_str() == text)
    }
}

impl State {
    /// As stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Staged => "staged",
            Self::Committed => "committed",
            Self::Reverted => "reverted",
            Self::Abandoned => "abandoned",
        }
    }

    /// As it was stored.
    pub fn parse(text: &str) -> Option<Self> {
        let all = [Self::Staged, Self::Committed, Self::Reverted, Self::Abandoned];
        all.into_iter().find(|state| state.as_str() == text)
    }
}

/// What it does to the figures of a meter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Effect {
    /// Key of the meter.
    pub meter: String,
    /// Unit of the meter.
    pub unit: String,
    /// Events that count no more.
    pub events_taken: i64,
    /// Their sum, exact.
    pub value_taken: String,
    /// Events that count from now on.
    pub events_added: i64,
    /// Their sum, exact.
    pub value_added: String,
    /// The difference of the two.
    pub value_change: String,
}

/// A correction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Correction {
    /// Whose.
    pub tenant_id: TenantId,
    /// The tenant by name.
    pub parent: String,
    /// Identity.
    pub id: Uuid,
    /// What it does.
    pub kind: Kind,
    /// Where it is.
    pub state: State,
    /// Why.
    pub reason: String,
    /// Who made it.
    pub actor: String,
    /// Of a backfill: its interval, half-open.
    pub range: Option<(Time, Time)>,
    /// Of a backfill: only this assistant, or empty.
    pub client: String,
    /// Of a backfill: only this source, or empty.
    pub source: String,
    /// Of a backfill: whether it takes back what stands in its interval.
    pub replace: bool,
    /// Events staged.
    pub staged_count: i64,
    /// Events taken back.
    pub taken_count: i64,
    /// Events added.
    pub added_count: i64,
    /// Staged events that were left out.
    pub skipped_count: i64,
    /// What it does to figures.
    pub effects: Vec<Effect>,
    /// Why it ended.
    pub end_reason: String,
    /// Who ended it.
    pub end_actor: String,
    /// Counts changes.
    pub revision: i64,
    /// When it was made.
    pub create_time: Time,
    /// When it last changed.
    pub update_time: Time,
    /// Since when it is in force.
    pub commit_time: Option<Time>,
    /// When it ended.
    pub end_time: Option<Time>,
}

impl Resource for Correction {
    const KIND: &'static str = "usage_correction";
    const PERSONAL: &'static [&'static str] = &["reason", "end_reason"];

    fn name(&self) -> String {
        format!("{}/usageCorrections/{}", self.parent, self.id)
    }
}

/// Who acts, and when.
#[derive(Clone, Debug)]
pub struct By {
    /// Who, by name.
    pub actor: String,
    /// Why.
    pub reason: String,
    /// When.
    pub now: Time,
}

/// What a backfill is opened with.
#[derive(Clone, Debug, Default)]
pub struct Frame {
    /// Start of the interval.
    pub start: Option<Time>,
    /// End of the interval.
    pub end: Option<Time>,
    /// Only this assistant, or empty.
    pub client: String,
    /// Only this source, or empty.
    pub source: String,
    /// Whether it replaces.
    pub replace: bool,
}

/// Refuses a reason that is none.
pub fn check_reason(field: &str, reason: &str) -> Result<()> {
    let mut checks = Checks::new();
    checks.text(field, reason, 1, MAX_REASON);
    checks.done()
}

impl Correction {
    /// A correction that takes effect at once.
    pub fn immediate((tenant_id, parent): (TenantId, String), id: Uuid, kind: Kind, by: By) -> Result<Self> {
        check_reason("reason", &by.reason)?;
        Ok(Self {
            tenant_id,
            parent,
            id,
            kind,
            state: State::Committed,
            reason: by.reason,
            actor: by.actor,
            range: None,
            client: String::new(),
            source: String::new(),
            replace: false,
            staged_count: 0,
            taken_count: 0,
            added_count: 0,
            skipped_count: 0,
            effects: Vec::new(),
            end_reason: String::new(),
            end_actor: String::new(),
            revision: 1,
            create_time: by.now,
            update_time: by.now,
            commit_time: Some(by.now),
            end_time: None,
        })
    }

    /// An open backfill.
    pub fn backfill(of: (TenantId, String), id: Uuid, frame: Frame, by: By) -> Result<Self> {
        let mut checks = Checks::new();
        checks.text("backfill.reason", &by.reason, 1, MAX_REASON);
        for (field, text) in [("backfill.client", &frame.client), ("backfill.source", &frame.source)] {
            let message = format!("has {} bytes; use at most {MAX_ID}", text.len());
            checks.that(field, text.len() <= MAX_ID, message);
        }
        for (field, time) in
            [("backfill.range_start_time", frame.start), ("backfill.range_end_time", frame.end)]
        {
            checks.that(field, time.is_some(), "must be set");
        }
        let range = frame.start.zip(frame.end);
        if let Some((start, end)) = range {
            checks.that("backfill.range_end_time", start < end, "must be after `range_start_time`");
            let length = end.micros().saturating_sub(start.micros());
            checks.that(
                "backfill.range_end_time",
                length <= MAX_DAYS * DAY,
                format!("is more than {MAX_DAYS} days after `range_start_time`; use several backfills"),
            );
            let oldest = Time::from_micros(by.now.micros().saturating_sub(MAX_DAYS * DAY));
            checks.that(
                "backfill.range_start_time",
                start >= oldest,
                format!("is more than {MAX_DAYS} days ago, beyond what events are kept for"),
            );
        }
        checks.done()?;
        let open = Self::immediate(of, id, Kind::Backfill, by)?;
        let Frame { client, source, replace, .. } = frame;
        Ok(Self { state: State::Staged, commit_time: None, range, client, source, replace, ..open })
    }

    /// The next version, in another state.
    fn moved(&self, from: State, to: State, verb: &str, now: Time) -> Result<Self> {
        if self.state != from {
            let name = self.name();
            let message = format!(
                "`{name}` is {}, so it cannot be {verb}; it had to be {}",
                word(self.state),
                word(from)
            );
            return Err(Error::illegal_state(name, message));
        }
        let update_time = now.max(self.update_time);
        Ok(Self { state: to, revision: self.revision + 1, update_time, ..self.clone() })
    }

    /// A backfill in force.
    pub fn committed(&self, now: Time) -> Result<Self> {
        let moved = self.moved(State::Staged, State::Committed, "committed", now)?;
        Ok(Self { commit_time: Some(now), ..moved })
    }

    /// Undone.
    pub fn reverted(&self, by: By) -> Result<Self> {
        check_reason("reason", &by.reason)?;
        let moved = self.moved(State::Committed, State::Reverted, "reverted", by.now)?;
        Ok(Self { end_reason: by.reason, end_actor: by.actor, end_time: Some(by.now), ..moved })
    }

    /// Given up.
    pub fn abandoned(&self, by: By) -> Result<Self> {
        check_reason("reason", &by.reason)?;
        let moved = self.moved(State::Staged, State::Abandoned, "abandoned", by.now)?;
        Ok(Self { end_reason: by.reason, end_actor: by.actor, end_time: Some(by.now), ..moved })
    }

    /// Refuses anything but an open backfill.
    pub fn open(&self) -> Result<()> {
        self.moved(State::Staged, State::Staged, "added to", self.update_time).map(|_| ())
    }

    /// Why an event does not belong into it; none when it does.
    pub fn foreign(&self, event: &UsageEvent) -> Option<(&'static str, String)> {
        let (start, end) = self.range?;
        if !event.timed {
            return Some(("time", "must be set in a backfill".to_owned()));
        }
        if event.time < start || event.time >= end {
            return Some((
                "time",
                format!("is outside of the backfill, which is from {start} until before {end}"),
            ));
        }
        for (field, own, of) in
            [("client", &self.client, &event.client), ("source", &self.source, &event.source)]
        {
            if !own.is_empty() && own.as_str() != of.as_ref() {
                return Some((field, format!("is not `{own}`, which the backfill is for")));
            }
        }
        None
    }

    /// The etag.
    pub fn etag(&self) -> String {
        stamp::etag(self.revision)
    }

    /// Refuses a stale etag; an empty one is not checked.
    pub fn matches(&self, etag: &str) -> Result<()> {
        if etag.is_empty() || etag == self.etag() {
            return Ok(());
        }
        Err(Error::EtagStale { name: self.name() })
    }
}

fn word(state: State) -> &'static str {
    match state {
        State::Staged => "open",
        State::Committed => "in force",
        State::Reverted => "reverted",
        State::Abandoned => "abandoned",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn by(reason: &str) -> By {
        By { actor: "a".to_owned(), reason: reason.to_owned(), now: Time::from_micros(500 * DAY) }
    }

    fn of() -> (TenantId, String) {
        (TenantId(Uuid::nil()), "tenants/acme".to_owned())
    }

    fn frame(start: i64, end: i64) -> Frame {
        Frame {
            start: Some(Time::from_micros(start * DAY)),
            end: Some(Time::from_micros(end * DAY)),
            ..Frame::default()
        }
    }

    fn open(frame: Frame) -> Result<Correction> {
        Correction::backfill(of(), Uuid::nil(), frame, by("late"))
    }

    #[test]
    fn an_interval_is_in_the_past_that_is_kept_and_has_a_start_before_its_end() {
        assert!(open(frame(100, 500)).is_ok());
        assert!(open(frame(490, 501)).is_ok());
        for (start, end) in [(99, 400), (300, 300), (300, 200), (100, 501)] {
            assert!(open(frame(start, end)).is_err(), "{start} {end}");
        }
        assert!(open(Frame::default()).is_err());
        assert!(open(Frame { client: "x".repeat(257), ..frame(400, 401) }).is_err());
    }

    #[test]
    fn states_follow_each_other_and_no_others_do() {
        let staged = open(frame(400, 401)).unwrap();
        let committed = staged.committed(by("").now).unwrap();
        assert_eq!((committed.state, committed.revision), (State::Committed, 2));
        assert!(committed.committed(by("").now).is_err() && committed.abandoned(by("x")).is_err());
        assert!(committed.open().is_err() && staged.open().is_ok());
        let reverted = committed.reverted(by("wrong file")).unwrap();
        assert_eq!((reverted.state, reverted.end_reason.as_str()), (State::Reverted, "wrong file"));
        assert!(reverted.reverted(by("x")).is_err() && reverted.committed(by("").now).is_err());
        assert!(staged.reverted(by("x")).is_err());
        assert_eq!(staged.abandoned(by("x")).unwrap().state, State::Abandoned);
        assert!(committed.reverted(by("")).is_err(), "nobody reverts without a reason");
    }

    #[test]
    fn a_reason_is_given() {
        assert!(Correction::immediate(of(), Uuid::nil(), Kind::Void, by("")).is_err());
        assert!(Correction::immediate(of(), Uuid::nil(), Kind::Void, by(&"x".repeat(1_025))).is_err());
        assert!(Correction::immediate(of(), Uuid::nil(), Kind::Void, by("sent twice")).is_ok());
    }
}
