//! Verbs of the audit log that stream, and those that keep secrets.

use std::fs;

use tlog::{Checkpoint, Receipt, Signer as _, inclusion_proof, leaf_hash};

use super::{
    fake::{Fake, LINK},
    log::{ORIGIN, entry, files, signer},
    provost,
};
use crate::Exit;

#[tokio::test]
async fn a_tail_that_broke_goes_on_where_it_ended() {
    let (fake, address) = Fake::start().await;
    let ran = provost(&format!("audit tail acme --from-index 0 --address {address}")).run().await;
    assert_eq!(ran.exit, Exit::INVALID, "{ran:?}");
    assert_eq!(ran.out, "0  role.create\n1  role.create\n2  role.create\n3  role.create\n");
    assert!(ran.err.starts_with("the connection broke; going on where it ended\n"), "{}", ran.err);
    assert!(fake.calls()[1].contains("from_index: 2"), "{:?}", fake.calls());
    let json = provost(&format!("audit tail acme --from-index 2 -o json --address {address}")).run().await;
    let actions: Vec<serde_json::Value> =
        json.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((actions.len(), &actions[1]["index"]), (2, &"3".into()));
}

#[tokio::test]
async fn an_export_that_broke_is_whole_in_the_end() {
    let (fake, address) = Fake::start().await;
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("events.ndjson");
    let line = format!("audit export acme --format ndjson --out {} --address {address}", out.display());
    let ran = provost(&format!("{line} -o json")).run().await;
    assert_eq!(ran.exit, Exit::OK, "{ran:?}");
    assert_eq!(fs::read_to_string(&out).unwrap(), "{\"index\":0}\n{\"index\":1}\n{\"index\":2}\n");
    let shown: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(
        (&shown["count"], &shown["first_index"], &shown["format"]),
        (&3.into(), &0.into(), &"NDJSON".into())
    );
    let kept = fs::read_to_string(dir.path().join("events.ndjson.manifest.json")).unwrap();
    assert_eq!(serde_json::from_str::<serde_json::Value>(&kept).unwrap(), shown);
    assert!(fake.calls()[1].contains("from_index: 1"), "{:?}", fake.calls());
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
}

#[tokio::test]
async fn a_pack_is_kept_when_it_is_whole() {
    let (fake, address) = Fake::start().await;
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("pack.zip");
    for (framework, exit) in
        [("soc2", Exit::OK), ("iso27001", Exit::UNVERIFIED), ("eu-ai-act", Exit::INVALID)]
    {
        let line = format!(
            "audit evidence acme --framework {framework} --from 2026-01-01 --to 2026-03-31 --out {} --address {address}",
            out.display()
        );
        let ran = provost(&line).run().await;
        assert_eq!(ran.exit, exit, "{ran:?}");
        assert_eq!(fs::read(&out).is_ok_and(|bytes| bytes == b"PK.."), exit == Exit::OK);
        let _ = fs::remove_file(&out);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "half a pack is of no use");
    }
    // the day is a part of the period: it ends at the next midnight
    let sent = &fake.calls()[0];
    assert!(sent.contains("seconds: 1767225600") && sent.contains("seconds: 1775001600"), "{sent}");
}

#[tokio::test]
async fn events_are_verified_against_the_hashes_alone_and_any_changed_bit_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let entries: Vec<_> = (0..700).map(entry).collect();
    for (path, bytes) in files(&entries, &[1]) {
        if !path.starts_with("tile/entries") {
            let path = dir.path().join("log").join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
    }
    let older = files(&entries[..300], &[1])["checkpoint"].clone();
    fs::write(dir.path().join("older"), &older).unwrap();
    let line = |index: u64| {
        let entry = String::from_utf8(entry(index)).unwrap();
        format!("{{\"index\":{index},\"leaf_hash\":\"{}\",\"entry\":{entry}}}\n", leaf_hash(entry.as_bytes()))
    };
    let events: String = [3, 4, 255, 256, 699].into_iter().map(line).collect();
    let file = dir.path().join("events.ndjson");
    let of = |name: &str| dir.path().join(name).display().to_string();
    let command =
        format!("audit verify {} --events {} --extends {}", of("log"), of("events.ndjson"), of("older"));
    fs::write(&file, &events).unwrap();
    let good = provost(&command).run().await;
    assert_eq!(good.exit, Exit::OK, "{good:?}");
    assert!(good.out.contains("5 hashed") && good.out.contains("checkpoint of size 300"), "{}", good.out);
    let refused = async |why: &str| {
        let ran = provost(&command).run().await;
        assert_eq!(ran.exit, Exit::UNVERIFIED, "{why}: {ran:?}");
    };
    for byte in 0..events.len() {
        let mut bad = events.clone().into_bytes();
        bad[byte] ^= 1;
        // a line feed that is none any more, or one more blank, is no other event
        if String::from_utf8(bad.clone()).is_ok_and(|bad| bad.lines().eq(events.lines())) {
            continue;
        }
        fs::write(&file, bad).unwrap();
        refused(&format!("byte {byte} of the events")).await;
    }
    fs::write(&file, [line(4), line(3)].concat()).unwrap();
    refused("out of order").await;
    fs::write(&file, line(700)).unwrap();
    refused("beyond the checkpoint").await;
    fs::write(&file, &events).unwrap();
    let tile = dir.path().join("log/tile/0/000");
    let hashes = fs::read(&tile).unwrap();
    for place in [0, 3 * 32, 100 * 32, 255 * 32] {
        let mut bad = hashes.clone();
        bad[place] ^= 1;
        fs::write(&tile, bad).unwrap();
        refused("a hash of another event of the same tile").await;
    }
    fs::write(&tile, hashes).unwrap();
    let mut other: Vec<_> = (0..300).map(entry).collect();
    other[7] = entry(8);
    fs::write(dir.path().join("older"), &files(&other, &[1])["checkpoint"]).unwrap();
    refused("a log that was rewritten").await;
}

#[tokio::test]
async fn a_links_path_is_shown_once_with_a_warning() {
    let (_fake, address) = Fake::start().await;
    let line = format!("audit link create acme --display-name auditor --address {address}");
    let ran = provost(&line).run().await;
    assert_eq!((ran.exit, ran.out.matches(LINK).count()), (Exit::OK, 1), "{ran:?}");
    assert!(ran.err.starts_with("warning: the path is shown this once"), "{}", ran.err);
    let dry = provost(&format!("{line} --validate-only")).run().await;
    assert_eq!((dry.out.as_str(), dry.err.as_str()), ("valid; nothing was changed\n", ""));
}

#[tokio::test]
async fn what_cannot_be_undone_is_asked_for() {
    for line in [
        "audit erase acme/maria --reason request-17",
        "audit retention set decision=200 --tenant acme",
        "audit hold release acme/matter-1",
        "audit link revoke tenants/acme/mirrorLinks/0197d3a0-0000-7000-8000-000000000000",
    ] {
        let ran = provost(&format!("{line} --address http://127.0.0.1:1")).run().await;
        assert_eq!(ran.exit, Exit::USAGE, "{ran:?}");
        assert!(ran.err.contains("has to be confirmed"), "{ran:?}");
    }
}

#[tokio::test]
async fn a_receipt_verifies_and_one_changed_byte_does_not() {
    let dir = tempfile::tempdir().unwrap();
    let mut tree = tlog::Appender::empty();
    for n in 0..300 {
        tree.append(leaf_hash(&entry(n))).unwrap();
    }
    let note = Checkpoint::new(ORIGIN, 300, tree.root()).unwrap().sign(&[&signer(1)]).unwrap();
    let tiles = tree.take_tiles().into_iter().collect();
    let receipt = Receipt::new(7, inclusion_proof(&tiles, 7, 300).unwrap(), note).unwrap().to_string();
    let file = dir.path().join("receipt");
    let line = format!("audit verify-receipt {}", file.display());
    fs::write(&file, &receipt).unwrap();
    fs::write(dir.path().join("receipt.entry"), entry(7)).unwrap();
    fs::write(dir.path().join("receipt.vkey"), signer(1).vkey().to_string()).unwrap();
    let good = provost(&line).run().await;
    assert_eq!(good.exit, Exit::OK, "{good:?}");
    assert!(good.out.contains("index 7 of 300") && good.out.contains("VERIFIED"), "{}", good.out);
    let given = provost(&format!("{line} --vkey {}", signer(1).vkey())).run().await;
    assert_eq!((given.exit, given.err.as_str()), (Exit::OK, ""));
    assert_eq!(provost(&format!("{line} --vkey {}", signer(2).vkey())).run().await.exit, Exit::UNVERIFIED);
    for byte in 0..receipt.len() {
        let mut bad = receipt.clone().into_bytes();
        bad[byte] ^= 1;
        fs::write(&file, bad).unwrap();
        assert_eq!(provost(&line).run().await.exit, Exit::UNVERIFIED, "byte {byte}");
    }
    fs::write(&file, &receipt).unwrap();
    fs::write(dir.path().join("receipt.entry"), entry(8)).unwrap();
    let other = provost(&line).run().await;
    assert_eq!(other.exit, Exit::UNVERIFIED);
    assert!(other.err.starts_with("NOT VERIFIED: the inclusion proof"), "{}", other.err);
}
