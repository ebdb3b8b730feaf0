//! Splunk HTTP Event Collector: JSON objects one after the other in one request.

use audit::https::Client;
use serde_json::json;

use super::{Outcome, http::post};
use crate::message::Message;

/// Path of the collector.
const PATH: &str = "/services/collector/event";

/// The sender.
pub struct Splunk {
    client: Client,
    url: String,
    index: String,
    authorization: String,
}

impl Splunk {
    /// With the collector's token.
    pub fn new(client: Client, url: &str, index: &str, token: &str) -> Self {
        Self {
            client,
            url: format!("{}{PATH}", url.trim_end_matches('/')),
            index: index.to_owned(),
            authorization: format!("Splunk {token}"),
        }
    }

    /// Sends the batch.
    pub async fn send(&self, batch: &[Message]) -> Outcome {
        let body: String = batch.iter().map(|message| event(message, &self.index)).collect();
        let headers =
            [("content-type", "application/json".to_owned()), ("authorization", self.authorization.clone())];
        post(&self.client, &self.url, &headers, body).await.err().unwrap_or(Outcome::Taken)
    }
}

/// One object. Its time is seconds with microseconds, a number.
fn event(message: &Message, index: &str) -> String {
    let micros = message.time.micros();
    let mut object = json!({
        "host": message.log,
        "source": "provost",
        "sourcetype": "provost:audit",
        "event": message.data(),
        "fields": {"event_id": message.id, "sequence": message.sequence, "action": message.action, "outcome": message.outcome},
    });
    if let Some(fields) = object.as_object_mut().filter(|_| !index.is_empty()) {
        fields.insert("index".to_owned(), json!(index));
    }
    let rest = object.to_string();
    let rest = rest.strip_prefix('{').unwrap_or(&rest);
    format!("{{\"time\":{}.{:06},{rest}\n", micros.div_euclid(1_000_000), micros.rem_euclid(1_000_000))
}

#[cfg(test)]
mod tests {
    use kernel::clock::Time;
    use serde_json::Value;

    use super::*;

    #[test]
    fn an_event_carries_its_time_as_a_number_and_its_place() {
        let message =
            Message::test(uuid::Uuid::nil(), "h/platform", Time::from_micros(1_700_000_000_000_042));
        let text = event(&message, "main");
        assert!(text.starts_with("{\"time\":1700000000.000042,"), "{text}");
        let value: Value = serde_json::from_str(&text).unwrap();
        assert_eq!((&value["index"], &value["fields"]["sequence"]), (&json!("main"), &json!(-1)));
        assert_eq!(value["event"]["log"], "h/platform");
    }
}
