//! `provost health`.

use std::pin::pin;

use clap::Args;
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use crate::{
    app::{App, WATCH_PERIOD},
    args::WatchArgs,
    client::Repeat,
    error::{Exit, Result},
    output::{Format, clean, encode},
};

/// A question to the server's health.
#[derive(Args, Debug)]
#[command(after_help = "Exit code: 0 when it serves, 8 when it does not, others as in `provost --help`.")]
pub struct Health {
    /// One service, for example `provost.role.v1.RoleService`; the whole server by default
    #[arg(default_value = "", hide_default_value = true)]
    service: String,
    #[command(flatten)]
    watch: WatchArgs,
}

/// Asks, and with `--watch` follows every change; a server that cannot be reached is then a state, not the end.
pub async fn run(args: Health, app: &mut App<'_, '_>) -> Result<Exit> {
    let mut stop = pin!(tokio::signal::ctrl_c());
    let (mut shown, mut exit) = ("", Exit::OK);
    loop {
        let answer = tokio::select! {
            // Whoever watches ends it this way; the last state is the answer.
            _ = &mut stop, if args.watch.watch => return Ok(exit),
            answer = ask(&args.service, app) => answer,
        };
        let status;
        (status, exit) = match answer {
            Ok(ServingStatus::Serving) => ("SERVING", Exit::OK),
            Ok(ServingStatus::ServiceUnknown) => ("SERVICE_UNKNOWN", Exit::NOT_FOUND),
            Ok(ServingStatus::NotServing | ServingStatus::Unknown) => ("NOT_SERVING", Exit::UNAVAILABLE),
            Err(error) if args.watch.watch && error.exit() == Exit::UNAVAILABLE => {
                ("UNREACHABLE", Exit::UNAVAILABLE)
            }
            Err(error) => return Err(error),
        };
        if shown != status {
            show(&args.service, status, app)?;
            shown = status;
        }
        if !args.watch.watch {
            return Ok(exit);
        }
        tokio::select! {
            _ = &mut stop => return Ok(exit),
            () = tokio::time::sleep(WATCH_PERIOD) => {}
        }
    }
}

fn show(service: &str, status: &str, app: &mut App<'_, '_>) -> Result<()> {
    let text = match app.format() {
        Format::Table if service.is_empty() => format!("{status}\n"),
        Format::Table => format!("{}: {status}\n", clean(service)),
        format => encode(&serde_json::json!({ "service": service, "status": status }), format)?,
    };
    app.console.print(&text)
}

async fn ask(service: &str, app: &mut App<'_, '_>) -> Result<ServingStatus> {
    let request = HealthCheckRequest { service: service.to_owned() };
    let client = app.client()?;
    let answer =
        client.call(Repeat::Safe, &request, async |l, r| HealthClient::new(l).check(r).await).await?;
    Ok(answer.status())
}
