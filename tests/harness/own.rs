//! What a tenant has of its own for plugins of `vendor`: connectors and stages. Ids and last segments throughout.

use proto::{
    catalog::v1::Stage,
    connector_binding::v1::{
        self as binding, ConnectorBinding, connector_binding_service_client::ConnectorBindingServiceClient,
    },
    stage_override::v1::{
        self as held, StageOverride, stage_override_service_client::StageOverrideServiceClient,
    },
};
use serde_json::{Value, json};
use tonic::Status;

use crate::{
    market::{Files, put},
    site::Caller,
    world::{ACME, child},
};

/// Name of a plugin of `vendor`.
pub fn plugin(id: &str) -> String {
    format!("marketplaces/vendor/plugins/{id}")
}

/// Gives a plugin of [`crate::market::small`] apps; those of `templated` wait for a connector of each client.
pub fn apps(files: &mut Files, plugin: &str, templated: &[&str], fixed: &[&str]) {
    let app = |key: &&str, id: &str| ((*key).to_owned(), json!({"id": id}));
    let apps: serde_json::Map<String, Value> = templated
        .iter()
        .map(|key| app(key, "REPLACE_WITH_CONNECTOR_ID"))
        .chain(fixed.iter().map(|key| app(key, "asdk_app_1")))
        .collect();
    put(files, &format!("plugins/{plugin}/.app.json"), &json!({"apps": apps}));
}

/// Binds a connector in `tenants/acme`.
pub async fn bind(
    by: &Caller,
    id: &str,
    of: &str,
    app: &str,
    connector: &str,
) -> Result<ConnectorBinding, Status> {
    let new = ConnectorBinding {
        plugin: plugin(of),
        app: app.to_owned(),
        connector_id: connector.to_owned(),
        ..Default::default()
    };
    bind_by(by, binding_of(id, new)).await
}

/// The request of a binding in `tenants/acme`.
pub fn binding_of(id: &str, new: ConnectorBinding) -> binding::CreateConnectorBindingRequest {
    binding::CreateConnectorBindingRequest {
        parent: ACME.to_owned(),
        connector_binding_id: id.to_owned(),
        connector_binding: Some(new),
        ..Default::default()
    }
}

/// Sends such a request.
pub async fn bind_by(
    by: &Caller,
    request: binding::CreateConnectorBindingRequest,
) -> Result<ConnectorBinding, Status> {
    let mut client = ConnectorBindingServiceClient::new(by.channel.clone());
    Ok(client.create_connector_binding(by.ask(request)).await?.into_inner())
}

/// Reads a binding of `tenants/acme`.
pub async fn binding(by: &Caller, id: &str) -> Result<ConnectorBinding, Status> {
    let request = binding::GetConnectorBindingRequest { name: child(ACME, "connectorBindings", id) };
    let mut client = ConnectorBindingServiceClient::new(by.channel.clone());
    Ok(client.get_connector_binding(by.ask(request)).await?.into_inner())
}

/// Deletes a binding of `tenants/acme`.
pub async fn unbind(by: &Caller, id: &str, etag: &str) -> Result<ConnectorBinding, Status> {
    let request = binding::DeleteConnectorBindingRequest {
        name: child(ACME, "connectorBindings", id),
        etag: etag.to_owned(),
        ..Default::default()
    };
    let mut client = ConnectorBindingServiceClient::new(by.channel.clone());
    Ok(client.delete_connector_binding(by.ask(request)).await?.into_inner())
}

/// Holds a plugin to a stage in `tenants/acme`.
pub async fn hold(by: &Caller, id: &str, of: &str, stage: Stage) -> Result<StageOverride, Status> {
    let new = StageOverride { plugin: plugin(of), stage: stage.into(), ..Default::default() };
    hold_by(by, override_of(id, new)).await
}

/// The request of an override in `tenants/acme`.
pub fn override_of(id: &str, new: StageOverride) -> held::CreateStageOverrideRequest {
    held::CreateStageOverrideRequest {
        parent: ACME.to_owned(),
        stage_override_id: id.to_owned(),
        stage_override: Some(new),
        ..Default::default()
    }
}

/// Sends such a request.
pub async fn hold_by(
    by: &Caller,
    request: held::CreateStageOverrideRequest,
) -> Result<StageOverride, Status> {
    let mut client = StageOverrideServiceClient::new(by.channel.clone());
    Ok(client.create_stage_override(by.ask(request)).await?.into_inner())
}

/// Reads an override of `tenants/acme`.
pub async fn held(by: &Caller, id: &str) -> Result<StageOverride, Status> {
    let request = held::GetStageOverrideRequest { name: child(ACME, "stageOverrides", id) };
    let mut client = StageOverrideServiceClient::new(by.channel.clone());
    Ok(client.get_stage_override(by.ask(request)).await?.into_inner())
}

/// Moves an override of `tenants/acme` to another stage.
pub async fn move_to(by: &Caller, id: &str, stage: Stage, etag: &str) -> Result<StageOverride, Status> {
    let new = StageOverride {
        name: child(ACME, "stageOverrides", id),
        stage: stage.into(),
        etag: etag.to_owned(),
        ..Default::default()
    };
    let request = held::UpdateStageOverrideRequest { stage_override: Some(new), ..Default::default() };
    let mut client = StageOverrideServiceClient::new(by.channel.clone());
    Ok(client.update_stage_override(by.ask(request)).await?.into_inner())
}

/// Deletes an override of `tenants/acme`.
pub async fn let_go(by: &Caller, id: &str, etag: &str) -> Result<StageOverride, Status> {
    let request = held::DeleteStageOverrideRequest {
        name: child(ACME, "stageOverrides", id),
        etag: etag.to_owned(),
        ..Default::default()
    };
    let mut client = StageOverrideServiceClient::new(by.channel.clone());
    Ok(client.delete_stage_override(by.ask(request)).await?.into_inner())
}
