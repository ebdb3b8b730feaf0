//! Ed25519 seeds in files: 32 bytes in base64, read by their owner only, made when they are missing.

use std::{fs, io::Write as _, os::unix::fs::OpenOptionsExt as _, path::Path};

use base64::{Engine as _, prelude::BASE64_STANDARD};

use crate::error::{Error, Result};

/// The seed in a file, made at the first time; `setting` names the file's place in errors.
pub fn load(path: &Path, setting: &str) -> Result<[u8; 32]> {
    let found = if path.exists() { read(path) } else { make(path) };
    found.map_err(|why| unusable(path, setting, &why))
}

/// The seed in a file that must be there.
pub fn load_existing(path: &Path, setting: &str) -> Result<[u8; 32]> {
    read(path).map_err(|why| unusable(path, setting, &why))
}

/// The seed that a file's text holds.
pub fn parse(text: &str) -> Result<[u8; 32], String> {
    let bytes = BASE64_STANDARD.decode(text.trim()).map_err(|e| e.to_string())?;
    bytes.try_into().map_err(|_| "it does not hold 32 bytes".to_owned())
}

fn read(path: &Path) -> Result<[u8; 32], String> {
    parse(&fs::read_to_string(path).map_err(|e| e.to_string())?)
}

/// Makes a key; another process that makes it at the same moment wins.
fn make(path: &Path) -> Result<[u8; 32], String> {
    let mut seed = [0_u8; 32];
    getrandom::fill(&mut seed).map_err(|e| e.to_string())?;
    match place(path, &seed) {
        Ok(()) => Ok(seed),
        Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => read(path),
        Err(e) => Err(e.to_string()),
    }
}

fn place(path: &Path, seed: &[u8; 32]) -> std::io::Result<()> {
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir)?;
    }
    // written beside and linked into place: nobody reads half a key
    let beside = path.with_extension(format!("{}.new", std::process::id()));
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
    let linked = file
        .write_all(format!("{}\n", BASE64_STANDARD.encode(seed)).as_bytes())
        .and_then(|()| file.sync_all())
        .and_then(|()| fs::hard_link(&beside, path));
    fs::remove_file(&beside)?;
    linked
}

fn unusable(path: &Path, setting: &str, why: &str) -> Error {
    Error::internal(format!(
        "the signing key `{}` cannot be used: {why}; check `{setting}` and its permissions, or restore the file",
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
        let path = dir.path().join("new").join("audit.key");
        assert!(load_existing(&path, "audit.key_file").is_err());
        let made = load(&path, "audit.key_file").unwrap();
        assert_eq!(load_existing(&path, "audit.key_file").unwrap(), made);
        assert_eq!(make(&path).unwrap(), made, "who comes second takes the first one's");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        fs::write(&path, "c2hvcnQ=").unwrap();
        let short = load(&path, "audit.key_file").unwrap_err().to_string();
        assert!(short.contains("32 bytes") && short.contains("`audit.key_file`"), "{short}");
    }
}
