//! A file that is being written: `FILE.part` with what has arrived, `FILE.part.json` with where to go on, and in the end
//! `FILE` and `FILE.manifest.json`.

use std::{
    fs::{self, File},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
};

use proto::audit::v1::{ExportAuditEventsRequest, ExportFormat, ExportManifest};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::error::{Error, Result};

/// What was asked for: the same question goes on where it was interrupted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    /// Whose log.
    pub parent: String,
    /// Which events.
    pub filter: String,
    /// Number of the format.
    pub format: i32,
    /// Upper bound, or 0.
    pub as_of_size: i64,
}

/// Where to go on.
#[derive(Serialize, Deserialize)]
struct State {
    question: Question,
    next_index: i64,
    /// Of the file, these are whole.
    bytes: u64,
}

/// What is in a finished file.
#[derive(Debug, Serialize)]
pub struct Whole {
    /// The file.
    pub file: String,
    /// As an export format is called.
    pub format: String,
    /// Which events.
    pub filter: String,
    /// Events in it.
    pub count: i64,
    /// Index of the first event; -1 when there is none.
    pub first_index: i64,
    /// Index of the last event; -1 when there is none.
    pub last_index: i64,
    /// Events with a lower index were considered.
    pub as_of_size: i64,
    /// Length of the file.
    pub bytes: u64,
    /// Of the file, in hex.
    pub sha256: String,
    /// Covers `as_of_size`.
    pub checkpoint: String,
}

/// A file that is being written.
pub struct Part {
    out: PathBuf,
    question: Question,
    file: File,
    /// Everything in the file.
    whole: Digest,
    /// Everything that came with the present stream.
    stream: Sha256,
    /// Whether the stream was begun at the beginning of the export.
    from_start: bool,
    /// Whether the stream's own header still has to go: the file has one.
    header: bool,
    next_index: i64,
}

/// Length, hash and events of a file, as far as it is written.
#[derive(Default)]
struct Digest {
    format: ExportFormat,
    sha256: Sha256,
    bytes: u64,
    /// Ended records, the header of CSV included.
    records: i64,
    quoted: bool,
    /// The record that has not ended.
    record: Vec<u8>,
    /// The first and the last record of an event.
    first: Vec<u8>,
    last: Vec<u8>,
}

impl Digest {
    fn of(format: i32) -> Self {
        Self { format: ExportFormat::try_from(format).unwrap_or_default(), ..Self::default() }
    }

    /// Records that are no events.
    fn headers(&self) -> i64 {
        i64::from(self.format == ExportFormat::Csv)
    }

    fn take(&mut self, bytes: &[u8]) {
        self.sha256.update(bytes);
        self.bytes += bytes.len() as u64;
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            // in CSV a line feed between quotes belongs to a value (RFC 4180)
            if self.format == ExportFormat::Csv {
                self.quoted = piece.iter().fold(self.quoted, |quoted, byte| quoted != (*byte == b'"'));
            }
            self.record.extend_from_slice(piece);
            if piece.ends_with(b"\n") && !self.quoted {
                self.end_record();
            }
        }
    }

    fn end_record(&mut self) {
        self.records += 1;
        std::mem::swap(&mut self.last, &mut self.record);
        self.record.clear();
        if self.records == self.headers() + 1 {
            self.first.clone_from(&self.last);
        }
    }

    /// Events, the first and the last index; none for a format that only the server can read.
    fn events(&self) -> Option<(i64, i64, i64)> {
        let count = self.records - self.headers();
        match (self.format, count) {
            (ExportFormat::Unspecified, _) => None,
            (_, ..=0) => Some((0, -1, -1)),
            _ => Some((count, index_in(self.format, &self.first)?, index_in(self.format, &self.last)?)),
        }
    }
}

/// The index that a record says.
fn index_in(format: ExportFormat, record: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(record).ok()?;
    let pointer = match format {
        ExportFormat::Csv => return text.split(',').next()?.parse().ok(),
        ExportFormat::Ocsf => "/metadata/sequence",
        _ => "/index",
    };
    serde_json::from_str::<serde_json::Value>(text).ok()?.pointer(pointer)?.as_i64()
}

impl Part {
    /// Begins anew.
    pub fn begin(out: &Path, question: Question) -> Result<Self> {
        let path = beside(out, "part");
        let file = File::create(&path).map_err(|e| failed(&path, &e))?;
        let digest = Digest::of(question.format);
        Self::on(out, question, file, digest, 0)
    }

    /// Goes on where the same question was interrupted, or begins.
    pub fn resume(out: &Path, question: Question) -> Result<Self> {
        let note = beside(out, "part.json");
        let text = match fs::read(&note) {
            Ok(text) => text,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Self::begin(out, question),
            Err(e) => return Err(failed(&note, &e)),
        };
        let other =
            |why: &str| Error::Usage(format!("`{}` {why}; leave --resume out to begin anew", note.display()));
        let state: State = serde_json::from_slice(&text).map_err(|_| other("cannot be understood"))?;
        if state.question != question {
            return Err(other("is of an export with other arguments"));
        }
        let path = beside(out, "part");
        let mut file = File::options().read(true).write(true).open(&path).map_err(|e| failed(&path, &e))?;
        let mut digest = Digest::of(question.format);
        let mut rest = (&mut file).take(state.bytes);
        let mut piece = vec![0; 64 * 1024];
        loop {
            let read = rest.read(&mut piece).map_err(|e| failed(&path, &e))?;
            if read == 0 {
                break;
            }
            digest.take(piece.get(..read).unwrap_or_default());
        }
        if digest.bytes < state.bytes {
            return Err(other("says more than there is in the file"));
        }
        let end = file.set_len(state.bytes).and_then(|()| file.seek(SeekFrom::End(0)));
        end.map_err(|e| failed(&path, &e))?;
        Self::on(out, question, file, digest, state.next_index)
    }

    /// Goes on after the stream was cut.
    pub fn again(self) -> Result<Self> {
        let Self { out, question, .. } = self;
        Self::resume(&out, question)
    }

    fn on(out: &Path, question: Question, file: File, whole: Digest, next_index: i64) -> Result<Self> {
        let header = whole.headers() > 0 && whole.bytes > 0;
        let part = Self {
            out: out.to_owned(),
            question,
            file,
            whole,
            stream: Sha256::new(),
            from_start: next_index == 0,
            header,
            next_index,
        };
        part.note()?;
        Ok(part)
    }

    /// Where to go on; 0 is the beginning.
    pub fn next_index(&self) -> i64 {
        self.next_index
    }

    /// What to ask for.
    pub fn request(&self) -> ExportAuditEventsRequest {
        let Question { parent, filter, format, as_of_size } = self.question.clone();
        ExportAuditEventsRequest { parent, filter, format, as_of_size, from_index: self.next_index }
    }

    /// Takes a chunk; `next_index` is where to go on after it, or 0 when nobody can.
    pub fn take(&mut self, chunk: &[u8], next_index: i64) -> Result<()> {
        self.stream.update(chunk);
        let mut rest = chunk;
        if self.header {
            let end = rest.iter().position(|byte| *byte == b'\n');
            self.header = end.is_none();
            rest = rest.get(end.map_or(rest.len(), |end| end + 1)..).unwrap_or_default();
        }
        let path = beside(&self.out, "part");
        self.file.write_all(rest).map_err(|e| failed(&path, &e))?;
        self.whole.take(rest);
        if next_index > 0 {
            self.next_index = next_index;
            self.note()?;
        }
        Ok(())
    }

    /// Writes down where to go on.
    fn note(&self) -> Result<()> {
        let (path, draft) = (beside(&self.out, "part.json"), beside(&self.out, "part.json.new"));
        let state =
            State { question: self.question.clone(), next_index: self.next_index, bytes: self.whole.bytes };
        let text = serde_json::to_string(&state).map_err(|e| failed(&path, &io::Error::other(e)))?;
        fs::write(&draft, text).and_then(|()| fs::rename(&draft, &path)).map_err(|e| failed(&path, &e))
    }

    /// Proves that the stream arrived whole and puts the file in its place, with its manifest.
    pub fn finish(self, manifest: &ExportManifest) -> Result<Whole> {
        let path = beside(&self.out, "part");
        let said = (manifest.count, manifest.first_index, manifest.last_index);
        let events = self.whole.events().unwrap_or(said);
        if self.stream.finalize().as_slice() != manifest.sha256 || (self.from_start && events != said) {
            return Err(Error::Unverified(
                "what arrived is not what the server says it sent; export again without --resume".to_owned(),
            ));
        }
        let (count, first_index, last_index) = events;
        let whole = Whole {
            file: self.out.display().to_string(),
            format: self.whole.format.as_str_name().replace("EXPORT_FORMAT_", ""),
            filter: self.question.filter,
            count,
            first_index,
            last_index,
            as_of_size: manifest.as_of_size,
            bytes: self.whole.bytes,
            sha256: tlog::Hash(self.whole.sha256.finalize().into()).to_hex(),
            checkpoint: manifest.checkpoint.clone(),
        };
        self.file.sync_all().map_err(|e| failed(&path, &e))?;
        whole.write(&self.out)?;
        fs::rename(&path, &self.out)
            .and_then(|()| fs::remove_file(beside(&self.out, "part.json")))
            .map_err(|e| failed(&self.out, &e))?;
        Ok(whole)
    }
}

impl Whole {
    /// Writes it down beside the file.
    pub fn write(&self, out: &Path) -> Result<()> {
        let note = beside(out, "manifest.json");
        let text = serde_json::to_string_pretty(self).map_err(|e| failed(&note, &io::Error::other(e)))?;
        fs::write(&note, text + "\n").map_err(|e| failed(&note, &e))
    }
}

/// `events.csv.part` beside `events.csv`.
pub fn beside(path: &Path, extension: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(extension);
    PathBuf::from(name)
}

pub fn failed(path: &Path, why: &io::Error) -> Error {
    Error::Local(format!("`{}` cannot be read or written: {why}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "index,action\r\n";

    fn question(format: ExportFormat) -> Question {
        Question {
            parent: "tenants/acme".to_owned(),
            filter: String::new(),
            format: format.into(),
            as_of_size: 0,
        }
    }

    fn manifest(stream: &str, events: (i64, i64, i64)) -> ExportManifest {
        let (count, first_index, last_index) = events;
        let sha256 = Sha256::digest(stream.as_bytes()).to_vec();
        ExportManifest { count, first_index, last_index, sha256, as_of_size: 9, ..ExportManifest::default() }
    }

    #[test]
    fn a_file_is_whole_and_its_manifest_says_what_it_holds() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("events.csv");
        let mut part = Part::begin(&out, question(ExportFormat::Csv)).unwrap();
        let text = format!("{HEADER}3,\"a\r\n\"\"b\"\r\n5,c\r\n");
        for byte in text.as_bytes().chunks(1) {
            part.take(byte, 0).unwrap();
        }
        let whole = part.finish(&manifest(&text, (2, 3, 5))).unwrap();
        assert_eq!((whole.count, whole.first_index, whole.last_index), (2, 3, 5));
        assert_eq!(fs::read_to_string(&out).unwrap(), text);
        let names: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(names.len(), 2, "{names:?}");
        assert!(fs::read_to_string(beside(&out, "manifest.json")).unwrap().contains(&whole.sha256));
    }

    #[test]
    fn what_broke_off_is_taken_up_with_one_header() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("events.csv");
        let mut part = Part::begin(&out, question(ExportFormat::Csv)).unwrap();
        part.take(format!("{HEADER}0,a\r\n").as_bytes(), 1).unwrap();
        part.take(b"1,b\r\n2,never whol", 0).unwrap();
        drop(part);
        let mut part = Part::resume(&out, question(ExportFormat::Csv)).unwrap();
        assert_eq!(part.request().from_index, 1);
        let rest = format!("{HEADER}1,b\r\n2,c\r\n");
        part.take(&rest.as_bytes()[..4], 0).unwrap();
        part.take(&rest.as_bytes()[4..], 3).unwrap();
        let whole = part.finish(&manifest(&rest, (2, 1, 2))).unwrap();
        assert_eq!((whole.count, whole.first_index, whole.last_index), (3, 0, 2));
        assert_eq!(fs::read_to_string(&out).unwrap(), format!("{HEADER}0,a\r\n1,b\r\n2,c\r\n"));
    }

    #[test]
    fn lines_of_json_say_their_index() {
        assert_eq!(index_in(ExportFormat::Ndjson, b"{\"index\":7,\"entry\":{}}\n"), Some(7));
        assert_eq!(index_in(ExportFormat::Ocsf, b"{\"metadata\":{\"sequence\":8}}\n"), Some(8));
    }

    #[test]
    fn what_arrived_damaged_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("events");
        let mut part = Part::begin(&out, question(ExportFormat::Ndjson)).unwrap();
        part.take(b"{\"index\":0}\n", 1).unwrap();
        assert!(matches!(part.finish(&manifest("{\"index\":1}\n", (1, 0, 0))), Err(Error::Unverified(_))));
        assert!(!out.exists());
    }

    #[test]
    fn another_question_does_not_go_on() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("events");
        Part::begin(&out, question(ExportFormat::Ndjson)).unwrap().take(b"{}\n", 1).unwrap();
        let other = Question { filter: "action = x".to_owned(), ..question(ExportFormat::Ndjson) };
        assert!(matches!(Part::resume(&out, other), Err(Error::Usage(_))));
        fs::write(beside(&out, "part"), "").unwrap();
        assert!(matches!(Part::resume(&out, question(ExportFormat::Ndjson)), Err(Error::Usage(_))));
    }
}
