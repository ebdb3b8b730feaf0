//! The same marketplaces as archives, and archives that are refused.

use std::io::Write as _;

use flate2::{Compression, write::GzEncoder};
use proto::catalog::v1::{
    ArchiveFormat, ImportArchive, ImportFile, ImportHeader, ImportMarketplaceRequest,
    ImportMarketplaceResponse, Stage, catalog_service_client::CatalogServiceClient,
    import_marketplace_request::Part,
};
use serde_json::json;
use tests::{World, both_engines, data, market};
use tonic::{Code, Status};
use zip::{ZipWriter, write::SimpleFileOptions};

use super::{
    ids, plugin, plugins,
    published::{Published, Reported},
    stored,
};
use crate::errors::reason;

/// A tar.gz of files, all of them below a directory.
fn tar_gz(files: &market::Files, below: &str) -> Vec<u8> {
    let mut builder = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    for (path, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, format!("{below}{path}"), content.as_slice()).unwrap();
    }
    builder.into_inner().unwrap().finish().unwrap()
}

fn zipped(files: &market::Files) -> Vec<u8> {
    let mut writer = ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (path, content) in files {
        writer.start_file(path.as_str(), SimpleFileOptions::default()).unwrap();
        writer.write_all(content).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

/// A tar with one more entry of some type.
fn tar_with(files: &market::Files, path: &str, kind: tar::EntryType) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        builder.append_data(&mut header, path, content.as_slice()).unwrap();
    }
    let mut header = tar::Header::new_ustar();
    header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
    header.set_entry_type(kind);
    header.set_size(0);
    if !kind.is_file() {
        header.set_link_name("/etc/passwd").unwrap();
    }
    header.set_cksum();
    builder.append(&header, &b""[..]).unwrap();
    builder.into_inner().unwrap()
}

fn zip_with_link(files: &market::Files) -> Vec<u8> {
    let mut writer = ZipWriter::new_append(std::io::Cursor::new(zipped(files))).unwrap();
    writer.add_symlink("plugins/kit/link", "/etc/passwd", SimpleFileOptions::default()).unwrap();
    writer.finish().unwrap().into_inner()
}

/// 300 MiB of zeros in a few hundred KiB, behind files.
fn bomb(files: &market::Files) -> Vec<u8> {
    let gzipped = |bytes: &[u8]| {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    };
    let mut archive = Vec::new();
    for (path, content) in files {
        let mut header = tar::Header::new_ustar();
        header.set_path(path).unwrap();
        header.set_size(content.len() as u64);
        header.set_cksum();
        archive.extend_from_slice(header.as_bytes());
        archive.extend_from_slice(content);
        archive.resize(archive.len().next_multiple_of(512), 0);
    }
    let mut header = tar::Header::new_ustar();
    header.set_path("plugins/kit/bomb").unwrap();
    header.set_size(300 << 20);
    header.set_cksum();
    archive.extend_from_slice(header.as_bytes());
    // gzips behind one another are one
    let mut members = gzipped(&archive);
    members.extend(gzipped(&vec![0; 1 << 20]).repeat(300));
    assert!(members.len() < 3 << 20);
    members
}

/// Sends 300 pieces of a mebibyte, made one by one while they are taken.
async fn flood(
    by: &tests::site::Caller,
    part: fn(Vec<u8>) -> Part,
) -> Result<ImportMarketplaceResponse, Status> {
    let pieces = (0..300_u32).map(move |_| part(vec![7; 1 << 20]));
    let parts = std::iter::once(Part::Header(ImportHeader::default())).chain(pieces);
    let messages = parts.map(|part| ImportMarketplaceRequest { part: Some(part) });
    let request = by.ask(tokio_stream::iter(messages));
    Ok(CatalogServiceClient::new(by.channel.clone()).import_marketplace(request).await?.into_inner())
}

both_engines! {
    async fn the_real_marketplaces_are_the_same_from_a_directory_a_tar_and_a_zip(site: Site) {
        let world = World::build(site).await;
        for (directory, id) in [("codex-official", "openai-curated"), ("claude-knowledge-work", "knowledge-work-plugins")] {
            let files = data::files(&data::marketplace(directory));
            let published = Published::read(&files);
            let (tar, zip) = (tar_gz(&files, &format!("{directory}/")), zipped(&files));
            let send = async |archive: &[u8]| market::send_archive(&world.admin, ImportHeader::default(), archive).await.unwrap();
            let first = send(&tar).await;
            let skipped = first.skipped.iter().map(|s| s.entry.as_str()).collect();
            Reported { plugins: first.plugins, apps: first.apps, skills: first.skills, skipped }.covers(&published);
            let listed = plugins(&world.owner, id, "", "plugin_id", false).await;
            assert_eq!(listed.len(), first.added.len());
            let before = stored(&world.site).await;
            let nothing = ImportMarketplaceResponse { added: Vec::new(), diffs: Vec::new(), ..first };
            assert_eq!(send(&zip).await, nothing);
            assert_eq!(market::import(&world.admin, &files).await.unwrap(), nothing);
            assert_eq!(stored(&world.site).await, before);
        }
    }

    async fn a_bad_archive_is_refused_whole_and_nothing_of_it_stays(site: Site) {
        let world = World::build(site).await;
        market::import(&world.admin, &market::small(&["kit"])).await.unwrap();
        let before = stored(&world.site).await;
        let files = market::small(&["kit", "new"]);
        let (tar, zip) = (tar_gz(&files, ""), zipped(&files));
        for (archive, said) in [
            (tar[..tar.len() / 2].to_vec(), "archive"),
            (zip[..zip.len() - 30].to_vec(), "archive"),
            (b"neither this nor that".to_vec(), "neither a tar"),
            (Vec::new(), "empty"),
            (tar_with(&files, "../outside", tar::EntryType::Regular), "../outside"),
            (tar_with(&files, "/etc/passwd", tar::EntryType::Regular), "/etc/passwd"),
            (tar_with(&files, market::LISTING, tar::EntryType::Regular), "twice"),
            (tar_with(&files, "plugins/kit/link", tar::EntryType::Symlink), "symbolic link"),
            (tar_with(&files, "plugins/kit/link", tar::EntryType::Link), "hard link"),
            (tar_with(&files, "plugins/kit/null", tar::EntryType::Char), "neither a file nor"),
            (zip_with_link(&files), "symbolic link"),
            (bomb(&files), "256 MiB"),
            (zipped(&market::Files::from([("readme.md".to_owned(), Vec::new())])), market::LISTING),
        ] {
            let refused = market::send_archive(&world.admin, ImportHeader::default(), &archive).await.unwrap_err();
            let told = (refused.code(), reason(&refused));
            assert_eq!(told, (Code::InvalidArgument, "INVALID_MARKETPLACE".to_owned()), "{said}: {refused:?}");
            assert!(refused.message().contains(said), "{said}: {}", refused.message());
            assert_eq!(stored(&world.site).await, before, "{said}");
        }
    }

    async fn three_hundred_mebibytes_are_refused_while_they_arrive(site: Site) {
        let world = World::build(site).await;
        let file = |content| Part::File(ImportFile { path: "plugins/kit/model.bin".to_owned(), content, symlink: false });
        let archive = |content| Part::Archive(ImportArchive { format: ArchiveFormat::Tar.into(), content });
        for part in [file as fn(Vec<u8>) -> Part, archive] {
            let refused = flood(&world.admin, part).await.unwrap_err();
            assert_eq!((refused.code(), reason(&refused).as_str()), (Code::InvalidArgument, "INVALID_MARKETPLACE"));
            assert!(refused.message().contains("256 MiB"), "{}", refused.message());
        }
        assert_eq!(stored(&world.site).await, "");
    }

    async fn unicode_and_empty_strings_in_every_field_come_in_or_are_named(site: Site) {
        let world = World::build(site).await;
        let odd = ["", " ", "日報 ✓", "e\u{301}\u{202e}x", "a\u{0}b\u{7f}\n", "../../etc/passwd", "'; DROP TABLE plugin; --", "%_*\\\""];
        for (at, text) in odd.into_iter().enumerate() {
            let mut files = market::small(&["kit"]);
            market::put(&mut files, market::LISTING, &json!({
                "name": "vendor", "interface": {"displayName": text},
                "plugins": [
                    {"name": "kit", "source": "./plugins/kit", "category": text, "policy": {"installation": text, "products": [text]}},
                    {"name": text, "source": "./plugins/kit"},
                ],
            }));
            market::put(&mut files, "plugins/kit/.codex-plugin/plugin.json", &json!({
                "name": text, "version": text, "description": text,
                "interface": {"displayName": text, "shortDescription": text, "category": text},
            }));
            market::put(&mut files, "plugins/kit/.app.json", &json!({"apps": {text: {"id": "connector_1"}, "fine": {"id": text}}}));
            market::put(&mut files, "plugins/kit/.mcp.json", &json!({"mcpServers": {text: {"command": text, "args": [text]}}}));
            files.insert("plugins/kit/fresh".to_owned(), at.to_string().into_bytes());
            let report = market::import(&world.admin, &files).await.unwrap();
            assert_eq!(report.plugins, 1, "{text:?}: {report:?}");
            assert!(report.skipped.iter().any(|s| s.entry == text || s.entry.starts_with("plugins[1]")), "{text:?}: {report:?}");
            let kit = plugin(&world.owner, "kit").await;
            let shown = [&kit.display_name, &kit.description, &kit.category, &kit.version];
            assert!(shown.iter().all(|s| !s.chars().any(char::is_control)), "{shown:?}");
            for app in &kit.apps {
                assert!(!app.key.contains('/') && !app.connector_id.chars().any(char::is_control), "{app:?}");
            }
            // and the lists find it again
            for field in ["description", "category", "text"] {
                let found = plugins(&world.owner, "vendor", &format!("{field} : {}", json!(kit.description)), "", false).await;
                assert_eq!(ids(found.iter().map(|p| &p.name)), ["kit"], "{field} {text:?}");
            }
        }
        let before = stored(&world.site).await;
        for skills in ["../../../etc", "/etc", "a\\b"] {
            let mut files = market::small(&["kit"]);
            market::put(&mut files, "plugins/kit/.codex-plugin/plugin.json", &json!({"name": "kit", "skills": [skills]}));
            let refused = market::import(&world.admin, &files).await.unwrap_err();
            assert!(refused.message().contains("outside the directory"), "{}", refused.message());
            assert_eq!(stored(&world.site).await, before);
        }
    }

    async fn a_skill_that_is_named_to_lie_elsewhere_is_refused_or_named_as_it_lies(site: Site) {
        let world = World::build(site).await;
        let before = stored(&world.site).await;
        // as a path: it leads out of the directory
        for path in ["plugins/kit/skills/../../../etc/SKILL.md", "plugins/kit/skills/..\\up/SKILL.md", "../skills/up/SKILL.md"] {
            let mut files = market::small(&["kit"]);
            files.insert(path.to_owned(), b"---\nname: up\n---\n".to_vec());
            let refused = market::import(&world.admin, &files).await.unwrap_err();
            assert_eq!((refused.code(), reason(&refused).as_str()), (Code::InvalidArgument, "INVALID_MARKETPLACE"), "{path}");
            assert_eq!(stored(&world.site).await, before, "{path}");
        }
        // as a word in the file: a skill is called as its directory is
        let mut files = market::small(&["kit"]);
        files.insert("plugins/kit/skills/read/SKILL.md".to_owned(), b"---\nname: ../../admin\ndescription: x\n---\n".to_vec());
        market::import(&world.admin, &files).await.unwrap();
        assert_eq!(plugin(&world.owner, "kit").await.skills, ["read"]);
    }

    async fn templated_connectors_are_known_as_such(site: Site) {
        let world = World::build(site).await;
        let mut files = market::small(&["kit"]);
        market::put(&mut files, "plugins/kit/.app.json", &json!({"apps": {
            "a": {"id": "REPLACE_WITH_YOUR_ID"}, "b": {"id": "templated_apps_crm"}, "c": {"id": "connector_1"},
        }}));
        let archive = tar_gz(&files, "vendor-main/");
        let header = ImportHeader { initial_stage: Stage::Preview.into(), ..Default::default() };
        market::send_archive(&world.admin, header, &archive).await.unwrap();
        let kit = plugin(&world.owner, "kit").await;
        let templated: Vec<_> = kit.apps.iter().map(|a| (a.key.as_str(), a.templated)).collect();
        assert_eq!((templated, kit.stage()), (vec![("a", true), ("b", true), ("c", false)], Stage::Preview));
    }
}
