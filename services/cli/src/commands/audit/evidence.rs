//! Fetches an evidence pack: one zip file that is verified without us, as `VERIFY.md` in it says.

use std::{
    fs::{self, File},
    io::Write as _,
    path::{Path, PathBuf},
};

use clap::Args;
use jiff::civil::Date;
use prost_types::Timestamp;
use proto::audit::v1::{EvidenceManifest, ExportEvidenceRequest};
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use tonic::Request;

use super::client;
use crate::{
    app::App,
    args::time,
    client::{Client, Repeat},
    error::{Error, Exit, Result},
    output::{Format, encode, facts},
};

/// What to fetch.
#[derive(Args, Debug)]
pub struct Evidence {
    /// Whose log: `TENANT` or `partners/PARTNER`; --platform for the platform
    parent: Option<String>,
    /// Whose controls: `soc2`, `iso27001` or `eu-ai-act`
    #[arg(long)]
    framework: String,
    /// Begin of the period: a day, or `2026-01-01T00:00:00Z`
    #[arg(long, value_name = "TIME", value_parser = time)]
    from: Timestamp,
    /// End of the period: its last day, or a time, exclusive
    #[arg(long, value_name = "TIME", value_parser = end)]
    to: Timestamp,
    /// The file [default: SCOPE-FRAMEWORK.zip]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Prove everything under this size of the log; the same size gives the same pack
    #[arg(long, value_name = "SIZE", default_value_t = 0, hide_default_value = true, value_parser = clap::value_parser!(i64).range(0..))]
    as_of_size: i64,
}

/// What was fetched.
#[derive(Serialize)]
struct Fetched {
    file: String,
    framework: String,
    events: i64,
    controls: Vec<Control>,
    as_of_size: i64,
    bytes: u64,
    sha256: String,
}

/// What there is for a control.
#[derive(Serialize)]
struct Control {
    id: String,
    title: String,
    events: i64,
}

/// The end of a period: a time, or the end of a day.
fn end(text: &str) -> std::result::Result<Timestamp, String> {
    match text.parse::<Date>().ok().filter(|_| !text.contains(['T', 't', ' '])) {
        Some(day) => time(&day.tomorrow().map_err(|_| "is out of range")?.to_string()),
        None => time(text),
    }
}

/// Fetches.
pub async fn run(args: Evidence, app: &mut App<'_, '_>) -> Result<Exit> {
    let parent = app.names.scope(args.parent.as_deref())?;
    let scope = parent.rsplit('/').next().filter(|id| !id.is_empty()).unwrap_or("platform");
    let out = args.out.unwrap_or_else(|| PathBuf::from(format!("{scope}-{}.zip", args.framework)));
    let request = ExportEvidenceRequest {
        parent,
        framework: args.framework,
        start_time: Some(args.from),
        end_time: Some(args.to),
        as_of_size: args.as_of_size,
    };
    let connection = app.client()?;
    let fetched = fetch(&connection, &request, &out).await?;
    let text = match app.format() {
        Format::Table => {
            let mut rows = vec![
                ("file", fetched.file.clone()),
                ("events", fetched.events.to_string()),
                ("as of size", fetched.as_of_size.to_string()),
                ("sha256", fetched.sha256.clone()),
            ];
            let counts = fetched.controls.iter();
            rows.extend(counts.map(|c| (c.id.as_str(), format!("{} events: {}", c.events, c.title))));
            facts(&rows)
        }
        format => encode(&fetched, format)?,
    };
    app.console.print(&text)?;
    app.console.note("note: VERIFY.md in it says how to check all of it without the server");
    Ok(Exit::OK)
}

/// Takes the stream into `FILE.part`, and puts it into its place once it is whole.
async fn fetch(connection: &Client, request: &ExportEvidenceRequest, out: &Path) -> Result<Fetched> {
    let mut part = out.as_os_str().to_owned();
    part.push(".part");
    let part = PathBuf::from(part);
    let fetched = take(connection, request, out, &part).await;
    if fetched.is_err() {
        // a pack is made anew each time: half of one is of no use
        let _ = fs::remove_file(&part);
    }
    fetched
}

async fn take(
    connection: &Client,
    request: &ExportEvidenceRequest,
    out: &Path,
    part: &Path,
) -> Result<Fetched> {
    let begin = connection.repeated(Repeat::Safe, async |link| {
        Ok(client(link).export_evidence(Request::new(request.clone())).await?.into_inner())
    });
    let mut stream = begin.await?;
    let failed = |why: std::io::Error| Error::Local(format!("`{}` cannot be written: {why}", part.display()));
    let mut file = File::create(part).map_err(failed)?;
    let (mut sha256, mut bytes) = (Sha256::new(), 0);
    loop {
        let next = tokio::time::timeout(connection.timeout(), stream.message()).await;
        let next = next.map_err(|_| Error::TimedOut { after: connection.timeout() })?;
        let message = next
            .map_err(|status| connection.failed(status))?
            .ok_or_else(|| Error::Local("the pack ended before it was whole; fetch it again".to_owned()))?;
        sha256.update(&message.data);
        bytes += message.data.len() as u64;
        file.write_all(&message.data).map_err(failed)?;
        let Some(manifest) = message.manifest else { continue };
        if sha256.finalize().as_slice() != manifest.sha256 {
            let message = "what arrived is not what the server says it sent; fetch it again";
            return Err(Error::Unverified(message.to_owned()));
        }
        file.sync_all().and_then(|()| fs::rename(part, out)).map_err(failed)?;
        return Ok(fetched(manifest, out, bytes));
    }
}

fn fetched(manifest: EvidenceManifest, out: &Path, bytes: u64) -> Fetched {
    let controls = manifest.controls.into_iter();
    let digest = tlog::Hash::from_slice(&manifest.sha256);
    Fetched {
        file: out.display().to_string(),
        framework: manifest.framework,
        events: manifest.count,
        controls: controls.map(|c| Control { id: c.control, title: c.title, events: c.count }).collect(),
        as_of_size: manifest.as_of_size,
        bytes,
        sha256: digest.map(|digest| digest.to_hex()).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_period_ends_with_its_last_day_or_at_a_time() {
        assert_eq!(end("2026-03-31").unwrap(), time("2026-04-01T00:00:00Z").unwrap());
        assert_eq!(end("2026-03-31T12:00:00Z").unwrap(), time("2026-03-31T12:00:00Z").unwrap());
        assert!(end("9999-12-31").is_err() && end("soon").is_err());
    }
}
