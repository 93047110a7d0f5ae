//! Start order: each node starts in the first wave in which everything that it needs is up.

/// The names, wave by wave and in their given order; or one circle of needs, from a name round to itself.
/// Needs that are no name of the list are taken for met.
pub fn waves<'a>(nodes: &[(&'a str, &'a [String])]) -> Result<Vec<Vec<&'a str>>, Vec<&'a str>> {
    let known = |name: &str| nodes.iter().any(|(node, _)| *node == name);
    let mut waves: Vec<Vec<&str>> = Vec::new();
    let mut left: Vec<_> = nodes.to_vec();
    while !left.is_empty() {
        let up = |name: &String| !known(name) || waves.iter().flatten().any(|node| node == name);
        let (ready, waiting): (Vec<_>, Vec<_>) = left.iter().partition(|(_, needs)| needs.iter().all(up));
        if ready.is_empty() {
            return Err(circle(&waiting));
        }
        waves.push(ready.into_iter().map(|(name, _)| name).collect());
        left = waiting;
    }
    Ok(waves)
}

/// One circle among nodes that all need one another somehow.
fn circle<'a>(waiting: &[(&'a str, &'a [String])]) -> Vec<&'a str> {
    let mut path: Vec<&str> = Vec::new();
    let mut at = waiting.first();
    while let Some((name, needs)) = at {
        if let Some(start) = path.iter().position(|seen| seen == name) {
            path.push(name);
            return path.split_off(start);
        }
        path.push(name);
        at = waiting.iter().find(|(other, _)| needs.iter().any(|need| need == other));
    }
    path
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn needs(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn independent_nodes_share_a_wave() {
        let (none, zoo, both) = (needs(&[]), needs(&["zoo"]), needs(&["a", "b"]));
        let nodes = [("proxy", &*both), ("a", &*zoo), ("b", &*zoo), ("zoo", &*none)];
        assert_eq!(waves(&nodes), Ok(vec![vec!["zoo"], vec!["a", "b"], vec!["proxy"]]));
        assert_eq!(waves(&[]), Ok(vec![]));
    }

    #[test]
    fn a_circle_is_named() {
        let (a, b, c, d) = (needs(&["d"]), needs(&["c"]), needs(&["b"]), needs(&["b"]));
        let nodes = [("a", &*a), ("b", &*b), ("c", &*c), ("d", &*d)];
        assert_eq!(waves(&nodes), Err(vec!["b", "c", "b"]));
        let own = needs(&["a"]);
        assert_eq!(waves(&[("a", &*own)]), Err(vec!["a", "a"]));
    }

    proptest! {
        #[test]
        fn every_node_starts_once_and_after_its_needs(edges in prop::collection::vec((0usize..8, 0usize..8), 0..20)) {
            let names = ["a", "b", "c", "d", "e", "f", "g", "h"];
            let mut wanted: Vec<Vec<String>> = vec![Vec::new(); names.len()];
            for (from, to) in edges {
                wanted[from].push(names[to].to_owned());
            }
            let nodes: Vec<_> = names.iter().zip(&wanted).map(|(name, needs)| (*name, needs.as_slice())).collect();
            match waves(&nodes) {
                Ok(waves) => {
                    prop_assert_eq!(waves.iter().map(Vec::len).sum::<usize>(), names.len());
                    let wave_of = |name: &str| waves.iter().position(|wave| wave.contains(&name));
                    for (name, needs) in &nodes {
                        for need in *needs {
                            prop_assert!(wave_of(need) < wave_of(name));
                        }
                    }
                }
                Err(circle) => {
                    prop_assert!(circle.len() >= 2 && circle.first() == circle.last());
                    for pair in circle.windows(2) {
                        let (_, needs) = nodes.iter().find(|(name, _)| *name == pair[0]).expect("a known node");
                        prop_assert!(needs.iter().any(|need| need == pair[1]));
                    }
                }
            }
        }
    }
}
