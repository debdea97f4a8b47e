//! Random graphs, against the definitions taken literally.

use std::{
    convert::Infallible,
    future::ready,
    sync::atomic::{AtomicUsize, Ordering},
};

use futures_util::FutureExt;
use rand::{Rng, SeedableRng, rngs::StdRng};

use super::*;

#[derive(Debug)]
struct Graph {
    of: Vec<AuthEvents>,
    visited: AtomicUsize,
}

impl Graph {
    fn new(of: impl Iterator<Item = AuthEvents>) -> Self {
        Self { of: of.collect(), visited: AtomicUsize::new(0) }
    }
}

impl AuthGraph for Graph {
    type Error = Infallible;

    async fn auth_events(&self, index: EventIndex) -> Result<AuthEvents, Infallible> {
        self.visited.fetch_add(1, Ordering::Relaxed);
        Ok(Arc::clone(&self.of[index as usize]))
    }
}

/// Each event stands on up to three earlier ones.
fn graph(random: &mut StdRng, length: u32) -> Graph {
    let auth_events = |index: u32, random: &mut StdRng| {
        let count = if index == 0 { 0 } else { random.random_range(0..=3) };
        (0..count).map(|_| random.random_range(0..index)).collect::<BTreeSet<_>>()
    };
    Graph::new((0..length).map(|index| auth_events(index, random).into_iter().collect()))
}

fn chain(graph: &Graph, index: EventIndex) -> BTreeSet<EventIndex> {
    let mut chain = BTreeSet::new();
    let mut left = graph.of[index as usize].to_vec();
    while let Some(index) = left.pop() {
        if chain.insert(index) {
            left.extend(graph.of[index as usize].iter());
        }
    }
    chain
}

/// What a walk finds in which nothing has to be waited for.
fn found<T>(walk: impl Future<Output = Result<T, Infallible>>) -> T {
    let Ok(found) = walk.now_or_never().expect("nothing is waited for");
    found
}

#[test]
fn the_difference_is_the_union_of_the_chains_without_what_is_in_all() {
    let mut random = StdRng::seed_from_u64(4);
    for _ in 0..500 {
        let length = random.random_range(5..60);
        let graph = graph(&mut random, length);
        let states = random.random_range(2..5_usize);
        let all: StateSet = (1 << states) - 1;
        let mut conflicted: BTreeMap<EventIndex, StateSet> = BTreeMap::new();
        for _ in 0..random.random_range(1..6) {
            let some = random.random_range(1..all);
            *conflicted.entry(random.random_range(0..length)).or_default() |= some;
        }
        conflicted.retain(|_, owners| *owners != all);
        let agreed: Vec<EventIndex> =
            (0..random.random_range(0..6)).map(|_| random.random_range(0..length)).collect();
        let chains: Vec<BTreeSet<EventIndex>> = (0..states)
            .map(|n| {
                let own = conflicted.iter().filter(|(_, owners)| **owners & (1 << n) != 0);
                let events = own.map(|(index, _)| *index).chain(agreed.iter().copied());
                events.flat_map(|index| chain(&graph, index)).collect()
            })
            .collect();
        let expected: BTreeSet<EventIndex> = (0..length)
            .filter(|index| {
                let count = chains.iter().filter(|chain| chain.contains(index)).count();
                count > 0 && count < states
            })
            .collect();
        let walk = difference(&graph, &conflicted, all, ready(Ok(agreed.clone())));
        assert_eq!(found(walk), expected, "{graph:?} {conflicted:?} {agreed:?}");
    }
}

#[test]
fn the_subgraph_is_everything_between_conflicted_events() {
    let mut random = StdRng::seed_from_u64(12);
    for _ in 0..500 {
        let length = random.random_range(5..60);
        let graph = graph(&mut random, length);
        let conflicted: BTreeSet<EventIndex> =
            (0..random.random_range(1..6)).map(|_| random.random_range(0..length)).collect();
        let below: BTreeSet<EventIndex> =
            conflicted.iter().flat_map(|index| chain(&graph, *index)).collect();
        let expected: BTreeSet<EventIndex> = (0..length)
            .filter(|index| {
                let above = chain(&graph, *index);
                let between = below.contains(index) && conflicted.iter().any(|c| above.contains(c));
                conflicted.contains(index) || between
            })
            .collect();
        assert_eq!(found(subgraph(&graph, &conflicted)), expected, "{graph:?} {conflicted:?}");
    }
}

/// 10,000 branches that meet again at every step have more ways through them than there are atoms.
/// (CVE-2024-31208.)
#[test]
fn a_graph_that_branches_everywhere_is_walked_once() {
    let length = 10_000;
    let auth_events = |index: u32| (index.saturating_sub(10)..index).collect();
    let graph = Graph::new((0..length).map(auth_events));
    let conflicted = BTreeMap::from([(length - 1, 1), (length - 2, 2)]);
    found(difference(&graph, &conflicted, 3, ready(Ok(vec![length - 1]))));
    let visited = graph.visited.swap(0, Ordering::Relaxed);
    assert!(visited <= 2 * length as usize, "{visited} events were visited");
    found(subgraph(&graph, &BTreeSet::from([5, length - 1])));
    let visited = graph.visited.load(Ordering::Relaxed);
    assert!(visited <= length as usize, "{visited} events were visited");
}
