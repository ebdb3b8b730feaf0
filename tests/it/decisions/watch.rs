//! A tenant's rules, signed and followed: over real gRPC, verified and applied as an edge does.

use std::{sync::Arc, time::Duration};

use decision::{Reason, Target};
use edge::{Content, Refused, Replica, Signed, Verified};
use kernel::clock::Clock;
use proto::{
    decision::v1::{
        GetDecisionKeysRequest, PolicyPosition, WatchRequest, WatchResponse,
        decision_service_client::DecisionServiceClient,
    },
    entitlement::v1::Effect,
    token::v1::{RevokeTokenRequest, TokenKind, token_service_client::TokenServiceClient},
};
use tests::{Engine, Site, World, both_engines, market, site::Caller, staff, world};
use tlog::Vkey;
use tonic::{Code, Status, Streaming};

use super::{Bank, PLUGIN, check, rule};
use crate::errors::reason;

const BOUND: Duration = Duration::from_mins(15);
/// Nothing that is waited for takes so long.
const PATIENCE: Duration = Duration::from_mins(1);

/// A heartbeat a second.
fn lively() -> [(&'static str, String); 1] {
    [("decision.watch_interval_seconds", "1".to_owned())]
}

async fn keys(by: &Caller) -> Vec<Vkey> {
    let request = GetDecisionKeysRequest { parent: world::ACME.to_owned() };
    let found =
        DecisionServiceClient::new(by.channel.clone()).get_decision_keys(by.ask(request)).await.unwrap();
    found.into_inner().verifier_keys.iter().map(|key| Vkey::parse(key).unwrap()).collect()
}

async fn begin(by: &Caller, from: Option<PolicyPosition>) -> Result<Streaming<WatchResponse>, Status> {
    let request = WatchRequest { parent: world::ACME.to_owned(), from };
    Ok(DecisionServiceClient::new(by.channel.clone()).watch(by.ask(request)).await?.into_inner())
}

/// An edge, without its disk and its routes.
struct Follower {
    stream: Streaming<WatchResponse>,
    keys: Vec<Vkey>,
    replica: Replica,
    clock: Clock,
}

impl Follower {
    async fn begin(by: &Caller, site: &Site) -> Self {
        let (stream, keys) = (begin(by, None).await.unwrap(), keys(by).await);
        Self { stream, keys, replica: Replica::new(BOUND), clock: site.kernel().clock.clone() }
    }

    /// The next message that is not too old: what was on its way when a test moved the clock is passed over.
    async fn next(&mut self) -> Result<Option<Verified>, Status> {
        loop {
            let next = tokio::time::timeout(PATIENCE, self.stream.message()).await.unwrap();
            let Some(message) = next? else { return Ok(None) };
            let message = Signed::new(message.note, message.payload).verify(&self.keys, "acme").unwrap();
            match self.replica.accept(&message, self.now()) {
                Ok(()) => return Ok(Some(message)),
                Err(refused) => assert_eq!(refused, Refused::Time),
            }
        }
    }

    fn now(&self) -> i64 {
        self.clock.now().micros()
    }

    /// Follows until the state is as wanted; returns the last message that changed it.
    async fn until(&mut self, wanted: impl Fn(&Replica) -> bool) -> Verified {
        loop {
            let message = self.next().await.unwrap().expect("the stream goes on");
            if wanted(&self.replica) && *message.content() != Content::Nothing {
                return message;
            }
        }
    }

    fn why(&self, who: &str) -> Reason {
        why(&self.replica, who, self.now())
    }

    fn position(&self) -> PolicyPosition {
        let (epoch, revision) = self.replica.position().unwrap();
        PolicyPosition {
            store_epoch: epoch.to_owned(),
            tenant_revision: revision.tenant,
            catalog_revision: revision.catalog,
        }
    }
}

fn why(replica: &Replica, who: &str, now: i64) -> Reason {
    let policy = replica.policy(now);
    policy.map_or(Reason::PolicyUnavailable, |policy| {
        policy.snapshot.decide(who, Target::Plugin("vendor/kit"), now).reason
    })
}

both_engines! {
    async fn an_edge_sees_every_change_and_decides_as_the_control_plane(site: Site) {
        let bank = Bank::open(site).await;
        let (owner, admin, site) = (&bank.world.owner, &bank.world.admin, &bank.world.site);
        let mut edge = Follower::begin(owner, site).await;
        let first = edge.next().await.unwrap().unwrap();
        assert!(matches!(first.content(), Content::Snapshot(_)));
        let statement = first.statement();
        assert_eq!((statement.issued_at, statement.not_after), (edge.now(), edge.now() + 900_000_000));
        assert_eq!(statement.epoch, site.kernel().revisions.epoch().to_string());
        assert_eq!(edge.why("maria"), Reason::NoMatchingRule);
        bank.rule("may", "banker", Effect::Default).await;
        let now = edge.now();
        let message = edge.until(|replica| why(replica, "maria", now) == Reason::Allowed).await;
        assert!(matches!(message.content(), Content::Delta(_)), "one change, and not everything");
        staff::take(owner, "banker", "principals/maria").await;
        edge.until(|replica| why(replica, "maria", now) == Reason::NoMatchingRule).await;
        staff::group(owner, "desk", &["maria"]).await;
        staff::give(owner, "banker", "groups/desk").await;
        edge.until(|replica| why(replica, "maria", now) == Reason::Allowed).await;
        // the kill switch
        market::stage(admin, "kit", proto::catalog::v1::Stage::Withdrawn).await.unwrap();
        let message = edge.until(|replica| why(replica, "maria", now) == Reason::Withdrawn).await;
        assert!(matches!(message.content(), Content::Delta(_)));
        market::stage(admin, "kit", proto::catalog::v1::Stage::Live).await.unwrap();
        edge.until(|replica| why(replica, "maria", now) == Reason::Allowed).await;
        // an import may change everything
        market::import(admin, &market::small(&["kit", "other", "third"])).await.unwrap();
        let third = |replica: &Replica| {
            let policy = replica.policy(now).unwrap();
            policy.snapshot.plugin_ids().any(|plugin| plugin == "vendor/third")
        };
        edge.until(third).await;
        world::user(owner, world::ACME, "new").await;
        edge.until(|replica| why(replica, "new", now) == Reason::NoMatchingRule).await;
        for who in ["maria", "new", "nobody", "owner"] {
            let decision = check(owner, who, PLUGIN).await.unwrap();
            let there = decision.reason().as_str_name().trim_start_matches("DECISION_REASON_").to_owned();
            assert_eq!(edge.why(who).as_str(), there, "{who}");
        }
    }

    async fn a_stream_goes_on_where_it_ended_and_begins_anew_where_it_cannot(site: Site) {
        let bank = Bank::open(site).await;
        let (owner, site) = (&bank.world.owner, &bank.world.site);
        let mut edge = Follower::begin(owner, site).await;
        edge.next().await.unwrap();
        // another edge keeps the facts warm, so that changes are known one by one
        let mut warm = Follower::begin(owner, site).await;
        warm.next().await.unwrap();
        edge.stream = begin(owner, Some(edge.position())).await.unwrap();
        assert_eq!(*edge.next().await.unwrap().unwrap().content(), Content::Nothing, "it is there already");
        bank.rule("may", "banker", Effect::Default).await;
        bank.rule("may-too", "*", Effect::Available).await;
        let now = edge.now();
        let before = edge.position();
        edge.stream = begin(owner, Some(before.clone())).await.unwrap();
        let message = edge.next().await.unwrap().unwrap();
        let Content::Delta(changes) = message.content() else { panic!("{:?}", message.content()) };
        assert_eq!(changes.len(), 2, "whoever comes late gets both at once");
        assert_eq!(why(&edge.replica, "maria", now), Reason::Allowed);
        for from in [
            PolicyPosition { store_epoch: uuid::Uuid::nil().to_string(), ..before.clone() },
            PolicyPosition { tenant_revision: before.tenant_revision + 1_000, ..before.clone() },
            PolicyPosition { catalog_revision: -1, ..before.clone() },
            PolicyPosition::default(),
        ] {
            edge.stream = begin(owner, Some(from.clone())).await.unwrap();
            let message = edge.next().await.unwrap().unwrap();
            assert!(matches!(message.content(), Content::Snapshot(_)), "{from:?}");
        }
    }

    async fn who_may_not_watch_is_told_so(site: Site) {
        let bank = Bank::open(site).await;
        let refused = async |by: &Caller| begin(by, None).await.unwrap_err();
        assert_eq!(refused(&bank.world.site.nobody()).await.code(), Code::Unauthenticated);
        for by in [&bank.world.stranger, &bank.world.rival] {
            assert_eq!(refused(by).await.code(), Code::NotFound);
        }
        for duty in ["member", "finance"] {
            assert_eq!(reason(&refused(&bank.world.holders[duty]).await), "DUTY_MISSING", "{duty}");
        }
        for duty in ["owner", "admin", "compliance", "approver", "consultant", "partner_admin"] {
            let mut stream = begin(&bank.world.holders[duty], None).await.unwrap();
            assert!(stream.message().await.unwrap().is_some(), "{duty}");
        }
    }
}

/// Streams end with what ends the right to them; a heartbeat a second.
async fn a_stream_ends(engine: Engine) {
    let bank = Bank::open(Site::start_with(engine, &lively()).await).await;
    let (owner, site) = (&bank.world.owner, &bank.world.site);
    // nothing changes: the same state, signed anew
    let mut edge = Follower::begin(owner, site).await;
    edge.next().await.unwrap();
    site.advance(Duration::from_mins(20));
    assert_eq!(edge.why("maria"), Reason::PolicyUnavailable, "nobody has said so for too long");
    let beat = edge.next().await.unwrap().unwrap();
    assert_eq!(*beat.content(), Content::Nothing);
    assert_eq!(beat.statement().issued_at, edge.now());
    assert_eq!(edge.why("maria"), Reason::NoMatchingRule);
    // the token is revoked
    let end = async |edge: &mut Follower| loop {
        match edge.next().await {
            Ok(message) => assert!(message.is_some(), "an error says why"),
            Err(status) => return status,
        }
    };
    let made = world::create_token(
        owner,
        world::ACME,
        world::token_of(world::ACME, "compliance", TokenKind::Personal),
    )
    .await
    .unwrap();
    let by = Caller { secret: made.secret, ..owner.clone() };
    let mut edge = Follower::begin(&by, site).await;
    edge.next().await.unwrap();
    let name = made.token.unwrap().name;
    let revoke = RevokeTokenRequest { name, ..Default::default() };
    TokenServiceClient::new(owner.channel.clone()).revoke_token(owner.ask(revoke)).await.unwrap();
    assert_eq!(end(&mut edge).await.code(), Code::Unauthenticated);
    // the duty is taken away
    let duty = world::grant(owner, world::ACME, "maria", proto::duty::v1::Duty::Compliance).await.unwrap();
    let maria = world::personal(owner, world::ACME, "maria").await;
    let mut edge = Follower::begin(&maria, site).await;
    edge.next().await.unwrap();
    let revoke = proto::duty::v1::RevokeDutyRequest { name: duty.name, ..Default::default() };
    proto::duty::v1::duty_service_client::DutyServiceClient::new(owner.channel.clone())
        .revoke_duty(owner.ask(revoke))
        .await
        .unwrap();
    assert!(matches!(end(&mut edge).await.code(), Code::PermissionDenied | Code::NotFound));
    // the token expires
    let mut edge = Follower::begin(&bank.world.holders["approver"], site).await;
    edge.next().await.unwrap();
    site.advance(Duration::from_hours(25));
    assert_eq!(end(&mut edge).await.code(), Code::Unauthenticated);
}

#[tokio::test]
async fn a_stream_ends_with_the_right_to_it_on_sqlite() {
    a_stream_ends(Engine::Sqlite).await;
}

#[tokio::test]
async fn a_stream_ends_with_the_right_to_it_on_postgres() {
    a_stream_ends(Engine::Postgres).await;
}

#[tokio::test]
async fn a_server_that_stops_ends_its_streams_and_signs_with_the_same_key_later() {
    let bank = Bank::open(Site::start(Engine::Sqlite).await).await;
    let owner = bank.world.owner.clone();
    let mut edge = Follower::begin(&owner, &bank.world.site).await;
    edge.next().await.unwrap();
    let before = keys(&owner).await;
    let mode = std::fs::metadata(bank.world.site.dir.path().join("decision.key")).unwrap().permissions();
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&mode) & 0o777, 0o600);
    let World { site, .. } = bank.world;
    let (engine, dir, url, clock) = site.stop().await;
    while let Ok(Some(_)) = edge.next().await {}
    // the key is moved and a new one made: both sign until every edge knows the new one
    let (key, old) = (dir.path().join("decision.key"), dir.path().join("old.key"));
    std::fs::rename(&key, &old).unwrap();
    let settings = [("decision.previous_key_file", old.display().to_string())];
    let site = Site::on(engine, dir, url, clock, &settings).await;
    let owner = site.caller(&owner.secret);
    let both = keys(&owner).await;
    assert_eq!((both.len(), &both[1]), (2, &before[0]));
    for pinned in [&both[..1], &both[1..]] {
        edge.keys = pinned.to_vec();
        edge.stream = begin(&owner, Some(edge.position())).await.unwrap();
        edge.next().await.unwrap().unwrap();
    }
}

both_engines! {
    async fn a_restored_store_refuses_what_was_handed_out_before_and_edges_begin_anew(site: Site) {
        let bank = Bank::open(site).await;
        let owner = bank.world.owner.clone();
        let token = bank.ask("maria").await.revision_token;
        let mut edge = Follower::begin(&owner, &bank.world.site).await;
        edge.next().await.unwrap();
        let before = edge.position();
        let World { site, .. } = bank.world;
        let (engine, dir, url, clock) = site.stop().await;
        let again = Site::on(engine, Arc::clone(&dir), url.clone(), clock.clone(), &[]).await;
        assert_eq!(again.kernel().revisions.epoch().to_string(), before.store_epoch, "a restart is no restore");
        clock.advance(Duration::from_secs(1));
        let epoch = kernel::revision::epoch_renew(&again.kernel().db, clock.now()).await.unwrap();
        let (engine, dir, url, clock) = again.stop().await;
        let site = Site::on(engine, dir, url, clock, &[]).await;
        assert_eq!(site.kernel().revisions.epoch(), epoch);
        let owner = site.caller(&owner.secret);
        let request = proto::decision::v1::CheckRequest {
            principal: world::child(world::ACME, "principals", "maria"),
            plugin: PLUGIN.to_owned(),
            revision_token: token,
        };
        let refused = DecisionServiceClient::new(owner.channel.clone()).check(owner.ask(request)).await.unwrap_err();
        assert_eq!((refused.code(), reason(&refused).as_str()), (Code::InvalidArgument, "INVALID_FIELD"));
        assert!(refused.message().contains("restored"), "{}", refused.message());
        edge.stream = begin(&owner, Some(before.clone())).await.unwrap();
        let message = edge.next().await.unwrap().unwrap();
        assert!(matches!(message.content(), Content::Snapshot(_)));
        assert!(edge.position().store_epoch > before.store_epoch);
    }
}

/// Another server of the same database: an edge that follows it sees what this one changes.
#[tokio::test]
async fn an_edge_of_a_second_server_sees_a_change_too() {
    let bank = Bank::open(Site::start(Engine::Postgres).await).await;
    let (owner, site) = (&bank.world.owner, &bank.world.site);
    let (dir, clock) = (Arc::new(tempfile::tempdir().unwrap()), site.kernel().clock.clone());
    for key in ["audit.key", "decision.key"] {
        std::fs::copy(site.dir.path().join(key), dir.path().join(key)).unwrap();
    }
    let second = Site::on(Engine::Postgres, dir, site.database_url.clone(), clock, &[]).await;
    let there = second.caller(&owner.secret);
    assert_eq!(keys(&there).await, keys(owner).await);
    let mut edge = Follower::begin(&there, &second).await;
    edge.next().await.unwrap();
    bank.add("may", rule("banker", PLUGIN, Effect::Default)).await.unwrap();
    let now = edge.now();
    edge.until(|replica| why(replica, "maria", now) == Reason::Allowed).await;
    market::stage(&bank.world.admin, "kit", proto::catalog::v1::Stage::Withdrawn).await.unwrap();
    edge.until(|replica| why(replica, "maria", now) == Reason::Withdrawn).await;
    drop(edge);
    second.stop().await;
}
