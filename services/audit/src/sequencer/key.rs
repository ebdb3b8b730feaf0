//! The Ed25519 keys that sign checkpoints: a file, or two while verifiers change over.

use std::path::PathBuf;

use kernel::{Result, config::Config, error::Error, keyfile};
use tlog::{Checkpoint, Ed25519Signer, Note, Signer};

/// Name of the file in the data directory.
const FILE: &str = "audit.key";

/// The seeds, the current first.
pub struct Keys(Vec<[u8; 32]>);

impl Keys {
    /// Reads the configured files; makes the current key when its file is missing.
    pub fn load(config: &Config) -> Result<Self> {
        let (audit, current) = (&config.audit, current(config));
        let mut seeds = vec![keyfile::load(&current, "audit.key_file")?];
        if !audit.previous_key_file.as_os_str().is_empty() {
            seeds.push(keyfile::load_existing(&audit.previous_key_file, "audit.previous_key_file")?);
        }
        Ok(Self(seeds))
    }

    /// Reads the configured files and makes none. Whether the current key is there; if not, the first start makes it.
    pub fn found(config: &Config) -> Result<bool> {
        let current = current(config);
        let found = current.exists();
        if found {
            keyfile::load_existing(&current, "audit.key_file")?;
        }
        if !config.audit.previous_key_file.as_os_str().is_empty() {
            keyfile::load_existing(&config.audit.previous_key_file, "audit.previous_key_file")?;
        }
        Ok(found)
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

/// File of the current key.
fn current(config: &Config) -> PathBuf {
    match &config.audit.key_file {
        unset if unset.as_os_str().is_empty() => config.server.data_dir.join(FILE),
        file => file.clone(),
    }
}
