//! A log in memory, served as a server serves it, and told to misbehave.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::get,
};
use tlog::{
    Appender, Checkpoint, Ed25519Signer, Resource, Signer as _, TILE_WIDTH, bundles_added, encode_bundle,
    leaf_hash, tiles_added,
};
use tokio::net::TcpListener;

use super::fake::LINK;

/// Files by path.
pub type Tree = BTreeMap<String, Vec<u8>>;

/// First line of the log's checkpoints.
pub const ORIGIN: &str = "provost.example/tenants/7";

/// The key with this seed.
pub fn signer(seed: u8) -> Ed25519Signer {
    Ed25519Signer::from_seed(ORIGIN, &[seed; 32]).unwrap()
}

/// The entry with this index.
pub fn entry(index: u64) -> Vec<u8> {
    format!("{{\"n\":{index}}}").into_bytes()
}

/// Every file of the log of these entries, signed by these keys.
pub fn files(entries: &[Vec<u8>], seeds: &[u8]) -> Tree {
    let size = entries.len() as u64;
    let (mut files, mut tree) = (Tree::new(), Appender::empty());
    tree.append_all(entries.iter().map(|entry| leaf_hash(entry))).unwrap();
    let tiles: tlog::TileSet = tree.take_tiles().into_iter().collect();
    for id in tiles_added(0, size) {
        let hashes = tiles.get(id).unwrap().iter().flat_map(|hash| hash.0).collect();
        files.insert(id.path(), hashes);
    }
    for id in bundles_added(0, size) {
        let first = usize::try_from(id.start()).unwrap();
        files.insert(id.path(), encode_bundle(&entries[first..first + usize::from(id.width())]).unwrap());
    }
    let signers: Vec<_> = seeds.iter().map(|seed| signer(*seed)).collect();
    let signing: Vec<_> = signers.iter().map(|signer| signer as &dyn tlog::Signer).collect();
    let note = Checkpoint::new(ORIGIN, size, tree.root()).unwrap().sign(&signing).unwrap();
    files.insert(Resource::Checkpoint.path(), note.to_string().into_bytes());
    let keys: String =
        signers.iter().flat_map(|signer| [signer.vkey().to_string(), "\n".to_owned()]).collect();
    files.insert("vkey".to_owned(), keys.into_bytes());
    files
}

#[derive(Default)]
struct Shelf {
    files: Tree,
    asked: Vec<String>,
}

/// What is served now, and what was asked for.
#[derive(Clone, Default)]
pub struct Served {
    state: Arc<Mutex<Shelf>>,
}

impl Served {
    /// Serves the log of `acme`, by token, through the link, or as the meta log; returns the address too.
    pub async fn start() -> (Self, String) {
        let served = Self::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let routes = Router::new()
            .route("/audit/v1/tenants/acme/{*file}", get(by_token))
            .route("/audit/v1/meta/{*file}", get(by_token))
            .route(&format!("/audit/v1/link/{LINK}/{{*file}}"), get(by_link))
            .with_state(served.clone());
        tokio::spawn(async move { axum::serve(listener, routes).await });
        (served, address)
    }

    /// Serves the first `size` entries.
    pub fn serve(&self, size: u64) {
        self.put(files(&(0..size).map(entry).collect::<Vec<_>>(), &[1]));
    }

    /// Serves these files.
    pub fn put(&self, files: Tree) {
        self.state.lock().unwrap().files = files;
    }

    /// Changes what is served.
    pub fn change(&self, change: impl FnOnce(&mut Tree)) {
        change(&mut self.state.lock().unwrap().files);
    }

    /// What was asked for since the last call, in order.
    pub fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.state.lock().unwrap().asked)
    }

    fn answer(&self, file: String) -> Response {
        let mut state = self.state.lock().unwrap();
        let found = state.files.get(&file).cloned().or_else(|| narrower(&state.files, &file));
        state.asked.push(file);
        found.map_or_else(|| StatusCode::NOT_FOUND.into_response(), IntoResponse::into_response)
    }
}

/// A partial tile out of a wider one.
fn narrower(files: &Tree, file: &str) -> Option<Vec<u8>> {
    let Ok(Resource::Tile(id)) = Resource::parse(file) else { return None };
    let wider =
        (id.width()..=TILE_WIDTH).filter_map(|width| tlog::TileId::new(id.level(), id.index(), width).ok());
    let wide = wider.into_iter().find_map(|id| files.get(&id.path()))?;
    Some(wide[..usize::from(id.width()) * 32].to_vec())
}

async fn by_token(State(served): State<Served>, Path(file): Path<String>, headers: HeaderMap) -> Response {
    match headers.get("authorization") {
        Some(token) if token == "Bearer pv_pat_x" => served.answer(file),
        _ => (
            StatusCode::UNAUTHORIZED,
            r#"{"code":16,"message":"no credential","details":[{"reason":"CREDENTIAL_MISSING","domain":"provost.dev"}]}"#,
        )
            .into_response(),
    }
}

async fn by_link(State(served): State<Served>, Path(file): Path<String>, headers: HeaderMap) -> Response {
    assert!(headers.get("authorization").is_none(), "a token is not sent where it is not needed");
    served.answer(file)
}
