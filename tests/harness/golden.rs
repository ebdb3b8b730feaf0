//! Golden files: reviewed like code, renewed with `UPDATE_GOLDEN=1`.

use std::path::Path;

/// Compares `text` with the file `path` (below `tests/`); with `UPDATE_GOLDEN=1` the file is written instead.
pub fn matches(path: &str, text: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, text).unwrap();
        return;
    }
    let known = std::fs::read_to_string(&file).unwrap_or_default();
    if known == text {
        return;
    }
    for (n, (old, new)) in known.lines().zip(text.lines()).enumerate() {
        assert!(
            old == new,
            "{path}:{}\n  was {old}\n  is  {new}\nUPDATE_GOLDEN=1 renews the file; review the difference",
            n + 1
        );
    }
    panic!(
        "{path}: {} lines, now {}; UPDATE_GOLDEN=1 renews the file",
        known.lines().count(),
        text.lines().count()
    );
}
