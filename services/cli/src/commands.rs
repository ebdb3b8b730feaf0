//! One file a noun: the arguments of its verbs, and the request that each one makes.

pub mod audit;
pub mod binding;
pub mod catalog;
pub mod context;
pub mod decision;
pub mod duty;
pub mod edge;
pub mod entitlement;
pub mod group;
pub mod health;
pub mod marketplace;
pub mod meter;
pub mod partner;
pub mod plugin;
pub mod plugin_group;
pub mod policy;
pub mod principal;
pub mod role;
pub mod seat_pool;
pub mod sink;
pub mod stage_override;
pub mod tenant;
pub mod tenant_plugin;
pub mod token;
pub mod unit;
pub mod usage;

use clap::CommandFactory as _;

use crate::{
    app::App,
    cli::{Cli, Command},
    error::{Exit, Result},
    output::{Format, encode},
};

/// Runs a command.
pub async fn run(command: Command, app: &mut App<'_, '_>) -> Result<Exit> {
    match command {
        Command::Partner(command) => partner::run(command, app).await,
        Command::Tenant(command) => tenant::run(command, app).await,
        Command::Unit(command) => unit::run(command, app).await,
        Command::Principal(command) => principal::run(command, app).await,
        Command::Group(command) => group::run(command, app).await,
        Command::Role(command) => role::run(command, app).await,
        Command::Token(command) => token::run(command, app).await,
        Command::Duty(command) => duty::run(command, app).await,
        Command::Catalog(command) => catalog::run(command, app).await,
        Command::Marketplace(command) => marketplace::run(command, app).await,
        Command::Plugin(command) => plugin::run(command, app).await,
        Command::TenantPlugin(command) => tenant_plugin::run(command, app).await,
        Command::ConnectorBinding(command) => binding::run(command, app).await,
        Command::StageOverride(command) => stage_override::run(command, app).await,
        Command::PluginGroup(command) => plugin_group::run(command, app).await,
        Command::SeatPool(command) => seat_pool::run(command, app).await,
        Command::Entitlement(command) => entitlement::run(command, app).await,
        Command::Policy(command) => policy::run(command, app).await,
        Command::Decision(command) => decision::run(command, app).await,
        Command::Check(args) => decision::check(args, app).await,
        Command::Explain(args) => decision::explain(args, app).await,
        Command::CanUse(args) => decision::usable(args, app).await,
        Command::Edge(args) => edge::run(args, app).await,
        Command::WhoCan(args) => decision::whom(args, app).await,
        Command::Usage(command) => usage::run(command, app).await,
        Command::Meter(command) => meter::run(command, app).await,
        Command::Audit(command) => audit::run(command, app).await,
        Command::Sink(command) => sink::run(command, app).await,
        Command::Context(command) => context::run(command, app),
        Command::Bootstrap(args) => token::bootstrap(args, app).await,
        Command::Whoami => token::whoami(app).await,
        Command::Health(args) => health::run(args, app).await,
        Command::Version => version(app),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "provost", &mut script);
            app.console.print(&String::from_utf8_lossy(&script))?;
            Ok(Exit::OK)
        }
    }
}

fn version(app: &mut App<'_, '_>) -> Result<Exit> {
    const VERSION: &str = env!("CARGO_PKG_VERSION");
    let text = match app.format() {
        Format::Table => format!("provost {VERSION}\n"),
        format => encode(&serde_json::json!({ "version": VERSION }), format)?,
    };
    app.console.print(&text)?;
    Ok(Exit::OK)
}
