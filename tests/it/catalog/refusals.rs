//! What is refused, and that nothing of it stays.

use std::time::Duration;

use proto::catalog::v1::{
    ImportFile, ImportHeader, ImportMarketplaceRequest, catalog_service_client::CatalogServiceClient,
    import_marketplace_request::Part,
};
use serde_json::{Value, json};
use tests::{World, both_engines, market, site::Caller};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status};

use super::stored;
use crate::errors::reason;

fn file(path: &str) -> ImportFile {
    ImportFile { path: path.to_owned(), content: b"x".to_vec(), symlink: false }
}

/// The pieces of a good marketplace and some more.
fn with(more: Vec<ImportFile>) -> Vec<ImportFile> {
    let mut pieces = market::pieces(&market::small(&["kit", "new"]));
    pieces.extend(more);
    pieces
}

/// The pieces of a marketplace with this listing.
fn listing(listing: &Value) -> Vec<ImportFile> {
    let mut files = market::small(&["kit", "new"]);
    market::put(&mut files, market::LISTING, listing);
    market::pieces(&files)
}

/// Directories that are refused whole, and a part of what is said.
fn broken() -> Vec<(Vec<ImportFile>, &'static str)> {
    let mut cut = market::small(&["kit", "new"]);
    cut.get_mut(market::LISTING).unwrap().truncate(40);
    let mut bare = market::small(&["kit"]);
    bare.remove(market::LISTING);
    let mut deep = market::small(&["kit"]);
    deep.insert("plugins/kit/.app.json".to_owned(), [vec![b'['; 200], vec![b']'; 200]].concat());
    let escape =
        |source: &str| listing(&json!({"name": "vendor", "plugins": [{"name": "kit", "source": source}]}));
    let twice = json!({"name": "kit", "source": "./plugins/kit"});
    let crowd =
        (0..10_001).map(|n| ImportFile { content: Vec::new(), ..file(&format!("docs/{n}.md")) }).collect();
    vec![
        (with(vec![file("../outside")]), "../outside"),
        (with(vec![file("plugins/../../outside")]), "plugins/../../outside"),
        (with(vec![file("/etc/passwd")]), "/etc/passwd"),
        (with(vec![file("plugins\\kit")]), "backslash"),
        (with(vec![file("a//b")]), "a//b"),
        (with(vec![file("")]), ""),
        (with(vec![file(&"d/".repeat(32))]), ""),
        (with(vec![file(&["d"; 40].join("/"))]), "32"),
        (with(vec![file(&"n".repeat(1_025))]), "1,024"),
        (with(vec![ImportFile { symlink: true, ..file("plugins/kit/link") }]), "symbolic link"),
        (with(vec![file("a"), file("b"), file("a")]), "twice"),
        (with(vec![file("a"), file("a/b")]), "both a file and a directory"),
        (with(crowd), "10,000 files"),
        (escape("../elsewhere"), "outside the directory"),
        (escape("/etc"), "outside the directory"),
        (listing(&json!({"name": "vendor", "plugins": [twice.clone(), twice]})), "twice"),
        (listing(&json!({"plugins": []})), "name"),
        (listing(&json!({"name": "vendor"})), "plugins"),
        (listing(&json!({"name": "Not A Name", "plugins": []})), "Not A Name"),
        (market::pieces(&cut), "not JSON"),
        (market::pieces(&bare), ".claude-plugin/marketplace.json"),
        (market::pieces(&deep), "nests deeper"),
        (Vec::new(), "empty"),
    ]
}

/// Begins an import and sends nothing: whoever has to be refused is refused without.
async fn begun(by: &Caller) -> Status {
    let (sender, receiver) = tokio::sync::mpsc::channel::<ImportMarketplaceRequest>(1);
    let mut client = CatalogServiceClient::new(by.channel.clone());
    let answer = client.import_marketplace(by.ask(ReceiverStream::new(receiver)));
    let answer =
        tokio::time::timeout(Duration::from_secs(20), answer).await.expect("an answer before the body");
    drop(sender);
    answer.unwrap_err()
}

both_engines! {
    async fn a_broken_directory_is_refused_whole_and_nothing_of_it_stays(site: Site) {
        let world = World::build(site).await;
        let empty = stored(&world.site).await;
        for imported in [false, true] {
            if imported {
                market::import(&world.admin, &market::small(&["kit"])).await.unwrap();
            }
            let before = stored(&world.site).await;
            assert_eq!(before == empty, !imported);
            for (pieces, said) in broken() {
                let refused = market::send(&world.admin, ImportHeader::default(), pieces).await.unwrap_err();
                let told = (refused.code(), reason(&refused));
                assert_eq!(told, (Code::InvalidArgument, "INVALID_MARKETPLACE".to_owned()), "{said}: {refused:?}");
                assert!(refused.message().contains(said), "{said}: {}", refused.message());
                assert_eq!(stored(&world.site).await, before, "{said}");
            }
        }
    }

    async fn a_marketplace_of_another_format_does_not_take_over_a_name(site: Site) {
        let world = World::build(site).await;
        market::import(&world.admin, &market::small(&["kit"])).await.unwrap();
        let before = stored(&world.site).await;
        let mut files = market::Files::new();
        market::put(&mut files, ".claude-plugin/marketplace.json", &json!({"name": "vendor", "plugins": []}));
        let refused = market::import(&world.admin, &files).await.unwrap_err();
        assert_eq!((refused.code(), reason(&refused).as_str()), (Code::InvalidArgument, "INVALID_MARKETPLACE"));
        assert_eq!(stored(&world.site).await, before);
    }

    async fn a_stream_is_one_header_and_then_files(site: Site) {
        let world = World::build(site).await;
        let header = Part::Header(ImportHeader::default());
        let stage = Part::Header(ImportHeader { initial_stage: 9, ..Default::default() });
        let uuid = Part::Header(ImportHeader { request_id: "no uuid".to_owned(), ..Default::default() });
        let large = Part::File(ImportFile { content: vec![0; (1 << 20) + 1], ..file("large") });
        let all = |first: Part| std::iter::once(first).chain(with(Vec::new()).into_iter().map(Part::File)).collect();
        for (parts, field) in [
            (vec![], "header"),
            (vec![Part::File(file("a"))], "header"),
            (vec![header.clone(), header.clone()], "header"),
            (vec![header.clone(), large], "file.content"),
            (vec![stage], "header.initial_stage"),
            (all(uuid), "request_id"),
        ] {
            let refused = market::stream(&world.admin, parts).await.unwrap_err();
            assert_eq!((refused.code(), reason(&refused).as_str()), (Code::InvalidArgument, "INVALID_FIELD"), "{field}");
            let details = tonic_types::StatusExt::get_error_details(&refused);
            assert_eq!(details.bad_request().unwrap().field_violations[0].field, field);
        }
        assert_eq!(stored(&world.site).await, "");
    }

    async fn who_may_not_import_is_refused_before_the_directory_is_read(site: Site) {
        let world = World::build(site).await;
        let refused = begun(&world.site.nobody()).await;
        assert_eq!((refused.code(), reason(&refused).as_str()), (Code::Unauthenticated, "CREDENTIAL_MISSING"));
        let unknown = kernel::authn::Secret::generate(kernel::authn::TokenKind::Personal).unwrap();
        let refused = begun(&world.site.caller(&unknown.text)).await;
        assert_eq!((refused.code(), reason(&refused).as_str()), (Code::Unauthenticated, "TOKEN_UNKNOWN"));
        for caller in [&world.owner, &world.consultant, &world.holders["platform_auditor"]] {
            let refused = begun(caller).await;
            assert_eq!((refused.code(), reason(&refused).as_str()), (Code::PermissionDenied, "DUTY_MISSING"));
        }
        let denied = crate::audit::events(&world.admin, "", "action = \"marketplace.import\" outcome = DENIED").await;
        assert_eq!(denied.len(), 3);
    }
}
