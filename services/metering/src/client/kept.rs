//! The allow-lists: what of an item may be stored. Prompts, tool arguments and output, commands, file paths, e-mail
//! addresses and account ids are on none, nor is anything a client invents later.

/// Names of the attributes of log records that are kept, sorted.
///
/// Before adding one, make sure that neither client puts a person's words, files or identity into it under any of its
/// settings (`OTEL_LOG_USER_PROMPTS`, `OTEL_LOG_TOOL_DETAILS`, `log_user_prompt`).
pub const KEPT: &[&str] = &[
    "app.version",
    "approval_policy",
    "attempt",
    "cache_creation_1h_tokens",
    "cache_creation_5m_tokens",
    "cache_creation_tokens",
    "cache_read_tokens",
    "cache_write_token_count",
    "cached_token_count",
    "conversation.id",
    "cost_usd_micros",
    "decision",
    "duration_ms",
    "effort",
    "enabled_via",
    "event.kind",
    "event.sequence",
    "has_hooks",
    "has_mcp",
    "http.response.status_code",
    "input_token_count",
    "input_tokens",
    "invocation_trigger",
    "managed_settings.helper.state",
    "managed_settings.resolved_sha256",
    "managed_settings.source_behavior",
    "managed_settings.sources",
    "managed_settings.trigger",
    "marketplace.name",
    "mcp_server",
    "mcp_server_scope",
    "mcp_servers",
    "model",
    "originator",
    "output_token_count",
    "output_tokens",
    "permission_mode",
    "plugin.name",
    "plugin.scope",
    "plugin.version",
    "plugin_id_hash",
    "prompt_length",
    "query_source",
    "reasoning_token_count",
    "request_id",
    "sandbox_policy",
    "session.id",
    "skill.invocation_type",
    "skill.name",
    "skill.plugin_id",
    "skill.scope",
    "skill.source",
    "source",
    "speed",
    "success",
    "tool_name",
    "tool_namespace",
    "tool_source",
    "tool_token_count",
    "ttft_ms",
];

/// Likewise of data points. What a point counts is kept beside them.
pub const KEPT_OF_METRICS: &[&str] = &[
    "decision",
    "effort",
    "gen_ai.operation.name",
    "gen_ai.provider.name",
    "gen_ai.request.model",
    "gen_ai.response.model",
    "gen_ai.system",
    "gen_ai.token.type",
    "language",
    "marketplace.name",
    "model",
    "plugin.name",
    "query_source",
    "session.id",
    "skill.name",
    "source",
    "speed",
    "start_type",
    "tool_name",
    "type",
];

/// Likewise of log records and spans that follow the semantic conventions for generative AI.
pub const KEPT_OF_GEN_AI: &[&str] = &[
    "gen_ai.conversation.id",
    "gen_ai.operation.name",
    "gen_ai.provider.name",
    "gen_ai.request.model",
    "gen_ai.response.id",
    "gen_ai.response.model",
    "gen_ai.system",
    "gen_ai.tool.call.id",
    "gen_ai.tool.name",
    "gen_ai.tool.type",
    "gen_ai.usage.cache_creation.input_tokens",
    "gen_ai.usage.cache_read.input_tokens",
    "gen_ai.usage.completion_tokens",
    "gen_ai.usage.input_tokens",
    "gen_ai.usage.output_tokens",
    "gen_ai.usage.prompt_tokens",
    "gen_ai.usage.reasoning.output_tokens",
    "session.id",
];

#[cfg(test)]
mod tests {
    use super::{KEPT, KEPT_OF_GEN_AI, KEPT_OF_METRICS};

    #[test]
    fn the_lists_are_sorted_and_name_nothing_twice() {
        for list in [KEPT, KEPT_OF_METRICS, KEPT_OF_GEN_AI] {
            assert!(list.is_sorted_by(|a, b| a < b), "they are searched by bisection");
        }
    }
}
