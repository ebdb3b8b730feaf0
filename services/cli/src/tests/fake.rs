//! A server on a free port that fails as often as it is told, then answers, and remembers what it was sent.

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures::{
    StreamExt as _,
    stream::{self, BoxStream},
};
use proto::{
    audit::v1::{
        self as audit, AuditEvent, ListAuditEventsRequest, ListAuditEventsResponse,
        audit_service_server::{AuditService, AuditServiceServer},
    },
    catalog::v1::{
        DiffPluginVersionsRequest, GetMarketplaceRequest, GetPluginRequest, GetPluginVersionRequest,
        ImportMarketplaceRequest, ImportMarketplaceResponse, ListMarketplacesRequest,
        ListMarketplacesResponse, ListPluginVersionsRequest, ListPluginVersionsResponse, ListPluginsRequest,
        ListPluginsResponse, Marketplace, Plugin, PluginDiff, PluginVersion, SetPluginStageRequest,
        SetPluginVersionStageRequest,
        catalog_service_server::{CatalogService, CatalogServiceServer},
    },
    decision::v1::{
        BatchCheckRequest, BatchCheckResponse, CheckRequest, Decision, DecisionKeys, DecisionReason,
        ExplainRequest, Explanation, GetDecisionKeysRequest, ListPrincipalsRequest, ListPrincipalsResponse,
        ListUsableRequest, ListUsableResponse, WatchRequest, WatchResponse,
        decision_service_server::{DecisionService, DecisionServiceServer},
    },
    token::v1::{
        BootstrapRequest, CreateTokenRequest, CreateTokenResponse, ListTokensRequest, ListTokensResponse,
        RevokeTokenRequest, Token, WhoAmIRequest, WhoAmIResponse,
        token_service_server::{TokenService, TokenServiceServer},
    },
};
use sha2::{Digest as _, Sha256};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Code, Request, Response, Status, Streaming, metadata::MetadataMap};
use tonic_types::{ErrorDetails, StatusExt as _};

/// The secret of every token that the server makes.
pub const SECRET: &str = "pv_pat_000000000000000000000000000000_000000";

/// The secret of every mirror link that the server makes.
pub const LINK: &str = "pvl_0000000000000000000000000000000000000000000";

/// One server. Clones share what happened.
#[derive(Clone, Default)]
pub struct Fake {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    failures: VecDeque<Status>,
    calls: Vec<(String, MetadataMap)>,
    parts: Vec<ImportMarketplaceRequest>,
    finished: usize,
}

type Answer<T> = Result<Response<T>, Status>;

impl Fake {
    /// Starts and returns the server with its address.
    pub async fn start() -> (Self, String) {
        let fake = Self::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let (reporter, health) = tonic_health::server::health_reporter();
        reporter.set_not_serving::<AuditServiceServer<Self>>().await;
        let server = tonic::transport::Server::builder()
            .add_service(health)
            .add_service(AuditServiceServer::new(fake.clone()))
            .add_service(CatalogServiceServer::new(fake.clone()))
            .add_service(DecisionServiceServer::new(fake.clone()))
            .add_service(TokenServiceServer::new(fake.clone()))
            .serve_with_incoming(TcpListenerStream::new(listener));
        tokio::spawn(server);
        (fake, address)
    }

    /// Fails the next `times` calls.
    pub fn fail(&self, times: usize, code: Code, reason: &str) {
        for _ in 0..times {
            let mut details = ErrorDetails::new();
            details.set_error_info(reason, proto::ERROR_DOMAIN, std::collections::HashMap::new());
            details.set_retry_info(Some(Duration::from_millis(1)));
            self.state
                .lock()
                .unwrap()
                .failures
                .push_back(Status::with_error_details(code, "not now", details));
        }
    }

    /// Requests in the order in which they came, as text.
    pub fn calls(&self) -> Vec<String> {
        self.state.lock().unwrap().calls.iter().map(|(call, _)| call.clone()).collect()
    }

    /// A header of the last call.
    pub fn header(&self, name: &str) -> Option<String> {
        let state = self.state.lock().unwrap();
        Some(state.calls.last()?.1.get(name)?.to_str().unwrap().to_owned())
    }

    /// Messages of all import streams, one after the other.
    pub fn parts(&self) -> Vec<ImportMarketplaceRequest> {
        self.state.lock().unwrap().parts.clone()
    }

    /// Import streams that came to a proper end.
    pub fn finished(&self) -> usize {
        self.state.lock().unwrap().finished
    }

    fn take<T: std::fmt::Debug>(&self, request: Request<T>) -> Result<T, Status> {
        let (headers, _, message) = request.into_parts();
        let mut state = self.state.lock().unwrap();
        state.calls.push((format!("{message:?}"), headers));
        state.failures.pop_front().map_or(Ok(message), Err)
    }
}

#[tonic::async_trait]
impl DecisionService for Fake {
    type WatchStream = BoxStream<'static, Result<WatchResponse, Status>>;

    async fn watch(&self, _: Request<WatchRequest>) -> Answer<Self::WatchStream> {
        Err(Status::unimplemented("not asked for"))
    }

    async fn get_decision_keys(&self, _: Request<GetDecisionKeysRequest>) -> Answer<DecisionKeys> {
        Err(Status::unimplemented("not asked for"))
    }

    async fn check(&self, request: Request<CheckRequest>) -> Answer<Decision> {
        let allowed = self.take(request)?.principal.ends_with("/maria");
        let reason = if allowed { DecisionReason::Allowed } else { DecisionReason::StageGate };
        Ok(Response::new(Decision { allowed, reason: reason.into(), ..Decision::default() }))
    }

    async fn batch_check(&self, _: Request<BatchCheckRequest>) -> Answer<BatchCheckResponse> {
        Err(Status::unimplemented("not asked for"))
    }

    async fn list_usable(&self, _: Request<ListUsableRequest>) -> Answer<ListUsableResponse> {
        Err(Status::unimplemented("not asked for"))
    }

    async fn list_principals(&self, _: Request<ListPrincipalsRequest>) -> Answer<ListPrincipalsResponse> {
        Err(Status::unimplemented("not asked for"))
    }

    async fn explain(&self, _: Request<ExplainRequest>) -> Answer<Explanation> {
        Err(Status::unimplemented("not asked for"))
    }
}

/// What is not asked for.
macro_rules! unasked {
    ($($name:ident($request:ident) -> $answer:ident;)*) => {$(
        fn $name<'a: 'x, 'x>(
            &'a self,
            _: Request<audit::$request>,
        ) -> Pin<Box<dyn Future<Output = Answer<audit::$answer>> + Send + 'x>> {
            Box::pin(async { Err(Status::unimplemented("not asked for")) })
        }
    )*};
}

#[tonic::async_trait]
impl AuditService for Fake {
    type TailAuditEventsStream = BoxStream<'static, Result<audit::TailAuditEventsResponse, Status>>;
    type ExportAuditEventsStream = BoxStream<'static, Result<audit::ExportAuditEventsResponse, Status>>;
    type ExportEvidenceStream = BoxStream<'static, Result<audit::ExportEvidenceResponse, Status>>;

    async fn list_audit_events(
        &self,
        request: Request<ListAuditEventsRequest>,
    ) -> Answer<ListAuditEventsResponse> {
        let request = self.take(request)?;
        let (next, number) = match request.page_token.as_str() {
            "" => ("two", 1),
            "two" => ("three", 2),
            _ => ("", 3),
        };
        let event = AuditEvent { action: format!("role.create{number}"), ..AuditEvent::default() };
        Ok(Response::new(ListAuditEventsResponse {
            audit_events: vec![event],
            next_page_token: next.to_owned(),
            searched_size: 3,
        }))
    }

    /// Two events and the end, as of a server that stops; from the third on one that does not go away.
    async fn tail_audit_events(
        &self,
        request: Request<audit::TailAuditEventsRequest>,
    ) -> Answer<Self::TailAuditEventsStream> {
        let from = self.take(request)?.from_index.max(0);
        let event =
            |index: i64| AuditEvent { action: "role.create".to_owned(), index, ..AuditEvent::default() };
        let batch = |first: i64| audit::TailAuditEventsResponse {
            audit_events: vec![event(first), event(first + 1)],
            next_index: first + 2,
        };
        if from == 0 {
            return Ok(Response::new(stream::iter([Ok(batch(0))]).boxed()));
        }
        let refused = Status::out_of_range("that is all");
        Ok(Response::new(stream::iter([Ok(batch(from)), Err(refused)]).boxed()))
    }

    /// Three lines; the first stream breaks after one.
    async fn export_audit_events(
        &self,
        request: Request<audit::ExportAuditEventsRequest>,
    ) -> Answer<Self::ExportAuditEventsStream> {
        let from = self.take(request)?.from_index;
        let chunk = |index: i64| audit::ExportAuditEventsResponse {
            data: format!("{{\"index\":{index}}}\n").into_bytes(),
            next_index: index + 1,
            manifest: None,
        };
        if from == 0 {
            let cut = Status::unavailable("the server stops");
            return Ok(Response::new(stream::iter([Ok(chunk(0)), Err(cut)]).boxed()));
        }
        let mut chunks: Vec<_> = (from..3).map(chunk).collect();
        let sent = chunks.iter().flat_map(|chunk| chunk.data.clone()).collect::<Vec<_>>();
        let last = chunks.last_mut().unwrap();
        last.manifest = Some(audit::ExportManifest {
            count: 3 - from,
            first_index: from,
            last_index: 2,
            as_of_size: 3,
            sha256: Sha256::digest(&sent).to_vec(),
            ..audit::ExportManifest::default()
        });
        Ok(Response::new(stream::iter(chunks.into_iter().map(Ok)).boxed()))
    }

    /// A pack of two chunks; that of `iso27001` is not what its manifest says, that of `eu-ai-act` breaks off.
    async fn export_evidence(
        &self,
        request: Request<audit::ExportEvidenceRequest>,
    ) -> Answer<Self::ExportEvidenceStream> {
        let framework = self.take(request)?.framework;
        let chunk = |data: &[u8]| audit::ExportEvidenceResponse { data: data.to_vec(), manifest: None };
        let all: &[u8] = if framework == "iso27001" { b"PK?" } else { b"PK.." };
        let last = audit::ExportEvidenceResponse {
            data: Vec::new(),
            manifest: Some(audit::EvidenceManifest {
                framework: framework.clone(),
                sha256: Sha256::digest(all).to_vec(),
                ..audit::EvidenceManifest::default()
            }),
        };
        let end = if framework == "eu-ai-act" { Err(Status::out_of_range("pruned")) } else { Ok(last) };
        Ok(Response::new(stream::iter([Ok(chunk(b"PK")), Ok(chunk(b"..")), end]).boxed()))
    }

    async fn create_mirror_link(
        &self,
        request: Request<audit::CreateMirrorLinkRequest>,
    ) -> Answer<audit::CreateMirrorLinkResponse> {
        let request = self.take(request)?;
        let path = if request.validate_only { String::new() } else { format!("/audit/v1/link/{LINK}") };
        Ok(Response::new(audit::CreateMirrorLinkResponse { mirror_link: request.mirror_link, path }))
    }

    unasked! {
        get_audit_event(GetAuditEventRequest) -> AuditEvent;
        get_audit_log(GetAuditLogRequest) -> AuditLog;
        get_receipt(GetReceiptRequest) -> Receipt;
        list_access_as_of(ListAccessAsOfRequest) -> ListAccessAsOfResponse;
        create_saved_search(CreateSavedSearchRequest) -> SavedSearch;
        list_saved_searches(ListSavedSearchesRequest) -> ListSavedSearchesResponse;
        delete_saved_search(DeleteSavedSearchRequest) -> SavedSearch;
        list_mirror_links(ListMirrorLinksRequest) -> ListMirrorLinksResponse;
        revoke_mirror_link(RevokeMirrorLinkRequest) -> MirrorLink;
    }
}

#[tonic::async_trait]
impl TokenService for Fake {
    async fn create_token(&self, request: Request<CreateTokenRequest>) -> Answer<CreateTokenResponse> {
        let request = self.take(request)?;
        let secret = if request.validate_only { "" } else { SECRET }.to_owned();
        Ok(Response::new(CreateTokenResponse { token: request.token, secret }))
    }

    async fn list_tokens(&self, _: Request<ListTokensRequest>) -> Answer<ListTokensResponse> {
        Err(Status::unimplemented("not asked for"))
    }

    async fn revoke_token(&self, request: Request<RevokeTokenRequest>) -> Answer<Token> {
        let name = self.take(request)?.name;
        Ok(Response::new(Token { name, ..Token::default() }))
    }

    async fn bootstrap(&self, request: Request<BootstrapRequest>) -> Answer<CreateTokenResponse> {
        let principal = format!("principals/{}", self.take(request)?.principal_id);
        let token = Some(Token { principal, ..Token::default() });
        Ok(Response::new(CreateTokenResponse { token, secret: SECRET.to_owned() }))
    }

    async fn who_am_i(&self, request: Request<WhoAmIRequest>) -> Answer<WhoAmIResponse> {
        self.take(request)?;
        // Long enough that a caller with a deadline gives up first.
        tokio::time::sleep(Duration::from_mins(10)).await;
        Ok(Response::new(WhoAmIResponse::default()))
    }
}

#[tonic::async_trait]
impl CatalogService for Fake {
    async fn import_marketplace(
        &self,
        request: Request<Streaming<ImportMarketplaceRequest>>,
    ) -> Answer<ImportMarketplaceResponse> {
        let (headers, extensions, mut stream) = request.into_parts();
        self.take(Request::from_parts(headers, extensions, "import"))?;
        while let Some(part) = stream.message().await? {
            self.state.lock().unwrap().parts.push(part);
        }
        self.state.lock().unwrap().finished += 1;
        let marketplace =
            Some(Marketplace { name: "marketplaces/small".to_owned(), ..Marketplace::default() });
        Ok(Response::new(ImportMarketplaceResponse {
            marketplace,
            plugins: 1,
            ..ImportMarketplaceResponse::default()
        }))
    }

    async fn set_plugin_stage(&self, request: Request<SetPluginStageRequest>) -> Answer<Plugin> {
        let SetPluginStageRequest { name, stage, .. } = self.take(request)?;
        Ok(Response::new(Plugin { name, stage, ..Plugin::default() }))
    }

    async fn set_plugin_version_stage(
        &self,
        request: Request<SetPluginVersionStageRequest>,
    ) -> Answer<PluginVersion> {
        let SetPluginVersionStageRequest { name, stage, .. } = self.take(request)?;
        Ok(Response::new(PluginVersion { name, stage, ..PluginVersion::default() }))
    }

    async fn get_plugin_version(&self, _: Request<GetPluginVersionRequest>) -> Answer<PluginVersion> {
        Err(Status::unimplemented("not asked for"))
    }

    async fn list_plugin_versions(
        &self,
        _: Request<ListPluginVersionsRequest>,
    ) -> Answer<ListPluginVersionsResponse> {
        Err(Status::unimplemented("not asked for"))
    }

    async fn diff_plugin_versions(&self, _: Request<DiffPluginVersionsRequest>) -> Answer<PluginDiff> {
        Err(Status::unimplemented("not asked for"))
    }

    async fn get_marketplace(&self, _: Request<GetMarketplaceRequest>) -> Answer<Marketplace> {
        Err(Status::unimplemented("not asked for"))
    }

    async fn list_marketplaces(
        &self,
        _: Request<ListMarketplacesRequest>,
    ) -> Answer<ListMarketplacesResponse> {
        Err(Status::unimplemented("not asked for"))
    }

    async fn get_plugin(&self, _: Request<GetPluginRequest>) -> Answer<Plugin> {
        Err(Status::unimplemented("not asked for"))
    }

    async fn list_plugins(&self, _: Request<ListPluginsRequest>) -> Answer<ListPluginsResponse> {
        Err(Status::unimplemented("not asked for"))
    }
}
