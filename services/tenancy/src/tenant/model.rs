//! What a tenant is and how it moves through its lifecycle, without any I/O.

use kernel::{
    Error, Result,
    audit::Resource,
    check::Checks,
    clock::Time,
    ids::{Slug, TenantId},
    scope::{PartnerRef, Scope, TenantRef},
    stamp::Stamp,
};
use serde::{Deserialize, Serialize};

use super::contract::Contract;

/// Where a tenant stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TenantState {
    /// Being negotiated.
    Pipeline,
    /// A contract is signed.
    Contracted,
    /// A first group works with it.
    Pilot,
    /// Rolled out.
    Live,
    /// Frozen.
    Suspended,
    /// Ended.
    Closed,
}

/// What moves a tenant from one state to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The contract is signed.
    Contract,
    /// The first group starts.
    StartPilot,
    /// The rollout begins.
    GoLive,
    /// Everything freezes.
    Suspend,
    /// It thaws.
    Resume,
    /// It ends.
    Close,
}

impl TenantState {
    /// All of them, in the order of the lifecycle.
    pub const ALL: [Self; 6] =
        [Self::Pipeline, Self::Contracted, Self::Pilot, Self::Live, Self::Suspended, Self::Closed];
    /// All of them, as stored.
    pub const WORDS: [&'static str; 6] = ["pipeline", "contracted", "pilot", "live", "suspended", "closed"];

    /// As stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pipeline => "pipeline",
            Self::Contracted => "contracted",
            Self::Pilot => "pilot",
            Self::Live => "live",
            Self::Suspended => "suspended",
            Self::Closed => "closed",
        }
    }

    /// Where `step` leads from here; `None` when it does not lead anywhere.
    pub fn after(self, step: Step) -> Option<Self> {
        match (self, step) {
            (Self::Pipeline, Step::Contract) => Some(Self::Contracted),
            (Self::Contracted, Step::StartPilot) => Some(Self::Pilot),
            (Self::Pilot, Step::GoLive) | (Self::Suspended, Step::Resume) => Some(Self::Live),
            (Self::Live, Step::Suspend) => Some(Self::Suspended),
            (Self::Suspended, Step::Close) => Some(Self::Closed),
            _ => None,
        }
    }
}

impl TryFrom<String> for TenantState {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        let found = Self::ALL.into_iter().find(|s| s.as_str() == text);
        found.ok_or_else(|| Error::internal(format!("tenant state `{text}` in the database")))
    }
}

impl Step {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Contract, Self::StartPilot, Self::GoLive, Self::Suspend, Self::Resume, Self::Close];

    /// The verb, as errors name it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Contract => "contract",
            Self::StartPilot => "start_pilot",
            Self::GoLive => "go_live",
            Self::Suspend => "suspend",
            Self::Resume => "resume",
            Self::Close => "close",
        }
    }

    /// The state that it starts from.
    fn from(self) -> TenantState {
        match self {
            Self::Contract => TenantState::Pipeline,
            Self::StartPilot => TenantState::Contracted,
            Self::GoLive => TenantState::Pilot,
            Self::Suspend => TenantState::Live,
            Self::Resume | Self::Close => TenantState::Suspended,
        }
    }
}

/// One client organisation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, sqlx::FromRow)]
pub struct Tenant {
    /// Identity.
    pub id: TenantId,
    /// Last segment of the name.
    pub slug: Slug,
    /// Who rolls out.
    #[sqlx(flatten)]
    pub partner: PartnerRef,
    /// For people.
    pub display_name: String,
    /// Where it stands.
    #[sqlx(try_from = "String")]
    pub state: TenantState,
    /// What was signed.
    pub contract: Option<Contract>,
    /// Revision and times.
    #[sqlx(flatten)]
    #[serde(flatten)]
    pub stamp: Stamp,
}

/// What a caller says of a new tenant.
#[derive(Clone, Debug, Default)]
pub struct NewTenant {
    /// Last segment of the name.
    pub id: String,
    /// Name of the partner.
    pub partner: String,
    /// For people.
    pub display_name: String,
}

/// What an update changes.
#[derive(Clone, Debug, Default)]
pub struct TenantPatch {
    /// For people.
    pub display_name: Option<String>,
}

impl Resource for Tenant {
    const KIND: &'static str = "tenant";

    fn name(&self) -> String {
        format!("tenants/{}", self.slug)
    }
}

impl Tenant {
    /// A new tenant, in the pipeline of `partner`.
    pub fn create(partner: &PartnerRef, new: NewTenant, id: TenantId, now: Time) -> Result<Self> {
        let tenant = Self {
            id,
            slug: Slug::parse("tenant_id", &new.id)?,
            partner: partner.clone(),
            display_name: new.display_name,
            state: TenantState::Pipeline,
            contract: None,
            stamp: Stamp::new(now),
        };
        tenant.checked()
    }

    /// The tenant with other words.
    pub fn patched(&self, patch: TenantPatch, now: Time) -> Result<Self> {
        self.stamp.alive(self.name())?;
        let tenant = Self {
            display_name: patch.display_name.unwrap_or_else(|| self.display_name.clone()),
            stamp: self.stamp.next(now),
            ..self.clone()
        };
        tenant.checked()
    }

    /// The tenant, deleted; only one that never had a pilot.
    pub fn deleted(&self, now: Time) -> Result<Self> {
        let stamp = self.stamp.deleted(self.name(), now)?;
        if matches!(self.state, TenantState::Pipeline | TenantState::Contracted) {
            return Ok(Self { stamp, ..self.clone() });
        }
        let (name, state) = (self.name(), self.state.as_str());
        let message = format!(
            "`{name}` is {state}; only a tenant in pipeline or contracted can be deleted, others are closed"
        );
        Err(Error::illegal_state(name, message))
    }

    /// The tenant, brought back.
    pub fn undeleted(&self, now: Time) -> Result<Self> {
        Ok(Self { stamp: self.stamp.undeleted(self.name(), now)?, ..self.clone() })
    }

    /// The tenant with what was signed.
    pub fn contracted(&self, contract: Contract, now: Time) -> Result<Self> {
        Ok(Self { contract: Some(contract), ..self.stepped(Step::Contract, now)? })
    }

    /// The tenant one step on.
    pub fn stepped(&self, step: Step, now: Time) -> Result<Self> {
        let name = self.name();
        self.stamp.alive(&name)?;
        let state = self.state.after(step).ok_or_else(|| {
            let (verb, from) = (step.as_str(), step.from().as_str());
            let message = format!("`{name}` is {}; `{verb}` needs it to be {from}", self.state.as_str());
            Error::illegal_state(&name, message)
        })?;
        Ok(Self { state, stamp: self.stamp.next(now), ..self.clone() })
    }

    /// As a scope.
    pub fn scope(&self) -> Scope {
        Scope::Tenant(TenantRef {
            id: self.id,
            slug: self.slug.clone(),
            state: self.state.as_str().to_owned(),
            partner: self.partner.clone(),
        })
    }

    fn checked(self) -> Result<Self> {
        let mut checks = Checks::new();
        checks.text("tenant.display_name", &self.display_name, 1, 128);
        checks.done().map(|()| self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kernel::ids::PartnerId;
    use uuid::Uuid;

    const NOW: Time = Time::from_micros(1_000_000);

    fn tenant(state: TenantState) -> Tenant {
        let partner =
            PartnerRef { id: PartnerId(Uuid::nil()), slug: Slug::parse("id", "northwind").unwrap() };
        let new =
            NewTenant { id: "acme".to_owned(), display_name: "Acme".to_owned(), ..NewTenant::default() };
        Tenant { state, ..Tenant::create(&partner, new, TenantId(Uuid::nil()), NOW).unwrap() }
    }

    /// The whole matrix as specified, a row for a state and a column for a step, in the order of `ALL`.
    const MATRIX: [[Option<TenantState>; 6]; 6] = {
        use TenantState::{Closed, Contracted, Live, Pilot, Suspended};
        [
            // contract, start_pilot, go_live, suspend, resume, close
            [Some(Contracted), None, None, None, None, None],
            [None, Some(Pilot), None, None, None, None],
            [None, None, Some(Live), None, None, None],
            [None, None, None, Some(Suspended), None, None],
            [None, None, None, None, Some(Live), Some(Closed)],
            [None, None, None, None, None, None],
        ]
    };

    #[test]
    fn every_state_and_every_step_does_what_the_matrix_says() {
        for (state, row) in TenantState::ALL.into_iter().zip(MATRIX) {
            for (step, wanted) in Step::ALL.into_iter().zip(row) {
                let before = tenant(state);
                match (before.stepped(step, NOW), wanted) {
                    (Ok(after), Some(wanted)) => {
                        assert_eq!((after.state, after.stamp.revision), (wanted, 2), "{state:?} {step:?}");
                    }
                    (Err(Error::Precondition { message, .. }), None) => {
                        assert!(
                            message.contains(step.as_str()) && message.contains(state.as_str()),
                            "{message}"
                        );
                    }
                    (found, wanted) => panic!("{state:?} {step:?}: {found:?}, not {wanted:?}"),
                }
            }
        }
    }

    #[test]
    fn every_step_starts_where_it_says_it_starts() {
        for step in Step::ALL {
            assert!(step.from().after(step).is_some(), "{step:?}");
        }
    }

    #[test]
    fn a_deleted_tenant_takes_no_step() {
        for state in TenantState::ALL {
            let gone =
                Tenant { stamp: Stamp::new(NOW).deleted("tenants/acme", NOW).unwrap(), ..tenant(state) };
            for step in Step::ALL {
                assert!(gone.stepped(step, NOW).is_err(), "{state:?} {step:?}");
            }
            assert!(gone.patched(TenantPatch::default(), NOW).is_err());
        }
    }

    #[test]
    fn only_a_tenant_without_a_pilot_can_be_deleted() {
        for state in TenantState::ALL {
            let young = matches!(state, TenantState::Pipeline | TenantState::Contracted);
            assert_eq!(tenant(state).deleted(NOW).is_ok(), young, "{state:?}");
        }
    }

    #[test]
    fn stored_words_read_back() {
        for (state, word) in TenantState::ALL.into_iter().zip(TenantState::WORDS) {
            assert_eq!(state.as_str(), word);
            assert_eq!(TenantState::try_from(word.to_owned()).unwrap(), state);
        }
        assert!(TenantState::try_from("open".to_owned()).is_err());
    }
}
