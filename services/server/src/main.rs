//! `provostd`: the server.

use std::{path::PathBuf, process::ExitCode, sync::Arc};

use clap::{Args, Parser, Subcommand};
use kernel::{
    clock::Clock,
    config::{Config, Layers},
    telemetry::Telemetry,
};
use server::{DEFAULT_CONFIG, app, doctor, quickstart, reconcile, signal::Stop, verify};

/// Calls allocate much and briefly, from several threads: the system's allocator is slow at that.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Provost: roll an AI assistant out across client organisations, and keep the record.
#[derive(Parser)]
#[command(name = "provostd", version, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the server until it is told to stop (SIGTERM or Ctrl-C)
    Serve(Common),
    /// Set up a sample partner and client on SQLite, show the product at work, and stay up
    Quickstart(quickstart::Options),
    /// Bring the database to the schema of this program
    Migrate(Common),
    /// Make the store another one, after its database was restored from a backup; stop all servers first
    ///
    /// Revision tokens and signed snapshots of before the backup was taken and of after it count the same revisions for
    /// different changes. From here on the old ones are refused, and edges begin anew.
    RenewEpoch(Common),
    /// Look after the audit logs
    #[command(subcommand)]
    Audit(AuditCommand),
    /// Look after usage
    #[command(subcommand)]
    Metering(MeteringCommand),
    /// Look at the configuration
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Check everything that the server needs, and say what to do about what is missing
    Doctor(Common),
}

#[derive(Subcommand)]
enum ConfigCommand {
    /// Print the effective values and where each came from; secrets are masked
    Dump(Common),
    /// Print the documented defaults, a starting point for a file of your own
    Default,
}

#[derive(Subcommand)]
enum AuditCommand {
    /// Compare the tables with what the audit logs say; ends with 0 when they agree and with 3 when they differ
    ///
    /// What differs is printed, and recorded as `audit.divergence` in the log of its scope unless it was before. On SQLite the
    /// server must be stopped first; a running one compares by itself (`audit.reconcile_interval_seconds`).
    Reconcile {
        #[command(flatten)]
        common: Common,
        /// Only this scope: `platform`, `partners/…` or `tenants/…`
        #[arg(long, value_name = "SCOPE")]
        scope: Option<String>,
    },
}

#[derive(Subcommand)]
enum MeteringCommand {
    /// Derive all rollups again from the usage events and compare; ends with 0 when they agree and with 3 when they differ
    ///
    /// On SQLite the server must be stopped first; a running one verifies by itself (`usage.verify_interval_seconds`).
    Verify {
        #[command(flatten)]
        common: Common,
        /// Only this tenant: `tenants/…`
        #[arg(long, value_name = "TENANT")]
        tenant: Option<String>,
    },
}

#[derive(Args, Clone, Default)]
struct Common {
    /// Configuration file (TOML); without it the defaults and the environment count
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Address to listen on; port 0 takes a free one
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
    /// Directory of the embedded database
    #[arg(long, value_name = "DIR")]
    data_dir: Option<String>,
}

/// What goes wrong before and beside the serving, in words.
type Failure = Box<dyn std::error::Error>;

impl Common {
    fn layers(&self) -> Result<Layers, Failure> {
        let overrides: Vec<_> = [("server.listen", &self.listen), ("server.data_dir", &self.data_dir)]
            .into_iter()
            .filter_map(|(key, value)| value.clone().map(|v| (key, v)))
            .collect();
        Ok(Layers::new(DEFAULT_CONFIG, self.config.as_ref(), &overrides)?)
    }

    fn config(&self) -> Result<Config, Failure> {
        Ok(self.layers()?.config()?)
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    // in huge pages the allocator would keep a multiple of what an idle server needs; where it fails, it may
    #[cfg(target_os = "linux")]
    let _ = rustix::thread::disable_transparent_huge_pages(true);
    match run(Cli::parse().command).await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(command: Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Serve(common) => serve(common.config()?).await?,
        Command::Quickstart(options) => quickstart::run(options).await?,
        Command::Migrate(common) => migrate(&common.config()?).await?,
        Command::RenewEpoch(common) => renew_epoch(&common.config()?).await?,
        Command::Audit(AuditCommand::Reconcile { common, scope }) => {
            return Ok(reconcile::run(common.config()?, scope.as_deref()).await?);
        }
        Command::Metering(MeteringCommand::Verify { common, tenant }) => {
            return Ok(verify::run(common.config()?, tenant.as_deref()).await?);
        }
        Command::Config(ConfigCommand::Dump(common)) => print!("{}", common.layers()?.dump()?),
        Command::Config(ConfigCommand::Default) => print!("{DEFAULT_CONFIG}"),
        Command::Doctor(common) => return Ok(doctor::run(common.config()).await),
    }
    Ok(ExitCode::SUCCESS)
}

async fn serve(config: Config) -> Result<(), Failure> {
    // whoever asks it to stop while it starts, or the moment it says that it listens, is heard
    let mut stop = Stop::listen()?;
    let telemetry = Arc::new(Telemetry::start(&config.telemetry)?);
    let running = app::start(config, Clock::System, Arc::clone(&telemetry)).await?;
    if let Some(secret) = access::token::bootstrap::ensure(&running.kernel).await? {
        hand_over(&running.kernel.config, &secret.text)?;
    }
    println!("provostd listens on {}", running.url());
    stop.requested().await;
    running.stop().await;
    telemetry.shutdown();
    Ok(())
}

/// Gives the bootstrap token to whoever started the server: into a file of theirs, or on standard output.
fn hand_over(config: &Config, secret: &str) -> Result<(), Failure> {
    let path = &config.auth.bootstrap_file;
    if path.as_os_str().is_empty() {
        println!("bootstrap token, good once and for 24 hours: {secret}");
        println!(
            "make the first administrator with: provost bootstrap --principal-id ADMIN_ID --token-file -"
        );
        return Ok(());
    }
    server::files::write_private(path, secret)
        .map_err(|e| format!("cannot write `auth.bootstrap_file` `{}`: {e}", path.display()))?;
    println!("bootstrap token, good once and for 24 hours: in {}", path.display());
    Ok(())
}

async fn migrate(config: &Config) -> Result<(), Failure> {
    let db = kernel::db::Db::open(config).await?;
    let (before, after) = db.migrate().await?;
    db.close().await;
    if before == after {
        println!("the schema is at version {after} already; nothing to do");
    } else {
        println!("the schema went from version {before} to {after}");
    }
    Ok(())
}

async fn renew_epoch(config: &Config) -> Result<(), Failure> {
    let db = app::open_database(config).await?;
    let epoch = kernel::revision::epoch_renew(&db, Clock::System.now()).await?;
    db.close().await;
    println!("the store's epoch is now {epoch}; start the servers again");
    Ok(())
}
