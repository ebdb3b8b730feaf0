//! Codex: log events named `codex.*`, numbers and booleans often as text. Its metrics say nothing more, and name no session.

use super::table::{Adapter, Count, LogRule, always};
use crate::{
    event::model::Dims,
    meter,
    observation::{Observation, PluginSeen},
    otlp::Attributes,
};

pub(super) static ADAPTER: Adapter = Adapter {
    client: "codex",
    source: "otlp/codex",
    session_type: "codex.session",
    session_key: "conversation.id",
    identity: &[
        "conversation.id",
        "turn.id",
        "event.timestamp",
        "event.kind",
        "call_id",
        "tool_result_seq",
        "tool_name",
        "tool_namespace",
        "mcp_server",
        "skill.name",
        "skill.plugin_id",
        "attempt",
        "duration_ms",
        "input_token_count",
        "output_token_count",
        "cached_token_count",
        "cache_write_token_count",
        "reasoning_token_count",
    ],
    logs: &[
        log("codex.conversation_starts", &[]),
        log("codex.user_prompt", &[]),
        log("codex.api_request", &[]),
        log("codex.tool_decision", &[Count::One(meter::DECISIONS)]),
        LogRule {
            name: "codex.sse_event",
            event_type: "codex.sse_event",
            when: counted_response,
            counts: &[
                // the count of input tokens includes those from the cache
                Count::Less(meter::TOKENS_INPUT, "input_token_count", "cached_token_count"),
                Count::Sum(meter::TOKENS_CACHE_READ, "cached_token_count"),
                Count::Sum(meter::TOKENS_CACHE_WRITE, "cache_write_token_count"),
                Count::Sum(meter::TOKENS_OUTPUT, "output_token_count"),
                Count::Sum(meter::TOKENS_REASONING, "reasoning_token_count"),
            ],
        },
        log(
            "codex.tool_result",
            &[
                Count::One(meter::TOOL_CALLS),
                Count::OneWhere(meter::APP_CALLS, |a| a.text("mcp_server").is_some()),
            ],
        ),
        log(
            "codex.skill_invocation",
            &[
                Count::One(meter::SKILL_INVOCATIONS),
                Count::OneWhere(meter::PLUGIN_INVOCATIONS, |a| a.text("skill.plugin_id").is_some()),
            ],
        ),
    ],
    metrics: &[],
    dims: &[
        ("app", &["mcp_server"]),
        ("skill", &["skill.name"]),
        ("tool", &["tool_name"]),
        ("model", &["model"]),
        ("success", &["success"]),
        ("decision", &["decision"]),
    ],
    more_dims: plugin,
    observe: |_, attributes| {
        let plugin = attributes.text("skill.plugin_id")?;
        PluginSeen::named(plugin, "").map(Observation::Plugin)
    },
};

const fn log(name: &'static str, counts: &'static [Count]) -> LogRule {
    LogRule { name, event_type: name, when: always, counts }
}

/// A finished response is told twice, and only one of the two carries token counts.
fn counted_response(attributes: &Attributes<'_>) -> bool {
    let has = |key| attributes.get(key).is_some();
    attributes.text("event.kind") == Some("response.completed")
        && (has("input_token_count") || has("output_token_count"))
}

/// `finance-close@acme`.
fn plugin(attributes: &Attributes<'_>, dims: &mut Dims) {
    let id = attributes.text("skill.plugin_id").unwrap_or_default();
    let (plugin, marketplace) = id.rsplit_once('@').unwrap_or((id, ""));
    dims.put("plugin", plugin);
    dims.put("marketplace", marketplace);
}
