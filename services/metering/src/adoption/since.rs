//! Since when somebody is entitled to anything, by what stands in the tables today: the earliest moment at which a rule that allows
//! and the memberships that lead to it were both there. Pure.

use std::collections::HashMap;

use kernel::{Result, clock::Time, db::Executor, ids::TenantId};
use tenancy::role::model::MAX_DEPTH;
use uuid::Uuid;

use super::store::{self, Person};

/// One leads to the other since then.
#[derive(Clone, Copy, Debug, sqlx::FromRow)]
pub struct Step {
    /// Who or what has it.
    pub from_id: Uuid,
    /// What it has.
    pub to_id: Uuid,
    /// Since when.
    pub since: Time,
}

/// A rule that allows.
#[derive(Clone, Copy, Debug, sqlx::FromRow)]
pub struct Rule {
    /// To whom; none for everybody.
    pub role_id: Option<Uuid>,
    /// Of which pool a seat is asked for.
    pub seat_pool_id: Option<Uuid>,
    /// Since when it holds.
    pub since: Time,
}

/// A seat and its holder.
#[derive(Clone, Copy, Debug, sqlx::FromRow)]
pub struct Seat {
    /// Of which pool.
    pub seat_pool_id: Uuid,
    /// Whose.
    pub principal_id: Uuid,
    /// Since when.
    pub since: Time,
}

/// What it is derived from.
#[derive(Debug, Default)]
pub struct Grounds {
    /// Holder and role.
    pub roles: Vec<Step>,
    /// Principal and group.
    pub groups: Vec<Step>,
    /// Role and what it takes in.
    pub inclusions: Vec<Step>,
    /// Rules that allow.
    pub rules: Vec<Rule>,
    /// Seats.
    pub seats: Vec<Seat>,
}

type Since = HashMap<Uuid, Time>;

impl Grounds {
    /// Reads them.
    pub async fn load(db: &mut impl Executor, tenant: TenantId) -> Result<Self> {
        Ok(Self {
            roles: store::role_step_list(db, tenant).await?,
            groups: store::group_step_list(db, tenant).await?,
            inclusions: store::inclusion_step_list(db, tenant).await?,
            rules: store::rule_since_list(db, tenant).await?,
            seats: store::seat_since_list(db, tenant).await?,
        })
    }

    /// Since when each of `people` is entitled to anything; nobody without a rule.
    pub fn since(&self, people: &[Person]) -> Since {
        let everybody: Since = people.iter().map(|p| (p.id, p.create_time)).collect();
        let held = self.held();
        let nobody = Since::new();
        let mut pools: HashMap<Uuid, Since> = HashMap::new();
        for seat in &self.seats {
            pools.entry(seat.seat_pool_id).or_default().insert(seat.principal_id, seat.since);
        }
        let mut since = Since::new();
        for ((role, pool), rule) in self.earliest() {
            let whom = role.map_or(&everybody, |role| held.get(&role).unwrap_or(&nobody));
            for (who, from) in whom {
                let seat = match pool {
                    None => Some(rule),
                    Some(pool) => pools.get(&pool).and_then(|seats| seats.get(who)).copied(),
                };
                if let (Some(seat), Some(born)) = (seat, everybody.get(who)) {
                    put(&mut since, *who, rule.max(*from).max(seat).max(*born));
                }
            }
        }
        since
    }

    /// The earliest rule of each role and pool.
    fn earliest(&self) -> HashMap<(Option<Uuid>, Option<Uuid>), Time> {
        let mut earliest = HashMap::new();
        for rule in &self.rules {
            let time = earliest.entry((rule.role_id, rule.seat_pool_id)).or_insert(rule.since);
            *time = rule.since.min(*time);
        }
        earliest
    }

    /// Who holds each role since when: directly, through groups and through what roles take in.
    fn held(&self) -> HashMap<Uuid, Since> {
        let mut groups: HashMap<Uuid, Vec<(Uuid, Time)>> = HashMap::new();
        for step in &self.groups {
            groups.entry(step.to_id).or_default().push((step.from_id, step.since));
        }
        let mut held: HashMap<Uuid, Since> = HashMap::new();
        for step in &self.roles {
            let role = held.entry(step.to_id).or_default();
            match groups.get(&step.from_id) {
                Some(members) => members.iter().for_each(|(who, t)| put(role, *who, step.since.max(*t))),
                // a principal; an empty group is nobody
                None => put(role, step.from_id, step.since),
            }
        }
        // chains are at most so long
        for _ in 1..MAX_DEPTH {
            for step in &self.inclusions {
                let above = held.get(&step.from_id).cloned().unwrap_or_default();
                let below = held.entry(step.to_id).or_default();
                for (who, t) in above {
                    put(below, who, step.since.max(t));
                }
            }
        }
        held
    }
}

/// The earlier of two ways counts.
fn put(since: &mut Since, who: Uuid, time: Time) {
    let known = since.entry(who).or_insert(time);
    *known = time.min(*known);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u128) -> Uuid {
        Uuid::from_u128(n)
    }

    fn step(from: u128, to: u128, since: i64) -> Step {
        Step { from_id: id(from), to_id: id(to), since: Time::from_micros(since) }
    }

    fn rule(role: Option<u128>, pool: Option<u128>, since: i64) -> Rule {
        Rule { role_id: role.map(id), seat_pool_id: pool.map(id), since: Time::from_micros(since) }
    }

    fn people(ids: &[(u128, i64)]) -> Vec<Person> {
        let person = |(n, t): &(u128, i64)| Person {
            id: id(*n),
            slug: n.to_string(),
            create_time: Time::from_micros(*t),
        };
        ids.iter().map(person).collect()
    }

    const MARIA: u128 = 1;
    const SAM: u128 = 2;
    const DESK: u128 = 10;
    const BANKER: u128 = 20;
    const ANALYST: u128 = 21;
    const POOL: u128 = 30;

    #[test]
    fn the_latest_link_of_the_earliest_chain_counts() {
        let grounds = Grounds {
            roles: vec![step(MARIA, BANKER, 50), step(DESK, BANKER, 5)],
            groups: vec![step(MARIA, DESK, 20), step(SAM, DESK, 7)],
            rules: vec![rule(Some(BANKER), None, 10), rule(Some(BANKER), None, 99)],
            ..Grounds::default()
        };
        let since = grounds.since(&people(&[(MARIA, 1), (SAM, 1)]));
        assert_eq!((since[&id(MARIA)].micros(), since[&id(SAM)].micros()), (20, 10));
    }

    #[test]
    fn inclusions_seats_and_rules_for_everybody_count_from_when_they_are_there() {
        let grounds = Grounds {
            roles: vec![step(MARIA, BANKER, 5)],
            inclusions: vec![step(BANKER, ANALYST, 30)],
            rules: vec![rule(Some(ANALYST), None, 10)],
            ..Grounds::default()
        };
        assert_eq!(grounds.since(&people(&[(MARIA, 1)]))[&id(MARIA)].micros(), 30);
        let seated = Grounds {
            rules: vec![rule(None, Some(POOL), 10)],
            seats: vec![Seat { seat_pool_id: id(POOL), principal_id: id(SAM), since: Time::from_micros(40) }],
            ..Grounds::default()
        };
        let since = seated.since(&people(&[(MARIA, 1), (SAM, 1)]));
        assert_eq!((since.get(&id(MARIA)), since[&id(SAM)].micros()), (None, 40));
        let everybody = Grounds { rules: vec![rule(None, None, 10)], ..Grounds::default() };
        assert_eq!(everybody.since(&people(&[(MARIA, 77)]))[&id(MARIA)].micros(), 77);
    }

    #[test]
    fn a_group_without_members_and_somebody_who_is_gone_are_entitled_to_nothing() {
        let grounds = Grounds {
            roles: vec![step(DESK, BANKER, 1), step(SAM, BANKER, 1)],
            rules: vec![rule(Some(BANKER), None, 1)],
            ..Grounds::default()
        };
        assert!(grounds.since(&people(&[(MARIA, 1)])).is_empty());
    }
}
