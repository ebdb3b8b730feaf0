//! An assistant as tables: which of its events and metrics count what, and what they can be told apart by.

use std::borrow::Cow;

use kernel::clock::Time;

use super::{
    KEPT, KEPT_OF_METRICS, Read, claude, codex,
    reading::{dims, end_time, kept, log_id, log_time, point_id, quantity, scaled, session, values},
};
use crate::{
    claim::{Claim, SourceKind},
    event::model::{Code, Dims, Rejection, UsageEvent},
    observation::Observation,
    otlp::{Attributes, Item, Kind, Log, Point, Resource},
};

/// An assistant.
pub(super) struct Adapter {
    /// As stored and as in answers.
    pub client: &'static str,
    /// The source of its events (CloudEvents): with the id it tells one event from another.
    pub source: &'static str,
    /// Type of the event that a session makes.
    pub session_type: &'static str,
    /// Attribute that names the session.
    pub session_key: &'static str,
    /// Attributes whose values make a log event's id, besides its type, time and trace. Ids rest on these lists: what was
    /// sent before a change of them would be counted again when it is sent again after it.
    pub identity: &'static [&'static str],
    /// Its log events.
    pub logs: &'static [LogRule],
    /// Its metrics.
    pub metrics: &'static [MetricRule],
    /// Dimensions and the attributes that they come from.
    pub dims: &'static [(&'static str, &'static [&'static str])],
    /// Dimensions that take more than a look.
    pub more_dims: fn(&Attributes<'_>, &mut Dims),
    /// What an event says besides what is counted.
    pub observe: fn(&str, &Attributes<'_>) -> Option<Observation>,
}

/// A log event.
pub(super) struct LogRule {
    /// Its `event.name`.
    pub name: &'static str,
    /// As stored.
    pub event_type: &'static str,
    /// Whether it is one; many say nothing about use.
    pub when: fn(&Attributes<'_>) -> bool,
    /// What it counts.
    pub counts: &'static [Count],
}

/// What an event adds to which meter.
pub(super) enum Count {
    /// One.
    One(&'static str),
    /// One, where something holds.
    OneWhere(&'static str, fn(&Attributes<'_>) -> bool),
    /// As many as an attribute says.
    Sum(&'static str, &'static str),
    /// As many as an attribute says without those that another says; never below zero.
    Less(&'static str, &'static str, &'static str),
}

/// A metric, of which what it grew by is counted.
pub(super) struct MetricRule {
    /// Its name, and the event's type.
    pub name: &'static str,
    /// What it counts.
    pub meter: By,
    /// Digits after the point that its base unit has.
    pub scale: usize,
    /// Whether log events say the same.
    pub told_twice: bool,
}

/// Which meter a data point counts for.
pub(super) enum By {
    /// Always this one.
    Fixed(&'static str),
    /// That of an attribute's value; any other value counts nothing.
    Value(&'static str, &'static [(&'static str, &'static str)]),
    /// None: what it says is already counted elsewhere, and it still shows that somebody is active.
    None,
}

/// For events that are always one.
pub(super) fn always(_: &Attributes<'_>) -> bool {
    true
}

impl Adapter {
    /// The assistant that names its process so.
    pub fn of(service: &str) -> Option<&'static Self> {
        match service {
            "claude-code" => Some(&claude::ADAPTER),
            codex if codex.starts_with("codex") => Some(&codex::ADAPTER),
            _ => None,
        }
    }

    /// The assistant whose events are from there.
    pub fn of_source(source: &str) -> Option<&'static Self> {
        [&codex::ADAPTER, &claude::ADAPTER].into_iter().find(|adapter| adapter.source == source)
    }

    /// Reads one thing that it says.
    pub fn read(&'static self, item: &Item<'_>) -> Read {
        match item {
            Item::Log(log) => self.log(log),
            Item::Point(point) => self.point(point),
            Item::Span(_) => Read::Nothing,
        }
    }

    fn log(&'static self, log: &Log<'_>) -> Read {
        let name = log.attributes.text("event.name").unwrap_or_default();
        let rule = self.logs.iter().find(|rule| rule.name == name && (rule.when)(&log.attributes));
        rule.map_or(Read::Nothing, |rule| self.log_event(rule, log).into())
    }

    fn log_event(&'static self, rule: &LogRule, log: &Log<'_>) -> Result<UsageEvent, Rejection> {
        let attributes = &log.attributes;
        let mut counted = Vec::with_capacity(rule.counts.len());
        for count in rule.counts {
            counted.push(count.of(attributes)?);
        }
        let (time, said) = log_time(log)?;
        let session = session(attributes, self.session_key)?;
        let claim = self.told_twice().then(|| Self::claim(session.as_deref(), SourceKind::Logs)).flatten();
        Ok(UsageEvent {
            id: log_id(rule.event_type, &said, log, self.identity),
            values: values(counted),
            attributes: kept(attributes, KEPT, None)?,
            claim,
            observation: (self.observe)(rule.event_type, attributes),
            ..self.event(rule.event_type, time, session, attributes)
        })
    }

    /// Whether any of its metrics says what log events say too.
    fn told_twice(&self) -> bool {
        self.metrics.iter().any(|rule| rule.told_twice)
    }

    fn claim(session: Option<&str>, source_kind: SourceKind) -> Option<Claim> {
        session.map(|session| Claim { session: session.to_owned(), source_kind })
    }

    fn point(&'static self, point: &Point<'_>) -> Read {
        let Some(rule) = self.metrics.iter().find(|rule| rule.name == point.metric) else {
            return Read::Nothing;
        };
        // before what it is about: of a kind that is not read, nothing else is known
        if let Err(rejection) = delta_of(point, Kind::Sum { delta: true }) {
            return Read::Event(Err(rejection));
        }
        let meter = match rule.meter {
            By::Fixed(meter) => meter,
            By::None => "",
            By::Value(key, table) => {
                let value = point.attributes.text(key).unwrap_or_default();
                match table.iter().find(|(of, _)| *of == value) {
                    Some((_, meter)) => meter,
                    None => return Read::Nothing,
                }
            }
        };
        match self.point_event(rule, meter, point) {
            // a report of nothing, as clients send them for what has not moved
            Ok(event) if event.values.is_empty() && !meter.is_empty() => Read::Nothing,
            event => event.into(),
        }
    }

    fn point_event(
        &'static self,
        rule: &MetricRule,
        meter: &'static str,
        point: &Point<'_>,
    ) -> Result<UsageEvent, Rejection> {
        let attributes = &point.attributes;
        let amount = scaled(rule.name, &point.value, rule.scale)?;
        let time = end_time("timeUnixNano", point.time_unix_nano)?;
        let session = session(attributes, self.session_key)?;
        let claim = rule.told_twice.then(|| Self::claim(session.as_deref(), SourceKind::Metrics)).flatten();
        // the process says nothing that the session does not
        let resource = Resource { service: self.client.into(), instance: "".into() };
        Ok(UsageEvent {
            id: point_id(&resource, point),
            values: values((!meter.is_empty()).then_some((meter, amount))),
            attributes: kept(attributes, KEPT_OF_METRICS, Some(&point.value))?,
            claim,
            ..self.event(rule.name, time, session, attributes)
        })
    }

    fn event(
        &'static self,
        event_type: &'static str,
        time: Time,
        session: Option<String>,
        attributes: &Attributes<'_>,
    ) -> UsageEvent {
        let mut dims = dims(attributes, self.dims);
        (self.more_dims)(attributes, &mut dims);
        UsageEvent {
            source: Cow::Borrowed(self.source),
            id: String::new(),
            event_type: Cow::Borrowed(event_type),
            client: Cow::Borrowed(self.client),
            time,
            timed: true,
            session,
            dims,
            values: Vec::new(),
            attributes: String::new(),
            claim: None,
            observation: None,
        }
    }
}

/// Refuses a data point that does not say what was added.
pub(super) fn delta_of(point: &Point<'_>, wanted: Kind) -> Result<(), Rejection> {
    if point.kind == wanted {
        return Ok(());
    }
    let message = match (wanted, point.kind) {
        (Kind::Sum { .. }, Kind::Sum { .. }) | (Kind::Histogram { .. }, Kind::Histogram { .. }) => {
            "counts from its process's start; set OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE to `delta`"
        }
        (Kind::Histogram { .. }, _) => "is no histogram, as its name promises",
        _ => "is no sum, as its name promises",
    };
    Err(Rejection::of(Code::Malformed, "metric", message))
}

impl Count {
    fn of(&self, attributes: &Attributes<'_>) -> Result<(&'static str, i64), Rejection> {
        Ok(match self {
            Self::One(meter) => (meter, 1),
            Self::OneWhere(meter, holds) => (meter, i64::from(holds(attributes))),
            Self::Sum(meter, key) => (meter, quantity(attributes, key)?),
            // a client that contradicts itself gets no credit
            Self::Less(meter, key, without) => {
                (meter, (quantity(attributes, key)? - quantity(attributes, without)?).max(0))
            }
        })
    }
}
