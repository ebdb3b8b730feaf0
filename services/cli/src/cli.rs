//! The top of the command line: nouns, and the flags that go with all of them.

use std::path::{Path, PathBuf};

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;

use crate::{commands, context::Place, output::Format};

/// What stands below the help of `provost` itself.
const AFTER_HELP: &str = "\
Examples:
  provost context add local --token-file ./token --partner northwind --tenant acme
  provost tenant create acme --display-name Acme
  provost role add-member banker --member principal:maria
  provost catalog import ./codex-official
  provost entitlement create --role banker --target codex-official/factset --effect default
  provost check maria codex-official/factset
  provost usage query --group-by role --meter tokens.input
  provost audit mirror --out ./log
  provost audit verify ./log

Names: `tenants/acme/roles/banker` in full, `acme/banker` in short, `banker` with --tenant or a context's tenant.

Environment:
  PROVOST_ADDRESS  where the server is, instead of the context's address
  PROVOST_TOKEN    the token, instead of the context's token file
  PROVOST_CONTEXT  the context to use, instead of the current one
  PROVOST_CONFIG   the file of contexts [default: $XDG_CONFIG_HOME/provost/config.toml]
  TRACEPARENT      W3C trace context to send with every call

Exit codes:
   0  done
   1  a local failure, or one of no other class
   2  the command line is wrong, or a confirmation is missing
   3  not found
   4  not authenticated, or not permitted
   5  exists already, or another change won
   6  not in a state that allows it
   7  an argument is not valid
   8  unreachable, not serving, overloaded, over a limit or out of time
  10  `check` was answered with no
  11  a log, a checkpoint or a receipt does not verify
  12  a policy test failed, or with --fail-uncovered a rule is not reached";

/// Rolls an AI assistant out to client organisations: who may use what, what they used, and proof of both.
#[derive(Debug, Parser)]
#[command(name = "provost", version, about, after_help = AFTER_HELP, max_term_width = 110, arg_required_else_help = true)]
pub struct Cli {
    /// Flags of every command.
    #[command(flatten)]
    pub global: Global,
    /// The noun, or a word of its own.
    #[command(subcommand)]
    pub command: Command,
}

/// Flags of every command.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Global options")]
pub struct Global {
    /// How answers are written
    #[arg(
        long,
        short,
        global = true,
        value_enum,
        default_value_t,
        value_name = "table|json|yaml",
        hide_possible_values = true
    )]
    pub output: Format,
    /// The context to use instead of the current one
    #[arg(long, global = true, value_name = "NAME")]
    pub context: Option<String>,
    /// Where the server is, `http://127.0.0.1:7443` by default; a context's token is sent to its own address only
    #[arg(long, global = true, value_name = "URL")]
    pub address: Option<String>,
    /// File that holds the token; `-` is standard input
    #[arg(long, global = true, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// PEM file of certificate authorities to trust instead of the system's
    #[arg(long, global = true, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
    /// Tenant that short names are in
    #[arg(long, global = true, value_name = "ID")]
    pub tenant: Option<String>,
    /// Partner that short names are in
    #[arg(long, global = true, value_name = "ID")]
    pub partner: Option<String>,
    /// The platform itself rather than a tenant or a partner
    #[arg(long, global = true)]
    pub platform: bool,
    /// Longest time for one call, 30 by default
    #[arg(long, global = true, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub timeout: Option<u64>,
}

impl Global {
    /// The flags that say where to talk to.
    pub fn place(&self) -> Place<'_> {
        Place {
            address: self.address.as_deref(),
            token_file: self.token_file.as_deref().map(Path::new),
            ca_file: self.ca_file.as_deref().map(Path::new),
        }
    }
}

/// The nouns, and words of their own.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Consulting firms, and how their clients stand
    #[command(subcommand)]
    Partner(commands::partner::Command),
    /// Client organisations and their lifecycle
    #[command(subcommand)]
    Tenant(commands::tenant::Command),
    /// Departments and cost centres of a tenant
    #[command(subcommand)]
    Unit(commands::unit::Command),
    /// Users, services and agents
    #[command(subcommand)]
    Principal(commands::principal::Command),
    /// Directory groups
    #[command(subcommand)]
    Group(commands::group::Command),
    /// Job roles and who holds them
    #[command(subcommand)]
    Role(commands::role::Command),
    /// API tokens
    #[command(subcommand)]
    Token(commands::token::Command),
    /// Who administers what
    #[command(subcommand)]
    Duty(commands::duty::Command),
    /// What can be rolled out: imports, versions, release stages, and a client's own connectors
    #[command(subcommand)]
    Catalog(commands::catalog::Command),
    /// The vendors' marketplaces
    #[command(subcommand)]
    Marketplace(commands::marketplace::Command),
    /// Plugins as they are listed now
    #[command(subcommand)]
    Plugin(commands::plugin::Command),
    /// Plugins as a tenant has them: the stage that counts, and what they wait for
    #[command(subcommand)]
    TenantPlugin(commands::tenant_plugin::Command),
    /// Connectors of a client's own, in the places that plugins keep for them
    #[command(subcommand)]
    ConnectorBinding(commands::binding::Command),
    /// Stages that a tenant holds plugins to, stricter than the platform's
    #[command(subcommand)]
    StageOverride(commands::stage_override::Command),
    /// Plugins that a tenant speaks of together
    #[command(subcommand)]
    PluginGroup(commands::plugin_group::Command),
    /// Pools of seats and who holds one
    #[command(subcommand)]
    SeatPool(commands::seat_pool::Command),
    /// Rules: what holders of a role may use
    #[command(subcommand)]
    Entitlement(commands::entitlement::Command),
    /// A tenant's rules as a whole: tests, previews, comparisons
    #[command(subcommand)]
    Policy(commands::policy::Command),
    /// May this principal use this plugin now
    #[command(subcommand)]
    Decision(commands::decision::Command),
    /// The same as `decision check`
    Check(commands::decision::Question),
    /// The same as `decision explain`
    Explain(commands::decision::Explained),
    /// The same as `decision list-usable`
    CanUse(commands::decision::Usable),
    /// The same as `decision list-principals`
    WhoCan(commands::decision::Whom),
    /// Answer AuthZEN on this machine by a tenant's rules, also while the server cannot be reached
    Edge(commands::edge::Edge),
    /// What was used
    #[command(subcommand)]
    Usage(commands::usage::Command),
    /// What can be counted
    #[command(subcommand)]
    Meter(commands::meter::Command),
    /// The record of every act
    #[command(subcommand)]
    Audit(commands::audit::Command),
    /// Logs followed into a SIEM
    #[command(subcommand)]
    Sink(commands::sink::Command),
    /// Named places to talk to
    #[command(subcommand)]
    Context(commands::context::Command),
    /// Create the first platform administrator of a new deployment, with its bootstrap token
    Bootstrap(commands::token::Bootstrap),
    /// Who am I, and what may I do
    Whoami,
    /// Is the server serving
    Health(commands::health::Health),
    /// The version of this program
    Version,
    /// Print the script that completes commands in a shell
    Completions {
        /// Which shell
        shell: Shell,
    },
}

impl Cli {
    /// Whether it talks to no server.
    pub fn is_local(&self) -> bool {
        match &self.command {
            Command::Audit(command) => command.is_local(),
            Command::Sink(command) => command.is_local(),
            Command::Policy(command) => command.is_local(&self.global),
            other => matches!(other, Command::Context(_) | Command::Version | Command::Completions { .. }),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_tree_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn global_flags_go_anywhere() {
        for line in [
            "provost -o json tenant get acme --tenant zenith",
            "provost tenant --tenant zenith get -o json acme",
        ] {
            let cli = Cli::try_parse_from(line.split(' ')).unwrap();
            assert_eq!(cli.global.output, Format::Json);
            assert_eq!(cli.global.tenant.as_deref(), Some("zenith"));
        }
    }
}
