//! A Parquet file says at its end what is in it, so that a broken one is worth nothing. It is therefore asked for in pieces,
//! each a whole file for a span of indexes, `FILE.part.0` and on, with `FILE.part.json` for what is there; in the end their
//! row groups are put into one file as they are. What was interrupted goes on after the last whole piece.

use std::{
    fs::{self, File},
    io::{self, Read as _, Write as _},
    path::Path,
    sync::Arc,
};

use parquet::{
    column::writer::ColumnCloseResult,
    errors::ParquetError,
    file::{
        properties::WriterProperties,
        reader::{FileReader as _, SerializedFileReader},
        writer::SerializedFileWriter,
    },
};
use proto::audit::v1::{ExportAuditEventsRequest, ExportManifest, GetAuditLogRequest};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{
    MAX_REPEATS, PAUSE, begin, cut,
    part::{Question, Whole, beside, failed},
};
use crate::{
    client::{Client, Repeat},
    commands::audit::client,
    console::Console,
    error::{Error, Result},
};

/// What is there of an export.
#[derive(Serialize, Deserialize)]
struct State {
    question: Question,
    /// The log is exported up to here, exclusive.
    size: i64,
    /// The first index that retention has left.
    first: i64,
    pieces: Vec<Piece>,
}

/// A whole file for a span of indexes.
#[derive(Clone, Serialize, Deserialize)]
struct Piece {
    /// Events with an index below this are in it or in an earlier one.
    below: i64,
    count: i64,
    first_index: i64,
    last_index: i64,
    /// Of the file, in hex.
    sha256: String,
    checkpoint: String,
}

/// An export in pieces.
pub struct Pieces<'o> {
    out: &'o Path,
    /// Indexes in a piece.
    width: i64,
    state: State,
}

impl<'o> Pieces<'o> {
    /// Goes on where the same question was interrupted, if that is wanted and there is something; or begins.
    pub async fn open(
        out: &'o Path,
        question: Question,
        (width, resume): (i64, bool),
        connection: &Client,
    ) -> Result<Self> {
        let note = beside(out, "part.json");
        if resume && note.exists() {
            let other = |why: &str| {
                Error::Usage(format!("`{}` {why}; leave --resume out to begin anew", note.display()))
            };
            let text = fs::read(&note).map_err(|e| failed(&note, &e))?;
            let state: State = serde_json::from_slice(&text).map_err(|_| other("cannot be understood"))?;
            if state.question != question {
                return Err(other("is of an export with other arguments"));
            }
            return Ok(Self { out, width, state });
        }
        let name = match question.parent.as_str() {
            "" => "auditLog".to_owned(),
            parent => format!("{parent}/auditLog"),
        };
        let request = GetAuditLogRequest { name };
        let log =
            connection.call(Repeat::Safe, &request, async |l, r| client(l).get_audit_log(r).await).await?;
        let size = if question.as_of_size == 0 { log.size } else { question.as_of_size };
        let pieces = Self {
            out,
            width,
            state: State { question, size, first: log.minimum_index, pieces: Vec::new() },
        };
        pieces.clear()?;
        pieces.note()?;
        Ok(pieces)
    }

    /// Where it goes on.
    pub fn next_index(&self) -> i64 {
        self.state.pieces.last().map_or(0, |piece| piece.below)
    }

    /// Fetches what is missing and puts the file in its place, with its manifest.
    pub async fn fetch(mut self, connection: &Client, console: &mut Console<'_>) -> Result<Whole> {
        while self.state.pieces.is_empty() || self.next_index() < self.state.size {
            let from = self.next_index().max(self.state.first);
            let below = self.state.size.min(from.saturating_add(self.width));
            let mut repeats = 0;
            let manifest = loop {
                match self.piece(connection, (from, below)).await? {
                    Ok(manifest) => break manifest,
                    Err(error) if repeats == MAX_REPEATS => {
                        console.note("what has arrived is kept; the same command with --resume goes on");
                        return Err(error);
                    }
                    Err(_) => repeats += 1,
                }
                tokio::time::sleep(PAUSE).await;
            };
            self.state.pieces.push(manifest);
            self.note()?;
        }
        let whole = self.join()?;
        whole.write(self.out)?;
        fs::remove_file(beside(self.out, "part.json")).map_err(|e| failed(self.out, &e))?;
        self.clear()?;
        Ok(whole)
    }

    /// Fetches one piece; the inner error is of a stream that was cut.
    async fn piece(&self, connection: &Client, (from, below): (i64, i64)) -> Result<Result<Piece>> {
        let Question { parent, filter, format, .. } = self.state.question.clone();
        let request =
            ExportAuditEventsRequest { parent, filter, format, from_index: from, as_of_size: below };
        let path = self.path(self.state.pieces.len());
        let mut file = File::create(&path).map_err(|e| failed(&path, &e))?;
        let mut sha256 = Sha256::new();
        let mut stream = begin(connection, &request).await?;
        let manifest: ExportManifest = loop {
            let message = match cut(connection, &mut stream).await? {
                Ok(message) => message,
                Err(error) => return Ok(Err(error)),
            };
            sha256.update(&message.data);
            file.write_all(&message.data).map_err(|e| failed(&path, &e))?;
            if let Some(manifest) = message.manifest {
                break manifest;
            }
        };
        if sha256.finalize().as_slice() != manifest.sha256 {
            return Err(unlike());
        }
        file.sync_all().map_err(|e| failed(&path, &e))?;
        let sha256 = digest(&path)?;
        let ExportManifest { count, first_index, last_index, checkpoint, .. } = manifest;
        Ok(Ok(Piece { below, count, first_index, last_index, sha256, checkpoint }))
    }

    /// Puts the pieces into one file: one alone is it already.
    fn join(&self) -> Result<Whole> {
        let State { question, size, pieces, .. } = &self.state;
        for (n, piece) in pieces.iter().enumerate() {
            if digest(&self.path(n))? != piece.sha256 {
                return Err(unlike());
            }
        }
        let draft = match pieces.len() {
            1 => self.path(0),
            _ => self.joined().map_err(|e| failed(self.out, &io::Error::other(e)))?,
        };
        let bytes = fs::metadata(&draft).map_err(|e| failed(&draft, &e))?.len();
        let sha256 = digest(&draft)?;
        fs::rename(&draft, self.out).map_err(|e| failed(self.out, &e))?;
        let found = || pieces.iter().filter(|piece| piece.count > 0);
        Ok(Whole {
            file: self.out.display().to_string(),
            format: "PARQUET".to_owned(),
            filter: question.filter.clone(),
            count: pieces.iter().map(|piece| piece.count).sum(),
            first_index: found().next().map_or(-1, |piece| piece.first_index),
            last_index: found().next_back().map_or(-1, |piece| piece.last_index),
            as_of_size: *size,
            bytes,
            sha256,
            checkpoint: pieces.last().map(|piece| piece.checkpoint.clone()).unwrap_or_default(),
        })
    }

    /// The row groups of all pieces, copied as they are.
    fn joined(&self) -> std::result::Result<std::path::PathBuf, ParquetError> {
        let draft = beside(self.out, "part");
        let mut writer = None;
        for n in 0..self.state.pieces.len() {
            let input = File::open(self.path(n))?;
            let reader = SerializedFileReader::new(input.try_clone()?)?;
            let file = reader.metadata().file_metadata();
            let writer = match &mut writer {
                Some(writer) => writer,
                none => {
                    let schema = file.schema_descr().root_schema_ptr();
                    let properties = WriterProperties::builder()
                        .set_created_by(file.created_by().unwrap_or_default().to_owned())
                        .set_key_value_metadata(file.key_value_metadata().cloned())
                        .build();
                    none.insert(SerializedFileWriter::new(
                        File::create(&draft)?,
                        schema,
                        Arc::new(properties),
                    )?)
                }
            };
            for group in reader.metadata().row_groups() {
                let mut copy = writer.next_row_group()?;
                for column in group.columns() {
                    let close = ColumnCloseResult {
                        bytes_written: column.compressed_size().unsigned_abs(),
                        rows_written: group.num_rows().unsigned_abs(),
                        metadata: column.clone(),
                        bloom_filter: None,
                        column_index: None,
                        offset_index: None,
                    };
                    copy.append_column(&input, close)?;
                }
                copy.close()?;
            }
        }
        if let Some(writer) = writer {
            writer.into_inner()?.sync_all()?;
        }
        Ok(draft)
    }

    fn path(&self, piece: usize) -> std::path::PathBuf {
        beside(self.out, &format!("part.{piece}"))
    }

    /// Writes down what is there.
    fn note(&self) -> Result<()> {
        let (path, draft) = (beside(self.out, "part.json"), beside(self.out, "part.json.new"));
        let text = serde_json::to_string(&self.state).map_err(|e| failed(&path, &io::Error::other(e)))?;
        fs::write(&draft, text).and_then(|()| fs::rename(&draft, &path)).map_err(|e| failed(&path, &e))
    }

    /// Removes pieces that are there.
    fn clear(&self) -> Result<()> {
        for path in (0..).map(|n| self.path(n)).take(self.state.pieces.len().max(1)) {
            match fs::remove_file(&path) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(failed(&path, &e)),
                _ => {}
            }
        }
        Ok(())
    }
}

/// SHA-256 of a file, in hex.
fn digest(path: &Path) -> Result<String> {
    let mut file = File::open(path).map_err(|e| failed(path, &e))?;
    let (mut sha256, mut piece) = (Sha256::new(), vec![0; 64 * 1024]);
    loop {
        match file.read(&mut piece).map_err(|e| failed(path, &e))? {
            0 => return Ok(tlog::Hash(sha256.finalize().into()).to_hex()),
            read => sha256.update(piece.get(..read).unwrap_or_default()),
        }
    }
}

fn unlike() -> Error {
    Error::Unverified(
        "what arrived is not what the server says it sent; export again without --resume".to_owned(),
    )
}
