//! Any other assistant: the semantic conventions of OpenTelemetry for generative AI (`gen_ai.*`). The same tokens may be told
//! by spans, by log events and by a histogram; of the three, one counts for a process (see [`crate::claim`]).

use std::borrow::Cow;

use kernel::clock::Time;

use super::{
    KEPT_OF_GEN_AI, KEPT_OF_METRICS, Read,
    reading::{dims, end_time, kept, log_id, log_time, point_id, quantity, scaled, session, values},
    table::delta_of,
};
use crate::{
    claim::{Claim, SourceKind},
    event::{
        key::Digest,
        model::{Rejection, UsageEvent},
    },
    meter,
    otlp::{Attributes, Item, Kind, Log, Point, Resource, Span, Value},
};

const SOURCE: &str = "otlp/gen-ai";
/// The assistant of whoever does not name its provider.
const NAMELESS: &str = "gen-ai";
/// Longest name of a provider that is kept whole.
const MAX_CLIENT: usize = 64;
/// Begins every name of the conventions.
const PREFIX: &str = "gen_ai.";
/// The one log event that tells of a finished request; others carry what was said, and nothing of them is read.
const DETAILS: &str = "gen_ai.client.inference.operation.details";
/// The histogram of tokens.
const TOKEN_USAGE: &str = "gen_ai.client.token.usage";

/// What operations count. The others (`invoke_agent`, `create_agent`) sum up what spans below them tell.
const OPERATIONS: &[(&str, &str, Counts)] = &[
    ("chat", "gen_ai.chat", Counts::Tokens),
    ("embeddings", "gen_ai.embeddings", Counts::Tokens),
    ("execute_tool", "gen_ai.execute_tool", Counts::Tool),
    ("generate_content", "gen_ai.generate_content", Counts::Tokens),
    ("text_completion", "gen_ai.text_completion", Counts::Tokens),
];

/// Attributes of an operation's id, besides its trace, span and time.
const IDENTITY: &[&str] =
    &["gen_ai.conversation.id", "gen_ai.response.id", "gen_ai.tool.call.id", INPUT, OUTPUT];

const DIMS: &[(&str, &[&str])] = &[
    ("model", &["gen_ai.response.model", "gen_ai.request.model"]),
    ("operation", &["gen_ai.operation.name"]),
    ("tool", &["gen_ai.tool.name"]),
];

const INPUT: &str = "gen_ai.usage.input_tokens";
const OUTPUT: &str = "gen_ai.usage.output_tokens";

#[derive(Clone, Copy)]
enum Counts {
    Tokens,
    Tool,
}

/// Reads an item of a process that is no assistant with a file of its own.
pub(super) fn read(resource: &Resource<'_>, item: &Item<'_>) -> Read {
    match item {
        Item::Log(log) => read_log(resource, log),
        Item::Point(point) => read_point(resource, point),
        Item::Span(span) => read_span(resource, span),
    }
}

fn read_log(resource: &Resource<'_>, log: &Log<'_>) -> Read {
    let named = log.attributes.text("event.name").unwrap_or(&log.event_name);
    if named != DETAILS {
        return stranger_unless(&log.attributes);
    }
    let Some((event_type, counts)) = operation(&log.attributes) else { return Read::Nothing };
    let event = || {
        let (time, said) = log_time(log)?;
        let id = log_id(event_type, &said, log, IDENTITY);
        event(resource, (event_type, counts), &log.attributes, (time, id), SourceKind::Logs)
    };
    event().into()
}

fn read_span(resource: &Resource<'_>, span: &Span<'_>) -> Read {
    let Some((event_type, counts)) = operation(&span.attributes) else {
        return stranger_unless(&span.attributes);
    };
    let event = || {
        let time = end_time("endTimeUnixNano", span.end_time_unix_nano)?;
        let end = span.end_time_unix_nano.to_string();
        let parts = ["gen_ai.span", &span.trace_id, &span.span_id, &end].map(str::as_bytes);
        let id = Digest::of(&parts).hex();
        event(resource, (event_type, counts), &span.attributes, (time, id), SourceKind::Spans)
    };
    event().into()
}

fn read_point(resource: &Resource<'_>, point: &Point<'_>) -> Read {
    if point.metric != TOKEN_USAGE {
        return if point.metric.starts_with(PREFIX) { Read::Nothing } else { Read::Stranger };
    }
    if let Err(rejection) = delta_of(point, Kind::Histogram { delta: true }) {
        return Read::Event(Err(rejection));
    }
    let meter = match point.attributes.text("gen_ai.token.type") {
        Some("input") => meter::TOKENS_INPUT,
        // the older word
        Some("output" | "completion") => meter::TOKENS_OUTPUT,
        _ => return Read::Nothing,
    };
    let event = || {
        let amount = scaled(TOKEN_USAGE, &point.value, 0)?;
        Ok(UsageEvent {
            id: point_id(resource, point),
            event_type: Cow::Borrowed(TOKEN_USAGE),
            time: end_time("timeUnixNano", point.time_unix_nano)?,
            values: values([(meter, amount)]),
            attributes: kept(&point.attributes, KEPT_OF_METRICS, Some(&point.value))?,
            claim: Some(claim(resource, SourceKind::Metrics)),
            ..bare(&point.attributes)
        })
    };
    event().into()
}

/// Whether an item follows the conventions is told by the names in it.
fn stranger_unless(attributes: &Attributes<'_>) -> Read {
    let follows = attributes.iter().any(|(key, _)| key.starts_with(PREFIX));
    if follows { Read::Nothing } else { Read::Stranger }
}

/// What an item tells of. Older instrumentations name no operation, and count tokens.
fn operation(attributes: &Attributes<'_>) -> Option<(&'static str, Counts)> {
    match attributes.text("gen_ai.operation.name") {
        Some(name) => OPERATIONS
            .iter()
            .find(|(of, ..)| *of == name)
            .map(|(_, event_type, counts)| (*event_type, *counts)),
        None => (tokens(attributes, INPUT).is_some() || tokens(attributes, OUTPUT).is_some())
            .then_some(("gen_ai.chat", Counts::Tokens)),
    }
}

fn event(
    resource: &Resource<'_>,
    (event_type, counts): (&'static str, Counts),
    attributes: &Attributes<'_>,
    (time, id): (Time, String),
    kind: SourceKind,
) -> Result<UsageEvent, Rejection> {
    let conversation = session(attributes, "gen_ai.conversation.id")?;
    Ok(UsageEvent {
        id,
        event_type: Cow::Borrowed(event_type),
        time,
        session: conversation.map_or_else(|| session(attributes, "session.id"), |c| Ok(Some(c)))?,
        values: match counts {
            Counts::Tokens => values(token_counts(attributes)?),
            Counts::Tool => values([(meter::TOOL_CALLS, 1)]),
        },
        attributes: kept(attributes, KEPT_OF_GEN_AI, None)?,
        claim: Some(claim(resource, kind)),
        ..bare(attributes)
    })
}

/// The conventions count tokens from and for the cache among those of the input; the meters count each once.
fn token_counts(attributes: &Attributes<'_>) -> Result<[(&'static str, i64); 5], Rejection> {
    let of = |key| tokens(attributes, key).map_or(Ok(0), |key| quantity(attributes, key));
    let (input, output) = (of(INPUT)?, of(OUTPUT)?);
    let read = of("gen_ai.usage.cache_read.input_tokens")?;
    let written = of("gen_ai.usage.cache_creation.input_tokens")?;
    Ok([
        (meter::TOKENS_INPUT, (input - read - written).max(0)),
        (meter::TOKENS_CACHE_READ, read),
        (meter::TOKENS_CACHE_WRITE, written),
        (meter::TOKENS_OUTPUT, output),
        (meter::TOKENS_REASONING, of("gen_ai.usage.reasoning.output_tokens")?),
    ])
}

/// The attribute that has a count: the one of that name, or the one of its older name.
fn tokens(attributes: &Attributes<'_>, key: &'static str) -> Option<&'static str> {
    let older = match key {
        INPUT => "gen_ai.usage.prompt_tokens",
        OUTPUT => "gen_ai.usage.completion_tokens",
        _ => key,
    };
    [key, older].into_iter().find(|key| attributes.get(key).is_some_and(|value| *value != Value::Empty))
}

/// A data point names no conversation, so the process is what decides for one way of telling.
fn claim(resource: &Resource<'_>, source_kind: SourceKind) -> Claim {
    let process = [&*resource.service, &resource.instance].map(str::as_bytes);
    Claim { session: format!("process/{}", Digest::of(&process).hex()), source_kind }
}

fn bare(attributes: &Attributes<'_>) -> UsageEvent {
    let provider = attributes.text("gen_ai.provider.name").or_else(|| attributes.text("gen_ai.system"));
    UsageEvent {
        source: Cow::Borrowed(SOURCE),
        id: String::new(),
        event_type: Cow::Borrowed(""),
        client: provider.map_or(Cow::Borrowed(NAMELESS), |provider| Cow::Owned(slug(provider))),
        time: Time::from_micros(0),
        timed: true,
        session: None,
        dims: dims(attributes, DIMS),
        values: Vec::new(),
        attributes: String::new(),
        claim: None,
        observation: None,
    }
}

/// `gcp.vertex_ai` is `gcp-vertex-ai`.
fn slug(provider: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    let slug: String = provider.chars().take(MAX_CLIENT).map(plain).collect();
    match slug.trim_matches('-') {
        "" => NAMELESS.to_owned(),
        slug => slug.to_owned(),
    }
}
