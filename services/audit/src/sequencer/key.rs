//! The Ed25519 keys that sign checkpoints: a file, or two while verifiers change over.

use std::{
    fs,
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use kernel::{Result, config::Config, error::Error};
use tlog::{Checkpoint, Ed25519Signer, Note, Signer};

/// Name of the file in the data directory.
const FILE: &str = "audit.key";

/// The seeds, the current first.
pub struct Keys(Vec<[u8; 32]>);

impl Keys {
    /// Reads the configured files; makes the current key when its file is missing.
    pub fn load(config: &Config) -> Result<Self> {
        let (audit, current) = (&config.audit, current(config));
        let mut seeds = vec![if current.exists() { read(&current)? } else { make(&current)? }];
        if !audit.previous_key_file.as_os_str().is_empty() {
            seeds.push(read(&audit.previous_key_file)?);
        }
        Ok(Self(seeds))
    }

    /// Reads the configured files and makes none. Whether the current key is there; if not, the first start makes it.
    pub fn found(config: &Config) -> Result<bool> {
        let current = current(config);
        let found = current.exists();
        if found {
            read(&current)?;
        }
        if !config.audit.previous_key_file.as_os_str().is_empty() {
            read(&config.audit.previous_key_file)?;
        }
        Ok(found)
    }

    /// The key that a key file's text holds.
    pub fn parse(text: &str) -> Result<Self> {
        seed(text).map(|seed| Self(vec![seed])).map_err(Error::internal)
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

fn read(path: &Path) -> Result<[u8; 32]> {
    let text = fs::read_to_string(path).map_err(|e| unusable(path, &e))?;
    seed(&text).map_err(|e| unusable(path, &e))
}

fn seed(text: &str) -> Result<[u8; 32], String> {
    let bytes = BASE64_STANDARD.decode(text.trim()).map_err(|e| e.to_string())?;
    bytes.try_into().map_err(|_| "it does not hold 32 bytes".to_owned())
}

/// Makes a key; another process that makes it at the same moment wins.
fn make(path: &Path) -> Result<[u8; 32]> {
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir).map_err(|e| unusable(path, &e))?;
    }
    let mut seed = [0_u8; 32];
    getrandom::fill(&mut seed).map_err(Error::internal)?;
    // written beside and linked into place: nobody reads half a key
    let beside = path.with_extension(format!("{}.new", std::process::id()));
    let written =
        fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside).and_then(|mut f| {
            f.write_all(format!("{}\n", BASE64_STANDARD.encode(seed)).as_bytes())?;
            f.sync_all()
        });
    written.map_err(|e| unusable(path, &e))?;
    let linked = fs::hard_link(&beside, path);
    fs::remove_file(&beside).map_err(|e| unusable(path, &e))?;
    match linked {
        Ok(()) => Ok(seed),
        Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => read(path),
        Err(e) => Err(unusable(path, &e)),
    }
}

fn unusable(path: &Path, why: &dyn std::fmt::Display) -> Error {
    Error::internal(format!(
        "the signing key `{}` cannot be used: {why}; check `audit.key_file` and its permissions, or restore the file",
        path.display()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_once_and_only_its_owner_reads_it() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("new").join(FILE);
        let made = make(&path).unwrap();
        assert_eq!(read(&path).unwrap(), made);
        assert_eq!(make(&path).unwrap(), made, "who comes second takes the first one's");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        fs::write(&path, "c2hvcnQ=").unwrap();
        assert!(read(&path).unwrap_err().to_string().contains("32 bytes"));
    }
}
