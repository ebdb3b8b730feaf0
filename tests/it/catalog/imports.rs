//! What vendors publish, and what of it changes from import to import.

use std::time::Duration;

use proto::catalog::v1::{ImportHeader, ImportMarketplaceResponse, MarketplaceFormat, Stage};
use serde_json::json;
use tests::{World, both_engines, data, market};
use tonic::Code;

use super::{
    ids, plugin, plugins,
    published::{Published, Reported, count},
    stored,
};
use crate::errors::reason;

/// How many imports are on record.
async fn acts(world: &World) -> usize {
    crate::audit::events(&world.admin, "", "action = \"marketplace.import\" outcome = OK").await.len()
}

fn reported(report: &ImportMarketplaceResponse) -> Reported<'_> {
    Reported {
        plugins: report.plugins,
        apps: report.apps,
        skills: report.skills,
        skipped: report.skipped.iter().map(|s| s.entry.as_str()).collect(),
    }
}

both_engines! {
    async fn real_marketplaces_come_in_whole_and_a_second_time_changes_nothing(site: Site) {
        let world = World::build(site).await;
        for (directory, id, format) in [
            ("codex-official", "openai-curated", MarketplaceFormat::Codex),
            ("claude-knowledge-work", "knowledge-work-plugins", MarketplaceFormat::Claude),
        ] {
            let files = data::files(&data::marketplace(directory));
            let published = Published::read(&files);
            let report = market::import(&world.admin, &files).await.unwrap();
            reported(&report).covers(&published);
            let unnamed = |key: &str| !report.skipped.iter().any(|s| s.entry.ends_with(&format!(": MCP server `{key}`")));
            assert_eq!(report.mcp_servers, count(published.servers.iter().filter(|(_, key)| unnamed(key))));
            assert!(report.skipped.iter().all(|s| !s.reason.is_empty()));

            let marketplace = report.marketplace.clone().unwrap();
            assert_eq!((marketplace.name.as_str(), marketplace.format()), (format!("marketplaces/{id}").as_str(), format));
            assert_eq!(marketplace.plugin_count, report.plugins);
            let listed = plugins(&world.holders["member"], id, "", "plugin_id", false).await;
            assert_eq!(count(listed.iter()), report.plugins);
            assert_eq!(count(listed.iter().flat_map(|p| &p.apps)), report.apps);
            assert_eq!(count(listed.iter().flat_map(|p| &p.skills)), report.skills);
            assert_eq!(count(listed.iter().flat_map(|p| &p.mcp_servers)), report.mcp_servers);
            let mut added = report.added.clone();
            added.sort();
            assert_eq!(added, listed.iter().map(|p| p.name.clone()).collect::<Vec<_>>());
            assert!(listed.iter().all(|p| p.stage() == Stage::Live && p.digest.len() == 64));

            let (before, recorded) = (stored(&world.site).await, acts(&world).await);
            world.site.advance(Duration::from_hours(1));
            let again = market::import(&world.admin, &files).await.unwrap();
            assert_eq!(again, ImportMarketplaceResponse { added: Vec::new(), diffs: Vec::new(), ..report });
            assert_eq!(stored(&world.site).await, before);
            assert_eq!(acts(&world).await, recorded, "an import without effect is no act");
        }
    }

    async fn new_content_is_a_new_version_of_the_same_plugin(site: Site) {
        let world = World::build(site).await;
        let mut files = market::small(&["kit", "other"]);
        market::import(&world.admin, &files).await.unwrap();
        let before = [plugin(&world.owner, "kit").await, plugin(&world.owner, "other").await];
        world.site.advance(Duration::from_hours(1));
        market::put(&mut files, "plugins/kit/.app.json", &json!({"apps": {"crm": {"id": "connector_1"}}}));
        files.insert("plugins/kit/skills/brief/SKILL.md".to_owned(), b"# Brief\n".to_vec());
        let report = market::import(&world.admin, &files).await.unwrap();
        assert_eq!((ids(&report.changed), report.added.len(), report.removed.len()), (vec!["kit"], 0, 0));
        let after = plugin(&world.owner, "kit").await;
        assert_eq!((&after.uid, after.create_time), (&before[0].uid, before[0].create_time));
        assert_ne!(after.digest, before[0].digest);
        assert!(after.update_time.unwrap().seconds == before[0].update_time.unwrap().seconds + 3_600);
        assert_eq!((after.apps[0].connector_id.as_str(), &after.skills), ("connector_1", &vec!["brief".to_owned()]));
        assert_eq!(plugin(&world.owner, "other").await, before[1], "what did not change is as it was");
        let versions = world.site.dump(&["plugin_version"]).await;
        let versions = versions.lines().filter(|line| line.starts_with("plugin_version: "));
        assert_eq!(versions.count(), 3, "the earlier version is kept");
        // the content of any file counts, also of one that nothing is read from
        files.insert("plugins/kit/skills/brief/SKILL.md".to_owned(), b"# Brief, better\n".to_vec());
        let report = market::import(&world.admin, &files).await.unwrap();
        assert_eq!(ids(&report.changed), ["kit"]);
        assert_eq!(acts(&world).await, 3);
    }

    async fn what_is_no_longer_listed_goes_and_may_come_back(site: Site) {
        let world = World::build(site).await;
        market::import(&world.admin, &market::small(&["kit", "other"])).await.unwrap();
        let report = market::import(&world.admin, &market::small(&["other"])).await.unwrap();
        assert_eq!(ids(&report.removed), ["kit"]);
        assert_eq!(report.marketplace.unwrap().plugin_count, 1);
        let names = async |deleted| {
            let plugins = plugins(&world.owner, "vendor", "", "plugin_id", deleted).await;
            ids(plugins.iter().map(|p| &p.name)).into_iter().map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(names(false).await, ["other"]);
        assert_eq!(names(true).await, ["kit", "other"]);
        let gone = plugin(&world.owner, "kit").await;
        assert!(gone.delete_time.is_some());
        let report = market::import(&world.admin, &market::small(&["kit", "other"])).await.unwrap();
        assert_eq!(ids(&report.added), ["kit"]);
        let back = plugin(&world.owner, "kit").await;
        assert_eq!((back.delete_time, back.uid), (None, gone.uid));
    }

    async fn a_bad_entry_is_left_out_and_named_and_its_plugin_stays_as_it_was(site: Site) {
        let world = World::build(site).await;
        let mut files = market::small(&["kit", "other"]);
        market::import(&world.admin, &files).await.unwrap();
        let before = plugin(&world.owner, "kit").await;
        files.insert("plugins/kit/.codex-plugin/plugin.json".to_owned(), b"{\"name\": \"kit\",".to_vec());
        market::put(&mut files, market::LISTING, &json!({"name": "vendor", "plugins": [
            {"name": "kit", "source": "./plugins/kit"},
            {"name": "other", "source": "./plugins/other"},
            {"name": "far", "source": {"source": "url", "url": "https://example.com/far.git"}},
            {"name": "lost", "source": "./plugins/lost"},
            {"name": "Not A Name", "source": "./plugins/other"},
            {"source": "./plugins/other"},
        ]}));
        let report = market::import(&world.admin, &files).await.unwrap();
        let skipped: Vec<_> = report.skipped.iter().map(|s| s.entry.as_str()).collect();
        assert_eq!(skipped, ["kit", "far", "lost", "Not A Name", "plugins[5]"]);
        assert!(report.skipped[0].reason.contains("not JSON"), "{:?}", report.skipped);
        assert_eq!((report.plugins, report.removed.len()), (1, 0));
        assert_eq!(plugin(&world.owner, "kit").await, before);
    }

    async fn the_header_sets_the_stage_of_plugins_not_seen_before(site: Site) {
        let world = World::build(site).await;
        let header = |stage: Stage| ImportHeader { initial_stage: stage.into(), ..Default::default() };
        let send = async |stage, plugins| market::send(&world.admin, header(stage), market::pieces(&market::small(plugins))).await.unwrap();
        send(Stage::Preview, &["kit"]).await;
        send(Stage::Alpha, &["kit", "other"]).await;
        assert_eq!(plugin(&world.owner, "kit").await.stage(), Stage::Preview);
        assert_eq!(plugin(&world.owner, "other").await.stage(), Stage::Alpha);
    }

    async fn a_repeated_request_returns_its_first_result_and_a_dry_run_writes_nothing(site: Site) {
        let world = World::build(site).await;
        let (files, more) = (market::small(&["kit"]), market::small(&["kit", "other"]));
        let empty = stored(&world.site).await;
        let dry = ImportHeader { validate_only: true, ..Default::default() };
        let told = market::send(&world.admin, dry.clone(), market::pieces(&files)).await.unwrap();
        assert_eq!((told.plugins, ids(&told.added)), (1, vec!["kit"]));
        assert_eq!((stored(&world.site).await, acts(&world).await), (empty, 0));

        let header = ImportHeader { request_id: "5f3d9a54-34a3-4f1c-9f37-0b1a2c3d4e5f".to_owned(), ..Default::default() };
        let first = market::send(&world.admin, header.clone(), market::pieces(&files)).await.unwrap();
        market::import(&world.admin, &more).await.unwrap();
        let now = stored(&world.site).await;
        let again = market::send(&world.admin, header.clone(), market::pieces(&files)).await.unwrap();
        assert_eq!(again, first, "the first result, not a second import");
        for (header, files) in [(header.clone(), &more), (ImportHeader { initial_stage: Stage::Alpha.into(), ..header }, &files)] {
            let refused = market::send(&world.admin, header, market::pieces(files)).await.unwrap_err();
            assert_eq!((refused.code(), reason(&refused).as_str()), (Code::AlreadyExists, "REQUEST_ID_REUSED"));
        }
        assert_eq!(stored(&world.site).await, now);
    }

    async fn two_imports_at_once_leave_one_of_them_whole(site: Site) {
        let world = World::build(site).await;
        let (one, two) = (market::small(&["kit", "a"]), market::small(&["kit", "b"]));
        let (first, second) = tokio::join!(market::import(&world.admin, &one), market::import(&world.admin, &two));
        let done = [first, second].into_iter().filter(|outcome| match outcome {
            Ok(_) => true,
            Err(refused) => {
                assert_eq!(refused.code(), Code::Aborted, "{refused:?}");
                false
            }
        });
        assert!(done.count() >= 1);
        let plugins = plugins(&world.owner, "vendor", "", "plugin_id", false).await;
        let listed = ids(plugins.iter().map(|p| &p.name));
        assert!(listed == ["a", "kit"] || listed == ["b", "kit"], "{listed:?}");
    }
}
