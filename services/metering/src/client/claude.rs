//! Claude Code: log events whose `event.name` lacks the `claude_code.` of their body.

use super::{Amount, Reading, amounts, quantity};
use crate::{
    meter,
    event::model::Rejection,
    otlp::Attributes,
};

/// See [`super::Client::identity`].
pub(super) const IDENTITY: &[&str] = &[
    "session.id",
    "event.sequence",
    "request_id",
    "prompt.id",
    "tool_use_id",
    "tool_name",
    "skill.name",
    "plugin.name",
    "plugin_id_hash",
    "marketplace.name",
];

pub(super) fn read(name: &str, attributes: &Attributes<'_>) -> Option<Result<Reading, Rejection>> {
    let reading = match name {
        "user_prompt" => ("claude_code.user_prompt", Vec::new()),
        "tool_decision" => ("claude_code.tool_decision", Vec::new()),
        "managed_settings_resolved" => ("claude_code.managed_settings_resolved", Vec::new()),
        // the inventory: which plugins a session has, used or not
        "plugin_loaded" => ("claude_code.plugin_loaded", Vec::new()),
        "api_request" => {
            return Some(request(attributes).map(|amounts| ("claude_code.api_request", amounts)));
        }
        "tool_result" => {
            // set for the tools of MCP servers and for no others
            let app = i64::from(attributes.text("mcp_server_scope").is_some());
            ("claude_code.tool_result", amounts([(meter::TOOL_CALLS, 1), (meter::APP_CALLS, app)]))
        }
        "skill_activated" => {
            let plugin = i64::from(attributes.text("plugin.name").is_some());
            let both = [(meter::SKILL_INVOCATIONS, 1), (meter::PLUGIN_INVOCATIONS, plugin)];
            ("claude_code.skill_activated", amounts(both))
        }
        _ => return None,
    };
    Some(Ok(reading))
}

/// A finished request to the model. Its input tokens do not include those from the cache. The cost is taken in whole
/// millionths only: `cost_usd` is a rounded float and no quantity.
fn request(attributes: &Attributes<'_>) -> Result<Vec<Amount>, Rejection> {
    Ok(amounts([
        (meter::TOKENS_INPUT, quantity(attributes, "input_tokens")?),
        (meter::TOKENS_CACHE_READ, quantity(attributes, "cache_read_tokens")?),
        (meter::TOKENS_CACHE_WRITE, quantity(attributes, "cache_creation_tokens")?),
        (meter::TOKENS_OUTPUT, quantity(attributes, "output_tokens")?),
        (meter::COST_USD, quantity(attributes, "cost_usd_micros")?),
    ]))
}
