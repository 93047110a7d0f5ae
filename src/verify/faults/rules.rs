//! From the faults that are in effect to the rules of the network. Pure.
//!
//! The rules are always those of all faults together, so that undoing one is making the rules of the others: whatever
//! was left half done is right again afterwards.

use std::collections::BTreeMap;

use super::journal::Deed;
use crate::deploy::{Rule, Way};
use crate::lab::model::FaultKind;

/// The rules that the faults make between `all` nodes, in order and without repetition.
pub fn rules<'a>(deeds: impl Iterator<Item = &'a Deed>, all: &[String]) -> Vec<Rule> {
    let mut ways: BTreeMap<(String, String), Way> = BTreeMap::new();
    let mut add = |from: &String, to: &String, way: Way| {
        let known = ways.entry((from.clone(), to.clone())).or_insert(way);
        *known = worse(*known, way);
    };
    for deed in deeds.filter(|deed| deed.kind.is_of_network()) {
        let others: Vec<String>;
        let (to, way) = match deed.kind {
            FaultKind::Isolate => {
                others = all.iter().filter(|node| !deed.nodes.contains(node)).cloned().collect();
                (&others, Way::Cut)
            }
            FaultKind::Slow => (&deed.to, Way::Slow { ms: deed.delay_ms, loss: deed.loss }),
            _ => (&deed.to, Way::Cut),
        };
        for node in &deed.nodes {
            for other in to.iter().filter(|other| *other != node) {
                add(node, other, way);
                if !deed.one_way {
                    add(other, node, way);
                }
            }
        }
    }
    ways.into_iter().map(|((from, to), way)| Rule { from, to, way }).collect()
}

/// Two faults of one way: a cut hides a slow one, and of two slow ones the slower counts.
fn worse(one: Way, other: Way) -> Way {
    match (one, other) {
        (Way::Slow { ms: a, loss: b }, Way::Slow { ms: c, loss: d }) => Way::Slow { ms: a.max(c), loss: b.max(d) },
        _ => Way::Cut,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edge(kind: FaultKind, from: &str, to: &str, one_way: bool) -> Deed {
        Deed { to: vec![to.to_owned()], one_way, ..Deed::to_node(kind, from) }
    }

    fn told(deeds: &[Deed]) -> Vec<String> {
        let all = ["a", "b", "c"].map(str::to_owned);
        let shown = |rule: Rule| match rule.way {
            Way::Cut => format!("{}>{}", rule.from, rule.to),
            Way::Slow { ms, loss } => format!("{}>{} {ms} ms {loss} %", rule.from, rule.to),
        };
        rules(deeds.iter(), &all).into_iter().map(shown).collect()
    }

    #[test]
    fn an_isolated_node_has_no_way_left_and_a_group_keeps_its_own() {
        assert_eq!(told(&[Deed::to_node(FaultKind::Isolate, "a")]), ["a>b", "a>c", "b>a", "c>a"]);
        let group = Deed { nodes: vec!["a".into(), "b".into()], ..Deed::to_node(FaultKind::Isolate, "a") };
        assert_eq!(told(&[group]), ["a>c", "b>c", "c>a", "c>b"]);
    }

    #[test]
    fn a_way_is_cut_both_ways_unless_told() {
        assert_eq!(told(&[edge(FaultKind::Cut, "a", "b", false)]), ["a>b", "b>a"]);
        assert_eq!(told(&[edge(FaultKind::Cut, "a", "b", true)]), ["a>b"]);
    }

    #[test]
    fn of_two_faults_of_a_way_the_worse_counts_and_others_make_no_rule() {
        let slow = |ms, loss| Deed { delay_ms: ms, loss, ..edge(FaultKind::Slow, "a", "b", true) };
        assert_eq!(told(&[slow(50, 10), slow(200, 0)]), ["a>b 200 ms 10 %"]);
        assert_eq!(told(&[slow(50, 10), edge(FaultKind::Cut, "a", "b", true)]), ["a>b"]);
        assert_eq!(told(&[Deed::to_node(FaultKind::Pause, "a")]), [""; 0]);
    }
}
