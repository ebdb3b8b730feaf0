//! What is in a marketplace directory: files and symbolic links, in the order of their paths.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use crate::error::{Error, Result};

/// The server refuses more files than this; so walking ends here, whatever directory was named by mistake.
const MAX_FILES: usize = 10_000;
/// The server refuses more bytes than this.
pub const MAX_BYTES: u64 = 256 * 1024 * 1024;

/// A file or a symbolic link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Where it is.
    pub file: PathBuf,
    /// Its path below the directory, with `/`.
    pub path: String,
    /// Whether it is a symbolic link, which is named but never followed.
    pub symlink: bool,
    /// Size in bytes; 0 for a link.
    pub bytes: u64,
}

/// Everything below `root`, but `.git`.
pub fn walk(root: &Path) -> Result<Vec<Entry>> {
    let mut entries = Vec::new();
    let mut bytes = 0;
    let mut folders = vec![(root.to_owned(), String::new())];
    while let Some((folder, prefix)) = folders.pop() {
        for item in fs::read_dir(&folder).map_err(|e| unreadable(&folder, &e))? {
            let item = item.map_err(|e| unreadable(&folder, &e))?;
            let file = item.path();
            let Some(name) = item.file_name().to_str().map(str::to_owned) else {
                return Err(Error::Local(format!(
                    "`{}` has a name that is not UTF-8; rename it",
                    file.display()
                )));
            };
            if name == ".git" {
                continue;
            }
            let path = format!("{prefix}{name}");
            let kind = item.file_type().map_err(|e| unreadable(&file, &e))?;
            if kind.is_dir() {
                folders.push((file, format!("{path}/")));
            } else if kind.is_symlink() {
                entries.push(Entry { file, path, symlink: true, bytes: 0 });
            } else if kind.is_file() {
                let size = item.metadata().map_err(|e| unreadable(&file, &e))?.len();
                bytes += size;
                entries.push(Entry { file, path, symlink: false, bytes: size });
            } else {
                let what = file.display();
                return Err(Error::Local(format!("`{what}` is neither a file nor a directory; remove it")));
            }
            if entries.len() > MAX_FILES || bytes > MAX_BYTES {
                return Err(Error::Local(format!(
                    "`{}` holds more than {MAX_FILES} files or 256 MiB; is it a marketplace directory?",
                    root.display()
                )));
            }
        }
    }
    entries.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(entries)
}

/// An error with the file that it is about.
pub fn unreadable(path: &Path, e: &io::Error) -> Error {
    Error::Local(format!("`{}` cannot be read: {e}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn links_are_named_and_not_followed() {
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("secret"), "s").unwrap();
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join(".agents/plugins")).unwrap();
        fs::create_dir_all(dir.path().join(".git/objects")).unwrap();
        fs::write(dir.path().join(".git/objects/x"), "x").unwrap();
        fs::write(dir.path().join(".agents/plugins/marketplace.json"), "{}").unwrap();
        fs::write(dir.path().join("empty"), "").unwrap();
        symlink(outside.path(), dir.path().join("away")).unwrap();
        symlink("nowhere", dir.path().join("broken")).unwrap();
        let found: Vec<_> =
            walk(dir.path()).unwrap().into_iter().map(|e| (e.path, e.symlink, e.bytes)).collect();
        assert_eq!(
            found,
            [
                (".agents/plugins/marketplace.json".to_owned(), false, 2),
                ("away".to_owned(), true, 0),
                ("broken".to_owned(), true, 0),
                ("empty".to_owned(), false, 0),
            ]
        );
    }

    #[test]
    fn too_many_files_end_the_walk() {
        let dir = tempfile::tempdir().unwrap();
        for n in 0..=MAX_FILES {
            fs::write(dir.path().join(n.to_string()), "").unwrap();
        }
        let error = walk(dir.path()).unwrap_err();
        assert!(matches!(error, Error::Local(m) if m.contains("is it a marketplace directory")));
    }

    #[test]
    fn a_directory_that_is_not_there_is_named() {
        let error = walk(Path::new("/nonexistent/market")).unwrap_err();
        assert!(matches!(error, Error::Local(m) if m.contains("`/nonexistent/market` cannot be read")));
    }
}
