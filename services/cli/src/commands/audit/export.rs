//! Writes events into a file. A stream that breaks is taken up where it ended; what is whole is proved by its SHA-256.

mod parquet;
mod part;

use std::{path::PathBuf, time::Duration};

use clap::Args;
use proto::audit::v1::{ExportAuditEventsRequest, ExportAuditEventsResponse, ExportFormat, ExportManifest};
use tonic::{Request, Streaming};

use super::client;
use crate::{
    app::App,
    args::choice,
    client::{Client, Repeat, is_cut},
    error::{Error, Exit, Result},
    output::{Format, encode, facts},
};
use parquet::Pieces;
use part::{Part, Question, Whole};

/// How often in a row a stream is taken up without having moved.
const MAX_REPEATS: u32 = 3;
/// Pause before a stream is taken up.
const PAUSE: Duration = Duration::from_millis(500);

/// What to write.
#[derive(Args, Debug)]
pub struct Export {
    /// Whose log: `TENANT` or `partners/PARTNER`; --platform for the platform
    parent: Option<String>,
    /// How
    #[arg(long, value_parser = choice("provost.audit.v1.ExportFormat"))]
    format: i32,
    /// The file; FILE.manifest.json says what is in it
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Only what matches, as in `audit search`
    #[arg(long, value_name = "EXPRESSION", default_value = "", hide_default_value = true)]
    filter: String,
    /// Only events with an index below this; all that are in the newest checkpoint by default
    #[arg(long, value_name = "SIZE", default_value_t = 0, hide_default_value = true, value_parser = clap::value_parser!(i64).range(0..))]
    as_of_size: i64,
    /// Go on where the last run of the same export was interrupted
    #[arg(long)]
    resume: bool,
    /// Of a Parquet file, which is of use only when it is whole: fetch so many indexes at a time and put them together. An
    /// interrupted export goes on after the last of them
    #[arg(long, value_name = "INDEXES", default_value_t = 262_144, value_parser = clap::value_parser!(i64).range(1..))]
    piece: i64,
}

/// How a stream ended.
enum Ended {
    /// With its manifest.
    Whole(ExportManifest),
    /// In the middle.
    Cut(Error),
}

/// Writes.
pub async fn run(args: Export, app: &mut App<'_, '_>) -> Result<Exit> {
    let question = Question {
        parent: app.names.scope(args.parent.as_deref())?,
        filter: args.filter,
        format: args.format,
        as_of_size: args.as_of_size,
    };
    let connection = app.client()?;
    let whole = if args.format == i32::from(ExportFormat::Parquet) {
        let pieces = Pieces::open(&args.out, question, (args.piece, args.resume), &connection).await?;
        going_on(app, pieces.next_index());
        pieces.fetch(&connection, app.console).await?
    } else {
        let part =
            if args.resume { Part::resume(&args.out, question)? } else { Part::begin(&args.out, question)? };
        going_on(app, part.next_index());
        in_one(app, &connection, part).await?
    };
    let text = match app.format() {
        Format::Table => facts(&[
            ("file", whole.file.clone()),
            ("events", whole.count.to_string()),
            ("indexes", format!("{} to {}", whole.first_index, whole.last_index)),
            ("as of size", whole.as_of_size.to_string()),
            ("sha256", whole.sha256.clone()),
        ]),
        format => encode(&whole, format)?,
    };
    app.console.print(&text)?;
    Ok(Exit::OK)
}

fn going_on(app: &mut App<'_, '_>, next_index: i64) {
    if next_index > 0 {
        app.console.note(&format!("going on at index {next_index}"));
    }
}

/// Writes a file whose parts are of use by themselves.
async fn in_one(app: &mut App<'_, '_>, connection: &Client, mut part: Part) -> Result<Whole> {
    let mut repeats = 0;
    let manifest = loop {
        let at = part.next_index();
        match write(connection, &mut part).await? {
            Ended::Whole(manifest) => break manifest,
            Ended::Cut(error) => {
                repeats = if part.next_index() > at { 0 } else { repeats + 1 };
                if repeats > MAX_REPEATS {
                    app.console.note("what has arrived is kept; the same command with --resume goes on");
                    return Err(error);
                }
                tokio::time::sleep(PAUSE).await;
                part = part.again()?;
            }
        }
    };
    part.finish(&manifest)
}

/// Takes a stream into the file, up to its end.
async fn write(connection: &Client, part: &mut Part) -> Result<Ended> {
    let mut stream = begin(connection, &part.request()).await?;
    loop {
        let message = match cut(connection, &mut stream).await? {
            Ok(message) => message,
            Err(error) => return Ok(Ended::Cut(error)),
        };
        part.take(&message.data, message.next_index)?;
        if let Some(manifest) = message.manifest {
            return Ok(Ended::Whole(manifest));
        }
    }
}

/// The next message; the inner error is of a stream that was cut.
async fn cut(
    connection: &Client,
    stream: &mut Streaming<ExportAuditEventsResponse>,
) -> Result<Result<ExportAuditEventsResponse>> {
    Ok(match tokio::time::timeout(connection.timeout(), stream.message()).await {
        Ok(Ok(Some(message))) => Ok(message),
        Ok(Err(status)) if !is_cut(&status) => return Err(Error::Api(Box::new(status))),
        Ok(Err(status)) => Err(connection.failed(status)),
        Ok(Ok(None)) => Err(Error::Local("the export ended without its manifest".to_owned())),
        Err(_) => Err(Error::TimedOut { after: connection.timeout() }),
    })
}

async fn begin(
    connection: &Client,
    request: &ExportAuditEventsRequest,
) -> Result<Streaming<ExportAuditEventsResponse>> {
    connection
        .repeated(Repeat::Safe, async |link| {
            Ok(client(link).export_audit_events(Request::new(request.clone())).await?.into_inner())
        })
        .await
}
