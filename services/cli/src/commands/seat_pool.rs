//! `provost seat-pool`.

use clap::{Args, Subcommand};
use proto::seat_pool::v1::{
    AddSeatHolderRequest, CreateSeatPoolRequest, DeleteSeatPoolRequest, GetSeatPoolRequest,
    ListSeatHoldersRequest, ListSeatPoolsRequest, RemoveSeatHolderRequest, SeatPool, UndeleteSeatPoolRequest,
    UpdateSeatPoolRequest, seat_pool_service_client::SeatPoolServiceClient,
};

use crate::{
    app::{App, Page},
    args::{ChangeArgs, DangerArgs, ListArgs, Verb, VerbArgs, Words, YesArgs},
    client::{Link, MAX_ANSWER_BYTES},
    error::{Exit, Result},
    names::{Name, beside},
};

/// Verbs of seat pools.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Create a seat pool
    Create {
        /// `TENANT/ID` or `ID`
        name: String,
        #[command(flatten)]
        words: Words,
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// Show a seat pool, deleted or not
    Get {
        /// Which one
        name: String,
    },
    /// List the seat pools of a tenant
    ///
    /// Filter by `seat_pool_id`, `display_name`, `description`, `create_time`, `update_time`; order by `seat_pool_id`,
    /// `display_name`, `create_time`, `update_time`.
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
    /// Change a seat pool
    Update {
        #[command(flatten)]
        verb: VerbArgs,
        #[command(flatten)]
        words: Words,
    },
    /// Delete a seat pool that no rule names; undelete brings it back
    Delete(DangerArgs),
    /// Bring a deleted seat pool back
    Undelete(VerbArgs),
    /// Give a principal a seat
    AddHolder(HolderArgs),
    /// Take a seat away
    RemoveHolder {
        #[command(flatten)]
        holder: HolderArgs,
        #[command(flatten)]
        yes: YesArgs,
    },
    /// List who holds a seat
    ///
    /// Filter and order by `holder_id`, `create_time`.
    Holders {
        /// Which seat pool
        name: String,
        #[command(flatten)]
        list: ListArgs,
    },
}

/// A seat pool and somebody with a seat.
#[derive(Args, Debug)]
pub struct HolderArgs {
    /// Which seat pool
    name: String,
    /// The principal: `ID` or a full name
    #[arg(long, value_name = "PRINCIPAL")]
    holder: String,
    #[command(flatten)]
    change: ChangeArgs,
}

impl HolderArgs {
    fn names(&self, app: &App<'_, '_>) -> Result<(String, String)> {
        let pool = app.names.in_tenant("seatPools", &self.name)?;
        let id = self.holder.strip_prefix("principal:").unwrap_or(&self.holder);
        Ok((pool.to_string(), beside(&pool.parent, "principals", id)?))
    }
}

fn client(link: Link) -> SeatPoolServiceClient<Link> {
    SeatPoolServiceClient::new(link).max_decoding_message_size(MAX_ANSWER_BYTES)
}

/// Runs a verb.
pub async fn run(command: Command, app: &mut App<'_, '_>) -> Result<Exit> {
    match command {
        Command::Create { name, words, change } => {
            let Name { parent, id: seat_pool_id, .. } = app.names.in_tenant("seatPools", &name)?;
            let (request_id, validate_only) = (change.request_id(), change.validate_only);
            let seat_pool = Some(said(words));
            let request =
                CreateSeatPoolRequest { parent, seat_pool_id, seat_pool, request_id, validate_only };
            app.change(request, async |l, r| client(l).create_seat_pool(r).await).await
        }
        Command::Get { name } => {
            let request = GetSeatPoolRequest { name: app.names.in_tenant("seatPools", &name)?.to_string() };
            app.read(false, request, async |l, r| client(l).get_seat_pool(r).await).await
        }
        Command::List { parent, show_deleted, list } => {
            let parent = app.names.tenant(parent.as_deref())?;
            let ask = |Page { filter, order_by, page_size, page_token }| {
                let parent = parent.clone();
                ListSeatPoolsRequest { parent, page_size, page_token, filter, order_by, show_deleted }
            };
            app.list(false, &list, ask, async |l, r| client(l).list_seat_pools(r).await).await
        }
        Command::Update { verb, words } => {
            let update_mask = words.mask()?;
            let full = app.names.in_tenant("seatPools", &verb.name)?;
            let Verb { name, etag, request_id, validate_only } = verb.on(full);
            let seat_pool = Some(SeatPool { name, etag, ..said(words) });
            let request = UpdateSeatPoolRequest { seat_pool, update_mask, request_id, validate_only };
            app.change(request, async |l, r| client(l).update_seat_pool(r).await).await
        }
        Command::Delete(args) => {
            let full = app.names.in_tenant("seatPools", &args.verb.name)?;
            let Verb { name, etag, request_id, validate_only } = app.danger("delete", &args, full)?;
            let request = DeleteSeatPoolRequest { name, etag, request_id, validate_only };
            app.change(request, async |l, r| client(l).delete_seat_pool(r).await).await
        }
        Command::Undelete(args) => {
            let full = app.names.in_tenant("seatPools", &args.name)?;
            let Verb { name, etag, request_id, validate_only } = args.on(full);
            let request = UndeleteSeatPoolRequest { name, etag, request_id, validate_only };
            app.change(request, async |l, r| client(l).undelete_seat_pool(r).await).await
        }
        Command::AddHolder(args) => add_holder(&args, app).await,
        Command::RemoveHolder { holder, yes } => remove_holder(&holder, yes, app).await,
        Command::Holders { name, list } => {
            let parent = app.names.in_tenant("seatPools", &name)?.to_string();
            let ask = |Page { filter, order_by, page_size, page_token }| ListSeatHoldersRequest {
                parent: parent.clone(),
                page_size,
                page_token,
                filter,
                order_by,
            };
            app.list(false, &list, ask, async |l, r| client(l).list_seat_holders(r).await).await
        }
    }
}

/// What is said of one.
fn said(words: Words) -> SeatPool {
    SeatPool {
        display_name: words.display_name.unwrap_or_default(),
        description: words.description.unwrap_or_default(),
        ..SeatPool::default()
    }
}

async fn add_holder(args: &HolderArgs, app: &mut App<'_, '_>) -> Result<Exit> {
    let (name, holder) = args.names(app)?;
    let (request_id, validate_only) = (args.change.request_id(), args.change.validate_only);
    let request = AddSeatHolderRequest { name, holder, request_id, validate_only };
    app.change(request, async |l, r| client(l).add_seat_holder(r).await).await
}

async fn remove_holder(args: &HolderArgs, yes: YesArgs, app: &mut App<'_, '_>) -> Result<Exit> {
    let (name, holder) = args.names(app)?;
    app.confirm(&format!("take a seat away from {holder}, of"), &name, &args.change, yes)?;
    let (request_id, validate_only) = (args.change.request_id(), args.change.validate_only);
    let request = RemoveSeatHolderRequest { name, holder, request_id, validate_only };
    app.change(request, async |l, r| client(l).remove_seat_holder(r).await).await
}
