//! `provost unit`.

use clap::{Args, Subcommand};
use proto::unit::v1::{
    CreateUnitRequest, DeleteUnitRequest, GetUnitRequest, ListUnitsRequest, UndeleteUnitRequest, Unit,
    UpdateUnitRequest, unit_service_client::UnitServiceClient,
};

use crate::{
    app::{App, Page},
    args::{ChangeArgs, DangerArgs, ListArgs, Verb, VerbArgs, mask},
    client::{Link, MAX_ANSWER_BYTES},
    error::{Exit, Result},
    names::{Name, beside},
};

/// Verbs of units.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Create a unit
    Create {
        /// `TENANT/ID` or `ID`
        name: String,
        #[command(flatten)]
        fields: Fields,
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// Show a unit, deleted or not
    Get {
        /// Which one
        name: String,
    },
    /// List the units of a tenant
    ///
    /// Filter by `unit_id`, `display_name`, `parent_unit_id`, `cost_center`, `create_time`, `update_time`; order by
    /// `unit_id`, `display_name`, `create_time`, `update_time`.
    List {
        /// Of which tenant; the context's by default
        #[arg(value_name = "TENANT")]
        parent: Option<String>,
        /// Deleted ones too
        #[arg(long)]
        show_deleted: bool,
        #[command(flatten)]
        list: ListArgs,
    },
    /// Change a unit, or move it in the tree
    Update {
        #[command(flatten)]
        verb: VerbArgs,
        #[command(flatten)]
        fields: Fields,
    },
    /// Delete a unit; undelete brings it back
    Delete(DangerArgs),
    /// Bring a deleted unit back
    Undelete(VerbArgs),
}

/// What a unit says.
#[derive(Args, Debug)]
pub struct Fields {
    /// For people; required to create one
    #[arg(long)]
    display_name: Option<String>,
    /// The unit above; empty for the top
    #[arg(long, value_name = "UNIT")]
    parent_unit: Option<String>,
    /// The client's own key for charging back
    #[arg(long, value_name = "KEY")]
    cost_center: Option<String>,
}

impl Fields {
    fn unit(self, tenant: &str) -> Result<Unit> {
        let parent_unit = match self.parent_unit.as_deref() {
            None | Some("") => String::new(),
            Some(above) => beside(tenant, "units", above)?,
        };
        Ok(Unit {
            display_name: self.display_name.unwrap_or_default(),
            parent_unit,
            cost_center: self.cost_center.unwrap_or_default(),
            ..Unit::default()
        })
    }
}

fn client(link: Link) -> UnitServiceClient<Link> {
    UnitServiceClient::new(link).max_decoding_message_size(MAX_ANSWER_BYTES)
}

/// Runs a verb.
pub async fn run(command: Command, app: &mut App<'_, '_>) -> Result<Exit> {
    match command {
        Command::Create { name, fields, change } => {
            let Name { parent, id: unit_id, .. } = app.names.in_tenant("units", &name)?;
            let unit = Some(fields.unit(&parent)?);
            let (request_id, validate_only) = (change.request_id(), change.validate_only);
            let request = CreateUnitRequest { parent, unit_id, unit, request_id, validate_only };
            app.change(request, async |l, r| client(l).create_unit(r).await).await
        }
        Command::Get { name } => {
            let request = GetUnitRequest { name: app.names.in_tenant("units", &name)?.to_string() };
            app.read(false, request, async |l, r| client(l).get_unit(r).await).await
        }
        Command::List { parent, show_deleted, list } => {
            let parent = app.names.tenant(parent.as_deref())?;
            let ask = |Page { filter, order_by, page_size, page_token }| {
                let parent = parent.clone();
                ListUnitsRequest { parent, page_size, page_token, filter, order_by, show_deleted }
            };
            app.list(false, &list, ask, async |l, r| client(l).list_units(r).await).await
        }
        Command::Update { verb, fields } => update(&verb, fields, app).await,
        Command::Delete(args) => {
            let full = app.names.in_tenant("units", &args.verb.name)?;
            let Verb { name, etag, request_id, validate_only } = app.danger("delete", &args, full)?;
            let request = DeleteUnitRequest { name, etag, request_id, validate_only };
            app.change(request, async |l, r| client(l).delete_unit(r).await).await
        }
        Command::Undelete(args) => {
            let full = app.names.in_tenant("units", &args.name)?;
            let Verb { name, etag, request_id, validate_only } = args.on(full);
            let request = UndeleteUnitRequest { name, etag, request_id, validate_only };
            app.change(request, async |l, r| client(l).undelete_unit(r).await).await
        }
    }
}

async fn update(verb: &VerbArgs, fields: Fields, app: &mut App<'_, '_>) -> Result<Exit> {
    let full = app.names.in_tenant("units", &verb.name)?;
    let update_mask = mask(&[
        ("display_name", fields.display_name.is_some()),
        ("parent_unit", fields.parent_unit.is_some()),
        ("cost_center", fields.cost_center.is_some()),
    ])?;
    let changed = fields.unit(&full.parent)?;
    let Verb { name, etag, request_id, validate_only } = verb.on(full);
    let unit = Some(Unit { name, etag, ..changed });
    let request = UpdateUnitRequest { unit, update_mask, request_id, validate_only };
    app.change(request, async |l, r| client(l).update_unit(r).await).await
}
