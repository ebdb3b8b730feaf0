//! `provost audit link`: paths by which a tool without headers mirrors a log.

use clap::{ArgGroup, Args, Subcommand};
use prost_types::Timestamp;
use proto::audit::v1::{
    CreateMirrorLinkRequest, ListMirrorLinksRequest, MirrorLink, RevokeMirrorLinkRequest,
};

use super::client;
use crate::{
    app::{App, Page},
    args::{ChangeArgs, ListArgs, YesArgs, later, time},
    client::Repeat,
    error::{Exit, Result},
    output::Format,
};

/// Verbs of mirror links.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a link and show its path, once
    Create(Create),
    /// List links, never their paths
    ///
    /// Filter by `display_name`, `create_time`, `expire_time`, `revoke_time`; order by `create_time`, `expire_time`.
    List {
        /// To whose log: `TENANT` or `partners/PARTNER`; --platform for the platform
        parent: Option<String>,
        #[command(flatten)]
        list: ListArgs,
    },
    /// Revoke a link; its path leads nowhere from the next request on
    Revoke {
        /// Which one, as `audit link list` names it
        name: String,
        #[command(flatten)]
        change: ChangeArgs,
        #[command(flatten)]
        yes: YesArgs,
    },
}

/// A new link.
#[derive(Args, Debug)]
#[command(group = ArgGroup::new("end").args(["expires_in", "expire_time"]))]
pub struct Create {
    /// To whose log: `TENANT` or `partners/PARTNER`; --platform for the platform
    parent: Option<String>,
    /// Who reads through it
    #[arg(long)]
    display_name: String,
    /// How long it is good, at most a year
    #[arg(long, value_name = "TIME", default_value = "90d", value_parser = later)]
    expires_in: Timestamp,
    /// When it ends, instead of --expires-in
    #[arg(long, value_name = "TIME", value_parser = time)]
    expire_time: Option<Timestamp>,
    /// Check permission and input, change nothing
    #[arg(long)]
    validate_only: bool,
}

/// Runs a verb.
pub async fn run(command: Command, app: &mut App<'_, '_>) -> Result<Exit> {
    match command {
        Command::Create(args) => create(args, app).await,
        Command::List { parent, list } => {
            let parent = app.names.scope(parent.as_deref())?;
            let ask = |Page { filter, order_by, page_size, page_token }| ListMirrorLinksRequest {
                parent: parent.clone(),
                page_size,
                page_token,
                filter,
                order_by,
            };
            app.list(false, &list, ask, async |l, r| client(l).list_mirror_links(r).await).await
        }
        Command::Revoke { name, change, yes } => {
            let name = app.names.in_scope("mirrorLinks", &name)?.to_string();
            app.confirm("revoke", &name, &change, yes)?;
            let request = RevokeMirrorLinkRequest {
                name,
                request_id: change.request_id(),
                validate_only: change.validate_only,
            };
            app.change(request, async |l, r| client(l).revoke_mirror_link(r).await).await
        }
    }
}

async fn create(args: Create, app: &mut App<'_, '_>) -> Result<Exit> {
    let link = MirrorLink {
        display_name: args.display_name,
        expire_time: args.expire_time.or(Some(args.expires_in)),
        ..MirrorLink::default()
    };
    let request = CreateMirrorLinkRequest {
        parent: app.names.scope(args.parent.as_deref())?,
        mirror_link: Some(link),
        validate_only: args.validate_only,
    };
    let rpc = async |l, r| client(l).create_mirror_link(r).await;
    let made = app.client()?.call(Repeat::of_change(&request), &request, rpc).await?;
    app.changed(args.validate_only, &made)?;
    if !made.path.is_empty() && app.format() == Format::Table {
        app.console.note(
            "warning: the path is shown this once, and whoever has it reads the log; mirror with `provost audit mirror --url PATH --out DIR`",
        );
    }
    Ok(Exit::OK)
}
