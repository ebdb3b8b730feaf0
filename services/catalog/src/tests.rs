//! The use cases on the embedded engine, through a real kernel.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use kernel::{
    Ctx, Error, Kernel,
    clock::{Clock, Time},
    config::Layers,
    db::{Db, list::ListQuery},
    on,
};
use serde_json::json;
use tempfile::TempDir;

use crate::{
    model::{ImportReport, NewStage, Plugin, Stage},
    ops,
    tree::Tree,
};

const DEFAULTS: &str = include_str!("../../server/config.default.toml");

struct House {
    kernel: Arc<Kernel>,
    _dir: TempDir,
}

impl House {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data").display().to_string();
        let config = Layers::new(DEFAULTS, None, &[("server.data_dir", data)]).unwrap().config().unwrap();
        let db = Db::open(&config).await.unwrap();
        db.migrate().await.unwrap();
        let clock = Clock::manual(Time::from_micros(1_795_000_000_000_000));
        Self { kernel: Kernel::new(config, db, clock).await.unwrap(), _dir: dir }
    }

    fn ctx(&self) -> Ctx {
        self.kernel.clock.advance(Duration::from_secs(1));
        self.kernel.system()
    }

    async fn import(&self, tree: &Tree) -> ImportReport {
        ops::marketplace_import(&self.ctx(), tree, None).await.unwrap()
    }

    async fn plugin(&self, slug: &str) -> Plugin {
        ops::plugin_get(&self.ctx(), &format!("marketplaces/m/plugins/{slug}")).await.unwrap()
    }

    /// Audit entries of imports, in order.
    async fn events(&self) -> Vec<serde_json::Value> {
        let mut db = self.kernel.db.reader().await.unwrap();
        let query =
            "SELECT entry FROM audit_pending WHERE entry LIKE '%\"act\":\"marketplace.import\"%' ORDER BY id";
        let rows: Vec<(String,)> = on!(&mut db, |c| sqlx::query_as(query).fetch_all(c)).unwrap();
        rows.iter().map(|(entry,)| serde_json::from_str(entry).unwrap()).collect()
    }
}

/// The marketplace `m` with these plugins, each a slug and the text of its only skill.
fn tree(plugins: &[(&str, &str)]) -> Tree {
    let entries: Vec<_> =
        plugins.iter().map(|(slug, _)| json!({"name": slug, "source": format!("./{slug}")})).collect();
    let list = json!({"name": "m", "plugins": entries}).to_string();
    let mut files = vec![(".agents/plugins/marketplace.json".to_owned(), list)];
    for (slug, text) in plugins {
        files.push((
            format!("{slug}/.codex-plugin/plugin.json"),
            json!({"name": slug, "version": text}).to_string(),
        ));
        files.push((format!("{slug}/skills/use/SKILL.md"), (*text).to_owned()));
    }
    Tree::from_files(files).unwrap()
}

/// A stage without a sunset.
fn plain(stage: Stage) -> NewStage {
    NewStage { stage, sunset_time: None }
}

/// What the record says of every plugin, its parts put together.
async fn recorded(house: &House) -> BTreeMap<String, (bool, String)> {
    let mut db = house.kernel.db.reader().await.unwrap();
    let query = "SELECT entry FROM audit_pending WHERE entry LIKE '%\"act\":\"plugin.import\"%' ORDER BY id";
    let rows: Vec<(String,)> = on!(&mut db, |c| sqlx::query_as(query).fetch_all(c)).unwrap();
    let mut plugins = BTreeMap::new();
    for (entry,) in rows {
        let entry: serde_json::Value = serde_json::from_str(&entry).unwrap();
        assert_eq!(
            (&entry["tgt"][0]["id"], &entry["chg"][0]["f"]),
            (&json!("marketplaces/m"), &json!("/plugins"))
        );
        for (slug, plugin) in entry["chg"][0]["n"].as_object().unwrap() {
            let state = (plugin["listed"].as_bool().unwrap(), plugin["stage"].as_str().unwrap().to_owned());
            plugins.insert(slug.clone(), state);
        }
    }
    plugins
}

#[tokio::test]
async fn the_record_says_what_is_listed_and_how_far_released_however_large_the_marketplace() {
    let house = House::new().await;
    // ids and texts of the greatest length: nothing of it may give way to a digest
    let plugins: Vec<_> = (0..300).map(|n| (format!("p{n:062}"), "1")).collect();
    let plugins: Vec<_> = plugins.iter().map(|(slug, text)| (slug.as_str(), *text)).collect();
    ops::marketplace_import(&house.ctx(), &tree(&plugins), Some(Stage::Deprecated)).await.unwrap();
    let first = recorded(&house).await;
    assert_eq!(first.len(), 300);
    assert!(first.values().all(|state| *state == (true, "deprecated".to_owned())));
    house.import(&tree(&plugins[1..])).await;
    let second = recorded(&house).await;
    assert_eq!(second[plugins[0].0], (false, "deprecated".to_owned()));
    assert_eq!(second.values().filter(|(listed, _)| *listed).count(), 299);
}

fn slugs(slugs: &[kernel::ids::Slug]) -> Vec<&str> {
    slugs.iter().map(kernel::ids::Slug::as_str).collect()
}

#[tokio::test]
async fn importing_the_same_again_changes_nothing() {
    let house = House::new().await;
    let tree = tree(&[("a", "1"), ("b", "1")]);
    let first = house.import(&tree).await;
    assert_eq!((first.plugins, first.skills, first.marketplace.plugin_count), (2, 2, 2));
    assert_eq!(slugs(&first.added), ["a", "b"]);
    let again = house.import(&tree).await;
    let nothing = ImportReport { added: Vec::new(), diffs: Vec::new(), ..first };
    assert_eq!(again, nothing);
    assert_eq!(house.events().await.len(), 1);
}

#[tokio::test]
async fn a_change_makes_a_version_and_what_is_gone_is_deleted_and_comes_back() {
    let house = House::new().await;
    house.import(&tree(&[("a", "1"), ("b", "1")])).await;
    let old = house.plugin("a").await;
    let second = house.import(&tree(&[("a", "2"), ("c", "1")])).await;
    assert_eq!(
        (slugs(&second.added), slugs(&second.changed), slugs(&second.removed)),
        (vec!["c"], vec!["a"], vec!["b"])
    );
    assert_eq!(second.marketplace.plugin_count, 2);
    let new = house.plugin("a").await;
    assert_eq!((new.id, new.version.as_str(), new.create_time), (old.id, "2", old.create_time));
    assert!(new.version_id != old.version_id && new.update_time > old.update_time);
    assert!(house.plugin("b").await.delete_time.is_some());

    let third = house.import(&tree(&[("a", "1"), ("b", "1")])).await;
    assert_eq!(
        (slugs(&third.added), slugs(&third.changed), slugs(&third.removed)),
        (vec!["b"], vec!["a"], vec!["c"])
    );
    // the same content is the same version
    assert_eq!(house.plugin("a").await.version_id, old.version_id);
    assert!(house.plugin("b").await.delete_time.is_none());
    let events = house.events().await;
    assert_eq!(events.len(), 3);
    let removed = events[1]["chg"].as_array().unwrap().iter().find(|c| c["f"] == "/removed").unwrap();
    assert_eq!(removed["n"], json!(["b"]));
}

#[tokio::test]
async fn a_stage_outlives_new_content_and_a_kill_switch_outlives_every_import() {
    let house = House::new().await;
    let name = "marketplaces/m/plugins/a";
    let set = async |stage| ops::plugin_set_stage(&house.ctx(), name, plain(stage)).await.unwrap();
    ops::marketplace_import(&house.ctx(), &tree(&[("a", "1")]), Some(Stage::Preview)).await.unwrap();
    assert_eq!(house.plugin("a").await.stage, Stage::Preview);
    house.import(&tree(&[("a", "2"), ("b", "1")])).await;
    assert_eq!((house.plugin("a").await.stage, house.plugin("b").await.stage), (Stage::Preview, Stage::Live));
    assert_eq!(set(Stage::Live).await.stage, Stage::Live);
    // back to the first version, which was a preview
    house.import(&tree(&[("a", "1")])).await;
    assert_eq!(house.plugin("a").await.stage, Stage::Preview);
    set(Stage::Withdrawn).await;
    for versions in ["2", "3", "1"] {
        house.import(&tree(&[("a", versions)])).await;
        assert_eq!(house.plugin("a").await.stage, Stage::Withdrawn, "{versions}");
    }
    house.import(&tree(&[("b", "1")])).await;
    house.import(&tree(&[("a", "1")])).await;
    assert_eq!(house.plugin("a").await.stage, Stage::Withdrawn);
}

#[tokio::test]
async fn a_listed_plugin_that_cannot_be_read_stays_as_it_was() {
    let house = House::new().await;
    house.import(&tree(&[("a", "1"), ("b", "1")])).await;
    let list =
        json!({"name": "m", "plugins": [{"name": "a", "source": "./a"}, {"name": "b", "source": "./b"}]});
    let broken = Tree::from_files([
        (".agents/plugins/marketplace.json", list.to_string().as_str()),
        ("a/.codex-plugin/plugin.json", "{"),
        ("b/.codex-plugin/plugin.json", "{}"),
    ]);
    let report = house.import(&broken.unwrap()).await;
    assert_eq!((slugs(&report.changed), report.removed.len(), report.skipped.len()), (vec!["b"], 0, 1));
    assert_eq!(report.marketplace.plugin_count, 2);
    assert_eq!(house.plugin("a").await.version, "1");
}

#[tokio::test]
async fn a_refused_directory_leaves_nothing() {
    let house = House::new().await;
    let list =
        r#"{"name": "m", "plugins": [{"name": "a", "source": "./a"}, {"name": "b", "source": "../b"}]}"#;
    let files = [(".agents/plugins/marketplace.json", list), ("a/.codex-plugin/plugin.json", "{}")];
    let refused = ops::marketplace_import(&house.ctx(), &Tree::from_files(files).unwrap(), None).await;
    assert!(matches!(refused, Err(Error::Marketplace(_))));
    assert!(ops::marketplace_list(&house.ctx(), &ListQuery::default()).await.unwrap().items.is_empty());
    assert!(house.events().await.is_empty());
}

#[tokio::test]
async fn a_request_id_replays_its_first_result_and_a_dry_run_writes_nothing() {
    let house = House::new().await;
    let (id, tree) = ("018f0000-0000-7000-8000-000000000001", tree(&[("a", "1")]));
    let call = async |id: &str, validate_only, payload: u8| {
        let mut ctx = house.ctx();
        ctx.with_request(id, validate_only, vec![payload]).unwrap();
        ops::marketplace_import(&ctx, &tree, None).await
    };
    let dry = call("", true, 1).await.unwrap();
    assert_eq!(slugs(&dry.added), ["a"]);
    assert!(house.events().await.is_empty());
    let first = call(id, false, 1).await.unwrap();
    assert_eq!(call(id, false, 1).await.unwrap(), first);
    assert!(matches!(call(id, false, 2).await, Err(Error::RequestIdReused(_))));
    assert!(house.ctx().with_request("not-a-uuid", false, Vec::new()).is_err());
}

#[tokio::test]
async fn lists_filter_order_and_page_and_names_are_found() {
    let house = House::new().await;
    let plugins: Vec<_> =
        (0..1_200).map(|n| (format!("p{n:04}"), if n % 2 == 0 { "even" } else { "odd" })).collect();
    let plugins: Vec<_> = plugins.iter().map(|(slug, text)| (slug.as_str(), *text)).collect();
    let report = house.import(&tree(&plugins)).await;
    assert_eq!((report.added.len(), report.marketplace.plugin_count), (1_200, 1_200));
    house.import(&tree(&plugins[1..])).await;
    ops::plugin_set_stage(&house.ctx(), "marketplaces/m/plugins/p0007", plain(Stage::Alpha)).await.unwrap();

    let list = async |query: ListQuery| ops::plugin_list(&house.ctx(), "marketplaces/m", &query).await;
    let alpha = list(ListQuery { filter: "stage = ALPHA".into(), ..ListQuery::default() }).await.unwrap();
    assert_eq!(alpha.items.iter().map(|p| p.slug.as_str()).collect::<Vec<_>>(), ["p0007"]);
    let (mut seen, mut query) =
        (Vec::new(), ListQuery { order_by: "plugin_id desc".into(), page_size: 500, ..ListQuery::default() });
    loop {
        let page = list(query.clone()).await.unwrap();
        seen.extend(page.items.into_iter().map(|p| p.slug));
        if page.next_page_token.is_empty() {
            break;
        }
        query.page_token = page.next_page_token;
    }
    assert_eq!((seen.len(), seen[0].as_str(), seen[1_198].as_str()), (1_199, "p1199", "p0001"));
    let all = ListQuery {
        page_size: 1,
        show_deleted: true,
        filter: "plugin_id = p0000".into(),
        ..ListQuery::default()
    };
    assert!(list(all).await.unwrap().items[0].delete_time.is_some());
    let none = ops::plugin_list(&house.ctx(), "marketplaces/none", &ListQuery::default()).await;
    assert!(matches!(none, Err(Error::NotFound { .. })));
    let codex = ListQuery {
        filter: "format = CODEX".into(),
        order_by: "update_time desc".into(),
        ..ListQuery::default()
    };
    assert_eq!(ops::marketplace_list(&house.ctx(), &codex).await.unwrap().items[0].plugin_count, 1_199);
    assert_eq!(ops::marketplace_get(&house.ctx(), "marketplaces/m").await.unwrap().plugin_count, 1_199);

    let mut db = house.kernel.db.reader().await.unwrap();
    let marketplace = ops::marketplace_find(&mut db, "marketplaces/m").await.unwrap().unwrap();
    let plugin = ops::plugin_find(&mut db, "marketplaces/m/plugins/p0007").await.unwrap().unwrap();
    assert_eq!((plugin.marketplace_id, plugin.stage), (marketplace.id, Stage::Alpha));
    // no longer listed, never there, no name
    assert_eq!(ops::plugin_find(&mut db, "marketplaces/m/plugins/p0000").await.unwrap(), None);
    assert_eq!(ops::plugin_find(&mut db, "marketplaces/x/plugins/p0001").await.unwrap(), None);
    assert!(ops::plugin_find(&mut db, "plugins/p0001").await.is_err());
}

#[tokio::test]
async fn the_vendors_own_marketplaces_are_imported_and_the_record_names_every_plugin() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let data = std::env::var_os("PROVOST_DATA").map_or_else(|| root.join("../shared/data"), Into::into);
    let house = House::new().await;
    for (position, name) in ["codex-official", "claude-knowledge-work"].into_iter().enumerate() {
        let tree = crate::walk::read_directory(&data.join("marketplaces").join(name)).unwrap();
        let report = house.import(&tree).await;
        assert_eq!(report.added.len(), usize::try_from(report.plugins).unwrap());
        let again = house.import(&tree).await;
        assert_eq!((again.added.len(), again.skills), (0, report.skills));
        let events = house.events().await;
        assert_eq!(events.len(), position + 1);
        let added = events[position]["chg"].as_array().unwrap().iter().find(|c| c["f"] == "/added").unwrap();
        assert_eq!(added["n"].as_array().unwrap().len(), report.added.len());
    }
}
