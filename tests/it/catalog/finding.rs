//! One search over all marketplaces.

use proto::catalog::v1::{self as pb, Stage, catalog_service_client::CatalogServiceClient};
use serde_json::json;
use tests::{Engine, Site, World, both_engines, data, market, site::Caller};
use tonic::Code;

use super::{ids, stored};
use crate::errors::reason;

/// Every plugin of every marketplace, a few a page.
async fn found(by: &Caller, filter: &str) -> Vec<pb::Plugin> {
    let mut client = CatalogServiceClient::new(by.channel.clone());
    let (mut plugins, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = pb::ListPluginsRequest {
            parent: "marketplaces/-".to_owned(),
            page_size: 70,
            page_token,
            filter: filter.to_owned(),
            ..Default::default()
        };
        let page = client.list_plugins(by.ask(request)).await.unwrap().into_inner();
        plugins.extend(page.plugins);
        if page.next_page_token.is_empty() {
            return plugins;
        }
        page_token = page.next_page_token;
    }
}

/// What a filter is to let through.
type Model<'m> = Box<dyn Fn(&pb::Plugin) -> bool + Send + Sync + 'm>;

fn text(p: &pb::Plugin) -> String {
    let id = p.name.rsplit('/').next().unwrap().to_owned();
    let apps = p.apps.iter().flat_map(|a| [a.key.clone(), a.connector_id.clone()]);
    let servers = p.mcp_servers.iter().map(|s| s.key.clone());
    let words = [id, p.display_name.clone(), p.description.clone(), p.category.clone()];
    let all: Vec<_> = words.into_iter().chain(apps).chain(p.skills.clone()).chain(servers).collect();
    all.join("\n").to_lowercase()
}

/// Runs SQL as it stands.
async fn sql(site: &Site, text: &str) {
    let mut tx = site.kernel().db.begin_derived();
    let text = text.to_owned();
    kernel::execute!(&mut tx, sqlx::query(sqlx::AssertSqlSafe(text.clone()))).unwrap();
    tx.finish().await.unwrap();
}

both_engines! {
    async fn what_was_imported_before_there_was_a_search_is_found_too(site: Site) {
        let world = World::build(site).await;
        let files = data::files(&data::marketplace("codex-official"));
        market::import(&world.admin, &files).await.unwrap();
        let imported = stored(&world.site).await;
        sql(&world.site, "UPDATE plugin_version SET app_keys = '', connector_ids = '', skill_names = '', server_keys = ''").await;
        sql(&world.site, "UPDATE plugin SET search_text = ''").await;
        assert_ne!(stored(&world.site).await, imported);
        let migration = match world.site.engine {
            Engine::Sqlite => include_str!("../../../services/schema/sqlite/0006_catalog.sql"),
            Engine::Postgres => include_str!("../../../services/schema/postgres/0006_catalog.sql"),
        };
        let updates: Vec<_> = migration.split(";\n").filter(|s| s.trim_start().starts_with("UPDATE")).collect();
        assert_eq!(updates.len(), 2);
        for update in updates {
            sql(&world.site, update).await;
        }
        assert_eq!(stored(&world.site).await, imported, "as far as ASCII goes");
    }

    async fn plugins_of_all_marketplaces_are_found_by_words_and_by_their_parts(site: Site) {
        let world = World::build(site).await;
        for directory in ["codex-official", "claude-knowledge-work"] {
            market::import(&world.admin, &data::files(&data::marketplace(directory))).await.unwrap();
        }
        let by = &world.holders["member"];
        let all = found(by, "").await;
        let marketplaces: std::collections::BTreeSet<_> = all.iter().map(|p| p.name.split('/').nth(1).unwrap()).collect();
        assert_eq!(marketplaces.len(), 2);
        let of = |key: &str| all.iter().filter(|p| p.name.contains(key)).count();
        assert_eq!(of("/openai-curated/") + of("/knowledge-work-plugins/"), all.len());
        let app = all.iter().find_map(|p| p.apps.first()).unwrap();
        let skill = all.iter().find_map(|p| p.skills.iter().find(|s| s.len() > 4)).unwrap();
        let server = all.iter().find_map(|p| p.mcp_servers.first()).unwrap();
        let cases: Vec<(String, Model<'_>)> = vec![
            ("text : \"DATA\"".to_owned(), Box::new(|p| text(p).contains("data"))),
            ("text : \"data\" text : \"Sales\"".to_owned(), Box::new(|p| text(p).contains("data") && text(p).contains("sales"))),
            ("NOT text : \"data\"".to_owned(), Box::new(|p| !text(p).contains("data"))),
            (format!("app = {}", json!(app.key.to_uppercase())), Box::new(|p| p.apps.iter().any(|a| a.key.to_lowercase() == app.key.to_lowercase()))),
            (format!("app != {}", json!(app.key)), Box::new(|p| !p.apps.iter().any(|a| a.key.to_lowercase() == app.key.to_lowercase()))),
            ("app : *".to_owned(), Box::new(|p| !p.apps.is_empty())),
            (format!("connector_id = {}", json!(app.connector_id)), Box::new(|p| p.apps.iter().any(|a| a.connector_id.to_lowercase() == app.connector_id.to_lowercase()))),
            ("connector_id = \"connector_*\"".to_owned(), Box::new(|p| p.apps.iter().any(|a| a.connector_id.to_lowercase().starts_with("connector_")))),
            (format!("skill = {}", json!(skill)), Box::new(|p| p.skills.iter().any(|s| s.to_lowercase() == skill.to_lowercase()))),
            (format!("skill : {}", json!(&skill[1..4])), Box::new(|p| p.skills.iter().any(|s| s.to_lowercase().contains(&skill[1..4].to_lowercase())))),
            (format!("mcp_server = {}", json!(server.key)), Box::new(|p| p.mcp_servers.iter().any(|s| s.key.to_lowercase() == server.key.to_lowercase()))),
            ("has_hooks = true".to_owned(), Box::new(|p| p.has_hooks)),
            ("has_hooks = false".to_owned(), Box::new(|p| !p.has_hooks)),
            ("marketplace_id = \"knowledge-work-plugins\" stage = LIVE".to_owned(), Box::new(|p| p.name.contains("knowledge-work-plugins"))),
            ("sunset_time < \"2027-01-01T00:00:00Z\"".to_owned(), Box::new(|_| false)),
        ];
        for (filter, model) in cases {
            let expected: Vec<_> = all.iter().filter(|p| model(p)).map(|p| &p.name).collect();
            let told = found(by, &filter).await;
            assert_eq!(told.iter().map(|p| &p.name).collect::<Vec<_>>(), expected, "{filter}");
        }
        for (filter, code) in [("app > a", "INVALID_FILTER"), ("has_hooks = maybe", "INVALID_FILTER"), ("words : x", "INVALID_FILTER")] {
            let request = pb::ListPluginsRequest { parent: "marketplaces/-".to_owned(), filter: filter.to_owned(), ..Default::default() };
            let refused = CatalogServiceClient::new(by.channel.clone()).list_plugins(by.ask(request)).await.unwrap_err();
            assert_eq!((refused.code(), reason(&refused).as_str()), (Code::InvalidArgument, code), "{filter}");
        }
    }

    async fn case_is_folded_in_the_same_way_whatever_the_script_and_new_content_is_found(site: Site) {
        let world = World::build(site).await;
        let mut files = market::small(&["kit", "other"]);
        let manifest = |description: &str| json!({"name": "kit", "description": description});
        market::put(&mut files, "plugins/kit/.codex-plugin/plugin.json", &manifest("ÄRGER und STRASSE, ΣΊΣΥΦΟΣ, 日報"));
        files.insert("plugins/kit/skills/Überblick/SKILL.md".to_owned(), b"x".to_vec());
        market::import(&world.admin, &files).await.unwrap();
        let by = &world.owner;
        for filter in ["text : \"ärger\"", "text : \"Ärger\"", "text : \"strasse\"", "text : \"ΣΊΣΥ\"", "text : \"日報\"", "skill = \"ÜBERBLICK\"", "text : \"überb\""] {
            assert_eq!(ids(found(by, filter).await.iter().map(|p| &p.name)), ["kit"], "{filter}");
        }
        assert!(found(by, "text : \"arger\"").await.is_empty());
        assert_eq!(found(by, "text : \"%\"").await.len() + found(by, "text : \"_\"").await.len(), 0, "no pattern but text");
        market::put(&mut files, "plugins/kit/.codex-plugin/plugin.json", &manifest("calm"));
        market::import(&world.admin, &files).await.unwrap();
        assert!(found(by, "text : \"ärger\"").await.is_empty());
        assert_eq!(found(by, "text : \"CALM\"").await.len(), 1);
        let ahead = world.site.kernel().clock.now().plus(std::time::Duration::from_hours(1));
        let request = pb::SetPluginStageRequest {
            name: "marketplaces/vendor/plugins/other".to_owned(),
            stage: Stage::Deprecated.into(),
            sunset_time: Some(ahead.into()),
            ..Default::default()
        };
        CatalogServiceClient::new(world.admin.channel.clone()).set_plugin_stage(world.admin.ask(request)).await.unwrap();
        assert_eq!(ids(found(by, &format!("sunset_time <= \"{ahead}\"")).await.iter().map(|p| &p.name)), ["other"]);
        assert_eq!(ids(found(by, &format!("sunset_time > \"{ahead}\"")).await.iter().map(|p| &p.name)), ["kit"]);
    }
}
