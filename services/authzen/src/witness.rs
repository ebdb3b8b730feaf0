//! Who is told what was answered.

use decision::{Decision, Effect, Reason, Target};

/// Is told of every answer before it leaves.
pub trait Witness: Send + Sync {
    /// One question was answered: an evaluation, or a search of actions.
    fn answered(&self, answered: &Answered<'_>);
    /// Subjects or resources were searched.
    fn listed(&self, listed: &Listed<'_>);
}

/// Why an answer is what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Because {
    /// The rules were asked, or there were none to ask.
    Rules(Reason),
    /// There is no such action.
    UnknownAction,
    /// The subject is not of the type that the question says.
    OtherSubject,
    /// The resource is named as no plugin, app or skill is.
    OtherResource,
    /// An item of a batch that is no whole question.
    Incomplete,
}

/// One answer.
#[derive(Clone, Debug)]
pub struct Answered<'a> {
    /// Id of the subject as the question has it; empty for an item that is no whole question.
    pub subject: &'a str,
    /// What was asked for; none for what the engine cannot be asked for.
    pub target: Option<Target<&'a str>>,
    /// Why.
    pub because: Because,
    /// The strongest effect of the rules that allow; DENIED when a rule forbids.
    pub effect: Option<Effect>,
    /// Ids of the rules that it rests on.
    pub rules: Vec<&'a str>,
}

/// What a search was for.
#[derive(Clone, Copy, Debug)]
pub enum Search<'a> {
    /// Whoever may use something.
    Subjects {
        /// Of this type.
        kind: &'a str,
        /// What; none for what the engine cannot be asked for.
        target: Option<Target<&'a str>>,
    },
    /// Whatever somebody may use.
    Resources {
        /// Id of the subject as the question has it.
        subject: &'a str,
        /// Of this type.
        kind: &'a str,
    },
}

/// A search and all that it found, of which the answer may be one page.
#[derive(Clone, Debug)]
pub struct Listed<'a> {
    /// What was searched.
    pub search: Search<'a>,
    /// Ids, sorted.
    pub found: &'a [String],
    /// Why nothing can be found, where that is not for the rules to say.
    pub because: Option<Because>,
}

impl Because {
    /// As it is written in answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rules(reason) => reason.as_str(),
            Self::UnknownAction => "UNKNOWN_ACTION",
            Self::OtherSubject => Reason::UnknownPrincipal.as_str(),
            Self::OtherResource => Reason::UnknownPlugin.as_str(),
            Self::Incomplete => "INCOMPLETE",
        }
    }
}

impl Answered<'_> {
    /// Yes or no.
    pub fn allowed(&self) -> bool {
        self.because == Because::Rules(Reason::Allowed)
    }
}

impl<'a> Answered<'a> {
    /// A no that the rules were not asked for.
    pub(crate) const fn no(subject: &'a str, target: Option<Target<&'a str>>, because: Because) -> Self {
        Self { subject, target, because, effect: None, rules: Vec::new() }
    }

    /// An answer by the rules.
    pub(crate) const fn by_rules(
        subject: &'a str,
        target: Target<&'a str>,
        decision: Decision,
        rules: Vec<&'a str>,
    ) -> Self {
        let because = Because::Rules(decision.reason);
        Self { subject, target: Some(target), because, effect: decision.effect, rules }
    }
}
