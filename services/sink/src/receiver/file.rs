//! Newline-delimited JSON in files of the server: `events.ndjson` grows, is synced, and is closed and renamed when it is large.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use super::Outcome;
use crate::{message::Message, model::Sink};

/// The file that grows.
const OPEN: &str = "events.ndjson";

/// The sender.
pub struct Files {
    base: PathBuf,
    below: PathBuf,
    max_bytes: u64,
    keeps: usize,
}

impl Files {
    /// Below the directory of the sink's log in `base`.
    pub fn new(base: &Path, sink: &Sink, directory: &str, max_bytes: i64, max_files: i32) -> Self {
        let collection = sink.parent.split('/').next().filter(|c| !c.is_empty());
        let log = match collection {
            Some(collection) => PathBuf::from(collection).join(sink.scope_id.to_string()),
            None => PathBuf::from("platform"),
        };
        Self {
            base: base.to_owned(),
            below: log.join(directory),
            max_bytes: u64::try_from(max_bytes).unwrap_or(u64::MAX),
            keeps: usize::try_from(max_files).unwrap_or(0),
        }
    }

    /// Appends the batch; it is on the disk when this returns.
    pub async fn send(&self, batch: &[Message]) -> Outcome {
        let mut lines = Vec::new();
        for message in batch {
            match message.payload() {
                Ok(line) => lines.extend([line.as_bytes(), b"\n"].concat()),
                Err(error) => return Outcome::Refused(error.to_string()),
            }
        }
        self.beside(move |files| files.append(&lines)).await
    }

    /// Whether the directory can be had.
    pub async fn test(&self) -> Outcome {
        self.beside(|files| files.directory().map(|_| ())).await
    }

    /// Runs what waits for a disk beside what does not.
    async fn beside(&self, work: impl FnOnce(&Self) -> io::Result<()> + Send + 'static) -> Outcome {
        let own = Self { base: self.base.clone(), below: self.below.clone(), ..*self };
        match tokio::task::spawn_blocking(move || work(&own)).await {
            Ok(Ok(())) => Outcome::Taken,
            Ok(Err(error)) => Outcome::again(error),
            Err(error) => Outcome::again(error),
        }
    }

    /// The directory, made if it is not there. One that leads elsewhere, over a link, is refused.
    fn directory(&self) -> io::Result<PathBuf> {
        let base = self.base.canonicalize().map_err(|e| said(&self.base, &e))?;
        let wanted = base.join(&self.below);
        DirBuilder::new().recursive(true).mode(0o750).create(&wanted).map_err(|e| said(&self.below, &e))?;
        if wanted.canonicalize()? == wanted {
            return Ok(wanted);
        }
        let why = format!("`{}` leads out of its own directory over a link", self.below.display());
        Err(io::Error::new(io::ErrorKind::PermissionDenied, why))
    }

    fn append(&self, lines: &[u8]) -> io::Result<()> {
        let directory = self.directory()?;
        let path = directory.join(OPEN);
        let found = path.symlink_metadata().ok();
        if found.as_ref().is_some_and(|m| m.file_type().is_symlink()) {
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, format!("`{OPEN}` is a link")));
        }
        let mut file = OpenOptions::new().read(true).append(true).create(true).mode(0o640).open(&path)?;
        mend(&mut file)?;
        file.write_all(lines)?;
        file.sync_all()?;
        if file.metadata()?.len() >= self.max_bytes {
            self.rotate(&directory, &path)?;
        } else if found.is_none() {
            File::open(&directory)?.sync_all()?;
        }
        Ok(())
    }

    /// Gives the full file a name of its own, `events-<number>-<first>-<last>.ndjson`, and removes the oldest beyond what is
    /// kept. The number counts the files as they were closed: after a replay the indexes say nothing about which is older.
    fn rotate(&self, directory: &Path, path: &Path) -> io::Result<()> {
        let (first, last) = bounds(path)?;
        let mut closed: Vec<_> = fs::read_dir(directory)?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter_map(|path| Some((number(&path)?, path)))
            .collect();
        closed.sort();
        let number = closed.last().map_or(1, |(number, _)| number.saturating_add(1));
        let name = directory.join(format!("events-{number:010}-{first:020}-{last:020}.ndjson"));
        fs::rename(path, &name)?;
        closed.push((number, name));
        if self.keeps > 0 {
            let surplus = closed.len().saturating_sub(self.keeps);
            for (_, old) in closed.into_iter().take(surplus) {
                fs::remove_file(old)?;
            }
        }
        File::open(directory)?.sync_all()
    }
}

/// The number of a closed file; none for any other.
fn number(path: &Path) -> Option<u64> {
    let name = path.file_name()?.to_str()?.strip_prefix("events-")?.strip_suffix(".ndjson")?;
    name.split('-').next()?.parse().ok()
}

fn said(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("`{}`: {error}", path.display()))
}

/// Cuts off what a power cut left of a line: its events were not counted as delivered and come again.
fn mend(file: &mut File) -> io::Result<()> {
    let length = file.metadata()?.len();
    let mut end = length;
    let mut chunk = vec![0_u8; 64 * 1024];
    while end > 0 {
        let begin = end.saturating_sub(chunk.len() as u64);
        file.seek(SeekFrom::Start(begin))?;
        let part = chunk.get_mut(..usize::try_from(end - begin).unwrap_or(0)).unwrap_or_default();
        file.read_exact(part)?;
        if let Some(at) = part.iter().rposition(|byte| *byte == b'\n') {
            end = begin + at as u64 + 1;
            break;
        }
        end = begin;
    }
    if end < length { file.set_len(end) } else { Ok(()) }
}

/// Sequences of the first and the last line.
fn bounds(path: &Path) -> io::Result<(i64, i64)> {
    let sequence = |line: &str| {
        let value: Option<serde_json::Value> = serde_json::from_str(line).ok();
        value.and_then(|v| v.pointer("/data/sequence")?.as_i64()).unwrap_or(0).max(0)
    };
    let (mut first, mut last) = (None, String::new());
    for line in BufReader::new(File::open(path)?).lines() {
        last = line?;
        first.get_or_insert_with(|| sequence(&last));
    }
    Ok((first.unwrap_or(0), sequence(&last)))
}

#[cfg(test)]
mod tests {
    use kernel::clock::Time;

    use super::*;

    fn files(base: &Path, max_bytes: u64, keeps: usize) -> Files {
        Files { base: base.to_owned(), below: PathBuf::from("tenants/t/siem"), max_bytes, keeps }
    }

    fn message(sequence: i64) -> Message {
        Message { sequence, ..Message::test(uuid::Uuid::from_u128(1), "h/platform", Time::from_micros(1)) }
    }

    #[tokio::test]
    async fn files_are_closed_when_they_are_large_and_the_oldest_go() {
        let dir = tempfile::tempdir().unwrap();
        let files = files(dir.path(), 600, 2);
        for n in 0..10 {
            assert_eq!(files.send(&[message(2 * n), message(2 * n + 1)]).await, Outcome::Taken);
        }
        let mut names: Vec<_> = fs::read_dir(dir.path().join("tenants/t/siem"))
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(names.iter().filter(|n| n.starts_with("events-")).count(), 2, "{names:?}");
        let last = names.iter().rfind(|n| n.starts_with("events-")).unwrap();
        let text = fs::read_to_string(dir.path().join("tenants/t/siem").join(last)).unwrap();
        assert!(text.len() >= 600 && text.ends_with('\n'));
    }

    #[tokio::test]
    async fn a_replay_does_not_remove_what_it_has_just_written() {
        let dir = tempfile::tempdir().unwrap();
        let files = files(dir.path(), 600, 2);
        let pair = |n: i64| [message(2 * n), message(2 * n + 1)];
        for n in (4..10).chain(0..3) {
            assert_eq!(files.send(&pair(n)).await, Outcome::Taken);
        }
        let mut kept: Vec<_> =
            fs::read_dir(dir.path().join("tenants/t/siem")).unwrap().map(|e| e.unwrap().path()).collect();
        // closed ones in the order in which they were closed, and before the one that grows
        kept.sort();
        let sequences = |path: &PathBuf| {
            let lines = fs::read_to_string(path).unwrap();
            let of = |line: &str| {
                serde_json::from_str::<serde_json::Value>(line).unwrap()["data"]["sequence"].as_i64().unwrap()
            };
            lines.lines().map(of).collect::<Vec<_>>()
        };
        let all: Vec<_> = kept.iter().flat_map(sequences).collect();
        assert!(all.ends_with(&[0, 1, 2, 3, 4, 5]) && all.len() < 12, "{all:?}");
        assert_eq!(kept.iter().filter(|path| number(path).is_some()).count(), 2, "{kept:?}");
    }

    #[tokio::test]
    async fn half_a_line_is_cut_off_and_a_link_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let files = files(dir.path(), 1 << 20, 0);
        assert_eq!(files.send(&[message(0)]).await, Outcome::Taken);
        let own = dir.path().join("tenants/t/siem");
        let path = own.join(OPEN);
        OpenOptions::new().append(true).open(&path).unwrap().write_all(b"{\"half").unwrap();
        assert_eq!(files.send(&[message(1)]).await, Outcome::Taken);
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!((text.lines().count(), text.contains("half")), (2, false));
        assert_eq!(bounds(&path).unwrap(), (0, 1));

        fs::remove_dir_all(&own).unwrap();
        let outside = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(outside.path(), &own).unwrap();
        assert!(
            matches!(files.send(&[message(2)]).await, Outcome::Again { why, .. } if why.contains("leads out"))
        );
        assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
    }
}
