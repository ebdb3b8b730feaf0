//! A client's life at random: people, groups, roles, rules and plugins come, change and go.

use std::time::Duration;

use serde_json::{Value, json};
use tests::{World, market, own, raw, sets, site::Caller, world};
use tonic::Status;

/// Principals of a history; the last two are agents of the first two.
pub const PEOPLE: [&str; 6] = ["ana", "ben", "cy", "dee", "ana-agent", "ben-agent"];
/// Plugins of `marketplaces/vendor` that a history imports.
pub const PLUGINS: [&str; 4] = ["p0", "p1", "p2", "p3"];
const GROUPS: [&str; 2] = ["g0", "g1"];
const ROLES: [&str; 4] = ["r0", "r1", "r2", "r3"];
const SETS: [&str; 2] = ["s0", "s1"];
const POOLS: [&str; 2] = ["t0", "t1"];
const RULES: [&str; 6] = ["e0", "e1", "e2", "e3", "e4", "e5"];

/// Numbers that look random and are the same for the same seed (xorshift64*).
pub struct Dice(u64);

impl Dice {
    /// From a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15))
    }

    /// Below `n`.
    pub fn roll(&mut self, n: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        usize::try_from(self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33).unwrap() % n
    }

    /// One of `all`.
    pub fn pick<'a>(&mut self, all: &[&'a str]) -> &'a str {
        all[self.roll(all.len())]
    }
}

async fn call(by: &Caller, rpc: &str, request: Value) -> Result<Value, Status> {
    raw::json(by, &format!("provost.{rpc}"), request).await
}

async fn done(by: &Caller, rpc: &str, request: Value) {
    call(by, rpc, request.clone()).await.unwrap_or_else(|e| panic!("{rpc} {request}: {e:?}"));
}

fn named(collection: &str, id: &str) -> String {
    world::child(world::ACME, collection, id)
}

/// What a history begins with: everybody and everything is there, nobody holds anything and one rule is for everybody. The client
/// is live.
pub async fn begin(world: &World) {
    let (owner, boss) = (&world.owner, &world.holders["partner_admin"]);
    market::import(&world.admin, &market::small(&PLUGINS)).await.unwrap();
    for (i, id) in PEOPLE.into_iter().enumerate() {
        let new = match i {
            4.. => {
                json!({"kind": "PRINCIPAL_KIND_AGENT", "displayName": id, "owner": named("principals", PEOPLE[i - 4])})
            }
            _ => {
                json!({"kind": "PRINCIPAL_KIND_USER", "displayName": id, "email": format!("{id}@acme.example")})
            }
        };
        let request = json!({"parent": world::ACME, "principalId": id, "principal": new});
        done(owner, "principal.v1.PrincipalService/CreatePrincipal", request).await;
    }
    for id in GROUPS {
        let request = json!({"parent": world::ACME, "groupId": id, "group": {"displayName": id}});
        done(owner, "group.v1.GroupService/CreateGroup", request).await;
    }
    for id in ROLES {
        world.role(id).await;
    }
    for (id, plugin) in SETS.into_iter().zip(PLUGINS) {
        sets::plugin_group(owner, id, &[plugin]).await.unwrap();
    }
    for (id, holder) in POOLS.into_iter().zip(PEOPLE) {
        sets::seat_pool(owner, id, &[holder]).await.unwrap();
    }
    let contract = json!({
        "signedDate": "2026-11-01", "startDate": "2026-12-01", "endDate": "2027-12-01", "currency": "EUR",
        "renewal": "RENEWAL_MANUAL", "seats": [{"pool": "standard", "count": "10", "monthlyPriceMinor": "3000"}],
    });
    done(boss, "tenant.v1.TenantService/ContractTenant", json!({"name": world::ACME, "contract": contract}))
        .await;
    done(&world.consultant, "tenant.v1.TenantService/StartPilot", json!({"name": world::ACME})).await;
    let first = json!({"role": "*", "target": named("pluginGroups", SETS[0]), "effect": "EFFECT_AVAILABLE"});
    let first = json!({"parent": world::ACME, "entitlementId": RULES[0], "entitlement": first});
    done(owner, "entitlement.v1.EntitlementService/CreateEntitlement", first).await;
    let member = json!({"name": named("roles", "r0"), "member": named("principals", "ana")});
    done(owner, "role.v1.RoleService/AddRoleMember", member).await;
    done(owner, "tenant.v1.TenantService/GoLive", json!({"name": world::ACME})).await;
}

/// Takes away the rule for everybody.
pub async fn forget_first_rule(world: &World) {
    let rule = json!({"name": named("entitlements", RULES[0])});
    done(&world.owner, "entitlement.v1.EntitlementService/DeleteEntitlement", rule).await;
}

/// Thaws the client if it is frozen.
pub async fn thaw(world: &World) {
    let _ = call(&world.owner, "tenant.v1.TenantService/ResumeTenant", json!({"name": world::ACME})).await;
}

/// Something happens, or is refused because it makes no sense now: both are part of a history.
pub async fn step(world: &World, dice: &mut Dice) {
    let owner = &world.owner;
    let (person, group, role) = (dice.pick(&PEOPLE), dice.pick(&GROUPS), dice.pick(&ROLES));
    let (person, group, role) = (named("principals", person), named("groups", group), named("roles", role));
    let (rpc, request) = match dice.roll(42) {
        0..=2 => ("group.v1.GroupService/AddGroupMember", json!({"name": group, "member": person})),
        3 => ("group.v1.GroupService/RemoveGroupMember", json!({"name": group, "member": person})),
        4..=6 => ("role.v1.RoleService/AddRoleMember", json!({"name": role, "member": person})),
        7 => ("role.v1.RoleService/RemoveRoleMember", json!({"name": role, "member": person})),
        8 | 9 => ("role.v1.RoleService/AddRoleMember", json!({"name": role, "member": group})),
        10 => ("role.v1.RoleService/RemoveRoleMember", json!({"name": role, "member": group})),
        11 | 12 => {
            let other = named("roles", dice.pick(&ROLES));
            ("role.v1.RoleService/IncludeRole", json!({"name": role, "includedRole": other}))
        }
        13 => {
            let other = named("roles", dice.pick(&ROLES));
            ("role.v1.RoleService/ExcludeRole", json!({"name": role, "includedRole": other}))
        }
        14 => ("role.v1.RoleService/DeleteRole", json!({"name": role})),
        15 => ("role.v1.RoleService/UndeleteRole", json!({"name": role})),
        16 => ("group.v1.GroupService/DeleteGroup", json!({"name": group})),
        17 => ("group.v1.GroupService/UndeleteGroup", json!({"name": group})),
        18 => ("principal.v1.PrincipalService/SuspendPrincipal", json!({"name": person})),
        19 => ("principal.v1.PrincipalService/ResumePrincipal", json!({"name": person})),
        20 => ("principal.v1.PrincipalService/DeletePrincipal", json!({"name": person})),
        21 => ("principal.v1.PrincipalService/UndeletePrincipal", json!({"name": person})),
        22..=24 => return rule(world, dice, &role).await,
        25 | 26 => {
            let name = named("entitlements", dice.pick(&RULES));
            ("entitlement.v1.EntitlementService/DeleteEntitlement", json!({"name": name}))
        }
        27 | 28 => return plugins(world, dice).await,
        29..=34 => return set(world, dice, &person).await,
        35..=37 => return terms(world, dice).await,
        38 | 39 => return own(world, dice).await,
        _ => {
            let verb = dice.pick(&["SuspendTenant", "ResumeTenant"]);
            let _ =
                call(owner, &format!("tenant.v1.TenantService/{verb}"), json!({"name": world::ACME})).await;
            return;
        }
    };
    let _ = call(owner, rpc, request).await;
}

/// A rule is made: for a role or everybody, about a plugin or all of them, now, later or until soon.
async fn rule(world: &World, dice: &mut Dice, role: &str) {
    let now = world.site.kernel().clock.now();
    let after = |minutes: u64| now.plus(Duration::from_mins(minutes)).to_string();
    let plugin = format!("marketplaces/vendor/plugins/{}", dice.pick(&PLUGINS));
    let group = named("pluginGroups", dice.pick(&SETS));
    let mut new = json!({
        "role": if dice.roll(5) == 0 { "*" } else { role },
        "target": dice.pick(&["marketplaces/vendor", &group, &plugin, &plugin]),
        "effect": dice.pick(&[
            "EFFECT_DENIED", "EFFECT_AVAILABLE", "EFFECT_AVAILABLE", "EFFECT_DEFAULT", "EFFECT_DEFAULT", "EFFECT_REQUIRED",
            "EFFECT_REQUIRED",
        ]),
        "maxStage": dice.pick(&["STAGE_ALPHA", "STAGE_PREVIEW", "STAGE_LIVE"]),
    });
    match dice.roll(4) {
        0 => new["notBefore"] = json!(after(3)),
        1 => new["notAfter"] = json!(after(4)),
        _ => {}
    }
    if dice.roll(4) == 0 {
        new["seatPool"] = json!(named("seatPools", dice.pick(&POOLS)));
    }
    let id = dice.pick(&RULES);
    let request = json!({"parent": world::ACME, "entitlementId": id, "entitlement": new});
    let _ = call(&world.owner, "entitlement.v1.EntitlementService/CreateEntitlement", request).await;
}

/// What rules speak of changes: a plugin group, or who holds seats.
async fn set(world: &World, dice: &mut Dice, person: &str) {
    let plugin = format!("marketplaces/vendor/plugins/{}", dice.pick(&PLUGINS));
    let (group, pool) = (named("pluginGroups", dice.pick(&SETS)), named("seatPools", dice.pick(&POOLS)));
    let groups = |rpc: &str| format!("plugin_group.v1.PluginGroupService/{rpc}");
    let pools = |rpc: &str| format!("seat_pool.v1.SeatPoolService/{rpc}");
    let (rpc, request) = match dice.roll(12) {
        0..=2 => (groups("AddPluginGroupMember"), json!({"name": group, "member": plugin})),
        3 => (groups("RemovePluginGroupMember"), json!({"name": group, "member": plugin})),
        4 => (groups("DeletePluginGroup"), json!({"name": group})),
        5 => (groups("UndeletePluginGroup"), json!({"name": group})),
        6..=8 => (pools("AddSeatHolder"), json!({"name": pool, "holder": person})),
        9 => (pools("RemoveSeatHolder"), json!({"name": pool, "holder": person})),
        10 => (pools("DeleteSeatPool"), json!({"name": pool})),
        _ => (pools("UndeleteSeatPool"), json!({"name": pool})),
    };
    let _ = call(&world.owner, &rpc, request).await;
}

/// A rule gets other terms.
async fn terms(world: &World, dice: &mut Dice) {
    let later = world.site.kernel().clock.now().plus(Duration::from_mins(3)).to_string();
    let mut rule = json!({"name": named("entitlements", dice.pick(&RULES))});
    let mask = match dice.roll(5) {
        0 => {
            rule["seatPool"] = json!(named("seatPools", dice.pick(&POOLS)));
            "seatPool"
        }
        1 => "seatPool",
        2 => {
            rule["notAfter"] = json!(later);
            "notAfter"
        }
        3 => "notBefore,notAfter",
        _ => {
            rule["maxStage"] = json!(dice.pick(&["STAGE_ALPHA", "STAGE_PREVIEW", "STAGE_LIVE"]));
            "maxStage"
        }
    };
    let request = json!({"entitlement": rule, "updateMask": mask});
    let _ = call(&world.owner, "entitlement.v1.EntitlementService/UpdateEntitlement", request).await;
}

/// A plugin changes its stage, or the vendor publishes another list.
async fn plugins(world: &World, dice: &mut Dice) {
    if dice.roll(3) > 0 {
        let stage =
            dice.pick(&["STAGE_ALPHA", "STAGE_PREVIEW", "STAGE_LIVE", "STAGE_DEPRECATED", "STAGE_WITHDRAWN"]);
        let name = format!("marketplaces/vendor/plugins/{}", dice.pick(&PLUGINS));
        let request = json!({"name": name, "stage": stage});
        let _ = call(&world.admin, "catalog.v1.CatalogService/SetPluginStage", request).await;
        return;
    }
    let listed: Vec<_> = PLUGINS.into_iter().filter(|_| dice.roll(4) > 0).collect();
    let mut files = market::small(if listed.is_empty() { &PLUGINS } else { &listed });
    let version = ["1.0.0", "2.0.0"][dice.roll(2)];
    for name in &listed {
        let path = format!("plugins/{name}/.codex-plugin/plugin.json");
        market::put(&mut files, &path, &json!({"name": name, "version": version}));
        match dice.roll(6) {
            0 => own::apps(&mut files, name, &["crm"], &["mail"]),
            1 => own::apps(&mut files, name, &["mail"], &["crm"]),
            _ => {}
        }
    }
    let _ = market::import(&world.admin, &files).await;
}

/// The client binds a connector or holds a plugin to a stage, changes that, or lets go of it.
async fn own(world: &World, dice: &mut Dice) {
    let (owner, plugin) = (&world.owner, own::plugin(dice.pick(&PLUGINS)));
    let binding = |rpc: &str| format!("connector_binding.v1.ConnectorBindingService/{rpc}ConnectorBinding");
    let held = |rpc: &str| format!("stage_override.v1.StageOverrideService/{rpc}StageOverride");
    let (id, app) = (dice.pick(&["o0", "o1", "o2"]), dice.pick(&["crm", "mail"]));
    let stage = dice.pick(&[
        "STAGE_DEPRECATED",
        "STAGE_DEPRECATED",
        "STAGE_PREVIEW",
        "STAGE_ALPHA",
        "STAGE_WITHDRAWN",
    ]);
    let connector = format!("c{}", dice.roll(9));
    let (rpc, request) = match dice.roll(8) {
        0 | 1 => {
            let new = json!({"plugin": plugin, "app": app, "connectorId": connector});
            let new = json!({"parent": world::ACME, "connectorBindingId": id, "connectorBinding": new});
            (binding("Create"), new)
        }
        2 => {
            let new = json!({"name": named("connectorBindings", id), "connectorId": connector});
            (binding("Update"), json!({"connectorBinding": new}))
        }
        3 => (binding("Delete"), json!({"name": named("connectorBindings", id)})),
        4 => {
            let new = json!({"plugin": plugin, "stage": stage});
            let new = json!({"parent": world::ACME, "stageOverrideId": id, "stageOverride": new});
            (held("Create"), new)
        }
        5 => {
            let new = json!({"name": named("stageOverrides", id), "stage": stage});
            (held("Update"), json!({"stageOverride": new}))
        }
        _ => (held("Delete"), json!({"name": named("stageOverrides", id)})),
    };
    let _ = call(owner, &rpc, request).await;
}
