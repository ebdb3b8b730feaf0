//! What can go wrong, how it is told, and the exit code of each class.

mod hint;

use std::{error::Error as _, io, io::Write, time::Duration};

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::output::clean;

/// What every command ends with.
pub type Result<T> = std::result::Result<T, Error>;

/// An exit code; the table in `provost --help` lists them all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exit(pub u8);

impl Exit {
    /// Done.
    pub const OK: Self = Self(0);
    /// A local failure, or one that fits no other class.
    pub const OTHER: Self = Self(1);
    /// The command line is wrong.
    pub const USAGE: Self = Self(2);
    /// There is no such thing, or none that the caller may see.
    pub const NOT_FOUND: Self = Self(3);
    /// No good credential, or not enough rights.
    pub const DENIED: Self = Self(4);
    /// It exists already, or another change won.
    pub const CONFLICT: Self = Self(5);
    /// Not in this state.
    pub const PRECONDITION: Self = Self(6);
    /// The server does not accept an argument.
    pub const INVALID: Self = Self(7);
    /// Unreachable, overloaded, over a limit or out of time.
    pub const UNAVAILABLE: Self = Self(8);
    /// `check` was answered with no.
    pub const DECISION_NO: Self = Self(10);
    /// A log, a checkpoint or a receipt is not what it should be.
    pub const UNVERIFIED: Self = Self(11);
    /// A policy test failed.
    pub const TESTS_FAILED: Self = Self(12);

    /// The class of a gRPC code.
    pub fn of(code: Code) -> Self {
        match code {
            Code::Ok => Self::OK,
            Code::NotFound => Self::NOT_FOUND,
            Code::Unauthenticated | Code::PermissionDenied => Self::DENIED,
            Code::AlreadyExists | Code::Aborted => Self::CONFLICT,
            Code::FailedPrecondition => Self::PRECONDITION,
            Code::InvalidArgument | Code::OutOfRange => Self::INVALID,
            Code::Unavailable | Code::ResourceExhausted | Code::DeadlineExceeded | Code::Cancelled => {
                Self::UNAVAILABLE
            }
            Code::Unknown | Code::Unimplemented | Code::Internal | Code::DataLoss => Self::OTHER,
        }
    }
}

/// A failed command.
#[derive(Debug)]
pub enum Error {
    /// The command line cannot mean anything; nothing was sent.
    Usage(String),
    /// A file, the terminal or the context file; nothing was changed on the server.
    Local(String),
    /// A log, a checkpoint or a receipt is not what it should be: the sentence says where.
    Unverified(String),
    /// Standard output cannot be written.
    Output(io::Error),
    /// The server said no.
    Api(Box<Status>),
    /// The call did not get through, or its answer did not come back.
    Transport {
        /// Where to.
        address: String,
        /// Why, from the outermost cause to the innermost.
        cause: String,
    },
    /// The call ran out of the time that the caller allows.
    TimedOut {
        /// How long was waited.
        after: Duration,
    },
}

impl From<tlog::Error> for Error {
    fn from(error: tlog::Error) -> Self {
        match error {
            tlog::Error::Unreadable { .. } => Self::Local(error.to_string()),
            _ => Self::Unverified(error.to_string()),
        }
    }
}

impl Error {
    /// Sorts a failed call: said by the server, or met on the way to it.
    pub fn from_call(status: Status, address: &str, timeout: Duration) -> Self {
        if status.source().is_none() {
            return Self::Api(Box::new(status));
        }
        if status.code() == Code::Cancelled {
            return Self::TimedOut { after: timeout };
        }
        Self::Transport { address: address.to_owned(), cause: causes(&status) }
    }

    /// The exit code.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Usage(_) => Exit::USAGE,
            Self::Output(e) if e.kind() == io::ErrorKind::BrokenPipe => Exit::OK,
            Self::Unverified(_) => Exit::UNVERIFIED,
            Self::Local(_) | Self::Output(_) => Exit::OTHER,
            Self::Api(status) => Exit::of(status.code()),
            Self::Transport { .. } | Self::TimedOut { .. } => Exit::UNAVAILABLE,
        }
    }

    /// Tells people what happened and what to do next. A reader that has gone away is not told.
    pub fn report(&self, err: &mut dyn Write) {
        for line in self.lines() {
            let _ = writeln!(err, "{}", clean(&line));
        }
    }

    fn lines(&self) -> Vec<String> {
        match self {
            Self::Usage(message) | Self::Local(message) => vec![format!("error: {message}")],
            Self::Unverified(message) => vec![format!("NOT VERIFIED: {message}")],
            Self::Output(e) if e.kind() == io::ErrorKind::BrokenPipe => Vec::new(),
            Self::Output(e) => vec![format!("error: the answer cannot be written: {e}")],
            Self::Api(status) => api_lines(status),
            Self::Transport { address, cause } => vec![
                format!("error: `{address}` cannot be reached: {cause}"),
                "hint: is `provostd serve` running there? choose another place with --address or `provost context use`"
                    .to_owned(),
            ],
            Self::TimedOut { after } => vec![
                format!("error: no answer within {} s", after.as_secs()),
                "hint: allow more with --timeout SECONDS, or ask for less".to_owned(),
            ],
        }
    }
}

fn api_lines(status: &Status) -> Vec<String> {
    let details = status.get_error_details();
    let code = snake(status.code());
    let message = if status.message().is_empty() { &code } else { status.message() };
    let mut lines = vec![format!("error: {message}")];
    lines.push(match details.error_info() {
        Some(info) => format!("reason: {}", info.reason),
        None => format!("reason: {code}"),
    });
    for v in details.bad_request().iter().flat_map(|d| &d.field_violations) {
        lines.push(format!("field: {}: {}", v.field, v.description));
    }
    for v in details.precondition_failure().iter().flat_map(|d| &d.violations) {
        lines.push(format!("precondition: {}: {}", v.subject, v.description));
    }
    for v in details.quota_failure().iter().flat_map(|d| &d.violations) {
        lines.push(format!("limit: {}: {}", v.subject, v.description));
    }
    if let Some(delay) = retry_delay(&details) {
        lines.push(format!("retry: in {} ms", delay.as_millis()));
    }
    if let Some(incident) = details.error_info().and_then(|info| info.metadata.get("incident")) {
        lines.push(format!("incident: {incident}"));
    }
    lines.extend(hint::of(&details).map(|hint| format!("hint: {hint}")));
    lines
}

/// How long the server asks to wait.
pub fn retry_delay(details: &ErrorDetails) -> Option<Duration> {
    details.retry_info().and_then(|info| info.retry_delay)
}

/// `NOT_FOUND` for `NotFound`.
fn snake(code: Code) -> String {
    let mut text = String::new();
    for c in format!("{code:?}").chars() {
        if c.is_ascii_uppercase() && !text.is_empty() {
            text.push('_');
        }
        text.push(c.to_ascii_uppercase());
    }
    text
}

/// The message and its sources, without repetition.
fn causes(status: &Status) -> String {
    let mut text = status.message().to_owned();
    let mut source = status.source();
    while let Some(cause) = source {
        let line = cause.to_string();
        if !text.contains(&line) {
            text = format!("{text}: {line}");
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn told(error: &Error) -> String {
        let mut text = Vec::new();
        error.report(&mut text);
        String::from_utf8(text).unwrap()
    }

    fn api(code: Code, message: &str, details: ErrorDetails) -> Error {
        Error::from_call(
            Status::with_error_details(code, message, details),
            "http://x",
            Duration::from_secs(1),
        )
    }

    #[test]
    fn every_code_has_its_class() {
        for (code, exit) in [
            (Code::NotFound, 3),
            (Code::Unauthenticated, 4),
            (Code::PermissionDenied, 4),
            (Code::AlreadyExists, 5),
            (Code::Aborted, 5),
            (Code::FailedPrecondition, 6),
            (Code::InvalidArgument, 7),
            (Code::Unavailable, 8),
            (Code::ResourceExhausted, 8),
            (Code::DeadlineExceeded, 8),
            (Code::Internal, 1),
            (Code::Unimplemented, 1),
        ] {
            assert_eq!(api(code, "no", ErrorDetails::new()).exit(), Exit(exit), "{code:?}");
        }
        assert_eq!(Error::Usage(String::new()).exit(), Exit::USAGE);
        assert_eq!(Error::Local(String::new()).exit(), Exit::OTHER);
        assert_eq!(Error::Unverified(String::new()).exit(), Exit::UNVERIFIED);
        assert_eq!(Error::TimedOut { after: Duration::ZERO }.exit(), Exit::UNAVAILABLE);
    }

    #[test]
    fn every_detail_is_told() {
        let mut details = ErrorDetails::new();
        details.set_error_info("INVALID_FIELD", proto::ERROR_DOMAIN, HashMap::new());
        details.add_bad_request_violation("role.display_name", "must not be empty");
        details.add_precondition_failure_violation("ILLEGAL_STATE", "tenants/acme", "is LIVE");
        details.add_quota_failure_violation("page_size", "at most 1000");
        details.set_retry_info(Some(Duration::from_millis(250)));
        insta::assert_snapshot!(told(&api(Code::InvalidArgument, "role.display_name: must not be empty", details)), @"
        error: role.display_name: must not be empty
        reason: INVALID_FIELD
        field: role.display_name: must not be empty
        precondition: tenants/acme: is LIVE
        limit: page_size: at most 1000
        retry: in 250 ms
        hint: the command's --help says what each argument may be
        ");
    }

    #[test]
    fn an_incident_is_named() {
        let mut details = ErrorDetails::new();
        let metadata = HashMap::from([("incident".to_owned(), "0197-42".to_owned())]);
        details.set_error_info("INTERNAL", proto::ERROR_DOMAIN, metadata);
        insta::assert_snapshot!(told(&api(Code::Internal, "internal error; give the incident id to the operator", details)), @"
        error: internal error; give the incident id to the operator
        reason: INTERNAL
        incident: 0197-42
        hint: the operator finds the cause in the server's log under the incident id
        ");
    }

    #[test]
    fn a_bare_status_still_says_its_code() {
        assert_eq!(
            told(&api(Code::NotFound, "", ErrorDetails::new())),
            "error: NOT_FOUND\nreason: NOT_FOUND\n"
        );
    }

    #[test]
    fn a_message_cannot_drive_the_terminal() {
        let text = told(&api(Code::NotFound, "role `\u{1b}[2Jx`", ErrorDetails::new()));
        assert!(text.starts_with("error: role `\\u{1b}[2Jx`\n"), "{text}");
    }

    #[test]
    fn a_closed_pipe_is_silent() {
        let error = Error::Output(io::Error::from(io::ErrorKind::BrokenPipe));
        assert_eq!((error.exit(), told(&error).as_str()), (Exit::OK, ""));
    }
}
