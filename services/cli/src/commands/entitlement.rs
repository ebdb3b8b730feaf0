//! `provost entitlement`.

use clap::{Args, Subcommand};
use prost_types::Timestamp;
use proto::entitlement::v1::{
    CreateEntitlementRequest, DeleteEntitlementRequest, Entitlement, GetEntitlementRequest,
    ListEntitlementsRequest, ProposedChange, ProposedEntitlement, UpdateEntitlementRequest,
    entitlement_service_client::EntitlementServiceClient, proposed_change::Change,
};

use crate::{
    app::{App, Page},
    args::{Bound, ChangeArgs, DangerArgs, ListArgs, Verb, VerbArgs, bound, choice, mask, time},
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
    /// Filter by `entitlement_id`, `role_id`, `target`, `effect`, `seat_pool_id`, `create_time`; order by `entitlement_id`,
    /// `create_time`.
    List {
        /// Of which tenant; the context's by default
        #[arg(value_name = "TENANT")]
        parent: Option<String>,
        #[command(flatten)]
        list: ListArgs,
    },
    /// Change the terms of a rule; whom and what it is about never changes
    Update(Update),
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
    /// What: `MARKETPLACE`, `MARKETPLACE/PLUGIN`, a part: `MARKETPLACE/PLUGIN/apps/KEY`, `…/skills/SKILL`, or
    /// `plugin-group:ID`
    #[arg(long)]
    target: String,
    /// What happens
    #[arg(long, value_parser = choice("provost.entitlement.v1.Effect"))]
    effect: i32,
    /// Least mature stage that it allows; LIVE by default
    #[arg(long, value_parser = choice("provost.catalog.v1.Stage"))]
    max_stage: Option<i32>,
    /// Only for holders of a seat of this pool
    #[arg(long, value_name = "POOL")]
    seat_pool: Option<String>,
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
        let seat_pool =
            self.seat_pool.as_deref().map(|pool| beside(&parent, "seatPools", pool)).transpose()?;
        let entitlement = Entitlement {
            role,
            target: target(&parent, &self.target)?,
            seat_pool: seat_pool.unwrap_or_default(),
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

/// New terms of a rule.
#[derive(Args, Debug)]
pub struct Update {
    #[command(flatten)]
    verb: VerbArgs,
    /// Least mature stage that it allows
    #[arg(long, value_parser = choice("provost.catalog.v1.Stage"))]
    max_stage: Option<i32>,
    /// Only for holders of a seat of this pool; `none` for everybody
    #[arg(long, value_name = "POOL")]
    seat_pool: Option<String>,
    /// From when; `none` for always
    #[arg(long, value_name = "TIME", value_parser = bound)]
    not_before: Option<Bound>,
    /// Until when, exclusive; `none` for ever
    #[arg(long, value_name = "TIME", value_parser = bound)]
    not_after: Option<Bound>,
    /// Why, for whoever asks later
    #[arg(long)]
    reason: Option<String>,
}

impl Update {
    fn request(self, app: &App<'_, '_>) -> Result<UpdateEntitlementRequest> {
        let update_mask = mask(&[
            ("max_stage", self.max_stage.is_some()),
            ("seat_pool", self.seat_pool.is_some()),
            ("not_before", self.not_before.is_some()),
            ("not_after", self.not_after.is_some()),
            ("reason", self.reason.is_some()),
        ])?;
        let full = app.names.in_tenant("entitlements", &self.verb.name)?;
        let seat_pool = match self.seat_pool.as_deref() {
            None | Some("none") => String::new(),
            Some(pool) => beside(&full.parent, "seatPools", pool)?,
        };
        let Verb { name, etag, request_id, validate_only } = self.verb.on(full);
        let entitlement = Entitlement {
            name,
            etag,
            max_stage: self.max_stage.unwrap_or_default(),
            seat_pool,
            not_before: self.not_before.and_then(|Bound(time)| time),
            not_after: self.not_after.and_then(|Bound(time)| time),
            reason: self.reason.unwrap_or_default(),
            ..Entitlement::default()
        };
        let entitlement = Some(entitlement);
        Ok(UpdateEntitlementRequest { entitlement, update_mask, request_id, validate_only })
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
        Command::Update(args) => {
            let request = args.request(app)?;
            app.change(request, async |l, r| client(l).update_entitlement(r).await).await
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
