//! What a partner and its portfolio are, without any I/O.

use std::collections::HashMap;

use kernel::{
    Result,
    audit::Resource,
    check::Checks,
    clock::Time,
    ids::{PartnerId, Slug, TenantId},
    scope::{PartnerRef, Scope},
    stamp::Stamp,
};
use serde::{Deserialize, Serialize};

use crate::tenant::{contract::Contract, model::TenantState};

/// A consulting firm that runs rollouts for clients.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, sqlx::FromRow)]
pub struct Partner {
    /// Identity.
    pub id: PartnerId,
    /// Last segment of the name.
    pub slug: Slug,
    /// For people.
    pub display_name: String,
    /// Revision and times.
    #[sqlx(flatten)]
    #[serde(flatten)]
    pub stamp: Stamp,
}

/// What a caller says of a new partner.
#[derive(Clone, Debug, Default)]
pub struct NewPartner {
    /// Last segment of the name.
    pub id: String,
    /// For people.
    pub display_name: String,
}

/// What an update changes.
#[derive(Clone, Debug, Default)]
pub struct PartnerPatch {
    /// For people.
    pub display_name: Option<String>,
}

impl Resource for Partner {
    const KIND: &'static str = "partner";

    fn name(&self) -> String {
        format!("partners/{}", self.slug)
    }
}

impl Partner {
    /// A new partner.
    pub fn create(new: NewPartner, id: PartnerId, now: Time) -> Result<Self> {
        let partner = Self {
            id,
            slug: Slug::parse("partner_id", &new.id)?,
            display_name: new.display_name,
            stamp: Stamp::new(now),
        };
        partner.checked()
    }

    /// The partner with other words.
    pub fn patched(&self, patch: PartnerPatch, now: Time) -> Result<Self> {
        self.stamp.alive(self.name())?;
        let partner = Self {
            display_name: patch.display_name.unwrap_or_else(|| self.display_name.clone()),
            stamp: self.stamp.next(now),
            ..self.clone()
        };
        partner.checked()
    }

    /// The partner, deleted.
    pub fn deleted(&self, now: Time) -> Result<Self> {
        Ok(Self { stamp: self.stamp.deleted(self.name(), now)?, ..self.clone() })
    }

    /// The partner, brought back.
    pub fn undeleted(&self, now: Time) -> Result<Self> {
        Ok(Self { stamp: self.stamp.undeleted(self.name(), now)?, ..self.clone() })
    }

    /// As a scope.
    pub fn scope(&self) -> Scope {
        Scope::Partner(PartnerRef { id: self.id, slug: self.slug.clone() })
    }

    fn checked(self) -> Result<Self> {
        let mut checks = Checks::new();
        checks.text("partner.display_name", &self.display_name, 1, 128);
        checks.done().map(|()| self)
    }
}

/// How one living client stands: what a portfolio is counted from.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Standing {
    /// Which client.
    pub id: TenantId,
    /// Where it stands.
    #[sqlx(try_from = "String")]
    pub state: TenantState,
    /// What was signed.
    pub contract: Option<Contract>,
}

/// How a partner's clients stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Portfolio {
    /// Name of the partner.
    pub partner: String,
    /// One row a stage, in lifecycle order, also where the count is 0.
    pub stages: Vec<PortfolioStage>,
}

/// One stage of a portfolio.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortfolioStage {
    /// Where these tenants stand.
    pub stage: TenantState,
    /// How many.
    pub tenants: i64,
    /// Seats that their contracts promise; 0 in the pipeline.
    pub seats_contracted: i64,
    /// Principals of theirs that were active in the last seven days.
    pub weekly_active: i64,
}

impl Portfolio {
    /// Counts the clients of `partner`, of whose principals so many are `active`. A pipeline is never counted as a contract.
    pub fn count(partner: String, clients: &[Standing], active: &HashMap<TenantId, i64>) -> Self {
        let stages = TenantState::ALL.map(|stage| {
            let mut row = PortfolioStage { stage, tenants: 0, seats_contracted: 0, weekly_active: 0 };
            for client in clients.iter().filter(|c| c.state == stage) {
                row.tenants += 1;
                let signed = client.contract.as_ref().filter(|_| stage != TenantState::Pipeline);
                let seats = signed.map_or(0, Contract::seats_contracted);
                row.seats_contracted = row.seats_contracted.saturating_add(seats);
                row.weekly_active += active.get(&client.id).copied().unwrap_or(0);
            }
            row
        });
        Self { partner, stages: stages.to_vec() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tenant::contract::{NewContract, NewSeats, Renewal};

    fn client(state: TenantState, seats: &[i64]) -> Standing {
        let pools = seats.iter().enumerate();
        let seats: Vec<_> = pools
            .map(|(i, n)| NewSeats { pool: format!("p{i}"), count: *n, monthly_price_minor: 3_900 })
            .collect();
        let new = NewContract {
            signed_date: "2026-10-01".to_owned(),
            start_date: "2026-11-01".to_owned(),
            end_date: "2027-11-01".to_owned(),
            currency: "EUR".to_owned(),
            renewal: Some(Renewal::Manual),
            seats,
        };
        let id = TenantId(uuid::Uuid::from_u128(state as u128));
        Standing { id, state, contract: (!new.seats.is_empty()).then(|| Contract::checked(new).unwrap()) }
    }

    #[test]
    fn a_portfolio_has_a_row_for_every_stage_in_order_also_when_empty() {
        let portfolio = Portfolio::count("partners/northwind".to_owned(), &[], &HashMap::new());
        assert_eq!(portfolio.stages.iter().map(|s| s.stage).collect::<Vec<_>>(), TenantState::ALL);
        assert!(portfolio.stages.iter().all(|s| s.tenants == 0 && s.seats_contracted == 0));
    }

    #[test]
    fn seats_are_summed_over_pools_and_clients_and_never_in_the_pipeline() {
        use TenantState::{Live, Pilot, Pipeline};
        let clients = [
            client(Live, &[100, 50]),
            client(Live, &[7]),
            client(Pilot, &[20]),
            client(Pipeline, &[]),
            // cannot happen by the verbs; even then a pipeline is no contract
            client(Pipeline, &[1_000]),
        ];
        let active = clients.iter().map(|c| (c.id, 10)).collect();
        let portfolio = Portfolio::count("partners/northwind".to_owned(), &clients, &active);
        let row = |stage| {
            portfolio.stages.iter().find(|s| s.stage == stage).map(|s| (s.tenants, s.seats_contracted))
        };
        assert_eq!(portfolio.stages.iter().map(|s| s.weekly_active).sum::<i64>(), 50);
        assert_eq!(row(Live), Some((2, 157)));
        assert_eq!(row(Pilot), Some((1, 20)));
        assert_eq!(row(Pipeline), Some((2, 0)));
        assert_eq!(row(TenantState::Closed), Some((0, 0)));
    }
}
