//! `provost meter`: what can be counted.

use clap::{
    Args, Subcommand,
    builder::{PossibleValuesParser, TypedValueParser},
};
use proto::usage::v1::{
    ArchiveUsageMeterRequest, CreateUsageMeterRequest, GetUsageMeterRequest, ListMetersRequest, Meter,
    UpdateUsageMeterRequest,
};

use super::usage::client;
use crate::{
    app::{App, Page},
    args::{ChangeArgs, DangerArgs, PageArgs, Verb, VerbArgs, mask},
    error::{Exit, Result},
    names::Name,
};

const COLLECTION: &str = "usageMeters";

/// Verbs of meters.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Define a meter of the tenant's own; it counts what comes in from now on
    Create {
        /// `TENANT/KEY` or `KEY`
        name: String,
        #[command(flatten)]
        definition: Definition,
        /// Count the events that are stored already, too
        #[arg(long)]
        backfill: bool,
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// Show a meter of the tenant's own, archived or not
    Get {
        /// Which one
        name: String,
        /// Which version; the newest by default
        #[arg(long, default_value_t, hide_default_value = true)]
        version: i64,
    },
    /// List the built-in meters and the tenant's own
    List {
        /// Of which tenant; the context's by default, and without one the built-in meters alone
        #[arg(value_name = "TENANT")]
        parent: Option<String>,
        /// Archived ones too
        #[arg(long)]
        show_archived: bool,
        /// Every version, not only the newest
        #[arg(long)]
        show_versions: bool,
        #[command(flatten)]
        page: PageArgs,
    },
    /// Define a meter anew: a further version counts what comes in from now on
    Update {
        #[command(flatten)]
        verb: VerbArgs,
        #[command(flatten)]
        definition: Definition,
    },
    /// End a meter for good; its figures stay
    Archive(DangerArgs),
}

/// What a meter counts.
#[derive(Args, Debug)]
pub struct Definition {
    /// The events that it counts: those of exactly this type; required to create one
    #[arg(long = "type", value_name = "TYPE")]
    event_type: Option<String>,
    /// How figures of several events become one; required to create one
    #[arg(long, value_parser = aggregation())]
    aggregation: Option<String>,
    /// What of an event it looks at: `data.value`, `data.values.NAME`, or `principal` for unique-count; nothing for count
    #[arg(long = "value", value_name = "PATH")]
    value_path: Option<String>,
    /// What one of it is, such as `pages`; required to create one
    #[arg(long)]
    unit: Option<String>,
    /// Digits after the point, 0 to 9
    #[arg(long)]
    scale: Option<i32>,
    /// A dimension that its figures can be told apart by; repeatable
    #[arg(long = "dim", value_name = "DIMENSION", value_delimiter = ',')]
    dims: Vec<String>,
    /// Take quantities below zero: `true` or `false`
    #[arg(long, value_name = "BOOL")]
    allow_negative: Option<bool>,
    /// What it means
    #[arg(long)]
    description: Option<String>,
}

/// Its short names, read as the contract writes them.
fn aggregation() -> impl TypedValueParser<Value = String> {
    let words = ["sum", "count", "unique-count", "max", "min", "latest", "avg"];
    PossibleValuesParser::new(words).map(|word| word.to_uppercase().replace('-', "_"))
}

impl Definition {
    fn mask(&self) -> Result<Option<prost_types::FieldMask>> {
        mask(&[
            ("event_type", self.event_type.is_some()),
            ("aggregation", self.aggregation.is_some()),
            ("value_path", self.value_path.is_some()),
            ("unit", self.unit.is_some()),
            ("scale", self.scale.is_some()),
            ("dims", !self.dims.is_empty()),
            ("allow_negative", self.allow_negative.is_some()),
            ("description", self.description.is_some()),
        ])
    }

    fn said(self) -> Meter {
        Meter {
            event_type: self.event_type.unwrap_or_default(),
            aggregation: self.aggregation.unwrap_or_default(),
            value_path: self.value_path.unwrap_or_default(),
            unit: self.unit.unwrap_or_default(),
            scale: self.scale.unwrap_or_default(),
            dims: self.dims,
            allow_negative: self.allow_negative.unwrap_or_default(),
            description: self.description.unwrap_or_default(),
            ..Meter::default()
        }
    }
}

/// Runs a verb.
pub async fn run(command: Command, app: &mut App<'_, '_>) -> Result<Exit> {
    match command {
        Command::Create { name, definition, backfill, change } => {
            let Name { parent, id: meter_id, .. } = app.names.in_tenant(COLLECTION, &name)?;
            let (request_id, validate_only) = (change.request_id(), change.validate_only);
            let meter = Some(definition.said());
            let request =
                CreateUsageMeterRequest { parent, meter_id, meter, request_id, validate_only, backfill };
            app.change(request, async |l, r| client(l).create_usage_meter(r).await).await
        }
        Command::Get { name, version } => {
            let name = app.names.in_tenant(COLLECTION, &name)?.to_string();
            let request = GetUsageMeterRequest { name, version };
            app.read(false, request, async |l, r| client(l).get_usage_meter(r).await).await
        }
        Command::List { parent, show_archived, show_versions, page } => {
            let parent = match parent {
                Some(parent) => app.names.tenant(Some(&parent))?,
                None => app.names.tenant(None).unwrap_or_default(),
            };
            let ask = |Page { page_size, page_token, .. }| {
                let parent = parent.clone();
                ListMetersRequest { page_size, page_token, parent, show_archived, show_versions }
            };
            app.list_plain(&page, ask, async |l, r| client(l).list_meters(r).await).await
        }
        Command::Update { verb, definition } => {
            let update_mask = definition.mask()?;
            let full = app.names.in_tenant(COLLECTION, &verb.name)?;
            let Verb { name, etag, request_id, validate_only } = verb.on(full);
            let meter = Some(Meter { name, etag, ..definition.said() });
            let request = UpdateUsageMeterRequest { meter, update_mask, request_id, validate_only };
            app.change(request, async |l, r| client(l).update_usage_meter(r).await).await
        }
        Command::Archive(args) => {
            let full = app.names.in_tenant(COLLECTION, &args.verb.name)?;
            let Verb { name, etag, request_id, validate_only } = app.danger("archive", &args, full)?;
            let request = ArchiveUsageMeterRequest { name, etag, request_id, validate_only };
            app.change(request, async |l, r| client(l).archive_usage_meter(r).await).await
        }
    }
}
