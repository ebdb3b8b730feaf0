//! Arguments that many commands share.

use std::fmt::Display;

use clap::{
    Args,
    builder::{PossibleValue, PossibleValuesParser, TypedValueParser},
};
use jiff::{Span, Timestamp, civil::Date, tz::TimeZone};
use uuid::Uuid;

use crate::{
    ambient,
    error::{Error, Result},
    output,
};

/// Paging.
#[derive(Args, Debug)]
pub struct PageArgs {
    /// At most this many, 1 to 1000; the server's default is 50
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..=1000))]
    pub page_size: Option<i32>,
    /// Go on where a page ended
    #[arg(long, value_name = "TOKEN", default_value = "", hide_default_value = true)]
    pub page_token: String,
    /// Read all pages; `-o json` is then one array
    #[arg(long, conflicts_with = "page_token")]
    pub all: bool,
}

/// Filter, order and paging.
#[derive(Args, Debug)]
pub struct ListArgs {
    /// Only what matches, for example `display_name = "Acme"` (AIP-160)
    #[arg(long, value_name = "EXPRESSION", default_value = "", hide_default_value = true)]
    pub filter: String,
    /// `FIELD`, or `FIELD desc`
    #[arg(long, value_name = "FIELD", default_value = "", hide_default_value = true)]
    pub order_by: String,
    /// Paging.
    #[command(flatten)]
    pub page: PageArgs,
}

/// Watching.
#[derive(Args, Clone, Copy, Debug)]
pub struct WatchArgs {
    /// Read again every second and show every change, until Ctrl-C
    #[arg(long)]
    pub watch: bool,
}

/// What every change can be asked.
#[derive(Args, Debug)]
pub struct ChangeArgs {
    /// UUID under which a retry is recognised; a fresh one by default
    #[arg(long, value_name = "UUID")]
    pub request_id: Option<Uuid>,
    /// Check permission and input, change nothing
    #[arg(long)]
    pub validate_only: bool,
}

impl ChangeArgs {
    /// The id to send.
    pub fn request_id(&self) -> String {
        self.request_id.unwrap_or_else(ambient::request_id).to_string()
    }
}

/// A verb on one thing.
#[derive(Args, Debug)]
pub struct VerbArgs {
    /// Which one
    pub name: String,
    /// Refuse when it changed since this etag was read
    #[arg(long, default_value = "", hide_default_value = true)]
    pub etag: String,
    /// Idempotency and dry run.
    #[command(flatten)]
    pub change: ChangeArgs,
}

/// Going ahead without a question.
#[derive(Args, Clone, Copy, Debug)]
pub struct YesArgs {
    /// Do not ask; needed where there is no terminal
    #[arg(long, short)]
    pub yes: bool,
}

/// A verb that asks first.
#[derive(Args, Debug)]
pub struct DangerArgs {
    /// The verb.
    #[command(flatten)]
    pub verb: VerbArgs,
    /// The answer.
    #[command(flatten)]
    pub yes: YesArgs,
}

/// What the requests of all verbs carry.
#[derive(Debug)]
pub struct Verb {
    /// Full name.
    pub name: String,
    /// Etag, or empty.
    pub etag: String,
    /// Idempotency key.
    pub request_id: String,
    /// Dry run.
    pub validate_only: bool,
}

impl VerbArgs {
    /// The verb on a full name.
    pub fn on(&self, name: impl Display) -> Verb {
        Verb {
            name: name.to_string(),
            etag: self.etag.clone(),
            request_id: self.change.request_id(),
            validate_only: self.change.validate_only,
        }
    }
}

/// Reads a value of a proto enum by its short name: `preview` is the number of `STAGE_PREVIEW`.
pub fn choice(name: &'static str) -> impl TypedValueParser<Value = i32> {
    let values: Vec<(String, i32)> = choices(name);
    let words = values.iter().map(|(word, _)| PossibleValue::new(word.clone()));
    PossibleValuesParser::new(words.collect::<Vec<_>>())
        .map(move |chosen| values.iter().find(|(word, _)| *word == chosen).map_or(0, |(_, number)| *number))
}

/// The short names of a proto enum's values, without `UNSPECIFIED`.
fn choices(name: &str) -> Vec<(String, i32)> {
    let Some(descriptor) = output::pool().ok().and_then(|pool| pool.get_enum_by_name(name)) else {
        return Vec::new();
    };
    let prefix = descriptor.default_value().name().replace("UNSPECIFIED", "");
    let word = |name: &str| name.strip_prefix(&prefix).unwrap_or(name).to_lowercase().replace('_', "-");
    descriptor.values().filter(|v| v.number() != 0).map(|v| (word(v.name()), v.number())).collect()
}

/// A time: RFC 3339, or a day, which begins at midnight UTC.
pub fn time(text: &str) -> std::result::Result<prost_types::Timestamp, String> {
    let midnight = |day: Date| day.to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp());
    let time = text.parse::<Timestamp>().ok().or_else(|| text.parse::<Date>().ok().and_then(midnight));
    time.map(stamp).ok_or_else(|| "write `2026-11-05T10:30:00Z` or `2026-11-05`".to_owned())
}

/// An end of a window; none for no bound.
#[derive(Clone, Copy, Debug)]
pub struct Bound(pub Option<prost_types::Timestamp>);

/// A time, or `none`: no bound any more.
pub fn bound(text: &str) -> std::result::Result<Bound, String> {
    match text {
        "none" => Ok(Bound(None)),
        text => time(text).map(|time| Bound(Some(time))).map_err(|e| format!("{e}, or `none`")),
    }
}

/// A length of time from now on: `90d`, `12h`, `1y`.
pub fn later(text: &str) -> std::result::Result<prost_types::Timestamp, String> {
    later_than(ambient::now(), text)
}

fn later_than(now: Timestamp, text: &str) -> std::result::Result<prost_types::Timestamp, String> {
    let span: Option<Span> = text.parse().ok().filter(|span: &Span| span.is_positive());
    span.and_then(|span| now.to_zoned(TimeZone::UTC).checked_add(span).ok())
        .map(|end| stamp(end.timestamp()))
        .ok_or_else(|| "write a length of time, for example `90d` or `12h`".to_owned())
}

fn stamp(time: Timestamp) -> prost_types::Timestamp {
    prost_types::Timestamp { seconds: time.as_second(), nanos: time.subsec_nanosecond() }
}

/// The mask of an update: the names of the fields that were given.
pub fn mask(fields: &[(&str, bool)]) -> Result<Option<prost_types::FieldMask>> {
    let paths: Vec<_> =
        fields.iter().filter(|(_, given)| *given).map(|(name, _)| (*name).to_owned()).collect();
    if paths.is_empty() {
        let flags: Vec<_> = fields.iter().map(|(name, _)| format!("--{}", name.replace('_', "-"))).collect();
        return Err(Error::Usage(format!("nothing to change; give {}", flags.join(" or "))));
    }
    Ok(Some(prost_types::FieldMask { paths }))
}

/// What a set is called, and what it is for.
#[derive(Args, Debug)]
pub struct Words {
    /// For people; required to create one
    #[arg(long)]
    pub display_name: Option<String>,
    /// What it is for
    #[arg(long)]
    pub description: Option<String>,
}

impl Words {
    /// The mask of those that are given.
    pub fn mask(&self) -> Result<Option<prost_types::FieldMask>> {
        mask(&[("display_name", self.display_name.is_some()), ("description", self.description.is_some())])
    }
}

#[cfg(test)]
mod tests {
    use proto::{catalog::v1::Stage, duty::v1::Duty};

    use super::*;

    #[test]
    fn enums_are_read_by_their_short_names() {
        assert!(choices("provost.catalog.v1.Stage").contains(&("preview".to_owned(), Stage::Preview.into())));
        assert!(
            choices("provost.duty.v1.Duty")
                .contains(&("platform-admin".to_owned(), Duty::PlatformAdmin.into()))
        );
        assert!(!choices("provost.duty.v1.Duty").iter().any(|(word, _)| word.contains("unspecified")));
    }

    #[test]
    fn times_are_rfc3339_or_days() {
        assert_eq!(time("1970-01-02").unwrap().seconds, 86_400);
        assert_eq!(time("1970-01-01T00:00:01.5Z").unwrap().nanos, 500_000_000);
        for bad in ["", "yesterday", "2026-13-01", "12:00"] {
            assert!(time(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn lengths_count_from_now() {
        let now = Timestamp::UNIX_EPOCH;
        assert_eq!(later_than(now, "90d").unwrap().seconds, 90 * 86_400);
        assert_eq!(later_than(now, "1y").unwrap().seconds, 365 * 86_400);
        for bad in ["", "90", "-1d", "0d", "99999y", "soon"] {
            assert!(later_than(now, bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_update_names_what_was_given() {
        let mask = mask(&[("display_name", true), ("email", false)]).unwrap().unwrap();
        assert_eq!(mask.paths, ["display_name"]);
        let none = super::mask(&[("display_name", false), ("cost_center", false)]).unwrap_err();
        assert!(matches!(none, Error::Usage(m) if m.contains("--display-name or --cost-center")));
    }
}
