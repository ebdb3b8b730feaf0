//! A read by name: token, duty, row.

use std::time::Duration;

use proto::role::v1::{GetRoleRequest, role_service_client::RoleServiceClient};
use serde_json::Value;
use tests::{Engine, Site, World, site::Caller};

use crate::{
    floor::{CONNECTIONS, Floor, IN_FLIGHT, channels},
    load::{self, Plan},
};

/// Roles that are read in turn.
const ROLES: usize = 100;

/// Measures.
pub async fn run(engine: Engine, plan: Plan) -> Value {
    let world = World::build(Site::start(engine).await).await;
    for n in 0..ROLES {
        world.role(&format!("role-{n}")).await;
    }
    let channels = channels(&world.site.running.url()).await;
    let (floor, length) = (Floor::start().await, Duration::from_secs(plan.seconds));
    let (mut subject, mut floors) = (Vec::new(), Vec::new());
    for round in 0..=plan.rounds {
        let length = if round == 0 { Duration::from_millis(500) } else { length };
        let measured = load::round(IN_FLIGHT, length, |n| {
            let by =
                Caller { channel: channels[n % CONNECTIONS].clone(), secret: world.owner.secret.clone() };
            let client = RoleServiceClient::new(by.channel.clone());
            move |count| {
                let request = by
                    .ask(GetRoleRequest { name: format!("tenants/acme/roles/role-{}", (n + count) % ROLES) });
                let mut client = client.clone();
                async move {
                    client.get_role(request).await.unwrap();
                }
            }
        })
        .await;
        let beside = floor.round(length).await;
        // the first, short round warms up
        if round > 0 {
            subject.push(measured);
            floors.push(beside);
        }
    }
    load::figures(subject, floors)
}
