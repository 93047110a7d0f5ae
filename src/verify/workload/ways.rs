//! The ways of a workload: from what a lab names to the nodes that clients go to.

use crate::deploy::Deployment;
use crate::lab::model::WorkloadStart;
use crate::verify::say::both;
use crate::verify::steps::Trouble;

/// A way: its name, and the nodes to which a client on it may go, in the order in which it tries them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Way {
    pub name: String,
    pub nodes: Vec<String>,
}

/// The ways of `start` in `deployment`; or why there are none.
pub(super) fn ways(start: &WorkloadStart, deployment: &Deployment) -> Result<Vec<Way>, Trouble> {
    let postgres = || deployment.postgres_nodes().map(|node| node.name.clone());
    let mut ways = Vec::new();
    for path in &start.paths {
        match path.as_str() {
            "direct" => ways.push(Way { name: path.clone(), nodes: postgres().collect() }),
            "each" => ways.extend(postgres().map(|node| Way { name: node.clone(), nodes: vec![node] })),
            "proxy" => {
                let proxy = deployment.proxy().ok_or_else(no_proxy)?;
                ways.push(Way { name: path.clone(), nodes: vec![proxy.name.clone()] });
            }
            other => {
                return Err(Trouble::NoValue(format!("`{other}` is no way of a workload (`proxy`, `direct`, `each`)")));
            }
        }
    }
    match ways.is_empty() {
        true => Err(Trouble::NoValue(format!("workload `{}` has no way to go by", start.name))),
        false => Ok(ways),
    }
}

fn no_proxy() -> Trouble {
    Trouble::NotThere(both("в развёртывании нет узла haproxy", "the deployment has no haproxy node"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::world::World;
    use crate::verify::world::pretended::Pretended;

    fn ways_of(paths: &[&str]) -> Result<Vec<(String, Vec<String>)>, Trouble> {
        let loaded = crate::lab::load("builtin:ha-postgres").unwrap();
        let folder = tempfile::tempdir().unwrap();
        let world = Pretended::new(&loaded, folder.path(), &[]);
        let start: WorkloadStart = serde_json::from_value(serde_json::json!({"name": "w", "paths": paths})).unwrap();
        let ways = ways(&start, world.deployment())?;
        Ok(ways.into_iter().map(|way| (way.name, way.nodes)).collect())
    }

    #[test]
    fn each_node_is_a_way_of_its_own() {
        let way = |name: &str, nodes: &[&str]| (name.to_owned(), nodes.iter().map(|node| (*node).to_owned()).collect());
        let expected: Vec<(String, Vec<String>)> = vec![
            way("proxy", &["haproxy"]),
            way("direct", &["pg-master", "pg-slave"]),
            way("pg-master", &["pg-master"]),
            way("pg-slave", &["pg-slave"]),
        ];
        assert_eq!(ways_of(&["proxy", "direct", "each"]).unwrap(), expected);
        assert!(matches!(ways_of(&["around"]), Err(Trouble::NoValue(_))));
        assert!(matches!(ways_of(&[]), Err(Trouble::NoValue(_))));
    }
}
