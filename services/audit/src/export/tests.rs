//! Whole exports from a database.

use futures::{Stream, StreamExt as _, TryStreamExt as _, pin_mut, stream};
use kernel::{
    Kernel,
    clock::{Clock, Time},
    config::Layers,
    db::Db,
    execute,
};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::*;

const DEFAULTS: &str = include_str!("../../../server/config.default.toml");
/// 2026-11-23T12:00:00Z.
const NOON: i64 = 1_795_435_200_000_000;
const LOG: Uuid = Uuid::from_u128(7);

/// The event with that index: every third is a `role.create`.
pub fn sample_row(index: i64) -> Row {
    let (id, time) = (u128::try_from(index).unwrap(), Time::from_micros(NOON + index));
    let sealed = json!({"$s": "AAAA", "k": "1.2"});
    let entry = json!({
        "v": 1, "id": Uuid::from_u128(id), "t": time, "log": "tenants/acme",
        "act": if index % 3 == 1 { "role.create" } else { "role.update" }, "out": "ok", "cls": "admin_write",
        "actor": {"k": "user", "id": Uuid::from_u128(1), "p": "tenants/acme/principals/maria"},
        "via": {"partner": "partners/northwind"}, "req": "r-1", "trace": "t-1", "pol": "1", "ip": sealed, "ua": sealed,
        "tgt": [{"k": "role", "id": "tenants/acme/roles/banker"}, {"k": "role", "id": "tenants/acme/roles/clerk"}],
        "chg": [{"f": "/display_name", "o": sealed, "n": "Banker, \"senior\""}],
    });
    Row::new(index, id, time, entry.to_string())
}

/// A log with `sample_row`s.
struct House {
    kernel: Arc<Kernel>,
    _dir: tempfile::TempDir,
}

impl House {
    async fn build(size: i64) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().to_string_lossy().into_owned();
        let config = Layers::new(DEFAULTS, None, &[("server.data_dir", data)]).unwrap().config().unwrap();
        let db = Db::open(&config).await.unwrap();
        db.migrate().await.unwrap();
        let kernel = Kernel::new(config, db, Clock::manual(Time::from_micros(NOON))).await.unwrap();
        let house = Self { kernel, _dir: dir };
        house.append((0..size).map(sample_row)).await;
        house
    }

    async fn append(&self, rows: impl Iterator<Item = Row>) {
        let mut tx = self.kernel.db.begin_derived();
        let query = "INSERT INTO audit_event (scope_id, idx, id, time, entry) VALUES ($1, $2, $3, $4, $5)";
        for row in rows {
            execute!(
                &mut tx,
                sqlx::query(query).bind(LOG).bind(row.idx).bind(row.id).bind(row.time).bind(&row.entry)
            )
            .unwrap();
        }
        tx.finish().await.unwrap();
    }

    fn export(&self, format: ExportFormat, filter: &str, span: Span) -> Export {
        let filter = (!filter.is_empty()).then(|| Filter::parse(filter).unwrap());
        let ctx = Arc::new(self.kernel.system());
        let encoder = encoder(format, &Scope::Platform).unwrap();
        let manifest = pb::ExportManifest { as_of_size: span.below, ..pb::ExportManifest::default() };
        Export::new(ctx, LOG, span, filter, encoder, manifest)
    }

    async fn messages(
        &self,
        format: ExportFormat,
        filter: &str,
        span: Span,
    ) -> Vec<pb::ExportAuditEventsResponse> {
        messages(self.export(format, filter, span)).try_collect().await.unwrap()
    }
}

fn messages(export: Export) -> impl Stream<Item = Result<pb::ExportAuditEventsResponse>> {
    stream::try_unfold(export, |mut export| async move {
        Ok(export.next_message().await?.map(|message| (message, export)))
    })
}

fn file(messages: &[pb::ExportAuditEventsResponse]) -> Vec<u8> {
    messages.iter().flat_map(|m| m.data.clone()).collect()
}

fn manifest(messages: &[pb::ExportAuditEventsResponse]) -> &pb::ExportManifest {
    assert!(messages[..messages.len() - 1].iter().all(|m| m.manifest.is_none()));
    messages.last().unwrap().manifest.as_ref().unwrap()
}

fn span(from: i64, below: i64) -> Span {
    Span { from, below }
}

const FORMATS: [ExportFormat; 4] =
    [ExportFormat::Ndjson, ExportFormat::Csv, ExportFormat::Parquet, ExportFormat::Ocsf];

#[tokio::test]
async fn a_file_holds_every_event_and_its_manifest_says_so() {
    let house = House::build(2_500).await;
    for format in FORMATS {
        let messages = house.messages(format, "", span(0, 2_500)).await;
        assert!(messages.iter().all(|m| m.data.len() <= 256 * 1024), "{format:?}");
        let (bytes, manifest) = (file(&messages), manifest(&messages));
        assert_eq!((manifest.count, manifest.first_index, manifest.last_index), (2_500, 0, 2_499));
        assert_eq!(manifest.sha256, Sha256::digest(&bytes).to_vec(), "{format:?}");
        assert_eq!(messages.last().unwrap().next_index, 2_500);
        let plain = String::from_utf8_lossy(&bytes);
        let lines = plain.lines().count();
        match format {
            ExportFormat::Csv => assert_eq!(lines, 2_501),
            ExportFormat::Parquet => assert!(plain.starts_with("PAR1") && plain.ends_with("PAR1")),
            _ => assert_eq!(lines, 2_500),
        }
    }
}

#[tokio::test]
async fn a_line_of_ndjson_proves_itself() {
    let house = House::build(50).await;
    let bytes = file(&house.messages(ExportFormat::Ndjson, "", span(0, 50)).await);
    for (index, line) in (0..).zip(String::from_utf8(bytes).unwrap().lines()) {
        let value: Value = serde_json::from_str(line).unwrap();
        assert_eq!(value["index"], index);
        let entry = line.split_once(",\"entry\":").unwrap().1.strip_suffix('}').unwrap();
        assert_eq!(entry, sample_row(index).entry);
        assert_eq!(value["leaf_hash"], tlog::leaf_hash(entry.as_bytes()).to_string());
    }
}

#[tokio::test]
async fn an_export_that_broke_anywhere_and_was_resumed_equals_one_in_one_go() {
    let house = House::build(1_500).await;
    for format in [ExportFormat::Ndjson, ExportFormat::Ocsf] {
        let whole = house.messages(format, "", span(0, 1_500)).await;
        for broken_after in 1..whole.len() {
            let kept = &whole[..broken_after];
            let resume = kept.last().unwrap().next_index;
            assert!(resume > 0, "a chunk of lines ends with a line");
            let rest = house.messages(format, "", span(resume, 1_500)).await;
            assert_eq!([file(kept), file(&rest)].concat(), file(&whole), "{format:?} after {broken_after}");
        }
    }
}

#[tokio::test]
async fn a_parquet_export_is_resumable_between_row_groups_only() {
    let house = House::build(9_000).await;
    let messages = house.messages(ExportFormat::Parquet, "", span(0, 9_000)).await;
    let resumable: Vec<_> = messages.iter().map(|m| m.next_index).filter(|n| *n != 0).collect();
    assert_eq!(resumable.first(), Some(&8_192));
    assert_eq!(resumable.last(), Some(&9_000));
}

#[tokio::test]
async fn a_filter_takes_what_it_names_and_the_rest_is_considered() {
    let house = House::build(3_000).await;
    let messages = house.messages(ExportFormat::Ndjson, "action = \"role.create\"", span(10, 3_000)).await;
    let manifest = manifest(&messages);
    assert_eq!((manifest.count, manifest.first_index, manifest.last_index), (997, 10, 2_998));
    assert_eq!(messages.last().unwrap().next_index, 3_000);
    let text = String::from_utf8(file(&messages)).unwrap();
    assert!(text.lines().all(|line| line.contains("role.create")));
}

#[tokio::test]
async fn a_long_search_without_a_match_says_how_far_it_is() {
    let house = House::build(9_000).await;
    let messages = house.messages(ExportFormat::Csv, "action = \"rocket.launch\"", span(0, 9_000)).await;
    let heard: Vec<_> = messages.iter().map(|m| m.next_index).collect();
    assert!(heard.len() > 1 && heard.is_sorted() && heard[0] < 9_000, "{heard:?}");
    let manifest = manifest(&messages);
    assert_eq!((manifest.count, manifest.first_index, manifest.last_index), (0, -1, -1));
}

#[tokio::test]
async fn who_hangs_up_ends_the_work() {
    let house = House::build(6_000).await;
    let export = house.export(ExportFormat::Ndjson, "", span(0, 6_000));
    let ctx = Arc::downgrade(&export.ctx());
    let stream = messages(export);
    {
        pin_mut!(stream);
        let first = stream.next().await.unwrap().unwrap();
        assert!(first.next_index < 2_000, "no more than a page was read for it");
        assert!(ctx.upgrade().is_some());
    }
    assert!(ctx.upgrade().is_none(), "nothing of the export is left, no task works on");
}

#[tokio::test]
async fn an_event_that_vanishes_is_an_error_and_never_a_gap() {
    let house = House::build(10).await;
    let mut tx = house.kernel.db.begin_derived();
    execute!(&mut tx, sqlx::query("DELETE FROM audit_event WHERE scope_id = $1 AND idx = 5").bind(LOG))
        .unwrap();
    tx.finish().await.unwrap();
    let outcome: Result<Vec<_>> =
        messages(house.export(ExportFormat::Ndjson, "", span(0, 10))).try_collect().await;
    assert!(outcome.unwrap_err().message().contains("index 5"));
    let outcome: Result<Vec<_>> =
        messages(house.export(ExportFormat::Ndjson, "", span(10, 12))).try_collect().await;
    assert!(outcome.is_err());
}

#[tokio::test]
async fn long_entries_stay_within_a_chunk_each() {
    let house = House::build(0).await;
    let long = |index: i64| {
        let entry = json!({"act": "x.y", "trace": "\"=".repeat(8_000)}).to_string();
        Row::new(index, u128::try_from(index).unwrap(), Time::from_micros(NOON), entry)
    };
    house.append((0..300).map(long)).await;
    for format in FORMATS {
        let messages = house.messages(format, "", span(0, 300)).await;
        assert!(messages.iter().all(|m| m.data.len() <= 256 * 1024), "{format:?}");
        assert_eq!(manifest(&messages).count, 300);
        if format != ExportFormat::Parquet {
            assert!(messages.iter().all(|m| m.next_index > 0), "{format:?}");
        }
    }
}

#[test]
fn a_span_is_within_what_the_log_has() {
    let head = LogHead {
        scope_id: LOG,
        origin: String::new(),
        size: 1_000,
        root: Vec::new(),
        signed_size: 900,
        checkpoint: String::new(),
        sign_time: Time::from_micros(0),
        minimum_index: 256,
        segments: 0,
    };
    let choose = |from, as_of| Span::choose(&head, from, as_of).map_err(|e| e.message());
    assert_eq!(choose(0, 0), Ok(span(256, 1_000)));
    assert_eq!(choose(0, 500), Ok(span(256, 500)));
    assert_eq!(choose(300, 300), Ok(span(300, 300)), "resumed after the last event");
    for (from, as_of, field) in [
        (255, 0, "from_index"),
        (1_001, 0, "from_index"),
        (-1, 0, "from_index"),
        (0, 200, "from_index"),
        (400, 300, "from_index"),
        (0, 1_001, "as_of_size"),
        (0, -1, "as_of_size"),
    ] {
        let message = choose(from, as_of).unwrap_err();
        assert!(message.starts_with(field), "{from} {as_of}: {message}");
    }
}
