//! The import stream: what is sent, in which pieces, and what a broken one leaves behind.

use std::{fs, os::unix::fs::symlink};

use proto::catalog::v1::{ImportFile, Stage, import_marketplace_request::Part};
use tonic::Code;

use super::{fake::Fake, provost};
use crate::Exit;

fn files(fake: &Fake) -> Vec<ImportFile> {
    let parts = fake.parts().into_iter().filter_map(|part| part.part);
    parts.filter_map(|part| if let Part::File(file) = part { Some(file) } else { None }).collect()
}

#[tokio::test]
async fn a_directory_is_sent_whole_in_order_and_in_pieces() {
    let (fake, address) = Fake::start().await;
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join(".agents/plugins")).unwrap();
    fs::write(dir.path().join(".agents/plugins/marketplace.json"), "{}").unwrap();
    fs::write(dir.path().join("big"), vec![1; 2 * 1024 * 1024 + 1]).unwrap();
    fs::write(dir.path().join("empty"), "").unwrap();
    symlink("/etc/passwd", dir.path().join("link")).unwrap();
    let line = format!("catalog import {} --initial-stage preview --address {address}", dir.path().display());
    let ran = provost(&line).run().await;
    assert_eq!(ran.exit, Exit::OK, "{}", ran.err);
    assert!(ran.out.contains("marketplaces/small"), "{}", ran.out);
    let first = fake.parts().remove(0).part.unwrap();
    let Part::Header(header) = first else { panic!("the header comes first, not {first:?}") };
    assert_eq!((header.initial_stage(), header.validate_only), (Stage::Preview, false));
    assert!(!header.request_id.is_empty());
    let sent: Vec<_> = files(&fake).into_iter().map(|f| (f.path, f.content.len(), f.symlink)).collect();
    let mib = 1024 * 1024;
    let expected = [
        (".agents/plugins/marketplace.json", 2, false),
        ("big", mib, false),
        ("big", mib, false),
        ("big", 1, false),
        ("empty", 0, false),
        ("link", 0, true),
    ];
    assert_eq!(sent, expected.map(|(path, size, link)| (path.to_owned(), size, link)));
}

#[tokio::test]
async fn an_import_is_repeated_from_its_start() {
    let (fake, address) = Fake::start().await;
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("a"), "x").unwrap();
    fake.fail(1, Code::Unavailable, "DATABASE_UNAVAILABLE");
    let line = format!("catalog import {} --address {address} -o json", dir.path().display());
    let ran = provost(&line).run().await;
    assert_eq!((ran.exit, fake.calls().len(), fake.finished()), (Exit::OK, 2, 1), "{}", ran.err);
    assert_eq!(files(&fake).len(), 1);
    let value: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(value["plugins"], "1");
}

#[tokio::test]
async fn an_archive_is_sent_as_it_is_and_in_pieces() {
    let (fake, address) = Fake::start().await;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("m.tar.gz");
    let bytes: Vec<u8> = (0..1024 * 1024 + 3_u32).map(|n| n.to_le_bytes()[0]).collect();
    fs::write(&path, &bytes).unwrap();
    let ran = provost(&format!("catalog diff {} --address {address} -o json", path.display())).run().await;
    assert_eq!(ran.exit, Exit::OK, "{}", ran.err);
    let parts: Vec<_> = fake.parts().into_iter().filter_map(|part| part.part).collect();
    let Part::Header(header) = &parts[0] else { panic!("the header comes first") };
    assert!(header.validate_only);
    let pieces: Vec<_> = parts[1..]
        .iter()
        .map(|part| match part {
            Part::Archive(archive) => archive.content.clone(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!((pieces.len(), pieces.concat()), (2, bytes));
}
