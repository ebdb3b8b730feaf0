//! `provost audit retention`, `provost audit hold` and `provost audit erase`.

use clap::{Args, Subcommand};
use proto::retention::v1::{
    ClassRetention, CreateLegalHoldRequest, EraseSubjectRequest, GetRetentionRequest, LegalHold,
    ListLegalHoldsRequest, ReleaseLegalHoldRequest, Retention, UpdateRetentionRequest,
    retention_service_client::RetentionServiceClient,
};

use crate::{
    app::{App, Page},
    args::{ChangeArgs, DangerArgs, ListArgs, Verb, YesArgs},
    client::{Link, MAX_ANSWER_BYTES},
    error::{Exit, Result},
    names::beside,
};

/// Verbs of retention.
#[derive(Debug, Subcommand)]
pub enum RetentionCommand {
    /// Show how long events of each class are kept
    Get {
        /// Of whose log: `TENANT` or `partners/PARTNER`; --platform for the platform
        parent: Option<String>,
    },
    /// Change how long in the log of --tenant, --partner, --platform or the context; classes that are not named stay
    Set {
        /// `admin_write`, `admin_read`, `decision`, `auth`, `audit_read` or `system`, and days from 30 on; decisions from 184 on
        #[arg(required = true, value_name = "CLASS=DAYS", value_parser = class)]
        classes: Vec<ClassRetention>,
        /// Refuse when it changed since this etag was read
        #[arg(long, default_value = "", hide_default_value = true)]
        etag: String,
        #[command(flatten)]
        change: ChangeArgs,
        #[command(flatten)]
        yes: YesArgs,
    },
}

/// Verbs of legal holds.
#[derive(Debug, Subcommand)]
pub enum HoldCommand {
    /// Hold a whole log, or one person's part in it
    Create {
        /// `TENANT/ID`, a full name, or `ID` with --tenant, --partner or --platform
        name: String,
        /// The matter or the order
        #[arg(long)]
        reason: String,
        /// Only what is about this principal
        #[arg(long)]
        principal: Option<String>,
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// List holds, also released ones
    ///
    /// Filter by `legal_hold_id`, `create_time`, `release_time`; order by `create_time`, `legal_hold_id`.
    List {
        /// Of whose log: `TENANT` or `partners/PARTNER`; --platform for the platform
        parent: Option<String>,
        #[command(flatten)]
        list: ListArgs,
    },
    /// End a hold
    Release(DangerArgs),
}

/// An erasure.
#[derive(Args, Debug)]
pub struct Erase {
    /// Whom; deleted before
    principal: String,
    /// The person's request or the legal ground; it is recorded, so without personal data
    #[arg(long)]
    reason: String,
    #[command(flatten)]
    change: ChangeArgs,
    #[command(flatten)]
    yes: YesArgs,
}

fn client(link: Link) -> RetentionServiceClient<Link> {
    RetentionServiceClient::new(link).max_decoding_message_size(MAX_ANSWER_BYTES)
}

/// `decision=400`.
fn class(text: &str) -> std::result::Result<ClassRetention, String> {
    text.split_once('=')
        .and_then(|(class, days)| Some((class, days.parse().ok()?)))
        .filter(|(class, _)| !class.is_empty())
        .map(|(class, days)| ClassRetention { event_class: class.to_owned(), days })
        .ok_or_else(|| "write `CLASS=DAYS`, for example `decision=400`".to_owned())
}

fn name_in(parent: &str) -> String {
    if parent.is_empty() { "retention".to_owned() } else { format!("{parent}/retention") }
}

/// Runs a verb of retention.
pub async fn run(command: RetentionCommand, app: &mut App<'_, '_>) -> Result<Exit> {
    match command {
        RetentionCommand::Get { parent } => {
            let request = GetRetentionRequest { name: name_in(&app.names.scope(parent.as_deref())?) };
            app.read(false, request, async |l, r| client(l).get_retention(r).await).await
        }
        RetentionCommand::Set { classes, etag, change, yes } => {
            let name = name_in(&app.names.scope(None)?);
            // shorter ones end with pruning, which nothing brings back
            app.confirm("change", &name, &change, yes)?;
            let request = UpdateRetentionRequest {
                retention: Some(Retention { name, classes, ..Retention::default() }),
                etag,
                request_id: change.request_id(),
                validate_only: change.validate_only,
            };
            app.change(request, async |l, r| client(l).update_retention(r).await).await
        }
    }
}

/// Runs a verb of legal holds.
pub async fn hold(command: HoldCommand, app: &mut App<'_, '_>) -> Result<Exit> {
    match command {
        HoldCommand::Create { name, reason, principal, change } => {
            let name = app.names.in_scope("legalHolds", &name)?;
            let principal = principal.map(|p| beside(&name.parent, "principals", &p)).transpose()?;
            let hold = LegalHold { reason, principal: principal.unwrap_or_default(), ..LegalHold::default() };
            let request = CreateLegalHoldRequest {
                parent: name.parent,
                legal_hold_id: name.id,
                legal_hold: Some(hold),
                request_id: change.request_id(),
                validate_only: change.validate_only,
            };
            app.change(request, async |l, r| client(l).create_legal_hold(r).await).await
        }
        HoldCommand::List { parent, list } => {
            let parent = app.names.scope(parent.as_deref())?;
            let ask = |Page { filter, order_by, page_size, page_token }| ListLegalHoldsRequest {
                parent: parent.clone(),
                page_size,
                page_token,
                filter,
                order_by,
            };
            app.list(false, &list, ask, async |l, r| client(l).list_legal_holds(r).await).await
        }
        HoldCommand::Release(args) => {
            let full = app.names.in_scope("legalHolds", &args.verb.name)?;
            let Verb { name, etag, request_id, validate_only } = app.danger("release", &args, full)?;
            let request = ReleaseLegalHoldRequest { name, etag, request_id, validate_only };
            app.change(request, async |l, r| client(l).release_legal_hold(r).await).await
        }
    }
}

/// Erases a person.
pub async fn erase(args: Erase, app: &mut App<'_, '_>) -> Result<Exit> {
    let principal = app.names.in_scope("principals", &args.principal)?.to_string();
    app.confirm("erase for good", &principal, &args.change, args.yes)?;
    let request = EraseSubjectRequest {
        principal,
        reason: args.reason,
        request_id: args.change.request_id(),
        validate_only: args.change.validate_only,
    };
    app.change(request, async |l, r| client(l).erase_subject(r).await).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_and_its_days_are_read() {
        let read = class("decision=400").unwrap();
        assert_eq!((read.event_class.as_str(), read.days), ("decision", 400));
        for bad in ["", "decision", "=400", "decision=", "decision=soon", "decision=99999999999"] {
            assert!(class(bad).is_err(), "{bad}");
        }
    }
}
