//! The program itself: the one thing that the library's tests cannot see is that its exit code leaves the process.

use std::{
    io,
    process::{Command, Output},
};

fn provost(words: &[&str]) -> io::Result<Output> {
    Command::new(env!("CARGO_BIN_EXE_provost"))
        .args(words)
        .env_clear()
        .env("PROVOST_CONFIG", "/nonexistent/config.toml")
        .output()
}

#[test]
fn exit_codes_leave_the_process() {
    assert_eq!(provost(&["version"]).unwrap().status.code(), Some(0));
    assert_eq!(provost(&["tenant", "fly"]).unwrap().status.code(), Some(2));
    let unreachable = provost(&["whoami", "--address", "http://127.0.0.1:1"]).unwrap();
    assert_eq!(unreachable.status.code(), Some(8));
    assert!(unreachable.stdout.is_empty());
    assert!(String::from_utf8_lossy(&unreachable.stderr).starts_with("error: "));
}
