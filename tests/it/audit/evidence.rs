//! Evidence packs: what a stranger is given, and can check alone.

use std::{
    collections::BTreeSet,
    fs,
    io::Cursor,
    path::Path,
    process::{Command, Output},
    time::Duration,
};

use audit::evidence::framework::Framework;
use kernel::clock::Time;
use proto::{
    audit::v1::{self as pb, audit_service_client::AuditServiceClient},
    entitlement::v1::{Effect, Entitlement},
    principal::v1::PrincipalKind,
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tests::{World, both_engines, market, process, raw, site::Caller, staff, world};
use tonic::{Code, Status};

use super::{events, sequencer::scopes};
use crate::errors::reason;

const MINUTE: Duration = Duration::from_mins(1);

/// A fetched pack.
struct Pack {
    bytes: Vec<u8>,
    manifest: pb::EvidenceManifest,
}

fn ask(parent: &str, framework: &str, (start, end): (Time, Time)) -> pb::ExportEvidenceRequest {
    pb::ExportEvidenceRequest {
        parent: parent.to_owned(),
        framework: framework.to_owned(),
        start_time: Some(start.into()),
        end_time: Some(end.into()),
        as_of_size: 0,
    }
}

async fn fetch(by: &Caller, request: pb::ExportEvidenceRequest) -> Result<Pack, Status> {
    let mut client = AuditServiceClient::new(by.channel.clone());
    let mut stream = client.export_evidence(by.ask(request)).await?.into_inner();
    let (mut bytes, mut manifest) = (Vec::new(), None);
    while let Some(message) = stream.message().await? {
        assert!(manifest.is_none(), "the manifest is last");
        bytes.extend(message.data);
        manifest = message.manifest;
    }
    Ok(Pack { bytes, manifest: manifest.expect("a manifest") })
}

impl Pack {
    fn unzip(&self) -> TempDir {
        let dir = tempfile::tempdir().unwrap();
        zip::ZipArchive::new(Cursor::new(&self.bytes)).unwrap().extract(dir.path()).unwrap();
        dir
    }
}

/// The fenced commands of a pack's `VERIFY.md`, block by block.
fn commands(dir: &Path) -> Vec<String> {
    let guide = fs::read_to_string(dir.join("VERIFY.md")).unwrap();
    let blocks = guide.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap().to_owned());
    let blocks: Vec<_> = blocks.collect();
    assert!(blocks.len() >= 5, "{guide}");
    blocks
}

/// Runs all of them as they stand.
fn follow(dir: &Path) -> Output {
    run(dir, &commands(dir).concat())
}

fn run(dir: &Path, script: &str) -> Output {
    let programs = process::binary("provost").parent().unwrap().display().to_string();
    let path = format!("{programs}:{}", std::env::var("PATH").unwrap());
    let mut bash = Command::new("bash");
    bash.args(["-euo", "pipefail", "-c", script])
        .current_dir(dir)
        .env("PATH", path)
        .env_remove("PROVOST_ADDRESS");
    bash.output().unwrap()
}

/// Every file of a directory, by its path below it.
fn files(dir: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut left = vec![dir.to_owned()];
    while let Some(next) = left.pop() {
        for entry in fs::read_dir(next).unwrap().map(|e| e.unwrap().path()) {
            if entry.is_dir() {
                left.push(entry);
            } else {
                found.insert(entry.strip_prefix(dir).unwrap().display().to_string());
            }
        }
    }
    found
}

/// The lines of a table below its header.
fn lines(dir: &TempDir, file: &str) -> Vec<String> {
    let text = fs::read_to_string(dir.path().join(file)).unwrap();
    text.lines().skip(1).map(str::to_owned).collect()
}

fn summary(dir: &TempDir) -> Value {
    serde_json::from_slice(&fs::read(dir.path().join("summary.json")).unwrap()).unwrap()
}

/// The actions in `events.ndjson`.
fn recorded(dir: &TempDir) -> Vec<String> {
    let text = fs::read_to_string(dir.path().join("events.ndjson")).unwrap();
    let action = |line: &str| {
        let line: Value = serde_json::from_str(line).unwrap();
        line["entry"]["act"].as_str().unwrap().to_owned()
    };
    text.lines().map(action).collect()
}

async fn call(by: &Caller, rpc: &str, request: Value) -> Result<Value, Status> {
    raw::json(by, &format!("provost.{rpc}"), request).await
}

/// A quarter in which maria loses the plugin, ben gets it, a hold is made, and finance is refused something. It is over.
async fn quarter(world: &World) -> (Time, Time) {
    market::import(&world.admin, &market::small(&["kit"])).await.unwrap();
    world.role("banker").await;
    for id in ["maria", "ben"] {
        world::user(&world.owner, world::ACME, id).await;
    }
    let rule = Entitlement {
        role: "tenants/acme/roles/banker".to_owned(),
        target: "marketplaces/vendor/plugins/kit".to_owned(),
        effect: Effect::Required.into(),
        ..Default::default()
    };
    crate::decisions::create(&world.owner, "kit", rule).await.unwrap();
    staff::give(&world.owner, "banker", "principals/maria").await;
    let now = || world.site.kernel().clock.now();
    world.site.advance(MINUTE);
    let start = now();
    staff::take(&world.owner, "banker", "principals/maria").await;
    staff::give(&world.owner, "banker", "principals/ben").await;
    let hold = json!({"parent": world::ACME, "legalHoldId": "h", "legalHold": {"reason": "matter 7"}});
    call(&world.owner, "retention.v1.RetentionService/CreateLegalHold", hold).await.unwrap();
    world::create_role(&world.holders["finance"], "no", "No").await.unwrap_err();
    world.site.advance(MINUTE);
    let end = now();
    staff::give(&world.owner, "banker", "principals/maria").await;
    world.site.advance(MINUTE);
    (start, end)
}

fn access(person: &str) -> String {
    format!(
        "tenants/acme/principals/{person},marketplaces/vendor/plugins/kit,REQUIRED,tenants/acme/roles/banker,tenants/acme/entitlements/kit"
    )
}

both_engines! {
    async fn a_stranger_follows_the_guide_and_no_changed_byte_passes(site: Site) {
        let world = World::build(site).await;
        let period = quarter(&world).await;
        let pack = fetch(&world.holders["compliance"], ask(world::ACME, "soc2", period)).await.unwrap();
        let dir = pack.unzip();
        let followed = follow(dir.path());
        let told = String::from_utf8_lossy(&followed.stdout).into_owned();
        assert!(followed.status.success(), "{told}\n{}", String::from_utf8_lossy(&followed.stderr));
        assert_eq!(told.matches("Signature Verified Successfully").count(), 2, "{told}");
        assert!(told.contains("extends") && told.matches("VERIFIED").count() > 2, "{told}");

        // files and signature
        let signed = commands(dir.path())[..2].concat();
        for file in files(dir.path()) {
            let path = dir.path().join(&file);
            let good = fs::read(&path).unwrap();
            if good.is_empty() {
                continue;
            }
            for place in [0, good.len() / 2, good.len() - 1] {
                let mut bad = good.clone();
                bad[place] ^= 1;
                fs::write(&path, &bad).unwrap();
                assert!(!run(dir.path(), &signed).status.success(), "byte {place} of {file}");
            }
            fs::write(&path, &good).unwrap();
        }
        fs::write(dir.path().join("more.csv"), "x").unwrap();
        assert!(!run(dir.path(), &signed).status.success(), "a file was added");
        fs::remove_file(dir.path().join("more.csv")).unwrap();
        assert!(follow(dir.path()).status.success());
    }

    async fn a_pack_holds_what_was_done_in_the_period_and_nothing_else(site: Site) {
        let world = World::build(site).await;
        let period = quarter(&world).await;
        let pack = fetch(&world.owner, ask(world::ACME, "soc2", period)).await.unwrap();
        let dir = pack.unzip();
        assert_eq!(recorded(&dir), ["role.remove_member", "role.add_member", "legal_hold.create", "role.create"]);
        let counts: Vec<_> = pack.manifest.controls.iter().filter(|c| c.count > 0).map(|c| (c.control.as_str(), c.count)).collect();
        assert_eq!(counts, [("CC6.3", 3), ("CC6.5", 1), ("CC7.2", 1)]);
        for control in &pack.manifest.controls {
            let rows = lines(&dir, &format!("controls/{}.csv", control.control));
            assert_eq!(i64::try_from(rows.len()).unwrap(), control.count, "{}", control.control);
        }
        assert_eq!(lines(&dir, "controls.csv").len(), pack.manifest.controls.len());
        assert_eq!(lines(&dir, "reviews.csv").len(), 1);
        assert_eq!(lines(&dir, "access-start.csv"), [access("maria")]);
        assert_eq!(lines(&dir, "access-end.csv"), [access("ben")]);
        assert_eq!(lines(&dir, "access-changes.csv"), [format!("added,{}", access("ben")), format!("removed,{}", access("maria"))]);
        let summary = summary(&dir);
        assert_eq!((&summary["events"], &summary["reviews"]), (&json!(4), &json!(1)));
        assert_eq!(summary["access"], json!({"start": 1, "end": 1, "added": 1, "removed": 1}));
        assert_eq!(pack.manifest.count, 4);

        // it was asked for: that is on the record, as a read of the record
        let found = events(&world.owner, world::ACME, "action = audit.export_evidence").await;
        assert_eq!((found.len(), found[0].event_class.as_str()), (1, "audit_read"));
        assert_eq!(found[0].targets, ["tenants/acme/auditLog"]);
        assert!(found[0].entry.contains("\"q\":{\"$s\""), "{}", found[0].entry);
    }

    async fn the_same_size_of_the_log_gives_the_same_pack(site: Site) {
        let world = World::build(site).await;
        let period = quarter(&world).await;
        for framework in Framework::ids() {
            let first = fetch(&world.owner, ask(world::ACME, framework, period)).await.unwrap();
            world.role(&format!("of-{framework}")).await;
            let pinned = pb::ExportEvidenceRequest { as_of_size: first.manifest.as_of_size, ..ask(world::ACME, framework, period) };
            let second = fetch(&world.owner, pinned).await.unwrap();
            assert!(first.bytes == second.bytes, "{framework}");
            assert_eq!(first.manifest, second.manifest);
        }
    }

    async fn an_erased_person_is_erased_in_the_pack_too(site: Site) {
        let world = World::build(site).await;
        world.site.advance(MINUTE);
        let start = world.site.kernel().clock.now();
        let create = json!({"parent": world::ACME, "principalId": "zq", "principal": {
            "kind": PrincipalKind::User.as_str_name(), "displayName": "Zebedee Quuxington", "email": "zq@acme.example"}});
        call(&world.owner, "principal.v1.PrincipalService/CreatePrincipal", create).await.unwrap();
        world.site.advance(MINUTE);
        let end = world.site.kernel().clock.now();
        let request = || ask(world::ACME, "iso27001", (start, end));
        let of_people = |dir: &TempDir| lines(dir, "controls/A.5.16.csv").concat();
        let before = fetch(&world.owner, request()).await.unwrap().unzip();
        assert!(of_people(&before).contains("(sealed)") && !of_people(&before).contains("(erased)"));
        let name = json!({"name": "tenants/acme/principals/zq"});
        call(&world.owner, "principal.v1.PrincipalService/DeletePrincipal", name).await.unwrap();
        let erase = json!({"principal": "tenants/acme/principals/zq", "reason": "asked for"});
        call(&world.owner, "retention.v1.RetentionService/EraseSubject", erase).await.unwrap();
        let after = fetch(&world.owner, request()).await.unwrap().unzip();
        assert!(of_people(&after).contains("(erased)"), "{}", of_people(&after));
        for dir in [&before, &after] {
            for file in files(dir.path()) {
                let bytes = fs::read(dir.path().join(&file)).unwrap();
                assert!(!bytes.windows(9).any(|w| w == b"Quuxingto"), "{file}");
            }
        }
        assert!(follow(after.path()).status.success());
        let bytes = |dir: &TempDir| fs::read(dir.path().join("events.ndjson")).unwrap();
        assert_eq!(bytes(&before), bytes(&after), "what is proved stays as it is");
    }

    async fn partners_and_the_platform_have_packs_of_their_own_logs(site: Site) {
        let world = World::build(site).await;
        let period = quarter(&world).await;
        for (by, parent) in [(&world.consultant, world::NORTHWIND), (&world.admin, "")] {
            let dir = fetch(by, ask(parent, "soc2", period)).await.unwrap().unzip();
            let followed = follow(dir.path());
            assert!(followed.status.success(), "{parent}: {}", String::from_utf8_lossy(&followed.stderr));
            assert!(lines(&dir, "access-end.csv").is_empty() && lines(&dir, "access-changes.csv").is_empty());
        }
        // a time in which nothing happened, before everything
        let start = period.0.minus(Duration::from_hours(48));
        let empty = fetch(&world.owner, ask(world::ACME, "soc2", (start, start.plus(MINUTE)))).await.unwrap();
        assert_eq!(empty.manifest.count, 0);
        let dir = empty.unzip();
        let followed = follow(dir.path());
        assert!(followed.status.success(), "{}", String::from_utf8_lossy(&followed.stderr));
    }

    async fn who_may_not_read_the_record_and_what_makes_no_sense_is_refused(site: Site) {
        let world = World::build(site).await;
        let (start, end) = quarter(&world).await;
        let good = ask(world::ACME, "soc2", (start, end));
        for (by, code) in [
            (&world.stranger, Code::NotFound),
            (&world.rival, Code::NotFound),
            (&world.consultant, Code::PermissionDenied),
            (&world.holders["finance"], Code::PermissionDenied),
            (&world.holders["member"], Code::PermissionDenied),
            (&world.site.nobody(), Code::Unauthenticated),
        ] {
            assert_eq!(fetch(by, good.clone()).await.err().unwrap().code(), code);
        }
        let future = world.site.kernel().clock.now().plus(MINUTE);
        for bad in [
            ask(world::ACME, "soc3", (start, end)),
            ask(world::ACME, "", (start, end)),
            ask(world::ACME, "soc2", (end, start)),
            ask(world::ACME, "soc2", (start, future)),
            ask(world::ACME, "soc2", (end.minus(Duration::from_hours(24 * 401)), end)),
            pb::ExportEvidenceRequest { start_time: None, ..good.clone() },
        ] {
            let refused = fetch(&world.owner, bad.clone()).await.err().unwrap();
            assert_eq!((refused.code(), reason(&refused).as_str()), (Code::InvalidArgument, "INVALID_FIELD"), "{bad:?}");
        }
        for size in [-1, 1_000_000] {
            let beyond = pb::ExportEvidenceRequest { as_of_size: size, ..good.clone() };
            let refused = fetch(&world.owner, beyond).await.err().unwrap();
            assert_eq!((refused.code(), reason(&refused).as_str()), (Code::OutOfRange, "AUDIT_OUT_OF_RANGE"));
        }
    }

    async fn a_period_of_which_events_were_pruned_is_refused_and_a_later_one_is_proved(site: Site) {
        let world = World::build(site).await;
        let first = world.site.kernel().clock.now();
        let classes: Vec<_> = ["admin_write", "admin_read", "auth", "audit_read", "system"].iter()
            .map(|class| json!({"eventClass": class, "days": 30})).collect();
        let shorter = json!({"retention": {"name": "tenants/acme/retention", "classes": classes}});
        call(&world.owner, "retention.v1.RetentionService/UpdateRetention", shorter).await.unwrap();
        for n in 0..256 {
            world::create_role(&world.owner, &format!("r{n}"), "A role").await.unwrap();
        }
        world.site.advance(Duration::from_hours(24 * 31));
        let kernel = world.site.kernel();
        for scope in scopes(kernel).await {
            audit::retention::prune(kernel, scope).await.unwrap();
        }
        let now = kernel.clock.now();
        world.site.advance(MINUTE);
        let refused = fetch(&world.admin, ask(world::ACME, "soc2", (first, now))).await.err().unwrap();
        assert_eq!((refused.code(), reason(&refused).as_str()), (Code::OutOfRange, "AUDIT_OUT_OF_RANGE"));
        assert!(refused.message().contains("retention removed"), "{}", refused.message());
        let later = ask(world::ACME, "soc2", (first.plus(MINUTE), now.plus(MINUTE)));
        let dir = fetch(&world.admin, later).await.unwrap().unzip();
        assert_eq!(recorded(&dir)[0], "audit.prune");
        let followed = follow(dir.path());
        assert!(followed.status.success(), "{}", String::from_utf8_lossy(&followed.stderr));
    }
}

#[test]
fn every_act_answers_a_control_or_is_said_to_be_out_of_scope() {
    // the meta log has no packs
    let own = server::app::own_actions().filter(|action| action.noun != "checkpoint");
    let acts: BTreeSet<_> = server::app::actions().chain(own).map(kernel::authz::Action::name).collect();
    assert!(acts.contains("audit.gap") && acts.contains("audit.prune"));
    for id in Framework::ids() {
        let framework = Framework::find(id).unwrap();
        let missing: Vec<_> = acts.iter().filter(|act| !framework.places(act)).collect();
        assert!(missing.is_empty(), "policies/evidence/{id}.csv does not place {missing:?}");
    }
}
