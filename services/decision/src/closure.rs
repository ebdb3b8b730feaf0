//! What includes what, followed to the end.

use crate::{
    error::{CompileError, Result},
    model::MAX_DEPTH,
    names::Registry,
};

/// For every number of `registry` the numbers that its fact leads to by `links`, itself included, sorted. A circle is
/// refused, and so is a chain of more than [`MAX_DEPTH`].
pub(crate) fn closures<'r, T>(
    registry: &'r Registry<T>,
    links: impl Fn(&'r T) -> &'r [u32],
) -> Result<Vec<Box<[u32]>>> {
    let out = |at| registry.get(at).map_or(&[][..], &links);
    let mut done: Vec<Option<Reach>> = vec![None; registry.len()];
    for (root, _) in registry.iter() {
        // a walk of its own instead of recursion: a chain can be as long as somebody makes it
        let mut path = vec![(root, out(root))];
        while let Some((at, rest)) = path.last_mut() {
            if reach(&done, *at).is_some() {
                path.pop();
                continue;
            }
            let Some((&next, others)) = rest.split_first() else {
                let (at, found) = (*at, Reach::new(*at, out(*at), &done));
                if found.height > MAX_DEPTH {
                    return Err(too_deep(registry, at, &done, out));
                }
                if let Some(slot) = done.get_mut(at as usize) {
                    *slot = Some(found);
                }
                continue;
            };
            *rest = others;
            if let Some(begin) = path.iter().position(|(at, _)| *at == next) {
                let circle = path.iter().skip(begin).map(|(at, _)| *at).chain([next]);
                let names = circle.map(|at| registry.name(at).to_owned()).collect();
                return Err(CompileError::Cycle { kind: registry.kind, names });
            }
            path.push((next, out(next)));
        }
    }
    Ok(done.into_iter().map(|reach| reach.map_or_else(Box::default, |reach| reach.all)).collect())
}

/// Where a fact leads.
#[derive(Clone)]
struct Reach {
    all: Box<[u32]>,
    /// How many facts the longest chain has.
    height: usize,
}

fn reach(done: &[Option<Reach>], at: u32) -> Option<&Reach> {
    done.get(at as usize)?.as_ref()
}

impl Reach {
    fn new(at: u32, out: &[u32], done: &[Option<Self>]) -> Self {
        let below = || out.iter().filter_map(|&next| reach(done, next));
        let mut all: Vec<u32> = below().flat_map(|reach| reach.all.iter().copied()).chain([at]).collect();
        all.sort_unstable();
        all.dedup();
        Self { all: all.into(), height: 1 + below().map(|reach| reach.height).max().unwrap_or_default() }
    }
}

fn too_deep<'r, T>(
    registry: &Registry<T>,
    from: u32,
    done: &[Option<Reach>],
    out: impl Fn(u32) -> &'r [u32],
) -> CompileError {
    let height = |at: &&u32| reach(done, **at).map_or(0, |reach| reach.height);
    let next = |at: &u32| out(*at).iter().max_by_key(height).copied();
    let chain = std::iter::successors(Some(from), next).take(MAX_DEPTH + 1);
    CompileError::Depth { kind: registry.kind, names: chain.map(|at| registry.name(at).to_owned()).collect() }
}
