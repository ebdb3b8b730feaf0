//! Plugins that wait for the client's own connectors.

use proto::{
    connector_binding::v1::{
        self as pb, ConnectorBinding, ConnectorBindingState as State,
        connector_binding_service_client::ConnectorBindingServiceClient,
    },
    decision::v1::{
        DecisionReason as Reason, ExplainRequest, Explanation, RemedyKind,
        decision_service_client::DecisionServiceClient,
    },
    entitlement::v1::{
        CreateEntitlementRequest, Effect, Entitlement, entitlement_service_client::EntitlementServiceClient,
    },
    tenant_plugin::v1::{
        self as plugins, Readiness, TenantPlugin, tenant_plugin_service_client::TenantPluginServiceClient,
    },
};
use tests::{both_engines, market, own, site::Caller, world};
use tonic::{Code, Status};
use uuid::Uuid;

use super::{Bank, PLUGIN, check};
use crate::{audit::events, errors::reason};

/// Imports `kit` with apps that wait for a connector and apps that bring one, and `other` without any.
async fn import(bank: &Bank, templated: &[&str], fixed: &[&str]) {
    let mut files = market::small(&["kit", "other"]);
    own::apps(&mut files, "kit", templated, fixed);
    market::import(&bank.world.admin, &files).await.unwrap();
}

/// The bank with a plugin that wants two connectors, and a rule that allows it.
async fn open(site: tests::Site) -> Bank {
    let bank = Bank::open(site).await;
    import(&bank, &["mail", "crm"], &["docs"]).await;
    bank.rule("may", "banker", Effect::Default).await;
    bank
}

pub async fn explain(by: &Caller, who: &str) -> Explanation {
    let request = ExplainRequest {
        principal: world::child(world::ACME, "principals", who),
        plugin: PLUGIN.to_owned(),
        ..Default::default()
    };
    DecisionServiceClient::new(by.channel.clone()).explain(by.ask(request)).await.unwrap().into_inner()
}

async fn listed(
    by: &Caller,
    request: plugins::ListTenantPluginsRequest,
) -> Result<plugins::ListTenantPluginsResponse, Status> {
    let mut client = TenantPluginServiceClient::new(by.channel.clone());
    Ok(client.list_tenant_plugins(by.ask(request)).await?.into_inner())
}

fn plugins_of(parent: &str, readiness: Readiness) -> plugins::ListTenantPluginsRequest {
    plugins::ListTenantPluginsRequest {
        parent: parent.to_owned(),
        readiness: readiness.into(),
        ..Default::default()
    }
}

/// What waits for connectors in a tenant, with the apps.
async fn waiting(by: &Caller, parent: &str) -> Vec<(String, Vec<String>)> {
    let answer = listed(by, plugins_of(parent, Readiness::NotReady)).await.unwrap();
    answer.tenant_plugins.into_iter().map(|p| (p.plugin, p.missing_apps)).collect()
}

pub async fn tenant_plugin(by: &Caller, id: &str) -> Result<TenantPlugin, Status> {
    let request = plugins::GetTenantPluginRequest { name: format!("{}/{}", world::ACME, own::plugin(id)) };
    let mut client = TenantPluginServiceClient::new(by.channel.clone());
    Ok(client.get_tenant_plugin(by.ask(request)).await?.into_inner())
}

async fn update(by: &Caller, binding: ConnectorBinding, paths: &[&str]) -> Result<ConnectorBinding, Status> {
    let paths: Vec<_> = paths.iter().map(|path| (*path).to_owned()).collect();
    let update_mask = Some(prost_types::FieldMask { paths }).filter(|mask| !mask.paths.is_empty());
    let request = pb::UpdateConnectorBindingRequest {
        connector_binding: Some(binding),
        update_mask,
        ..Default::default()
    };
    let mut client = ConnectorBindingServiceClient::new(by.channel.clone());
    Ok(client.update_connector_binding(by.ask(request)).await?.into_inner())
}

async fn list(
    by: &Caller,
    request: pb::ListConnectorBindingsRequest,
) -> Result<pb::ListConnectorBindingsResponse, Status> {
    let request = pb::ListConnectorBindingsRequest { parent: world::ACME.to_owned(), ..request };
    let mut client = ConnectorBindingServiceClient::new(by.channel.clone());
    Ok(client.list_connector_bindings(by.ask(request)).await?.into_inner())
}

fn ids(bindings: &[ConnectorBinding]) -> Vec<&str> {
    bindings.iter().map(|b| b.name.rsplit('/').next().unwrap()).collect()
}

/// Code and reason of a refusal.
pub fn refusal<T: std::fmt::Debug>(outcome: Result<T, Status>) -> (Code, String) {
    let refused = outcome.unwrap_err();
    (refused.code(), reason(&refused))
}

/// Somebody of `tenants/globex` who may use the plugin.
async fn stranger(bank: &Bank) -> String {
    let (by, globex) = (&bank.world.stranger, "tenants/globex");
    world::user(by, globex, "sam").await;
    let rule = Entitlement {
        role: "*".to_owned(),
        target: PLUGIN.to_owned(),
        effect: Effect::Available.into(),
        ..Default::default()
    };
    let request =
        CreateEntitlementRequest { parent: globex.to_owned(), entitlement: Some(rule), ..Default::default() };
    EntitlementServiceClient::new(by.channel.clone()).create_entitlement(by.ask(request)).await.unwrap();
    world::child(globex, "principals", "sam")
}

both_engines! {
    async fn a_plugin_waits_for_its_connectors_and_is_ready_at_once_in_this_tenant_alone(site: Site) {
        let bank = open(site).await;
        let (owner, consultant, other) = (&bank.world.owner, &bank.world.consultant, &bank.world.stranger);
        let sam = stranger(&bank).await;
        assert_eq!(bank.why("maria").await, Reason::NotReady);
        assert_eq!(waiting(consultant, world::ACME).await, [(PLUGIN.to_owned(), vec!["crm".to_owned(), "mail".to_owned()])]);
        let told = explain(owner, "maria").await;
        assert_eq!(told.missing_apps, ["crm", "mail"]);
        assert!(told.summary.starts_with("No: maria may not use vendor/kit; it needs connectors that are not bound: crm, mail."), "{}", told.summary);
        assert!(told.summary.ends_with("To allow it: bind the connectors of crm, mail."), "{}", told.summary);
        assert_eq!(told.remedies.iter().map(|r| (r.kind(), r.resource.as_str())).collect::<Vec<_>>(), [(RemedyKind::BindConnectors, PLUGIN)]);
        // one of two is not enough, and parts of the plugin wait with it
        own::bind(consultant, "crm", "kit", "crm", "acme-crm").await.unwrap();
        assert_eq!(bank.why("maria").await, Reason::NotReady);
        assert_eq!(explain(owner, "maria").await.missing_apps, ["mail"]);
        let part = format!("{PLUGIN}/apps/docs");
        assert_eq!(check(owner, "maria", &part).await.unwrap().reason(), Reason::NotReady);
        own::bind(consultant, "mail", "kit", "mail", "acme-mail").await.unwrap();
        assert!(bank.ask("maria").await.allowed && check(owner, "maria", &part).await.unwrap().allowed);
        assert_eq!(waiting(owner, world::ACME).await, []);
        assert_eq!(tenant_plugin(owner, "kit").await.unwrap().readiness(), Readiness::Ready);
        // another client of another partner has nothing of it
        assert_eq!(check(other, &sam, PLUGIN).await.unwrap().reason(), Reason::NotReady);
        assert_eq!(waiting(other, "tenants/globex").await.len(), 1);
        own::unbind(consultant, "mail", "").await.unwrap();
        assert_eq!(bank.why("maria").await, Reason::NotReady);
        assert_eq!(explain(owner, "maria").await.missing_apps, ["mail"]);
        own::bind(consultant, "mail", "kit", "mail", "acme-mail-2").await.unwrap();
        assert!(bank.ask("maria").await.allowed);
        // a rule that forbids is named before what is missing
        own::unbind(consultant, "mail", "").await.unwrap();
        bank.rule("not", "banker", Effect::Denied).await;
        assert_eq!(bank.why("maria").await, Reason::ExplicitDeny);
    }

    async fn a_new_version_keeps_a_binding_and_one_that_does_not_ask_for_it_leaves_it_orphaned(site: Site) {
        let bank = open(site).await;
        let owner = &bank.world.owner;
        for app in ["crm", "mail"] {
            own::bind(owner, app, "kit", app, "acme").await.unwrap();
        }
        let state = async |app: &str| own::binding(owner, app).await.unwrap().state();
        assert!(bank.ask("maria").await.allowed);
        // the same connectors and one more
        import(&bank, &["crm", "mail", "chat"], &[]).await;
        assert_eq!([state("crm").await, state("mail").await], [State::Active; 2]);
        assert_eq!(explain(owner, "maria").await.missing_apps, ["chat"]);
        // one is not asked for any more, and one comes with the plugin
        import(&bank, &[], &["crm"]).await;
        assert_eq!([state("crm").await, state("mail").await], [State::Orphaned; 2]);
        assert!(bank.ask("maria").await.allowed);
        // what is orphaned can be changed and counts again with the next version
        let mail = own::binding(owner, "mail").await.unwrap();
        let mail = update(owner, ConnectorBinding { connector_id: "acme-2".to_owned(), ..mail }, &[]).await.unwrap();
        assert_eq!((mail.state(), mail.connector_id.as_str(), mail.etag.as_str()), (State::Orphaned, "acme-2", "r2"));
        import(&bank, &["mail"], &[]).await;
        assert_eq!([state("crm").await, state("mail").await], [State::Orphaned, State::Active]);
        assert!(bank.ask("maria").await.allowed);
        // not listed, and listed again
        market::import(&bank.world.admin, &market::small(&["other"])).await.unwrap();
        assert_eq!(state("mail").await, State::Orphaned);
        assert_eq!(refusal(tenant_plugin(owner, "kit").await), (Code::NotFound, "RESOURCE_NOT_FOUND".to_owned()));
        assert_eq!(refusal(own::bind(owner, "x", "kit", "mail", "acme").await).0, Code::NotFound);
        import(&bank, &["mail"], &[]).await;
        assert_eq!(state("mail").await, State::Active);
        assert!(bank.ask("maria").await.allowed);
    }

    async fn what_cannot_be_bound_is_refused_with_its_reason(site: Site) {
        let bank = open(site).await;
        let owner = &bank.world.owner;
        own::bind(owner, "crm", "kit", "crm", "acme-crm").await.unwrap();
        let long = "c".repeat(129);
        for (id, of, app, connector, why) in [
            ("x", "none", "crm", "acme", (Code::NotFound, "RESOURCE_NOT_FOUND")),
            ("x", "kit", "none", "acme", (Code::NotFound, "RESOURCE_NOT_FOUND")),
            ("x", "kit", "", "acme", (Code::NotFound, "RESOURCE_NOT_FOUND")),
            ("x", "kit", "größe", "acme", (Code::NotFound, "RESOURCE_NOT_FOUND")),
            ("x", "other", "crm", "acme", (Code::NotFound, "RESOURCE_NOT_FOUND")),
            ("x", "kit", "docs", "acme", (Code::FailedPrecondition, "ILLEGAL_STATE")),
            ("x", "kit", "mail", "", (Code::InvalidArgument, "INVALID_FIELD")),
            ("x", "kit", "mail", "größe", (Code::InvalidArgument, "INVALID_FIELD")),
            ("x", "kit", "mail", "Bearer abc=", (Code::InvalidArgument, "INVALID_FIELD")),
            ("x", "kit", "mail", &long, (Code::InvalidArgument, "INVALID_FIELD")),
            ("x", "kit", "mail", "REPLACE_WITH_CONNECTOR_ID", (Code::InvalidArgument, "INVALID_FIELD")),
            ("Größe", "kit", "mail", "acme", (Code::InvalidArgument, "INVALID_FIELD")),
            ("x", "", "mail", "acme", (Code::InvalidArgument, "INVALID_FIELD")),
            ("x", "kit/../other", "mail", "acme", (Code::InvalidArgument, "INVALID_FIELD")),
            ("x", "kit", "crm", "acme", (Code::AlreadyExists, "RESOURCE_EXISTS")),
            ("crm", "kit", "mail", "acme", (Code::AlreadyExists, "RESOURCE_EXISTS")),
        ] {
            let refused = refusal(own::bind(owner, id, of, app, connector).await);
            assert_eq!(refused, (why.0, why.1.to_owned()), "{id} {of} {app} {connector}");
        }
        let taken = own::bind(owner, "x", "kit", "crm", "acme").await.unwrap_err();
        assert!(taken.message().contains("connectorBindings/crm"), "{}", taken.message());
        assert_eq!(list(owner, pb::ListConnectorBindingsRequest::default()).await.unwrap().connector_bindings.len(), 1);
        own::bind(owner, "", "kit", "mail", &"c".repeat(128)).await.unwrap();
    }

    async fn a_binding_is_changed_by_those_who_know_it_and_once_a_request(site: Site) {
        let bank = open(site).await;
        let owner = &bank.world.owner;
        let new = ConnectorBinding { plugin: PLUGIN.to_owned(), app: "crm".to_owned(), connector_id: "acme-crm".to_owned(), ..Default::default() };
        let request = || own::binding_of("crm", new.clone());
        let dry = own::bind_by(owner, pb::CreateConnectorBindingRequest { validate_only: true, ..request() }).await.unwrap();
        assert_eq!((dry.name.as_str(), dry.state()), ("tenants/acme/connectorBindings/crm", State::Active));
        assert_eq!(refusal(own::binding(owner, "crm").await), (Code::NotFound, "RESOURCE_NOT_FOUND".to_owned()));
        let once = pb::CreateConnectorBindingRequest { request_id: Uuid::from_u128(7).to_string(), ..request() };
        let made = own::bind_by(owner, once.clone()).await.unwrap();
        assert_eq!(own::bind_by(owner, once.clone()).await.unwrap(), made, "a retry");
        assert_eq!(own::binding(owner, "crm").await.unwrap(), made);
        let other = pb::CreateConnectorBindingRequest { connector_binding_id: "other".to_owned(), ..once };
        assert_eq!(refusal(own::bind_by(owner, other).await), (Code::AlreadyExists, "REQUEST_ID_REUSED".to_owned()));
        let to = |connector: &str, etag: &str| ConnectorBinding {
            name: made.name.clone(), connector_id: connector.to_owned(), etag: etag.to_owned(), ..Default::default()
        };
        assert_eq!(refusal(update(owner, to("b", "r9"), &[]).await), (Code::Aborted, "ETAG_STALE".to_owned()));
        assert_eq!(refusal(update(owner, to("b", ""), &["app"]).await), (Code::InvalidArgument, "INVALID_FIELD".to_owned()));
        assert_eq!(refusal(update(owner, to("", ""), &["connector_id"]).await), (Code::InvalidArgument, "INVALID_FIELD".to_owned()));
        bank.world.site.advance(std::time::Duration::from_secs(1));
        let next = update(owner, to("b", "r1"), &["connector_id"]).await.unwrap();
        assert_eq!((next.connector_id.as_str(), next.etag.as_str(), &next.uid), ("b", "r2", &made.uid));
        assert!(next.update_time.unwrap().seconds > made.update_time.unwrap().seconds && next.create_time == made.create_time);
        assert_eq!(refusal(own::unbind(owner, "crm", "r1").await), (Code::Aborted, "ETAG_STALE".to_owned()));
        assert_eq!(own::unbind(owner, "crm", "r2").await.unwrap(), next);
        assert_eq!(refusal(own::unbind(owner, "crm", "").await).0, Code::NotFound);
        // the name may be given again; it is another binding
        let again = own::bind(owner, "crm", "kit", "crm", "c").await.unwrap();
        assert_ne!(again.uid, made.uid);
        let acts: Vec<_> = events(owner, world::ACME, "action = \"connector_binding.*\"").await.into_iter().rev().map(|e| e.action).collect();
        assert_eq!(acts, ["create", "update", "delete", "create"].map(|verb| format!("connector_binding.{verb}")));
    }

    async fn bindings_and_plugins_are_listed_by_filter_order_and_page(site: Site) {
        let bank = open(site).await;
        let owner = &bank.world.owner;
        for (id, app) in [("b", "crm"), ("a", "mail")] {
            own::bind(owner, id, "kit", app, &format!("acme-{app}")).await.unwrap();
            bank.world.site.advance(std::time::Duration::from_secs(1));
        }
        for (filter, order_by, expected) in [
            ("", "", vec!["b", "a"]),
            ("", "connector_binding_id", vec!["a", "b"]),
            ("", "update_time desc", vec!["a", "b"]),
            ("app = \"crm\"", "", vec!["b"]),
            ("connector_id = \"*-mail\"", "", vec!["a"]),
            ("plugin = \"marketplaces/vendor/plugins/kit\" AND NOT connector_binding_id = \"a\"", "", vec!["b"]),
            ("plugin = \"marketplaces/vendor/plugins/other\"", "", vec![]),
        ] {
            let request = pb::ListConnectorBindingsRequest { filter: filter.to_owned(), order_by: order_by.to_owned(), ..Default::default() };
            assert_eq!(ids(&list(owner, request).await.unwrap().connector_bindings), expected, "{filter} {order_by}");
        }
        let first = list(owner, pb::ListConnectorBindingsRequest { page_size: 1, ..Default::default() }).await.unwrap();
        let rest = pb::ListConnectorBindingsRequest { page_size: 1, page_token: first.next_page_token.clone(), ..Default::default() };
        let second = list(owner, rest.clone()).await.unwrap();
        assert_eq!((ids(&first.connector_bindings), ids(&second.connector_bindings), second.next_page_token.as_str()), (vec!["b"], vec!["a"], ""));
        for (request, why) in [
            (pb::ListConnectorBindingsRequest { filter: "secret = \"x\"".to_owned(), ..Default::default() }, "INVALID_FILTER"),
            (pb::ListConnectorBindingsRequest { order_by: "app".to_owned(), ..Default::default() }, "INVALID_FIELD"),
            (pb::ListConnectorBindingsRequest { filter: "app = \"crm\"".to_owned(), ..rest }, "INVALID_PAGE_TOKEN"),
        ] {
            assert_eq!(refusal(list(owner, request).await), (Code::InvalidArgument, why.to_owned()));
        }
        // plugins, in pages of one
        let (mut names, mut request) = (Vec::new(), plugins::ListTenantPluginsRequest { page_size: 1, ..plugins_of(world::ACME, Readiness::Unspecified) });
        loop {
            let page = listed(owner, request.clone()).await.unwrap();
            names.extend(page.tenant_plugins.into_iter().map(|p| p.name));
            request.page_token = page.next_page_token;
            if request.page_token.is_empty() {
                break;
            }
        }
        assert_eq!(names, ["kit", "other"].map(|id| format!("{}/{}", world::ACME, own::plugin(id))));
        let of = |marketplace: &str| plugins::ListTenantPluginsRequest { marketplace: marketplace.to_owned(), ..plugins_of(world::ACME, Readiness::Ready) };
        assert_eq!(listed(owner, of("marketplaces/vendor")).await.unwrap().tenant_plugins.len(), 2);
        assert_eq!(listed(owner, of("marketplaces/vend")).await.unwrap().tenant_plugins.len(), 0);
        let first = listed(owner, plugins::ListTenantPluginsRequest { page_size: 1, ..of("") }).await.unwrap();
        let elsewhere = plugins::ListTenantPluginsRequest { page_token: first.next_page_token, ..of("marketplaces/vendor") };
        assert_eq!(refusal(listed(owner, elsewhere).await), (Code::InvalidArgument, "INVALID_PAGE_TOKEN".to_owned()));
        assert_eq!(refusal(listed(owner, of("vendor")).await), (Code::InvalidArgument, "INVALID_FIELD".to_owned()));
        let unknown = plugins::ListTenantPluginsRequest { readiness: 9, ..plugins_of(world::ACME, Readiness::Ready) };
        assert_eq!(refusal(listed(owner, unknown).await), (Code::InvalidArgument, "INVALID_FIELD".to_owned()));
    }

    async fn those_who_provision_bind_and_officers_look_on(site: Site) {
        let bank = open(site).await;
        for duty in ["owner", "admin", "consultant", "partner_admin", "platform_admin"] {
            let by = &bank.world.holders[duty];
            let made = own::bind(by, duty.replace('_', "-").as_str(), "kit", "crm", "acme").await.unwrap();
            let id = made.name.rsplit('/').next().unwrap();
            update(by, ConnectorBinding { connector_id: "b".to_owned(), ..made.clone() }, &[]).await.unwrap();
            own::unbind(by, id, "").await.unwrap();
        }
        let made = own::bind(&bank.world.owner, "crm", "kit", "crm", "acme").await.unwrap();
        for duty in ["compliance", "approver", "finance", "member", "platform_auditor"] {
            let by = &bank.world.holders[duty];
            let denied = (Code::PermissionDenied, "DUTY_MISSING".to_owned());
            assert_eq!(refusal(own::bind(by, "x", "kit", "mail", "acme").await), denied, "{duty}");
            assert_eq!(refusal(update(by, ConnectorBinding { connector_id: "b".to_owned(), ..made.clone() }, &[]).await), denied, "{duty}");
            assert_eq!(refusal(own::unbind(by, "crm", "").await), denied, "{duty}");
            let reads = !matches!(duty, "finance" | "member");
            assert_eq!(own::binding(by, "crm").await.is_ok(), reads, "{duty}");
            assert_eq!(tenant_plugin(by, "kit").await.is_ok(), reads, "{duty}");
        }
        for by in [&bank.world.stranger, &bank.world.rival] {
            let hidden = (Code::NotFound, "RESOURCE_NOT_FOUND".to_owned());
            assert_eq!(refusal(own::bind(by, "x", "kit", "mail", "acme").await), hidden);
            assert_eq!(refusal(own::binding(by, "crm").await), hidden);
            assert_eq!(refusal(own::unbind(by, "crm", "").await), hidden);
            assert_eq!(refusal(tenant_plugin(by, "kit").await), hidden);
            assert_eq!(refusal(listed(by, plugins_of(world::ACME, Readiness::Unspecified)).await), hidden);
        }
        assert_eq!(own::binding(&bank.world.owner, "crm").await.unwrap(), made);
    }
}
