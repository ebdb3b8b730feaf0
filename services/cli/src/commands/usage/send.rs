//! Sends usage events from a file: for gateways that write one, and for trying things out.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    io::Read as _,
    path::{Path, PathBuf},
};

use clap::Args;
use prost_reflect::DynamicMessage;
use proto::usage::v1::{EventOutcome, EventStatus, IngestRequest, IngestResponse, UsageEvent};
use tonic::{Request, Status};

use super::client;
use crate::{
    app::App,
    client::Repeat,
    error::{Error, Exit, Result},
    output::{Format, clean, descriptor},
};

/// Events in a batch.
pub(super) const BATCH: usize = 1_000;
/// Refused events that are named.
const NAMED: usize = 10;

/// What to send.
#[derive(Args, Debug)]
pub struct Send {
    /// File with one event a line, in JSON as the contract has it (`provost.usage.v1.UsageEvent`); `-` reads standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

/// Sends a file; what was refused is named, and the rest counts. Sent again, it counts nothing twice.
pub(super) async fn run(args: &Send, app: &mut App<'_, '_>) -> Result<Exit> {
    let events = read(&args.file)?;
    let (server, mut statuses) = (app.client()?, Vec::with_capacity(events.len()));
    for events in events.chunks(BATCH) {
        let batch = IngestRequest { batch_id: String::new(), events: events.to_vec() };
        // the dedupe key of every event makes a second attempt safe
        let attempt = async |link| {
            let mut request = Request::new(tokio_stream::iter([batch.clone()]));
            request.set_timeout(server.timeout());
            let mut answers = client(link).ingest(request).await?.into_inner();
            let answer = answers.message().await?;
            answer.ok_or_else(|| Status::unavailable("the stream ended without an answer"))
        };
        statuses.extend(server.repeated(Repeat::Safe, attempt).await?.statuses);
    }
    if app.format() == Format::Table {
        app.console.print(&summary(&events, &statuses))?;
        return Ok(Exit::OK);
    }
    app.changed(false, &IngestResponse { batch_id: String::new(), statuses })
}

/// The events of a file, one a line.
pub(super) fn read(file: &Path) -> Result<Vec<UsageEvent>> {
    let path = file.display();
    let mut text = String::new();
    let got = match file.to_str() {
        Some("-") => std::io::stdin().read_to_string(&mut text),
        _ => fs::File::open(file).and_then(|mut file| file.read_to_string(&mut text)),
    };
    got.map_err(|e| Error::Local(format!("cannot read `{path}`: {e}")))?;
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let parse = |(n, line): (usize, &str)| {
        event(line).map_err(|e| Error::Local(format!("line {} of `{path}` is no usage event: {e}", n + 1)))
    };
    lines.map(parse).collect()
}

fn event(line: &str) -> std::result::Result<UsageEvent, String> {
    let descriptor = descriptor("provost.usage.v1.UsageEvent")
        .map_err(|_| "this build does not know usage events".to_owned())?;
    let document = serde_norway::Deserializer::from_str(line);
    let message = DynamicMessage::deserialize(descriptor, document).map_err(|e| e.to_string())?;
    message.transcode_to().map_err(|e| e.to_string())
}

/// How many of each outcome, and the first that were refused.
pub(super) fn summary(events: &[UsageEvent], statuses: &[EventStatus]) -> String {
    let mut counts = BTreeMap::<&str, usize>::new();
    let mut refused = String::new();
    let mut named = 0;
    for (event, status) in events.iter().zip(statuses) {
        let outcome = status.outcome();
        let word = outcome.as_str_name().trim_start_matches("EVENT_OUTCOME_");
        *counts.entry(word).or_default() += 1;
        if matches!(outcome, EventOutcome::Rejected | EventOutcome::Conflict) && named < NAMED {
            named += 1;
            let why = if status.message.is_empty() { "is known with other content" } else { &status.message };
            // writing to a string does not fail
            let _ =
                writeln!(refused, "  {} {} {}: {}", clean(&event.id), status.code, status.field, clean(why));
        }
    }
    let mut text = String::new();
    for (word, count) in counts {
        let _ = writeln!(text, "{count} {word}");
    }
    text + &refused
}
