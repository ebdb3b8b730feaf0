//! What telemetry says besides what is counted: plugins and settings.

use proto::usage::v1::{
    ListPluginSightingsRequest, ListSettingsObservationsRequest, ListUnapprovedPluginsRequest,
    PluginSighting, SettingsDrift, SettingsObservation, UnapprovedPlugin,
    usage_service_client::UsageServiceClient,
};
use serde_json::json;
use tests::{
    both_engines, data,
    market::{self, Files},
    site::Caller,
    world::ACME,
};
use tonic::{Code, Status};

use super::Desk;

/// `sales-kit@acme-client-catalog`, as the client of the captures has it.
const KIT: &str = "d997de49227db427";
const KIT_NAME: &str = "sales-kit@acme-client-catalog";
/// The client of the captures with details, and without.
const TELLS: &str = "claude/03-skill-details";
const KEEPS: &str = "claude/02-policyhelper-nodetails";

async fn unapproved(by: &Caller, filter: &str) -> Result<Vec<UnapprovedPlugin>, Status> {
    let request = ListUnapprovedPluginsRequest {
        parent: ACME.to_owned(),
        filter: filter.to_owned(),
        ..Default::default()
    };
    let answer = UsageServiceClient::new(by.channel.clone()).list_unapproved_plugins(by.ask(request)).await?;
    Ok(answer.into_inner().unapproved_plugins)
}

async fn sightings(by: &Caller, filter: &str) -> Vec<PluginSighting> {
    let request = ListPluginSightingsRequest {
        parent: ACME.to_owned(),
        filter: filter.to_owned(),
        ..Default::default()
    };
    let answer = UsageServiceClient::new(by.channel.clone()).list_plugin_sightings(by.ask(request)).await;
    answer.unwrap().into_inner().plugin_sightings
}

async fn settings(by: &Caller) -> Vec<SettingsObservation> {
    let request = ListSettingsObservationsRequest {
        parent: ACME.to_owned(),
        order_by: "resolved_sha256".to_owned(),
        ..Default::default()
    };
    let answer =
        UsageServiceClient::new(by.channel.clone()).list_settings_observations(by.ask(request)).await;
    answer.unwrap().into_inner().settings_observations
}

/// The client's own marketplace.
fn catalog() -> Files {
    let mut files = Files::new();
    let listing = json!({"name": "acme-client-catalog", "owner": {"name": "Acme"}, "plugins": [{"name": "sales-kit", "source": "./sales-kit"}]});
    market::put(&mut files, ".claude-plugin/marketplace.json", &listing);
    market::put(
        &mut files,
        "sales-kit/.claude-plugin/plugin.json",
        &json!({"name": "sales-kit", "version": "1.2.0"}),
    );
    files
}

both_engines! {
    async fn a_plugin_that_the_catalogue_does_not_list_is_reported_until_it_does(site: Site) {
        let desk = Desk::open(site).await;
        let (owner, admin) = (&desk.world.owner, &desk.world.admin);
        assert_eq!(unapproved(owner, "").await.unwrap(), []);
        // Sam's client keeps the name to itself
        desk.send_all(&desk.sam, &data::logs(KEEPS)).await;
        let found = unapproved(owner, "").await.unwrap();
        assert_eq!(found.len(), 1, "what comes with the client is nobody's choice: {found:?}");
        let first = found[0].first_time;
        assert_eq!((found[0].plugin_hash.as_str(), found[0].plugin.as_str(), found[0].principal_count), (KIT, "", 1));
        // Maria's tells it, and so everybody's is known
        desk.send_all(&desk.maria, &data::logs(TELLS)).await;
        let found = unapproved(owner, "").await.unwrap();
        assert_eq!((found[0].plugin.as_str(), found[0].principal_count, found[0].first_time), (KIT_NAME, 2, first));
        assert!(found[0].last_time.unwrap().seconds > first.unwrap().seconds);
        let stored = desk.world.site.dump(&["seen_plugin", "plugin_sighting"]).await;
        desk.send_all(&desk.maria, &data::logs(TELLS)).await;
        assert_eq!(desk.world.site.dump(&["seen_plugin", "plugin_sighting"]).await, stored, "seen already");

        market::import(admin, &catalog()).await.unwrap();
        assert_eq!(unapproved(owner, "").await.unwrap(), [], "the catalogue lists it now");
        let kits = sightings(owner, &format!("plugin_hash = \"{KIT}\"")).await;
        let versions: Vec<_> = kits.iter().map(|s| (s.principal.rsplit('/').next().unwrap(), s.version.as_str())).collect();
        assert_eq!(versions, [("sam", ""), ("maria", "1.2.0")]);
        for kit in &kits {
            assert_eq!((kit.plugin.as_str(), kit.bundled), (KIT_NAME, false));
            assert_eq!(kit.catalog_plugin, "marketplaces/acme-client-catalog/plugins/sales-kit");
        }

        // what the marketplace no longer lists is not approved any more
        let mut empty = catalog();
        market::put(&mut empty, ".claude-plugin/marketplace.json", &json!({"name": "acme-client-catalog", "owner": {"name": "Acme"}, "plugins": []}));
        market::import(admin, &empty).await.unwrap();
        assert_eq!(unapproved(owner, "").await.unwrap().len(), 1);
        assert_eq!(sightings(owner, "principal = \"sam\"").await.iter().filter(|s| s.bundled).count(), 4);
    }

    async fn a_plugin_of_codex_is_the_same_plugin(site: Site) {
        let desk = Desk::open(site).await;
        desk.send_all(&desk.maria, &data::logs("codex/run2-managed-plugin-mcp-json")).await;
        let found = unapproved(&desk.world.owner, "client = \"codex\"").await.unwrap();
        assert_eq!((found.len(), found[0].plugin.as_str()), (1, "finance-close@acme"));
        assert_eq!(found[0].plugin_hash, kernel::hash::telemetry_hash("finance-close", "acme"));
        assert_eq!(unapproved(&desk.world.owner, "client = \"claude-code\"").await.unwrap(), []);
        assert_eq!(unapproved(&desk.world.owner, "nonsense = 1").await.unwrap_err().code(), Code::InvalidArgument);
    }

    async fn settings_are_told_by_digest_and_what_was_served_is_not_known(site: Site) {
        let desk = Desk::open(site).await;
        desk.send_all(&desk.sam, &data::logs(KEEPS)).await;
        desk.send_all(&desk.maria, &data::logs(TELLS)).await;
        let told = settings(&desk.world.owner).await;
        let said: Vec<_> = told.iter().map(|s| (s.principal.as_str(), s.resolved_sha256.as_str(), s.sources.as_str())).collect();
        let digest = "c8708c662e01f7868ab1ae2b83a0df70324ec14fbd83c1eca0b2369790d0ac96";
        assert_eq!(said, [("tenants/acme/principals/sam", "", "file"), ("tenants/acme/principals/maria", digest, "file")]);
        for one in &told {
            assert_eq!((one.drift(), one.served_sha256.as_str(), one.helper_state.as_str()), (SettingsDrift::Unknown, "", "ok"));
        }
        let dump = desk.world.site.dump(&["settings_observation"]).await;
        assert!(!dump.contains("/opt/") && !dump.contains("REDACTED"), "{dump}");
    }

    async fn who_may_see_usage_only_for_themselves_sees_nothing_of_this(site: Site) {
        let desk = Desk::open(site).await;
        desk.send_all(&desk.sam, &data::logs(KEEPS)).await;
        let refused = unapproved(&desk.world.holders["member"], "").await.unwrap_err();
        assert_eq!(refused.code(), Code::PermissionDenied);
        assert_eq!(unapproved(&desk.world.holders["compliance"], "").await.unwrap().len(), 1);
        assert_eq!(unapproved(&desk.world.stranger, "").await.unwrap_err().code(), Code::NotFound);
    }
}
