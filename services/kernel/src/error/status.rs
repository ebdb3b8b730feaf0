//! The one mapping from [`Error`] to `tonic::Status` with `google.rpc` details (AIP-193).

use std::{collections::HashMap, time::Duration};

use proto::errors::v1::Reason;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use super::{Credential, Error};

/// When a caller should come back after the database was away, or the log behind.
const DATABASE_RETRY: Duration = Duration::from_secs(1);
/// What is said of a page token that cannot be used.
const BAD_PAGE_TOKEN: &str =
    "is damaged or belongs to another parent, filter or order; start again without it";

impl Error {
    /// The machine-readable reason.
    pub fn reason(&self) -> Reason {
        match self {
            Self::Invalid(_) => Reason::InvalidField,
            Self::Filter { .. } => Reason::InvalidFilter,
            Self::PageToken => Reason::InvalidPageToken,
            Self::Marketplace(_) => Reason::InvalidMarketplace,
            Self::Message(_) => Reason::InvalidMessage,
            Self::Unimplemented(_) => Reason::Unimplemented,
            Self::OutOfRange(_) => Reason::AuditOutOfRange,
            Self::Unauthenticated(credential) => credential.reason(),
            Self::DutyMissing { .. } => Reason::DutyMissing,
            Self::TokenScope { .. } => Reason::TokenScope,
            Self::NotFound { .. } => Reason::ResourceNotFound,
            Self::Exists { .. } => Reason::ResourceExists,
            Self::RequestIdReused(_) => Reason::RequestIdReused,
            Self::EtagStale { .. } => Reason::EtagStale,
            Self::Conflict => Reason::Conflict,
            Self::Precondition { reason, .. } => *reason,
            Self::Limit { .. } => Reason::LimitExceeded,
            Self::Overloaded { .. } => Reason::Overloaded,
            Self::StorageFull { .. } => Reason::AuditStorageFull,
            Self::AuditBehind => Reason::AuditBehind,
            Self::PolicyBehind => Reason::PolicyBehind,
            Self::DatabaseUnavailable { .. } => Reason::DatabaseUnavailable,
            Self::Deadline => Reason::Deadline,
            Self::Internal { .. } | Self::Unique { .. } => Reason::Internal,
        }
    }

    /// The gRPC code.
    pub fn code(&self) -> Code {
        match self {
            Self::Invalid(_)
            | Self::Filter { .. }
            | Self::PageToken
            | Self::Marketplace(_)
            | Self::Message(_) => Code::InvalidArgument,
            Self::Unimplemented(_) => Code::Unimplemented,
            Self::OutOfRange(_) => Code::OutOfRange,
            Self::Unauthenticated(_) => Code::Unauthenticated,
            Self::DutyMissing { .. } | Self::TokenScope { .. } => Code::PermissionDenied,
            Self::NotFound { .. } => Code::NotFound,
            Self::Exists { .. } | Self::RequestIdReused(_) => Code::AlreadyExists,
            Self::EtagStale { .. } | Self::Conflict => Code::Aborted,
            Self::Precondition { .. } => Code::FailedPrecondition,
            Self::Limit { .. } | Self::Overloaded { .. } | Self::StorageFull { .. } => {
                Code::ResourceExhausted
            }
            Self::AuditBehind | Self::PolicyBehind | Self::DatabaseUnavailable { .. } => Code::Unavailable,
            Self::Deadline => Code::DeadlineExceeded,
            Self::Internal { .. } | Self::Unique { .. } => Code::Internal,
        }
    }

    /// What the caller is told in words.
    pub fn message(&self) -> String {
        match self {
            Self::Invalid(violations) => {
                let lines: Vec<_> =
                    violations.iter().map(|v| format!("{}: {}", v.field, v.message)).collect();
                lines.join("; ")
            }
            Self::OutOfRange(v) => format!("{}: {}", v.field, v.message),
            Self::Filter { position, message } => format!("filter: at byte {position}: {message}"),
            Self::PageToken => format!("page_token: {BAD_PAGE_TOKEN}"),
            Self::Unauthenticated(credential) => credential.message().to_owned(),
            Self::DutyMissing { action, scope } => {
                format!(
                    "none of your duties in `{scope}` allows `{action}`; ask an owner or administrator there"
                )
            }
            Self::TokenScope { action } => {
                format!("the token's scopes do not cover `{action}`; use a token with a wider scope")
            }
            Self::NotFound { kind, name } => {
                format!("{kind} `{name}` does not exist or is not visible to you; check the name")
            }
            Self::Exists { kind, name, hint } => format!("{kind} `{name}` already exists; {hint}"),
            Self::RequestIdReused(id) => {
                format!(
                    "request_id `{id}` was used before with another payload; use a new UUID for a new request"
                )
            }
            Self::EtagStale { name } => {
                format!("`{name}` changed since you read it; read it again and repeat the change")
            }
            Self::Conflict => "another change won at the same time; repeat the call".to_owned(),
            Self::Precondition { message, .. } | Self::Limit { message, .. } | Self::Marketplace(message) => {
                message.clone()
            }
            Self::Message(cause) => {
                format!("the message cannot be read ({cause}); encode it by the contract that the server runs")
            }
            Self::Unimplemented(what) => {
                format!("{what} is not known here; compare the client's contract with the server's reflection")
            }
            Self::StorageFull { percent } => format!(
                "storage is {percent} % full and has no room for the record of this act; nothing was changed: make room or raise `audit.storage_quota_mib`, reads still work"
            ),
            Self::Overloaded { .. } => {
                "the server is shedding load; repeat the call a little later".to_owned()
            }
            Self::AuditBehind => {
                "the audit log is behind: what was done is on record but not in the log yet; repeat the call a little later"
                    .to_owned()
            }
            Self::PolicyBehind => {
                "the revision that `revision_token` names is not here yet; repeat the call a little later, or take the answer for a no"
                    .to_owned()
            }
            Self::DatabaseUnavailable { .. } => {
                "the database does not answer; a change may or may not have been made: repeat the call a little later, with the same request_id"
                    .to_owned()
            }
            Self::Deadline => {
                "the call ran out of time; a change may or may not have been made: repeat it with the same request_id, and allow more time or ask for less"
                    .to_owned()
            }
            Self::Internal { .. } | Self::Unique { .. } => {
                "internal error; give the incident id to the operator".to_owned()
            }
        }
    }

    /// `google.rpc` details; `incident` names our own faults in the log.
    fn details(&self, incident: &str) -> ErrorDetails {
        let mut metadata = HashMap::new();
        let mut note = |key: &str, value: &str| metadata.insert(key.to_owned(), value.to_owned());
        let mut details = ErrorDetails::new();
        match self {
            Self::Invalid(violations) => {
                for v in violations {
                    details.add_bad_request_violation(v.field.clone(), v.message.clone());
                }
            }
            Self::OutOfRange(v) => {
                details.add_bad_request_violation(v.field.clone(), v.message.clone());
            }
            Self::Filter { position, message } => {
                note("position", &position.to_string());
                details.add_bad_request_violation("filter", message.clone());
            }
            Self::PageToken => {
                details.add_bad_request_violation("page_token", BAD_PAGE_TOKEN);
            }
            Self::DutyMissing { action, scope } => {
                note("action", action);
                note("scope", scope);
            }
            Self::TokenScope { action } => {
                note("action", action);
            }
            Self::NotFound { kind, name } | Self::Exists { kind, name, .. } => {
                details.set_resource_info(*kind, name.clone(), "", self.message());
            }
            Self::EtagStale { name } => {
                details.set_resource_info("", name.clone(), "", self.message());
            }
            Self::RequestIdReused(id) => {
                note("request_id", id);
            }
            Self::Precondition { reason, subject, message } => {
                details.add_precondition_failure_violation(
                    reason_text(*reason),
                    subject.clone(),
                    message.clone(),
                );
            }
            Self::Limit { limit, message } => {
                details.add_quota_failure_violation(limit.clone(), message.clone());
            }
            Self::StorageFull { percent } => {
                note("percent", &percent.to_string());
                details.add_quota_failure_violation("storage", self.message());
            }
            Self::Overloaded { retry_after } => {
                details.set_retry_info(Some(*retry_after));
            }
            Self::AuditBehind | Self::PolicyBehind | Self::DatabaseUnavailable { .. } => {
                details.set_retry_info(Some(DATABASE_RETRY));
            }
            Self::Internal { .. } | Self::Unique { .. } => {
                note("incident", incident);
            }
            Self::Marketplace(_)
            | Self::Message(_)
            | Self::Unimplemented(_)
            | Self::Unauthenticated(_)
            | Self::Conflict
            | Self::Deadline => {}
        }
        details.set_error_info(reason_text(self.reason()), proto::ERROR_DOMAIN, metadata);
        details
    }

    /// The status that leaves the server. Our own faults are logged here, once, with the incident id that the caller gets.
    pub fn into_status(self, incident: &str) -> Status {
        match &self {
            Self::Internal { cause } | Self::Unique { constraint: cause } => {
                tracing::error!(incident, cause, "internal error");
            }
            Self::DatabaseUnavailable { cause } => tracing::warn!(cause, "database unavailable"),
            Self::AuditBehind => {
                tracing::warn!(
                    "an audit log is behind: the process that sequences it does not get on; see its log"
                );
            }
            _ => {}
        }
        let details = self.details(incident);
        Status::with_error_details(self.code(), self.message(), details)
    }
}

impl Credential {
    fn reason(self) -> Reason {
        match self {
            Self::Missing => Reason::CredentialMissing,
            Self::Malformed => Reason::TokenMalformed,
            Self::Unknown => Reason::TokenUnknown,
            Self::Expired => Reason::TokenExpired,
            Self::Suspended => Reason::PrincipalSuspended,
        }
    }

    fn message(self) -> &'static str {
        match self {
            Self::Missing => "no credential; send `authorization: Bearer <token>`",
            Self::Malformed => {
                "the token is mistyped or cut off (its checksum does not match); copy it again"
            }
            Self::Unknown => "the token is unknown or revoked; create a new one",
            Self::Expired => "the token has expired; create a new one",
            Self::Suspended => "the principal behind the token is suspended or deleted; ask an administrator",
        }
    }
}

/// The reason as it travels: the enum value's name without its prefix.
pub fn reason_text(reason: Reason) -> &'static str {
    let name = reason.as_str_name();
    name.strip_prefix("REASON_").unwrap_or(name)
}
