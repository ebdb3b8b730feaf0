//! Why a message is not taken.

use decision::CompileError;

/// Why an edge does not take a message. It goes on with what it has, as long as that is fresh.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// None of the pinned keys signed it, or the signature is wrong.
    #[error("it is not signed by a key that is pinned here: {0}")]
    Signature(tlog::Error),
    /// It is signed, and not of the form that is signed.
    #[error("it is not a statement about a tenant's state: {0}")]
    Form(String),
    /// What comes with the statement is not what the statement speaks of.
    #[error("what it brings is not what was signed: {0}")]
    Payload(&'static str),
    /// It is about another tenant.
    #[error("it is about tenant `{0}`, not the one that is followed here")]
    Tenant(String),
    /// It comes from a store that was set up before the one that is followed.
    #[error("it comes from store `{0}`, which is older than the one that was followed before")]
    Epoch(String),
    /// What is here is newer, or the same and signed later.
    #[error("what is here is newer: it was sent before")]
    Old,
    /// It leads on from a state that is not the one here.
    #[error("it leads on from another state than the one here; ask for all of it")]
    Gap,
    /// After it, the state is not the one that was signed.
    #[error("after it the state is not the one that was signed; ask for all of it")]
    Digest,
    /// It is too old to be decided by, or of a time to come.
    #[error("it was signed at another time than now; compare the clocks")]
    Time,
    /// The engine cannot decide by it.
    #[error("it cannot be decided by: {0}")]
    Policy(CompileError),
    /// The end of what was kept is missing.
    #[error("the end of what was kept is missing")]
    Truncated,
}

impl Refused {
    /// The reason as a word, for logs and metrics.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Signature(_) => "SIGNATURE",
            Self::Form(_) => "FORM",
            Self::Payload(_) => "PAYLOAD",
            Self::Tenant(_) => "TENANT",
            Self::Epoch(_) => "EPOCH",
            Self::Old => "OLD",
            Self::Gap => "GAP",
            Self::Digest => "DIGEST",
            Self::Time => "TIME",
            Self::Policy(_) => "POLICY",
            Self::Truncated => "TRUNCATED",
        }
    }

    /// Whether the whole state, sent anew, may help.
    pub fn needs_snapshot(&self) -> bool {
        matches!(self, Self::Gap | Self::Digest | Self::Policy(_))
    }
}
