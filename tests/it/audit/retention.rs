//! How long the record is kept, what keeps it longer, and how a person leaves it.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use audit::sequencer::store;
use proto::{
    audit::v1::{self as pb, ExportFormat, audit_service_client::AuditServiceClient},
    duty::v1::Duty,
    principal::v1::{self as principal, PrincipalKind, principal_service_client::PrincipalServiceClient},
    retention::v1::{self as retention, retention_service_client::RetentionServiceClient},
};
use tests::{Engine, Site, World, both_engines, postgres, site::Caller, world};
use tlog::{Receipt, Vkey};
use tonic::{Code, Status};
use uuid::Uuid;

use super::{events, export::export, mirror::Reader, sequencer::scopes};
use crate::errors::reason;

const RETENTION: &str = "tenants/acme/retention";
const ZQ: &str = "tenants/acme/principals/zq";
const NAME: &str = "Zebedee Quuxington";
const ADDRESS: &str = "zebedee.quux@acme.example";

async fn keep(
    by: &Caller,
    name: &str,
    days: &[(&str, i32)],
    etag: &str,
) -> Result<retention::Retention, Status> {
    let class = |(class, days): &(&str, i32)| retention::ClassRetention {
        event_class: (*class).to_owned(),
        days: *days,
    };
    let classes = days.iter().map(class).collect();
    let request = retention::UpdateRetentionRequest {
        retention: Some(retention::Retention { name: name.to_owned(), classes, ..Default::default() }),
        etag: etag.to_owned(),
        ..Default::default()
    };
    let answer = RetentionServiceClient::new(by.channel.clone()).update_retention(by.ask(request)).await?;
    Ok(answer.into_inner())
}

async fn kept(by: &Caller, name: &str) -> Result<retention::Retention, Status> {
    let request = retention::GetRetentionRequest { name: name.to_owned() };
    Ok(RetentionServiceClient::new(by.channel.clone()).get_retention(by.ask(request)).await?.into_inner())
}

async fn hold(by: &Caller, id: &str, principal: &str) -> Result<retention::LegalHold, Status> {
    let request = retention::CreateLegalHoldRequest {
        parent: world::ACME.to_owned(),
        legal_hold_id: id.to_owned(),
        legal_hold: Some(retention::LegalHold {
            reason: "order 7".to_owned(),
            principal: principal.to_owned(),
            ..Default::default()
        }),
        ..Default::default()
    };
    Ok(RetentionServiceClient::new(by.channel.clone()).create_legal_hold(by.ask(request)).await?.into_inner())
}

async fn release(by: &Caller, name: &str, etag: &str) -> Result<retention::LegalHold, Status> {
    let request = retention::ReleaseLegalHoldRequest {
        name: name.to_owned(),
        etag: etag.to_owned(),
        ..Default::default()
    };
    Ok(RetentionServiceClient::new(by.channel.clone())
        .release_legal_hold(by.ask(request))
        .await?
        .into_inner())
}

async fn holds(by: &Caller, filter: &str) -> Vec<retention::LegalHold> {
    let request = retention::ListLegalHoldsRequest {
        parent: world::ACME.to_owned(),
        filter: filter.to_owned(),
        ..Default::default()
    };
    let listed = RetentionServiceClient::new(by.channel.clone()).list_legal_holds(by.ask(request)).await;
    listed.unwrap().into_inner().legal_holds
}

async fn erase(
    by: &Caller,
    principal: &str,
    request_id: &str,
) -> Result<retention::EraseSubjectResponse, Status> {
    let request = retention::EraseSubjectRequest {
        principal: principal.to_owned(),
        reason: "request of 2 November 2026".to_owned(),
        request_id: request_id.to_owned(),
        ..Default::default()
    };
    Ok(RetentionServiceClient::new(by.channel.clone()).erase_subject(by.ask(request)).await?.into_inner())
}

/// A person with a name and an address, created with a request_id.
async fn zebedee(by: &Caller) {
    let request = principal::CreatePrincipalRequest {
        parent: world::ACME.to_owned(),
        principal_id: "zq".to_owned(),
        principal: Some(principal::Principal {
            kind: PrincipalKind::User.into(),
            display_name: NAME.to_owned(),
            email: ADDRESS.to_owned(),
            ..Default::default()
        }),
        request_id: Uuid::from_u128(4).to_string(),
        ..Default::default()
    };
    PrincipalServiceClient::new(by.channel.clone()).create_principal(by.ask(request)).await.unwrap();
}

async fn delete(by: &Caller, name: &str) {
    let request = principal::DeletePrincipalRequest { name: name.to_owned(), ..Default::default() };
    PrincipalServiceClient::new(by.channel.clone()).delete_principal(by.ask(request)).await.unwrap();
}

/// Checks the receipt of an event with nothing but what came with it.
pub(super) async fn check_receipt(by: &Caller, event: &pb::AuditEvent) {
    let request = pb::GetReceiptRequest { name: event.name.clone() };
    let answer = AuditServiceClient::new(by.channel.clone()).get_receipt(by.ask(request)).await.unwrap();
    let answer = answer.into_inner();
    assert_eq!(answer.entry, event.entry);
    let keys: Vec<_> = answer.verifier_keys.iter().map(|k| Vkey::parse(k).unwrap()).collect();
    let receipt = Receipt::parse(answer.proof.as_bytes()).unwrap();
    assert_eq!(receipt.index(), u64::try_from(event.index).unwrap());
    receipt.verify(event.entry.as_bytes(), &keys).unwrap();
    assert!(receipt.verify(format!("{} ", event.entry).as_bytes(), &keys).is_err());
}

async fn acme(site: &Site) -> Uuid {
    let mut reader = site.kernel().db.reader().await.unwrap();
    let query = "SELECT id FROM tenant WHERE slug = 'acme'";
    kernel::on!(&mut reader, |c| sqlx::query_scalar(query).fetch_one(c)).unwrap()
}

/// What must be nowhere once the person is erased.
const TRACES: [&str; 4] = [NAME, ADDRESS, "Quuxington", "quuxington"];

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

/// The files in a directory that hold something of the person.
fn files_with_traces(dir: &Path) -> Vec<PathBuf> {
    let files = std::fs::read_dir(dir).unwrap().map(|file| file.unwrap().path());
    let traced = |path: &PathBuf| {
        // PostgreSQL removes files while we look
        let bytes = std::fs::read(path).unwrap_or_default();
        TRACES.iter().any(|text| contains(&bytes, text))
    };
    files.filter(|path| path.is_file()).filter(traced).collect()
}

/// The directory of a PostgreSQL database, after every table in it was rewritten and written out.
fn postgres_files(url: &str) -> PathBuf {
    let psql = |sql: &str| postgres::shared().psql(url, sql);
    psql("VACUUM FULL");
    psql("CHECKPOINT");
    let database = psql("SELECT oid FROM pg_database WHERE datname = current_database()");
    PathBuf::from(psql("SHOW data_directory")).join("base").join(database)
}

/// Looks for the person in everything that the product keeps or gives away from now on.
async fn assert_gone(world: &World, by: &Caller) {
    let site = &world.site;
    let dump = site.dump(&[]).await;
    for text in TRACES {
        assert!(!dump.contains(text), "{text}");
    }
    assert_eq!(files_with_traces(site.dir.path()), Vec::<PathBuf>::new());
    if site.engine == Engine::Postgres {
        let url = site.database_url.clone();
        let statistics = "SELECT string_agg(s::text, ' ') FROM pg_stats s WHERE schemaname = 'public'";
        let statistics = postgres::shared().psql(&url, statistics);
        assert!(!statistics.is_empty());
        for text in TRACES {
            assert!(!statistics.contains(text), "{text}");
        }
        let left =
            tokio::task::spawn_blocking(move || files_with_traces(&postgres_files(&url))).await.unwrap();
        assert_eq!(left, Vec::<PathBuf>::new());
    }
    let (served, checkpoint) = Reader::of(site, by, world::ACME).mirror().await;
    assert!(checkpoint.size() > 0 && served.keys().any(|path| path.starts_with("tile/entries/")));
    let mut given: Vec<_> = served.into_iter().collect();
    for format in [ExportFormat::Ndjson, ExportFormat::Csv, ExportFormat::Parquet, ExportFormat::Ocsf] {
        let (file, manifest) = export(by, format, pb::ExportAuditEventsRequest::default()).await.unwrap();
        assert!(manifest.count > 0);
        given.push((format!("{format:?}"), file));
    }
    for (name, bytes) in given {
        assert!(TRACES.iter().all(|text| !contains(&bytes, text)), "{name}");
    }
}

both_engines! {
    async fn decisions_are_kept_half_a_year_at_least_and_the_client_decides_on_the_rest(site: Site) {
        let world = World::build(site).await;
        let by = &world.holders["compliance"];
        let before = kept(by, RETENTION).await.unwrap();
        assert_eq!(before.classes.len(), 6);
        assert!(before.classes.iter().all(|c| c.days == 2_555));
        let refused = keep(by, RETENTION, &[("decision", 183)], "").await.unwrap_err();
        assert_eq!((refused.code(), reason(&refused).as_str()), (Code::InvalidArgument, "INVALID_FIELD"));
        assert!(refused.message().contains("184 days"), "{}", refused.message());
        for bad in [&[("auth", 29)][..], &[("auth", 36_501)], &[("gossip", 90)], &[]] {
            assert_eq!(keep(by, RETENTION, bad, "").await.unwrap_err().code(), Code::InvalidArgument);
        }
        let after = keep(by, RETENTION, &[("decision", 184), ("auth", 30)], &before.etag).await.unwrap();
        assert_eq!(kept(by, RETENTION).await.unwrap(), after);
        let stale = keep(by, RETENTION, &[("auth", 31)], &before.etag).await.unwrap_err();
        assert_eq!((stale.code(), reason(&stale).as_str()), (Code::Aborted, "ETAG_STALE"));
        let found = events(&world.owner, world::ACME, "action = \"retention.update\" AND outcome = ok").await;
        assert_eq!(found.len(), 1);
        let changed: Vec<_> = found[0].changes.iter().map(|c| (c.field.as_str(), c.new_value.as_str())).collect();
        assert_eq!(changed, [("/auth", "30"), ("/decision", "184")]);
        // a partner has its own log and no say in its client's
        for other in ["partner_admin", "consultant", "admin"] {
            let refused = keep(&world.holders[other], RETENTION, &[("auth", 90)], "").await.unwrap_err();
            assert_eq!((refused.code(), reason(&refused).as_str()), (Code::PermissionDenied, "DUTY_MISSING"), "{other}");
        }
        assert_eq!(keep(&world.stranger, RETENTION, &[("auth", 90)], "").await.unwrap_err().code(), Code::NotFound);
        keep(&world.holders["partner_admin"], "partners/northwind/retention", &[("auth", 90)], "").await.unwrap();
        keep(&world.admin, "retention", &[("auth", 90)], "").await.unwrap();
    }

    async fn a_hold_is_of_its_own_parent_and_ends_once(site: Site) {
        let world = World::build(site).await;
        let by = &world.holders["compliance"];
        world::user(&world.consultant, world::ACME, "zq").await;
        for stranger in ["tenants/globex/principals/owner", "tenants/acme/principals/nobody"] {
            let refused = hold(by, "m-7", stranger).await.unwrap_err();
            assert_eq!((refused.code(), reason(&refused).as_str()), (Code::NotFound, "RESOURCE_NOT_FOUND"));
        }
        let made = hold(by, "m-7", ZQ).await.unwrap();
        assert_eq!((made.name.as_str(), made.principal.as_str()), ("tenants/acme/legalHolds/m-7", ZQ));
        let taken = hold(by, "m-7", "").await.unwrap_err();
        assert_eq!((taken.code(), reason(&taken).as_str()), (Code::AlreadyExists, "RESOURCE_EXISTS"));
        let refused = hold(&world.consultant, "theirs", "").await.unwrap_err();
        assert_eq!(refused.code(), Code::PermissionDenied);
        assert_eq!(holds(by, "").await, std::slice::from_ref(&made));
        assert!(holds(by, "legal_hold_id = \"m-8\"").await.is_empty());
        assert_eq!(release(by, &made.name, "r9").await.unwrap_err().code(), Code::Aborted);
        let released = release(by, &made.name, &made.etag).await.unwrap();
        assert!(released.release_time.is_some());
        let again = release(by, &made.name, "").await.unwrap_err();
        assert_eq!((again.code(), reason(&again).as_str()), (Code::FailedPrecondition, "ILLEGAL_STATE"));
        assert_eq!(holds(by, "").await, [released]);
        for action in ["legal_hold.create", "legal_hold.release"] {
            let found = events(by, world::ACME, &format!("action = \"{action}\" AND outcome = ok")).await;
            assert_eq!(found.len(), 1, "{action}");
            assert!(!found[0].entry.contains("order 7"), "what people write is sealed");
        }
    }

    async fn a_held_person_is_not_erased_and_an_erased_one_is_nowhere(site: Site) {
        let world = World::build(site).await;
        let by = &world.holders["compliance"];
        zebedee(&world.owner).await;
        let created = "action = \"principal.create\" AND target = \"tenants/acme/principals/zq\"";
        let search = "text(\"quuxington\")";
        let before = events(by, world::ACME, created).await.pop().unwrap();
        assert!(before.changes.iter().any(|c| c.new_value.contains(NAME)));
        assert_eq!(events(by, world::ACME, search).await.len(), 1);
        assert!(world.site.dump(&[]).await.contains(NAME));
        if world.site.engine == Engine::Postgres {
            // what the planner knows of a column are values of it
            let url = &world.site.database_url;
            postgres::shared().psql(url, "ANALYZE");
            assert!(postgres::shared().psql(url, "SELECT s::text FROM pg_stats s WHERE tablename = 'principal'").contains(NAME));
            let url = url.clone();
            assert!(!tokio::task::spawn_blocking(move || files_with_traces(&postgres_files(&url))).await.unwrap().is_empty());
        } else {
            assert!(!files_with_traces(world.site.dir.path()).is_empty());
        }

        let living = erase(by, ZQ, "").await.unwrap_err();
        assert_eq!((living.code(), reason(&living).as_str()), (Code::FailedPrecondition, "ILLEGAL_STATE"));
        delete(&world.owner, ZQ).await;
        for (id, person) in [("hers", ZQ), ("all", "")] {
            let standing = hold(by, id, person).await.unwrap();
            let refused = erase(by, ZQ, "").await.unwrap_err();
            assert_eq!(refused.code(), Code::FailedPrecondition);
            assert!(refused.message().contains(&standing.name), "{}", refused.message());
            release(by, &standing.name, "").await.unwrap();
        }
        assert_eq!(erase(&world.consultant, ZQ, "").await.unwrap_err().code(), Code::PermissionDenied);
        let request = Uuid::from_u128(9).to_string();
        let erased = erase(by, ZQ, &request).await.unwrap();
        assert!(erased.events >= 2, "{erased:?}");
        assert_eq!(erase(by, ZQ, &request).await.unwrap(), erased);
        let again = erase(by, ZQ, "").await.unwrap_err();
        assert_eq!((again.code(), reason(&again).as_str()), (Code::FailedPrecondition, "ILLEGAL_STATE"));

        assert_gone(&world, by).await;
        let after = events(by, world::ACME, created).await.pop().unwrap();
        assert_eq!((&after.entry, &after.leaf_hash), (&before.entry, &before.leaf_hash));
        let shown = |field: &str| after.changes.iter().find(|c| c.field == field).unwrap().new_value.clone();
        assert_eq!([shown("/display_name"), shown("/email")], ["\"(erased)\"", "\"(erased)\""]);
        assert!(events(by, world::ACME, search).await.is_empty());
        check_receipt(by, &after).await;
        let left = events(by, world::ACME, "action = \"privacy.erased\" AND outcome = ok").await;
        assert_eq!((left.len(), left[0].targets.as_slice()), (1, &[ZQ.to_owned()][..]));
    }

    async fn people_of_partners_and_of_the_platform_leave_the_logs_of_their_clients_too(site: Site) {
        let world = World::build(site).await;
        let boss = &world.holders["partner_admin"];
        let homes = [(world::NORTHWIND, "helper", Duty::Consultant, boss), ("", "ops", Duty::PlatformAdmin, &world.admin)];
        for (parent, id, duty, eraser) in homes {
            world::user(&world.admin, parent, id).await;
            world::grant(&world.admin, parent, id, duty).await.unwrap();
            let person = world::personal(&world.admin, parent, id).await;
            world::create_role(&person, &format!("of-{id}"), "A role").await.unwrap();
            let name = world::child(parent, "principals", id);
            let acted = format!("actor = \"{name}\"");
            let before = events(&world.owner, world::ACME, &acted).await.pop().unwrap();
            assert!(before.ip.starts_with("127."), "{before:?}");
            delete(&world.admin, &name).await;
            assert!(erase(eraser, &name, "").await.unwrap().events >= 3, "its creation, its token and its act");
            let after = events(&world.owner, world::ACME, &acted).await.pop().unwrap();
            assert_eq!((after.entry.as_str(), after.ip.as_str()), (before.entry.as_str(), "(erased)"));
            assert!(events(&world.owner, world::ACME, &format!("{acted} AND cidr(ip, \"127.0.0.0/8\")")).await.is_empty());
        }
        // no log is due for pruning, whoever's it is
        for scope in scopes(world.site.kernel()).await {
            assert_eq!(audit::retention::prune(world.site.kernel(), scope).await.unwrap(), 0);
        }
    }

    async fn pruned_events_are_gone_and_receipts_above_them_hold(site: Site) {
        let world = World::build(site).await;
        let everything = ["admin_write", "admin_read", "auth", "audit_read", "system"].map(|class| (class, 30));
        keep(&world.owner, RETENTION, &everything, "").await.unwrap();
        for n in 0..256 {
            world::create_role(&world.owner, &format!("r{n}"), "A role").await.unwrap();
        }
        let all = events(&world.owner, world::ACME, "").await;
        let (newest, oldest) = (all.first().unwrap(), all.last().unwrap());
        assert_eq!(oldest.index, 0);
        check_receipt(&world.owner, newest).await;
        let (kernel, scope) = (world.site.kernel(), acme(&world.site).await);
        assert_eq!(audit::retention::prune(kernel, scope).await.unwrap(), 0);
        world.site.advance(Duration::from_hours(24 * 31));
        hold(&world.admin, "all", "").await.unwrap();
        assert_eq!(audit::retention::prune(kernel, scope).await.unwrap(), 0, "held");
        release(&world.admin, "tenants/acme/legalHolds/all", "").await.unwrap();
        assert_eq!(audit::retention::prune(kernel, scope).await.unwrap(), 256);
        assert_eq!(kept(&world.admin, RETENTION).await.unwrap().minimum_index, 256);

        let left = events(&world.admin, world::ACME, "").await;
        assert_eq!(left.last().unwrap().index, 256);
        assert!(left.iter().any(|e| e.name == newest.name));
        check_receipt(&world.admin, newest).await;
        let mut client = AuditServiceClient::new(world.admin.channel.clone());
        let gone = pb::GetAuditEventRequest { name: oldest.name.clone() };
        assert_eq!(client.get_audit_event(world.admin.ask(gone)).await.unwrap_err().code(), Code::NotFound);
        let pruned = events(&world.admin, world::ACME, "action = \"audit.prune\"").await;
        assert_eq!((pruned.len(), pruned[0].actor.as_str()), (1, "system"));
        // the hashes of what went stay, so that the whole tree can still be walked
        let head = world.site.running.sequencer.head(scope).await.unwrap();
        let tiles = tlog::tiles_for_inclusion(0, u64::try_from(head.size).unwrap()).unwrap();
        let mut reader = kernel.db.reader().await.unwrap();
        assert_eq!(store::tile_get_all(&mut reader, scope, &tiles).await.unwrap().len(), tiles.len());
    }
}
