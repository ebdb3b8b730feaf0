//! Claude Code: log events whose `event.name` lacks the `claude_code.` of their body, and metrics that say a part of the same.

use super::table::{Adapter, By, Count, LogRule, MetricRule, always};
use crate::{
    event::model::{Dims, VALUE},
    meter,
    observation::{Observation, PluginSeen, SettingsSeen},
    otlp::{Attributes, Value},
};

pub(super) static ADAPTER: Adapter = Adapter {
    client: "claude-code",
    source: "otlp/claude-code",
    session_type: "claude_code.session",
    session_key: "session.id",
    identity: &[
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
    ],
    logs: &[
        log("user_prompt", "claude_code.user_prompt", &[]),
        log("tool_decision", "claude_code.tool_decision", &[Count::One(meter::DECISIONS)]),
        log(SETTINGS, "claude_code.managed_settings_resolved", &[]),
        // the inventory: which plugins a session has, used or not
        log(LOADED, "claude_code.plugin_loaded", &[]),
        log(
            "api_request",
            "claude_code.api_request",
            &[
                // without those from the cache; the cost in whole millionths only, for `cost_usd` is a rounded double
                Count::Sum(meter::TOKENS_INPUT, "input_tokens"),
                Count::Sum(meter::TOKENS_CACHE_READ, "cache_read_tokens"),
                Count::Sum(meter::TOKENS_CACHE_WRITE, "cache_creation_tokens"),
                Count::Sum(meter::TOKENS_OUTPUT, "output_tokens"),
                Count::Sum(meter::COST_USD, "cost_usd_micros"),
            ],
        ),
        log(
            "tool_result",
            "claude_code.tool_result",
            &[
                Count::One(meter::TOOL_CALLS),
                // set for the tools of MCP servers and for no others
                Count::OneWhere(meter::APP_CALLS, |a| a.text("mcp_server_scope").is_some()),
            ],
        ),
        log(
            "skill_activated",
            "claude_code.skill_activated",
            &[Count::One(meter::SKILL_INVOCATIONS), Count::OneWhere(meter::PLUGIN_INVOCATIONS, of_plugin)],
        ),
    ],
    metrics: &[
        metric("claude_code.session.count", By::None),
        MetricRule {
            told_twice: true,
            ..metric(
                "claude_code.token.usage",
                By::Value(
                    "type",
                    &[
                        ("input", meter::TOKENS_INPUT),
                        ("output", meter::TOKENS_OUTPUT),
                        ("cacheRead", meter::TOKENS_CACHE_READ),
                        ("cacheCreation", meter::TOKENS_CACHE_WRITE),
                    ],
                ),
            )
        },
        MetricRule {
            scale: 6,
            told_twice: true,
            ..metric("claude_code.cost.usage", By::Fixed(meter::COST_USD))
        },
        metric("claude_code.lines_of_code.count", By::Fixed(meter::LINES_OF_CODE)),
        metric("claude_code.commit.count", By::Fixed(VALUE)),
        metric("claude_code.pull_request.count", By::Fixed(VALUE)),
        // of the tools that edit only, so it counts where no log event tells of every tool
        MetricRule {
            told_twice: true,
            ..metric("claude_code.code_edit_tool.decision", By::Fixed(meter::DECISIONS))
        },
        // milliseconds
        MetricRule { scale: 3, ..metric("claude_code.active_time.total", By::Fixed(VALUE)) },
    ],
    dims: &[
        ("plugin", &["plugin.name"]),
        ("marketplace", &["marketplace.name"]),
        ("skill", &["skill.name"]),
        ("tool", &["tool_name"]),
        ("model", &["model"]),
        ("success", &["success"]),
        ("decision", &["decision"]),
        ("language", &["language"]),
        ("query_source", &["query_source"]),
    ],
    more_dims: more,
    observe,
};

const LOADED: &str = "plugin_loaded";
const SETTINGS: &str = "managed_settings_resolved";

const fn log(name: &'static str, event_type: &'static str, counts: &'static [Count]) -> LogRule {
    LogRule { name, event_type, when: always, counts }
}

const fn metric(name: &'static str, meter: By) -> MetricRule {
    MetricRule { name, meter, scale: 0, told_twice: false }
}

/// A plugin's skill; the names of private ones are left out unless the client is told to give details.
fn of_plugin(attributes: &Attributes<'_>) -> bool {
    attributes.text("plugin.name").is_some() || attributes.text("skill.source") == Some("plugin")
}

/// Lines added or removed; and `mcp__ledger__get_balance`, where details are on.
fn more(attributes: &Attributes<'_>, dims: &mut Dims) {
    let change = attributes.text("type").filter(|change| ["added", "removed"].contains(change));
    dims.put("change", change.unwrap_or_default());
    let tool = attributes.text("tool_name").and_then(|tool| tool.strip_prefix("mcp__"));
    // an inventory tells what is there: it is no use of a plugin, and figures by plugin must not count it
    if attributes.text("event.name") == Some(LOADED) {
        for (dim, of) in [("plugin", "loaded_plugin"), ("marketplace", "loaded_marketplace")] {
            let value = dims.0.remove(dim).unwrap_or_default();
            dims.put(of, &value);
        }
    }
    dims.put("app", tool.and_then(|tool| tool.split_once("__")).map_or("", |(app, _)| app));
}

fn observe(event_type: &str, attributes: &Attributes<'_>) -> Option<Observation> {
    let text = |key| attributes.text(key).unwrap_or_default();
    match event_type {
        "claude_code.plugin_loaded" => {
            let plugin = PluginSeen::hashed(
                text("plugin_id_hash"),
                text("plugin.name"),
                text("marketplace.name"),
                text("plugin.version"),
            )?;
            // what the client itself brings is nobody's choice
            let bundled = text("plugin.scope") == "default-bundle" && text("marketplace.name") == "builtin";
            Some(Observation::Plugin(PluginSeen { bundled: bundled && plugin.is_named(), ..plugin }))
        }
        "claude_code.managed_settings_resolved" => {
            let sources = attributes.get("managed_settings.sources").map(Value::to_text).unwrap_or_default();
            Some(Observation::Settings(SettingsSeen::new(
                text("managed_settings.resolved_sha256"),
                &sources,
                text("managed_settings.helper.state"),
            )))
        }
        _ => None,
    }
}
