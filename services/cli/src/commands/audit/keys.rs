//! Verifier keys: what a verifier must know beforehand.

use std::{fs, path::Path};

use tlog::Vkey;

use crate::error::{Error, Result};

/// The keys in a text, one a line.
pub fn parse(text: &str, origin: &str) -> Result<Vec<Vkey>> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let keys: Vec<_> = lines
        .map(Vkey::parse)
        .collect::<std::result::Result<_, _>>()
        .map_err(|e| Error::Local(format!("{origin}: {e}")))?;
    if keys.is_empty() {
        return Err(Error::Local(format!("{origin} holds no verifier key")));
    }
    Ok(keys)
}

/// The keys that a command line gives: each a key itself, or a file of keys.
pub fn given(words: &[String]) -> Result<Vec<Vkey>> {
    let mut keys = Vec::new();
    for word in words {
        match Vkey::parse(word) {
            Ok(key) => keys.push(key),
            Err(error) => keys.extend(in_file(Path::new(word)).map_err(|unreadable| {
                let Error::Local(unreadable) = unreadable else { return unreadable };
                Error::Usage(format!(
                    "`{word}` is neither a verifier key ({error}) nor a file of them ({unreadable})"
                ))
            })?),
        }
    }
    Ok(keys)
}

/// The keys in a file.
pub fn in_file(path: &Path) -> Result<Vec<Vkey>> {
    let text = fs::read_to_string(path)
        .map_err(|e| Error::Local(format!("`{}` cannot be read: {e}", path.display())))?;
    parse(&text, &format!("`{}`", path.display()))
}

/// The keys as a file.
pub fn text(keys: &[impl std::fmt::Display]) -> String {
    keys.iter().flat_map(|key| [key.to_string(), "\n".to_owned()]).collect()
}

/// Names and ids of keys, for people.
pub fn labels(keys: &[Vkey]) -> String {
    keys.iter().map(Vkey::label).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8";

    #[test]
    fn a_key_is_given_as_itself_or_in_a_file() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("vkey");
        fs::write(&file, format!("{KEY}\n\n")).unwrap();
        for word in [KEY.to_owned(), file.display().to_string()] {
            assert_eq!(text(&given(&[word]).unwrap()), format!("{KEY}\n"));
        }
        assert!(matches!(given(&["nothing".to_owned()]), Err(Error::Usage(m)) if m.contains("neither")));
        fs::write(&file, "").unwrap();
        assert!(matches!(in_file(&file), Err(Error::Local(m)) if m.contains("no verifier key")));
    }
}
