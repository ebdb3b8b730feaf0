//! Sends a marketplace directory as a stream and shows what the import did.

use std::{fmt::Write as _, io::Read as _, path::Path};

use proto::catalog::v1::{
    ImportFile, ImportHeader, ImportMarketplaceRequest, ImportMarketplaceResponse,
    import_marketplace_request::Part,
};
use tokio::sync::mpsc::{Sender, channel};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Status};

use super::{
    Import, client,
    walk::{Entry, unreadable, walk},
};
use crate::{
    app::App,
    client::{Client, Repeat},
    error::{Error, Exit, Result},
    output::{Format, clean, rows},
};

/// Largest piece of a file in one message, in bytes.
const PIECE_BYTES: u64 = 1024 * 1024;
/// Messages that wait for the connection at most.
const WAITING: usize = 4;

/// Imports a directory.
pub async fn run(args: &Import, app: &mut App<'_, '_>) -> Result<Exit> {
    let entries = walk(&args.dir)?;
    let bytes: u64 = entries.iter().map(|e| e.bytes).sum();
    if app.format() == Format::Table {
        app.console.note(&format!("sending {} files, {} KiB", entries.len(), bytes.div_ceil(1024)));
    }
    let header = ImportHeader {
        initial_stage: args.initial_stage.unwrap_or_default(),
        request_id: args.change.request_id(),
        validate_only: args.change.validate_only,
    };
    let answer = send(&app.client()?, &header, &entries).await?;
    if app.format() != Format::Table {
        return app.changed(args.change.validate_only, &answer);
    }
    app.console.print(&summary(&answer))?;
    if args.change.validate_only {
        app.console.print("valid; nothing was changed\n")?;
    }
    Ok(Exit::OK)
}

/// Why a stream ended early: the server's word, or a file of ours.
enum Broken {
    Call(Status),
    File(Error),
}

async fn send(
    client: &Client,
    header: &ImportHeader,
    entries: &[Entry],
) -> Result<ImportMarketplaceResponse> {
    // The request id makes a second attempt as safe as any other change.
    let attempt = async |link| match stream(link, client.timeout(), header, entries).await {
        Ok(answer) => Ok(Ok(answer)),
        Err(Broken::Call(status)) => Err(status),
        Err(Broken::File(error)) => Ok(Err(error)),
    };
    client.repeated(Repeat::Safe, attempt).await?
}

async fn stream(
    link: crate::client::Link,
    timeout: std::time::Duration,
    header: &ImportHeader,
    entries: &[Entry],
) -> std::result::Result<ImportMarketplaceResponse, Broken> {
    let (sender, receiver) = channel(WAITING);
    let mut sender = Some(sender);
    let mut request = Request::new(ReceiverStream::new(receiver));
    request.set_timeout(timeout);
    let call = async {
        client(link).import_marketplace(request).await.map(tonic::Response::into_inner).map_err(Broken::Call)
    };
    let feed = async {
        if let Some(sender) = &sender {
            feed(sender, header, entries).await.map_err(Broken::File)?;
        }
        // Only now is the stream complete. After an error the sender outlives the call, so that the server never takes
        // half a directory for a whole one.
        sender = None;
        Ok(())
    };
    let (answer, ()) = tokio::try_join!(call, feed)?;
    Ok(answer)
}

/// Puts the header and every piece into the stream. A call that has ended wants no more, which is no error here.
async fn feed(
    sender: &Sender<ImportMarketplaceRequest>,
    header: &ImportHeader,
    entries: &[Entry],
) -> Result<()> {
    let message = |part| ImportMarketplaceRequest { part: Some(part) };
    if sender.send(message(Part::Header(header.clone()))).await.is_err() {
        return Ok(());
    }
    for entry in entries {
        let mut pieces = Pieces::of(entry)?;
        while let Some(content) = pieces.next(&entry.file)? {
            let file = ImportFile { path: entry.path.clone(), content, symlink: entry.symlink };
            if sender.send(message(Part::File(file))).await.is_err() {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// The content of an entry in pieces; at least one, so that an empty file and a link are told too.
struct Pieces {
    file: Option<std::fs::File>,
    first: bool,
}

impl Pieces {
    fn of(entry: &Entry) -> Result<Self> {
        let open = || std::fs::File::open(&entry.file).map_err(|e| unreadable(&entry.file, &e));
        Ok(Self { file: if entry.symlink { None } else { Some(open()?) }, first: true })
    }

    fn next(&mut self, path: &Path) -> Result<Option<Vec<u8>>> {
        let mut piece = Vec::new();
        if let Some(file) = &mut self.file {
            file.take(PIECE_BYTES).read_to_end(&mut piece).map_err(|e| unreadable(path, &e))?;
        }
        let is_one = self.first || !piece.is_empty();
        self.first = false;
        Ok(is_one.then_some(piece))
    }
}

/// What an import did, for people.
fn summary(answer: &ImportMarketplaceResponse) -> String {
    let name = answer.marketplace.as_ref().map(|m| m.name.as_str()).unwrap_or_default();
    let counts = [answer.plugins, answer.apps, answer.skills, answer.mcp_servers].map(|n| n.to_string());
    let changes = [answer.added.len(), answer.changed.len(), answer.removed.len(), answer.skipped.len()];
    let row = [clean(name)].into_iter().chain(counts).chain(changes.map(|n| n.to_string())).collect();
    let mut text = rows(
        &[
            "marketplace",
            "plugins",
            "apps",
            "skills",
            "mcp_servers",
            "added",
            "changed",
            "removed",
            "skipped",
        ],
        vec![row],
    );
    for (what, plugins) in
        [("added", &answer.added), ("changed", &answer.changed), ("removed", &answer.removed)]
    {
        for plugin in plugins {
            // Writing into a String cannot fail.
            let _ = writeln!(text, "{what} {}", clean(plugin));
        }
    }
    for entry in &answer.skipped {
        let _ = writeln!(text, "skipped {}: {}", clean(&entry.entry), clean(&entry.reason));
    }
    text
}

#[cfg(test)]
mod tests;
