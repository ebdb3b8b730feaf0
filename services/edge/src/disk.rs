//! What an edge has taken, kept as it was signed, so that it can decide before it reaches anybody.
//!
//! Two files: `policy` has the last whole state and what changed since, each message in a frame; `fresh` has the last message
//! that said "nothing has changed". A whole state replaces `policy` in one step; changes are appended. What was being
//! written when the machine stopped is left out at the next start, but not what a later message speaks of.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
    time::Duration,
};

use tlog::Vkey;

use crate::{
    message::{Content, MAX_MESSAGE_BYTES, Signed, Verified},
    refused::Refused,
    replica::Replica,
};

const POLICY: &str = "policy";
const FRESH: &str = "fresh";

/// A directory that keeps one tenant's state.
#[derive(Debug)]
pub struct Disk {
    dir: PathBuf,
    /// Where the next change goes in `policy`.
    end: u64,
}

/// Why nothing could be taken from a directory.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    /// It cannot be read or written.
    #[error("`{0}`: {1}")]
    Io(PathBuf, io::Error),
    /// What is kept there is not what was signed.
    #[error("what is kept in `{0}` is refused: {1}")]
    Refused(PathBuf, Refused),
}

impl Disk {
    /// The directory, made if it is missing and read by its owner only.
    pub fn open(dir: &Path) -> Result<Self, DiskError> {
        use std::os::unix::fs::DirBuilderExt as _;
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(dir);
        made.map_err(|e| DiskError::Io(dir.to_owned(), e))?;
        Ok(Self { dir: dir.to_owned(), end: 0 })
    }

    /// What is kept, every message of it verified again; nothing in a new directory.
    pub fn load(&mut self, keys: &[Vkey], tenant: &str, bound: Duration) -> Result<Replica, DiskError> {
        let mut replica = Replica::new(bound);
        let path = self.dir.join(POLICY);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(replica),
            Err(error) => return Err(DiskError::Io(path, error)),
        };
        let refused = |refused| DiskError::Refused(path.clone(), refused);
        let mut rest = bytes.as_slice();
        while let Some((message, behind)) = frame(rest) {
            let message = message.verify(keys, tenant).map_err(refused)?;
            replica.restore(&message).map_err(refused)?;
            rest = behind;
            self.end = u64::try_from(bytes.len() - rest.len()).unwrap_or(u64::MAX);
        }
        if replica.statement().is_none() {
            return Err(refused(Refused::Truncated));
        }
        self.freshen(&mut replica, keys, tenant)?;
        Ok(replica)
    }

    /// Takes the last "nothing has changed". It is of no use when a change was appended after it.
    fn freshen(&self, replica: &mut Replica, keys: &[Vkey], tenant: &str) -> Result<(), DiskError> {
        let path = self.dir.join(FRESH);
        let Ok(bytes) = fs::read(&path) else { return Ok(()) };
        let refused = |refused| DiskError::Refused(path.clone(), refused);
        let (message, _) = frame(&bytes).ok_or_else(|| refused(Refused::Truncated))?;
        let message = message.verify(keys, tenant).map_err(refused)?;
        match replica.restore(&message) {
            Ok(()) | Err(Refused::Old | Refused::Epoch(_)) => Ok(()),
            // it speaks of a state that was kept once and is not there
            Err(Refused::Gap) => Err(refused(Refused::Truncated)),
            Err(other) => Err(refused(other)),
        }
    }

    /// Keeps what a replica has taken. It is on the disk when this returns.
    pub fn keep(&mut self, message: &Verified) -> Result<(), DiskError> {
        let bytes = framed(message.signed());
        let (name, kept) = match message.content() {
            Content::Snapshot(_) => (POLICY, self.replace(POLICY, &bytes)),
            Content::Nothing => (FRESH, self.replace(FRESH, &bytes)),
            Content::Delta(_) => (POLICY, self.append(&bytes)),
        };
        kept.map_err(|error| DiskError::Io(self.dir.join(name), error))?;
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        match message.content() {
            Content::Snapshot(_) => self.end = length,
            Content::Delta(_) => self.end = self.end.saturating_add(length),
            Content::Nothing => {}
        }
        Ok(())
    }

    /// Bytes of the state and of what changed since.
    pub fn bytes(&self) -> u64 {
        self.end
    }

    fn replace(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let (path, beside) = (self.dir.join(name), self.dir.join(format!("{name}.new")));
        let mut file = File::create(&beside)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&beside, &path)?;
        // the name is in the directory
        File::open(&self.dir)?.sync_all()
    }

    fn append(&self, bytes: &[u8]) -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).open(self.dir.join(POLICY))?;
        // half a change that was left there is written over
        file.set_len(self.end)?;
        file.seek(SeekFrom::Start(self.end))?;
        file.write_all(bytes)?;
        file.sync_all()
    }
}

/// Both parts of a message, each with its length before it.
fn framed(message: &Signed) -> Vec<u8> {
    let (note, payload) = message.parts();
    let mut bytes = Vec::with_capacity(note.len() + payload.len() + 16);
    for part in [note, payload] {
        bytes.extend(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        bytes.extend(part);
    }
    bytes
}

/// The first message of `bytes`, and what is behind it; none where there is no whole one.
fn frame(bytes: &[u8]) -> Option<(Signed, &[u8])> {
    let mut rest = bytes;
    let mut part = || {
        let mut length = [0; 8];
        rest.read_exact(&mut length).ok()?;
        let length = usize::try_from(u64::from_be_bytes(length)).ok().filter(|l| *l <= MAX_MESSAGE_BYTES)?;
        let (part, behind) = rest.split_at_checked(length)?;
        rest = behind;
        Some(part.to_vec())
    };
    let (note, payload) = (part()?, part()?);
    Some((Signed::new(note, payload), rest))
}
