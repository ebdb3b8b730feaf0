//! Two partners with a client each, and somebody for every duty.

use std::collections::BTreeMap;

use proto::{
    duty::v1::{self as duty, Duty, duty_service_client::DutyServiceClient},
    partner::v1::{self as partner, partner_service_client::PartnerServiceClient},
    principal::v1::{self as principal, PrincipalKind, principal_service_client::PrincipalServiceClient},
    role::v1::{self as role, role_service_client::RoleServiceClient},
    tenant::v1::{self as tenant, tenant_service_client::TenantServiceClient},
    token::v1::{self as token, TokenKind, TokenScope, token_service_client::TokenServiceClient},
};
use tonic::Status;

use crate::site::{Caller, Site};

/// The first partner's client.
pub const ACME: &str = "tenants/acme";
/// The first partner.
pub const NORTHWIND: &str = "partners/northwind";

/// A site with people in it.
pub struct World {
    /// The server.
    pub site: Site,
    /// Everything on the platform.
    pub admin: Caller,
    /// Provisions `tenants/acme` for `partners/northwind`.
    pub consultant: Caller,
    /// Owns `tenants/acme`.
    pub owner: Caller,
    /// One caller for every duty, by its policy name: those of `acme` and `northwind`.
    pub holders: BTreeMap<&'static str, Caller>,
    /// A consultant of `partners/contoso`.
    pub rival: Caller,
    /// The owner of `tenants/globex`, a client of contoso.
    pub stranger: Caller,
}

const TENANT_DUTIES: [(&str, Duty); 6] = [
    ("owner", Duty::Owner),
    ("admin", Duty::Admin),
    ("compliance", Duty::Compliance),
    ("finance", Duty::Finance),
    ("approver", Duty::Approver),
    ("member", Duty::Member),
];

impl World {
    /// Builds it over the wire.
    pub async fn build(site: Site) -> Self {
        let admin = site.admin().await;
        let mut holders = BTreeMap::from([("platform_admin", admin.clone())]);
        user(&admin, "", "auditor").await;
        grant(&admin, "", "auditor", Duty::PlatformAuditor).await.unwrap();
        holders.insert("platform_auditor", personal(&admin, "", "auditor").await);
        for name in ["northwind", "contoso"] {
            partner(&admin, name).await;
            for (id, duty) in [("boss", Duty::PartnerAdmin), ("carla", Duty::Consultant)] {
                let parent = format!("partners/{name}");
                user(&admin, &parent, id).await;
                grant(&admin, &parent, id, duty).await.unwrap();
            }
        }
        holders.insert("partner_admin", personal(&admin, NORTHWIND, "boss").await);
        let consultant = personal(&admin, NORTHWIND, "carla").await;
        holders.insert("consultant", consultant.clone());
        let rival = personal(&admin, "partners/contoso", "carla").await;
        tenant(&consultant, "acme", NORTHWIND).await.unwrap();
        tenant(&rival, "globex", "partners/contoso").await.unwrap();
        for (id, duty) in TENANT_DUTIES {
            user(&consultant, ACME, id).await;
            grant(&admin, ACME, id, duty).await.unwrap();
            holders.insert(id, personal(&admin, ACME, id).await);
        }
        user(&rival, "tenants/globex", "owner").await;
        grant(&rival, "tenants/globex", "owner", Duty::Owner).await.unwrap();
        let stranger = personal(&admin, "tenants/globex", "owner").await;
        let owner = holders["owner"].clone();
        Self { site, admin, consultant, owner, holders, rival, stranger }
    }

    /// A role of `acme`.
    pub async fn role(&self, id: &str) -> role::Role {
        create_role(&self.owner, id, "A role").await.unwrap()
    }
}

/// Creates a partner.
pub async fn partner(by: &Caller, id: &str) {
    let new = partner::Partner { display_name: id.to_owned(), ..Default::default() };
    let request =
        partner::CreatePartnerRequest { partner_id: id.to_owned(), partner: Some(new), ..Default::default() };
    PartnerServiceClient::new(by.channel.clone()).create_partner(by.ask(request)).await.unwrap();
}

/// Creates a tenant of a partner.
pub async fn tenant(by: &Caller, id: &str, partner: &str) -> Result<tenant::Tenant, Status> {
    let new =
        tenant::Tenant { partner: partner.to_owned(), display_name: id.to_owned(), ..Default::default() };
    let request =
        tenant::CreateTenantRequest { tenant_id: id.to_owned(), tenant: Some(new), ..Default::default() };
    let created = TenantServiceClient::new(by.channel.clone()).create_tenant(by.ask(request)).await?;
    Ok(created.into_inner())
}

/// Creates a user.
pub async fn user(by: &Caller, parent: &str, id: &str) -> principal::Principal {
    let new = principal::Principal {
        kind: PrincipalKind::User.into(),
        display_name: id.to_owned(),
        ..Default::default()
    };
    principal(by, parent, id, new).await.unwrap()
}

/// Creates a principal.
pub async fn principal(
    by: &Caller,
    parent: &str,
    id: &str,
    new: principal::Principal,
) -> Result<principal::Principal, Status> {
    let request = principal::CreatePrincipalRequest {
        parent: parent.to_owned(),
        principal_id: id.to_owned(),
        principal: Some(new),
        ..Default::default()
    };
    let created = PrincipalServiceClient::new(by.channel.clone()).create_principal(by.ask(request)).await?;
    Ok(created.into_inner())
}

/// Creates a role of `acme`.
pub async fn create_role(by: &Caller, id: &str, display_name: &str) -> Result<role::Role, Status> {
    let new = role::Role { display_name: display_name.to_owned(), ..Default::default() };
    let request = role::CreateRoleRequest {
        parent: ACME.to_owned(),
        role_id: id.to_owned(),
        role: Some(new),
        ..Default::default()
    };
    Ok(RoleServiceClient::new(by.channel.clone()).create_role(by.ask(request)).await?.into_inner())
}

/// Grants a duty to a principal of `parent`.
pub async fn grant(by: &Caller, parent: &str, id: &str, duty: Duty) -> Result<duty::DutyGrant, Status> {
    let request = duty::GrantDutyRequest {
        parent: parent.to_owned(),
        principal: child(parent, "principals", id),
        duty: duty.into(),
        ..Default::default()
    };
    Ok(DutyServiceClient::new(by.channel.clone()).grant_duty(by.ask(request)).await?.into_inner())
}

/// What a token of the tests looks like: a day long, for everything.
pub fn token_of(parent: &str, id: &str, kind: TokenKind) -> token::Token {
    let scope = if kind == TokenKind::Ingest { TokenScope::Ingest } else { TokenScope::All };
    let start = kernel::clock::Time::parse("start", crate::site::START).unwrap();
    token::Token {
        principal: if id.is_empty() { String::new() } else { child(parent, "principals", id) },
        kind: kind.into(),
        display_name: "test".to_owned(),
        scopes: vec![scope.into()],
        expire_time: Some(start.plus(std::time::Duration::from_hours(24)).into()),
        ..Default::default()
    }
}

/// Creates a token that is good for a day by the machine's clock, for programs that run by it; returns its secret.
pub async fn live_token(by: &Caller, parent: &str, id: &str, kind: TokenKind) -> String {
    let end = kernel::clock::Clock::System.now().plus(std::time::Duration::from_hours(24));
    let token = token::Token { expire_time: Some(end.into()), ..token_of(parent, id, kind) };
    create_token(by, parent, token).await.unwrap().secret
}

/// Creates a token.
pub async fn create_token(
    by: &Caller,
    parent: &str,
    new: token::Token,
) -> Result<token::CreateTokenResponse, Status> {
    let request =
        token::CreateTokenRequest { parent: parent.to_owned(), token: Some(new), validate_only: false };
    Ok(TokenServiceClient::new(by.channel.clone()).create_token(by.ask(request)).await?.into_inner())
}

/// A caller with a new personal token of a principal of `parent`.
pub async fn personal(by: &Caller, parent: &str, id: &str) -> Caller {
    let created = create_token(by, parent, token_of(parent, id, TokenKind::Personal)).await.unwrap();
    Caller { channel: by.channel.clone(), secret: created.secret }
}

/// The name of a resource below `parent`, which may be empty.
pub fn child(parent: &str, collection: &str, id: &str) -> String {
    if parent.is_empty() { format!("{collection}/{id}") } else { format!("{parent}/{collection}/{id}") }
}
