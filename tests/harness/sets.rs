//! Plugin groups and seat pools of `tenants/acme`; ids and last segments throughout.

use proto::{
    plugin_group::v1::{self as plugin_group, plugin_group_service_client::PluginGroupServiceClient},
    seat_pool::v1::{self as seat_pool, seat_pool_service_client::SeatPoolServiceClient},
};
use tonic::Status;

use crate::{
    site::Caller,
    world::{ACME, child},
};

/// Creates a plugin group of plugins of `vendor`.
pub async fn plugin_group(by: &Caller, id: &str, plugins: &[&str]) -> Result<(), Status> {
    let request = plugin_group::CreatePluginGroupRequest {
        parent: ACME.to_owned(),
        plugin_group_id: id.to_owned(),
        plugin_group: Some(plugin_group::PluginGroup { display_name: id.to_owned(), ..Default::default() }),
        ..Default::default()
    };
    PluginGroupServiceClient::new(by.channel.clone()).create_plugin_group(by.ask(request)).await?;
    for plugin in plugins {
        put(by, id, plugin).await?;
    }
    Ok(())
}

/// Puts a plugin of `vendor` into a group.
pub async fn put(by: &Caller, group: &str, plugin: &str) -> Result<(), Status> {
    let request = plugin_group::AddPluginGroupMemberRequest {
        name: child(ACME, "pluginGroups", group),
        member: format!("marketplaces/vendor/plugins/{plugin}"),
        ..Default::default()
    };
    PluginGroupServiceClient::new(by.channel.clone()).add_plugin_group_member(by.ask(request)).await.map(drop)
}

/// Takes it out again.
pub async fn pull(by: &Caller, group: &str, plugin: &str) -> Result<(), Status> {
    let request = plugin_group::RemovePluginGroupMemberRequest {
        name: child(ACME, "pluginGroups", group),
        member: format!("marketplaces/vendor/plugins/{plugin}"),
        ..Default::default()
    };
    PluginGroupServiceClient::new(by.channel.clone())
        .remove_plugin_group_member(by.ask(request))
        .await
        .map(drop)
}

/// Deletes a plugin group.
pub async fn delete_plugin_group(by: &Caller, id: &str) -> Result<(), Status> {
    let name = child(ACME, "pluginGroups", id);
    let request = plugin_group::DeletePluginGroupRequest { name, ..Default::default() };
    PluginGroupServiceClient::new(by.channel.clone()).delete_plugin_group(by.ask(request)).await.map(drop)
}

/// Creates a seat pool with holders.
pub async fn seat_pool(by: &Caller, id: &str, holders: &[&str]) -> Result<(), Status> {
    let request = seat_pool::CreateSeatPoolRequest {
        parent: ACME.to_owned(),
        seat_pool_id: id.to_owned(),
        seat_pool: Some(seat_pool::SeatPool { display_name: id.to_owned(), ..Default::default() }),
        ..Default::default()
    };
    SeatPoolServiceClient::new(by.channel.clone()).create_seat_pool(by.ask(request)).await?;
    for holder in holders {
        seat(by, id, holder).await?;
    }
    Ok(())
}

/// Gives a seat.
pub async fn seat(by: &Caller, pool: &str, holder: &str) -> Result<(), Status> {
    let request = seat_pool::AddSeatHolderRequest {
        name: child(ACME, "seatPools", pool),
        holder: child(ACME, "principals", holder),
        ..Default::default()
    };
    SeatPoolServiceClient::new(by.channel.clone()).add_seat_holder(by.ask(request)).await.map(drop)
}

/// Takes a seat away.
pub async fn unseat(by: &Caller, pool: &str, holder: &str) -> Result<(), Status> {
    let request = seat_pool::RemoveSeatHolderRequest {
        name: child(ACME, "seatPools", pool),
        holder: child(ACME, "principals", holder),
        ..Default::default()
    };
    SeatPoolServiceClient::new(by.channel.clone()).remove_seat_holder(by.ask(request)).await.map(drop)
}

/// Deletes a seat pool.
pub async fn delete_seat_pool(by: &Caller, id: &str) -> Result<(), Status> {
    let name = child(ACME, "seatPools", id);
    let request = seat_pool::DeleteSeatPoolRequest { name, ..Default::default() };
    SeatPoolServiceClient::new(by.channel.clone()).delete_seat_pool(by.ask(request)).await.map(drop)
}
