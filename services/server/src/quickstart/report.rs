//! What the quickstart shows at its end.

use std::path::Path;

use proto::audit::v1::{self as pb, AuditEvent, audit_service_client::AuditServiceClient};
use serde::Serialize;

use super::{
    Failure,
    catalog::MarketplaceReport,
    client::{done, token_path},
    decisions::{Answers, DecisionReport},
    people::{People, TENANT},
    usage::UsageReport,
};
use crate::app::Running;

/// Audit events shown.
const SHOWN: usize = 8;

/// The report; with `--json` exactly this, as one object.
#[derive(Serialize)]
pub struct Report {
    marketplaces: Vec<MarketplaceReport>,
    tenant: &'static str,
    decisions: Vec<DecisionReport>,
    /// Why one of them is a no, in sentences.
    explanation: String,
    usage: Vec<UsageReport>,
    audit: AuditReport,
}

#[derive(Serialize)]
struct AuditReport {
    events: usize,
}

/// The client's audit log, newest first, without the reading of it and without decisions, of which every run makes the same.
pub async fn trail(people: &People) -> Result<Vec<AuditEvent>, Failure> {
    let mut client = AuditServiceClient::new(people.admin.channel.clone());
    let (mut events, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = pb::ListAuditEventsRequest {
            parent: TENANT.to_owned(),
            page_size: 1_000,
            page_token,
            filter: "NOT event_class = audit_read AND NOT event_class = decision".to_owned(),
            ..Default::default()
        };
        let page = done("reading the audit log", client.list_audit_events(people.admin.ask(request)).await)?;
        events.extend(page.audit_events);
        if page.next_page_token.is_empty() {
            return Ok(events);
        }
        page_token = page.next_page_token;
    }
}

impl Report {
    /// Puts the parts together.
    pub fn new(
        marketplaces: Vec<MarketplaceReport>,
        answers: Answers,
        usage: Vec<UsageReport>,
        audit: &[AuditEvent],
    ) -> Self {
        let Answers { decisions, explanation } = answers;
        let audit = AuditReport { events: audit.len() };
        Self { marketplaces, tenant: TENANT, decisions, explanation, usage, audit }
    }

    /// For people.
    pub fn print(&self, audit: &[AuditEvent]) {
        println!("\nMarketplaces");
        for m in &self.marketplaces {
            println!(
                "  {:<28} {:>4} plugins {:>4} apps {:>4} skills {:>4} skipped",
                m.name,
                m.plugins,
                m.apps,
                m.skills,
                m.skipped.len()
            );
            for s in &m.skipped {
                println!("    skipped {}: {}", s.entry, s.reason);
            }
        }
        println!("\nDecisions in {}", self.tenant);
        for d in &self.decisions {
            let (who, what) = (tail(&d.principal), tail(&d.plugin));
            let answer = if d.allowed { "yes" } else { "no " };
            println!("  may {who:<12} use {what:<26} {answer}  {}", d.reason);
        }
        if !self.explanation.is_empty() {
            println!("\n  {}", self.explanation.replace(". ", ".\n  "));
        }
        println!("\nUsage by role");
        for u in &self.usage {
            println!("  {:<20} {:<22} {:>12} {}", u.role, u.meter, u.value, u.unit);
        }
        println!("\nAudit log of {}: {} events, the newest", self.tenant, self.audit.events);
        for event in audit.iter().take(SHOWN) {
            let targets: Vec<_> = event.targets.iter().map(|t| tail(t)).collect();
            println!("  {:<20} by {:<28} {}", event.action, event.actor, targets.join(", "));
        }
    }
}

/// What to try next.
pub fn print_next(running: &Running, dir: &Path, exits: bool) {
    let (url, token) = (running.url(), token_path(dir, "carla"));
    println!(
        "\nTokens are in `{}` (mode 0600): admin, nora (partner administrator), carla (consultant), olivia (owner).",
        dir.display()
    );
    if exits {
        return;
    }
    println!("The server stays up at {url}; stop it with Ctrl-C. Try, in another terminal:\n");
    println!(
        "  provost context add quickstart --address {url} --token-file {} --tenant acme",
        token.display()
    );
    println!("  provost role list");
    println!("  provost explain user:maria plugin:pitchbook");
    println!("  provost check acme/sam provost-starter/investment-banking");
    println!("  provost usage query --group-by role");
    println!("  provost usage adoption --window week --by role-family");
    println!("  provost audit list --token-file {}", token_path(dir, "olivia").display());
    println!("  curl {url}/metrics");
}

fn tail(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}
