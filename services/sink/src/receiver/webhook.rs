//! Standard Webhooks (standardwebhooks.com): one event a request, signed with every key of the sink.

use audit::https::Client;
use kernel::{Result, clock::Time, error::Error};

use super::{Outcome, http::post};
use crate::{
    message::Message,
    secret::{Key, Secret},
};

/// The sender.
pub struct Webhook {
    client: Client,
    url: String,
    keys: Vec<Key>,
}

impl Webhook {
    /// With the keys in `secret`.
    pub fn new(client: Client, url: &str, secret: &Secret) -> Result<Self> {
        let keys = secret.keys().map_err(Error::internal)?;
        Ok(Self { client, url: url.to_owned(), keys })
    }

    /// Sends one message after the other.
    pub async fn send(&self, batch: &[Message], now: Time) -> Outcome {
        for message in batch {
            let body = match message.payload() {
                Ok(body) => body,
                Err(error) => return Outcome::Refused(error.to_string()),
            };
            let (id, timestamp) = (message.id.to_string(), now.micros().div_euclid(1_000_000));
            let signatures: Vec<_> = self.keys.iter().map(|key| key.sign(&id, timestamp, &body)).collect();
            let headers = [
                ("content-type", "application/json".to_owned()),
                ("webhook-id", id),
                ("webhook-timestamp", timestamp.to_string()),
                ("webhook-signature", signatures.join(" ")),
            ];
            if let Err(outcome) = post(&self.client, &self.url, &headers, body).await {
                return outcome;
            }
        }
        Outcome::Taken
    }
}
