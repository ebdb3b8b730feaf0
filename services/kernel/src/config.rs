//! Configuration: embedded defaults, a file, the environment, the command line, in that order; unknown keys are errors.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use figment::{
    Figment, Metadata, Provider,
    providers::{Env, Format as _, Serialized, Toml},
    value::{Dict, Map, Value},
};
use serde::{Deserialize, Serialize};

/// Every setting; `config.default.toml` says what each means.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The listening side.
    pub server: Server,
    /// Where data lives.
    pub database: Database,
    /// Credentials.
    pub auth: Auth,
    /// Client organisations.
    pub tenants: Tenants,
    /// Logs, traces and metrics.
    pub telemetry: Telemetry,
    /// May she use this.
    pub decision: Decision,
    /// Usage events.
    pub usage: Usage,
    /// The audit log.
    pub audit: Audit,
    /// Where its events are delivered.
    pub sinks: Sinks,
}

/// `[server]`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Server {
    /// Address of gRPC, gRPC-Web and HTTP.
    pub listen: SocketAddr,
    /// Where the embedded database lives.
    pub data_dir: PathBuf,
    /// PEM certificate chain, or empty.
    pub tls_cert_file: PathBuf,
    /// PEM private key, or empty.
    pub tls_key_file: PathBuf,
    /// Largest request message, bytes.
    pub max_message_bytes: usize,
    /// Requests in flight.
    pub max_concurrent_requests: usize,
    /// Answers that go on, open at a time.
    pub max_streams: usize,
    /// Open connections.
    pub max_connections: usize,
    /// Longest time until a new connection says something, seconds.
    pub handshake_timeout_seconds: u64,
    /// Longest time until a connection's first request, seconds.
    pub first_request_timeout_seconds: u64,
    /// Longest request, seconds.
    pub request_timeout_seconds: u64,
    /// Longest wait for requests in flight at shutdown, seconds.
    pub shutdown_grace_seconds: u64,
}

/// `[database]`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Database {
    /// Empty for SQLite, or a PostgreSQL URL. Secret: may hold a password.
    pub url: String,
    /// File that holds the URL.
    pub url_file: PathBuf,
    /// Pool size.
    pub max_connections: u32,
    /// Longest wait for a connection, seconds.
    pub acquire_timeout_seconds: u64,
}

/// `[auth]`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Auth {
    /// How long a checked token is trusted, milliseconds, at most 1,000.
    pub token_cache_ms: u64,
    /// Where the bootstrap token is written.
    pub bootstrap_file: PathBuf,
}

/// `[tenants]`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tenants {
    /// From closing to the erasure of the data, days.
    pub erase_after_days: u64,
}

/// `[telemetry]`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Telemetry {
    /// Log filter.
    pub log: String,
    /// `json` or `text`.
    pub log_format: LogFormat,
    /// OTLP/gRPC endpoint, or empty.
    pub otlp_endpoint: String,
    /// Metric export interval, seconds.
    pub otlp_interval_seconds: u64,
    /// Share of traced requests.
    pub trace_ratio: f64,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}

/// `[decision]`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Decision {
    /// How long rules are decided by that could not be compared with a shared database, seconds.
    pub max_staleness_seconds: u64,
    /// One in so many decisions is made a second time by casbin; 0 for none.
    pub shadow_one_in: u64,
    /// Of a thousand decisions that allow, how many are on the record one by one.
    pub allow_sample_per_mille: u16,
    /// File of the key that signs what edges decide by, or empty for `decision.key` in the data directory.
    pub key_file: PathBuf,
    /// File of the previous key, which signs beside the current one, or empty.
    pub previous_key_file: PathBuf,
    /// How often an edge is told that nothing has changed, and its caller's right is asked for again, seconds, 1 to 60.
    pub watch_interval_seconds: u64,
    /// How long an edge may decide by what was signed, seconds, at most a day.
    pub edge_staleness_seconds: u64,
    /// Where callers reach this server, or empty for what each request says.
    pub public_url: String,
}

/// `[usage]`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Usage {
    /// Oldest accepted event, days.
    pub accept_past_days: u64,
    /// Newest accepted event, seconds ahead.
    pub accept_future_seconds: u64,
    /// Largest telemetry request, bytes.
    pub max_body_bytes: usize,
    /// Most events that wait to be stored.
    pub max_waiting_events: usize,
    /// Least time between two roll-ups of a tenant, milliseconds.
    pub rollup_interval_ms: u64,
    /// How often rollups are compared with events, seconds; 0 is never.
    pub verify_interval_seconds: u64,
}

/// `[audit]`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Audit {
    /// First part of every log's origin.
    pub host: String,
    /// File of the signing key, or empty for `audit.key` in the data directory.
    pub key_file: PathBuf,
    /// File of the previous signing key, which signs beside the current one, or empty.
    pub previous_key_file: PathBuf,
    /// Least time between two checkpoints of one log, milliseconds.
    pub checkpoint_interval_ms: u64,
    /// How often the tables are compared with the log, seconds; 0 for never.
    pub reconcile_interval_seconds: u64,
    /// Room that the data directory (SQLite) or the database (PostgreSQL) may take, MiB; 0 for all there is.
    pub storage_quota_mib: u64,
    /// How often new checkpoints are put into the meta log, seconds; 0 for never.
    pub publish_interval_seconds: u64,
    /// Outside witnesses of the meta log, each `URL VKEY`.
    pub witnesses: Vec<String>,
}

/// `[sinks]`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sinks {
    /// Base directory of file sinks, or empty for none.
    pub file_dir: PathBuf,
    /// Whether sinks may deliver to the server's own machine, also without TLS.
    pub allow_loopback: bool,
    /// Whether sinks may deliver to private networks.
    pub allow_private_networks: bool,
    /// First bound of the pause after a failed attempt, milliseconds; it doubles with each further one.
    pub retry_min_ms: u64,
    /// Last bound of that pause, milliseconds.
    pub retry_max_ms: u64,
}

/// A configuration that could not be used, in words.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ConfigError(String);

/// Keys whose values are never shown.
const SECRETS: [&str; 1] = ["database.url"];

/// The merged layers, from which [`Config`] is read and dumped.
pub struct Layers(Figment);

impl Layers {
    /// Merges `defaults`, then `file`, then `PROVOST__SECTION__KEY`, then `overrides` (dotted key, value).
    pub fn new(
        defaults: &str,
        file: Option<&PathBuf>,
        overrides: &[(&str, String)],
    ) -> Result<Self, ConfigError> {
        let mut figment = Figment::new().merge(Named("default", Toml::string(defaults)));
        if let Some(path) = file {
            std::fs::read_to_string(path).map_err(|e| {
                ConfigError(format!(
                    "cannot read configuration file `{}`: {e}; check --config",
                    path.display()
                ))
            })?;
            figment = figment.merge(Toml::file_exact(path));
        }
        figment = figment.merge(Env::prefixed("PROVOST__").split("__"));
        for (key, value) in overrides {
            figment = figment.merge(Named("command line", Serialized::default(key, typed(value))));
        }
        Ok(Self(figment))
    }

    /// The effective values, checked.
    pub fn config(&self) -> Result<Config, ConfigError> {
        let mut config: Config = self.0.extract().map_err(|errors| {
            let lines: Vec<_> = errors.into_iter().map(|e| e.to_string()).collect();
            ConfigError(format!(
                "configuration: {}; `provostd config dump` lists every key",
                lines.join("; ")
            ))
        })?;
        config.resolve()?;
        Ok(config)
    }

    /// The effective values as TOML, each with its origin, secrets masked.
    pub fn dump(&self) -> Result<String, ConfigError> {
        let value: Value = self.0.extract().map_err(|e| ConfigError(e.to_string()))?;
        let mut out = String::new();
        for (section, keys) in value.as_dict().into_iter().flatten() {
            out.push_str(&format!("[{section}]\n"));
            for (key, value) in keys.as_dict().into_iter().flatten() {
                let path = format!("{section}.{key}");
                let origin = self.0.find_metadata(&path).map_or_else(String::new, origin);
                out.push_str(&format!("{key} = {}  # {origin}\n", shown(&path, value)));
            }
            out.push('\n');
        }
        Ok(out)
    }
}

/// Text from the command line as the number or truth value that it spells; anything else stays text.
fn typed(text: &str) -> Value {
    match text.parse() {
        Ok(value @ (Value::Num(..) | Value::Bool(..))) => value,
        _ => Value::from(text),
    }
}

/// Where a value came from, for people.
fn origin(metadata: &Metadata) -> String {
    match &metadata.source {
        Some(source) => format!("{} {source}", metadata.name),
        None => metadata.name.to_string(),
    }
}

/// A value as TOML would write it; secrets as `"***"`.
fn shown(path: &str, value: &Value) -> String {
    if SECRETS.contains(&path) && value.as_str() != Some("") {
        return "\"***\"".to_owned();
    }
    match value {
        Value::String(_, text) => format!("{text:?}"),
        other => serde_json::to_string(other).unwrap_or_default(),
    }
}

impl Config {
    /// Reads secrets from their files and checks what a type cannot.
    fn resolve(&mut self) -> Result<(), ConfigError> {
        if !self.database.url_file.as_os_str().is_empty() {
            let path = &self.database.url_file;
            let text = std::fs::read_to_string(path).map_err(|e| {
                ConfigError(format!("cannot read `database.url_file` `{}`: {e}", path.display()))
            })?;
            text.trim().clone_into(&mut self.database.url);
        }
        if !self.database.url.is_empty() && !self.database.url.starts_with("postgres") {
            return wrong("database.url", "must be empty (SQLite) or start with `postgres://`");
        }
        if self.auth.token_cache_ms > 1_000 {
            return wrong(
                "auth.token_cache_ms",
                "may be at most 1000, so that a revocation reaches every node in a second",
            );
        }
        if self.server.tls_cert_file.as_os_str().is_empty() != self.server.tls_key_file.as_os_str().is_empty()
        {
            return wrong("server.tls_cert_file", "and `server.tls_key_file` must be set both or neither");
        }
        if self.tenants.erase_after_days > 3_650 {
            return wrong("tenants.erase_after_days", "may be at most 3650, which is ten years");
        }
        self.decision.check()?;
        if self.audit.storage_quota_mib > 1 << 40 {
            return wrong("audit.storage_quota_mib", "is more than any file system has");
        }
        if self.audit.checkpoint_interval_ms > 1_000 {
            return wrong(
                "audit.checkpoint_interval_ms",
                "may be at most 1000, so that an act is provable within a second",
            );
        }
        let host = &self.audit.host;
        if host.is_empty() || host.contains(|c: char| c.is_whitespace() || c == '+' || c.is_control()) {
            return wrong("audit.host", "must be a name without spaces and `+`, such as your DNS name");
        }
        if self.sinks.retry_min_ms == 0 || self.sinks.retry_max_ms < self.sinks.retry_min_ms {
            return wrong("sinks.retry_min_ms", "must be at least 1 and at most `sinks.retry_max_ms`");
        }
        if !(0.0..=1.0).contains(&self.telemetry.trace_ratio) {
            return wrong("telemetry.trace_ratio", "must be between 0.0 and 1.0");
        }
        let positive = [
            ("server.max_concurrent_requests", self.server.max_concurrent_requests),
            ("server.max_connections", self.server.max_connections),
            ("server.max_streams", self.server.max_streams),
            ("server.handshake_timeout_seconds", usize::from(self.server.handshake_timeout_seconds > 0)),
            (
                "server.first_request_timeout_seconds",
                usize::from(self.server.first_request_timeout_seconds > 0),
            ),
            ("server.max_message_bytes", self.server.max_message_bytes),
            ("database.max_connections", self.database.max_connections as usize),
            ("usage.max_body_bytes", self.usage.max_body_bytes),
        ];
        for (key, value) in positive {
            if value == 0 {
                return wrong(key, "must be at least 1");
            }
        }
        Ok(())
    }

    /// How long after a tenant was closed its data is erased.
    pub fn erase_after(&self) -> Duration {
        Duration::from_hours(self.tenants.erase_after_days.saturating_mul(24))
    }

    /// How long a checked token is trusted.
    pub fn token_cache(&self) -> Duration {
        Duration::from_millis(self.auth.token_cache_ms)
    }
}

impl Decision {
    /// Checks what a type cannot.
    fn check(&self) -> Result<(), ConfigError> {
        if self.allow_sample_per_mille > 1_000 {
            return wrong("decision.allow_sample_per_mille", "may be at most 1000, which is all of them");
        }
        if !(1..=60).contains(&self.watch_interval_seconds) {
            return wrong("decision.watch_interval_seconds", "must be between 1 and 60");
        }
        let shortest = self.watch_interval_seconds.saturating_mul(2);
        if !(shortest..=86_400).contains(&self.edge_staleness_seconds) {
            return wrong(
                "decision.edge_staleness_seconds",
                "must be at least twice `decision.watch_interval_seconds`, and at most 86400",
            );
        }
        let url = &self.public_url;
        if !url.is_empty()
            && (!(url.starts_with("https://") || url.starts_with("http://")) || url.ends_with('/'))
        {
            return wrong(
                "decision.public_url",
                "must be empty or an address such as `https://provost.example`",
            );
        }
        Ok(())
    }
}

/// A setting that cannot be.
fn wrong(key: &str, what: &str) -> Result<(), ConfigError> {
    Err(ConfigError(format!("configuration: `{key}` {what}")))
}

/// A provider under another name, so that a dump says where a value came from in our words.
struct Named<P>(&'static str, P);

impl<P: Provider> Provider for Named<P> {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.0)
    }

    fn data(&self) -> Result<Map<figment::Profile, Dict>, figment::Error> {
        self.1.data()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEFAULTS: &str = include_str!("../../server/config.default.toml");

    #[test]
    fn the_defaults_are_complete_and_dump_with_their_origin() {
        let layers = Layers::new(DEFAULTS, None, &[("server.listen", "127.0.0.1:0".to_owned())]).unwrap();
        assert_eq!(layers.config().unwrap().server.listen.port(), 0);
        let dump = layers.dump().unwrap();
        assert!(dump.contains("listen = \"127.0.0.1:0\"  # command line"), "{dump}");
        assert!(dump.contains("max_connections = 16  # default"), "{dump}");
    }

    #[test]
    fn an_unknown_key_is_refused_and_named() {
        let text = format!("{DEFAULTS}\nacept_past_days = 3\n");
        let error = Layers::new(&text, None, &[]).unwrap().config().unwrap_err().to_string();
        assert!(error.contains("acept_past_days"), "{error}");
    }

    #[test]
    fn a_secret_is_masked() {
        let layers =
            Layers::new(DEFAULTS, None, &[("database.url", "postgres://u:pw@h/d".to_owned())]).unwrap();
        let dump = layers.dump().unwrap();
        assert!(!dump.contains("pw") && dump.contains("url = \"***\""), "{dump}");
    }

    #[test]
    fn an_unreadable_file_is_named() {
        let error = Layers::new(DEFAULTS, Some(&"/nonexistent/provost.toml".into()), &[]).err().unwrap();
        assert!(error.to_string().contains("/nonexistent/provost.toml"), "{error}");
    }
}
