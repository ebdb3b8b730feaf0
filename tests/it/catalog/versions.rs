//! Every content that a plugin has or had, and what sets two of them apart.

use std::time::Duration;

use proto::catalog::v1::{
    self as pb, DiffKind, ImportHeader, Plugin, PluginDiff, PluginVersion, Stage,
    catalog_service_client::CatalogServiceClient,
};
use serde_json::json;
use tests::{World, both_engines, market, site::Caller};
use tonic::{Code, Status};

use super::{ids, plugin, stored};
use crate::errors::reason;

const KIT: &str = "marketplaces/vendor/plugins/kit";

async fn versions(by: &Caller, filter: &str, order_by: &str) -> Vec<PluginVersion> {
    let mut client = CatalogServiceClient::new(by.channel.clone());
    let (mut versions, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = pb::ListPluginVersionsRequest {
            parent: KIT.to_owned(),
            page_size: 1,
            page_token,
            filter: filter.to_owned(),
            order_by: order_by.to_owned(),
        };
        let page = client.list_plugin_versions(by.ask(request)).await.unwrap().into_inner();
        versions.extend(page.plugin_versions);
        if page.next_page_token.is_empty() {
            return versions;
        }
        page_token = page.next_page_token;
    }
}

async fn version(by: &Caller, name: &str) -> Result<PluginVersion, Status> {
    let request = pb::GetPluginVersionRequest { name: name.to_owned() };
    Ok(CatalogServiceClient::new(by.channel.clone()).get_plugin_version(by.ask(request)).await?.into_inner())
}

async fn diff(by: &Caller, old: &str, new: &str) -> Result<PluginDiff, Status> {
    let request = pb::DiffPluginVersionsRequest { old_version: old.to_owned(), new_version: new.to_owned() };
    Ok(CatalogServiceClient::new(by.channel.clone())
        .diff_plugin_versions(by.ask(request))
        .await?
        .into_inner())
}

async fn stage(by: &Caller, name: &str, stage: Stage) -> Result<PluginVersion, Status> {
    let request =
        pb::SetPluginVersionStageRequest { name: name.to_owned(), stage: stage.into(), ..Default::default() };
    let mut client = CatalogServiceClient::new(by.channel.clone());
    Ok(client.set_plugin_version_stage(by.ask(request)).await?.into_inner())
}

/// Field, what happened to it, old and new value.
fn told(diff: &PluginDiff) -> Vec<(&str, DiffKind, &str, &str)> {
    diff.changes.iter().map(|c| (c.field.as_str(), c.kind(), &*c.old_value, &*c.new_value)).collect()
}

/// The plugin `kit` in a first and a second version.
fn two() -> [market::Files; 2] {
    let mut first = market::small(&["kit", "gone"]);
    market::put(
        &mut first,
        "plugins/kit/.app.json",
        &json!({"apps": {"crm": {"id": "connector_1"}, "old": {"id": "x"}}}),
    );
    first.insert("plugins/kit/skills/brief/SKILL.md".to_owned(), b"# Brief".to_vec());
    let mut second = market::small(&["kit", "fresh"]);
    market::put(
        &mut second,
        "plugins/kit/.codex-plugin/plugin.json",
        &json!({"name": "kit", "version": "2.0.0"}),
    );
    market::put(&mut second, "plugins/kit/.app.json", &json!({"apps": {"crm": {"id": "connector_2"}}}));
    market::put(
        &mut second,
        "plugins/kit/.mcp.json",
        &json!({"mcpServers": {"db": {"url": "https://db.example.com"}}}),
    );
    market::put(&mut second, "plugins/kit/hooks/hooks.json", &json!({"Stop": []}));
    [first, second]
}

/// What sets the second version of `kit` apart from the first.
const CHANGES: [(&str, DiffKind, &str, &str); 6] = [
    ("version", DiffKind::Changed, "1.0.0", "2.0.0"),
    ("has_hooks", DiffKind::Added, "", "true"),
    ("apps/crm", DiffKind::Changed, "connector_1", "connector_2"),
    ("apps/old", DiffKind::Removed, "x", ""),
    ("skills/brief", DiffKind::Removed, "", ""),
    ("mcp_servers/db", DiffKind::Added, "", "https://db.example.com"),
];

both_engines! {
    async fn a_dry_run_says_what_the_import_then_does(site: Site) {
        let world = World::build(site).await;
        let [first, second] = two();
        market::import(&world.admin, &first).await.unwrap();
        let before = stored(&world.site).await;
        let dry = ImportHeader { validate_only: true, ..Default::default() };
        let dry = market::send(&world.admin, dry, market::pieces(&second)).await.unwrap();
        assert_eq!(stored(&world.site).await, before);
        let real = market::import(&world.admin, &second).await.unwrap();
        assert_eq!((&dry.diffs, &dry.added, &dry.removed), (&real.diffs, &real.added, &real.removed));
        let summary: Vec<_> = real.diffs.iter().map(|d| (ids([&d.plugin])[0], d.kind())).collect();
        assert_eq!(summary, [("fresh", DiffKind::Added), ("kit", DiffKind::Changed), ("gone", DiffKind::Removed)]);
        assert_eq!(told(&real.diffs[1]), CHANGES);
        assert_eq!(real.diffs[1].new_digest, plugin(&world.owner, "kit").await.digest);
        let fresh = told(&real.diffs[0]);
        assert!(fresh.contains(&("version", DiffKind::Added, "", "1.0.0")) && fresh.contains(&("stage", DiffKind::Added, "", "live")), "{fresh:?}");
        assert!(real.diffs[0].old_digest.is_empty() && real.diffs[2].new_digest.is_empty());
        assert!(market::import(&world.admin, &second).await.unwrap().diffs.is_empty(), "nothing is new");
    }

    async fn versions_are_kept_listed_and_told_apart(site: Site) {
        let world = World::build(site).await;
        let by = &world.holders["member"];
        for files in two() {
            market::import(&world.admin, &files).await.unwrap();
            world.site.advance(Duration::from_hours(1));
        }
        let all = versions(by, "", "create_time").await;
        assert_eq!(all.iter().map(|v| (v.version.as_str(), v.current)).collect::<Vec<_>>(), [("1.0.0", false), ("2.0.0", true)]);
        let Plugin { digest, apps, .. } = plugin(by, "kit").await;
        assert_eq!((&all[1].digest, &all[1].apps), (&digest, &apps));
        assert_eq!(all[1].name, format!("{KIT}/versions/{}", &digest[..32]));
        for (filter, expected) in [
            ("current = true", vec!["2.0.0"]),
            ("version = \"1.*\"", vec!["1.0.0"]),
            ("skill = BRIEF", vec!["1.0.0"]),
            ("app = crm", vec!["2.0.0", "1.0.0"]),
            ("mcp_server : d has_hooks = true", vec!["2.0.0"]),
            ("stage = ALPHA", vec![]),
        ] {
            let found = versions(by, filter, "version desc").await;
            assert_eq!(found.iter().map(|v| v.version.as_str()).collect::<Vec<_>>(), expected, "{filter}");
        }
        for digits in [&digest[..8], &digest[..31], &digest[..], &all[1].name[KIT.len() + 10..]] {
            assert_eq!(version(by, &format!("{KIT}/versions/{digits}")).await.unwrap(), all[1], "{digits}");
        }
        let apart = diff(by, &all[0].name, &all[1].name).await.unwrap();
        assert_eq!((apart.plugin.as_str(), apart.kind(), told(&apart)), (KIT, DiffKind::Changed, CHANGES.to_vec()));
        assert_eq!((&apart.old_digest, &apart.new_digest), (&all[0].digest, &all[1].digest));
        assert!(diff(by, &all[0].name, &all[0].name).await.unwrap().changes.is_empty());
        let other = format!("marketplaces/vendor/plugins/fresh/versions/{}", plugin(by, "fresh").await.digest);
        for (refused, code, why) in [
            (version(by, &format!("{KIT}/versions/00000000")).await.map(drop), Code::NotFound, "RESOURCE_NOT_FOUND"),
            (version(by, &format!("{KIT}/versions/latest")).await.map(drop), Code::InvalidArgument, "INVALID_FIELD"),
            (version(by, KIT).await.map(drop), Code::InvalidArgument, "INVALID_FIELD"),
            (diff(by, &all[0].name, &other).await.map(drop), Code::InvalidArgument, "INVALID_FIELD"),
            (stage(by, &all[0].name, Stage::Alpha).await.map(drop), Code::PermissionDenied, "DUTY_MISSING"),
        ] {
            let refused = refused.unwrap_err();
            assert_eq!((refused.code(), reason(&refused).as_str()), (code, why));
        }
        let request = pb::ListPluginVersionsRequest { parent: "marketplaces/vendor/plugins/none".to_owned(), ..Default::default() };
        let refused = CatalogServiceClient::new(by.channel.clone()).list_plugin_versions(by.ask(request)).await.unwrap_err();
        assert_eq!(refused.code(), Code::NotFound);
    }

    async fn an_earlier_version_has_a_stage_of_its_own_that_counts_when_it_comes_back(site: Site) {
        let world = World::build(site).await;
        let [first, second] = two();
        for files in [&first, &second] {
            market::import(&world.admin, files).await.unwrap();
            world.site.advance(Duration::from_hours(1));
        }
        let all = versions(&world.owner, "", "").await;
        let set = stage(&world.admin, &all[0].name, Stage::Withdrawn).await.unwrap();
        assert_eq!((set.stage(), set.current), (Stage::Withdrawn, false));
        assert_eq!(plugin(&world.owner, "kit").await.stage(), Stage::Live, "the current version is as it was");
        let acts = crate::audit::events(&world.admin, "", "action = \"plugin_version.set_stage\"").await;
        assert_eq!(acts[0].targets, [all[0].name.clone()]);
        market::import(&world.admin, &first).await.unwrap();
        assert_eq!(plugin(&world.owner, "kit").await.stage(), Stage::Withdrawn);
        // now it is the current one: its stage is the plugin's
        let set = stage(&world.admin, &all[0].name, Stage::Preview).await.unwrap();
        assert_eq!((set.stage(), set.current), (Stage::Preview, true));
        assert_eq!(plugin(&world.owner, "kit").await.stage(), Stage::Preview);
        let acts = crate::audit::events(&world.admin, "", "action = \"plugin.set_stage\"").await;
        assert_eq!((acts.len(), &acts[0].targets), (1, &vec![KIT.to_owned()]));
    }

    async fn a_repeated_stage_of_a_version_is_set_once_and_a_dry_run_never(site: Site) {
        let world = World::build(site).await;
        market::import(&world.admin, &two()[0]).await.unwrap();
        let name = versions(&world.owner, "", "").await.remove(0).name;
        let by = &world.admin;
        let mut client = CatalogServiceClient::new(by.channel.clone());
        let request = pb::SetPluginVersionStageRequest {
            name,
            stage: Stage::Alpha.into(),
            request_id: "0d9f64a1-6a55-4a0c-9a0e-2f8a6f1f3b11".to_owned(),
            validate_only: true,
            sunset_time: None,
        };
        assert_eq!(client.set_plugin_version_stage(by.ask(request.clone())).await.unwrap().into_inner().stage(), Stage::Alpha);
        assert_eq!(plugin(by, "kit").await.stage(), Stage::Live);
        let request = pb::SetPluginVersionStageRequest { validate_only: false, ..request };
        let first = client.set_plugin_version_stage(by.ask(request.clone())).await.unwrap().into_inner();
        market::stage(by, "kit", Stage::Live).await.unwrap();
        assert_eq!(client.set_plugin_version_stage(by.ask(request)).await.unwrap().into_inner(), first);
        assert_eq!(plugin(by, "kit").await.stage(), Stage::Live, "the repetition did nothing");
    }
}
