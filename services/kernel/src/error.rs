//! The one error type. What a caller may know is in the variant; what only the operator may know is in `cause`.

use std::{fmt, time::Duration};

use proto::errors::v1::Reason;

pub mod http;
mod status;

/// Result with [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Everything that can go wrong, as the caller is told it. Messages are lower case, without a full stop, quote user
/// input in backticks and say what to do next.
#[derive(Debug, Clone)]
pub enum Error {
    /// INVALID_ARGUMENT: malformed fields.
    Invalid(Vec<Violation>),
    /// INVALID_ARGUMENT: the filter, with the byte offset of the trouble.
    Filter {
        /// Byte offset into the filter.
        position: usize,
        /// What is wrong there.
        message: String,
    },
    /// INVALID_ARGUMENT: the page token.
    PageToken,
    /// INVALID_ARGUMENT: bytes that are no message of the method.
    Message(String),
    /// UNIMPLEMENTED: no such method, or a compression that nobody here knows.
    Unimplemented(String),
    /// INVALID_ARGUMENT: a marketplace refused whole.
    Marketplace(String),
    /// OUT_OF_RANGE: a place that the audit log does not have, or has no more.
    OutOfRange(Violation),
    /// UNAUTHENTICATED, with why.
    Unauthenticated(Credential),
    /// PERMISSION_DENIED: no duty allows the action.
    DutyMissing {
        /// The action, `noun.verb`.
        action: String,
        /// The scope's name.
        scope: String,
    },
    /// PERMISSION_DENIED: the token's scopes do not cover the action.
    TokenScope {
        /// The action, `noun.verb`.
        action: String,
    },
    /// NOT_FOUND, also for what the caller may not see.
    NotFound {
        /// Kind of resource: `role`.
        kind: &'static str,
        /// Its name as the caller wrote it.
        name: String,
    },
    /// ALREADY_EXISTS: the id is taken.
    Exists {
        /// Kind of resource: `role`.
        kind: &'static str,
        /// Its name.
        name: String,
        /// What to do next.
        hint: &'static str,
    },
    /// ALREADY_EXISTS: the request_id was used with another payload.
    RequestIdReused(String),
    /// ABORTED: stale etag.
    EtagStale {
        /// The resource's name.
        name: String,
    },
    /// ABORTED: a concurrent change won; retried inside before the caller sees it.
    Conflict,
    /// FAILED_PRECONDITION.
    Precondition {
        /// Which of the FAILED_PRECONDITION reasons.
        reason: Reason,
        /// The resource.
        subject: String,
        /// What is wrong and what to do next.
        message: String,
    },
    /// RESOURCE_EXHAUSTED: a limit.
    Limit {
        /// Which limit, by its configuration key or name.
        limit: String,
        /// What is wrong and what to do next.
        message: String,
    },
    /// RESOURCE_EXHAUSTED: there is no room for the record of a change.
    StorageFull {
        /// Percent used.
        percent: u8,
    },
    /// RESOURCE_EXHAUSTED: load is shed.
    Overloaded {
        /// When to come back.
        retry_after: Duration,
    },
    /// UNAVAILABLE: who sequences an audit log does not get on.
    AuditBehind,
    /// UNAVAILABLE: the asked revision of a tenant's rules is not here yet.
    PolicyBehind,
    /// UNAVAILABLE: the database does not answer.
    DatabaseUnavailable {
        /// For the operator's log.
        cause: String,
    },
    /// DEADLINE_EXCEEDED.
    Deadline,
    /// INTERNAL: logged under an incident id; the caller sees only the id.
    Internal {
        /// For the operator's log.
        cause: String,
    },
    /// A unique key refused a row; the store function turns it into [`Error::Exists`] before it leaves.
    Unique {
        /// The constraint, as the engine names it.
        constraint: String,
    },
}

/// One malformed field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Path of the field in the request: `role.display_name`.
    pub field: String,
    /// What is wrong with it and what is accepted.
    pub message: String,
}

/// Why a credential was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Credential {
    /// None was sent.
    Missing,
    /// Mistyped.
    Malformed,
    /// Unknown or revoked.
    Unknown,
    /// Over.
    Expired,
    /// Its principal is suspended or deleted.
    Suspended,
}

impl Error {
    /// One malformed field.
    pub fn invalid(field: &str, message: impl Into<String>) -> Self {
        Self::Invalid(vec![Violation { field: field.to_owned(), message: message.into() }])
    }

    /// A place that the audit log does not have, or has no more.
    pub fn out_of_range(field: &str, message: impl Into<String>) -> Self {
        Self::OutOfRange(Violation { field: field.to_owned(), message: message.into() })
    }

    /// No such resource, or none that the caller may see.
    pub fn not_found(kind: &'static str, name: impl fmt::Display) -> Self {
        Self::NotFound { kind, name: name.to_string() }
    }

    /// The id is taken.
    pub fn exists(kind: &'static str, name: impl fmt::Display) -> Self {
        Self::Exists {
            kind,
            name: name.to_string(),
            hint: "choose another id, or read and update the one that is there",
        }
    }

    /// The resource's state forbids the verb.
    pub fn illegal_state(subject: impl fmt::Display, message: impl Into<String>) -> Self {
        Self::Precondition {
            reason: Reason::IllegalState,
            subject: subject.to_string(),
            message: message.into(),
        }
    }

    /// Others still depend on the resource.
    pub fn still_in_use(subject: impl fmt::Display, message: impl Into<String>) -> Self {
        Self::Precondition {
            reason: Reason::StillInUse,
            subject: subject.to_string(),
            message: message.into(),
        }
    }

    /// A tree or an inclusion would close a circle or grow too deep.
    pub fn cycle_or_depth(subject: impl fmt::Display, message: impl Into<String>) -> Self {
        Self::Precondition {
            reason: Reason::CycleOrDepth,
            subject: subject.to_string(),
            message: message.into(),
        }
    }

    /// Our fault; `cause` goes to the log only.
    pub fn internal(cause: impl fmt::Display) -> Self {
        Self::Internal { cause: cause.to_string() }
    }

    /// What a unique key refused becomes `other`; everything else stays.
    #[must_use]
    pub fn on_unique(self, other: impl FnOnce() -> Self) -> Self {
        if matches!(self, Self::Unique { .. }) { other() } else { self }
    }

    /// Whether an earlier run of the same request can have caused it.
    pub fn may_be_own_doing(&self) -> bool {
        matches!(
            self,
            Self::Exists { .. } | Self::EtagStale { .. } | Self::Precondition { .. } | Self::NotFound { .. }
        )
    }

    /// Whether the same call may succeed when simply repeated.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Conflict)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Internal { cause } | Self::DatabaseUnavailable { cause } => f.write_str(cause),
            other => f.write_str(&other.message()),
        }
    }
}

impl std::error::Error for Error {}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        let cause = error.to_string();
        match error {
            sqlx::Error::Database(db) => {
                let code = db.code().unwrap_or_default().into_owned();
                if db.is_unique_violation() {
                    return Self::Unique { constraint: db.message().to_owned() };
                }
                match code.as_str() {
                    // serialization failure, deadlock; SQLITE_BUSY and its snapshot variant
                    "40001" | "40P01" | "5" | "517" => Self::Conflict,
                    // PostgreSQL disk_full, SQLITE_FULL
                    "53100" | "13" => Self::StorageFull { percent: 100 },
                    // PostgreSQL classes 08 (connection), 53 (resources), 57P0x (shutting down), 25006 (read-only standby)
                    c if c.starts_with("08")
                        || c.starts_with("53")
                        || c.starts_with("57P")
                        || c == "25006" =>
                    {
                        Self::DatabaseUnavailable { cause }
                    }
                    // SQLITE_IOERR, SQLITE_FULL, SQLITE_CANTOPEN, SQLITE_READONLY and their extended codes
                    c if c.parse::<u32>().is_ok_and(|n| matches!(n & 0xff, 8 | 10 | 13 | 14)) => {
                        Self::DatabaseUnavailable { cause }
                    }
                    _ => Self::Internal { cause: format!("database: {cause} (code {code})") },
                }
            }
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed => Self::DatabaseUnavailable { cause },
            other => Self::Internal { cause: format!("database: {other}") },
        }
    }
}
