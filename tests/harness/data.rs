//! Real inputs: what vendors publish and what their clients sent. They are read where they lie and never copied in.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

/// Where they lie: `$PROVOST_DATA`, or `../shared/data` beside the repository.
pub fn root() -> PathBuf {
    let default = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    let root = std::env::var_os("PROVOST_DATA").map_or(default, PathBuf::from);
    assert!(root.is_dir(), "no data at `{}`; set PROVOST_DATA", root.display());
    root
}

/// Directory of a vendor's marketplace: `codex-official`, `claude-knowledge-work`.
pub fn marketplace(name: &str) -> PathBuf {
    root().join("marketplaces").join(name)
}

/// Directory of a capture: `codex/run2-managed-plugin-mcp-json`.
pub fn capture(name: &str) -> PathBuf {
    root().join("otlp").join(name)
}

/// The log requests in JSON below a capture directory (`""`: all of them), in order.
pub fn logs(name: &str) -> Vec<Vec<u8>> {
    requests(name, "logs", "json")
}

/// The requests about a signal (`logs`, `metrics`) in a form (`json`, `bin`) below a capture directory, in order.
pub fn requests(name: &str, signal: &str, form: &str) -> Vec<Vec<u8>> {
    let named =
        |path: &String| path.contains(signal) && Path::new(path).extension().is_some_and(|e| e == form);
    let bodies: Vec<_> =
        files(&capture(name)).into_iter().filter(|(p, _)| named(p)).map(|(_, b)| b).collect();
    assert!(!bodies.is_empty(), "no {signal} requests in capture `{name}`");
    bodies
}

/// Every file below `dir` by its path there, with `/`.
pub fn files(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    walk(dir, "", &mut found);
    found
}

fn walk(dir: &Path, below: &str, found: &mut BTreeMap<String, Vec<u8>>) {
    let entries = std::fs::read_dir(dir).unwrap_or_else(|e| panic!("{}: {e}", dir.display()));
    for entry in entries.map(Result::unwrap) {
        let name = entry.file_name().into_string().unwrap();
        let path = if below.is_empty() { name } else { format!("{below}/{name}") };
        if entry.file_type().unwrap().is_dir() {
            walk(&entry.path(), &path, found);
        } else {
            found.insert(path, std::fs::read(entry.path()).unwrap());
        }
    }
}
