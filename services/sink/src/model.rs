//! What a sink is, without any I/O.

use kernel::{
    Result,
    audit::Resource,
    check::Checks,
    clock::Time,
    error::Error,
    ids::{EventId, Slug},
    name,
    scope::Scope,
    stamp, uuid_id,
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    secret::Secret,
    target::{Draft, Target},
};

uuid_id! {
    /// Identity of a sink.
    SinkId;
}

/// Whether a sink delivers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It does.
    Active,
    /// It waits to be resumed.
    Paused,
}

impl State {
    /// As stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Paused => "paused",
        }
    }
}

/// Where a log's events go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sink {
    /// Whose log; nil for the platform's.
    pub scope_id: Uuid,
    /// The same by name: empty, `partners/{p}` or `tenants/{t}`.
    pub parent: String,
    /// Identity.
    pub id: SinkId,
    /// Last segment of the name.
    pub slug: Slug,
    /// For people.
    pub display_name: String,
    /// Where and how.
    pub target: Target,
    /// PEM, or empty.
    pub ca_certificate: String,
    /// Tells one secret from another; empty for none.
    pub secret_tag: String,
    /// Whether it delivers.
    pub state: State,
    /// Why it is paused.
    pub pause_reason: String,
    /// Counts changes, from 1; the etag.
    pub revision: i64,
    /// When it was created.
    pub create_time: Time,
    /// When it last changed.
    pub update_time: Time,
}

impl Resource for Sink {
    const KIND: &'static str = "sink";
    // people write names into reasons
    const PERSONAL: &'static [&'static str] = &["pause_reason"];

    fn name(&self) -> String {
        if self.parent.is_empty() {
            format!("sinks/{}", self.slug)
        } else {
            format!("{}/sinks/{}", self.parent, self.slug)
        }
    }
}

/// How far a sink is.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Progress {
    /// Lowest index that it was asked for.
    pub first_index: i64,
    /// The next index that it delivers.
    pub next_index: i64,
    /// Deliveries that were taken.
    pub delivered: i64,
    /// Events that retention removed before.
    pub lost: i64,
    /// Failed attempts in a row.
    pub attempts: i64,
    /// What the last one met.
    pub last_error: String,
    /// No attempt before.
    pub retry_time: Time,
    /// When something was delivered last.
    pub last_delivery_time: Option<Time>,
    /// Signed events of the log.
    pub signed_size: i64,
    /// Dead letters.
    pub letters: i64,
    /// When the event at `next_index` happened, if there is one.
    pub waiting_since: Option<Time>,
}

impl Progress {
    /// Of a sink that begins at an index.
    pub fn begun(index: i64, now: Time) -> Self {
        Self {
            first_index: index,
            next_index: index,
            delivered: 0,
            lost: 0,
            attempts: 0,
            last_error: String::new(),
            retry_time: now,
            last_delivery_time: None,
            signed_size: index,
            letters: 0,
            waiting_since: None,
        }
    }

    /// Signed events that it has not come to.
    pub fn lag(&self) -> i64 {
        (self.signed_size - self.next_index).max(0)
    }

    /// Age of the oldest of them, seconds.
    pub fn lag_seconds(&self, now: Time) -> i64 {
        match self.waiting_since {
            Some(since) if self.lag() > 0 => i64::try_from(now.since(since).as_secs()).unwrap_or(i64::MAX),
            _ => 0,
        }
    }
}

/// A sink and how far it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// The sink.
    pub sink: Sink,
    /// How far.
    pub progress: Progress,
    /// When that was looked at.
    pub now: Time,
}

/// An event that the receiver refused for good.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Letter {
    /// Its place in the log.
    pub idx: i64,
    /// Its identity.
    pub event_id: EventId,
    /// What the receiver said last.
    pub reason: String,
    /// Attempts in all.
    pub attempts: i64,
    /// Whether it waits to be delivered again.
    pub redeliver: bool,
    /// When it was given up.
    pub create_time: Time,
}

impl Sink {
    /// A new sink in `scope`.
    pub fn create(
        scope: &Scope,
        (id, slug): (SinkId, &str),
        display_name: String,
        draft: &Draft,
        (ca_certificate, secret_tag): (String, String),
        now: Time,
    ) -> Result<Self> {
        let sink = Self {
            scope_id: scope.id(),
            parent: parent_name(scope),
            id,
            slug: Slug::parse("sink_id", slug)?,
            display_name,
            target: draft.target.clone(),
            ca_certificate,
            secret_tag,
            state: State::Active,
            pause_reason: String::new(),
            revision: 1,
            create_time: now,
            update_time: now,
        };
        sink.checked()
    }

    /// The sink with another name for people, another target, other authorities.
    pub fn patched(
        &self,
        display_name: Option<String>,
        target: Option<(Target, String)>,
        ca_certificate: Option<String>,
        now: Time,
    ) -> Result<Self> {
        let (target, secret_tag) = target.unwrap_or_else(|| (self.target.clone(), self.secret_tag.clone()));
        let sink = Self {
            display_name: display_name.unwrap_or_else(|| self.display_name.clone()),
            target,
            secret_tag,
            ca_certificate: ca_certificate.unwrap_or_else(|| self.ca_certificate.clone()),
            ..self.next(now)
        };
        sink.checked()
    }

    /// The sink, paused.
    pub fn paused(&self, reason: String, now: Time) -> Result<Self> {
        let mut checks = Checks::new();
        checks.text("reason", &reason, 0, 256);
        checks.done()?;
        if self.state == State::Paused {
            let message = format!("`{}` is paused already", self.name());
            return Err(Error::illegal_state(self.name(), message));
        }
        Ok(Self { state: State::Paused, pause_reason: reason, ..self.next(now) })
    }

    /// The sink, delivering again.
    pub fn resumed(&self, now: Time) -> Result<Self> {
        if self.state == State::Active {
            let message = format!("`{}` is not paused, so there is nothing to resume", self.name());
            return Err(Error::illegal_state(self.name(), message));
        }
        Ok(Self { state: State::Active, pause_reason: String::new(), ..self.next(now) })
    }

    /// Refuses a stale etag; an empty one is not checked.
    pub fn matches(&self, etag: &str) -> Result<()> {
        if etag.is_empty() || etag == self.etag() {
            return Ok(());
        }
        Err(Error::EtagStale { name: self.name() })
    }

    /// The etag.
    pub fn etag(&self) -> String {
        stamp::etag(self.revision)
    }

    fn next(&self, now: Time) -> Self {
        Self { revision: self.revision + 1, update_time: now.max(self.update_time), ..self.clone() }
    }

    fn checked(self) -> Result<Self> {
        let mut checks = Checks::new();
        checks.text("sink.display_name", &self.display_name, 1, 128);
        checks.done().map(|()| self)
    }
}

/// A sink with what it authenticates with: what it takes to deliver.
#[derive(Clone, Debug)]
pub struct Armed {
    /// The sink.
    pub sink: Sink,
    /// What it authenticates with.
    pub secret: Secret,
}

/// The name of a scope as a parent: empty for the platform.
pub fn parent_name(scope: &Scope) -> String {
    match scope {
        Scope::Platform => String::new(),
        other => other.to_string(),
    }
}

/// The parent and the slug in a sink's name.
pub fn parse(field: &str, text: &str) -> Result<(String, Slug)> {
    match text.split('/').next() {
        Some("tenants") => {
            let [tenant, slug] = name::parse(field, "tenants/{}/sinks/{}", text)?;
            Ok((format!("tenants/{tenant}"), slug))
        }
        Some("partners") => {
            let [partner, slug] = name::parse(field, "partners/{}/sinks/{}", text)?;
            Ok((format!("partners/{partner}"), slug))
        }
        _ => name::parse(field, "sinks/{}", text).map(|[slug]| (String::new(), slug)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_keep_their_parent() {
        let slug = Slug::parse("id", "siem").unwrap();
        assert_eq!(parse("name", "sinks/siem").unwrap(), (String::new(), slug.clone()));
        assert_eq!(parse("name", "tenants/acme/sinks/siem").unwrap(), ("tenants/acme".to_owned(), slug));
        for bad in
            ["", "siem", "tenants/acme/sinks/", "tenants/acme/roles/a", "sinks/a/b", "partners/p/sinks"]
        {
            assert!(parse("name", bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn lag_is_what_is_signed_and_not_delivered() {
        let now = Time::from_micros(90_000_000);
        let progress = Progress {
            signed_size: 10,
            waiting_since: Some(Time::from_micros(30_000_000)),
            ..Progress::begun(7, now)
        };
        assert_eq!((progress.lag(), progress.lag_seconds(now)), (3, 60));
        let done = Progress { next_index: 10, ..progress };
        assert_eq!((done.lag(), done.lag_seconds(now)), (0, 0));
    }
}
