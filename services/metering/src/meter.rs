//! The built-in meters, as data.

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meter {
    /// Key: `tokens.input`.
    pub key: &'static str,
    /// What one of it is; figures are whole numbers of it.
    pub unit: &'static str,
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
/// Answers to the question whether a tool may be used.
pub const DECISIONS: &str = "decisions";
/// Lines of code added or removed.
pub const LINES_OF_CODE: &str = "lines_of_code";

const fn meter(key: &'static str, unit: &'static str, description: &'static str) -> Meter {
    Meter { key, unit, description }
}

/// All of them, sorted by key. Each has a source: a meter joins the table together with the events that feed it.
pub const METERS: &[Meter] = &[
    meter(
        APP_CALLS,
        "calls",
        "Finished calls of tools that an app (an MCP server) brings; also in `tool.calls`.",
    ),
    meter(
        COST_USD,
        "micro-usd",
        "Cost at list prices as the client computed it, in millionths of a US dollar.",
    ),
    meter(
        PLUGIN_INVOCATIONS,
        "invocations",
        "Uses of skills that a plugin brings; also in `skill.invocations`.",
    ),
    meter(
        SESSIONS,
        "sessions",
        "Conversations with the assistant, each counted once, when it is first heard of.",
    ),
    meter(SKILL_INVOCATIONS, "invocations", "Uses of skills."),
    meter(
        TOKENS_CACHE_READ,
        "tokens",
        "Input tokens that the model read from its cache; not in `tokens.input`.",
    ),
    meter(TOKENS_CACHE_WRITE, "tokens", "Input tokens that the model wrote to its cache."),
    meter(TOKENS_INPUT, "tokens", "Input tokens that the model did not read from its cache."),
    meter(TOKENS_OUTPUT, "tokens", "Output tokens, reasoning included."),
    meter(TOKENS_REASONING, "tokens", "Output tokens spent on reasoning; also in `tokens.output`."),
    meter(TOOL_CALLS, "calls", "Finished calls of tools, of whatever origin and outcome."),
];

/// The meter with this key.
pub fn find(key: &str) -> Option<&'static Meter> {
    METERS.binary_search_by(|m| m.key.cmp(key)).ok().and_then(|at| METERS.get(at))
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
    }
}
