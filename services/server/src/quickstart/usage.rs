//! Telemetry goes in as an assistant sends it; figures per role come out.

use std::path::{Path, PathBuf};

use proto::{
    tenant::v1::{self as tenant, tenant_service_client::TenantServiceClient},
    token::v1::{TokenKind, TokenScope},
    usage::v1::{self as usage, UsageDimension, usage_service_client::UsageServiceClient},
};
use serde::Serialize;

use super::{
    Failure, Progress,
    client::{Caller, done},
    people::{PEOPLE, People, Person, TENANT, token},
    sample,
};
use crate::app::Running;

/// One figure.
#[derive(Serialize)]
pub struct UsageReport {
    /// Id of the role; empty for use without one.
    pub role: String,
    /// The meter.
    pub meter: String,
    /// How much, in the meter's unit.
    pub value: i64,
    /// The unit, for people.
    #[serde(skip)]
    pub unit: String,
}

/// Sends the captures of `directories`, one person each in turn, or the built-in sample of everybody.
pub async fn send(
    running: &Running,
    people: &People,
    directories: &[PathBuf],
    progress: Progress,
) -> Result<(), Failure> {
    if directories.is_empty() {
        progress.step("sending a sample of usage");
        let since = created(people).await?;
        for (index, person) in PEOPLE.iter().enumerate() {
            let sender = sender(people, person).await?;
            sender.post_logs(&running.url(), sample::session(person.role, index, since)).await?;
        }
    }
    for (directory, person) in directories.iter().zip(PEOPLE.iter().cycle()) {
        let bodies = captures(directory)?;
        progress.step(&format!("sending {} captured requests of `{}`", bodies.len(), directory.display()));
        let sender = sender(people, person).await?;
        for body in bodies {
            sender.post_logs(&running.url(), body).await?;
        }
    }
    Ok(())
}

/// When the client was created: the sample's events keep their times from run to run.
async fn created(people: &People) -> Result<i64, Failure> {
    let ask = tenant::GetTenantRequest { name: TENANT.to_owned() };
    let mut client = TenantServiceClient::new(people.consultant.channel.clone());
    let tenant = done("reading the client", client.get_tenant(people.consultant.ask(ask)).await)?;
    Ok(tenant.create_time.map_or(0, |t| t.seconds))
}

/// A person's assistant, with an ingest token that fixes tenant and person.
async fn sender(people: &People, person: &Person) -> Result<Caller, Failure> {
    let holder = format!("{TENANT}/principals/{}", person.id);
    let new = token(&holder, TokenKind::Ingest, TokenScope::Ingest);
    people.consultant.with_token(&people.dir, &format!("ingest-{}", person.id), TENANT, new).await
}

/// The log requests of a capture directory, in the order of their names.
fn captures(directory: &Path) -> Result<Vec<Vec<u8>>, Failure> {
    let unreadable = |e: std::io::Error| {
        Failure::from(format!("cannot read capture directory `{}`: {e}; check --otlp", directory.display()))
    };
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
        if name.contains("logs") && path.extension().is_some_and(|e| e == "json") {
            paths.push(path);
        }
    }
    paths.sort();
    if paths.is_empty() {
        let text = format!(
            "no `*logs*.json` file in `{}`; OTLP/HTTP JSON log requests are expected there",
            directory.display()
        );
        return Err(text.into());
    }
    paths.iter().map(|p| std::fs::read(p).map_err(unreadable)).collect()
}

/// Usage per role.
pub async fn by_role(people: &People) -> Result<Vec<UsageReport>, Failure> {
    let request = usage::QueryUsageRequest {
        parent: TENANT.to_owned(),
        group_by: vec![UsageDimension::Role.into()],
        ..Default::default()
    };
    let mut client = UsageServiceClient::new(people.consultant.channel.clone());
    let answer = done("reading usage", client.query_usage(people.consultant.ask(request)).await)?;
    let short = |name: &str| name.rsplit('/').next().unwrap_or_default().to_owned();
    Ok(answer
        .rows
        .into_iter()
        .map(|r| UsageReport { role: short(&r.role), meter: r.meter, value: r.value, unit: r.unit })
        .collect())
}
