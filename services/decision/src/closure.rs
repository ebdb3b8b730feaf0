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
    let mut walked = vec![false; registry.len()];
    for (root, _) in registry.iter() {
        // a walk of its own instead of recursion: a chain can be as long as somebody makes it
        walk(&mut walked, root);
        let mut path = vec![(root, out(root))];
        while let Some((at, rest)) = path.last_mut() {
            if reach(&done, *at).is_some() {
                path.pop();
                continue;
            }
            let Some((&next, others)) = rest.split_first() else {
                let at = *at;
                let height = 1 + out(at).iter().map(|&next| height(&done, next)).max().unwrap_or_default();
                if height > MAX_DEPTH {
                    return Err(too_deep(registry, at, &done, out));
                }
                let found = Reach::new(at, height, out(at), &done);
                if let Some(slot) = done.get_mut(at as usize) {
                    *slot = Some(found);
                }
                continue;
            };
            *rest = others;
            if reach(&done, next).is_some() {
                continue;
            }
            // begun and not done: it is on the path
            if walked.get(next as usize) == Some(&true) {
                let circle = path.iter().map(|(at, _)| *at).skip_while(|at| *at != next).chain([next]);
                let names = circle.map(|at| registry.name(at).to_owned()).collect();
                return Err(CompileError::Cycle { kind: registry.kind, names });
            }
            walk(&mut walked, next);
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

fn height(done: &[Option<Reach>], at: u32) -> usize {
    reach(done, at).map_or(0, |reach| reach.height)
}

fn walk(walked: &mut [bool], at: u32) {
    if let Some(walked) = walked.get_mut(at as usize) {
        *walked = true;
    }
}

impl Reach {
    fn new(at: u32, height: usize, out: &[u32], done: &[Option<Self>]) -> Self {
        let below = out.iter().filter_map(|&next| reach(done, next));
        let mut all: Vec<u32> = below.flat_map(|reach| reach.all.iter().copied()).chain([at]).collect();
        all.sort_unstable();
        all.dedup();
        Self { all: all.into(), height }
    }
}

fn too_deep<'r, T>(
    registry: &Registry<T>,
    from: u32,
    done: &[Option<Reach>],
    out: impl Fn(u32) -> &'r [u32],
) -> CompileError {
    let next = |at: &u32| out(*at).iter().max_by_key(|at| height(done, **at)).copied();
    let chain = std::iter::successors(Some(from), next).take(MAX_DEPTH + 1);
    CompileError::Depth { kind: registry.kind, names: chain.map(|at| registry.name(at).to_owned()).collect() }
}
