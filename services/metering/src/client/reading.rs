//! What all assistants have in common: when an item happened, what makes its id, what is a quantity, what is kept.

use std::{borrow::Cow, collections::BTreeMap};

use kernel::clock::Time;

use crate::{
    event::{
        decimal::Decimal,
        key::Digest,
        model::{Code, Dims, MAX_AMOUNT, Rejection},
    },
    otlp::{Attributes, Log, Point, Resource, Value},
};

/// Longest value that is kept, in bytes.
pub const MAX_VALUE: usize = 1_024;
/// Longest session id, in bytes.
pub const MAX_SESSION: usize = 256;

/// When a log record happened, and the words in which it says so. Codex leaves `timeUnixNano` 0.
pub(super) fn log_time(log: &Log<'_>) -> Result<(Time, String), Rejection> {
    let nanos = [log.time_unix_nano, log.observed_time_unix_nano].into_iter().find(|n| *n != 0);
    if let Some(nanos) = nanos {
        return Ok((time(nanos)?, nanos.to_string()));
    }
    let text = log.attributes.text("event.timestamp").unwrap_or_default();
    let time = Time::parse("event.timestamp", text).map_err(|_| {
        let message =
            "says no time: `timeUnixNano`, `observedTimeUnixNano` and `event.timestamp` are all missing";
        Rejection::new(Code::MissingTime, message)
    })?;
    Ok((time, text.to_owned()))
}

/// When something ended that says so in one place only.
pub(super) fn end_time(field: &str, nanos: u64) -> Result<Time, Rejection> {
    match nanos {
        0 => Err(Rejection::new(Code::MissingTime, format!("says no time: `{field}` is missing"))),
        nanos => time(nanos),
    }
}

fn time(nanos: u64) -> Result<Time, Rejection> {
    Time::from_nanos(nanos).ok_or_else(|| Rejection::new(Code::Future, "its time is beyond year 9999"))
}

/// No client sends an id. The time is part of it because a session that is resumed numbers its events anew.
pub(super) fn log_id(event_type: &str, said: &str, log: &Log<'_>, identity: &[&str]) -> String {
    let values: Vec<_> =
        identity.iter().map(|key| log.attributes.get(key).map(Value::to_text).unwrap_or_default()).collect();
    let fixed = [event_type, said, &log.trace_id, &log.span_id];
    let parts: Vec<_> =
        fixed.into_iter().chain(values.iter().map(AsRef::as_ref)).map(str::as_bytes).collect();
    Digest::of(&parts).hex()
}

/// A data point is the one of its process and metric with these attributes for this span of time. All attributes are part of
/// it, in whatever order they came; none of them can be read out of it.
pub(super) fn point_id(resource: &Resource<'_>, point: &Point<'_>) -> String {
    let (start, end) = (point.start_time_unix_nano.to_string(), point.time_unix_nano.to_string());
    let mut pairs: Vec<_> = point.attributes.iter().map(|(key, value)| (key, value.to_text())).collect();
    pairs.sort();
    let fixed = [&*resource.service, &resource.instance, &point.metric, &start, &end];
    let pairs = pairs.iter().flat_map(|(key, value)| [*key, value.as_ref()]);
    let parts: Vec<_> = fixed.into_iter().chain(pairs).map(str::as_bytes).collect();
    Digest::of(&parts).hex()
}

/// The session that something is part of.
pub(super) fn session(attributes: &Attributes<'_>, key: &str) -> Result<Option<String>, Rejection> {
    let session = attributes.text(key);
    if session.is_some_and(|s| s.len() > MAX_SESSION) {
        let message = format!("`{key}` has more than {MAX_SESSION} bytes");
        return Err(Rejection::new(Code::TooLarge, message));
    }
    Ok(session.map(str::to_owned))
}

/// The attributes that stand on `list`, as JSON with sorted keys. The only way from an item into the store.
pub(super) fn kept(
    attributes: &Attributes<'_>,
    list: &'static [&'static str],
    value: Option<&Value<'_>>,
) -> Result<String, Rejection> {
    let mut map = BTreeMap::new();
    for (key, value) in attributes.iter() {
        let Ok(at) = list.binary_search(&key) else { continue };
        let key = list.get(at).copied().unwrap_or_default();
        if *value == Value::Empty || map.contains_key(key) {
            continue;
        }
        let value = match value {
            Value::Int(int) => serde_json::Value::from(*int),
            Value::Bool(bool) => serde_json::Value::from(*bool),
            other => serde_json::Value::from(other.to_text()),
        };
        if value.as_str().is_some_and(|text| text.len() > MAX_VALUE) {
            return Err(Rejection::new(Code::TooLarge, format!("`{key}` has more than {MAX_VALUE} bytes")));
        }
        map.insert(key, value);
    }
    // what a data point counts is part of what it says
    map.extend(value.map(|value| ("value", serde_json::Value::from(value.to_text()))));
    Ok(json(&map))
}

pub(super) fn json(map: &BTreeMap<&'static str, serde_json::Value>) -> String {
    // a map with text keys always has a JSON form
    serde_json::to_string(map).unwrap_or_default()
}

/// A quantity: a whole number from 0 to [`MAX_AMOUNT`], as a number or as text; 0 when missing.
pub(super) fn quantity(attributes: &Attributes<'_>, key: &str) -> Result<i64, Rejection> {
    let text = attributes.get(key).map(Value::to_text).unwrap_or_default();
    if text.is_empty() {
        return Ok(0);
    }
    whole(key, &text)
}

/// The sum of a data point in base units of 10^-`scale`.
///
/// Clients report counts as doubles, which are whole or refused. Seconds and dollars are doubles that were added up, so that
/// a cost of 0.0078 dollars arrives as 0.007799999999999999: they are rounded to their base unit, half to even, as the
/// clients themselves do where they report whole millionths.
pub(super) fn scaled(key: &str, value: &Value<'_>, scale: usize) -> Result<i64, Rejection> {
    let text = value.to_text();
    if scale == 0 {
        return whole(key, &text);
    }
    let refused = || Rejection::new(Code::NotExact, format!("`{key}` is no number"));
    let double: f64 = text.parse().map_err(|_| refused())?;
    if !double.is_finite() {
        return Err(refused());
    }
    // written out, which is exact, and without the point
    let digits = format!("{double:.scale$}").replace('.', "");
    whole(key, &digits)
}

fn whole(key: &str, text: &str) -> Result<i64, Rejection> {
    let refused = |code, message: &str| Rejection::of(code, key.to_owned(), format!("`{key}` {message}"));
    let value = text
        .parse::<i64>()
        .map_err(|_| refused(Code::NotExact, "is not a whole number that 64 bits hold"))?;
    match value {
        negative if negative < 0 => Err(refused(Code::Negative, "is negative")),
        huge if huge > MAX_AMOUNT => Err(refused(Code::TooLarge, &format!("is more than {MAX_AMOUNT}"))),
        value => Ok(value),
    }
}

/// What is not zero.
pub(super) fn values(
    all: impl IntoIterator<Item = (&'static str, i64)>,
) -> Vec<(Cow<'static, str>, Decimal)> {
    let counted = all.into_iter().filter(|(_, value)| *value != 0);
    counted.map(|(name, value)| (Cow::Borrowed(name), Decimal::from(value))).collect()
}

/// Dimensions out of attributes: the first of the keys that is there.
pub(super) fn dims(attributes: &Attributes<'_>, table: &[(&'static str, &[&str])]) -> Dims {
    let mut dims = Dims::default();
    for (name, keys) in table {
        let found = keys.iter().find_map(|key| attributes.get(key).map(Value::to_text));
        dims.put(name, found.as_deref().unwrap_or_default());
    }
    dims
}
