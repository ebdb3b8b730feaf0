//! Finding marketplaces and plugins, and the stage of a plugin.

use proto::catalog::v1::{self as pb, Stage, catalog_service_client::CatalogServiceClient};
use serde_json::json;
use tests::{World, both_engines, data, market};
use tonic::Code;

use super::{ids, plugin, plugins};
use crate::errors::reason;

/// What a filter is to let through.
type Model = fn(&pb::Plugin) -> bool;

both_engines! {
    async fn plugins_are_found_by_filter_and_order(site: Site) {
        let world = World::build(site).await;
        let files = data::files(&data::marketplace("codex-official"));
        market::import(&world.admin, &files).await.unwrap();
        let by = &world.holders["member"];
        let all = plugins(by, "openai-curated", "", "", false).await;
        let id = |p: &pb::Plugin| ids([&p.name])[0].to_owned();
        let cases: [(&str, Model); 6] = [
            ("category = Finance", |p| p.category == "Finance"),
            ("NOT category = Finance", |p| p.category != "Finance"),
            ("display_name = \"*Fact*\"", |p| p.display_name.contains("Fact")),
            ("description : \"market\"", |p| p.description.contains("market")),
            ("plugin_id >= \"s\" category != Finance", |p| ids([&p.name])[0] >= "s" && p.category != "Finance"),
            ("stage = LIVE", |_| true),
        ];
        for (filter, model) in cases {
            let expected: Vec<_> = all.iter().filter(|p| model(p)).collect();
            assert!(!expected.is_empty(), "{filter}");
            assert_eq!(plugins(by, "openai-curated", filter, "", false).await.iter().collect::<Vec<_>>(), expected, "{filter}");
        }
        for (order, key) in [("plugin_id", (|p| p.name.clone()) as fn(&pb::Plugin) -> String), ("display_name", |p| p.display_name.clone())] {
            let up = plugins(by, "openai-curated", "", order, false).await;
            assert!(up.is_sorted_by_key(key) && up.len() == all.len());
            let mut down = plugins(by, "openai-curated", "", &format!("{order} desc"), false).await;
            down.reverse();
            assert_eq!(down.iter().map(id).collect::<Vec<_>>(), up.iter().map(id).collect::<Vec<_>>());
        }
        let mut client = CatalogServiceClient::new(by.channel.clone());
        for (filter, order_by, parent, code, why) in [
            ("colour = red", "", "openai-curated", Code::InvalidArgument, "INVALID_FILTER"),
            ("", "category", "openai-curated", Code::InvalidArgument, "INVALID_FIELD"),
            ("", "", "none", Code::NotFound, "RESOURCE_NOT_FOUND"),
        ] {
            let request = pb::ListPluginsRequest {
                parent: format!("marketplaces/{parent}"),
                filter: filter.to_owned(),
                order_by: order_by.to_owned(),
                ..Default::default()
            };
            let refused = client.list_plugins(by.ask(request)).await.unwrap_err();
            assert_eq!((refused.code(), reason(&refused).as_str()), (code, why));
        }
    }

    async fn marketplaces_are_listed_and_read(site: Site) {
        let world = World::build(site).await;
        market::import(&world.admin, &market::small(&["kit"])).await.unwrap();
        world.site.advance(std::time::Duration::from_secs(1));
        let mut other = market::Files::new();
        market::put(&mut other, ".claude-plugin/marketplace.json", &json!({"name": "Another.One", "plugins": []}));
        market::import(&world.admin, &other).await.unwrap();
        let by = &world.owner;
        let mut client = CatalogServiceClient::new(by.channel.clone());
        for (filter, order, expected) in [
            ("", "", vec!["vendor", "another.one"]),
            ("", "marketplace_id", vec!["another.one", "vendor"]),
            ("", "update_time desc", vec!["another.one", "vendor"]),
            ("format = CLAUDE", "", vec!["another.one"]),
            ("marketplace_id = \"v*\"", "", vec!["vendor"]),
        ] {
            let request =
                pb::ListMarketplacesRequest { filter: filter.to_owned(), order_by: order.to_owned(), ..Default::default() };
            let page = client.list_marketplaces(by.ask(request)).await.unwrap().into_inner();
            assert_eq!(ids(page.marketplaces.iter().map(|m| &m.name)), expected, "{filter} {order}");
        }
        let get = pb::GetMarketplaceRequest { name: "marketplaces/vendor".to_owned() };
        assert_eq!(client.get_marketplace(by.ask(get)).await.unwrap().into_inner().plugin_count, 1);
        let get = pb::GetMarketplaceRequest { name: "marketplaces/none".to_owned() };
        assert_eq!(client.get_marketplace(by.ask(get)).await.unwrap_err().code(), Code::NotFound);
        let get = pb::GetPluginRequest { name: "marketplaces/vendor/plugins/none".to_owned() };
        assert_eq!(client.get_plugin(by.ask(get)).await.unwrap_err().code(), Code::NotFound);
    }

    async fn a_stage_is_set_on_the_record_and_outlives_imports(site: Site) {
        let world = World::build(site).await;
        let mut files = market::small(&["kit"]);
        market::import(&world.admin, &files).await.unwrap();
        for (stage, word) in [(Stage::Alpha, "alpha"), (Stage::Deprecated, "deprecated"), (Stage::Withdrawn, "withdrawn")] {
            let before = plugin(&world.owner, "kit").await;
            let set = market::stage(&world.admin, "kit", stage).await.unwrap();
            assert_eq!((set.stage(), &set.uid, &set.digest), (stage, &before.uid, &before.digest));
            assert_eq!(plugin(&world.owner, "kit").await, set);
            let acts = crate::audit::events(&world.admin, "", "action = \"plugin.set_stage\"").await;
            let change = acts[0].changes.iter().find(|c| c.field == "/stage").unwrap();
            assert_eq!(change.new_value, format!("\"{word}\""));
            assert_eq!(acts[0].targets, ["marketplaces/vendor/plugins/kit"]);
        }
        market::put(&mut files, "plugins/kit/.codex-plugin/plugin.json", &json!({"name": "kit", "version": "2.0.0"}));
        market::import(&world.admin, &files).await.unwrap();
        let now = plugin(&world.owner, "kit").await;
        assert_eq!((now.version.as_str(), now.stage()), ("2.0.0", Stage::Withdrawn), "an import undoes no kill switch");
    }

    async fn a_stage_is_set_by_the_platform_and_to_one_that_exists(site: Site) {
        let world = World::build(site).await;
        market::import(&world.admin, &market::small(&["kit"])).await.unwrap();
        for (by, id, stage, code, why) in [
            (&world.owner, "kit", Stage::Withdrawn, Code::PermissionDenied, "DUTY_MISSING"),
            (&world.consultant, "kit", Stage::Withdrawn, Code::PermissionDenied, "DUTY_MISSING"),
            (&world.admin, "none", Stage::Alpha, Code::NotFound, "RESOURCE_NOT_FOUND"),
            (&world.admin, "kit", Stage::Unspecified, Code::InvalidArgument, "INVALID_FIELD"),
        ] {
            let refused = market::stage(by, id, stage).await.unwrap_err();
            assert_eq!((refused.code(), reason(&refused).as_str()), (code, why));
        }
        let by = &world.admin;
        let mut client = CatalogServiceClient::new(by.channel.clone());
        let request = pb::SetPluginStageRequest {
            name: "marketplaces/vendor/plugins/kit".to_owned(),
            stage: Stage::Alpha.into(),
            request_id: "7a4e6c7e-7d0e-4f57-8d77-5b9f3a1c2d3e".to_owned(),
            validate_only: true,
            sunset_time: None,
        };
        assert_eq!(client.set_plugin_stage(by.ask(request.clone())).await.unwrap().into_inner().stage(), Stage::Alpha);
        assert_eq!(plugin(by, "kit").await.stage(), Stage::Live);
        let request = pb::SetPluginStageRequest { validate_only: false, ..request };
        let first = client.set_plugin_stage(by.ask(request.clone())).await.unwrap().into_inner();
        market::stage(by, "kit", Stage::Live).await.unwrap();
        assert_eq!(client.set_plugin_stage(by.ask(request.clone())).await.unwrap().into_inner(), first);
        assert_eq!(plugin(by, "kit").await.stage(), Stage::Live, "the repetition did nothing");
        let request = pb::SetPluginStageRequest { stage: Stage::Preview.into(), ..request };
        let refused = client.set_plugin_stage(by.ask(request)).await.unwrap_err();
        assert_eq!((refused.code(), reason(&refused).as_str()), (Code::AlreadyExists, "REQUEST_ID_REUSED"));
    }
}
