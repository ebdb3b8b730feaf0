//! Exports, over the wire.

use std::collections::BTreeMap;

use proto::audit::v1::{
    ExportAuditEventsRequest, ExportFormat, ExportManifest, audit_service_client::AuditServiceClient,
};
use serde_json::Value;
use tests::{World, both_engines, site::Caller, world::ACME};
use tlog::{BundleId, Checkpoint, Note, Resource, decode_bundle};
use tonic::{Code, Status};

use super::{
    events,
    mirror::{Reader, roles},
};

/// A file and its manifest.
pub async fn export(
    by: &Caller,
    format: ExportFormat,
    request: ExportAuditEventsRequest,
) -> Result<(Vec<u8>, ExportManifest), Status> {
    let request = ExportAuditEventsRequest { parent: ACME.to_owned(), format: format.into(), ..request };
    let answer = AuditServiceClient::new(by.channel.clone()).export_audit_events(by.ask(request)).await?;
    let (mut stream, mut file) = (answer.into_inner(), Vec::new());
    while let Some(chunk) = stream.message().await? {
        file.extend(chunk.data);
        if let Some(manifest) = chunk.manifest {
            assert_eq!(stream.message().await?, None, "the manifest comes last");
            return Ok((file, manifest));
        }
    }
    panic!("an export ended without its manifest");
}

/// The recorded bytes of a copied log, in order.
fn entries(files: &BTreeMap<String, Vec<u8>>, checkpoint: &Checkpoint) -> Vec<Vec<u8>> {
    let bundle = |id: BundleId| {
        let bytes = &files[&Resource::Entries(id).path()];
        decode_bundle(bytes, id.width()).unwrap().into_iter().map(<[u8]>::to_vec).collect::<Vec<_>>()
    };
    tlog::bundles_added(0, checkpoint.size()).flat_map(bundle).collect()
}

both_engines! {
    async fn an_export_holds_the_recorded_bytes_of_the_log_in_order(site: Site) {
        let world = World::build(site).await;
        roles(&world.owner, "e", 300).await;
        let (files, checkpoint) = Reader::of(&world.site, &world.owner, ACME).mirror().await;
        let size = i64::try_from(checkpoint.size()).unwrap();
        let all = ExportAuditEventsRequest { as_of_size: size, ..Default::default() };
        let (file, manifest) = export(&world.owner, ExportFormat::Ndjson, all.clone()).await.unwrap();
        let text = String::from_utf8(file.clone()).unwrap();
        let recorded = entries(&files, &checkpoint);
        assert_eq!(text.lines().count(), recorded.len());
        for (index, (line, entry)) in text.lines().zip(&recorded).enumerate() {
            let hash = tlog::leaf_hash(entry);
            let entry = std::str::from_utf8(entry).unwrap();
            assert_eq!(line, format!("{{\"index\":{index},\"leaf_hash\":\"{hash}\",\"entry\":{entry}}}"));
        }
        assert_eq!((manifest.count, manifest.first_index, manifest.last_index), (size, 0, size - 1));
        assert_eq!((manifest.as_of_size, manifest.format()), (size, ExportFormat::Ndjson));
        assert_eq!(manifest.sha256, kernel::hash::sha256(&file));
        let note = Note::parse(manifest.checkpoint.as_bytes()).unwrap();
        assert!(Checkpoint::parse(note.text()).unwrap().size() >= checkpoint.size());
        // taken up in the middle, it ends the same
        let rest = ExportAuditEventsRequest { from_index: 100, ..all };
        let (rest, manifest) = export(&world.owner, ExportFormat::Ndjson, rest).await.unwrap();
        assert_eq!((manifest.count, manifest.first_index), (size - 100, 100));
        assert!(file.ends_with(&rest));
    }

    async fn an_export_holds_what_its_filter_finds_and_is_on_the_record(site: Site) {
        let world = World::build(site).await;
        roles(&world.owner, "e", 3).await;
        let filter = "action = \"role.create\"";
        let only = ExportAuditEventsRequest { filter: filter.to_owned(), ..Default::default() };
        let (file, manifest) = export(&world.holders["compliance"], ExportFormat::Csv, only).await.unwrap();
        assert_eq!(manifest.count, 3);
        let text = String::from_utf8(file).unwrap();
        assert_eq!(text.matches(",role.create,").count(), 3, "{text}");
        let found = events(&world.owner, ACME, "action = \"audit.export\"").await;
        assert_eq!((found.len(), found[0].actor.as_str()), (1, "tenants/acme/principals/compliance"));
        let entry: Value = serde_json::from_str(&found[0].entry).unwrap();
        assert!(entry["q"]["$s"].is_string(), "the filter is kept, sealed: it may name people");
        let refused = export(&world.holders["finance"], ExportFormat::Csv, ExportAuditEventsRequest::default()).await;
        assert_eq!(refused.unwrap_err().code(), Code::PermissionDenied);
        let none = export(&world.owner, ExportFormat::Unspecified, ExportAuditEventsRequest::default()).await;
        assert_eq!(none.unwrap_err().code(), Code::InvalidArgument);
    }
}
