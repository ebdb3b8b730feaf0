//! The catalogue over the wire.

use proto::catalog::v1::{self as pb, Plugin, catalog_service_client::CatalogServiceClient};
use tests::{Site, site::Caller};

mod archives;
mod finding;
mod imports;
pub mod published;
mod refusals;
mod shelves;
mod versions;

/// Everything that an import may change.
async fn stored(site: &Site) -> String {
    site.dump(&["marketplace", "plugin", "plugin_version"]).await
}

/// Every plugin of a marketplace, page by page.
async fn plugins(
    by: &Caller,
    marketplace: &str,
    filter: &str,
    order_by: &str,
    show_deleted: bool,
) -> Vec<Plugin> {
    let mut client = CatalogServiceClient::new(by.channel.clone());
    let (mut plugins, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = pb::ListPluginsRequest {
            parent: format!("marketplaces/{marketplace}"),
            page_size: 40,
            page_token,
            filter: filter.to_owned(),
            order_by: order_by.to_owned(),
            show_deleted,
        };
        let page = client.list_plugins(by.ask(request)).await.unwrap().into_inner();
        plugins.extend(page.plugins);
        if page.next_page_token.is_empty() {
            return plugins;
        }
        page_token = page.next_page_token;
    }
}

/// Last segments of plugins' names.
fn ids<'p>(names: impl IntoIterator<Item = &'p String>) -> Vec<&'p str> {
    names.into_iter().map(|n| n.rsplit('/').next().unwrap()).collect()
}

async fn plugin(by: &Caller, id: &str) -> Plugin {
    let request = pb::GetPluginRequest { name: format!("marketplaces/vendor/plugins/{id}") };
    CatalogServiceClient::new(by.channel.clone()).get_plugin(by.ask(request)).await.unwrap().into_inner()
}
