//! What a usage event is and what becomes of it, without any I/O.

use std::time::Duration;

use kernel::{
    clock::Time,
    config::Usage,
    ids::{PrincipalId, TenantId},
    uuid_id,
};
use serde::Serialize;
use tenancy::{holding::HeldRole, role::model::RoleId, unit::model::UnitId};

use crate::client::Client;

mod batch;
mod query;

pub use batch::{Batch, IngestReport, Row, Stored, sort_out};
pub use query::{Dimension, Figure, MAX_METERS, UsageQuery};

uuid_id! {
    /// Identity of a stored usage event.
    UsageEventId;
}

/// One counted thing, with nothing private in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageEvent {
    /// Who says so.
    pub client: Client,
    /// What happened: `codex.tool_result`.
    pub event_type: &'static str,
    /// Tells it from all others of its client.
    pub id: String,
    /// When it happened.
    pub time: Time,
    /// The session that it is part of, where it says so.
    pub session: Option<String>,
    /// What is kept of it: JSON with sorted keys.
    pub attributes: String,
    /// What it adds to which meter, never zero.
    pub amounts: Vec<Amount>,
}

/// What an event adds to a meter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Amount {
    /// Key of the meter.
    pub meter: &'static str,
    /// In whole units of the meter.
    pub value: i64,
}

/// Why a record was refused, for machines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Code {
    /// JSON, but no log record.
    Malformed,
    /// From a process that is neither Codex nor Claude Code.
    UnknownClient,
    /// Says no time.
    MissingTime,
    /// A quantity is not a whole number.
    NotExact,
    /// A quantity is below zero.
    Negative,
    /// A number, a text or a list is over its limit.
    TooLarge,
    /// Happened before what is accepted.
    TooOld,
    /// Happens after what is accepted.
    Future,
}

impl Code {
    /// As in answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "MALFORMED",
            Self::UnknownClient => "UNKNOWN_CLIENT",
            Self::MissingTime => "MISSING_TIME",
            Self::NotExact => "NOT_EXACT",
            Self::Negative => "NEGATIVE",
            Self::TooLarge => "TOO_LARGE",
            Self::TooOld => "TOO_OLD",
            Self::Future => "FUTURE",
        }
    }
}

/// Why a record was refused. The message names fields and limits, and never quotes what the record holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// For machines.
    pub code: Code,
    /// For people.
    pub message: String,
}

impl Rejection {
    /// A refusal.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
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

    fn check(&self, time: Time) -> Result<(), Rejection> {
        if time < self.oldest {
            return Err(Rejection::new(Code::TooOld, format!("happened before {}", self.oldest)));
        }
        if time > self.newest {
            return Err(Rejection::new(Code::Future, format!("happens after {}", self.newest)));
        }
        Ok(())
    }
}

/// A 128-bit BLAKE3 over parts, each preceded by its length, so that no two lists of parts are the same bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest([u8; 16]);

impl Digest {
    /// Of `parts`.
    pub fn of(parts: &[&[u8]]) -> Self {
        let mut hasher = blake3::Hasher::new();
        for part in parts {
            hasher.update(&(part.len() as u64).to_be_bytes());
            hasher.update(part);
        }
        let mut digest = [0; 16];
        hasher.finalize_xof().fill(&mut digest);
        Self(digest)
    }

    /// As stored.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// In lower-case hex.
    pub fn hex(&self) -> String {
        kernel::hash::hex(&self.0)
    }
}

/// What makes an event the same event: the tenant of the credential, the source and the id.
pub fn dedupe_key(tenant: TenantId, source: &str, id: &str) -> Digest {
    Digest::of(&[tenant.0.as_bytes(), source.as_bytes(), id.as_bytes()])
}

/// What makes two events of one key say the same: all that is kept of them, and whose they are. The amounts follow from
/// the rest and are left out, so that a later way of counting does not turn a repetition into a conflict.
fn payload_key(event: &UsageEvent, principal: Option<PrincipalId>) -> Digest {
    let principal = principal.map(|p| p.0.into_bytes());
    Digest::of(&[
        event.event_type.as_bytes(),
        &event.time.micros().to_be_bytes(),
        principal.as_ref().map_or(&[], |p| p.as_slice()),
        event.attributes.as_bytes(),
    ])
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

#[cfg(test)]
mod tests;
