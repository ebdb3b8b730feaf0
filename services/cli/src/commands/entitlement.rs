//! `provost entitlement`.

use clap::{Args, Subcommand};
use prost_types::Timestamp;
use proto::entitlement::v1::{
    CreateEntitlementRequest, DeleteEntitlementRequest, Entitlement, GetEntitlementRequest,
    ListEntitlementsRequest, ProposedChange, ProposedEntitlement,
    entitlement_service_client::EntitlementServiceClient, proposed_change::Change,
};

use crate::{
    app::{App, Page},
    args::{ChangeArgs, DangerArgs, ListArgs, Verb, choice, time},
    client::{Link, MAX_ANSWER_BYTES},
    commands::policy,
    error::{Exit, Result},
    names::{beside, target},
};

/// Verbs of entitlements.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Create a rule
    Create(Create),
    /// Show a rule
    Get {
        /// Which one
        name: String,
    },
    /// List the rules of a tenant
    ///
    /// Filter by `entitlement_id`, `role_id`, `target`, `effect`, `create_time`; order by `entitlement_id`, `create_time`.
    List {
        /// Of which tenant; the context's by default
        #[arg(value_name = "TENANT")]
        parent: Option<String>,
        #[command(flatten)]
        list: ListArgs,
    },
    /// Delete a rule for good
    Delete(DangerArgs),
}

/// A new rule.
#[derive(Args, Debug)]
pub struct Create {
    /// `TENANT/ID` or `ID`; without it the server chooses an id
    name: Option<String>,
    /// Who: a role of the tenant, or `*` for every principal
    #[arg(long)]
    role: String,
    /// What: `MARKETPLACE`, `MARKETPLACE/PLUGIN`, or a part: `MARKETPLACE/PLUGIN/apps/KEY`, `…/skills/SKILL`
    #[arg(long)]
    target: String,
    /// What happens
    #[arg(long, value_parser = choice("provost.entitlement.v1.Effect"))]
    effect: i32,
    /// Least mature stage that it allows; LIVE by default
    #[arg(long, value_parser = choice("provost.catalog.v1.Stage"))]
    max_stage: Option<i32>,
    /// From when
    #[arg(long, value_name = "TIME", value_parser = time)]
    not_before: Option<Timestamp>,
    /// Until when, exclusive
    #[arg(long, value_name = "TIME", value_parser = time)]
    not_after: Option<Timestamp>,
    /// Why, for whoever asks later
    #[arg(long, default_value = "", hide_default_value = true)]
    reason: String,
    /// Only the owner and compliance may take it away; its effect is `denied`
    #[arg(long)]
    floor: bool,
    /// Tell who would gain and who would lose what, and create nothing; see `policy preview`
    #[arg(long, conflicts_with_all = ["request_id", "validate_only"])]
    preview: bool,
    #[command(flatten)]
    change: ChangeArgs,
}

impl Create {
    fn request(self, app: &App<'_, '_>) -> Result<CreateEntitlementRequest> {
        let (parent, entitlement_id) = match &self.name {
            Some(name) => {
                let name = app.names.in_tenant("entitlements", name)?;
                (name.parent, name.id)
            }
            // A role's name says the tenant as well.
            None if self.role.contains('/') => {
                (app.names.in_tenant("roles", &self.role)?.parent, String::new())
            }
            None => (app.names.tenant(None)?, String::new()),
        };
        let role = if self.role == "*" { self.role } else { beside(&parent, "roles", &self.role)? };
        let entitlement = Entitlement {
            role,
            target: target(&self.target)?,
            effect: self.effect,
            max_stage: self.max_stage.unwrap_or_default(),
            not_before: self.not_before,
            not_after: self.not_after,
            reason: self.reason,
            floor: self.floor,
            ..Entitlement::default()
        };
        Ok(CreateEntitlementRequest {
            parent,
            entitlement_id,
            entitlement: Some(entitlement),
            request_id: self.change.request_id(),
            validate_only: self.change.validate_only,
        })
    }
}

fn client(link: Link) -> EntitlementServiceClient<Link> {
    EntitlementServiceClient::new(link).max_decoding_message_size(MAX_ANSWER_BYTES)
}

/// Runs a verb.
pub async fn run(command: Command, app: &mut App<'_, '_>) -> Result<Exit> {
    match command {
        Command::Create(args) => {
            let preview = args.preview;
            let request = args.request(app)?;
            if preview {
                let CreateEntitlementRequest { parent, entitlement_id, entitlement, .. } = request;
                let proposed = ProposedEntitlement { entitlement_id, entitlement };
                let change = ProposedChange { change: Some(Change::CreateEntitlement(proposed)) };
                return policy::foresee(app, parent, vec![change], &policy::Terms::default()).await;
            }
            app.change(request, async |l, r| client(l).create_entitlement(r).await).await
        }
        Command::Get { name } => {
            let request =
                GetEntitlementRequest { name: app.names.in_tenant("entitlements", &name)?.to_string() };
            app.read(false, request, async |l, r| client(l).get_entitlement(r).await).await
        }
        Command::List { parent, list } => {
            let parent = app.names.tenant(parent.as_deref())?;
            let ask = |Page { filter, order_by, page_size, page_token }| ListEntitlementsRequest {
                parent: parent.clone(),
                page_size,
                page_token,
                filter,
                order_by,
            };
            app.list(false, &list, ask, async |l, r| client(l).list_entitlements(r).await).await
        }
        Command::Delete(args) => {
            let full = app.names.in_tenant("entitlements", &args.verb.name)?;
            let Verb { name, etag, request_id, validate_only } =
                app.danger("delete for good", &args, full)?;
            let request = DeleteEntitlementRequest { name, etag, request_id, validate_only };
            app.change(request, async |l, r| client(l).delete_entitlement(r).await).await
        }
    }
}
