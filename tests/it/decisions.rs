//! May she use this? Over the real wire.

use proto::{
    catalog::v1::Stage,
    decision::v1::{CheckRequest, Decision, DecisionReason, decision_service_client::DecisionServiceClient},
    entitlement::v1::{
        self as entitlement, Effect, Entitlement, entitlement_service_client::EntitlementServiceClient,
    },
};
use tests::{Site, World, market, site::Caller, staff, world};
use tonic::Status;

mod answers;
pub mod authzen;
mod bindings;
mod edge;
mod explained;
mod floors;
mod input;
mod large;
mod logged;
mod many;
mod overrides;
mod parts;
mod people;
mod preview;
mod revisions;
mod rules;
mod sets;
mod sunsets;
mod updates;
mod watch;

/// The plugin that is asked about.
const PLUGIN: &str = "marketplaces/vendor/plugins/kit";

/// `acme` with a marketplace, a role `banker` and Maria, who holds it.
struct Bank {
    world: World,
}

impl Bank {
    async fn open(site: Site) -> Self {
        let world = World::build(site).await;
        market::import(&world.admin, &market::small(&["kit", "other"])).await.unwrap();
        world.role("banker").await;
        world::user(&world.owner, world::ACME, "maria").await;
        staff::give(&world.owner, "banker", "principals/maria").await;
        Self { world }
    }

    /// Creates a rule about the plugin, for `role` or everybody (`*`).
    async fn rule(&self, id: &str, role: &str, effect: Effect) {
        self.add(id, rule(role, PLUGIN, effect)).await.unwrap();
    }

    async fn add(&self, id: &str, new: Entitlement) -> Result<Entitlement, Status> {
        create(&self.world.owner, id, new).await
    }

    async fn drop_rule(&self, id: &str) {
        let name = world::child(world::ACME, "entitlements", id);
        let request = entitlement::DeleteEntitlementRequest { name, ..Default::default() };
        let by = &self.world.owner;
        EntitlementServiceClient::new(by.channel.clone()).delete_entitlement(by.ask(request)).await.unwrap();
    }

    /// The answer about a person and the plugin.
    async fn ask(&self, who: &str) -> Decision {
        let decision = check(&self.world.owner, who, PLUGIN).await.unwrap();
        assert_eq!(decision.allowed, decision.reason() == DecisionReason::Allowed, "{decision:?}");
        assert_eq!(decision.decide_time, Some(self.world.site.kernel().clock.now().into()));
        decision
    }

    /// The reason of the answer about a person and the plugin.
    async fn why(&self, who: &str) -> DecisionReason {
        self.ask(who).await.reason()
    }
}

/// A rule for a role of `acme`, or for everybody (`*`).
pub fn rule(role: &str, target: &str, effect: Effect) -> Entitlement {
    let role = if role == "*" { role.to_owned() } else { world::child(world::ACME, "roles", role) };
    Entitlement {
        role,
        target: target.to_owned(),
        effect: effect.into(),
        max_stage: Stage::Live.into(),
        reason: "tests".to_owned(),
        ..Default::default()
    }
}

pub async fn create(by: &Caller, id: &str, new: Entitlement) -> Result<Entitlement, Status> {
    let request = entitlement::CreateEntitlementRequest {
        parent: world::ACME.to_owned(),
        entitlement_id: id.to_owned(),
        entitlement: Some(new),
        ..Default::default()
    };
    Ok(EntitlementServiceClient::new(by.channel.clone())
        .create_entitlement(by.ask(request))
        .await?
        .into_inner())
}

pub async fn check(by: &Caller, who: &str, plugin: &str) -> Result<Decision, Status> {
    let principal =
        if who.contains('/') { who.to_owned() } else { world::child(world::ACME, "principals", who) };
    let request = CheckRequest { principal, plugin: plugin.to_owned(), revision_token: String::new() };
    Ok(DecisionServiceClient::new(by.channel.clone()).check(by.ask(request)).await?.into_inner())
}

/// Names of rules.
fn named(ids: &[&str]) -> Vec<String> {
    ids.iter().map(|id| world::child(world::ACME, "entitlements", id)).collect()
}
