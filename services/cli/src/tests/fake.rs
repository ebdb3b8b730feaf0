//! A server on a free port that fails as often as it is told, then answers, and remembers what it was sent.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::Duration,
};

use proto::{
    audit::v1::{
        AuditEvent, ListAuditEventsRequest, ListAuditEventsResponse,
        audit_service_server::{AuditService, AuditServiceServer},
    },
    catalog::v1::{
        GetMarketplaceRequest, GetPluginRequest, ImportMarketplaceRequest, ImportMarketplaceResponse,
        ListMarketplacesRequest, ListMarketplacesResponse, ListPluginsRequest, ListPluginsResponse,
        Marketplace, Plugin, SetPluginStageRequest,
        catalog_service_server::{CatalogService, CatalogServiceServer},
    },
    decision::v1::{
        CheckRequest, Decision, DecisionReason,
        decision_service_server::{DecisionService, DecisionServiceServer},
    },
    token::v1::{
        BootstrapRequest, CreateTokenRequest, CreateTokenResponse, ListTokensRequest, ListTokensResponse,
        RevokeTokenRequest, Token, WhoAmIRequest, WhoAmIResponse,
        token_service_server::{TokenService, TokenServiceServer},
    },
};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Code, Request, Response, Status, Streaming, metadata::MetadataMap};
use tonic_types::{ErrorDetails, StatusExt as _};

/// The secret of every token that the server makes.
pub const SECRET: &str = "pv_pat_000000000000000000000000000000_000000";

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
    async fn check(&self, request: Request<CheckRequest>) -> Answer<Decision> {
        let allowed = self.take(request)?.principal.ends_with("/maria");
        let reason = if allowed { DecisionReason::Allowed } else { DecisionReason::StageGate };
        Ok(Response::new(Decision { allowed, reason: reason.into(), ..Decision::default() }))
    }
}

#[tonic::async_trait]
impl AuditService for Fake {
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
        }))
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
