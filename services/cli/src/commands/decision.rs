//! `provost decision`, and its short forms `check`, `explain`, `can-use` and `who-can`.

mod author;

use std::path::PathBuf;

use clap::{Args, Subcommand};
use proto::{
    catalog::v1::{
        ListMarketplacesRequest, ListPluginsRequest, catalog_service_client::CatalogServiceClient,
    },
    decision::v1::{
        BatchCheckRequest, CheckItem, CheckRequest, Decision, ExplainRequest, GetDecisionKeysRequest,
        ListPrincipalsRequest, ListPrincipalsResponse, ListUsableRequest,
        decision_service_client::DecisionServiceClient,
    },
};

use crate::{
    app::App,
    args::PageArgs,
    client::{Link, MAX_ANSWER_BYTES, Repeat},
    error::{Error, Exit, Result},
    names,
    output::{Answer, Format, clean, reflect, rows},
};

/// Verbs of decisions.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Decide, and say why; a no exits with 10
    Check(Question),
    /// Decide many questions at one instant; a no among them exits with 10
    BatchCheck(Batch),
    /// Decide, and tell by which rule, how it came to the principal, and what would change it; a no exits with 10
    Explain(Explained),
    /// List everything that a principal may use
    ListUsable(Usable),
    /// List who may use this
    ListPrincipals(Whom),
    /// Print the keys that sign a tenant's rules for edges, one a line: what `provost edge --vkey` takes
    Keys(Keys),
}

/// Whose keys.
#[derive(Args, Debug)]
pub struct Keys {
    /// Which tenant
    #[arg(value_name = "TENANT")]
    parent: Option<String>,
}

/// A question.
#[derive(Args, Debug)]
#[command(after_help = "Exit code: 0 for a yes, 10 for a no, others as in `provost --help`.")]
pub struct Question {
    /// Who: `TENANT/PRINCIPAL`, or `user:PRINCIPAL`
    principal: String,
    /// What: `MARKETPLACE/PLUGIN`, `plugin:PLUGIN` (also the key of an app), or a part: `MARKETPLACE/PLUGIN/apps/KEY`,
    /// `…/skills/SKILL`
    plugin: String,
    #[command(flatten)]
    by: Revision,
}

/// A question whose answer is told at length.
#[derive(Args, Debug)]
pub struct Explained {
    #[command(flatten)]
    question: Question,
    /// Name who set the rules that decided, from the audit log: only to those who may read it, and the reading is on the record;
    /// with `-o`, in `setBy`
    #[arg(long)]
    set_by: bool,
}

/// By which rules.
#[derive(Args, Debug)]
pub struct Revision {
    /// Decide by nothing older than this: a `revision_token` of an earlier answer
    #[arg(long, value_name = "TOKEN", default_value = "", hide_default_value = true)]
    revision_token: String,
}

/// Many questions.
#[derive(Args, Debug)]
pub struct Batch {
    /// A line for each question: `PRINCIPAL PLUGIN`, at most 1,000; `-` reads standard input
    file: PathBuf,
    #[command(flatten)]
    by: Revision,
}

/// A question about everything.
#[derive(Args, Debug)]
pub struct Usable {
    /// Who: `TENANT/PRINCIPAL`, or `user:PRINCIPAL`
    principal: String,
    #[command(flatten)]
    by: Revision,
}

/// A question about everybody.
#[derive(Args, Debug)]
pub struct Whom {
    /// What: as in `provost check`
    plugin: String,
    #[command(flatten)]
    pages: PageArgs,
    #[command(flatten)]
    by: Revision,
}

fn client(link: Link) -> DecisionServiceClient<Link> {
    DecisionServiceClient::new(link).max_decoding_message_size(MAX_ANSWER_BYTES)
}

/// Runs a verb.
pub async fn run(command: Command, app: &mut App<'_, '_>) -> Result<Exit> {
    match command {
        Command::Check(args) => check(args, app).await,
        Command::BatchCheck(args) => batch(args, app).await,
        Command::Explain(args) => explain(args, app).await,
        Command::ListUsable(args) => usable(args, app).await,
        Command::ListPrincipals(args) => whom(args, app).await,
        Command::Keys(args) => keys(&args, app).await,
    }
}

async fn keys(args: &Keys, app: &mut App<'_, '_>) -> Result<Exit> {
    let request = GetDecisionKeysRequest { parent: app.names.tenant(args.parent.as_deref())? };
    let rpc = async |l, r| client(l).get_decision_keys(r).await;
    let found = app.client()?.call(Repeat::Safe, &request, rpc).await?;
    match app.format() {
        Format::Table => app.console.print(&super::audit::keys::text(&found.verifier_keys))?,
        _ => app.print(&Answer::One(reflect(&found)?))?,
    }
    Ok(Exit::OK)
}

/// Asks for a decision.
pub async fn check(args: Question, app: &mut App<'_, '_>) -> Result<Exit> {
    let (principal, plugin) = (principal(app, &args.principal)?, plugin(app, &args.plugin).await?);
    let request = CheckRequest { principal, plugin, revision_token: args.by.revision_token };
    let decision = app.client()?.call(Repeat::Safe, &request, async |l, r| client(l).check(r).await).await?;
    app.print(&Answer::One(reflect(&decision)?))?;
    Ok(exit(decision.allowed))
}

/// Asks for a decision and all that led to it.
pub async fn explain(args: Explained, app: &mut App<'_, '_>) -> Result<Exit> {
    let Explained { question: args, set_by } = args;
    let (principal, plugin) = (principal(app, &args.principal)?, plugin(app, &args.plugin).await?);
    let request = ExplainRequest { principal, plugin, revision_token: args.by.revision_token };
    let told = app.client()?.call(Repeat::Safe, &request, async |l, r| client(l).explain(r).await).await?;
    let allowed = told.decision.as_ref().is_some_and(|decision| decision.allowed);
    if app.format() != Format::Table {
        let explanation = reflect(&told)?;
        if !set_by {
            app.print(&Answer::One(explanation))?;
            return Ok(exit(allowed));
        }
        let exact = author::exact(&explanation, &told.rules, app).await;
        if exact.is_err() {
            // the answer stands, also for whoever may not know whose it is
            app.print(&Answer::One(explanation))?;
        }
        app.console.print(&exact?)?;
        return Ok(exit(allowed));
    }
    app.console.print(&format!("{}\n", clean(&told.summary)))?;
    if set_by {
        let authors = author::sentences(&told.rules, app).await?;
        app.console.print(&authors)?;
    }
    if !told.rules.is_empty() {
        app.console.print("\n")?;
        let rules = told.rules.iter().map(reflect).collect::<Result<_>>()?;
        app.print(&Answer::All(rules))?;
    }
    Ok(exit(allowed))
}

async fn batch(args: Batch, app: &mut App<'_, '_>) -> Result<Exit> {
    let text = app.read_file(&args.file)?;
    let (mut items, mut parent) = (Vec::new(), String::new());
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let Some((who, what)) = line.split_once(char::is_whitespace) else {
            return Err(Error::Usage(format!("`{line}` is no question; write `PRINCIPAL PLUGIN`")));
        };
        let (principal, plugin) = (principal(app, who)?, plugin(app, what.trim()).await?);
        if parent.is_empty() {
            principal.split("/principals/").next().unwrap_or_default().clone_into(&mut parent);
        }
        items.push(CheckItem { principal, plugin });
    }
    let request = BatchCheckRequest { parent, items, revision_token: args.by.revision_token };
    let answer =
        app.client()?.call(Repeat::Safe, &request, async |l, r| client(l).batch_check(r).await).await?;
    if app.format() == Format::Table {
        let asked = request.items.iter().zip(&answer.decisions);
        let row = |(item, decision): (&CheckItem, &Decision)| {
            let allowed = if decision.allowed { "yes" } else { "no" };
            let reason = decision.reason().as_str_name().trim_start_matches("DECISION_REASON_");
            let rules = decision.entitlements.join(", ");
            [&item.principal, &item.plugin, allowed, reason, &rules].map(clean).to_vec()
        };
        let heading = ["principal", "plugin", "allowed", "reason", "entitlements"];
        app.console.print(&rows(&heading, asked.map(row).collect()))?;
    } else {
        app.print(&Answer::One(reflect(&answer)?))?;
    }
    Ok(exit(answer.decisions.iter().all(|decision| decision.allowed)))
}

/// Lists what somebody may use.
pub async fn usable(args: Usable, app: &mut App<'_, '_>) -> Result<Exit> {
    let principal = principal(app, &args.principal)?;
    let request = ListUsableRequest { principal, revision_token: args.by.revision_token };
    app.read(false, request, async |l, r| client(l).list_usable(r).await).await
}

/// Lists who may use something.
pub async fn whom(args: Whom, app: &mut App<'_, '_>) -> Result<Exit> {
    let (parent, plugin) = (app.names.tenant(None)?, plugin(app, &args.plugin).await?);
    let mut request = ListPrincipalsRequest {
        parent,
        plugin,
        page_size: args.pages.page_size.unwrap_or_default(),
        page_token: args.pages.page_token,
        revision_token: args.by.revision_token,
    };
    let mut found = ListPrincipalsResponse::default();
    loop {
        let page = app
            .client()?
            .call(Repeat::Safe, &request, async |l, r| client(l).list_principals(r).await)
            .await?;
        let mut principals = std::mem::take(&mut found.principals);
        principals.extend(page.principals.iter().cloned());
        found = ListPrincipalsResponse { principals, ..page };
        if !args.pages.all || found.next_page_token.is_empty() {
            break;
        }
        request.page_token.clone_from(&found.next_page_token);
    }
    app.print(&Answer::One(reflect(&found)?))?;
    Ok(Exit::OK)
}

fn exit(allowed: bool) -> Exit {
    if allowed { Exit::OK } else { Exit::DECISION_NO }
}

/// The principal that `maria`, `user:maria` or a longer name stands for.
fn principal(app: &App<'_, '_>, text: &str) -> Result<String> {
    let id = match text.split_once(':') {
        Some(("user" | "service" | "agent" | "principal", id)) => id,
        _ => text,
    };
    Ok(app.names.in_tenant("principals", id)?.to_string())
}

/// The plugin or part that `text` names. An id alone is looked for in every marketplace: as a plugin's, and if there is none,
/// as the key of an app.
async fn plugin(app: &mut App<'_, '_>, text: &str) -> Result<String> {
    let text = text.strip_prefix("plugin:").unwrap_or(text);
    if text.contains('/') {
        return names::plugin_or_part(text);
    }
    names::plugin(&format!("any/{text}"))?;
    let catalog = |link| CatalogServiceClient::<Link>::new(link).max_decoding_message_size(MAX_ANSWER_BYTES);
    let everything = ListMarketplacesRequest { page_size: 1_000, ..Default::default() };
    let app_client = app.client()?;
    let markets = app_client
        .call(Repeat::Safe, &everything, async |l, r| catalog(l).list_marketplaces(r).await)
        .await?;
    let (mut found, mut apps) = (Vec::new(), Vec::new());
    for market in &markets.marketplaces {
        let filter = format!("plugin_id = \"{text}\"");
        let request = ListPluginsRequest { parent: market.name.clone(), filter, ..Default::default() };
        let page =
            app_client.call(Repeat::Safe, &request, async |l, r| catalog(l).list_plugins(r).await).await?;
        found.extend(page.plugins.into_iter().map(|plugin| plugin.name));
    }
    let markets = if found.is_empty() { markets.marketplaces } else { Vec::new() };
    for market in markets {
        let mut request = ListPluginsRequest { parent: market.name, page_size: 1_000, ..Default::default() };
        loop {
            let page = app_client
                .call(Repeat::Safe, &request, async |l, r| catalog(l).list_plugins(r).await)
                .await?;
            let with = page.plugins.iter().filter(|plugin| plugin.apps.iter().any(|app| app.key == text));
            apps.extend(with.map(|plugin| format!("{}/apps/{text}", plugin.name)));
            request.page_token = page.next_page_token;
            if request.page_token.is_empty() {
                break;
            }
        }
    }
    found.append(&mut apps);
    match found.as_slice() {
        [one] => Ok(one.clone()),
        [] => Err(Error::Usage(format!(
            "no marketplace lists a plugin or an app `{text}`; see `provost catalog search`"
        ))),
        several => Err(Error::Usage(format!(
            "`{text}` is listed more than once; write one of: {}",
            several.join(", ")
        ))),
    }
}
