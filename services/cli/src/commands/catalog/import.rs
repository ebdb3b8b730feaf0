//! Sends a marketplace, a directory or an archive of it, as a stream and shows what the import did or would do.

use std::{
    fmt::Write as _,
    fs,
    io::Read as _,
    path::{Path, PathBuf},
};

use proto::catalog::v1::{
    DiffKind, ImportArchive, ImportFile, ImportHeader, ImportMarketplaceRequest, ImportMarketplaceResponse,
    PluginDiff, import_marketplace_request::Part,
};
use tokio::sync::mpsc::{Sender, channel};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Status};

use super::{
    Import, client,
    walk::{Entry, MAX_BYTES, unreadable, walk},
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

/// What is sent.
enum Source {
    Directory(Vec<Entry>),
    Archive(PathBuf),
}

impl Source {
    /// What is at `path`, and a note of how much it is.
    fn at(path: &Path) -> Result<(Self, String)> {
        let found = fs::metadata(path).map_err(|e| unreadable(path, &e))?;
        if found.is_file() {
            let bytes = found.len();
            if bytes > MAX_BYTES {
                return Err(Error::Local(format!("`{}` has more than 256 MiB", path.display())));
            }
            let note = format!("sending an archive of {} KiB", bytes.div_ceil(1024));
            return Ok((Self::Archive(path.to_owned()), note));
        }
        let entries = walk(path)?;
        let bytes: u64 = entries.iter().map(|e| e.bytes).sum();
        let note = format!("sending {} files, {} KiB", entries.len(), bytes.div_ceil(1024));
        Ok((Self::Directory(entries), note))
    }
}

/// Imports a marketplace.
pub async fn run(args: &Import, app: &mut App<'_, '_>) -> Result<Exit> {
    let header = ImportHeader {
        initial_stage: args.initial_stage.unwrap_or_default(),
        request_id: args.change.request_id(),
        validate_only: args.change.validate_only,
    };
    let answer = sent(&args.path, &header, app).await?;
    if app.format() != Format::Table {
        return app.changed(args.change.validate_only, &answer);
    }
    app.console.print(&summary(&answer))?;
    if args.change.validate_only {
        app.console.print("valid; nothing was changed\n")?;
    }
    Ok(Exit::OK)
}

/// Says what an import would do.
pub async fn diff(path: &Path, app: &mut App<'_, '_>) -> Result<Exit> {
    let header = ImportHeader { validate_only: true, ..ImportHeader::default() };
    let answer = sent(path, &header, app).await?;
    if app.format() != Format::Table {
        return app.changed(true, &answer);
    }
    app.console.print(&summary(&answer))?;
    app.console.print(&details(&answer.diffs))?;
    Ok(Exit::OK)
}

async fn sent(
    path: &Path,
    header: &ImportHeader,
    app: &mut App<'_, '_>,
) -> Result<ImportMarketplaceResponse> {
    let (source, note) = Source::at(path)?;
    if app.format() == Format::Table {
        app.console.note(&note);
    }
    send(&app.client()?, header, &source).await
}

/// Why a stream ended early: the server's word, or a file of ours.
enum Broken {
    Call(Status),
    File(Error),
}

async fn send(client: &Client, header: &ImportHeader, source: &Source) -> Result<ImportMarketplaceResponse> {
    // The request id makes a second attempt as safe as any other change.
    let attempt = async |link| match stream(link, client.timeout(), header, source).await {
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
    source: &Source,
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
            feed(sender, header, source).await.map_err(Broken::File)?;
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
    source: &Source,
) -> Result<()> {
    let message = |part| ImportMarketplaceRequest { part: Some(part) };
    if sender.send(message(Part::Header(header.clone()))).await.is_err() {
        return Ok(());
    }
    let entries = match source {
        Source::Directory(entries) => entries,
        Source::Archive(path) => return feed_archive(sender, path).await,
    };
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

/// Puts an archive into the stream; the server tells its format by its first bytes.
async fn feed_archive(sender: &Sender<ImportMarketplaceRequest>, path: &Path) -> Result<()> {
    let file = fs::File::open(path).map_err(|e| unreadable(path, &e))?;
    let mut pieces = Pieces { file: Some(file), first: true };
    while let Some(content) = pieces.next(path)? {
        let archive = ImportArchive { content, ..ImportArchive::default() };
        let message = ImportMarketplaceRequest { part: Some(Part::Archive(archive)) };
        if sender.send(message).await.is_err() {
            return Ok(());
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

/// What exactly is new, for people: `+` is there now, `-` is not there any more, `~` is another.
fn details(diffs: &[PluginDiff]) -> String {
    let mut text = String::new();
    for diff in diffs.iter().filter(|diff| diff.kind() != DiffKind::Removed) {
        // Writing into a String cannot fail.
        let _ = writeln!(text, "\n{}", clean(&diff.plugin));
        for change in &diff.changes {
            let (field, old, new) =
                (clean(&change.field), clean(&change.old_value), clean(&change.new_value));
            let line = match change.kind() {
                DiffKind::Added | DiffKind::Unspecified => format!("  + {field}  {new}"),
                DiffKind::Removed => format!("  - {field}  {old}"),
                DiffKind::Changed => format!("  ~ {field}  {old} -> {new}"),
            };
            let _ = writeln!(text, "{}", line.trim_end());
        }
        if diff.changes.is_empty() {
            let _ = writeln!(text, "  ~ files that nothing is read from");
        }
        if diff.omitted_changes > 0 {
            let _ = writeln!(text, "  and {} more", diff.omitted_changes);
        }
    }
    text
}

#[cfg(test)]
mod tests;
