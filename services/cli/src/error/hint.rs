//! The next thing to do, by reason.

use proto::errors::v1::Reason;
use tonic_types::ErrorDetails;

/// Nouns of the command line that can be listed and shown.
const NOUNS: &[&str] = &[
    "partner",
    "tenant",
    "unit",
    "principal",
    "group",
    "role",
    "token",
    "marketplace",
    "plugin",
    "entitlement",
];

/// What to do about an error, where there is something to do.
pub fn of(details: &ErrorDetails) -> Option<String> {
    let info = details.error_info().filter(|info| info.domain == proto::ERROR_DOMAIN)?;
    let reason = Reason::from_str_name(&format!("REASON_{}", info.reason))?;
    let resource = details.resource_info();
    let noun = resource.map(|r| r.resource_type.as_str()).filter(|noun| NOUNS.contains(noun));
    let name = resource.map_or("NAME", |r| r.resource_name.as_str());
    text(reason, noun, name)
}

fn text(reason: Reason, noun: Option<&str>, name: &str) -> Option<String> {
    let hint = match reason {
        Reason::Unspecified => return None,
        Reason::InvalidField => "the command's --help says what each argument may be",
        Reason::InvalidFilter => {
            "a filter reads --filter 'display_name = \"Acme\" AND state = \"LIVE\"'; `list --help` names the fields"
        }
        Reason::InvalidPageToken => "start again without --page-token, or read everything with --all",
        Reason::InvalidMarketplace => "mend the directory and try it with `provost catalog diff PATH`",
        Reason::InvalidMessage | Reason::Unimplemented => {
            "`provost --version` and `provost health` show whether command and server are of one release"
        }
        Reason::CredentialMissing => {
            "give a token with --token-file FILE or PROVOST_TOKEN, or store one with `provost context add NAME --token-file FILE`"
        }
        Reason::TokenMalformed => {
            "copy the token again, whole; `provost context show` names the file it is read from"
        }
        Reason::TokenUnknown | Reason::TokenExpired => {
            "an administrator makes a new one with `provost token create --principal NAME --display-name WHAT-FOR`"
        }
        Reason::PrincipalSuspended => "an administrator brings it back with `provost principal resume NAME`",
        Reason::DutyMissing => {
            "`provost whoami` shows your duties; an owner gives one with `provost duty grant --principal NAME --duty DUTY`"
        }
        Reason::TokenScope => {
            "`provost whoami` shows what the token may; `provost token create --scope all` makes a wider one"
        }
        Reason::ResourceNotFound => match noun {
            Some(noun) => return Some(format!("`provost {noun} list` shows what there is")),
            None => "the `list` of its noun shows what there is",
        },
        Reason::ResourceExists => match noun {
            Some(noun) => {
                return Some(format!(
                    "`provost {noun} get {name}` shows it; choose another id for a new one"
                ));
            }
            None => "choose another id, or take what is there",
        },
        Reason::RequestIdReused => "leave --request-id out: every command then has an id of its own",
        Reason::EtagStale => {
            return Some("the noun's `get` shows the new etag; look at the change and repeat".to_owned());
        }
        Reason::Conflict => "repeat the command",
        Reason::IllegalState => "`get` shows the state that it is in",
        Reason::StillInUse => "remove or move what depends on it first",
        Reason::CycleOrDepth => "`provost unit list` and `provost role get` show the tree as it is",
        Reason::LimitExceeded => "ask for less at a time",
        Reason::Overloaded | Reason::DatabaseUnavailable => {
            "repeat the command a little later; `provost health --watch` shows when the server is back"
        }
        Reason::AuditOutOfRange => {
            "`provost audit log` shows how far the log reaches, and from which index on"
        }
        Reason::AuditBehind => {
            "repeat the command a little later; the server's log says what holds the audit log up"
        }
        Reason::PolicyBehind => {
            "repeat the command a little later; without --revision-token it does not wait"
        }
        Reason::AuditStorageFull => "the operator makes room; reading goes on meanwhile",
        Reason::Deadline => "allow more with --timeout SECONDS, or ask for less",
        Reason::Internal => "the operator finds the cause in the server's log under the incident id",
    };
    Some(hint.to_owned())
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn hint(domain: &str, reason: &str, resource: Option<(&str, &str)>) -> Option<String> {
        let mut details = ErrorDetails::new();
        details.set_error_info(reason, domain, HashMap::new());
        if let Some((kind, name)) = resource {
            details.set_resource_info(kind, name, "", "");
        }
        of(&details)
    }

    #[test]
    fn a_missing_thing_points_to_its_list() {
        let found = hint(proto::ERROR_DOMAIN, "RESOURCE_NOT_FOUND", Some(("role", "tenants/acme/roles/x")));
        assert_eq!(found.unwrap(), "`provost role list` shows what there is");
        let taken = hint(proto::ERROR_DOMAIN, "RESOURCE_EXISTS", Some(("role", "tenants/acme/roles/x")));
        assert!(taken.unwrap().starts_with("`provost role get tenants/acme/roles/x`"));
    }

    #[test]
    fn foreign_and_unknown_reasons_have_none() {
        assert_eq!(hint("example.com", "RESOURCE_NOT_FOUND", None), None);
        assert_eq!(hint(proto::ERROR_DOMAIN, "NEVER_HEARD_OF", None), None);
    }
}
