//! Codex: log events named `codex.*`, numbers and booleans often as text.

use super::{Amount, Reading, amounts, quantity};
use crate::{
    meter,
    event::model::Rejection,
    otlp::Attributes,
};

/// See [`super::Client::identity`].
pub(super) const IDENTITY: &[&str] = &[
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
];

pub(super) fn read(name: &str, attributes: &Attributes<'_>) -> Option<Result<Reading, Rejection>> {
    let reading = match name {
        "codex.conversation_starts" => ("codex.conversation_starts", Vec::new()),
        "codex.user_prompt" => ("codex.user_prompt", Vec::new()),
        "codex.api_request" => ("codex.api_request", Vec::new()),
        "codex.tool_decision" => ("codex.tool_decision", Vec::new()),
        "codex.sse_event" => return response(attributes),
        "codex.tool_result" => {
            let app = i64::from(attributes.text("mcp_server").is_some());
            ("codex.tool_result", amounts([(meter::TOOL_CALLS, 1), (meter::APP_CALLS, app)]))
        }
        "codex.skill_invocation" => {
            let plugin = i64::from(attributes.text("skill.plugin_id").is_some());
            let both = [(meter::SKILL_INVOCATIONS, 1), (meter::PLUGIN_INVOCATIONS, plugin)];
            ("codex.skill_invocation", amounts(both))
        }
        _ => return None,
    };
    Some(Ok(reading))
}

/// A finished response. Each is told twice, and only one of the two carries token counts.
fn response(attributes: &Attributes<'_>) -> Option<Result<Reading, Rejection>> {
    let counted =
        attributes.get("input_token_count").is_some() || attributes.get("output_token_count").is_some();
    if attributes.text("event.kind") != Some("response.completed") || !counted {
        return None;
    }
    Some(tokens(attributes).map(|amounts| ("codex.sse_event", amounts)))
}

fn tokens(attributes: &Attributes<'_>) -> Result<Vec<Amount>, Rejection> {
    let input = quantity(attributes, "input_token_count")?;
    let cached = quantity(attributes, "cached_token_count")?;
    Ok(amounts([
        // the count of input tokens includes those from the cache; a client that contradicts itself gets no credit
        (meter::TOKENS_INPUT, (input - cached).max(0)),
        (meter::TOKENS_CACHE_READ, cached),
        (meter::TOKENS_CACHE_WRITE, quantity(attributes, "cache_write_token_count")?),
        (meter::TOKENS_OUTPUT, quantity(attributes, "output_token_count")?),
        (meter::TOKENS_REASONING, quantity(attributes, "reasoning_token_count")?),
    ]))
}
