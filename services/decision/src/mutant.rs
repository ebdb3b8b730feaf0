//! Ways in which the engine could be wrong. Under test each can be switched on, and the tests must find it; otherwise
//! none of them is compiled in.

/// One fault.
#[cfg_attr(not(test), allow(dead_code, reason = "named where the fault would be"))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mutant {
    /// Seats are not asked for.
    Term,
    /// A rule still holds at the instant of its end.
    Expiry,
    /// A rule of another tenant counts.
    Tenant,
    /// A group in a group is not followed.
    NestedGroup,
    /// A ceiling admits what is less mature, not what is more.
    StageOrder,
    /// An allow beats a deny.
    DenyPrecedence,
    /// An agent's owner is not asked.
    Owner,
    /// A floor does not count.
    Floor,
    /// A rule holds before its begin.
    WindowStart,
    /// A rule for everybody concerns nobody.
    Wildcard,
    /// What is deprecated outlives its sunset.
    Sunset,
}

#[cfg(test)]
std::thread_local! {
    static ACTIVE: std::cell::Cell<Option<Mutant>> = const { std::cell::Cell::new(None) };
}

/// Whether the fault is on.
#[cfg(test)]
pub(crate) fn mutated(mutant: Mutant) -> bool {
    ACTIVE.get() == Some(mutant)
}

/// Never.
#[cfg(not(test))]
#[inline]
pub(crate) const fn mutated(_: Mutant) -> bool {
    false
}

#[cfg(test)]
impl Mutant {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Term,
        Self::Expiry,
        Self::Tenant,
        Self::NestedGroup,
        Self::StageOrder,
        Self::DenyPrecedence,
        Self::Owner,
        Self::Floor,
        Self::WindowStart,
        Self::Wildcard,
        Self::Sunset,
    ];

    /// Runs `body` with this fault on this thread.
    pub fn during<T>(self, body: impl FnOnce() -> T) -> T {
        ACTIVE.set(Some(self));
        let outcome = body();
        ACTIVE.set(None);
        outcome
    }
}
