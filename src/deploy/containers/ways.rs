//! The ways between nodes in containers: cut by routes in the network of whoever sends (`labrun-agent lose`).
//!
//! The routes live with a container's network, so a node that is started anew has none until they are made again; and
//! what a node that does not run sends needs no rule.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use serde::Deserialize;

use super::container;
use crate::deploy::local::programs::Search;
use crate::deploy::{DeployError, Deployment, Rule, Way};
use crate::engine::{Engine, visit};

/// What `labrun-agent lose` prints.
#[derive(Deserialize)]
struct Lost {
    lost: Vec<IpAddr>,
}

/// The addresses of the nodes that run.
struct Addresses(BTreeMap<String, Vec<IpAddr>>);

/// Make these the rules; those of nodes that run.
pub async fn shape(
    engine: &Engine,
    deployment: &Deployment,
    rules: &[Rule],
    labels: &HashMap<String, String>,
) -> Result<Vec<Rule>, DeployError> {
    if let Some(slow) = rules.iter().find(|rule| matches!(rule.way, Way::Slow { .. })) {
        let what = format!("slow the way from {} to {} down", slow.from, slow.to);
        return Err(DeployError::process(what, "ways between containers can only be cut"));
    }
    let addresses = Addresses::of(engine, deployment).await?;
    let args = |node: &str| {
        let to = rules.iter().filter(|rule| rule.from == node).flat_map(|rule| addresses.at(&rule.to));
        std::iter::once("lose".to_owned()).chain(to.map(IpAddr::to_string)).collect()
    };
    addresses.visit_all(engine, deployment, args, labels).await?;
    // A receiver that has no address, since it does not run, cannot be cut off, and need not be.
    let runs = |rule: &&Rule| addresses.0.contains_key(&rule.from) && addresses.0.contains_key(&rule.to);
    Ok(rules.iter().filter(runs).cloned().collect())
}

/// The rules that are in force, in order.
pub async fn shaped(
    engine: &Engine,
    deployment: &Deployment,
    labels: &HashMap<String, String>,
) -> Result<Vec<Rule>, DeployError> {
    let addresses = Addresses::of(engine, deployment).await?;
    let args = |_: &str| vec!["lose".to_owned(), "--look".to_owned()];
    let lost = addresses.visit_all(engine, deployment, args, labels).await?;
    Ok(addresses.rules(&lost))
}

impl Addresses {
    async fn of(engine: &Engine, deployment: &Deployment) -> Result<Addresses, DeployError> {
        let mut found = BTreeMap::new();
        for node in &deployment.nodes {
            let there = container(engine, node)?.inspect().await?;
            if there.state.is_none_or(|state| state.running != Some(true)) {
                continue;
            }
            let networks = there.network_settings.and_then(|settings| settings.networks).unwrap_or_default();
            let own = networks.into_values().flat_map(|network| [network.ip_address, network.global_ipv6_address]);
            let own: Vec<IpAddr> = own.flatten().filter_map(|address| address.parse().ok()).collect();
            if !own.is_empty() {
                found.insert(node.name.clone(), own);
            }
        }
        Ok(Addresses(found))
    }

    fn at(&self, node: &str) -> impl Iterator<Item = &IpAddr> {
        self.0.get(node).into_iter().flatten()
    }

    /// From what each node loses to the rules: a way is cut once nothing comes through to any address.
    fn rules(&self, lost: &BTreeMap<String, Vec<IpAddr>>) -> Vec<Rule> {
        let cut = |from: &String, to: &String| {
            let lost = lost.get(from).map(Vec::as_slice).unwrap_or_default();
            from != to && self.at(to).all(|address| lost.contains(address))
        };
        let pairs = self.0.keys().flat_map(|from| self.0.keys().map(move |to| (from, to)));
        let cut = pairs.filter(|(from, to)| cut(from, to));
        cut.map(|(from, to)| Rule { from: from.clone(), to: to.clone(), way: Way::Cut }).collect()
    }

    /// Visit every node that runs, all at once.
    async fn visit_all(
        &self,
        engine: &Engine,
        deployment: &Deployment,
        args: impl Fn(&str) -> Vec<String>,
        labels: &HashMap<String, String>,
    ) -> Result<BTreeMap<String, Vec<IpAddr>>, DeployError> {
        let program = Search::from_env().agent_for_images()?;
        let packed = visit::pack(&program).map_err(DeployError::io("read", program))?;
        let visits = self.0.keys().map(|node| {
            let (args, packed, labels) = (args(node), packed.clone(), labels.clone());
            async move {
                let host = super::name(deployment.known(node)?)?;
                let ran = engine.visit(host, packed, &args, labels).await?;
                let failed = |why: String| DeployError::process(format!("change the network of {node}"), why);
                if ran.code != Some(0) {
                    return Err(failed(ran.stderr.trim().to_owned()));
                }
                let said: Lost = serde_json::from_str(&ran.stdout).map_err(|error| failed(error.to_string()))?;
                Ok::<_, DeployError>((node.clone(), said.lost))
            }
        });
        Ok(futures_util::future::try_join_all(visits).await?.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_way_is_cut_once_nothing_comes_through() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let nodes = [("a", vec!["10.0.0.1"]), ("b", vec!["10.0.0.2", "fd00::2"]), ("c", vec!["10.0.0.3"])];
        let of = |(name, all): (&str, Vec<&str>)| (name.to_owned(), all.into_iter().map(ip).collect());
        let addresses = Addresses(nodes.into_iter().map(of).collect());
        let lost = [("a", vec!["10.0.0.2", "10.0.0.3"]), ("b", vec!["10.0.0.1"])].into_iter().map(of).collect();
        let cut = addresses.rules(&lost);
        let told: Vec<String> = cut.iter().map(|rule| format!("{}>{}", rule.from, rule.to)).collect();
        assert_eq!(told, ["a>c", "b>a"], "from a to b one address is left");
        assert!(cut.iter().all(|rule| rule.way == Way::Cut));
    }
}
