//! The Ed25519 keys that sign checkpoints: a file, or two while verifiers change over.

use kernel::{Result, config::Config, error::Error, keyfile};
use tlog::{Checkpoint, Ed25519Signer, Note, Signer};

/// Name of the file in the data directory.
const FILE: &str = "audit.key";

/// The seeds, the current first.
pub struct Keys(Vec<[u8; 32]>);

impl Keys {
    /// Reads the configured files; makes the current key when its file is missing.
    pub fn load(config: &Config) -> Result<Self> {
        let audit = &config.audit;
        let current = if audit.key_file.as_os_str().is_empty() {
            config.server.data_dir.join(FILE)
        } else {
            audit.key_file.clone()
        };
        let mut seeds = vec![keyfile::load(&current, "audit.key_file")?];
        if !audit.previous_key_file.as_os_str().is_empty() {
            seeds.push(keyfile::load_existing(&audit.previous_key_file, "audit.previous_key_file")?);
        }
        Ok(Self(seeds))
    }

    /// The key that a key file's text holds.
    pub fn parse(text: &str) -> Result<Self> {
        keyfile::parse(text).map(|seed| Self(vec![seed])).map_err(Error::internal)
    }

    /// Verifier keys of the log with that origin, the current first.
    pub fn verifier_keys(&self, origin: &str) -> Vec<String> {
        self.signers(origin)
            .map(|signers| signers.iter().map(|s| s.vkey().to_string()).collect())
            .unwrap_or_default()
    }

    /// Signs a checkpoint with every key.
    pub fn sign(&self, checkpoint: &Checkpoint) -> Result<Note> {
        let signers = self.signers(checkpoint.origin())?;
        let signers: Vec<_> = signers.iter().map(|s| s as &dyn Signer).collect();
        checkpoint.sign(&signers).map_err(Error::internal)
    }

    /// Signs a text that is no checkpoint with every key, under a name that is no log's.
    pub fn sign_text(&self, name: &str, text: &str) -> Result<Note> {
        let signers = self.signers(name)?;
        let signers: Vec<_> = signers.iter().map(|s| s as &dyn Signer).collect();
        Note::sign(text, &signers).map_err(Error::internal)
    }

    /// The current key's signature over a text as it is. What may be signed so is for [`super::Sequencer`] to say.
    pub fn sign_raw(&self, name: &str, text: &str) -> Result<Vec<u8>> {
        let signers = self.signers(name)?;
        let current = signers.first().ok_or_else(|| Error::internal("there is no signing key"))?;
        current.sign(text).map_err(Error::internal)
    }

    fn signers(&self, name: &str) -> Result<Vec<Ed25519Signer>> {
        self.0.iter().map(|seed| Ed25519Signer::from_seed(name, seed).map_err(Error::internal)).collect()
    }
}
