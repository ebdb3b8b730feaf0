//! `provostd quickstart`: a sample partner and client on SQLite, through the same wire that everybody uses; only marketplaces
//! are imported by the use case itself, in process.
//!
//! Every step asks before it creates, so a second run on the same directory changes nothing and counts nothing twice.

use std::{path::PathBuf, sync::Arc};

use clap::Args;
use kernel::{clock::Clock, config::Layers, telemetry::Telemetry};

use crate::{DEFAULT_CONFIG, app, signal::Stop};

mod catalog;
mod client;
mod decisions;
mod people;
mod report;
mod sample;
mod usage;

/// What stops a quickstart, in words.
pub type Failure = Box<dyn std::error::Error>;

/// How a quickstart is asked for.
#[derive(Args, Debug, Clone)]
pub struct Options {
    /// Import this marketplace directory instead of the built-in one; repeat for several
    #[arg(long, value_name = "DIR")]
    marketplace: Vec<PathBuf>,
    /// Send the captured OTLP/HTTP JSON log requests of this directory instead of the built-in sample; repeat for several
    #[arg(long, value_name = "DIR")]
    otlp: Vec<PathBuf>,
    /// Where the database and the tokens go
    #[arg(long, value_name = "DIR", default_value = "./provost-data")]
    data_dir: PathBuf,
    /// Address to listen on; port 0 takes a free one, and the real one is printed
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:7443")]
    listen: String,
    /// Stop after the report instead of staying up
    #[arg(long)]
    exit: bool,
    /// Print the report as one JSON object; progress goes to standard error
    #[arg(long)]
    json: bool,
}

/// Says what is being done, where it does not get into the report's way.
#[derive(Clone, Copy)]
pub struct Progress {
    json: bool,
}

impl Progress {
    fn step(self, text: &str) {
        if self.json {
            eprintln!("… {text}");
        } else {
            println!("… {text}");
        }
    }
}

/// Runs it.
pub async fn run(options: Options) -> Result<(), Failure> {
    let progress = Progress { json: options.json };
    let mut stop = Stop::listen()?;
    let config = layers(&options)?.config()?;
    let telemetry = Arc::new(Telemetry::start(&config.telemetry)?);
    progress.step(&format!("starting on SQLite in `{}`", options.data_dir.display()));
    let running = app::start(config, Clock::System, Arc::clone(&telemetry)).await?;
    let told = tokio::select! {
        told = tell(&running, &options, progress) => Some(told),
        () = stop.requested() => None,
    };
    let outcome = match told {
        None => Err("stopped before the story was told; run it again on the same directory".into()),
        Some(Ok(())) if !options.exit => {
            stop.requested().await;
            Ok(())
        }
        Some(told) => told,
    };
    running.stop().await;
    telemetry.shutdown();
    outcome
}

/// Works through the story and prints the report.
async fn tell(running: &app::Running, options: &Options, progress: Progress) -> Result<(), Failure> {
    let people = people::provision(running, &options.data_dir, progress).await?;
    let (catalog, marketplaces) = catalog::import(running, &people, &options.marketplace, progress).await?;
    decisions::entitle(&people, &catalog, progress).await?;
    people::go_live(&people).await?;
    let decisions = decisions::check(&people, &catalog, progress).await?;
    usage::send(running, &people, &options.otlp, progress).await?;
    let usage = usage::by_role(&people).await?;
    let audit = report::trail(&people).await?;
    let report = report::Report::new(marketplaces, decisions, usage, &audit);
    if options.json {
        println!("{}", serde_json::to_string(&report)?);
    } else {
        report.print(&audit);
        report::print_next(running, &options.data_dir, options.exit);
    }
    Ok(())
}

/// SQLite whatever the environment says, quiet logs, and captures of any age.
fn layers(options: &Options) -> Result<Layers, Failure> {
    let mut overrides = vec![
        ("server.listen", options.listen.clone()),
        ("server.data_dir", options.data_dir.display().to_string()),
        ("database.url", String::new()),
        ("database.url_file", String::new()),
        ("telemetry.log", "warn".to_owned()),
        ("telemetry.log_format", "text".to_owned()),
    ];
    if !options.otlp.is_empty() {
        overrides.push(("usage.accept_past_days", "36500".to_owned()));
    }
    Ok(Layers::new(DEFAULT_CONFIG, None, &overrides)?)
}
