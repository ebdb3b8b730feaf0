//! Callers who go away in the middle of a change: what was committed all the same is what everybody sees from then on.

use std::{
    future::Future,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Wake, Waker},
};

use proto::{
    catalog::v1::Stage,
    decision::v1::{CheckRequest, decision_service_client::DecisionServiceClient},
    entitlement::v1::{self as entitlement, Effect, entitlement_service_client::EntitlementServiceClient},
    role::v1::{self as role, role_service_client::RoleServiceClient, role_service_server::RoleService as _},
    tenant::v1::{
        self as tenant, TenantState, tenant_service_client::TenantServiceClient,
        tenant_service_server::TenantService as _,
    },
};
use tenancy::{role::rpc::RoleRpc, tenant::rpc::TenantRpc};
use tests::{
    Engine, Site, World, market,
    site::Caller,
    staff,
    world::{self, ACME},
};

/// So many calls are given up.
const CALLS: usize = 240;

/// Sends a call and gives it up after a while that is another one each time.
async fn given_up<T: Send + 'static>(n: usize, call: impl Future<Output = T> + Send + 'static) {
    let call = tokio::spawn(call);
    for _ in 0..(n * 37) % 1_500 {
        tokio::task::yield_now().await;
    }
    call.abort();
    drop(call.await);
}

/// Whether whoever waits was woken.
#[derive(Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Goes on with a call as long as what it is to do is not done, and lets go of it when it is. Whether that was before it was
/// answered: a commit is a task of its own, and while nobody else runs its end is known to the call only when that goes on.
async fn given_up_once(done: impl AsyncFn() -> bool, call: impl Future) -> bool {
    let woken = Arc::new(Woken::default());
    let (mut call, waker) = (pin!(call), Waker::from(Arc::clone(&woken)));
    loop {
        if call.as_mut().poll(&mut Context::from_waker(&waker)).is_ready() {
            return false;
        }
        while !woken.0.swap(false, Ordering::SeqCst) {
            tokio::task::yield_now().await;
        }
        if done().await {
            return true;
        }
    }
}

/// Writes something elsewhere: what is seen of the embedded database was written before, and its only writer has done with it.
async fn afterwards(world: &World, n: usize) {
    let new = role::Role { display_name: "A role".to_owned(), ..Default::default() };
    let by = &world.stranger;
    let request = role::CreateRoleRequest {
        parent: "tenants/globex".to_owned(),
        role_id: format!("r{n}"),
        role: Some(new),
        ..Default::default()
    };
    RoleServiceClient::new(by.channel.clone()).create_role(by.ask(request)).await.unwrap();
}

async fn role_of(by: &Caller, name: &str) -> role::Role {
    let request = by.ask(role::GetRoleRequest { name: name.to_owned() });
    RoleServiceClient::new(by.channel.clone()).get_role(request).await.unwrap().into_inner()
}

async fn roles(by: &Caller) -> Vec<role::Role> {
    let request = by.ask(role::ListRolesRequest { parent: ACME.to_owned(), ..Default::default() });
    RoleServiceClient::new(by.channel.clone()).list_roles(request).await.unwrap().into_inner().roles
}

async fn tenant_of(by: &Caller) -> tenant::Tenant {
    let request = by.ask(tenant::GetTenantRequest { name: ACME.to_owned() });
    TenantServiceClient::new(by.channel.clone()).get_tenant(request).await.unwrap().into_inner()
}

async fn tenants(by: &Caller) -> Vec<tenant::Tenant> {
    let request = by.ask(tenant::ListTenantsRequest::default());
    TenantServiceClient::new(by.channel.clone()).list_tenants(request).await.unwrap().into_inner().tenants
}

/// Whether Maria may use the plugin.
async fn allowed(by: &Caller) -> bool {
    let request = CheckRequest {
        principal: world::child(ACME, "principals", "maria"),
        plugin: "marketplaces/vendor/plugins/kit".to_owned(),
        revision_token: String::new(),
    };
    DecisionServiceClient::new(by.channel.clone()).check(by.ask(request)).await.unwrap().into_inner().allowed
}

/// `acme` is live, and Maria may use a plugin.
async fn live(world: &World) {
    market::import(&world.admin, &market::small(&["kit"])).await.unwrap();
    world.role("banker").await;
    world::user(&world.owner, ACME, "maria").await;
    staff::give(&world.owner, "banker", "principals/maria").await;
    let rule = entitlement::Entitlement {
        role: world::child(ACME, "roles", "banker"),
        target: "marketplaces/vendor/plugins/kit".to_owned(),
        effect: Effect::Default.into(),
        max_stage: Stage::Live.into(),
        reason: "tests".to_owned(),
        ..Default::default()
    };
    let by = &world.owner;
    let request = entitlement::CreateEntitlementRequest {
        parent: ACME.to_owned(),
        entitlement: Some(rule),
        ..Default::default()
    };
    EntitlementServiceClient::new(by.channel.clone()).create_entitlement(by.ask(request)).await.unwrap();
    for verb in ["contract", "start_pilot", "go_live"] {
        crate::tenancy::step(&world.admin, verb, ACME).await.unwrap();
    }
}

/// Such a row as it is listed, if it is listed alike before and after `look`, and what was seen in between.
async fn between<T: PartialEq, S>(list: impl AsyncFn() -> T, look: impl AsyncFn() -> S) -> (T, S) {
    loop {
        let before = list().await;
        let seen = look().await;
        if list().await == before {
            return (before, seen);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_role_whose_change_was_given_up_is_read_as_it_is_listed() {
    let world = World::build(Site::start(Engine::Sqlite).await).await;
    let (owner, name) = (&world.owner, world.role("banker").await.name);
    let writes = AtomicUsize::new(0);
    for n in 0..CALLS {
        let before = role_of(owner, &name).await;
        let by = owner.clone();
        let new = role::Role { display_name: format!("Banker {n}"), etag: String::new(), ..before.clone() };
        given_up(n, async move {
            let request = role::UpdateRoleRequest { role: Some(new), ..Default::default() };
            RoleServiceClient::new(by.channel.clone()).update_role(by.ask(request)).await.unwrap();
        })
        .await;
        let look = async || {
            afterwards(&world, writes.fetch_add(1, Ordering::Relaxed)).await;
            role_of(owner, &name).await
        };
        let (listed, got) = between(async || roles(owner).await.pop().unwrap(), look).await;
        assert_eq!(got, listed, "call {n}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_suspension_whose_caller_went_away_counts_in_every_decision_and_change() {
    let world = World::build(Site::start(Engine::Sqlite).await).await;
    live(&world).await;
    let admin = &world.admin;
    let writes = AtomicUsize::new(0);
    for n in 0..CALLS {
        let by = world.admin.clone();
        let was = tenant_of(admin).await.state();
        let verb = if was == TenantState::Live { "suspend" } else { "resume" };
        given_up(n, async move { crate::tenancy::step(&by, verb, ACME).await.unwrap() }).await;
        let look = async || {
            let write = writes.fetch_add(1, Ordering::Relaxed);
            afterwards(&world, write).await;
            let built = world::create_role(&world.owner, &format!("r{write}"), "A role").await;
            (tenant_of(admin).await, allowed(admin).await, built.is_ok())
        };
        let acme = async || tenants(admin).await.into_iter().find(|t| t.name == ACME).unwrap();
        let (listed, (got, decided, built)) = between(acme, look).await;
        assert_eq!(got, listed, "call {n}");
        let live = listed.state() == TenantState::Live;
        assert_eq!((decided, built), (live, live), "call {n}: {:?}", listed.state());
    }
}

/// The same in the process itself, where it is known at which point a call is given up: between its commit and its answer,
/// always, whatever the machine is doing.
#[tokio::test]
async fn a_role_whose_change_was_committed_and_never_answered_is_read_as_it_is_listed() {
    for engine in Engine::BOTH {
        let world = World::build(Site::start(engine).await).await;
        let (owner, name) = (&world.owner, world.role("banker").await.name);
        let service = RoleRpc(Arc::clone(world.site.kernel()));
        for n in 0..20 {
            let before = role_of(owner, &name).await;
            let new =
                role::Role { display_name: format!("Banker {n}"), etag: String::new(), ..before.clone() };
            let request = owner.ask(role::UpdateRoleRequest { role: Some(new), ..Default::default() });
            let listed = async || roles(owner).await.pop().unwrap();
            let done = async || listed().await != before;
            assert!(given_up_once(done, service.update_role(request)).await, "call {n} was answered");
            assert_eq!(role_of(owner, &name).await, listed().await, "call {n}");
        }
    }
}

#[tokio::test]
async fn a_suspension_that_was_committed_and_never_answered_counts_in_every_decision_and_change() {
    for engine in Engine::BOTH {
        let world = World::build(Site::start(engine).await).await;
        live(&world).await;
        let admin = &world.admin;
        let service = TenantRpc(Arc::clone(world.site.kernel()));
        let acme = async || tenants(admin).await.into_iter().find(|t| t.name == ACME).unwrap();
        for n in 0..10 {
            let (name, is_live) = (ACME.to_owned(), n % 2 == 1);
            let done = async || (acme().await.state() == TenantState::Live) == is_live;
            assert_eq!((allowed(admin).await, done().await), (!is_live, false), "before call {n}");
            let given_up = if is_live {
                let request = admin.ask(tenant::ResumeTenantRequest { name, ..Default::default() });
                given_up_once(done, service.resume_tenant(request)).await
            } else {
                let request = admin.ask(tenant::SuspendTenantRequest { name, ..Default::default() });
                given_up_once(done, service.suspend_tenant(request)).await
            };
            assert!(given_up, "call {n} was answered");
            assert_eq!(tenant_of(admin).await, acme().await, "call {n}");
            let built = world::create_role(&world.owner, &format!("r{n}"), "A role").await;
            assert_eq!((allowed(admin).await, built.is_ok()), (is_live, is_live), "call {n}");
        }
    }
}
