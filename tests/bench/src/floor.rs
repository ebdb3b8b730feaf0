//! The floor of every unary figure: an empty tonic echo in the same process layout.

use std::time::Duration;

use serde_json::Value;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{
    Request, Response, Status, async_trait,
    transport::{Channel, Server},
};

use crate::load::{self, Plan, Round};

#[allow(clippy::all, clippy::pedantic, reason = "generated")]
mod pb {
    tonic::include_proto!("echo");
}
use pb::{
    Nothing,
    echo_client::EchoClient,
    echo_server::{Echo, EchoServer},
};

/// Calls in flight.
pub const IN_FLIGHT: usize = 64;
/// Connections that share them.
pub const CONNECTIONS: usize = 4;

struct Empty;

#[async_trait]
impl Echo for Empty {
    async fn call(&self, _: Request<Nothing>) -> Result<Response<Nothing>, Status> {
        Ok(Response::new(Nothing {}))
    }
}

/// A running echo and connections to it.
pub struct Floor {
    channels: Vec<Channel>,
}

impl Floor {
    /// Starts it.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let server = Server::builder().add_service(EchoServer::new(Empty));
        tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        Self { channels: channels(&url).await }
    }

    /// One round.
    pub async fn round(&self, length: Duration) -> Round {
        load::round(IN_FLIGHT, length, |n| {
            let client = EchoClient::new(self.channels[n % CONNECTIONS].clone());
            move |_| {
                let mut client = client.clone();
                async move {
                    client.call(Nothing {}).await.unwrap();
                }
            }
        })
        .await
    }
}

/// Connections to a server.
pub async fn channels(url: &str) -> Vec<Channel> {
    let mut channels = Vec::new();
    for _ in 0..CONNECTIONS {
        channels
            .push(Channel::from_shared(url.to_owned()).unwrap().tcp_nodelay(true).connect().await.unwrap());
    }
    channels
}

/// The floor by itself.
pub async fn run(plan: Plan) -> Value {
    let floor = Floor::start().await;
    floor.round(Duration::from_millis(500)).await;
    let mut rounds = Vec::new();
    for _ in 0..plan.rounds {
        rounds.push(floor.round(Duration::from_secs(plan.seconds)).await);
    }
    load::figures(rounds.clone(), rounds)
}
