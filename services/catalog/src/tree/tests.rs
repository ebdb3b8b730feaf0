use proptest::prelude::*;

use super::*;

fn one(path: &str) -> Result<Tree> {
    Tree::from_files([(path, "x")])
}

fn message(result: Result<impl fmt::Debug>) -> String {
    match result.unwrap_err() {
        Error::Marketplace(message) => message,
        other => panic!("{other:?}"),
    }
}

#[test]
fn pieces_become_files_with_length_digest_and_json_content() {
    let mut builder = TreeBuilder::new();
    for piece in ["{\"a\":", "1}"] {
        builder.push("d/a.json", Kind::File, piece.as_bytes()).unwrap();
    }
    builder.push("d/b.md", Kind::File, b"text").unwrap();
    builder.push("empty", Kind::File, b"").unwrap();
    let tree = builder.finish().unwrap();
    let json = tree.file("d/a.json").unwrap();
    assert_eq!(json.content.as_deref(), Some(b"{\"a\":1}".as_slice()));
    assert_eq!((json.length, json.sha256), (7, Digest(hash::sha256(b"{\"a\":1}"))));
    assert!(tree.file("d/b.md").unwrap().content.is_none());
    assert_eq!(tree.file("empty").unwrap().length, 0);
    assert_eq!(tree.under("d").map(|(p, _)| p).collect::<Vec<_>>(), ["a.json", "b.md"]);
    assert_eq!(tree.under("").count(), 3);
}

#[test]
fn a_directory_is_not_a_prefix_of_its_neighbour() {
    let tree = Tree::from_files([("a/x", ""), ("a-b/x", ""), ("ab/x", "")]).unwrap();
    assert_eq!(tree.under("a").count(), 1);
    assert_eq!(tree.under("b").count(), 0);
}

#[test]
fn the_digest_knows_paths_and_contents_and_not_the_order_of_arrival() {
    let digest = |files: &[(&str, &str)]| Tree::from_files(files.iter().copied()).unwrap().sha256();
    let first = digest(&[("a", "1"), ("b", "2")]);
    assert_eq!(first, digest(&[("b", "2"), ("a", "1")]));
    for other in [[("a", "1"), ("b", "3")], [("a", "1"), ("c", "2")], [("a", "12"), ("b", "")]] {
        assert_ne!(first, digest(&other));
    }
}

#[test]
fn paths_are_relative_plain_short_and_shallow() {
    let long = format!("{}/{}", "a".repeat(511), "b".repeat(512));
    let deep = vec!["d"; 32].join("/");
    for good in ["a", ".agents/plugins/marketplace.json", "a b/ü.md", "...", &long, &deep] {
        assert!(one(good).is_ok(), "{good}");
    }
    let (long, deep) = (format!("{long}c"), format!("{deep}/d"));
    for bad in
        ["", "/", "/etc/passwd", "a/", "a//b", "./a", "a/./b", "..", "a/../b", "a\\b", "a\0b", &long, &deep]
    {
        let message = message(one(bad));
        assert!(message.len() < 400, "{message}");
    }
}

#[test]
fn a_file_occurs_once_and_is_no_directory() {
    for bad in [["a", "b", "a"], ["a", "a/b", "c"], ["a/b", "c", "a"]] {
        assert!(Tree::from_files(bad.map(|p| (p, ""))).is_err(), "{bad:?}");
    }
}

#[test]
fn links_and_devices_are_refused_and_named() {
    for (kind, word) in [(Kind::Symlink, "symbolic link"), (Kind::Special, "neither")] {
        let message = message(TreeBuilder::new().push("d/link", kind, b""));
        assert!(message.contains("`d/link`") && message.contains(word), "{message}");
    }
}

#[test]
fn ten_thousand_files_fit_and_one_more_does_not() {
    let mut builder = TreeBuilder::new();
    for n in 0..MAX_FILES {
        builder.push(&format!("{n}"), Kind::File, b"").unwrap();
    }
    assert!(message(builder.push("more", Kind::File, b"")).contains("10,000 files"));
}

#[test]
fn two_hundred_fifty_six_mebibytes_fit_and_one_more_byte_does_not() {
    let mut builder = TreeBuilder::new();
    let chunk = vec![0; 16 * 1024 * 1024];
    for _ in 0..16 {
        builder.push("big", Kind::File, &chunk).unwrap();
    }
    assert!(message(builder.push("more", Kind::File, b"x")).contains("256 MiB"));
}

#[test]
fn json_is_kept_up_to_a_mebibyte() {
    let kept = |length| {
        let tree = Tree::from_files([("a.json", vec![b' '; length])]).unwrap();
        tree.file("a.json").unwrap().content.is_some()
    };
    assert!(kept(MAX_JSON));
    assert!(!kept(MAX_JSON + 1));
}

#[test]
fn an_empty_directory_is_refused() {
    assert!(message(TreeBuilder::new().finish()).contains("empty"));
}

#[test]
fn a_digest_reads_back_from_its_hex() {
    let digest = Digest(hash::sha256(b"x"));
    let json = serde_json::to_string(&digest).unwrap();
    assert_eq!(serde_json::from_str::<Digest>(&json).unwrap(), digest);
    for bad in ["\"\"", "\"zz\"", &format!("\"{}\"", "é".repeat(32)), "1"] {
        assert!(serde_json::from_str::<Digest>(bad).is_err());
    }
}

proptest! {
    #[test]
    fn no_path_and_no_bytes_panic(pieces in prop::collection::vec((".{0,40}|([a-c./]{0,8})", 0..3_u8, prop::collection::vec(any::<u8>(), 0..20)), 0..20)) {
        let mut builder = TreeBuilder::new();
        for (path, kind, bytes) in pieces {
            let kind = match kind { 0 => Kind::Symlink, 1 => Kind::Special, _ => Kind::File };
            if builder.push(&path, kind, &bytes).is_ok() {
                prop_assert!(check_path(&path).is_ok());
            }
        }
        let _ = builder.finish();
    }
}
