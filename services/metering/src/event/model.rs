//! What a usage event is, what is refused, and what becomes of one: pure.

use std::{borrow::Cow, collections::BTreeMap, time::Duration};

use kernel::{
    clock::Time,
    config::Usage,
    ids::{PrincipalId, clip},
};
use serde::Serialize;
use tenancy::{holding::HeldRole, role::model::RoleId, unit::model::UnitId};

use super::decimal::Decimal;
use crate::{claim::Claim, observation::Observation};

/// Most events in a batch.
pub const MAX_BATCH: usize = 10_000;
/// Longest id, source, type or session, in bytes.
pub const MAX_ID: usize = 256;
/// Most dimensions of an event.
pub const MAX_DIMS: usize = 16;
/// Longest name or value of a dimension, in bytes.
pub const MAX_DIM: usize = 128;
/// Most quantities of an event.
pub const MAX_VALUES: usize = 16;
/// Most that one event may say of a quantity: a year of the busiest organisation stays far below what 64 bits hold.
pub const MAX_AMOUNT: i64 = 1_000_000_000_000;
/// The quantity of an event that names none.
pub const VALUE: &str = "value";
/// The assistant of events that name none.
pub const OTHER_CLIENT: &str = "other";

/// One counted thing, with nothing private in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageEvent {
    /// Who says so (CloudEvents `source`), 1 to 256 bytes.
    pub source: Cow<'static, str>,
    /// Tells it from all others of its source, 1 to 256 bytes.
    pub id: String,
    /// What happened: `codex.tool_result`.
    pub event_type: Cow<'static, str>,
    /// The assistant: `codex`, `claude-code`.
    pub client: Cow<'static, str>,
    /// When it happened.
    pub time: Time,
    /// Whether the sender said when; otherwise it is when it came in.
    pub timed: bool,
    /// The session that it is part of, where it says so.
    pub session: Option<String>,
    /// What it can be told apart by.
    pub dims: Dims,
    /// What was counted, by name: the key of a built-in meter, or `value`, or whatever a meter of the tenant's own asks for.
    pub values: Vec<(Cow<'static, str>, Decimal)>,
    /// What an adapter kept of it: JSON with sorted keys. Empty for events that came as such.
    pub attributes: String,
    /// Set where a client says the same tokens in several ways, of which one counts.
    pub claim: Option<Claim>,
    /// What it says besides what is counted.
    pub observation: Option<Observation>,
}

/// Dimensions: short texts by name, sorted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Dims(pub BTreeMap<Cow<'static, str>, String>);

impl Dims {
    /// Adds one. What is too long is cut, which tells where it came from well enough; what is too many is left out.
    pub fn put(&mut self, name: &'static str, value: &str) {
        if !value.is_empty() && self.0.len() < MAX_DIMS {
            let end = (0..=MAX_DIM.min(value.len())).rev().find(|at| value.is_char_boundary(*at));
            let value = value.get(..end.unwrap_or(0)).unwrap_or_default();
            self.0.insert(Cow::Borrowed(name), value.to_owned());
        }
    }

    /// As stored: JSON with sorted keys.
    pub fn to_json(&self) -> String {
        // a map of texts always has a JSON form
        serde_json::to_string(&self.0).unwrap_or_default()
    }
}

/// Quantities as stored: JSON, whole numbers as numbers and others as texts.
pub fn amounts_json(values: &[(Cow<'static, str>, Decimal)]) -> String {
    use std::fmt::Write as _;
    let mut sorted: Vec<_> = values.iter().collect();
    sorted.sort_by(|a, b| a.0.cmp(&b.0));
    let mut text = String::with_capacity(16 + sorted.len() * 24);
    text.push('{');
    for (n, (name, value)) in sorted.into_iter().enumerate() {
        if n > 0 {
            text.push(',');
        }
        text.push_str(&serde_json::to_string(name.as_ref()).unwrap_or_default());
        // writing to a string does not fail
        let _ = match value.at_scale(0) {
            Some(whole) => write!(text, ":{whole}"),
            None => write!(text, ":\"{value}\""),
        };
    }
    text.push('}');
    text
}

/// Why an event was refused, for machines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Code {
    /// Not an event: a field has the wrong type.
    Malformed,
    /// From a process that no adapter knows.
    UnknownClient,
    /// Says no time, where the form asks for one.
    MissingTime,
    /// A field that must be there is empty.
    Missing,
    /// A quantity is no exact number, or not exact at its meter's scale.
    NotExact,
    /// A quantity is below zero.
    Negative,
    /// A number, a text or a list is over its limit.
    TooLarge,
    /// Happened before what is accepted.
    TooOld,
    /// Happens after what is accepted.
    Future,
    /// Names somebody whom the tenant does not have, or somebody else than the credential.
    Subject,
}

impl Code {
    /// As in answers and in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "MALFORMED",
            Self::UnknownClient => "UNKNOWN_CLIENT",
            Self::MissingTime => "MISSING_TIME",
            Self::Missing => "MISSING",
            Self::NotExact => "NOT_EXACT",
            Self::Negative => "NEGATIVE",
            Self::TooLarge => "TOO_LARGE",
            Self::TooOld => "TOO_OLD",
            Self::Future => "FUTURE",
            Self::Subject => "SUBJECT",
        }
    }
}

/// How a conflict stands among the refused.
pub const CONFLICT: &str = "CONFLICT";

/// Why an event was refused. The message names fields and limits, and never quotes what an adapter would have dropped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// For machines.
    pub code: Code,
    /// Which field is to blame; empty for the whole.
    pub field: Cow<'static, str>,
    /// For people.
    pub message: String,
}

impl Rejection {
    /// A refusal of the whole.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self::of(code, "", message)
    }

    /// A refusal for a field.
    pub fn of(code: Code, field: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self { code, field: field.into(), message: message.into() }
    }
}

/// What became of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    /// Stored now, in this place.
    Accepted(i64),
    /// Known already with the same content, in this place: nothing to do.
    Duplicate(i64),
    /// Known already with other content, in this place: not counted.
    Conflict(i64),
    /// Refused.
    Rejected(Rejection),
}

/// The times at which an event may have happened, both ends included.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    oldest: Time,
    newest: Time,
}

impl Window {
    /// Around `now`, as configured.
    pub fn around(now: Time, config: &Usage) -> Self {
        let day = Duration::from_hours(24).as_secs();
        Self {
            oldest: now.minus(Duration::from_secs(config.accept_past_days.saturating_mul(day))),
            newest: now.plus(Duration::from_secs(config.accept_future_seconds)),
        }
    }

    /// From `oldest` to `newest`.
    pub fn of(oldest: Time, newest: Time) -> Self {
        Self { oldest, newest }
    }

    /// Refuses what is outside.
    pub fn check(&self, time: Time) -> Result<(), Rejection> {
        if time < self.oldest {
            return Err(Rejection::of(Code::TooOld, "time", format!("happened before {}", self.oldest)));
        }
        if time > self.newest {
            return Err(Rejection::of(Code::Future, "time", format!("happens after {}", self.newest)));
        }
        Ok(())
    }
}

/// Refuses an event that breaks a limit.
pub fn check(event: &UsageEvent) -> Result<(), Rejection> {
    for (field, text) in [("id", &*event.id), ("source", &event.source), ("type", &event.event_type)] {
        if text.is_empty() {
            return Err(Rejection::of(Code::Missing, field, "must not be empty"));
        }
        if text.len() > MAX_ID {
            let message = format!("has {} bytes; use at most {MAX_ID}", text.len());
            return Err(Rejection::of(Code::TooLarge, field, message));
        }
    }
    let dims = &event.dims.0;
    if dims.len() > MAX_DIMS {
        let message = format!("has {} dimensions; use at most {MAX_DIMS}", dims.len());
        return Err(Rejection::of(Code::TooLarge, "data.dims", message));
    }
    if let Some((name, _)) = dims.iter().find(|(name, value)| name.len() > MAX_DIM || value.len() > MAX_DIM) {
        let message = format!("`{}` has more than {MAX_DIM} bytes in name or value", clip(name));
        return Err(Rejection::of(Code::TooLarge, "data.dims", message));
    }
    if event.values.len() > MAX_VALUES {
        let message = format!("has {} quantities; use at most {MAX_VALUES}", event.values.len());
        return Err(Rejection::of(Code::TooLarge, "data.values", message));
    }
    event.values.iter().try_for_each(|(name, value)| amount(name, *value))
}

/// A quantity as refusals name it.
pub fn quantity_field(name: &str) -> String {
    if name == VALUE { "data.value".to_owned() } else { format!("data.values.{}", clip(name)) }
}

fn amount(name: &str, value: Decimal) -> Result<(), Rejection> {
    let field = || quantity_field(name);
    if name.is_empty() || name.len() > MAX_DIM {
        let message = format!("names of quantities have 1 to {MAX_DIM} bytes");
        return Err(Rejection::of(Code::TooLarge, "data.values", message));
    }
    // what feeds a built-in meter has to be exact there and not below zero; of anything else, the tenant's own meters decide when it is
    // stored (`Meters::check`)
    if value.is_negative() && crate::meter::find(name).is_some() {
        return Err(Rejection::of(Code::Negative, field(), "is negative"));
    }
    let exact = crate::meter::find(name).is_none_or(|meter| value.at_scale(meter.scale).is_some());
    if !exact {
        return Err(Rejection::of(Code::NotExact, field(), "is not exact at the scale of the meter"));
    }
    if value.whole().abs() > MAX_AMOUNT {
        return Err(Rejection::of(Code::TooLarge, field(), format!("is more than {MAX_AMOUNT}")));
    }
    Ok(())
}

/// To whom usage is attributed, as it was when the event came in; stored with it, so that past figures never change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Holder {
    /// Whose it is; none for a tenant's own ingest token.
    pub principal: Option<PrincipalId>,
    /// Under which role it counts.
    pub role: Option<RoleId>,
    /// Under which unit it counts.
    pub unit: Option<UnitId>,
}

/// The one role under which a principal's usage counts: the direct one held longest, or else the one held longest
/// through a group. One and not all, so that figures by role add up to the total; the longest held, because that does
/// not move when somebody is given a further role. The slug breaks ties.
pub fn counted_role(roles: &[HeldRole]) -> Option<RoleId> {
    roles.iter().min_by_key(|r| (!r.direct, r.since, r.slug.as_str())).map(|r| r.id)
}
