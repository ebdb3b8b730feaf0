use proto::catalog::v1::{Marketplace, SkippedEntry};

use super::*;
use crate::{client::Credentials, tests::fake::Fake};

#[test]
fn the_summary_names_what_was_left_out() {
    let answer = ImportMarketplaceResponse {
        marketplace: Some(Marketplace {
            name: "marketplaces/codex-official".to_owned(),
            ..Marketplace::default()
        }),
        plugins: 2,
        apps: 3,
        skills: 5,
        mcp_servers: 1,
        added: vec!["factset".to_owned()],
        changed: vec!["lseg".to_owned()],
        removed: Vec::new(),
        skipped: vec![SkippedEntry {
            entry: "odd".to_owned(),
            reason: "has no directory; add it".to_owned(),
        }],
    };
    insta::assert_snapshot!(summary(&answer), @"
    MARKETPLACE                  PLUGINS  APPS  SKILLS  MCP SERVERS  ADDED  CHANGED  REMOVED  SKIPPED
    marketplaces/codex-official  2        3     5       1            1      1        0        1
    added factset
    changed lseg
    skipped odd: has no directory; add it
    ");
}

#[test]
fn files_are_cut_into_pieces() {
    let dir = tempfile::tempdir().unwrap();
    let piece = usize::try_from(PIECE_BYTES).unwrap();
    for (size, pieces) in [(0, vec![0]), (1, vec![1]), (piece, vec![piece]), (piece + 1, vec![piece, 1])] {
        let file = dir.path().join(size.to_string());
        std::fs::write(&file, vec![7; size]).unwrap();
        let entry = Entry { file, path: "x".to_owned(), symlink: false, bytes: 0 };
        let mut cut = Pieces::of(&entry).unwrap();
        let mut sizes = Vec::new();
        while let Some(content) = cut.next(&entry.file).unwrap() {
            sizes.push(content.len());
        }
        assert_eq!(sizes, pieces);
    }
}

#[tokio::test]
async fn a_file_that_vanishes_never_leaves_half_a_directory() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("a"), "a").unwrap();
    let mut entries = walk(dir.path()).unwrap();
    entries.push(Entry { file: dir.path().join("gone"), path: "gone".to_owned(), symlink: false, bytes: 1 });
    let (fake, address) = Fake::start().await;
    let credentials = Credentials::new(None, None).unwrap();
    let client = Client::new(&address, None, credentials, std::time::Duration::from_secs(5)).unwrap();
    let error = send(&client, &ImportHeader::default(), &entries).await.unwrap_err();
    assert!(matches!(error, Error::Local(m) if m.contains("gone")));
    // A whole directory afterwards, over the same connection, is the first stream that comes to its end.
    entries.pop();
    send(&client, &ImportHeader::default(), &entries).await.unwrap();
    assert_eq!(fake.finished(), 1);
}
