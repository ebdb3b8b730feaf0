//! A tenant's state at an edge, and until when it may be decided by.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use decision::{Snapshot, compile};

use crate::{
    message::{Content, Revision, SKEW, Statement, Verified, hex},
    refused::Refused,
    state::State,
};

/// What an edge knows of one tenant: nothing at first, then what it was told last.
#[derive(Debug)]
pub struct Replica {
    /// The longest time between a statement and a decision by it, in microseconds.
    bound: i64,
    held: Option<Held>,
    /// The latest time that was seen: a clock that is set back makes nothing fresh again.
    seen: AtomicI64,
}

#[derive(Debug)]
struct Held {
    state: State,
    policy: Policy,
}

/// What may be decided by.
#[derive(Clone, Debug)]
pub struct Policy {
    /// The rules, compiled.
    pub snapshot: Arc<Snapshot>,
    /// What was signed about them last.
    pub statement: Arc<Statement>,
}

impl Replica {
    /// Of nothing yet. No state is decided by longer than `bound` after it was signed.
    pub fn new(bound: Duration) -> Self {
        let bound = i64::try_from(bound.as_micros()).unwrap_or(i64::MAX);
        Self { bound, held: None, seen: AtomicI64::new(i64::MIN) }
    }

    /// Takes what arrived at `now`, in microseconds since 1970. What is refused changes nothing.
    pub fn accept(&mut self, message: &Verified, now: i64) -> Result<(), Refused> {
        let now = self.latest(now);
        if !self.is_fresh(message.statement(), now) {
            return Err(Refused::Time);
        }
        self.restore(message)
    }

    /// Takes what was kept, however old: whether it may be decided by is asked with every decision.
    pub fn restore(&mut self, message: &Verified) -> Result<(), Refused> {
        let statement = message.statement();
        self.in_order(statement)?;
        let held = match (message.content(), self.held.take()) {
            (Content::Nothing, held) => held.ok_or(Refused::Gap).map(|held| {
                let agrees = held.policy.statement.state == statement.state;
                (held, if agrees { Ok(None) } else { Err(Refused::Digest) })
            }),
            (Content::Delta(changes), held) => held.ok_or(Refused::Gap).map(|held| {
                let mut state = held.state.clone();
                state.apply(changes);
                let next = held.policy.snapshot.apply(changes).map_err(Refused::Policy);
                let next = next.and_then(|next| checked(state, next, statement));
                (held, next.map(Some))
            }),
            (Content::Snapshot(facts), held) => {
                let next = compile(facts).map_err(Refused::Policy);
                let next = next.and_then(|next| checked(State::new(facts.clone()), next, statement));
                match (held, next) {
                    (Some(held), next) => Ok((held, next.map(Some))),
                    (None, Ok((state, snapshot))) => {
                        let statement = Arc::new(statement.clone());
                        let policy = Policy { snapshot: Arc::new(snapshot), statement };
                        Ok((Held { state, policy }, Ok(None)))
                    }
                    (None, Err(refused)) => Err(refused),
                }
            }
        };
        let (mut held, next) = held?;
        let taken = next.map(|next| {
            if let Some((state, snapshot)) = next {
                held.state = state;
                held.policy.snapshot = Arc::new(snapshot);
            }
            held.policy.statement = Arc::new(statement.clone());
        });
        self.held = Some(held);
        taken
    }

    /// Whether a statement follows what is here.
    fn in_order(&self, next: &Statement) -> Result<(), Refused> {
        let Some(held) = self.held.as_ref().map(|held| &held.policy.statement) else {
            return if next.from.is_none() { Ok(()) } else { Err(Refused::Gap) };
        };
        if next.epoch < held.epoch {
            return Err(Refused::Epoch(next.epoch.clone()));
        }
        if next.epoch > held.epoch {
            return if next.from.is_none() { Ok(()) } else { Err(Refused::Gap) };
        }
        if !next.to.covers(held.to) || next.issued_at < held.issued_at {
            return Err(Refused::Old);
        }
        match next.from {
            None => Ok(()),
            Some(from) if from == held.to => Ok(()),
            Some(_) if next.to == held.to => Err(Refused::Old),
            Some(_) => Err(Refused::Gap),
        }
    }

    /// What may be decided by at `now`, in microseconds since 1970; none where there is nothing, or it is too old, or it is
    /// of a time to come.
    pub fn policy(&self, now: i64) -> Option<Policy> {
        let now = self.latest(now);
        let policy = &self.held.as_ref()?.policy;
        self.is_fresh(&policy.statement, now).then(|| policy.clone())
    }

    /// What was signed last about what is here, fresh or not.
    pub fn statement(&self) -> Option<&Arc<Statement>> {
        self.held.as_ref().map(|held| &held.policy.statement)
    }

    /// Store and revision of what is here: from where a stream goes on.
    pub fn position(&self) -> Option<(&str, Revision)> {
        self.statement().map(|statement| (statement.epoch.as_str(), statement.to))
    }

    fn is_fresh(&self, statement: &Statement, now: i64) -> bool {
        let skew = i64::try_from(SKEW.as_micros()).unwrap_or(i64::MAX);
        let until = statement.issued_at.saturating_add(self.bound).min(statement.not_after);
        now.saturating_add(skew) >= statement.issued_at && now < until
    }

    fn latest(&self, now: i64) -> i64 {
        self.seen.fetch_max(now, Ordering::Relaxed).max(now)
    }
}

/// The state with its compiled form, if it is the one that was signed.
fn checked(state: State, next: Snapshot, signed: &Statement) -> Result<(State, Snapshot), Refused> {
    if hex(&state.digest()) == signed.state { Ok((state, next)) } else { Err(Refused::Digest) }
}
