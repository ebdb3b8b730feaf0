//! A condition as a tree over leaves of any kind.

/// All, any or none of other conditions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tree<L> {
    /// Every one holds.
    All(Vec<Tree<L>>),
    /// At least one holds.
    Any(Vec<Tree<L>>),
    /// It does not hold.
    Not(Box<Tree<L>>),
    /// By itself.
    Leaf(L),
}

impl<L> Tree<L> {
    /// The negation.
    #[must_use]
    pub fn negated(self) -> Self {
        Self::Not(Box::new(self))
    }

    /// Whether it holds, when every leaf says whether it does.
    pub fn holds(&self, leaf: &impl Fn(&L) -> bool) -> bool {
        match self {
            Self::All(parts) => parts.iter().all(|part| part.holds(leaf)),
            Self::Any(parts) => parts.iter().any(|part| part.holds(leaf)),
            Self::Not(inner) => !inner.holds(leaf),
            Self::Leaf(l) => leaf(l),
        }
    }

    /// Whether it holds, when some leaves do not know.
    pub fn known(&self, leaf: &impl Fn(&L) -> Option<bool>) -> Option<bool> {
        // one part that is `decisive` decides; else all must be known
        let joined = |parts: &[Self], decisive: bool| {
            let mut all = Some(!decisive);
            for part in parts {
                match part.known(leaf) {
                    Some(known) if known == decisive => return Some(decisive),
                    Some(_) => {}
                    None => all = None,
                }
            }
            all
        };
        match self {
            Self::All(parts) => joined(parts, false),
            Self::Any(parts) => joined(parts, true),
            Self::Not(inner) => inner.known(leaf).map(|known| !known),
            Self::Leaf(l) => leaf(l),
        }
    }

    /// The same tree over other leaves.
    pub fn map<M>(&self, leaf: &impl Fn(&L) -> M) -> Tree<M> {
        let all = |parts: &[Self]| parts.iter().map(|part| part.map(leaf)).collect();
        match self {
            Self::All(parts) => Tree::All(all(parts)),
            Self::Any(parts) => Tree::Any(all(parts)),
            Self::Not(inner) => Tree::Not(Box::new(inner.map(leaf))),
            Self::Leaf(l) => Tree::Leaf(leaf(l)),
        }
    }

    /// Shows every leaf.
    pub fn each(&self, see: &mut impl FnMut(&L)) {
        match self {
            Self::All(parts) | Self::Any(parts) => parts.iter().for_each(|part| part.each(see)),
            Self::Not(inner) => inner.each(see),
            Self::Leaf(l) => see(l),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_of_a_part_decides_as_far_as_it_can() {
        let leaf = |l: &Option<bool>| *l;
        let (yes, no, unknown) = (Tree::Leaf(Some(true)), Tree::Leaf(Some(false)), Tree::Leaf(None));
        for (tree, expected) in [
            (Tree::All(vec![unknown.clone(), no.clone()]), Some(false)),
            (Tree::All(vec![unknown.clone(), yes.clone()]), None),
            (Tree::All(vec![yes.clone(), yes.clone()]), Some(true)),
            (Tree::Any(vec![unknown.clone(), yes.clone()]), Some(true)),
            (Tree::Any(vec![no.clone(), unknown.clone()]), None),
            (Tree::Any(vec![no.clone(), no.clone()]), Some(false)),
            (unknown.negated(), None),
            (yes.negated(), Some(false)),
        ] {
            assert_eq!(tree.known(&leaf), expected, "{tree:?}");
        }
    }
}
