//! Identities: UUIDv7 newtypes for what the system chooses, slugs for what people choose.

use std::{fmt, sync::Mutex};

use serde::{Deserialize, Serialize};
use uuid::{ContextV7, Timestamp, Uuid};

use crate::{
    clock::Time,
    error::{Error, Result},
};

/// Declares UUID newtypes that bind to a UUID (PostgreSQL) or a 16-byte BLOB (SQLite).
#[macro_export]
macro_rules! uuid_id {
    ($($(#[doc = $doc:literal])+ $name:ident;)*) => {$(
        $(#[doc = $doc])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, ::serde::Serialize, ::serde::Deserialize, ::sqlx::Type)]
        #[serde(transparent)]
        #[sqlx(transparent)]
        pub struct $name(pub ::uuid::Uuid);

        impl ::std::fmt::Display for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                self.0.fmt(f)
            }
        }
    )*};
}

uuid_id! {
    /// Identity of a partner.
    PartnerId;
    /// Identity of a tenant.
    TenantId;
    /// Identity of a principal.
    PrincipalId;
    /// Identity of an API token.
    TokenId;
    /// Identity of an audit event.
    EventId;
}

/// Where new ids come from: a parameter, so that a test can replay a run.
#[derive(Debug)]
pub struct Ids {
    context: Mutex<ContextV7>,
}

impl Default for Ids {
    fn default() -> Self {
        Self { context: Mutex::new(ContextV7::new()) }
    }
}

impl Ids {
    /// A new UUIDv7 (RFC 9562) at `now`; ids made one after the other in one process sort in that order, also when the clock
    /// stepped back in between.
    pub fn new_id(&self, now: Time) -> Uuid {
        let (seconds, nanos) = now.unix_parts();
        let context = self.context.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        Uuid::new_v7(Timestamp::from_unix(&*context, seconds, nanos))
    }

    /// Lets every id from now on sort behind `seen`, whatever the clock says. Nothing but a UUIDv7 has an effect.
    pub fn not_below(&self, seen: Uuid) {
        let Some((seconds, nanos)) =
            seen.get_timestamp().map(|t| t.to_unix()).filter(|_| seen.get_version_num() == 7)
        else {
            return;
        };
        let seen = Time::from_unix_parts(seconds, nanos);
        // of the same millisecond it may be before or behind: the next one is behind it
        self.new_id(seen.plus(std::time::Duration::from_millis(1)));
    }
}

/// An id chosen by a person: 1 to 63 of `a-z 0-9 -`, starting with a letter (AIP-122).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, sqlx::Type)]
#[serde(transparent)]
#[sqlx(transparent)]
pub struct Slug(String);

impl Slug {
    /// Longest slug, in bytes.
    pub const MAX: usize = 63;

    /// Checks and wraps `text`; `field` names it in the error.
    pub fn parse(field: &str, text: &str) -> Result<Self> {
        Self::checked(field, text, "-")
    }

    /// Like [`Slug::parse`] but also allows `.` and `_` inside, as people's login names and vendors' plugin names have them.
    pub fn parse_dotted(field: &str, text: &str) -> Result<Self> {
        Self::checked(field, text, "-._")
    }

    fn checked(field: &str, text: &str, extra: &str) -> Result<Self> {
        let starts_well =
            text.starts_with(|c: char| c.is_ascii_lowercase() || (extra.len() > 1 && c.is_ascii_digit()));
        let inside = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || extra.contains(c);
        if starts_well && text.len() <= Self::MAX && text.chars().all(inside) {
            return Ok(Self(text.to_owned()));
        }
        let allowed = if extra.len() > 1 { "`a-z 0-9 - . _`" } else { "`a-z 0-9 -`" };
        let first = if extra.len() > 1 { "a letter or digit" } else { "a letter" };
        Err(Error::invalid(
            field,
            format!("`{}` is not an id: use 1 to 63 of {allowed}, starting with {first}", clip(text)),
        ))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Slug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The first characters of user input, for an error message of bounded length.
pub fn clip(text: &str) -> String {
    const MAX: usize = 80;
    if text.chars().count() <= MAX {
        return text.to_owned();
    }
    text.chars().take(MAX).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slug_is_lower_case_and_starts_with_a_letter() {
        for good in ["a", "acme", "a-1", &"a".repeat(63)] {
            assert!(Slug::parse("id", good).is_ok(), "{good}");
        }
        for bad in ["", "1a", "-a", "Acme", "a_b", "a.b", "a/b", "é", "a\0", &"a".repeat(64)] {
            assert!(Slug::parse("id", bad).is_err(), "{bad}");
        }
        assert!(Slug::parse_dotted("id", "maria.lopez_2").is_ok());
    }

    #[test]
    fn ids_do_not_step_back_with_the_clock_nor_behind_what_was_seen() {
        let (ids, late, early) = (Ids::default(), Time::from_micros(9_000_000), Time::from_micros(1_000_000));
        let first = ids.new_id(late);
        assert!(ids.new_id(early) > first);
        // another process, for example this one before it was restarted
        for _ in 0..1_000 {
            let restarted = Ids::default();
            restarted.not_below(first);
            let next = restarted.new_id(early);
            assert!(next > first && restarted.new_id(early) > next);
        }
        ids.not_below(Uuid::max());
        assert!(ids.new_id(late).get_timestamp().unwrap().to_unix().0 < 10, "only UUIDv7 tell a time");
    }

    #[test]
    fn ids_made_in_a_row_sort_in_that_order() {
        let ids = Ids::default();
        let made: Vec<_> = (0..10_000).map(|_| ids.new_id(Time::from_micros(1_000_000))).collect();
        assert!(made.is_sorted());
    }
}
