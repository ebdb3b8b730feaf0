use std::io::{Seek as _, Write as _};

use flate2::{Compression, write::GzEncoder};
use proptest::prelude::*;
use zip::{ZipWriter, write::SimpleFileOptions};

use super::*;

const LISTING: &str = ".agents/plugins/marketplace.json";

fn spooled(bytes: &[u8]) -> File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    file
}

fn unpacked(bytes: &[u8]) -> Result<Tree> {
    unpack(spooled(bytes), None)
}

fn message(result: Result<Tree>) -> String {
    match result.map(|_| ()) {
        Err(Error::Marketplace(message)) => message,
        other => panic!("{other:?}"),
    }
}

/// A tar of these entries: path, type and content.
fn tarred(entries: &[(&str, EntryType, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, kind, content) in entries {
        let mut header = tar::Header::new_ustar();
        // as they are, where the library would refuse them
        let name = header.as_old_mut();
        name.name[..path.len()].copy_from_slice(path.as_bytes());
        header.set_entry_type(*kind);
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        if matches!(kind, EntryType::Symlink | EntryType::Link) {
            header.set_link_name("/etc/passwd").unwrap();
        }
        header.set_cksum();
        builder.append(&header, *content).unwrap();
    }
    builder.into_inner().unwrap()
}

fn plain<'c>(entries: &[(&'c str, &'c str)]) -> Vec<(&'c str, EntryType, &'c [u8])> {
    entries.iter().map(|(path, content)| (*path, EntryType::Regular, content.as_bytes())).collect()
}

fn gzipped(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zipped(entries: &[(&str, &str)]) -> Vec<u8> {
    let mut writer = ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (path, content) in entries {
        if let Some(directory) = path.strip_suffix('/') {
            writer.add_directory(directory, SimpleFileOptions::default()).unwrap();
        } else {
            writer.start_file(*path, SimpleFileOptions::default()).unwrap();
            writer.write_all(content.as_bytes()).unwrap();
        }
    }
    writer.finish().unwrap().into_inner()
}

const FILES: [(&str, &str); 3] = [(LISTING, "{}"), ("a/big.md", "text"), ("a/empty", "")];

#[test]
fn the_same_files_are_the_same_tree_however_they_are_packed() {
    let files = Tree::from_files(FILES).unwrap();
    let tar = tarred(&plain(&FILES));
    let below: Vec<_> = FILES.iter().map(|(path, content)| (format!("root/{path}"), *content)).collect();
    let below: Vec<_> = below.iter().map(|(path, content)| (path.as_str(), *content)).collect();
    let dotted: Vec<_> = FILES.iter().map(|(path, content)| (format!("./{path}"), *content)).collect();
    let mut dotted = plain(&dotted.iter().map(|(p, c)| (p.as_str(), *c)).collect::<Vec<_>>());
    dotted.insert(0, ("./", EntryType::Directory, b""));
    dotted.insert(1, (".git/", EntryType::Directory, b""));
    dotted.insert(2, (".git/config", EntryType::Regular, b"left out"));
    dotted.push(("__MACOSX/._x", EntryType::Symlink, b""));
    for archive in [
        tar.clone(),
        gzipped(&tar),
        zipped(&FILES),
        zipped(&below),
        gzipped(&tarred(&plain(&below))),
        tarred(&dotted),
    ] {
        let tree = unpacked(&archive).unwrap();
        assert_eq!(tree.sha256(), files.sha256());
        assert!(tree.file(LISTING).unwrap().content.is_some());
    }
}

#[test]
fn a_directory_is_taken_for_the_root_only_when_everything_is_in_it() {
    let two = [("one/.agents/plugins/marketplace.json", "{}"), ("two/x", "")];
    assert!(unpacked(&zipped(&two)).unwrap().file(two[0].0).is_some());
    // a marketplace without plugins has its file at the root, and nothing else
    assert!(unpacked(&zipped(&FILES[..1])).unwrap().file(LISTING).is_some());
    assert!(unpacked(&zipped(&[("file", "")])).unwrap().file("file").is_some());
}

#[test]
fn what_no_directory_may_hold_is_refused_and_named() {
    let (file, dir) = (EntryType::Regular, EntryType::Directory);
    let deep = vec!["d"; 33].join("/");
    let table: [(&str, EntryType, &str); 12] = [
        ("../x", file, "`../x`"),
        ("a/../../x", file, "`a/../../x`"),
        ("/etc/passwd", file, "`/etc/passwd`"),
        ("a//b", file, "`a//b`"),
        ("a\\b", file, "backslash"),
        (&deep, file, "32 levels"),
        ("../", dir, "`..`"),
        ("link", EntryType::Symlink, "symbolic link"),
        ("link", EntryType::Link, "hard link"),
        ("null", EntryType::Char, "neither a file nor a directory"),
        ("disk", EntryType::Block, "neither a file nor a directory"),
        ("pipe", EntryType::Fifo, "neither a file nor a directory"),
    ];
    for (path, kind, said) in table {
        let mut entries = plain(&FILES);
        entries.push((path, kind, b""));
        let tar = tarred(&entries);
        for archive in [gzipped(&tar), tar] {
            let told = message(unpacked(&archive));
            assert!(told.contains(said), "{path}: {told}");
        }
    }
    for (twice, said) in [([("a", "1"), ("a", "1")], "twice"), ([("a", ""), ("a/b", "")], "both a file")] {
        let told = message(unpacked(&tarred(&plain(&twice))));
        assert!(told.contains(said), "{told}");
    }
}

/// A zip of one entry, with its bytes replaced everywhere.
fn forged(replace: &[(&[u8], &[u8])], entries: &[(&str, &str)]) -> Vec<u8> {
    let mut bytes = zipped(entries);
    for (old, new) in replace {
        assert_eq!(old.len(), new.len());
        let places: Vec<_> =
            bytes.windows(old.len()).enumerate().filter(|(_, w)| w == old).map(|(at, _)| at).collect();
        assert!(!places.is_empty());
        for at in places {
            bytes[at..at + old.len()].copy_from_slice(new);
        }
    }
    bytes
}

#[test]
fn what_no_directory_may_hold_is_refused_in_a_zip_too() {
    for (name, bad, said) in [
        ("aa/b", "../b", "`../b`"),
        ("aetc", "/etc", "`/etc`"),
        ("aaab", "a\\ab", "backslash"),
        ("a1", "a2", "twice"),
    ] {
        let archive = forged(&[(name.as_bytes(), bad.as_bytes())], &[("a2", ""), (name, "x")]);
        let told = message(unpacked(&archive));
        assert!(told.contains(said), "{bad}: {told}");
    }
    let mut writer = ZipWriter::new(std::io::Cursor::new(Vec::new()));
    writer.add_symlink("link", "/etc/passwd", SimpleFileOptions::default()).unwrap();
    let told = message(unpacked(&writer.finish().unwrap().into_inner()));
    assert!(told.contains("`link` is a symbolic link"), "{told}");
}

#[test]
fn a_bomb_is_refused_by_what_it_says_and_by_what_it_is() {
    const LENGTH: u32 = 0x0001_2345;
    let content = "0".repeat(LENGTH as usize);
    for (claim, said) in [(300 * 1024 * 1024, "256 MiB"), (1_000, "`bomb` in the archive"), (0, "`bomb`")] {
        let claim: u32 = claim;
        let size = (&LENGTH.to_le_bytes()[..], &claim.to_le_bytes()[..]);
        let told = message(unpacked(&forged(&[size], &[("bomb", &content)])));
        assert!(told.contains(said), "{claim}: {told}");
    }
    // 300 MiB of zeros in a few hundred KiB
    let mut header = tar::Header::new_ustar();
    header.set_path("bomb").unwrap();
    header.set_size(300 * 1024 * 1024);
    header.set_cksum();
    let mut members = gzipped(header.as_bytes());
    members.extend(gzipped(&vec![0; 1024 * 1024]).repeat(300));
    assert!(members.len() < 3 * 1024 * 1024);
    assert!(message(unpacked(&members)).contains("256 MiB"));
    // many files, each of which fits, and what is left out is not read without end either
    let mebibytes = vec![0; 100 * 1024 * 1024];
    for names in [["a", "b", "c"], [".git/a", ".git/b", ".git/c"]] {
        let three = names.map(|path| (path, EntryType::Regular, mebibytes.as_slice()));
        assert!(message(unpacked(&tarred(&three))).contains("256 MiB"));
    }
    // a name of 8 MiB
    let name = vec![b'n'; 8 * 1024 * 1024];
    let long = tarred(&[("././@LongLink", EntryType::GNULongName, &name), ("x", EntryType::Regular, b"")]);
    assert!(message(unpacked(&gzipped(&long))).contains("holds more than it says"));
}

#[test]
fn more_entries_than_a_marketplace_has_are_refused() {
    let names: Vec<_> = (0..=MAX_ENTRIES).map(|n| format!("d{n}/")).collect();
    let entries: Vec<_> = names.iter().map(|name| (name.as_str(), EntryType::Directory, &b""[..])).collect();
    assert!(message(unpacked(&tarred(&entries))).contains("20,000 entries"));
    let entries: Vec<_> = names.iter().map(|name| (name.as_str(), "")).collect();
    assert!(message(unpacked(&zipped(&entries))).contains("20,000 entries"));
}

#[test]
fn whatever_is_cut_off_is_refused() {
    let tar = tarred(&plain(&FILES));
    let noise: Vec<_> = (0..5_000_u32).map(|n| n.wrapping_mul(2_654_435_761).to_string()).collect();
    let noise = noise.concat();
    let big = tarred(&plain(&[(LISTING, "{}"), ("noise", &noise)]));
    // in a header, behind an entry, in a file
    for cut in [300, 512, 1_024 + 100, 512 * 5] {
        message(unpacked(&tar[..cut]));
    }
    for whole in [gzipped(&big), zipped(&[(LISTING, "{}"), ("noise", &noise)])] {
        assert!(unpacked(&whole).is_ok());
        for part in 1..16 {
            message(unpacked(&whole[..whole.len() * part / 16]));
        }
        message(unpacked(&whole[..whole.len() - 1]));
    }
    let mut wrong = zipped(&[(LISTING, "{}"), ("noise", &noise)]);
    let at = wrong.len() / 2;
    wrong[at] ^= 1;
    message(unpacked(&wrong));
}

#[test]
fn garbage_is_no_archive_and_one_format_no_other() {
    for bytes in [&b""[..], b"x", b"PK", &[0; 1024], b"PK\x03\x04", &[0x1f, 0x8b]] {
        message(unpacked(bytes));
    }
    let (tar, zip) = (tarred(&plain(&FILES)), zipped(&FILES));
    for (bytes, packing) in [
        (&tar, Packing::Zip),
        (&tar, Packing::TarGz),
        (&zip, Packing::Tar),
        (&zip, Packing::TarGz),
        (&gzipped(&tar), Packing::Tar),
    ] {
        message(unpack(spooled(bytes), Some(packing)));
    }
    let mut file = spooled(&tar);
    file.seek(SeekFrom::Start(3)).unwrap();
    assert!(unpack(file, Some(Packing::Tar)).is_ok());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn no_damage_panics(format in 0..3_u8, at in 0_usize..4_000, with in any::<u8>(), cut in 0_usize..4_000) {
        let tar = tarred(&plain(&FILES));
        let mut bytes = match format { 0 => tar, 1 => gzipped(&tar), _ => zipped(&FILES) };
        let length = bytes.len();
        bytes[at % length] = with;
        bytes.truncate(length.saturating_sub(cut % 3 * (cut / 3)).max(1));
        let _ = unpacked(&bytes);
    }
}
