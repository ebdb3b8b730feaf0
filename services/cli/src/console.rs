//! Where a command reads and writes: the process's own streams, or a test's.

use std::io::{BufRead, Write};

use crate::error::{Error, Exit, Result};

/// The streams and the environment of one run.
#[expect(missing_debug_implementations, reason = "streams have nothing to show")]
pub struct Console<'a> {
    /// Answers.
    pub out: &'a mut dyn Write,
    /// Errors, warnings and notes.
    pub err: &'a mut dyn Write,
    /// Confirmations, and whatever is read from `-`.
    pub input: &'a mut dyn BufRead,
    /// Whether somebody is there to be asked.
    pub interactive: bool,
    /// The environment; unset and empty are the same.
    pub env: &'a dyn Fn(&str) -> Option<String>,
}

impl Console<'_> {
    /// Prints an answer.
    pub fn print(&mut self, text: &str) -> Result<()> {
        self.out.write_all(text.as_bytes()).and_then(|()| self.out.flush()).map_err(Error::Output)
    }

    /// Prints a line for people beside the answer. A closed stderr is no reason to fail.
    pub fn note(&mut self, line: &str) {
        let _ = writeln!(self.err, "{line}");
    }

    /// Everything on standard input.
    pub fn read_input(&mut self) -> Result<String> {
        let mut text = String::new();
        self.input
            .read_to_string(&mut text)
            .map_err(|e| Error::Local(format!("standard input cannot be read: {e}")))?;
        Ok(text)
    }

    /// Asks before something that cannot simply be taken back. `act` reads `delete tenants/acme`.
    pub fn confirm(&mut self, act: &str) -> Result<()> {
        if !self.interactive {
            return Err(Error::Usage(format!(
                "`{act}` has to be confirmed and nobody is there to be asked; repeat with --yes"
            )));
        }
        let _ = write!(self.err, "{act}? type yes: ").and_then(|()| self.err.flush());
        let mut answer = String::new();
        self.input
            .read_line(&mut answer)
            .map_err(|e| Error::Local(format!("the confirmation cannot be read: {e}")))?;
        if answer.trim() == "yes" {
            return Ok(());
        }
        Err(Error::Local("not confirmed; nothing was changed".to_owned()))
    }

    /// Prints help or a usage error, each to its stream.
    pub(crate) fn usage(&mut self, error: &clap::Error) -> Exit {
        let text = error.render();
        if error.use_stderr() {
            let _ = write!(self.err, "{text}");
            Exit::USAGE
        } else {
            let _ = write!(self.out, "{text}");
            Exit::OK
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn confirm(interactive: bool, typed: &str) -> (Result<()>, String) {
        let mut err = Vec::new();
        let mut console = Console {
            out: &mut Vec::new(),
            err: &mut err,
            input: &mut typed.as_bytes(),
            interactive,
            env: &|_| None,
        };
        let result = console.confirm("delete tenants/acme");
        (result, String::from_utf8(err).unwrap())
    }

    #[test]
    fn only_yes_confirms() {
        let (result, asked) = confirm(true, "yes\n");
        result.unwrap();
        assert_eq!(asked, "delete tenants/acme? type yes: ");
        for typed in ["", "\n", "y\n", "no\n", "YES\n"] {
            assert_eq!(confirm(true, typed).0.unwrap_err().exit(), Exit::OTHER, "{typed:?}");
        }
    }

    #[test]
    fn nobody_to_ask_is_a_usage_error() {
        let (result, asked) = confirm(false, "yes\n");
        assert_eq!(result.unwrap_err().exit(), Exit::USAGE);
        assert_eq!(asked, "");
    }
}
