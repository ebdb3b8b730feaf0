//! The certificate of what was delivered, against what the receiver has.

use std::{fs, path::Path};

use proto::{
    audit::v1::{GetAuditLogRequest, audit_service_client::AuditServiceClient},
    sink::v1 as pb,
};
use tests::{process, world};
use tonic::Code;

use super::{SIEM, caught_up, client, create, pause, receiver::Http, webhook, with_sinks};
use crate::errors::reason;

/// Whether `provost sink verify-certificate` is content.
fn verifies(dir: &Path, note: &str, events: &str, vkey: &str) -> bool {
    let (certificate, stored) = (dir.join("certificate"), dir.join("events.ndjson"));
    fs::write(&certificate, note).unwrap();
    fs::write(&stored, events).unwrap();
    let (certificate, stored) = (certificate.display().to_string(), stored.display().to_string());
    let line = ["sink", "verify-certificate", &certificate, "--events", &stored, "--vkey", vkey];
    let output = process::run("provost", &line);
    let code = output.status.code();
    assert!(matches!(code, Some(0 | 11)), "{output:?}");
    code == Some(0)
}

with_sinks! {
    async fn a_certificate_fits_what_came_and_nothing_else(world: World) {
        let receiver = Http::start().await;
        create(&world.owner, webhook(&receiver.url()), "").await.unwrap();
        caught_up(&world.owner).await;
        // nothing more comes while it is paused
        pause(&world.owner).await.unwrap();
        let ask = |from_index, to_index| {
            let request = pb::GetDeliveryCertificateRequest { name: SIEM.to_owned(), from_index, to_index };
            async { client(&world.owner).get_delivery_certificate(world.owner.ask(request)).await }
        };
        let certificate = ask(0, 0).await.unwrap().into_inner();
        let request = GetAuditLogRequest { name: "tenants/acme/auditLog".to_owned() };
        let log = AuditServiceClient::new(world.owner.channel.clone()).get_audit_log(world.owner.ask(request)).await.unwrap().into_inner();
        let vkey = &log.verifier_keys[0];
        assert!(certificate.verifier_keys[0].starts_with(&format!("{}/deliveries+", log.origin)));
        // nobody takes it for a checkpoint
        let key = tlog::Vkey::parse(vkey).unwrap();
        assert!(tlog::Checkpoint::open(certificate.note.as_bytes(), &[key]).is_err());

        let lines: Vec<_> = receiver.taken().iter().map(|r| String::from_utf8(r.body.to_vec()).unwrap()).collect();
        let text = |lines: &[String]| lines.join("\n") + "\n";
        let dir = tempfile::tempdir().unwrap();
        let good = |note: &str, lines: &[String]| verifies(dir.path(), note, &text(lines), vkey);
        assert!(good(&certificate.note, &lines));
        let (mut twice, mut backwards) = (lines.clone(), lines.clone());
        twice.push(lines[1].clone());
        backwards.reverse();
        assert!(good(&certificate.note, &twice) && good(&certificate.note, &backwards), "at least once, in any order");
        assert!(!good(&certificate.note, &lines[1..]), "one is missing");
        let mut altered = lines.clone();
        let id = receiver.events()[0].1.clone();
        altered[0] = altered[0].replace(&id, "00000000-0000-7000-8000-000000000000");
        assert!(!good(&certificate.note, &altered), "another event");
        assert!(!good(&certificate.note.replace("\"failure_count\":0", "\"failure_count\":1"), &lines), "altered");
        assert!(!good(&certificate.note.replace("/deliveries ", " "), &lines), "under another name");

        let asked = crate::audit::events(&world.owner, world::ACME, "action = \"sink.certify\"").await;
        let seen: Vec<_> = asked.iter().map(|e| (e.event_class.as_str(), e.targets[0].as_str())).collect();
        assert_eq!(seen, [("audit_read", SIEM)], "a proof that leaves is on the record");

        let part = ask(1, 3).await.unwrap().into_inner();
        assert!(good(&part.note, &lines[1..3]) && good(&part.note, &lines) && !good(&part.note, &lines[2..3]));
        let beyond = ask(0, 1_000_000).await.unwrap_err();
        assert_eq!((beyond.code(), reason(&beyond).as_str()), (Code::OutOfRange, "AUDIT_OUT_OF_RANGE"));
    }
}
