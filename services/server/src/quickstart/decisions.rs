//! Roles get their plugins, and a few questions show the answers.

use proto::{
    catalog::v1::{self as catalog, Stage, catalog_service_client::CatalogServiceClient},
    connector_binding::v1::{
        self as binding, connector_binding_service_client::ConnectorBindingServiceClient,
    },
    decision::v1::{self as decision, decision_service_client::DecisionServiceClient},
    entitlement::v1::{self as entitlement, Effect, entitlement_service_client::EntitlementServiceClient},
};
use serde::Serialize;

use super::{
    Failure, Progress,
    catalog::Catalog,
    client::{done, ensured},
    people::{People, TENANT},
};

/// One answered question.
#[derive(Serialize)]
pub struct DecisionReport {
    /// Who.
    pub principal: String,
    /// What.
    pub plugin: String,
    /// Yes or no.
    pub allowed: bool,
    /// Why.
    pub reason: String,
}

/// The plugins that the story is about.
struct Cast<'c> {
    analytics: &'c str,
    sales: &'c str,
    banking: &'c str,
    developer: &'c str,
    preview: &'c str,
    /// Where there is one, what the owner withholds from analysts.
    withheld: Option<&'c str>,
}

fn cast(catalog: &Catalog) -> Option<Cast<'_>> {
    Some(Cast {
        analytics: catalog.pick(&["data-analytics", "snowflake", "databricks", "data"], 0)?,
        sales: catalog.pick(&["sales", "salesforce", "hubspot"], 1)?,
        banking: catalog.pick(&["investment-banking", "factset", "pitchbook", "finance"], 2)?,
        developer: catalog.pick(&["product-design", "github", "linear", "engineering"], 3)?,
        preview: catalog.pick(&["public-equity-investing", "lseg", "alpaca", "legal"], 4)?,
        withheld: catalog.find("pitchbook"),
    })
}

/// Gives roles their plugins and puts one plugin into preview.
pub async fn entitle(people: &People, catalog: &Catalog, progress: Progress) -> Result<(), Failure> {
    let Some(cast) = cast(catalog) else {
        progress.step("fewer than five plugins: no entitlements to show");
        return Ok(());
    };
    progress.step("entitling roles and binding connectors");
    preview(people, cast.preview).await?;
    let rules = [
        ("analysts-analytics", "data-analyst", cast.analytics, Effect::Default, "daily work"),
        ("sales-crm", "sales", cast.sales, Effect::Required, "every account is kept there"),
        ("bankers-research", "investment-banker", cast.banking, Effect::Default, "comparables and models"),
        ("bankers-equities", "investment-banker", cast.preview, Effect::Available, "once it is live"),
        ("developers-tools", "developer", cast.developer, Effect::Available, "who wants it"),
        ("sales-no-research", "sales", cast.banking, Effect::Denied, "information barrier"),
    ];
    let mut client = EntitlementServiceClient::new(people.consultant.channel.clone());
    for (id, role, target, effect, reason) in rules {
        let rule = entitlement::Entitlement {
            role: format!("{TENANT}/roles/{role}"),
            target: target.to_owned(),
            effect: effect.into(),
            max_stage: Stage::Live.into(),
            reason: reason.to_owned(),
            ..Default::default()
        };
        let request = entitlement::CreateEntitlementRequest {
            parent: TENANT.to_owned(),
            entitlement_id: id.to_owned(),
            entitlement: Some(rule),
            ..Default::default()
        };
        ensured("entitling a role", client.create_entitlement(people.consultant.ask(request)).await)?;
    }
    for plugin in [cast.analytics, cast.sales, cast.banking, cast.developer] {
        bind(people, plugin).await?;
    }
    match cast.withheld {
        Some(target) => withhold(people, target).await,
        None => Ok(()),
    }
}

/// Binds the client's connectors to the places that a plugin keeps for them.
async fn bind(people: &People, plugin: &str) -> Result<(), Failure> {
    let by = &people.consultant;
    let ask = catalog::GetPluginRequest { name: plugin.to_owned() };
    let mut client = CatalogServiceClient::new(by.channel.clone());
    let found = done("reading a plugin", client.get_plugin(by.ask(ask)).await)?;
    let mut client = ConnectorBindingServiceClient::new(by.channel.clone());
    for app in found.apps.into_iter().filter(|app| app.templated) {
        let word = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
        let connector = binding::ConnectorBinding {
            plugin: plugin.to_owned(),
            connector_id: format!("acme-{}", app.key.chars().map(word).collect::<String>()),
            app: app.key,
            ..Default::default()
        };
        let request = binding::CreateConnectorBindingRequest {
            parent: TENANT.to_owned(),
            connector_binding: Some(connector),
            ..Default::default()
        };
        ensured("binding a connector", client.create_connector_binding(by.ask(request)).await)?;
    }
    Ok(())
}

/// A floor: what the client's owner denies, no consultant allows.
async fn withhold(people: &People, target: &str) -> Result<(), Failure> {
    let rule = entitlement::Entitlement {
        role: format!("{TENANT}/roles/data-analyst"),
        target: target.to_owned(),
        effect: Effect::Denied.into(),
        reason: "PitchBook is licensed for the deal team only".to_owned(),
        floor: true,
        ..Default::default()
    };
    let request = entitlement::CreateEntitlementRequest {
        parent: TENANT.to_owned(),
        entitlement_id: "analysts-no-pitchbook".to_owned(),
        entitlement: Some(rule),
        ..Default::default()
    };
    let mut client = EntitlementServiceClient::new(people.owner.channel.clone());
    ensured("setting a floor", client.create_entitlement(people.owner.ask(request)).await)
}

async fn preview(people: &People, plugin: &str) -> Result<(), Failure> {
    let mut client = CatalogServiceClient::new(people.admin.channel.clone());
    let ask = catalog::GetPluginRequest { name: plugin.to_owned() };
    let now = done("reading a plugin", client.get_plugin(people.admin.ask(ask)).await)?;
    if now.stage() == Stage::Preview {
        return Ok(());
    }
    let request = catalog::SetPluginStageRequest {
        name: plugin.to_owned(),
        stage: Stage::Preview.into(),
        ..Default::default()
    };
    done("setting a stage", client.set_plugin_stage(people.admin.ask(request)).await).map(|_| ())
}

/// Answers, and one of them explained.
pub struct Answers {
    /// The answers.
    pub decisions: Vec<DecisionReport>,
    /// Why one of them is a no, in sentences; empty without plugins.
    pub explanation: String,
}

/// Asks: allowed, denied by rule, no rule, not yet live, and an agent through its owner; and why one answer is a no.
pub async fn check(people: &People, catalog: &Catalog, progress: Progress) -> Result<Answers, Failure> {
    let Some(cast) = cast(catalog) else {
        return Ok(Answers { decisions: Vec::new(), explanation: String::new() });
    };
    progress.step("asking for decisions");
    let questions = [
        ("maria", cast.analytics),
        ("maria-agent", cast.analytics),
        ("ivy", cast.banking),
        ("sam", cast.banking),
        ("dmitri", cast.sales),
        ("ivy", cast.preview),
    ];
    let withheld = cast.withheld.map(|plugin| ("maria", plugin));
    let (who, what) = withheld.unwrap_or(("sam", cast.banking));
    let questions = questions.into_iter().chain(withheld);
    let mut client = DecisionServiceClient::new(people.consultant.channel.clone());
    let name = |principal: &str| format!("{TENANT}/principals/{principal}");
    let mut decisions = Vec::new();
    for (principal, plugin) in questions {
        let (principal, plugin) = (name(principal), plugin.to_owned());
        let request = decision::CheckRequest {
            principal: principal.clone(),
            plugin: plugin.clone(),
            revision_token: String::new(),
        };
        let answer = done("asking for a decision", client.check(people.consultant.ask(request)).await)?;
        let reason = answer.reason().as_str_name().trim_start_matches("DECISION_REASON_").to_owned();
        decisions.push(DecisionReport { principal, plugin, allowed: answer.allowed, reason });
    }
    let request = decision::ExplainRequest {
        principal: name(who),
        plugin: what.to_owned(),
        revision_token: String::new(),
    };
    let told = done("asking for an explanation", client.explain(people.consultant.ask(request)).await)?;
    Ok(Answers { decisions, explanation: told.summary })
}
