//! A tenant's rules as they are: what an edge would decide by, verified as an edge verifies it.

use std::time::Duration;

use decision::Facts;
use edge::{Content, MAX_MESSAGE_BYTES, Signed};
use proto::decision::v1::{
    GetDecisionKeysRequest, WatchRequest, decision_service_client::DecisionServiceClient,
};
use tokio::time::timeout;
use tonic::Request;

use crate::{
    app::App,
    client::{Link, Repeat},
    commands::audit::keys,
    error::{Error, Result},
};

/// Longest wait for the rules.
const PATIENCE: Duration = Duration::from_mins(1);

/// The rules of a tenant.
pub struct Live {
    /// Whose, and by which revision.
    pub origin: String,
    /// All that its decisions rest on.
    pub facts: Facts,
}

fn client(link: Link) -> DecisionServiceClient<Link> {
    DecisionServiceClient::new(link).max_decoding_message_size(MAX_MESSAGE_BYTES + (1 << 20))
}

/// Reads the rules of `--tenant` as they are now.
pub async fn live(app: &mut App<'_, '_>) -> Result<Live> {
    let parent = app.names.tenant(None)?;
    let connection = app.client()?;
    let request = GetDecisionKeysRequest { parent: parent.clone() };
    let rpc = async |l, r| client(l).get_decision_keys(r).await;
    let keys = keys::given(&connection.call(Repeat::Safe, &request, rpc).await?.verifier_keys)?;
    let request = WatchRequest { parent: parent.clone(), from: None };
    // the first message brings the whole state; what changes after it is not waited for
    let first = connection.repeated(Repeat::Safe, async |link| {
        let mut stream = client(link).watch(Request::new(request.clone())).await?.into_inner();
        stream.message().await
    });
    let first = timeout(PATIENCE, first).await.unwrap_or(Err(Error::TimedOut { after: PATIENCE }))?;
    let nothing = || Error::Local(format!("the server sent no rules of {parent}; try again"));
    let message = first.ok_or_else(nothing)?;
    let tenant = parent.trim_start_matches("tenants/");
    let verified = Signed::new(message.note, message.payload).verify(&keys, tenant);
    let verified = verified.map_err(|refused| Error::Local(format!("the rules of {parent}: {refused}")))?;
    let to = verified.statement().to;
    match verified.content() {
        Content::Snapshot(facts) => Ok(Live {
            origin: format!("the rules of {parent} at revision {}.{}", to.tenant, to.catalog),
            facts: facts.clone(),
        }),
        Content::Delta(_) | Content::Nothing => Err(nothing()),
    }
}
