//! A tenant of very many rules.

use proto::{
    decision::v1::{
        DecisionReason as Reason, ExplainRequest, decision_service_client::DecisionServiceClient,
    },
    entitlement::v1::{self as entitlement, Effect, entitlement_service_client::EntitlementServiceClient},
};
use tests::{Engine, Site, both_engines, http, world};

use super::{Bank, PLUGIN, check, rule};

/// How many, beside those that the test makes itself.
const RULES: i64 = 50_000;

async fn counted(site: &Site, metric: &str) -> u64 {
    let text = http::get(&format!("{}/metrics", site.running.url())).await.text();
    let line = text.lines().find(|l| l.starts_with(metric));
    line.and_then(|l| l.rsplit(' ').next()).map_or(0, |n| n.parse().unwrap())
}

/// Writes the rules behind the server's back: about `other`, for bankers, one in three a deny that is not open yet.
async fn fill(site: &Site) {
    let id = if site.engine == Engine::Sqlite { "randomblob(16)" } else { "gen_random_uuid()" };
    let query = format!(
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {RULES}) \
         INSERT INTO entitlement (tenant_id, id, slug, role_id, marketplace_id, plugin_id, target, effect, max_stage, \
           not_before, reason, revision, create_time) \
         SELECT r.tenant_id, {id}, 'n-' || n.i, r.id, p.marketplace_id, p.id, 'marketplaces/vendor/plugins/other', \
           CASE WHEN n.i % 3 = 0 THEN 'denied' ELSE 'available' END, 'live', \
           CASE WHEN n.i % 3 = 0 THEN 4000000000000000 END, '', 1, n.i \
         FROM n CROSS JOIN role r CROSS JOIN plugin p WHERE r.slug = 'banker' AND p.slug = 'other'"
    );
    let mut tx = site.kernel().db.begin_derived();
    let rows = kernel::execute!(&mut tx, sqlx::query(sqlx::AssertSqlSafe(query.clone()))).unwrap();
    assert_eq!(i64::try_from(rows).unwrap(), RULES);
    tx.finish().await.unwrap();
}

both_engines! {
    async fn fifty_thousand_rules_are_listed_decided_by_and_explained_and_one_more_is_a_delta(site: Site) {
        let bank = Bank::open(site).await;
        let (owner, site) = (&bank.world.owner, &bank.world.site);
        fill(site).await;
        assert_eq!(bank.why("maria").await, Reason::NoMatchingRule);
        let other = check(owner, "maria", "marketplaces/vendor/plugins/other").await.unwrap();
        assert!(other.allowed);
        let (compiled, applied) = (counted(site, "provost_decision_compiled").await, counted(site, "provost_decision_applied").await);
        bank.rule("may", "banker", Effect::Default).await;
        assert!(bank.ask("maria").await.allowed);
        bank.rule("not", "*", Effect::Denied).await;
        assert_eq!(bank.why("maria").await, Reason::ExplicitDeny);
        bank.drop_rule("not").await;
        assert!(bank.ask("maria").await.allowed);
        assert_eq!(counted(site, "provost_decision_compiled").await, compiled, "nothing was read anew");
        assert_eq!(counted(site, "provost_decision_applied").await, applied + 3);
        let request = ExplainRequest {
            principal: world::child(world::ACME, "principals", "maria"),
            plugin: PLUGIN.to_owned(),
            ..Default::default()
        };
        let told = DecisionServiceClient::new(owner.channel.clone()).explain(owner.ask(request)).await.unwrap().into_inner();
        assert!(told.decision.unwrap().allowed);
        assert_eq!(told.rules.len(), 1);
        let mut list = entitlement::ListEntitlementsRequest { parent: world::ACME.to_owned(), page_size: 1_000, ..Default::default() };
        let mut seen = std::collections::HashSet::new();
        loop {
            let mut client = EntitlementServiceClient::new(owner.channel.clone()).max_decoding_message_size(16 << 20);
            let page = client.list_entitlements(owner.ask(list.clone())).await.unwrap().into_inner();
            seen.extend(page.entitlements.into_iter().map(|e| e.name));
            list.page_token = page.next_page_token;
            if list.page_token.is_empty() {
                break;
            }
        }
        assert_eq!(i64::try_from(seen.len()).unwrap(), RULES + 1);
        let refused = bank.add("n-7", rule("*", PLUGIN, Effect::Denied)).await.unwrap_err();
        assert_eq!(crate::errors::reason(&refused), "RESOURCE_EXISTS");
    }
}
