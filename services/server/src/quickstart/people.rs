//! The partner, the client and everybody in them.

use std::path::{Path, PathBuf};

use proto::{
    duty::v1::{self as duty, Duty, duty_service_client::DutyServiceClient},
    group::v1::{self as group, group_service_client::GroupServiceClient},
    partner::v1::{self as partner, partner_service_client::PartnerServiceClient},
    principal::v1::{self as principal, PrincipalKind, principal_service_client::PrincipalServiceClient},
    role::v1::{self as role, RoleFamily, role_service_client::RoleServiceClient},
    tenant::v1::{self as tenant, TenantState, tenant_service_client::TenantServiceClient},
    token::v1::{self as token, TokenKind, TokenScope, token_service_client::TokenServiceClient},
    unit::v1::{self as unit, unit_service_client::UnitServiceClient},
};
use tonic::transport::Channel;

use super::{
    Failure, Progress,
    client::{Caller, done, ensured, found, token_path},
};
use crate::{app::Running, files::write_private};

/// The sample client.
pub const TENANT: &str = "tenants/acme";
const PARTNER: &str = "partners/northwind";
/// How long the sample's tokens live.
const TOKEN_DAYS: i64 = 90;

/// A person of the sample client.
pub struct Person {
    /// Id in names.
    pub id: &'static str,
    name: &'static str,
    unit: &'static str,
    /// The job role.
    pub role: &'static str,
}

/// The people whose use of the assistant is shown, one for every role.
pub const PEOPLE: [Person; 4] = [
    Person { id: "maria", name: "Maria Lopez", unit: "finance", role: "data-analyst" },
    Person { id: "sam", name: "Sam Okafor", unit: "sales", role: "sales" },
    Person { id: "ivy", name: "Ivy Chen", unit: "finance", role: "investment-banker" },
    Person { id: "dmitri", name: "Dmitri Volkov", unit: "engineering", role: "developer" },
];
const ROLES: [(&str, &str, &str, RoleFamily); 4] = [
    ("data-analyst", "Data analyst", "Turns warehouse data into answers", RoleFamily::NonDeveloper),
    ("sales", "Sales", "Works accounts from first call to signature", RoleFamily::NonDeveloper),
    (
        "investment-banker",
        "Investment banker",
        "Models, comparables and pitch books",
        RoleFamily::NonDeveloper,
    ),
    ("developer", "Developer", "Builds and runs software", RoleFamily::Developer),
];
const UNITS: [(&str, &str, &str, &str); 4] = [
    ("commercial", "Commercial", "", "cc-10"),
    ("sales", "Sales", "commercial", "cc-11"),
    ("finance", "Finance", "", "cc-20"),
    ("engineering", "Engineering", "", "cc-30"),
];

/// Who calls in the sample.
pub struct People {
    /// Runs the deployment.
    pub admin: Caller,
    /// Signs contracts for the partner.
    pub partner_admin: Caller,
    /// Provisions the client.
    pub consultant: Caller,
    /// Owns the client's side of it.
    pub owner: Caller,
    /// Where tokens are kept.
    pub dir: PathBuf,
}

/// Creates what is not there yet.
pub async fn provision(running: &Running, dir: &Path, progress: Progress) -> Result<People, Failure> {
    let channel = Channel::from_shared(running.url())?.connect().await?;
    let admin = administrator(running, channel, dir).await?;
    progress.step("partner `northwind` with an administrator and a consultant");
    partner(&admin).await?;
    let partner_admin = staff(&admin, dir, "nora", "Nora Lindqvist", Duty::PartnerAdmin).await?;
    let consultant = staff(&admin, dir, "carla", "Carla Mendes", Duty::Consultant).await?;
    progress.step("client `acme`: units, roles, people, a group and an agent");
    tenant(&consultant).await?;
    units(&consultant).await?;
    roles(&consultant).await?;
    principals(&consultant).await?;
    holdings(&consultant).await?;
    let owner = owner(&admin, &consultant, dir).await?;
    Ok(People { admin, partner_admin, consultant, owner, dir: dir.to_owned() })
}

/// The platform administrator: made with the bootstrap token at the first run, known from its file afterwards.
async fn administrator(running: &Running, channel: Channel, dir: &Path) -> Result<Caller, Failure> {
    let path = token_path(dir, "admin");
    if let Ok(secret) = std::fs::read_to_string(&path) {
        return Ok(Caller::new(channel, secret.trim().to_owned()));
    }
    let Some(secret) = access::token::bootstrap::ensure(&running.kernel).await? else {
        let text = format!(
            "`{}` holds a deployment that was not made by quickstart; choose another --data-dir",
            dir.display()
        );
        return Err(text.into());
    };
    let bootstrap = Caller::new(channel.clone(), secret.text);
    let request = token::BootstrapRequest {
        principal_id: "admin".to_owned(),
        display_name: "Administrator".to_owned(),
        email: String::new(),
    };
    let made = TokenServiceClient::new(channel.clone()).bootstrap(bootstrap.ask(request)).await;
    let made = done("making the first administrator", made)?;
    write_private(&path, &made.secret)?;
    Ok(Caller::new(channel, made.secret))
}

async fn partner(admin: &Caller) -> Result<(), Failure> {
    let mut client = PartnerServiceClient::new(admin.channel.clone());
    let ask = partner::GetPartnerRequest { name: PARTNER.to_owned() };
    if found("reading the partner", client.get_partner(admin.ask(ask)).await)?.is_some() {
        return Ok(());
    }
    let new = partner::Partner { display_name: "Northwind Consulting".to_owned(), ..Default::default() };
    let request = partner::CreatePartnerRequest {
        partner_id: "northwind".to_owned(),
        partner: Some(new),
        ..Default::default()
    };
    done("creating the partner", client.create_partner(admin.ask(request)).await).map(|_| ())
}

/// A person of the partner, with a duty and a token.
async fn staff(admin: &Caller, dir: &Path, id: &str, name: &str, duty: Duty) -> Result<Caller, Failure> {
    let person = principal::Principal {
        kind: PrincipalKind::User.into(),
        display_name: name.to_owned(),
        email: format!("{id}@northwind.example"),
        ..Default::default()
    };
    principal(admin, PARTNER, id, person).await?;
    let holder = format!("{PARTNER}/principals/{id}");
    grant(admin, PARTNER, &holder, duty).await?;
    admin.with_token(dir, id, PARTNER, personal_token(&holder)).await
}

async fn tenant(consultant: &Caller) -> Result<(), Failure> {
    let mut client = TenantServiceClient::new(consultant.channel.clone());
    let ask = tenant::GetTenantRequest { name: TENANT.to_owned() };
    if found("reading the client", client.get_tenant(consultant.ask(ask)).await)?.is_some() {
        return Ok(());
    }
    let new = tenant::Tenant {
        partner: PARTNER.to_owned(),
        display_name: "Acme Capital".to_owned(),
        ..Default::default()
    };
    let request =
        tenant::CreateTenantRequest { tenant_id: "acme".to_owned(), tenant: Some(new), ..Default::default() };
    done("creating the client", client.create_tenant(consultant.ask(request)).await).map(|_| ())
}

async fn units(consultant: &Caller) -> Result<(), Failure> {
    let mut client = UnitServiceClient::new(consultant.channel.clone());
    for (id, name, parent, cost_center) in UNITS {
        let parent_unit = if parent.is_empty() { String::new() } else { format!("{TENANT}/units/{parent}") };
        let new = unit::Unit {
            display_name: name.to_owned(),
            parent_unit,
            cost_center: cost_center.to_owned(),
            ..Default::default()
        };
        let request = unit::CreateUnitRequest {
            parent: TENANT.to_owned(),
            unit_id: id.to_owned(),
            unit: Some(new),
            ..Default::default()
        };
        ensured("creating a unit", client.create_unit(consultant.ask(request)).await)?;
    }
    Ok(())
}

async fn roles(consultant: &Caller) -> Result<(), Failure> {
    let mut client = RoleServiceClient::new(consultant.channel.clone());
    for (id, name, description, family) in ROLES {
        let new = role::Role {
            display_name: name.to_owned(),
            description: description.to_owned(),
            family: family.into(),
            ..Default::default()
        };
        let request = role::CreateRoleRequest {
            parent: TENANT.to_owned(),
            role_id: id.to_owned(),
            role: Some(new),
            ..Default::default()
        };
        ensured("creating a role", client.create_role(consultant.ask(request)).await)?;
    }
    Ok(())
}

async fn principals(consultant: &Caller) -> Result<(), Failure> {
    for person in &PEOPLE {
        let new = principal::Principal {
            kind: PrincipalKind::User.into(),
            display_name: person.name.to_owned(),
            email: format!("{}@acme.example", person.id),
            unit: format!("{TENANT}/units/{}", person.unit),
            ..Default::default()
        };
        principal(consultant, TENANT, person.id, new).await?;
    }
    let owner = principal::Principal {
        kind: PrincipalKind::User.into(),
        display_name: "Olivia Brandt".to_owned(),
        email: "olivia@acme.example".to_owned(),
        ..Default::default()
    };
    principal(consultant, TENANT, "olivia", owner).await?;
    let agent = principal::Principal {
        kind: PrincipalKind::Agent.into(),
        display_name: "Maria's research agent".to_owned(),
        owner: format!("{TENANT}/principals/maria"),
        unit: format!("{TENANT}/units/finance"),
        ..Default::default()
    };
    principal(consultant, TENANT, "maria-agent", agent).await
}

/// Who holds which role: bankers through their directory group, everybody else directly.
async fn holdings(consultant: &Caller) -> Result<(), Failure> {
    let mut groups = GroupServiceClient::new(consultant.channel.clone());
    let bankers = group::Group {
        display_name: "Bankers".to_owned(),
        external_id: "directory/bankers".to_owned(),
        ..Default::default()
    };
    let request = group::CreateGroupRequest {
        parent: TENANT.to_owned(),
        group_id: "bankers".to_owned(),
        group: Some(bankers),
        ..Default::default()
    };
    ensured("creating a group", groups.create_group(consultant.ask(request)).await)?;
    let request = group::AddGroupMemberRequest {
        name: format!("{TENANT}/groups/bankers"),
        member: format!("{TENANT}/principals/ivy"),
        ..Default::default()
    };
    ensured("adding to a group", groups.add_group_member(consultant.ask(request)).await)?;
    let mut roles = RoleServiceClient::new(consultant.channel.clone());
    let holders = [
        ("data-analyst", "principals/maria"),
        ("data-analyst", "principals/maria-agent"),
        ("sales", "principals/sam"),
        ("investment-banker", "groups/bankers"),
        ("developer", "principals/dmitri"),
    ];
    for (id, member) in holders {
        let request = role::AddRoleMemberRequest {
            name: format!("{TENANT}/roles/{id}"),
            member: format!("{TENANT}/{member}"),
            ..Default::default()
        };
        ensured("giving a role", roles.add_role_member(consultant.ask(request)).await)?;
    }
    Ok(())
}

/// The client's own first owner, named by the consultant while there is none.
async fn owner(admin: &Caller, consultant: &Caller, dir: &Path) -> Result<Caller, Failure> {
    let holder = format!("{TENANT}/principals/olivia");
    let list = duty::ListDutyGrantsRequest { parent: TENANT.to_owned(), ..Default::default() };
    let granted = DutyServiceClient::new(admin.channel.clone()).list_duty_grants(admin.ask(list)).await;
    if done("reading duties", granted)?.duty_grants.iter().all(|g| g.principal != holder) {
        grant(consultant, TENANT, &holder, Duty::Owner).await?;
    }
    admin.with_token(dir, "olivia", TENANT, personal_token(&holder)).await
}

/// Moves the client on to LIVE from wherever it stands.
pub async fn go_live(people: &People) -> Result<(), Failure> {
    let mut client = TenantServiceClient::new(people.consultant.channel.clone());
    let name = TENANT.to_owned();
    loop {
        let ask = tenant::GetTenantRequest { name: name.clone() };
        let now = done("reading the client", client.get_tenant(people.consultant.ask(ask)).await)?;
        match now.state() {
            TenantState::Pipeline => {
                let contract = Some(contract(&now)?);
                let request =
                    tenant::ContractTenantRequest { name: name.clone(), contract, ..Default::default() };
                done(
                    "signing the contract",
                    client.contract_tenant(people.partner_admin.ask(request)).await,
                )?;
            }
            TenantState::Contracted => {
                let request = tenant::StartPilotRequest { name: name.clone(), ..Default::default() };
                done("starting the pilot", client.start_pilot(people.consultant.ask(request)).await)?;
            }
            TenantState::Pilot => {
                let request = tenant::GoLiveRequest { name: name.clone(), ..Default::default() };
                done("going live", client.go_live(people.consultant.ask(request)).await)?;
            }
            _ => return Ok(()),
        }
    }
}

/// A contract of one year from the day on which the client was created.
fn contract(tenant: &tenant::Tenant) -> Result<tenant::Contract, Failure> {
    let seconds = tenant.create_time.as_ref().map_or(0, |t| t.seconds);
    let day = jiff::Timestamp::from_second(seconds)?.to_zoned(jiff::tz::TimeZone::UTC).date();
    Ok(tenant::Contract {
        signed_date: day.to_string(),
        start_date: day.to_string(),
        end_date: day.checked_add(jiff::Span::new().years(1))?.to_string(),
        currency: "EUR".to_owned(),
        seats: vec![tenant::ContractSeats {
            pool: "standard".to_owned(),
            count: 25,
            monthly_price_minor: 3_000,
        }],
        renewal: tenant::Renewal::Automatic.into(),
    })
}

async fn principal(by: &Caller, parent: &str, id: &str, new: principal::Principal) -> Result<(), Failure> {
    let request = principal::CreatePrincipalRequest {
        parent: parent.to_owned(),
        principal_id: id.to_owned(),
        principal: Some(new),
        ..Default::default()
    };
    let mut client = PrincipalServiceClient::new(by.channel.clone());
    ensured(&format!("creating the principal `{id}`"), client.create_principal(by.ask(request)).await)
}

async fn grant(by: &Caller, parent: &str, principal: &str, duty: Duty) -> Result<(), Failure> {
    let request = duty::GrantDutyRequest {
        parent: parent.to_owned(),
        principal: principal.to_owned(),
        duty: duty.into(),
        ..Default::default()
    };
    let mut client = DutyServiceClient::new(by.channel.clone());
    ensured("granting a duty", client.grant_duty(by.ask(request)).await)
}

fn personal_token(principal: &str) -> token::Token {
    token(principal, TokenKind::Personal, TokenScope::All)
}

/// A token of the sample for `principal`.
pub fn token(principal: &str, kind: TokenKind, scope: TokenScope) -> token::Token {
    let seconds = kernel::clock::Clock::System.now().micros() / 1_000_000 + TOKEN_DAYS * 86_400;
    token::Token {
        principal: principal.to_owned(),
        kind: kind.into(),
        display_name: "quickstart".to_owned(),
        scopes: vec![scope.into()],
        expire_time: Some(prost_types::Timestamp { seconds, nanos: 0 }),
        ..Default::default()
    }
}
