//! `provost stage-override`.

use clap::Subcommand;
use proto::{
    catalog::v1::Stage,
    stage_override::v1::{
        CreateStageOverrideRequest, DeleteStageOverrideRequest, GetStageOverrideRequest,
        ListStageOverridesRequest, StageOverride, UpdateStageOverrideRequest,
        stage_override_service_client::StageOverrideServiceClient,
    },
};

use crate::{
    app::{App, Page},
    args::{ChangeArgs, DangerArgs, ListArgs, Verb, VerbArgs, YesArgs, choice, mask},
    client::{Link, MAX_ANSWER_BYTES},
    error::{Exit, Result},
    names,
};

const COLLECTION: &str = "stageOverrides";

/// Verbs of stage overrides.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Hold a plugin to a stricter stage in a tenant; to withdraw it is the tenant's kill switch
    Create {
        /// `TENANT/ID` or `ID`; without it the server chooses an id
        name: Option<String>,
        /// `MARKETPLACE/PLUGIN`
        #[arg(long)]
        plugin: String,
        /// The stage; not looser than the platform's
        #[arg(long, value_parser = choice("provost.catalog.v1.Stage"))]
        stage: i32,
        /// Why, for whoever asks later
        #[arg(long, default_value = "", hide_default_value = true)]
        reason: String,
        #[command(flatten)]
        change: ChangeArgs,
        #[command(flatten)]
        yes: YesArgs,
    },
    /// Show an override, and the stage that counts
    Get {
        /// Which one
        name: String,
    },
    /// List the overrides of a tenant
    ///
    /// Filter by `stage_override_id`, `plugin`, `stage`, `reason`, `create_time`, `update_time`; order by
    /// `stage_override_id`, `create_time`, `update_time`.
    List {
        /// Of which tenant; the context's by default
        #[arg(value_name = "TENANT")]
        parent: Option<String>,
        #[command(flatten)]
        list: ListArgs,
    },
    /// Change an override
    Update {
        #[command(flatten)]
        verb: VerbArgs,
        /// The new stage
        #[arg(long, value_parser = choice("provost.catalog.v1.Stage"))]
        stage: Option<i32>,
        /// Why
        #[arg(long)]
        reason: Option<String>,
        #[command(flatten)]
        yes: YesArgs,
    },
    /// Delete an override for good; the platform's stage counts again
    Delete(DangerArgs),
}

fn client(link: Link) -> StageOverrideServiceClient<Link> {
    StageOverrideServiceClient::new(link).max_decoding_message_size(MAX_ANSWER_BYTES)
}

/// Asks before a plugin is withdrawn.
fn confirm(app: &mut App<'_, '_>, stage: i32, of: &str, change: &ChangeArgs, yes: YesArgs) -> Result<()> {
    if stage == i32::from(Stage::Withdrawn) {
        app.confirm("withdraw from everybody in the tenant", of, change, yes)?;
    }
    Ok(())
}

/// Runs a verb.
pub async fn run(command: Command, app: &mut App<'_, '_>) -> Result<Exit> {
    match command {
        Command::Create { name, plugin, stage, reason, change, yes } => {
            let (parent, stage_override_id) = match name {
                Some(name) => {
                    let name = app.names.in_tenant(COLLECTION, &name)?;
                    (name.parent, name.id)
                }
                None => (app.names.tenant(None)?, String::new()),
            };
            let plugin = names::plugin(&plugin)?;
            confirm(app, stage, &plugin, &change, yes)?;
            let new = StageOverride { plugin, stage, reason, ..Default::default() };
            let request = CreateStageOverrideRequest {
                parent,
                stage_override_id,
                stage_override: Some(new),
                request_id: change.request_id(),
                validate_only: change.validate_only,
            };
            app.change(request, async |l, r| client(l).create_stage_override(r).await).await
        }
        Command::Get { name } => {
            let request =
                GetStageOverrideRequest { name: app.names.in_tenant(COLLECTION, &name)?.to_string() };
            app.read(false, request, async |l, r| client(l).get_stage_override(r).await).await
        }
        Command::List { parent, list } => {
            let parent = app.names.tenant(parent.as_deref())?;
            let ask = |Page { filter, order_by, page_size, page_token }| ListStageOverridesRequest {
                parent: parent.clone(),
                page_size,
                page_token,
                filter,
                order_by,
            };
            app.list(false, &list, ask, async |l, r| client(l).list_stage_overrides(r).await).await
        }
        Command::Update { verb, stage, reason, yes } => {
            let update_mask = mask(&[("stage", stage.is_some()), ("reason", reason.is_some())])?;
            let full = app.names.in_tenant(COLLECTION, &verb.name)?;
            let Verb { name, etag, request_id, validate_only } = verb.on(full);
            let (stage, reason) = (stage.unwrap_or_default(), reason.unwrap_or_default());
            confirm(app, stage, &name, &verb.change, yes)?;
            let new = StageOverride { name, etag, stage, reason, ..Default::default() };
            let request = UpdateStageOverrideRequest {
                stage_override: Some(new),
                update_mask,
                request_id,
                validate_only,
            };
            app.change(request, async |l, r| client(l).update_stage_override(r).await).await
        }
        Command::Delete(args) => {
            let full = app.names.in_tenant(COLLECTION, &args.verb.name)?;
            let Verb { name, etag, request_id, validate_only } =
                app.danger("delete for good", &args, full)?;
            let request = DeleteStageOverrideRequest { name, etag, request_id, validate_only };
            app.change(request, async |l, r| client(l).delete_stage_override(r).await).await
        }
    }
}
