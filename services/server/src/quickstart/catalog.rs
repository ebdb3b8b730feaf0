//! The catalogue: the built-in marketplace, or the directories that were given.

use std::path::PathBuf;

use ::catalog::tree::Tree;
use include_dir::{Dir, include_dir};
use kernel::ctx::CallInfo;
use proto::catalog::v1::{self as pb, catalog_service_client::CatalogServiceClient};
use serde::Serialize;

use super::{
    Failure, Progress,
    client::{Caller, done},
    people::People,
};
use crate::app::Running;

/// The six role plugins, as data in a vendor's own format.
static BUILT_IN: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/quickstart/marketplace");

/// What one import found.
#[derive(Serialize)]
pub struct MarketplaceReport {
    /// Id of the marketplace.
    pub name: String,
    /// Plugins with content.
    pub plugins: i64,
    /// Their apps.
    pub apps: i64,
    /// Their skills.
    pub skills: i64,
    /// What was left out, and why.
    pub skipped: Vec<Skipped>,
}

/// An entry that was left out.
#[derive(Serialize)]
pub struct Skipped {
    /// What it calls itself.
    pub entry: String,
    /// Why.
    pub reason: String,
}

/// Names of the plugins there are, and of their apps.
pub struct Catalog {
    names: Vec<String>,
    apps: Vec<String>,
}

impl Catalog {
    /// The first plugin whose id is one of `wanted`, in their order, or else the plugin at `fallback`.
    pub fn pick(&self, wanted: &[&str], fallback: usize) -> Option<&str> {
        let named = |id: &&str| self.names.iter().find(|n| n.rsplit('/').next() == Some(*id));
        wanted.iter().find_map(named).or_else(|| self.names.get(fallback)).map(String::as_str)
    }

    /// The plugin of this id, or else the app of this key.
    pub fn find(&self, id: &str) -> Option<&str> {
        let mut all = self.names.iter().chain(&self.apps);
        all.find(|name| name.rsplit('/').next() == Some(id)).map(String::as_str)
    }
}

/// Imports, and lists what is there.
pub async fn import(
    running: &Running,
    people: &People,
    directories: &[PathBuf],
    progress: Progress,
) -> Result<(Catalog, Vec<MarketplaceReport>), Failure> {
    let mut trees = Vec::new();
    if directories.is_empty() {
        progress.step("importing the built-in marketplace");
        let mut files = Vec::new();
        files_of(&BUILT_IN, &mut files);
        trees.push(Tree::from_files(files)?);
    }
    for directory in directories {
        progress.step(&format!("importing marketplace `{}`", directory.display()));
        trees.push(::catalog::walk::read_directory(directory)?);
    }
    let (mut reports, mut names, mut apps) = (Vec::new(), Vec::new(), Vec::new());
    for tree in trees {
        let info =
            CallInfo { id: running.kernel.ids.new_id(running.kernel.clock.now()), ..CallInfo::default() };
        let ctx = running.kernel.enter(Some(&people.admin.authorization()), info).await?;
        let imported = ::catalog::ops::marketplace_import(&ctx, &tree, None).await?;
        let id = imported.marketplace.slug.to_string();
        for plugin in plugins(&people.admin, &id).await? {
            apps.extend(plugin.apps.iter().map(|app| format!("{}/apps/{}", plugin.name, app.key)));
            names.push(plugin.name);
        }
        let skipped =
            imported.skipped.into_iter().map(|s| Skipped { entry: s.entry, reason: s.reason }).collect();
        reports.push(MarketplaceReport {
            name: id,
            plugins: imported.plugins,
            apps: imported.apps,
            skills: imported.skills,
            skipped,
        });
    }
    Ok((Catalog { names, apps }, reports))
}

fn files_of<'d>(dir: &'d Dir<'_>, into: &mut Vec<(String, &'d [u8])>) {
    into.extend(dir.files().map(|f| (f.path().display().to_string(), f.contents())));
    for sub in dir.dirs() {
        files_of(sub, into);
    }
}

async fn plugins(admin: &Caller, marketplace: &str) -> Result<Vec<pb::Plugin>, Failure> {
    let mut client = CatalogServiceClient::new(admin.channel.clone());
    let (mut found, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = pb::ListPluginsRequest {
            parent: format!("marketplaces/{marketplace}"),
            page_size: 1_000,
            page_token,
            order_by: "plugin_id".to_owned(),
            ..Default::default()
        };
        let page = done("listing plugins", client.list_plugins(admin.ask(request)).await)?;
        found.extend(page.plugins);
        if page.next_page_token.is_empty() {
            return Ok(found);
        }
        page_token = page.next_page_token;
    }
}
