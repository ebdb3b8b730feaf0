//! Copies of logs: whole, brought up to date, checked; and what is refused.

use std::{fs, path::Path};

use super::{
    Ran,
    fake::LINK,
    log::{Served, entry, files, signer},
    provost,
};
use crate::Exit;
use tlog::Signer as _;

async fn mirror(address: &str, dir: &Path) -> Ran {
    provost(&format!("audit mirror acme --out {} --address {address}", dir.display()))
        .env("PROVOST_TOKEN", "pv_pat_x")
        .run()
        .await
}

async fn verify(dir: &Path, more: &str) -> Ran {
    provost(&format!("audit verify {}{more}", dir.display())).run().await
}

fn shows(ran: &Ran, exit: Exit, text: &str) {
    assert_eq!(ran.exit, exit, "{ran:?}");
    assert!(format!("{}{}", ran.out, ran.err).contains(text), "`{text}` is not in {ran:?}");
}

#[tokio::test]
async fn a_copy_is_whole_and_verifies_without_a_server() {
    let (served, address) = Served::start().await;
    served.serve(70_000);
    let dir = tempfile::tempdir().unwrap();
    let copied = mirror(&address, dir.path()).await;
    assert_eq!(copied.exit, Exit::OK, "{copied:?}");
    assert!(copied.err.contains("note: the server itself named the key"), "{}", copied.err);
    let expected = files(&(0..70_000).map(entry).collect::<Vec<_>>(), &[1]);
    for (path, bytes) in &expected {
        assert_eq!(&fs::read(dir.path().join(path)).unwrap(), bytes, "{path}");
    }
    let verified = verify(dir.path(), "").await;
    shows(&verified, Exit::OK, "VERIFIED");
    assert!(
        verified.out.contains("70000 hashed") && verified.out.contains("good, by provost.example/tenants/7+")
    );
    let json = verify(dir.path(), " -o json").await;
    let json: serde_json::Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!(
        (&json["size"], &json["entries"], &json["pruned"]),
        (&70_000.into(), &70_000.into(), &0.into())
    );
    shows(&verify(dir.path(), &format!(" --vkey {}", signer(1).vkey())).await, Exit::OK, "VERIFIED");
    shows(
        &verify(dir.path(), &format!(" --vkey {}", signer(2).vkey())).await,
        Exit::UNVERIFIED,
        "no signature by a known key",
    );
    shows(
        &verify(dir.path(), " --origin provost.example/tenants/8").await,
        Exit::UNVERIFIED,
        "this is the log",
    );
}

#[tokio::test]
async fn a_copy_takes_only_what_is_new() {
    let (served, address) = Served::start().await;
    let dir = tempfile::tempdir().unwrap();
    for size in [0, 1, 255, 256, 300, 300, 700, 66_000] {
        served.serve(size);
        let copied = mirror(&address, dir.path()).await;
        assert_eq!(copied.exit, Exit::OK, "{size}: {copied:?}");
        shows(&verify(dir.path(), "").await, Exit::OK, &format!("size {size},"));
        served.asked();
    }
    served.serve(66_500);
    mirror(&address, dir.path()).await;
    let asked = served.asked();
    let bundles: Vec<_> = asked.iter().filter(|path| path.starts_with("tile/entries/")).collect();
    assert_eq!(bundles, ["tile/entries/257", "tile/entries/258", "tile/entries/259.p/196"], "{asked:?}");
    assert!(asked.len() < 16, "{asked:?}");
    assert!(!dir.path().join("tile/0/257.p").exists(), "what is superseded goes");
}

#[tokio::test]
async fn an_interrupted_copy_goes_on() {
    let (served, address) = Served::start().await;
    served.serve(2_000);
    let dir = tempfile::tempdir().unwrap();
    served.change(|files| {
        files.remove("tile/entries/005");
    });
    let broken = mirror(&address, dir.path()).await;
    shows(&broken, Exit::UNVERIFIED, "`tile/entries/005` is missing");
    assert!(!dir.path().join("checkpoint").exists(), "the checkpoint comes last");
    shows(&verify(dir.path(), "").await, Exit::USAGE, "holds no `vkey`");
    // one of the files that were left is damaged: it is not believed
    fs::write(dir.path().join("tile/entries/001"), fs::read(dir.path().join("tile/entries/002")).unwrap())
        .unwrap();
    served.serve(2_000);
    served.asked();
    shows(&mirror(&address, dir.path()).await, Exit::OK, "2000");
    shows(&verify(dir.path(), "").await, Exit::OK, "2000 hashed");
}

#[tokio::test]
async fn a_rewritten_log_is_refused_and_the_evidence_kept() {
    let (served, address) = Served::start().await;
    let dir = tempfile::tempdir().unwrap();
    served.serve(600);
    mirror(&address, dir.path()).await;
    let before = fs::read(dir.path().join("checkpoint")).unwrap();
    let mut rewritten: Vec<_> = (0..900).map(entry).collect();
    rewritten[17] = b"never happened".to_vec();
    let rewritten = files(&rewritten, &[1]);
    served.put(rewritten.clone());
    shows(&mirror(&address, dir.path()).await, Exit::UNVERIFIED, "does not extend the copy's");
    assert_eq!(fs::read(dir.path().join("checkpoint")).unwrap(), before);
    assert_eq!(fs::read(dir.path().join("checkpoint.refused")).unwrap(), rewritten["checkpoint"]);
    shows(&verify(dir.path(), "").await, Exit::OK, "600 hashed");
    served.serve(599);
    shows(&mirror(&address, dir.path()).await, Exit::UNVERIFIED, "does not extend the copy's (size 600)");
    let mut other: Vec<_> = (0..600).map(entry).collect();
    other[599] = b"never happened".to_vec();
    served.put(files(&other, &[1]));
    shows(&mirror(&address, dir.path()).await, Exit::UNVERIFIED, "does not extend");
}

#[tokio::test]
async fn another_key_is_refused_unless_it_is_given() {
    let (served, address) = Served::start().await;
    let dir = tempfile::tempdir().unwrap();
    served.serve(300);
    mirror(&address, dir.path()).await;
    let all: Vec<_> = (0..400).map(entry).collect();
    served.put(files(&all, &[2]));
    shows(&mirror(&address, dir.path()).await, Exit::UNVERIFIED, "give the new one with --vkey");
    // while both sign, the key that is known is enough
    served.put(files(&all, &[2, 1]));
    shows(&mirror(&address, dir.path()).await, Exit::OK, "400");
    served.put(files(&(0..500).map(entry).collect::<Vec<_>>(), &[2]));
    let line = format!(
        "audit mirror acme --out {} --address {address} --vkey {}",
        dir.path().display(),
        signer(2).vkey()
    );
    shows(&provost(&line).env("PROVOST_TOKEN", "pv_pat_x").run().await, Exit::OK, "500");
    shows(&mirror(&address, dir.path()).await, Exit::OK, "500");
}

#[tokio::test]
async fn what_the_server_alters_never_becomes_a_copy() {
    let (served, address) = Served::start().await;
    for path in ["tile/entries/001", "checkpoint"] {
        let dir = tempfile::tempdir().unwrap();
        served.serve(600);
        served.change(|files| {
            let bytes = files.get_mut(path).unwrap();
            let at = bytes.len() / 2;
            bytes[at] ^= 1;
        });
        assert_eq!(mirror(&address, dir.path()).await.exit, Exit::UNVERIFIED, "{path}");
        assert!(!dir.path().join("checkpoint").exists());
    }
}

#[tokio::test]
async fn pruned_entries_leave_their_hashes() {
    let (served, address) = Served::start().await;
    let dir = tempfile::tempdir().unwrap();
    served.serve(1_000);
    served.change(|files| {
        files.remove("tile/entries/000");
        files.remove("tile/entries/001");
    });
    shows(
        &mirror(&address, dir.path()).await,
        Exit::OK,
        "512 events were pruned by retention; verify with --minimum-index 512",
    );
    shows(&verify(dir.path(), "").await, Exit::UNVERIFIED, "`tile/entries/000` is missing");
    let verified = verify(dir.path(), " --minimum-index 512").await;
    shows(&verified, Exit::OK, "512 events are gone");
    assert!(verified.out.contains("488 hashed"), "{}", verified.out);
}

#[tokio::test]
async fn a_link_needs_no_token_and_stays_out_of_the_output() {
    let (served, address) = Served::start().await;
    served.serve(300);
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().display();
    let path = format!("/audit/v1/link/{LINK}");
    for url in [path.clone(), format!("{address}{path}")] {
        let ran = provost(&format!("audit mirror --url {url} --out {out} --address {address}"))
            .env("PROVOST_TOKEN", "pv_pat_x")
            .run()
            .await;
        shows(&ran, Exit::OK, "300");
        assert!(!format!("{ran:?}").contains(LINK), "{ran:?}");
    }
    let wrong = provost(&format!("audit mirror --url {path}x --out {out} --address {address}")).run().await;
    shows(&wrong, Exit::NOT_FOUND, "HTTP 404");
    assert!(!format!("{wrong:?}").contains(LINK), "{wrong:?}");
    let refused = provost(&format!("audit mirror acme --out {out} --address {address}")).run().await;
    shows(&refused, Exit::DENIED, "CREDENTIAL_MISSING");
    assert_eq!(provost(&format!("audit mirror --url pvl_x --out {out}")).run().await.exit, Exit::USAGE);
}

#[tokio::test]
async fn the_meta_log_is_copied_with_a_token() {
    let (served, address) = Served::start().await;
    served.serve(300);
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().display();
    let ran = provost(&format!("audit mirror --meta --out {out} --address {address}"))
        .env("PROVOST_TOKEN", "pv_pat_x")
        .run()
        .await;
    shows(&ran, Exit::OK, "300");
    let both = provost(&format!("audit mirror acme --meta --out {out} --address {address}")).run().await;
    assert_eq!(both.exit, Exit::USAGE);
}

/// The first bad index or tile is named, whatever was altered.
#[tokio::test]
async fn verify_names_what_is_bad() {
    let (served, address) = Served::start().await;
    served.serve(70_000);
    let dir = tempfile::tempdir().unwrap();
    mirror(&address, dir.path()).await;
    let at = |path: &str| dir.path().join(path);
    for (path, byte, said) in [
        ("tile/entries/017", 2, "entry 4352 in `tile/entries/017` does not hash to its leaf in the tree"),
        ("tile/entries/273.p/112", 4, "entry 69888 in"),
        ("tile/0/100", 0, "tile `tile/0/100` does not hash to what the tile above says"),
        ("tile/1/000", 31, "tile `tile/1/000` does not hash to what the tile above says"),
        ("tile/2/000.p/1", 31, "tile `tile/2/000.p/1` does not lead to the root"),
        ("checkpoint", 40, "`checkpoint`: "),
    ] {
        let good = fs::read(at(path)).unwrap();
        let mut bad = good.clone();
        bad[byte] ^= 4;
        fs::write(at(path), &bad).unwrap();
        shows(&verify(dir.path(), "").await, Exit::UNVERIFIED, said);
        fs::write(at(path), &good).unwrap();
    }
    fs::remove_file(at("tile/0/200")).unwrap();
    shows(&verify(dir.path(), "").await, Exit::UNVERIFIED, "`tile/0/200` is missing");
    shows(&verify(Path::new("/nonexistent"), "").await, Exit::USAGE, "--vkey");
}
