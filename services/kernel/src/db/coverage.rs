//! Which statements ran on which engine. Debug builds write it to the file that `PROVOST_SQL_COVERAGE` names, and
//! `tests/run` fails when a statement of a store was not run on both.

use std::{
    collections::HashSet,
    fs::File,
    io::Write as _,
    sync::{Mutex, OnceLock, PoisonError},
};

/// Where statements that ran are noted, and which have been.
type Notes = Mutex<(HashSet<(&'static str, u32, &'static str)>, File)>;

/// Notes that the statement at `file:line` ran on `engine`. Nothing in release builds.
pub fn note(file: &'static str, line: u32, engine: &'static str) {
    if cfg!(debug_assertions) {
        write(file, line, engine);
    }
}

fn write(file: &'static str, line: u32, engine: &'static str) {
    static NOTES: OnceLock<Option<Notes>> = OnceLock::new();
    let notes = NOTES.get_or_init(|| {
        let path = std::env::var_os("PROVOST_SQL_COVERAGE")?;
        let file = File::options().create(true).append(true).open(path).ok()?;
        Some(Mutex::new((HashSet::new(), file)))
    });
    let Some(notes) = notes else { return };
    let mut notes = notes.lock().unwrap_or_else(PoisonError::into_inner);
    if notes.0.insert((file, line, engine)) {
        // a note that cannot be written shows up as a statement that never ran
        let _ = writeln!(notes.1, "{file}:{line} {engine}");
    }
}
