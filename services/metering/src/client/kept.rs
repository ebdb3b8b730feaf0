//! The allow-list: what of a record may be stored. Prompts, tool arguments and output, commands, file paths, e-mail
//! addresses and account ids are not on it, nor is anything a client invents later.

/// Names of the attributes that are kept, sorted.
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

#[cfg(test)]
mod tests {
    use super::KEPT;

    #[test]
    fn the_list_is_sorted_and_names_nothing_twice() {
        assert!(KEPT.is_sorted_by(|a, b| a < b), "it is searched by bisection");
    }
}
