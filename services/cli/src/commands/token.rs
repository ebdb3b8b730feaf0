//! `provost token`, `provost bootstrap` and `provost whoami`.

use std::{fs, io::Write as _, path::PathBuf};

use clap::{ArgGroup, Args, Subcommand};
use prost_types::Timestamp;
use proto::token::v1::{
    BootstrapRequest, CreateTokenRequest, CreateTokenResponse, ListTokensRequest, RevokeTokenRequest, Token,
    TokenKind, TokenScope, WhoAmIRequest, token_service_client::TokenServiceClient,
};

use crate::{
    app::{App, Page},
    args::{ChangeArgs, ListArgs, WatchArgs, YesArgs, choice, later, time},
    client::{Link, MAX_ANSWER_BYTES, Repeat},
    context::create_private,
    error::{Error, Exit, Result},
    output::Format,
};

/// Verbs of tokens.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Create a token and show its secret, once
    Create(Create),
    /// List tokens, never their secrets
    ///
    /// Filter by `kind`, `principal_id`, `display_name`, `create_time`, `expire_time`, `revoke_time`; order by
    /// `create_time`, `expire_time`.
    List {
        /// Of what: `TENANT` or `partners/PARTNER`; --platform for the platform
        parent: Option<String>,
        #[command(flatten)]
        list: ListArgs,
        #[command(flatten)]
        watch: WatchArgs,
    },
    /// Revoke a token; it is good for nothing from the next call on
    Revoke {
        /// Which one, as `token list` names it
        name: String,
        #[command(flatten)]
        change: ChangeArgs,
        #[command(flatten)]
        yes: YesArgs,
    },
}

/// A new token.
#[derive(Args, Debug)]
#[command(group = ArgGroup::new("end").args(["expires_in", "expire_time"]))]
pub struct Create {
    /// Whose it is; only an ingest token of a whole tenant is nobody's
    #[arg(long)]
    principal: Option<String>,
    /// What it is
    #[arg(long, default_value = "personal", value_parser = choice("provost.token.v1.TokenKind"))]
    kind: i32,
    /// What it is for
    #[arg(long)]
    display_name: String,
    /// What it may be used for; repeatable [default: all, and ingest for an ingest token]
    #[arg(long = "scope", value_delimiter = ',', value_parser = choice("provost.token.v1.TokenScope"))]
    scopes: Vec<i32>,
    /// How long it is good, at most a year
    #[arg(long, value_name = "TIME", default_value = "90d", value_parser = later)]
    expires_in: Timestamp,
    /// When it ends, instead of --expires-in
    #[arg(long, value_name = "TIME", value_parser = time)]
    expire_time: Option<Timestamp>,
    #[command(flatten)]
    secret: SecretArgs,
    /// Check permission and input, change nothing
    #[arg(long)]
    validate_only: bool,
}

/// The first administrator.
#[derive(Args, Debug)]
pub struct Bootstrap {
    /// Its id
    #[arg(long, value_name = "ID", default_value = "admin")]
    principal_id: String,
    /// For people
    #[arg(long, default_value = "Platform administrator")]
    display_name: String,
    /// Mail address
    #[arg(long, default_value = "", hide_default_value = true)]
    email: String,
    #[command(flatten)]
    secret: SecretArgs,
}

/// Where a new secret goes.
#[derive(Args, Debug)]
pub struct SecretArgs {
    /// New file for the secret (mode 0600), which is then not printed
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,
}

fn client(link: Link) -> TokenServiceClient<Link> {
    TokenServiceClient::new(link).max_decoding_message_size(MAX_ANSWER_BYTES)
}

/// Runs a verb.
pub async fn run(command: Command, app: &mut App<'_, '_>) -> Result<Exit> {
    match command {
        Command::Create(args) => create(args, app).await,
        Command::List { parent, list, watch } => {
            let parent = app.names.scope(parent.as_deref())?;
            let ask = |Page { filter, order_by, page_size, page_token }| ListTokensRequest {
                parent: parent.clone(),
                page_size,
                page_token,
                filter,
                order_by,
            };
            app.list(watch.watch, &list, ask, async |l, r| client(l).list_tokens(r).await).await
        }
        Command::Revoke { name, change, yes } => {
            let name = app.names.in_scope("tokens", &name)?.to_string();
            app.confirm("revoke", &name, &change, yes)?;
            let (request_id, validate_only) = (change.request_id(), change.validate_only);
            let request = RevokeTokenRequest { name, request_id, validate_only };
            app.change(request, async |l, r| client(l).revoke_token(r).await).await
        }
    }
}

async fn create(args: Create, app: &mut App<'_, '_>) -> Result<Exit> {
    let (parent, principal) = match &args.principal {
        Some(principal) => {
            let name = app.names.in_scope("principals", principal)?;
            (name.parent.clone(), name.to_string())
        }
        None => (app.names.scope(None)?, String::new()),
    };
    let usual = if args.kind == i32::from(TokenKind::Ingest) { TokenScope::Ingest } else { TokenScope::All };
    let token = Token {
        principal,
        kind: args.kind,
        display_name: args.display_name,
        scopes: if args.scopes.is_empty() { vec![usual.into()] } else { args.scopes },
        expire_time: args.expire_time.or(Some(args.expires_in)),
        ..Token::default()
    };
    let request = CreateTokenRequest { parent, token: Some(token), validate_only: args.validate_only };
    let client_of = app.client()?;
    if args.validate_only {
        return app.change(request, async |l, r| client(l).create_token(r).await).await;
    }
    keep(args.secret, app, async || {
        client_of.call(Repeat::Never, &request, async |l, r| client(l).create_token(r).await).await
    })
    .await
}

/// Uses up a bootstrap token.
pub async fn bootstrap(args: Bootstrap, app: &mut App<'_, '_>) -> Result<Exit> {
    let Bootstrap { principal_id, display_name, email, secret } = args;
    let request = BootstrapRequest { principal_id, display_name, email };
    let client_of = app.client()?;
    keep(secret, app, async || {
        client_of.call(Repeat::Never, &request, async |l, r| client(l).bootstrap(r).await).await
    })
    .await
}

/// Says who the caller is.
pub async fn whoami(app: &mut App<'_, '_>) -> Result<Exit> {
    app.read(false, WhoAmIRequest {}, async |l, r| client(l).who_am_i(r).await).await
}

/// Makes a token and keeps its secret. The file is made first: a secret that could not be written would be lost.
async fn keep(
    args: SecretArgs,
    app: &mut App<'_, '_>,
    create: impl AsyncFn() -> Result<CreateTokenResponse>,
) -> Result<Exit> {
    let Some(path) = args.secret_file else {
        let made = create().await?;
        return show(app, &made);
    };
    let failed = |e: std::io::Error| {
        Error::Local(format!("the secret file `{}` cannot be written: {e}", path.display()))
    };
    let mut file = create_private(&path).map_err(failed)?;
    let mut made = match create().await {
        Ok(made) => made,
        Err(error) => {
            let _ = fs::remove_file(&path);
            return Err(error);
        }
    };
    let secret = std::mem::take(&mut made.secret);
    writeln!(file, "{secret}").and_then(|()| file.sync_all()).map_err(failed)?;
    show(app, &made)?;
    app.console.note(&format!("the secret is in {}", path.display()));
    Ok(Exit::OK)
}

fn show(app: &mut App<'_, '_>, made: &CreateTokenResponse) -> Result<Exit> {
    app.changed(false, made)?;
    if !made.secret.is_empty() && app.format() == Format::Table {
        app.console.note("warning: the secret is shown this once; keep it where only its owner reads it");
    }
    Ok(Exit::OK)
}
