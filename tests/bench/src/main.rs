//! Figures as ratios to a floor measured in the same run.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    clippy::too_many_lines,
    reason = "a bench that cannot go on stops; figures are rounded for people"
)]

mod adoption;
mod audit;
mod create_role;
mod decide;
mod floor;
mod get_role;
mod ingest;
mod load;
mod otlp;
mod startup;

use clap::{Parser, ValueEnum};
use serde_json::json;

/// The server's own.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measures Provost on this machine. Client and server share its cores: compare ratios, not absolutes.
#[derive(Parser)]
struct Args {
    /// What to measure
    name: Bench,
    /// Which engine
    #[arg(long, default_value = "sqlite")]
    engine: Engine,
    /// Print one JSON object `{bench, engine, figures}`
    #[arg(long)]
    json: bool,
    /// Seconds a round; every figure is the median of the rounds
    #[arg(long, default_value_t = 3)]
    seconds: u64,
    /// Rounds; floor and subject alternate
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Events in the log that is searched and exported
    #[arg(long, default_value_t = 1_000_000)]
    events: usize,
    /// Rules of the tenant that is decided about
    #[arg(long, default_value_t = 100_000)]
    rules: u32,
    /// People whose year of use is asked about
    #[arg(long, default_value_t = 10_000)]
    people: u64,
}

#[derive(Clone, Copy, ValueEnum)]
enum Bench {
    /// An empty tonic echo
    UnaryFloor,
    /// `RoleService.GetRole`, against the empty echo
    GetRole,
    /// `RoleService.CreateRole` with 64 writers, against the engine's own group-committed rows
    CreateRole,
    /// Start-up to SERVING on an existing database, and idle memory
    Startup,
    /// Decisions: in process, over gRPC, on another server; with `--features peers` beside casbin and Cedar
    Decide,
    /// Usage events over gRPC into a server of its own, against the same rows inserted by hand
    Ingest,
    /// A year of many people into a server of its own, and `QueryAdoption` and `provost usage adoption` about it
    Adoption,
    /// The audit log: latency to a checkpoint, search, export, cost of recording
    Audit,
    /// Telemetry of the real clients: decoded and turned into events, a core
    Otlp,
}

#[derive(Clone, Copy, ValueEnum)]
enum Engine {
    /// Embedded
    Sqlite,
    /// Shared
    Postgres,
}

impl From<Engine> for tests::Engine {
    fn from(engine: Engine) -> Self {
        match engine {
            Engine::Sqlite => Self::Sqlite,
            Engine::Postgres => Self::Postgres,
        }
    }
}

#[tokio::main]
async fn main() {
    // as the server does
    #[cfg(target_os = "linux")]
    let _ = rustix::thread::disable_transparent_huge_pages(true);
    let args = Args::parse();
    let plan = load::Plan { seconds: args.seconds, rounds: args.rounds };
    let figures = match args.name {
        Bench::UnaryFloor => floor::run(plan).await,
        Bench::GetRole => get_role::run(args.engine.into(), plan).await,
        Bench::CreateRole => create_role::run(args.engine.into(), plan).await,
        Bench::Startup => startup::run().await,
        Bench::Decide => decide::run(args.engine.into(), plan, args.rules).await,
        Bench::Ingest => ingest::run(args.engine.into(), args.seconds).await,
        Bench::Adoption => adoption::run(args.engine.into(), args.people).await,
        Bench::Audit => audit::run(args.engine.into(), args.events).await,
        Bench::Otlp => otlp::run(plan),
    };
    let bench = args.name.to_possible_value().unwrap().get_name().to_owned();
    let engine = args.engine.to_possible_value().unwrap().get_name().to_owned();
    if args.json {
        println!("{}", json!({"bench": bench, "engine": engine, "figures": figures}));
        return;
    }
    println!("{bench} on {engine}");
    for (name, value) in figures.as_object().into_iter().flatten() {
        println!("  {name:<12} {value}");
    }
}
