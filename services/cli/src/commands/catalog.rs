//! `provost catalog`: what can be rolled out, as it comes from vendors and as it is released.

mod bind;
mod import;
mod walk;

use std::path::PathBuf;

use clap::{Args, Subcommand};
use prost_types::Timestamp;
use proto::catalog::v1::{
    DiffPluginVersionsRequest, GetPluginVersionRequest, ListPluginVersionsRequest, ListPluginsRequest,
    SetPluginStageRequest, SetPluginVersionStageRequest, Stage, catalog_service_client::CatalogServiceClient,
};

use crate::{
    app::{App, Page},
    args::{ChangeArgs, ListArgs, YesArgs, choice, time},
    client::{Link, MAX_ANSWER_BYTES},
    error::{Exit, Result},
    names,
};

/// Verbs of the catalogue.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Import a marketplace in the format of Codex or Claude Code; the same content again changes nothing
    Import(Import),
    /// Say what an import would change, or what two versions of a plugin have apart
    Diff(Diff),
    /// Move a plugin to another stage, for every tenant at once; `withdrawn` is the kill switch
    Stage(SetStage),
    /// Find plugins in all marketplaces by words
    ///
    /// Every word must occur, in any case, in an id, a name, a description, a category, an app, a connector id, a skill or
    /// an MCP server. Filter by `marketplace_id`, `plugin_id`, `display_name`, `description`, `category`, `version`, `stage`,
    /// `sunset_time`, `has_hooks`, `app`, `connector_id`, `skill`, `mcp_server`, `text`, `create_time`, `update_time`; order
    /// by `plugin_id`, `display_name`, `create_time`, `update_time`.
    Search(Search),
    /// List the versions of a plugin, or show one
    ///
    /// Filter by `version`, `stage`, `sunset_time`, `current`, `has_hooks`, `app`, `connector_id`, `skill`, `mcp_server`,
    /// `create_time`; order by `create_time`, `version`.
    Versions(Versions),
    #[command(flatten)]
    Own(bind::Command),
}

/// What to import.
#[derive(Args, Debug)]
pub struct Import {
    /// The directory, or a tar, tar.gz or zip of it; whatever is called `.git` in it is left out, and links are refused
    path: PathBuf,
    /// Stage of plugin versions not seen before; LIVE by default, because the vendor published them
    #[arg(long, value_name = "STAGE", value_parser = choice("provost.catalog.v1.Stage"))]
    initial_stage: Option<i32>,
    #[command(flatten)]
    change: ChangeArgs,
}

/// What to tell apart.
#[derive(Args, Debug)]
pub struct Diff {
    /// What would be imported: a directory, or a tar, tar.gz or zip of it; with --from and --to `MARKETPLACE/PLUGIN`
    what: String,
    /// First digits of the old version's digest
    #[arg(long, value_name = "DIGEST", requires = "to")]
    from: Option<String>,
    /// First digits of the new version's digest
    #[arg(long, value_name = "DIGEST", requires = "from")]
    to: Option<String>,
}

/// Which stage to set.
#[derive(Args, Debug)]
pub struct SetStage {
    /// `MARKETPLACE/PLUGIN`
    name: String,
    /// The new stage
    #[arg(value_parser = choice("provost.catalog.v1.Stage"))]
    stage: i32,
    /// With `deprecated`: from when it counts as withdrawn, `2027-03-31` or RFC 3339
    #[arg(long, value_name = "TIME", value_parser = time)]
    sunset: Option<Timestamp>,
    /// Of this version instead of the current one: first digits of its digest
    #[arg(long, value_name = "DIGEST")]
    version: Option<String>,
    #[command(flatten)]
    change: ChangeArgs,
    #[command(flatten)]
    yes: YesArgs,
}

/// What to find.
#[derive(Args, Debug)]
pub struct Search {
    /// Words, all of which must occur; none finds everything that the filter lets through
    text: Vec<String>,
    /// Only in this marketplace
    #[arg(long, value_name = "MARKETPLACE")]
    marketplace: Option<String>,
    /// Those too that their marketplace no longer lists
    #[arg(long)]
    show_deleted: bool,
    #[command(flatten)]
    list: ListArgs,
}

/// Which versions.
#[derive(Args, Debug)]
pub struct Versions {
    /// `MARKETPLACE/PLUGIN`
    name: String,
    /// Only this one: first digits of its digest
    #[arg(value_name = "DIGEST")]
    version: Option<String>,
    #[command(flatten)]
    list: ListArgs,
}

pub(super) fn client(link: Link) -> CatalogServiceClient<Link> {
    CatalogServiceClient::new(link).max_decoding_message_size(MAX_ANSWER_BYTES)
}

/// Runs a verb.
pub async fn run(command: Command, app: &mut App<'_, '_>) -> Result<Exit> {
    match command {
        Command::Own(command) => bind::run(command, app).await,
        Command::Import(args) => import::run(&args, app).await,
        Command::Diff(Diff { what, from: Some(from), to: Some(to) }) => {
            let plugin = names::plugin(&what)?;
            let (old_version, new_version) = (version_of(&plugin, &from), version_of(&plugin, &to));
            let request = DiffPluginVersionsRequest { old_version, new_version };
            app.read(false, request, async |l, r| client(l).diff_plugin_versions(r).await).await
        }
        Command::Diff(args) => import::diff(args.what.as_ref(), app).await,
        Command::Stage(args) => stage(args, app).await,
        Command::Search(args) => search(args, app).await,
        Command::Versions(Versions { name, version: Some(version), .. }) => {
            let request = GetPluginVersionRequest { name: version_of(&names::plugin(&name)?, &version) };
            app.read(false, request, async |l, r| client(l).get_plugin_version(r).await).await
        }
        Command::Versions(Versions { name, list, .. }) => {
            let parent = names::plugin(&name)?;
            let ask = |Page { filter, order_by, page_size, page_token }| {
                let parent = parent.clone();
                ListPluginVersionsRequest { parent, page_size, page_token, filter, order_by }
            };
            app.list(false, &list, ask, async |l, r| client(l).list_plugin_versions(r).await).await
        }
    }
}

async fn stage(args: SetStage, app: &mut App<'_, '_>) -> Result<Exit> {
    let SetStage { name, stage, sunset: sunset_time, version, change, yes } = args;
    let plugin = names::plugin(&name)?;
    let name = version.map_or_else(|| plugin.clone(), |version| version_of(&plugin, &version));
    if stage == i32::from(Stage::Withdrawn) {
        app.confirm("withdraw from every tenant", &name, &change, yes)?;
    }
    let (request_id, validate_only) = (change.request_id(), change.validate_only);
    if name == plugin {
        let request = SetPluginStageRequest { name, stage, request_id, validate_only, sunset_time };
        return app.change(request, async |l, r| client(l).set_plugin_stage(r).await).await;
    }
    let request = SetPluginVersionStageRequest { name, stage, request_id, validate_only, sunset_time };
    app.change(request, async |l, r| client(l).set_plugin_version_stage(r).await).await
}

async fn search(args: Search, app: &mut App<'_, '_>) -> Result<Exit> {
    let parent = match &args.marketplace {
        Some(marketplace) => names::marketplace(marketplace)?,
        None => "marketplaces/-".to_owned(),
    };
    let list = ListArgs { filter: words(&args.text, &args.list.filter), ..args.list };
    let ask = |Page { filter, order_by, page_size, page_token }| {
        let (parent, show_deleted) = (parent.clone(), args.show_deleted);
        ListPluginsRequest { parent, page_size, page_token, filter, order_by, show_deleted }
    };
    app.list(false, &list, ask, async |l, r| client(l).list_plugins(r).await).await
}

fn version_of(plugin: &str, digest: &str) -> String {
    format!("{plugin}/versions/{digest}")
}

/// A filter that asks for every word, and for what `filter` asks.
fn words(text: &[String], filter: &str) -> String {
    let words = text.iter().flat_map(|text| text.split_whitespace());
    let words = words.map(|word| format!("text : \"{}\"", word.replace('\\', "\\\\").replace('"', "\\\"")));
    let filter = filter.trim();
    let filter = (!filter.is_empty()).then(|| format!("({filter})"));
    words.chain(filter).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_and_go_with_a_filter() {
        let text = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        assert_eq!(words(&text(&["fact set"]), ""), "text : \"fact\" text : \"set\"");
        assert_eq!(words(&text(&["a\"b\\"]), " stage = LIVE "), r#"text : "a\"b\\" (stage = LIVE)"#);
        assert_eq!(words(&[], "a = 1 OR b = 2"), "(a = 1 OR b = 2)");
        assert_eq!(words(&text(&["AND", "*"]), ""), "text : \"AND\" text : \"*\"");
        assert_eq!(words(&[], ""), "");
    }
}
