//! Meters: what is counted, and how. The built-in ones are data.

use std::borrow::Cow;

/// How the figures of several events become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aggregation {
    /// All of them together.
    Sum,
    /// How many events there were.
    Count,
    /// How many different ones there were.
    UniqueCount,
}

impl Aggregation {
    /// As in answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sum => "SUM",
            Self::Count => "COUNT",
            Self::UniqueCount => "UNIQUE_COUNT",
        }
    }
}

/// What of an event a meter looks at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ValuePath {
    /// A quantity by name.
    Quantity(Cow<'static, str>),
    /// Who it is attributed to.
    Principal,
}

/// What is counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meter {
    /// Key: `tokens.input`.
    pub key: &'static str,
    /// Its definition; figures of different ones are never mixed.
    pub version: i64,
    /// How figures become one.
    pub aggregation: Aggregation,
    /// What of an event it looks at; events without it do not count.
    pub value: ValuePath,
    /// What one of it is.
    pub unit: &'static str,
    /// Digits after the point: figures are whole numbers of `unit` / 10^`scale`.
    pub scale: u8,
    /// Dimensions of events that its figures can be told apart by, beside role, unit, principal and client.
    pub dims: &'static [&'static str],
    /// What it means.
    pub description: &'static str,
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

const MODEL: &[&str] = &["model", "plugin", "skill"];

const fn sum(
    key: &'static str,
    unit: &'static str,
    dims: &'static [&'static str],
    description: &'static str,
) -> Meter {
    let value = ValuePath::Quantity(Cow::Borrowed(key));
    Meter { key, version: 1, aggregation: Aggregation::Sum, value, unit, scale: 0, dims, description }
}

/// All of them, sorted by key. Each has a source: a meter joins the table together with the events that feed it.
pub static METERS: &[Meter] = &[
    Meter {
        key: ACTIVE_PRINCIPALS,
        version: 1,
        aggregation: Aggregation::UniqueCount,
        value: ValuePath::Principal,
        unit: "principals",
        scale: 0,
        dims: &["plugin"],
        description: "Principals with at least one event, each counted once, however long the interval is.",
    },
    sum(
        APP_CALLS,
        "calls",
        &["app", "plugin"],
        "Finished calls of tools that an app (an MCP server) brings; also in `tool.calls`.",
    ),
    sum(
        COST_USD,
        "micro-usd",
        MODEL,
        "Cost at list prices as the client computed it, in millionths of a US dollar.",
    ),
    sum(
        DECISIONS,
        "decisions",
        &["tool", "decision"],
        "Answers to the question whether a tool may be used, given by people or by policy.",
    ),
    sum(LINES_OF_CODE, "lines", &["change"], "Lines of code that the assistant added or removed."),
    sum(
        PLUGIN_INVOCATIONS,
        "invocations",
        &["plugin", "skill"],
        "Uses of skills that a plugin brings; also in `skill.invocations`.",
    ),
    sum(
        SESSIONS,
        "sessions",
        &[],
        "Conversations with the assistant, each counted once, when it is first heard of.",
    ),
    sum(SKILL_INVOCATIONS, "invocations", &["plugin", "skill"], "Uses of skills."),
    sum(
        TOKENS_CACHE_READ,
        "tokens",
        MODEL,
        "Input tokens that the model read from its cache; not in `tokens.input`.",
    ),
    sum(TOKENS_CACHE_WRITE, "tokens", MODEL, "Input tokens that the model wrote to its cache."),
    sum(TOKENS_INPUT, "tokens", MODEL, "Input tokens that the model did not read from its cache."),
    sum(TOKENS_OUTPUT, "tokens", MODEL, "Output tokens, reasoning included."),
    sum(TOKENS_REASONING, "tokens", MODEL, "Output tokens spent on reasoning; also in `tokens.output`."),
    sum(TOOL_CALLS, "calls", &["tool", "app"], "Finished calls of tools, of whatever origin and outcome."),
];

/// The meter with this key.
pub fn find(key: &str) -> Option<&'static Meter> {
    METERS.binary_search_by(|m| m.key.cmp(key)).ok().and_then(|at| METERS.get(at))
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
        for meter in METERS {
            assert_eq!(find(meter.key), Some(meter));
        }
        assert_eq!(find("tokens"), None);
        assert_eq!(of_quantity(ACTIVE_PRINCIPALS), None, "nobody can send it as a quantity");
    }
}
