//! Meters: what is counted, and how. The built-in ones are data here; those of a tenant's own are rows ([`model`], [`store`], [`ops`]).
//! [`all`] is both together.

use std::borrow::Cow;

pub mod all;
pub mod model;
pub mod ops;
pub mod rpc;
pub mod store;

pub use all::Meters;

/// How the figures of several events become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aggregation {
    /// All of them together.
    Sum,
    /// How many events there were.
    Count,
    /// How many different ones there were.
    UniqueCount,
    /// The largest.
    Max,
    /// The smallest.
    Min,
    /// That of the event that happened last.
    Latest,
    /// All of them together, divided by how many there were.
    Avg,
}

impl Aggregation {
    /// As in answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sum => "SUM",
            Self::Count => "COUNT",
            Self::UniqueCount => "UNIQUE_COUNT",
            Self::Max => "MAX",
            Self::Min => "MIN",
            Self::Latest => "LATEST",
            Self::Avg => "AVG",
        }
    }

    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Sum, Self::Count, Self::UniqueCount, Self::Max, Self::Min, Self::Latest, Self::Avg];
}

/// What of an event a meter looks at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ValuePath {
    /// A quantity by name.
    Quantity(Cow<'static, str>),
    /// Who it is attributed to.
    Principal,
    /// That it happened.
    Event,
}

/// What is counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meter {
    /// Tells it from all other meters and versions of a tenant, in memory: the place in [`METERS`], or a later one.
    pub number: u32,
    /// Key: `tokens.input`.
    pub key: Cow<'static, str>,
    /// Its definition; figures of different ones are never mixed.
    pub version: i64,
    /// How figures become one.
    pub aggregation: Aggregation,
    /// What of an event it looks at; events without it do not count.
    pub value: ValuePath,
    /// What one of it is.
    pub unit: Cow<'static, str>,
    /// Digits after the point: figures are whole numbers of `unit` / 10^`scale`.
    pub scale: u8,
    /// Dimensions of events that its figures can be told apart by, beside role, unit, principal and client.
    pub dims: Cow<'static, [Cow<'static, str>]>,
    /// What it means.
    pub description: Cow<'static, str>,
    /// The only events that it counts; none for a built-in one, which takes those of every type.
    pub event_type: Option<String>,
    /// Whether quantities may be below zero.
    pub negative: bool,
    /// It counts events from this place on
    pub first_seq: i64,
    /// Those from this place on are counted as they come,
    pub live_seq: i64,
    /// those before it afterwards: so far, up to before this place.
    pub caught_seq: i64,
    /// until before this one.
    pub end_seq: i64,
}

impl Meter {
    /// As it is asked for: the key, and for one of a tenant's own the version.
    pub fn name(&self) -> String {
        if self.built_in() { self.key.to_string() } else { format!("{}@{}", self.key, self.version) }
    }

    /// Whether each thing is counted once.
    pub fn unique(&self) -> bool {
        self.aggregation == Aggregation::UniqueCount
    }

    /// Whether it comes with the program.
    pub fn built_in(&self) -> bool {
        self.event_type.is_none()
    }

    /// Whether its figures can be told apart by this dimension.
    pub fn has_dim(&self, name: &str) -> bool {
        self.dims.iter().any(|dim| dim == name)
    }

    /// Whether events of this type in this place are its own to count.
    pub fn takes(&self, event_type: &str, seq: i64) -> bool {
        self.event_type
            .as_deref()
            .is_none_or(|own| own == event_type && self.first_seq <= seq && seq < self.end_seq)
    }

    /// Whether what came before it is still to be counted.
    pub fn catching_up(&self) -> bool {
        self.caught_seq < self.live_seq
    }

    /// Whether an event that it takes is in the rollups as far as the watermarks say it.
    pub fn has_rolled(&self, seq: i64) -> bool {
        seq >= self.live_seq || seq < self.caught_seq
    }
}

/// Tokens sent to the model and not read from its cache.
pub const TOKENS_INPUT: &str = "tokens.input";
/// Tokens that the model wrote.
pub const TOKENS_OUTPUT: &str = "tokens.output";
/// Tokens read from the model's cache.
pub const TOKENS_CACHE_READ: &str = "tokens.cache_read";
/// Tokens written to the model's cache.
pub const TOKENS_CACHE_WRITE: &str = "tokens.cache_write";
/// Tokens that the model spent on reasoning.
pub const TOKENS_REASONING: &str = "tokens.reasoning";
/// What the vendor's list prices make of it.
pub const COST_USD: &str = "cost.usd";
/// Skills used.
pub const SKILL_INVOCATIONS: &str = "skill.invocations";
/// Skills used that a plugin brought.
pub const PLUGIN_INVOCATIONS: &str = "plugin.invocations";
/// Tools used.
pub const TOOL_CALLS: &str = "tool.calls";
/// Tools used that an app brought.
pub const APP_CALLS: &str = "app.calls";
/// Conversations.
pub const SESSIONS: &str = "sessions";
/// Lines of code written or removed.
pub const LINES_OF_CODE: &str = "lines_of_code";
/// Answers to the question whether a tool may be used.
pub const DECISIONS: &str = "decisions";
/// People, services and agents that did anything.
pub const ACTIVE_PRINCIPALS: &str = "active_principals";

const MODEL: &[Cow<'static, str>] = &[b("model"), PLUGIN, b("skill")];
const BY_PLUGIN: &[Cow<'static, str>] = &[PLUGIN];
const APP: &[Cow<'static, str>] = &[b("app"), PLUGIN];
const DECISION: &[Cow<'static, str>] = &[b("tool"), b("decision")];
const CHANGE: &[Cow<'static, str>] = &[b("change")];
const SKILL: &[Cow<'static, str>] = &[PLUGIN, b("skill")];
const TOOL: &[Cow<'static, str>] = &[b("tool"), b("app")];
const PLUGIN: Cow<'static, str> = b("plugin");

const fn b(text: &'static str) -> Cow<'static, str> {
    Cow::Borrowed(text)
}

const fn sum(
    number: u32,
    key: &'static str,
    unit: &'static str,
    dims: &'static [Cow<'static, str>],
    description: &'static str,
) -> Meter {
    built_in(number, key, Aggregation::Sum, ValuePath::Quantity(b(key)), unit, dims, description)
}

const fn built_in(
    number: u32,
    key: &'static str,
    aggregation: Aggregation,
    value: ValuePath,
    unit: &'static str,
    dims: &'static [Cow<'static, str>],
    description: &'static str,
) -> Meter {
    Meter {
        number,
        key: b(key),
        version: 1,
        aggregation,
        value,
        unit: b(unit),
        scale: 0,
        dims: Cow::Borrowed(dims),
        description: b(description),
        event_type: None,
        negative: false,
        first_seq: 1,
        live_seq: 1,
        caught_seq: 1,
        end_seq: i64::MAX,
    }
}

/// All of them, sorted by key. Each has a source: a meter joins the table together with the events that feed it.
pub static METERS: &[Meter] = &[
    built_in(
        0,
        ACTIVE_PRINCIPALS,
        Aggregation::UniqueCount,
        ValuePath::Principal,
        "principals",
        BY_PLUGIN,
        "Principals with at least one event, each counted once, however long the interval is.",
    ),
    sum(
        1,
        APP_CALLS,
        "calls",
        APP,
        "Finished calls of tools that an app (an MCP server) brings; also in `tool.calls`.",
    ),
    sum(
        2,
        COST_USD,
        "micro-usd",
        MODEL,
        "Cost at list prices as the client computed it, in millionths of a US dollar.",
    ),
    sum(
        3,
        DECISIONS,
        "decisions",
        DECISION,
        "Answers to the question whether a tool may be used, given by people or by policy.",
    ),
    sum(4, LINES_OF_CODE, "lines", CHANGE, "Lines of code that the assistant added or removed."),
    sum(
        5,
        PLUGIN_INVOCATIONS,
        "invocations",
        SKILL,
        "Uses of skills that a plugin brings; also in `skill.invocations`.",
    ),
    sum(
        6,
        SESSIONS,
        "sessions",
        &[],
        "Conversations with the assistant, each counted once, when it is first heard of.",
    ),
    sum(7, SKILL_INVOCATIONS, "invocations", SKILL, "Uses of skills."),
    sum(
        8,
        TOKENS_CACHE_READ,
        "tokens",
        MODEL,
        "Input tokens that the model read from its cache; not in `tokens.input`.",
    ),
    sum(9, TOKENS_CACHE_WRITE, "tokens", MODEL, "Input tokens that the model wrote to its cache."),
    sum(10, TOKENS_INPUT, "tokens", MODEL, "Input tokens that the model did not read from its cache."),
    sum(11, TOKENS_OUTPUT, "tokens", MODEL, "Output tokens, reasoning included."),
    sum(12, TOKENS_REASONING, "tokens", MODEL, "Output tokens spent on reasoning; also in `tokens.output`."),
    sum(13, TOOL_CALLS, "calls", TOOL, "Finished calls of tools, of whatever origin and outcome."),
];

/// The meter with this key.
pub fn find(key: &str) -> Option<&'static Meter> {
    METERS.binary_search_by(|m| (*m.key).cmp(key)).ok().and_then(|at| METERS.get(at))
}

/// The meters that sum a quantity of this name.
pub fn of_quantity(name: &str) -> Option<&'static Meter> {
    find(name).filter(|meter| matches!(&meter.value, ValuePath::Quantity(of) if of == name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_meter_is_found_by_its_key_and_no_other() {
        assert!(METERS.is_sorted_by(|a, b| a.key < b.key), "find() searches a sorted table");
        for (at, meter) in METERS.iter().enumerate() {
            assert_eq!((find(&meter.key), meter.number as usize), (Some(meter), at));
        }
        assert_eq!(find("tokens"), None);
        assert_eq!(of_quantity(ACTIVE_PRINCIPALS), None, "nobody can send it as a quantity");
    }
}
