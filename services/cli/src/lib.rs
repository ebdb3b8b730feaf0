//! The command line of Provost: the same calls that everybody can make, over gRPC; a log's files over plain HTTP.
//!
//! A command is read by [`args`] and a file in [`commands`], which builds the request; [`app`] sends it through [`client`]
//! and shows the answer through [`output`]. [`names`] understands short names and [`error`] says what went wrong and what
//! to do next.

pub mod ambient;
pub mod app;
pub mod args;
pub mod cli;
pub mod client;
pub mod commands;
pub mod console;
pub mod context;
pub mod error;
pub mod http;
pub mod names;
pub mod output;
#[cfg(test)]
pub(crate) mod tests;

use std::ffi::OsString;

use clap::Parser as _;

use crate::{app::App, cli::Cli};
pub use crate::{console::Console, error::Exit};

/// Runs one command line, the name of the program included, and returns its exit code.
pub async fn run(
    args: impl IntoIterator<Item = impl Into<OsString> + Clone>,
    mut console: Console<'_>,
) -> Exit {
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => return console.usage(&error),
    };
    let local = cli.is_local();
    let result = match App::new(cli.global, local, &mut console) {
        Ok(mut app) => commands::run(cli.command, &mut app).await,
        Err(error) => Err(error),
    };
    match result {
        Ok(exit) => exit,
        Err(error) => {
            error.report(console.err);
            error.exit()
        }
    }
}
