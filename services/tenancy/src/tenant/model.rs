//! What a tenant is and how it moves through its lifecycle, without any I/O.

use std::time::Duration;

use kernel::{
    Error, Result,
    audit::{Resource, sealed::ERASED},
    check::Checks,
    clock::Time,
    ids::{Slug, TenantId},
    scope::{ERASED as ERASED_STATE, PartnerRef, Scope, TenantRef},
    stamp::Stamp,
};
use serde::{Deserialize, Serialize};
use sqlx::{Database, Decode, Type, error::BoxDynError};

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

/// How far the erasure of a closed tenant's data is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TenantErasure {
    /// It begins at its time.
    Scheduled,
    /// It is due and a legal hold stands against it.
    Held,
    /// It has begun.
    Running,
    /// It had begun when a legal hold came.
    Stopped,
    /// Nothing is left.
    Done,
}

impl TenantErasure {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Scheduled, Self::Held, Self::Running, Self::Stopped, Self::Done];

    /// As stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Scheduled => "scheduled",
            Self::Held => "held",
            Self::Running => "running",
            Self::Stopped => "stopped",
            Self::Done => "done",
        }
    }

    /// Whether something may be gone already.
    pub fn has_begun(self) -> bool {
        matches!(self, Self::Running | Self::Stopped | Self::Done)
    }
}

impl TryFrom<String> for TenantErasure {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        let found = Self::ALL.into_iter().find(|e| e.as_str() == text);
        found.ok_or_else(|| Error::internal(format!("tenant erasure `{text}` in the database")))
    }
}

impl<DB: Database> Type<DB> for TenantErasure
where
    String: Type<DB>,
{
    fn type_info() -> DB::TypeInfo {
        <String as Type<DB>>::type_info()
    }

    fn compatible(found: &DB::TypeInfo) -> bool {
        <String as Type<DB>>::compatible(found)
    }
}

impl<'r, DB: Database> Decode<'r, DB> for TenantErasure
where
    String: Decode<'r, DB>,
{
    fn decode(value: DB::ValueRef<'r>) -> Result<Self, BoxDynError> {
        Ok(Self::try_from(String::decode(value)?)?)
    }
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
    /// When its data is erased; none while it is not closed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub erase_time: Option<Time>,
    /// How far that is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub erasure: Option<TenantErasure>,
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
            erase_time: None,
            erasure: None,
            stamp: Stamp::new(now),
        };
        tenant.checked()
    }

    /// The tenant with other words.
    pub fn patched(&self, patch: TenantPatch, now: Time) -> Result<Self> {
        self.stamp.alive(self.name())?;
        self.unerased()?;
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

    /// The tenant, closed: its data is erased `keep` after now.
    pub fn closed(&self, keep: Duration, now: Time) -> Result<Self> {
        Ok(self.stepped(Step::Close, now)?.scheduled(keep, now))
    }

    /// The closed tenant with the time of its erasure, where it was closed before there was one.
    #[must_use]
    pub fn rescheduled(&self, keep: Duration, now: Time) -> Self {
        Self { stamp: self.stamp.next(now), ..self.scheduled(keep, now) }
    }

    fn scheduled(&self, keep: Duration, now: Time) -> Self {
        Self { erase_time: Some(now.plus(keep)), erasure: Some(TenantErasure::Scheduled), ..self.clone() }
    }

    /// The closed tenant, of which something is erased now if no hold stands against it.
    #[must_use]
    pub fn erasing(&self, is_held: bool, now: Time) -> Self {
        let begun = self.erasure.is_some_and(TenantErasure::has_begun);
        let erasure = match (is_held, begun) {
            (false, _) => TenantErasure::Running,
            (true, false) => TenantErasure::Held,
            (true, true) => TenantErasure::Stopped,
        };
        Self { erasure: Some(erasure), stamp: self.stamp.next(now), ..self.clone() }
    }

    /// The closed tenant of which nothing is left.
    #[must_use]
    pub fn erased(&self, now: Time) -> Self {
        Self {
            display_name: ERASED.to_owned(),
            contract: None,
            erasure: Some(TenantErasure::Done),
            stamp: self.stamp.next(now),
            ..self.clone()
        }
    }

    /// Refuses one of which something is erased already.
    fn unerased(&self) -> Result<()> {
        if !self.erasure.is_some_and(TenantErasure::has_begun) {
            return Ok(());
        }
        let name = self.name();
        let message = format!("`{name}` is closed and its data is erased; create another tenant");
        Err(Error::illegal_state(name, message))
    }

    /// As a scope.
    pub fn scope(&self) -> Scope {
        Scope::Tenant(TenantRef {
            id: self.id,
            slug: self.slug.clone(),
            state: match self.erasure {
                Some(erasure) if erasure.has_begun() => ERASED_STATE.to_owned(),
                _ => self.state.as_str().to_owned(),
            },
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
    fn a_closed_tenant_has_a_time_at_which_its_data_goes_and_holds_put_it_off() {
        let day = Duration::from_hours(24);
        let closed = tenant(TenantState::Suspended).closed(30 * day, NOW).unwrap();
        assert_eq!(closed.erase_time, Some(NOW.plus(30 * day)));
        assert_eq!((closed.erasure, closed.stamp.revision), (Some(TenantErasure::Scheduled), 2));
        assert!(tenant(TenantState::Live).closed(day, NOW).is_err());
        let held = closed.erasing(true, NOW);
        assert_eq!((held.erasure, held.stamp.revision), (Some(TenantErasure::Held), 3));
        assert!(held.patched(TenantPatch::default(), NOW).is_ok(), "nothing is erased");
        let running = held.erasing(false, NOW);
        assert_eq!(running.erasure, Some(TenantErasure::Running));
        assert_eq!(running.erasing(true, NOW).erasure, Some(TenantErasure::Stopped));
        let done = running.erased(NOW);
        assert_eq!((done.display_name.as_str(), &done.contract), (ERASED, &None));
        for begun in [&running, &running.erasing(true, NOW), &done] {
            assert!(begun.patched(TenantPatch::default(), NOW).is_err());
            let Scope::Tenant(scope) = begun.scope() else { panic!("a tenant") };
            assert_eq!(scope.state, ERASED_STATE);
        }
    }

    #[test]
    fn stored_words_read_back() {
        for erasure in TenantErasure::ALL {
            assert_eq!(TenantErasure::try_from(erasure.as_str().to_owned()).unwrap(), erasure);
        }
        for (state, word) in TenantState::ALL.into_iter().zip(TenantState::WORDS) {
            assert_eq!(state.as_str(), word);
            assert_eq!(TenantState::try_from(word.to_owned()).unwrap(), state);
        }
        assert!(TenantState::try_from("open".to_owned()).is_err());
    }
}
