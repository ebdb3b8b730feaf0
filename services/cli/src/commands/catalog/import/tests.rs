use proto::catalog::v1::{Marketplace, PluginChange, SkippedEntry};

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
        diffs: Vec::new(),
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
fn the_details_say_what_is_there_and_what_was() {
    let change = |field: &str, kind: DiffKind, old: &str, new: &str| PluginChange {
        field: field.to_owned(),
        kind: kind.into(),
        old_value: old.to_owned(),
        new_value: new.to_owned(),
    };
    let diff = |plugin: &str, kind: DiffKind, changes, omitted_changes| PluginDiff {
        plugin: plugin.to_owned(),
        kind: kind.into(),
        changes,
        omitted_changes,
        ..PluginDiff::default()
    };
    let changes = vec![
        change("version", DiffKind::Changed, "1", "2"),
        change("apps/crm", DiffKind::Added, "", "connector_1"),
        change("skills/old\u{1b}", DiffKind::Removed, "", ""),
    ];
    insta::assert_snapshot!(
        details(&[
            diff("m/a", DiffKind::Changed, changes, 7),
            diff("m/b", DiffKind::Changed, vec![], 0),
            diff("m/gone", DiffKind::Removed, vec![], 0),
        ]),
        @r"

    m/a
      ~ version  1 -> 2
      + apps/crm  connector_1
      - skills/old\u{1b}
      and 7 more

    m/b
      ~ files that nothing is read from
    "
    );
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
    let (Source::Directory(mut entries), _) = Source::at(dir.path()).unwrap() else { panic!("a directory") };
    let whole = Source::Directory(entries.clone());
    entries.push(Entry { file: dir.path().join("gone"), path: "gone".to_owned(), symlink: false, bytes: 1 });
    let (fake, address) = Fake::start().await;
    let credentials = Credentials::new(None, None).unwrap();
    let client = Client::new(&address, None, credentials, std::time::Duration::from_secs(5)).unwrap();
    let error = send(&client, &ImportHeader::default(), &Source::Directory(entries)).await.unwrap_err();
    assert!(matches!(error, Error::Local(m) if m.contains("gone")));
    // A whole directory afterwards, over the same connection, is the first stream that comes to its end.
    send(&client, &ImportHeader::default(), &whole).await.unwrap();
    assert_eq!(fake.finished(), 1);
}
