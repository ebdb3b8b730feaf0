//! `provost`: the command line of Provost.

use std::{
    io::{self, IsTerminal as _},
    process::ExitCode,
};

use cli::Console;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let console = Console {
        out: &mut io::stdout(),
        err: &mut io::stderr(),
        input: &mut io::stdin().lock(),
        interactive: io::stdin().is_terminal(),
        env: &|key| std::env::var(key).ok().filter(|value| !value.is_empty()),
    };
    ExitCode::from(cli::run(std::env::args_os(), console).await.0)
}
