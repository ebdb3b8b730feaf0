//! The client of outside witnesses (c2sp.org/tlog-witness): they cosign the meta log's checkpoint once they have seen that it
//! extends the one before, so that no two people can be shown two histories.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Method, StatusCode};
use kernel::{Kernel, Result, error::Error};
use tlog::{AddCheckpoint, Checkpoint, Note, TileSet, Vkey};

use super::{LogHead, meta::META, store};
use crate::https::Client;

/// Longest wait for a witness.
const PATIENCE: Duration = Duration::from_secs(10);
/// Largest answer, bytes.
const MAX_ANSWER: usize = 64 * 1024;

/// One witness.
pub struct Witness {
    url: String,
    vkey: Vkey,
    /// What it cosigned last, as far as we know; it says so itself when we are wrong.
    size: u64,
}

/// What a witness said.
#[derive(Debug)]
pub enum Answer {
    /// It cosigned.
    Cosigned,
    /// It has seen another history, or does not know us: its status and words.
    Refused(u16, String),
}

impl Witness {
    /// From `URL VKEY`, as configured.
    pub fn parse(text: &str) -> Result<Self> {
        let (url, vkey) = text.trim().split_once(char::is_whitespace).ok_or_else(|| {
            Error::internal(format!(
                "`audit.witnesses`: `{text}` is not `URL VKEY`; write both, with a space"
            ))
        })?;
        let vkey = Vkey::parse(vkey.trim())
            .map_err(|e| Error::internal(format!("`audit.witnesses`: the key of `{url}`: {e}")))?;
        Ok(Self { url: url.trim_end_matches('/').to_owned(), vkey, size: 0 })
    }

    /// Where it is.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Asks for a cosignature of the head and adds it to `note`.
    pub async fn cosign(
        &mut self,
        kernel: &Arc<Kernel>,
        client: &Client,
        head: &LogHead,
        note: &mut Note,
    ) -> Result<Answer> {
        // our size of the witness' last view can be wrong once; then it has told us
        for _ in 0..2 {
            let asked = self.request(kernel, head).await?;
            let url = format!("{}/add-checkpoint", self.url);
            let body = Bytes::from(asked.to_string());
            let answer = client.send(Method::POST, &url, &[], body, PATIENCE, MAX_ANSWER).await?;
            match answer.status {
                StatusCode::OK => {
                    let lines = tlog::parse_cosignatures(&answer.body).map_err(Error::internal)?;
                    // asked again about the same checkpoint, it says the same again
                    let known = note
                        .signatures()
                        .iter()
                        .any(|s| s.name() == self.vkey.name() && s.key_id() == self.vkey.id());
                    if !known {
                        let witness = std::slice::from_ref(&self.vkey);
                        tlog::add_cosignatures(note, lines, witness).map_err(Error::internal)?;
                    }
                    self.size = asked_size(head)?;
                    return Ok(Answer::Cosigned);
                }
                StatusCode::CONFLICT => {
                    let seen = tlog::parse_size(&answer.body).map_err(Error::internal)?;
                    if seen > asked_size(head)? {
                        let why =
                            format!("it has cosigned {seen} entries, this log has {}", head.signed_size);
                        return Ok(Answer::Refused(409, why));
                    }
                    self.size = seen;
                }
                other => {
                    let words = String::from_utf8_lossy(&answer.body).chars().take(200).collect();
                    return Ok(Answer::Refused(other.as_u16(), words));
                }
            }
        }
        Ok(Answer::Refused(409, "it names another size each time".to_owned()))
    }

    async fn request(&self, kernel: &Kernel, head: &LogHead) -> Result<AddCheckpoint> {
        let size = asked_size(head)?;
        let needed = tlog::tiles_for_consistency(self.size, size).map_err(Error::internal)?;
        let tiles = store::tile_get_all(&mut kernel.db.reader().await?, head.scope_id, &needed).await?;
        let tiles: TileSet = tiles.into_iter().collect();
        let proof = match self.size {
            0 => Vec::new(),
            old => tlog::consistency_proof(&tiles, old, size).map_err(Error::internal)?,
        };
        // without the cosignatures of others: a witness needs the log's own signatures only
        let note = Note::parse(head.checkpoint.as_bytes()).map_err(Error::internal)?;
        AddCheckpoint::new(self.size, proof, note).map_err(Error::internal)
    }
}

fn asked_size(head: &LogHead) -> Result<u64> {
    u64::try_from(head.signed_size).map_err(Error::internal)
}

/// Has every witness cosign the meta log's newest checkpoint, and keeps what they say with it.
pub async fn cosign_all(
    kernel: &Arc<Kernel>,
    client: &Client,
    witnesses: &mut [Witness],
    head: &LogHead,
) -> Result<Vec<(String, Answer)>> {
    let mut note = Note::parse(head.checkpoint.as_bytes()).map_err(Error::internal)?;
    Checkpoint::parse(note.text()).map_err(Error::internal)?;
    let mut answers = Vec::new();
    for witness in witnesses {
        let answer = match witness.cosign(kernel, client, head, &mut note).await {
            Ok(answer) => answer,
            Err(error) => Answer::Refused(0, error.to_string()),
        };
        answers.push((witness.url().to_owned(), answer));
    }
    if answers.iter().any(|(_, answer)| matches!(answer, Answer::Cosigned)) {
        let mut tx = kernel.db.begin_derived();
        store::log_cosign(&mut tx, META, head.signed_size, &note.to_string()).await?;
        tx.finish().await?;
    }
    Ok(answers)
}
