//! Who set a rule: the audit log knows, and tells those who may read it.

use jiff::Timestamp;
use prost_reflect::DynamicMessage;
use proto::{
    audit::v1::{AuditEvent, ListAuditEventsRequest, audit_service_client::AuditServiceClient},
    decision::v1::RuleAccount,
};
use serde_json::{Value, json};

use crate::{
    app::App,
    client::{Link, MAX_ANSWER_BYTES, Repeat},
    error::Result,
    output::{clean, encode, reflect, value},
};

/// Events that a page holds; a rule that changes more often than that takes another page.
const PAGE: i32 = 100;

/// Who made a rule, and who changed it last.
pub struct Author {
    made: Option<AuditEvent>,
    changed: Option<AuditEvent>,
}

fn client(link: Link) -> AuditServiceClient<Link> {
    AuditServiceClient::new(link).max_decoding_message_size(MAX_ANSWER_BYTES)
}

/// Finds who set a rule that is there now.
pub async fn of(rule: &str, app: &mut App<'_, '_>) -> Result<Author> {
    let parent = rule.split("/entitlements/").next().unwrap_or_default().to_owned();
    let mut request = ListAuditEventsRequest {
        parent,
        page_size: PAGE,
        filter: format!("target = \"{rule}\" AND action = \"entitlement.*\" AND outcome = OK"),
        ..ListAuditEventsRequest::default()
    };
    let mut author = Author { made: None, changed: None };
    loop {
        // the newest first
        let rpc = async |l, r| client(l).list_audit_events(r).await;
        let page = app.client()?.call(Repeat::Safe, &request, rpc).await?;
        for event in page.audit_events {
            match event.action.as_str() {
                "entitlement.update" if author.changed.is_none() => author.changed = Some(event),
                // what is older is of another rule that had this name
                "entitlement.create" => {
                    author.made = Some(event);
                    return Ok(author);
                }
                _ => {}
            }
        }
        if page.next_page_token.is_empty() {
            return Ok(author);
        }
        request.page_token = page.next_page_token;
    }
}

/// A sentence about each rule that decided.
pub async fn sentences(rules: &[RuleAccount], app: &mut App<'_, '_>) -> Result<String> {
    let mut text = String::new();
    for rule in rules.iter().filter(|rule| rule.decided) {
        let author = of(&rule.entitlement, app).await?;
        text.push_str(&format!("{}\n", clean(&author.sentence(&rule.entitlement))));
    }
    Ok(text)
}

/// The explanation as it was answered, with the author of each rule that decided in `setBy`.
pub async fn exact(
    explanation: &DynamicMessage,
    rules: &[RuleAccount],
    app: &mut App<'_, '_>,
) -> Result<String> {
    let mut told = value(explanation)?;
    let mut authors = Vec::new();
    for rule in rules.iter().filter(|rule| rule.decided) {
        authors.push(of(&rule.entitlement, app).await?.exact(&rule.entitlement)?);
    }
    if let Some(fields) = told.as_object_mut() {
        fields.insert("setBy".to_owned(), Value::Array(authors));
    }
    encode(&told, app.format())
}

impl Author {
    /// The events that say so, whole; null where the record has none any more.
    fn exact(&self, rule: &str) -> Result<Value> {
        let event = |event: &Option<AuditEvent>| match event {
            Some(event) => value(&reflect(event)?),
            None => Ok(Value::Null),
        };
        Ok(json!({"entitlement": rule, "made": event(&self.made)?, "changed": event(&self.changed)?}))
    }

    fn sentence(&self, rule: &str) -> String {
        let id = rule.rsplit('/').next().unwrap_or(rule);
        let by = |event: &AuditEvent| {
            let mandate = if event.partner.is_empty() {
                String::new()
            } else {
                format!(" on the mandate of {}", event.partner)
            };
            let time = event.time.and_then(|time| Timestamp::from_second(time.seconds).ok());
            let when = time.map(|time| format!(" at {time}")).unwrap_or_default();
            format!("{}{mandate}{when}", event.actor)
        };
        match (&self.made, &self.changed) {
            (None, None) => format!("Who set rule {id} is not on the record any more."),
            (None, Some(changed)) => format!("Rule {id} was changed last by {}.", by(changed)),
            (Some(made), None) => format!("Rule {id} was set by {}.", by(made)),
            (Some(made), Some(changed)) => {
                format!("Rule {id} was set by {}, and changed last by {}.", by(made), by(changed))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(actor: &str, partner: &str) -> AuditEvent {
        AuditEvent {
            actor: actor.to_owned(),
            partner: partner.to_owned(),
            time: Some(prost_types::Timestamp { seconds: 1_795_000_000, nanos: 0 }),
            ..AuditEvent::default()
        }
    }

    #[test]
    fn who_made_it_and_who_changed_it_are_told_apart() {
        let told = |made, changed| Author { made, changed }.sentence("tenants/acme/entitlements/floor");
        let carl = || Some(event("tenants/acme/principals/carl", ""));
        let carla = || Some(event("partners/northwind/principals/carla", "partners/northwind"));
        assert_eq!(told(None, None), "Who set rule floor is not on the record any more.");
        assert_eq!(
            told(carl(), None),
            "Rule floor was set by tenants/acme/principals/carl at 2026-11-18T11:06:40Z."
        );
        assert_eq!(
            told(carl(), carla()),
            "Rule floor was set by tenants/acme/principals/carl at 2026-11-18T11:06:40Z, and changed last by \
             partners/northwind/principals/carla on the mandate of partners/northwind at 2026-11-18T11:06:40Z."
        );
    }
}
