//! The assistants that are understood: from what their telemetry says to usage events, with nothing private left in them.
//!
//! One file an assistant, mostly tables; a file for any other that speaks the semantic conventions of OpenTelemetry for
//! generative AI; and what all of them share: `reading` (time, id, quantities, what is kept) and `table`.

use std::{borrow::Cow, collections::BTreeMap};

use crate::{
    event::{
        model::{Code, Dims, Rejection, UsageEvent},
        ops::session_id,
    },
    meter,
    otlp::{Item, MAX_ATTRIBUTES, Request, Resource, Signal},
};

mod claude;
mod codex;
mod gen_ai;
mod kept;
mod reading;
mod table;

pub use kept::{KEPT, KEPT_OF_GEN_AI, KEPT_OF_METRICS};
pub use reading::{MAX_SESSION, MAX_VALUE};

use table::Adapter;

/// What an assistant's module makes of an item.
#[derive(Debug)]
enum Read {
    /// Not from anything that is understood.
    Stranger,
    /// Understood, and says nothing about use.
    Nothing,
    /// One counted thing, or why it is refused.
    Event(Result<Box<UsageEvent>, Rejection>),
}

impl From<Result<UsageEvent, Rejection>> for Read {
    fn from(result: Result<UsageEvent, Rejection>) -> Self {
        Self::Event(result.map(Box::new))
    }
}

/// The event that a session of `event` makes: it is what `sessions` counts. Its id is made of the session's alone.
pub fn session(event: &UsageEvent, session: &str) -> UsageEvent {
    let adapter = Adapter::of_source(&event.source);
    let (event_type, key): (Cow<'static, str>, _) = match adapter {
        Some(adapter) => (adapter.session_type.into(), adapter.session_key),
        None => (format!("{}.session", event.client).into(), "session.id"),
    };
    UsageEvent {
        source: event.source.clone(),
        id: session_id(&event_type, session),
        event_type,
        client: event.client.clone(),
        time: event.time,
        timed: true,
        session: None,
        dims: Dims::default(),
        values: reading::values([(meter::SESSIONS, 1)]),
        attributes: reading::json(&BTreeMap::from([(key, serde_json::Value::from(session))])),
        claim: None,
        observation: None,
    }
}

/// What a request says, item by item.
#[derive(Debug, Default)]
pub struct Reading {
    /// Its events and what is refused, by position in the request, in order.
    pub items: Vec<(usize, Result<UsageEvent, Rejection>)>,
    /// How many items are no events, or say nothing about use.
    pub ignored: u64,
}

/// Reads all items of a request.
pub fn read(request: &Request<'_>) -> Reading {
    let mut reader = Reader::default();
    request.for_each(&mut |at, resource, item| reader.item(at, resource, item.as_ref()));
    reader.finish(request.signal)
}

#[derive(Default)]
struct Reader {
    reading: Reading,
    position: usize,
    /// Positions of what nobody understands, by resource; one resource that anything is understood of is no stranger.
    strangers: BTreeMap<usize, Strangers>,
}

#[derive(Default)]
struct Strangers {
    positions: Vec<usize>,
    understood: bool,
}

impl Reader {
    fn item(&mut self, resource_at: usize, resource: &Resource<'_>, item: Option<&Item<'_>>) {
        let position = self.position;
        self.position += 1;
        let Some(item) = item else {
            let message = "has a field of the wrong type";
            self.reading.items.push((position, Err(Rejection::new(Code::Malformed, message))));
            return;
        };
        let read = match Adapter::of(&resource.service) {
            _ if attributes(item).overflow() => {
                let message = format!("has more than {MAX_ATTRIBUTES} attributes");
                Read::Event(Err(Rejection::new(Code::TooLarge, message)))
            }
            Some(adapter) => adapter.read(item),
            None => gen_ai::read(resource, item),
        };
        let strangers = self.strangers.entry(resource_at).or_default();
        match read {
            Read::Stranger => strangers.positions.push(position),
            Read::Nothing => {
                strangers.understood = true;
                self.reading.ignored += 1;
            }
            Read::Event(event) => {
                strangers.understood = true;
                self.reading.items.push((position, event.map(|event| *event)));
            }
        }
    }

    fn finish(mut self, signal: Signal) -> Reading {
        for strangers in self.strangers.into_values() {
            // a span is sent to whoever collects them; that nobody here counts it is no fault of the sender
            if strangers.understood || signal == Signal::Traces {
                self.reading.ignored += strangers.positions.len() as u64;
                continue;
            }
            let message = "`service.name` is neither `codex…` nor `claude-code`, and nothing in it is named `gen_ai.…`; \
                           send the telemetry of assistants only";
            let refuse = |position| (position, Err(Rejection::new(Code::UnknownClient, message)));
            self.reading.items.extend(strangers.positions.into_iter().map(refuse));
        }
        self.reading.items.sort_by_key(|(position, _)| *position);
        self.reading
    }
}

fn attributes<'i, 'a>(item: &'i Item<'a>) -> &'i crate::otlp::Attributes<'a> {
    match item {
        Item::Log(log) => &log.attributes,
        Item::Point(point) => &point.attributes,
        Item::Span(span) => &span.attributes,
    }
}

#[cfg(test)]
mod tests;
