//! A log as files over HTTP: who reads it, what is served, and what others' software makes of it.

use std::{collections::BTreeMap, time::Duration};

use http::{Method, StatusCode};
use serde_json::json;
use tests::{
    Site, World, both_engines,
    http::{Answer, get, send},
    raw,
    site::Caller,
    world::{self, ACME},
};
use tlog::{
    BundleId, Checkpoint, Resource, TileId, Vkey, bundles_added, decode_bundle, leaf_hash, tiles_added,
};
use tonic::Code;

use super::{
    events,
    sequencer::{acme, meddle},
};
use crate::errors::reason;

/// A log's prefix, and what is sent with every request.
pub struct Reader {
    prefix: String,
    bearer: Option<String>,
}

impl Reader {
    /// Reads the log of `scope` as a caller.
    pub fn of(site: &Site, by: &Caller, scope: &str) -> Self {
        let bearer = (!by.secret.is_empty()).then(|| format!("Bearer {}", by.secret));
        Self { prefix: format!("{}/audit/v1/{scope}", site.running.url()), bearer }
    }

    /// Reads through a link.
    fn through(site: &Site, path: &str) -> Self {
        Self { prefix: format!("{}{path}", site.running.url()), bearer: None }
    }

    async fn ask(&self, file: &str) -> Answer {
        let headers: Vec<_> = self.bearer.iter().map(|token| ("authorization", token.as_str())).collect();
        send(Method::GET, &format!("{}/{file}", self.prefix), &headers, "").await
    }

    pub async fn take(&self, file: &str) -> Vec<u8> {
        let answer = self.ask(file).await;
        assert_eq!(answer.status, 200, "{file}: {}", answer.text());
        answer.body.to_vec()
    }

    /// The status and the reason of a refusal.
    async fn refusal(&self, file: &str) -> (StatusCode, String) {
        let answer = self.ask(file).await;
        let reason = answer.json()["details"][0]["reason"].as_str().unwrap().to_owned();
        (answer.status, reason)
    }

    /// Every file that the newest checkpoint covers, and that checkpoint, verified.
    pub async fn mirror(&self) -> (BTreeMap<String, Vec<u8>>, Checkpoint) {
        let (note, keys) = (self.take("checkpoint").await, self.keys().await);
        let checkpoint = Checkpoint::open(&note, &keys).unwrap().checkpoint;
        let mut files = BTreeMap::from([("checkpoint".to_owned(), note)]);
        let tiles = tiles_added(0, checkpoint.size()).map(|id| id.path());
        for path in tiles.chain(bundles_added(0, checkpoint.size()).map(|id| id.path())) {
            let bytes = self.take(&path).await;
            files.insert(path, bytes);
        }
        (files, checkpoint)
    }

    async fn keys(&self) -> Vec<Vkey> {
        let text = String::from_utf8(self.take("vkey").await).unwrap();
        text.lines().map(|line| Vkey::parse(line).unwrap()).collect()
    }
}

/// Makes so many roles in `acme`, many at a time.
pub async fn roles(by: &Caller, prefix: &str, count: usize) {
    let numbers: Vec<_> = (0..count).collect();
    for some in numbers.chunks(64) {
        let make = |n: &usize| {
            let (by, id) = (by.clone(), format!("{prefix}-{n}"));
            tokio::spawn(async move { world::create_role(&by, &id, "x").await.unwrap() })
        };
        for maker in some.iter().map(make).collect::<Vec<_>>() {
            maker.await.unwrap();
        }
    }
}

async fn ask(by: &Caller, rpc: &str, request: serde_json::Value) -> Result<serde_json::Value, tonic::Status> {
    raw::json(by, &format!("provost.{rpc}"), request).await
}

/// A link to the log of `acme` that ends in a week: its name and its path.
async fn link(by: &Caller) -> (String, String) {
    let request = json!({"parent": ACME, "mirrorLink": {"displayName": "auditor", "expireTime": "2026-11-30T12:00:00Z"}});
    let made = ask(by, "audit.v1.AuditService/CreateMirrorLink", request).await.unwrap();
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    (text(&made["mirrorLink"]["name"]), text(&made["path"]))
}

async fn revoke(by: &Caller, name: &str) -> Result<serde_json::Value, tonic::Status> {
    ask(by, "audit.v1.AuditService/RevokeMirrorLink", json!({"name": name})).await
}

fn checked(files: &BTreeMap<String, Vec<u8>>, checkpoint: &Checkpoint) -> Result<tlog::Audited, tlog::Error> {
    tlog::audit(checkpoint, 0, |resource| Ok(files.get(&resource.path()).cloned()))
}

both_engines! {
    async fn what_is_served_is_the_whole_log_and_verifies(site: Site) {
        let world = World::build(site).await;
        roles(&world.owner, "m", 300).await;
        let reader = Reader::of(&world.site, &world.owner, ACME);
        let (files, checkpoint) = reader.mirror().await;
        let audited = checked(&files, &checkpoint).unwrap();
        assert_eq!((audited.entries, audited.pruned), (checkpoint.size(), 0));
        assert!(checkpoint.size() > 300);
        assert_eq!(checkpoint.origin(), format!("provost.local/tenants/{}", acme(world.site.kernel()).await));
        let entries = files.iter().filter(|(path, _)| path.starts_with("tile/entries/"));
        let made = entries.map(|(_, bytes)| String::from_utf8_lossy(bytes).matches("\"act\":\"role.create\"").count());
        assert_eq!(made.sum::<usize>(), 300);
    }

    async fn a_checkpoint_covers_every_act_that_was_answered_before(site: Site) {
        let world = World::build(site).await;
        let reader = Reader::of(&world.site, &world.owner, ACME);
        let mut size = 0;
        for n in 0..10 {
            world.role(&format!("r-{n}")).await;
            let checkpoint = Checkpoint::open(&reader.take("checkpoint").await, &reader.keys().await).unwrap().checkpoint;
            assert!(checkpoint.size() > size, "{n}");
            size = checkpoint.size();
            let last = BundleId::of_entry(size - 1, size).unwrap();
            let bundle = reader.take(&last.path()).await;
            assert!(String::from_utf8_lossy(&bundle).contains(&format!("/roles/r-{n}")), "{n}");
        }
    }

    async fn files_say_how_long_they_stay_the_same(site: Site) {
        let world = World::build(site).await;
        roles(&world.owner, "m", 260).await;
        let reader = Reader::of(&world.site, &world.owner, ACME);
        reader.take("checkpoint").await;
        for (file, kind, keep) in [
            ("checkpoint", "text/plain; charset=utf-8", "no-store"),
            ("vkey", "text/plain; charset=utf-8", "no-store"),
            ("tile/0/000", "application/octet-stream", "private, immutable, max-age=31536000"),
            ("tile/entries/000", "application/octet-stream", "private, immutable, max-age=31536000"),
            ("tile/0/000.p/7", "application/octet-stream", "no-store"),
            ("tile/entries/000.p/7", "application/octet-stream", "no-store"),
        ] {
            let answer = reader.ask(file).await;
            assert_eq!(answer.status, 200, "{file}: {}", answer.text());
            let header = |name| answer.headers.get(name).unwrap().to_str().unwrap();
            assert_eq!((header("content-type"), header("cache-control")), (kind, keep), "{file}");
        }
        // a wider file answers for a narrower one
        let (tile, narrow) = (reader.take("tile/0/000").await, reader.take("tile/0/000.p/7").await);
        assert_eq!(narrow, tile[..7 * 32]);
        let seven = reader.take("tile/entries/000.p/7").await;
        let seven = decode_bundle(&seven, 7).unwrap();
        for (entry, hash) in seven.iter().zip(narrow.chunks(32)) {
            assert_eq!(leaf_hash(entry).as_bytes(), hash);
        }
    }

    async fn what_no_checkpoint_covers_or_no_log_has_is_not_found(site: Site) {
        let world = World::build(site).await;
        let reader = Reader::of(&world.site, &world.owner, ACME);
        let (_, checkpoint) = reader.mirror().await;
        let width = u16::try_from(checkpoint.size() % 256).unwrap() + 200;
        let beyond = TileId::new(0, 0, width).unwrap().path();
        for file in [
            beyond.as_str(),
            "tile/0/000",
            "tile/1/000.p/1",
            "tile/0/001.p/1",
            "tile/entries/000",
            "tile/entries/x018/446/744/073/709/551",
            "tile/0/000.p/0",
            "tile/0/0",
            "tile/0/000.p/300",
            "tile/entries/../checkpoint",
            "nothing",
        ] {
            assert_eq!(reader.refusal(file).await, (StatusCode::NOT_FOUND, "RESOURCE_NOT_FOUND".to_owned()), "{file}");
        }
        for path in ["/platform", "/meta", "/tenants/acme", "/roles/acme/checkpoint"] {
            let answer = get(&format!("{}/audit/v1{path}", world.site.running.url())).await;
            assert_eq!(answer.status, 404, "{path}");
        }
        let posted = send(Method::POST, &format!("{}/checkpoint", reader.prefix), &[], "").await;
        assert_eq!(posted.status, 405);
    }

    async fn whoever_may_read_the_record_may_mirror_it(site: Site) {
        let world = World::build(site).await;
        for (holder, scope) in [
            ("owner", ACME),
            ("compliance", ACME),
            ("partner_admin", "partners/northwind"),
            ("consultant", "partners/northwind"),
            ("platform_auditor", "platform"),
            ("platform_admin", ACME),
        ] {
            let reader = Reader::of(&world.site, &world.holders[holder], scope);
            let (files, checkpoint) = reader.mirror().await;
            assert!(checked(&files, &checkpoint).is_ok(), "{holder} {scope}");
        }
        let refused = async |by: &Caller, scope: &str| Reader::of(&world.site, by, scope).refusal("checkpoint").await;
        let nobody = world.site.nobody();
        assert_eq!(refused(&nobody, ACME).await, (StatusCode::UNAUTHORIZED, "CREDENTIAL_MISSING".to_owned()));
        assert_eq!(refused(&nobody, "tenants/none").await.0, StatusCode::UNAUTHORIZED, "who asks comes before what for");
        for holder in ["admin", "finance", "approver", "member", "consultant", "partner_admin"] {
            let told = refused(&world.holders[holder], ACME).await;
            assert_eq!(told, (StatusCode::FORBIDDEN, "DUTY_MISSING".to_owned()), "{holder}");
        }
        for outsider in [&world.stranger, &world.rival] {
            assert_eq!(refused(outsider, ACME).await, (StatusCode::NOT_FOUND, "RESOURCE_NOT_FOUND".to_owned()));
        }
        let denied = events(&world.owner, ACME, "outcome = denied AND action = \"audit.mirror\"").await;
        assert_eq!(denied.len(), 6);
        let answer = Reader::of(&world.site, &nobody, ACME).ask("checkpoint").await;
        assert_eq!(answer.headers["www-authenticate"], "Bearer");
    }

    async fn the_meta_log_is_for_whoever_may_mirror_the_platforms(site: Site) {
        let world = World::build(site).await;
        let auditor = Reader::of(&world.site, &world.holders["platform_auditor"], "meta");
        assert_eq!(auditor.refusal("checkpoint").await, (StatusCode::NOT_FOUND, "RESOURCE_NOT_FOUND".to_owned()));
        assert!(auditor.ask("vkey").await.json()["message"].as_str().unwrap().contains("audit.publish_interval_seconds"));
        world.site.running.sequencer.publish_once(None, &mut []).await.unwrap();
        let (files, checkpoint) = auditor.mirror().await;
        assert_eq!(checkpoint.origin(), "provost.local/meta");
        let audited = checked(&files, &checkpoint).unwrap();
        assert!(audited.entries >= 3, "the platform, a partner, a client: {}", audited.entries);
        for (path, bytes) in &files {
            let text = String::from_utf8_lossy(bytes);
            assert!(!text.contains("acme") && !text.contains("northwind"), "{path}");
        }
        for holder in ["owner", "compliance", "partner_admin", "consultant", "member"] {
            let told = Reader::of(&world.site, &world.holders[holder], "meta").refusal("checkpoint").await;
            assert_eq!(told, (StatusCode::FORBIDDEN, "DUTY_MISSING".to_owned()), "{holder}");
        }
        let nobody = Reader::of(&world.site, &world.site.nobody(), "meta");
        assert_eq!(nobody.refusal("vkey").await, (StatusCode::UNAUTHORIZED, "CREDENTIAL_MISSING".to_owned()));
        // a link leads to the log of its scope, never to this one
        let (_, path) = link(&world.owner).await;
        assert_eq!(Reader::through(&world.site, &format!("{path}/meta")).ask("checkpoint").await.status, 404);
        // both readings of the meta log, and none of the platform's, are on the platform's record
        let found = events(&world.admin, "", "action = \"audit.mirror\" AND target = \"meta\"").await;
        assert_eq!(found.len(), 1, "{found:?}");
    }

    async fn who_fetches_entries_alone_is_on_the_record_too(site: Site) {
        let world = World::build(site).await;
        let compliance = Reader::of(&world.site, &world.holders["compliance"], ACME);
        compliance.take("vkey").await;
        compliance.take("tile/0/000.p/1").await;
        assert!(events(&world.owner, ACME, "action = \"audit.mirror\"").await.is_empty(), "hashes tell nothing");
        compliance.take("tile/entries/000.p/1").await;
        let found = events(&world.owner, ACME, "action = \"audit.mirror\"").await;
        assert_eq!((found.len(), found[0].actor.as_str()), (1, "tenants/acme/principals/compliance"));
        // what follows within a minute is one event, the checkpoint included
        compliance.take("tile/entries/000.p/2").await;
        compliance.take("checkpoint").await;
        world.site.advance(Duration::from_mins(2));
        let counted = async {
            loop {
                let found = events(&world.owner, ACME, "action = \"audit.mirror\"").await;
                if let [newest, _] = found.as_slice() {
                    return newest.count;
                }
            }
        };
        assert_eq!(tokio::time::timeout(Duration::from_mins(1), counted).await.unwrap(), 2);
    }

    async fn fetching_the_checkpoint_is_what_the_record_keeps_of_a_mirror(site: Site) {
        let world = World::build(site).await;
        let reader = Reader::of(&world.site, &world.holders["compliance"], ACME);
        reader.mirror().await;
        let found = events(&world.owner, ACME, "action = \"audit.mirror\"").await;
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].actor.as_str(), found[0].event_class.as_str()), ("tenants/acme/principals/compliance", "audit_read"));
        // who looks again and again leaves one event a minute
        for _ in 0..5 {
            reader.take("checkpoint").await;
        }
        assert_eq!(events(&world.owner, ACME, "action = \"audit.mirror\"").await.len(), 1);
    }

    async fn the_log_of_a_new_partner_begins_with_it(site: Site) {
        let admin = site.admin().await;
        world::partner(&admin, "fresh").await;
        // the keys first: they do not wait for a checkpoint that somebody else asks for
        let reader = Reader::of(&site, &admin, "partners/fresh");
        assert_eq!(reader.keys().await.len(), 1);
        let (files, checkpoint) = reader.mirror().await;
        assert!(checked(&files, &checkpoint).is_ok());
        let first = reader.take("tile/entries/000.p/1").await;
        let entry = decode_bundle(&first, 1).unwrap()[0];
        assert!(String::from_utf8_lossy(entry).contains("\"act\":\"partner.create\""));
    }

    async fn a_link_reads_its_one_log_until_it_is_revoked(site: Site) {
        let world = World::build(site).await;
        let (name, path) = link(&world.owner).await;
        assert!(path.starts_with("/audit/v1/link/pvl_") && path.len() == "/audit/v1/link/pvl_".len() + 43, "{path}");
        let reader = Reader::through(&world.site, &path);
        let (files, checkpoint) = reader.mirror().await;
        assert!(checked(&files, &checkpoint).is_ok());
        assert_eq!(checkpoint.origin(), format!("provost.local/tenants/{}", acme(world.site.kernel()).await));
        let found = events(&world.owner, ACME, "action = \"audit.mirror\"").await;
        assert_eq!((found.len(), found[0].actor.as_str()), (1, name.as_str()));
        // it is good for nothing else
        let other = format!("{path}/../../tenants/globex");
        assert_eq!(Reader::through(&world.site, &other).ask("checkpoint").await.status, 404);
        let secret = path.rsplit('/').next().unwrap();
        let as_token = Reader::of(&world.site, &world.site.caller(secret), ACME);
        assert_eq!(as_token.ask("checkpoint").await.status, 401);
        // the secret itself is nowhere
        let dump = world.site.dump(&["mirror_link", "mirror_link_key", "audit_event", "audit_pending"]).await;
        assert!(dump.contains("auditor") && !dump.contains(&secret[4..]), "the secret is stored");

        revoke(&world.owner, &name).await.unwrap();
        let gone = (StatusCode::NOT_FOUND, "RESOURCE_NOT_FOUND".to_owned());
        for file in ["checkpoint", "vkey", "tile/entries/000.p/1"] {
            assert_eq!(reader.refusal(file).await, gone, "{file}");
        }
        let again = revoke(&world.owner, &name).await.unwrap_err();
        assert_eq!((again.code(), reason(&again)), (Code::FailedPrecondition, "ILLEGAL_STATE".to_owned()));
        let unknown = format!("{ACME}/mirrorLinks/01a20000-0000-7000-8000-000000000000");
        assert_eq!(revoke(&world.owner, &unknown).await.unwrap_err().code(), Code::NotFound);
        let made_up = Reader::through(&world.site, &format!("/audit/v1/link/pvl_{}", "0".repeat(43)));
        assert_eq!(made_up.refusal("checkpoint").await, gone);
        assert_eq!(Reader::through(&world.site, "/audit/v1/link/x").refusal("checkpoint").await, gone);
    }

    async fn a_link_ends_by_itself_within_a_year(site: Site) {
        let world = World::build(site).await;
        let (_, path) = link(&world.owner).await;
        let reader = Reader::through(&world.site, &path);
        world.site.advance(Duration::from_hours(7 * 24) - Duration::from_secs(1));
        reader.take("checkpoint").await;
        world.site.advance(Duration::from_secs(1));
        assert_eq!(reader.refusal("checkpoint").await.0, StatusCode::NOT_FOUND);
        for end in [json!(null), json!("2026-11-23T12:00:00Z"), json!("2028-01-01T00:00:00Z")] {
            let request = json!({"parent": ACME, "mirrorLink": {"displayName": "x", "expireTime": end}});
            let refused = ask(&world.admin, "audit.v1.AuditService/CreateMirrorLink", request).await.unwrap_err();
            assert_eq!(refused.code(), Code::InvalidArgument, "{end}");
        }
    }

    async fn links_are_listed_without_their_paths_and_tried_without_a_trace(site: Site) {
        let world = World::build(site).await;
        let (name, path) = link(&world.owner).await;
        let request = json!({"parent": ACME, "mirrorLink": {"displayName": "x", "expireTime": "2026-12-01T00:00:00Z"}, "validateOnly": true});
        let tried = ask(&world.owner, "audit.v1.AuditService/CreateMirrorLink", request).await.unwrap();
        assert_eq!(tried.get("path"), None);
        let list = async |filter: &str| {
            let request = json!({"parent": ACME, "filter": filter});
            ask(&world.holders["compliance"], "audit.v1.AuditService/ListMirrorLinks", request).await.unwrap()
        };
        let listed = list("").await;
        assert_eq!(listed["mirrorLinks"].as_array().unwrap().len(), 1);
        assert_eq!(listed["mirrorLinks"][0]["name"], name.as_str());
        assert!(!listed.to_string().contains(path.rsplit('/').next().unwrap()));
        assert_eq!(list("display_name = \"nobody\"").await.get("mirrorLinks"), None);
        // who watches does not give others access
        let request = json!({"parent": ACME, "mirrorLink": {"displayName": "x", "expireTime": "2026-12-01T00:00:00Z"}});
        let refused = ask(&world.holders["compliance"], "audit.v1.AuditService/CreateMirrorLink", request).await;
        assert_eq!(refused.unwrap_err().code(), Code::PermissionDenied);
        assert_eq!(revoke(&world.holders["compliance"], &name).await.unwrap_err().code(), Code::PermissionDenied);
    }

    async fn a_suspended_tenants_link_can_be_revoked_but_none_made(site: Site) {
        let world = World::build(site).await;
        let (name, path) = link(&world.owner).await;
        let tenant = async |verb: &str, more: serde_json::Value| {
            let by = if verb == "ContractTenant" { &world.holders["partner_admin"] } else { &world.owner };
            let mut request = json!({"name": ACME});
            request.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            ask(by, &format!("tenant.v1.TenantService/{verb}"), request).await.unwrap();
        };
        let contract = json!({"contract": {
            "signedDate": "2026-11-01", "startDate": "2026-12-01", "endDate": "2027-12-01", "currency": "EUR",
            "renewal": "RENEWAL_MANUAL", "seats": [{"pool": "standard", "count": "10", "monthlyPriceMinor": "3000"}],
        }});
        tenant("ContractTenant", contract).await;
        tenant("StartPilot", json!({})).await;
        let role = world.role("banker").await.name;
        let member = json!({"name": role, "member": "tenants/acme/principals/member"});
        ask(&world.owner, "role.v1.RoleService/AddRoleMember", member).await.unwrap();
        tenant("GoLive", json!({})).await;
        tenant("SuspendTenant", json!({})).await;
        let request = json!({"parent": ACME, "mirrorLink": {"displayName": "x", "expireTime": "2026-12-01T00:00:00Z"}});
        let refused = ask(&world.owner, "audit.v1.AuditService/CreateMirrorLink", request).await.unwrap_err();
        assert_eq!(reason(&refused), "ILLEGAL_STATE");
        Reader::through(&world.site, &path).take("checkpoint").await;
        revoke(&world.owner, &name).await.unwrap();
        assert_eq!(Reader::through(&world.site, &path).ask("checkpoint").await.status, 404);
    }

    async fn pruned_entries_are_told_apart_and_their_hashes_stay(site: Site) {
        let world = World::build(site).await;
        roles(&world.owner, "m", 300).await;
        let reader = Reader::of(&world.site, &world.owner, ACME);
        let (mut files, checkpoint) = reader.mirror().await;
        let scope = acme(world.site.kernel()).await;
        meddle(world.site.kernel(), "DELETE FROM audit_event WHERE scope_id = $1 AND idx < 256", scope).await;
        assert_eq!(reader.ask("tile/entries/000").await.status, 500, "lost without retention is our fault");
        meddle(world.site.kernel(), "UPDATE audit_log SET minimum_index = 256 WHERE scope_id = $1", scope).await;
        let answer = reader.ask("tile/entries/000").await;
        assert_eq!(answer.status, 404);
        assert!(answer.json()["message"].as_str().unwrap().contains("below index 256 were pruned"), "{}", answer.text());
        reader.take("tile/0/000").await;
        files.remove("tile/entries/000");
        let read = |resource: Resource| Ok(files.get(&resource.path()).cloned());
        let audited = tlog::audit(&checkpoint, 256, read).unwrap();
        assert_eq!((audited.pruned, audited.entries), (256, checkpoint.size() - 256));
    }
}
