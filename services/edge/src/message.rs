//! What is signed, and how it becomes something that can be read.

use std::{
    io::{Read as _, Write as _},
    time::Duration,
};

use decision::{Change, Facts};
use flate2::{Compression, read::DeflateDecoder, write::DeflateEncoder};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tlog::{Note, Signer, Vkey};

use crate::refused::Refused;

/// How long a state may be decided by after it was signed, unless somebody asks for less.
pub const DEFAULT_STALENESS: Duration = Duration::from_mins(15);
/// How far the clocks of the two sides may be apart.
pub const SKEW: Duration = Duration::from_mins(1);
/// Largest state, or change of it, before compression.
pub const MAX_MESSAGE_BYTES: usize = 256 << 20;
/// First line of every statement.
const HEADER: &str = "provost.dev/decision-policy@v1\n";

/// Up to which change of a tenant, and of the catalogue, a state goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Revision {
    /// Count of the tenant's changes.
    pub tenant: i64,
    /// Count of the catalogue's.
    pub catalog: i64,
}

impl Revision {
    /// Whether everything is in it that `other` knows of.
    pub fn covers(self, other: Self) -> bool {
        self.tenant >= other.tenant && self.catalog >= other.catalog
    }
}

/// What is signed about the state of a tenant.
///
/// Its form is one: the header line, then one line of JSON without spaces, the fields in this order. Times are microseconds
/// since 1970. (RFC 8785 would write numbers as doubles, and times of the year 9999 are no doubles.)
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Statement {
    /// Of which store: a UUIDv7, so that a later one is greater.
    pub epoch: String,
    /// Of which tenant: its id in names.
    pub tenant: String,
    /// What it leads on from; none where it brings the whole state.
    pub from: Option<Revision>,
    /// What it leads to.
    pub to: Revision,
    /// SHA-256 of the state that it leads to, in hex: [`crate::State::digest`].
    pub state: String,
    /// What comes with it; nothing where nothing has changed.
    pub payload: Option<Payload>,
    /// When that was the newest state.
    pub issued_at: i64,
    /// Until when it may be decided by.
    pub not_after: i64,
}

/// What comes with a statement: JSON, compressed (RFC 1951).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Payload {
    /// SHA-256 of the compressed bytes, in hex.
    pub sha256: String,
    /// How many bytes it has uncompressed.
    pub size: usize,
}

/// What a message brings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// The whole state.
    Snapshot(Facts),
    /// What leads from one state to the next.
    Delta(Vec<Change>),
    /// Nothing: the state is still the newest.
    Nothing,
}

/// A message as it came. Nothing can be read of it before it is verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    note: Vec<u8>,
    payload: Vec<u8>,
}

/// A message whose signature, form, tenant and payload are good. Only [`Signed::verify`] makes one.
#[derive(Clone, Debug)]
pub struct Verified {
    statement: Statement,
    content: Content,
    signed: Signed,
    key: String,
}

/// Why a message could not be made.
pub type SignError = Box<dyn std::error::Error + Send + Sync>;

/// Signs a message with every key; what the statement says of its payload is filled in here.
pub fn sign(
    mut statement: Statement,
    content: &Content,
    signers: &[&dyn Signer],
) -> Result<Signed, SignError> {
    let json = match content {
        Content::Snapshot(facts) => serde_json::to_vec(facts)?,
        Content::Delta(changes) => serde_json::to_vec(changes)?,
        Content::Nothing => Vec::new(),
    };
    if json.len() > MAX_MESSAGE_BYTES {
        return Err(format!("a state of {} bytes is more than an edge takes", json.len()).into());
    }
    let mut payload = Vec::new();
    statement.payload = None;
    if *content != Content::Nothing {
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(&json)?;
        payload = encoder.finish()?;
        statement.payload = Some(Payload { sha256: hex(&Sha256::digest(&payload)), size: json.len() });
    }
    let note = Note::sign(&text(&statement)?, signers)?.to_string().into_bytes();
    Ok(Signed { note, payload })
}

fn text(statement: &Statement) -> Result<String, serde_json::Error> {
    Ok(format!("{HEADER}{}\n", serde_json::to_string(statement)?))
}

impl Signed {
    /// From the two parts of a message: the signed note and the compressed payload.
    pub fn new(note: Vec<u8>, payload: Vec<u8>) -> Self {
        Self { note, payload }
    }

    /// The two parts.
    pub fn parts(&self) -> (&[u8], &[u8]) {
        (&self.note, &self.payload)
    }

    /// The two parts, to send.
    pub fn into_parts(self) -> (Vec<u8>, Vec<u8>) {
        (self.note, self.payload)
    }

    /// Checks signature, form, tenant and payload, in this order; nothing is inflated that no pinned key has signed.
    pub fn verify(self, keys: &[Vkey], tenant: &str) -> Result<Verified, Refused> {
        let note = Note::parse(&self.note).map_err(Refused::Signature)?;
        let signatures = note.verify(keys).map_err(Refused::Signature)?;
        let key = signatures.first().map(|signature| signature.key.label()).unwrap_or_default();
        let statement = read(note.text())?;
        if statement.tenant != tenant {
            return Err(Refused::Tenant(statement.tenant));
        }
        let content = match &statement.payload {
            None if self.payload.is_empty() => Content::Nothing,
            None => return Err(Refused::Payload("something was added")),
            Some(payload) => {
                let json = inflate(payload, &self.payload)?;
                let form = |error: serde_json::Error| Refused::Form(error.to_string());
                match statement.from {
                    None => Content::Snapshot(serde_json::from_slice(&json).map_err(form)?),
                    Some(_) => Content::Delta(serde_json::from_slice(&json).map_err(form)?),
                }
            }
        };
        if matches!(&content, Content::Snapshot(facts) if facts.tenant != statement.tenant) {
            return Err(Refused::Form("its facts are another tenant's".to_owned()));
        }
        Ok(Verified { statement, content, signed: self, key })
    }
}

/// Reads a statement in its one spelling.
fn read(note: &str) -> Result<Statement, Refused> {
    let form = |why: &str| Refused::Form(why.to_owned());
    let json = note.strip_prefix(HEADER).ok_or_else(|| form("its first line is another"))?;
    let statement: Statement = serde_json::from_str(json).map_err(|e| Refused::Form(e.to_string()))?;
    if text(&statement).ok().as_deref() != Some(note) {
        return Err(form("it is not written in its one spelling"));
    }
    let sound = match (&statement.from, &statement.payload) {
        (None, Some(_)) => true,
        (Some(from), Some(_)) => statement.to.covers(*from) && statement.to != *from,
        (Some(from), None) => statement.to == *from,
        (None, None) => false,
    };
    let long = statement.not_after > statement.issued_at;
    if sound && long { Ok(statement) } else { Err(form("it contradicts itself")) }
}

fn inflate(said: &Payload, compressed: &[u8]) -> Result<Vec<u8>, Refused> {
    if compressed.is_empty() {
        return Err(Refused::Payload("it was left out"));
    }
    if hex(&Sha256::digest(compressed)) != said.sha256 {
        return Err(Refused::Payload("it has another digest"));
    }
    let size = said.size.min(MAX_MESSAGE_BYTES);
    let mut json = Vec::with_capacity(size.min(1 << 20));
    let most = u64::try_from(size).unwrap_or(u64::MAX).saturating_add(1);
    let read = DeflateDecoder::new(compressed).take(most).read_to_end(&mut json);
    if read.is_err() || json.len() != said.size {
        return Err(Refused::Payload("it cannot be inflated to its size"));
    }
    Ok(json)
}

impl Verified {
    /// What was signed.
    pub fn statement(&self) -> &Statement {
        &self.statement
    }

    /// What it brings.
    pub fn content(&self) -> &Content {
        &self.content
    }

    /// As it came, to keep.
    pub fn signed(&self) -> &Signed {
        &self.signed
    }

    /// Name and id of the key that signed it.
    pub fn key(&self) -> &str {
        &self.key
    }
}

/// Lower-case hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let digit = |n: u8| char::from_digit(u32::from(n), 16).unwrap_or('0');
    bytes.iter().flat_map(|b| [digit(b >> 4), digit(b & 15)]).collect()
}
