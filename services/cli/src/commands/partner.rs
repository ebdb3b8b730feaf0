//! `provost partner`.

use clap::Subcommand;
use proto::partner::v1::{
    CreatePartnerRequest, DeletePartnerRequest, GetPartnerRequest, GetPortfolioRequest, ListPartnersRequest,
    Partner, UndeletePartnerRequest, UpdatePartnerRequest, partner_service_client::PartnerServiceClient,
};

use crate::{
    app::{App, Page},
    args::{ChangeArgs, DangerArgs, ListArgs, Verb, VerbArgs, WatchArgs, mask},
    client::{Link, MAX_ANSWER_BYTES},
    error::{Exit, Result},
};

/// Verbs of partners.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Create a partner
    Create {
        /// Its id: 1 to 63 of `a-z 0-9 -`
        id: String,
        /// For people
        #[arg(long)]
        display_name: String,
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// Show a partner, deleted or not
    Get {
        /// Which one; the context's by default
        name: Option<String>,
    },
    /// List partners
    ///
    /// Filter by `partner_id`, `display_name`, `create_time`, `update_time`; order by the same.
    List {
        /// Deleted ones too
        #[arg(long)]
        show_deleted: bool,
        #[command(flatten)]
        list: ListArgs,
    },
    /// Change a partner
    Update {
        #[command(flatten)]
        verb: VerbArgs,
        /// For people
        #[arg(long)]
        display_name: Option<String>,
    },
    /// Delete a partner; undelete brings it back
    Delete(DangerArgs),
    /// Bring a deleted partner back
    Undelete(VerbArgs),
    /// Count its clients, contracted seats and weekly active people, stage by stage
    Portfolio {
        /// Which one; the context's by default
        name: Option<String>,
        #[command(flatten)]
        watch: WatchArgs,
    },
}

fn client(link: Link) -> PartnerServiceClient<Link> {
    PartnerServiceClient::new(link).max_decoding_message_size(MAX_ANSWER_BYTES)
}

/// Runs a verb.
pub async fn run(command: Command, app: &mut App<'_, '_>) -> Result<Exit> {
    match command {
        Command::Create { id, display_name, change } => {
            let request = CreatePartnerRequest {
                partner_id: id,
                partner: Some(Partner { display_name, ..Partner::default() }),
                request_id: change.request_id(),
                validate_only: change.validate_only,
            };
            app.change(request, async |l, r| client(l).create_partner(r).await).await
        }
        Command::Get { name } => {
            let request = GetPartnerRequest { name: app.names.partner(name.as_deref())? };
            app.read(false, request, async |l, r| client(l).get_partner(r).await).await
        }
        Command::List { show_deleted, list } => {
            let ask = |p: Page| ListPartnersRequest {
                page_size: p.page_size,
                page_token: p.page_token,
                filter: p.filter,
                order_by: p.order_by,
                show_deleted,
            };
            app.list(false, &list, ask, async |l, r| client(l).list_partners(r).await).await
        }
        Command::Update { verb, display_name } => {
            let update_mask = mask(&[("display_name", display_name.is_some())])?;
            let Verb { name, etag, request_id, validate_only } =
                verb.on(app.names.partner(Some(&verb.name))?);
            let display_name = display_name.unwrap_or_default();
            let partner = Some(Partner { name, display_name, etag, ..Partner::default() });
            let request = UpdatePartnerRequest { partner, update_mask, request_id, validate_only };
            app.change(request, async |l, r| client(l).update_partner(r).await).await
        }
        Command::Delete(args) => {
            let full = app.names.partner(Some(&args.verb.name))?;
            let Verb { name, etag, request_id, validate_only } = app.danger("delete", &args, full)?;
            let request = DeletePartnerRequest { name, etag, request_id, validate_only };
            app.change(request, async |l, r| client(l).delete_partner(r).await).await
        }
        Command::Undelete(args) => {
            let Verb { name, etag, request_id, validate_only } =
                args.on(app.names.partner(Some(&args.name))?);
            let request = UndeletePartnerRequest { name, etag, request_id, validate_only };
            app.change(request, async |l, r| client(l).undelete_partner(r).await).await
        }
        Command::Portfolio { name, watch } => {
            let request = GetPortfolioRequest { name: app.names.partner(name.as_deref())? };
            app.read(watch.watch, request, async |l, r| client(l).get_portfolio(r).await).await
        }
    }
}
