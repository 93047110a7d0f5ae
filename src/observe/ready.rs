//! When a cluster is ready: a predicate over the whole of it, never a node's word about itself.

use super::ClusterView;

/// What is not yet true of a cluster that should be healthy, or nothing where all of it is: one leader whom the DCS,
/// REST and the proxy agree on, every other node streaming on its timeline, a sync standby where one is asked for.
/// `with_proxy` says whether the topology has a proxy.
pub fn not_ready(view: &ClusterView, with_proxy: bool) -> Option<String> {
    if let Some(trouble) = view.troubles.first() {
        return Some(trouble.clone());
    }
    let Some(leader) = &view.leader else {
        return Some("nobody holds the leader key yet".to_owned());
    };
    for member in &view.members {
        let wanted = if member.node == *leader { "running" } else { "streaming" };
        if member.state != wanted {
            return Some(format!("{} ({}) is {}, not yet {wanted}", member.node, member.role, member.state));
        }
        if member.timeline != view.timeline {
            let (own, leaders) = (number(member.timeline), number(view.timeline));
            return Some(format!("{} is on timeline {own}, the leader on {leaders}", member.node));
        }
    }
    if view.synchronous && view.members.len() > 1 && view.sync_standbys.is_empty() {
        return Some("/sync names no standby yet".to_owned());
    }
    if let Some(disagreement) = view.disagreements.first() {
        return Some(disagreement.clone());
    }
    if with_proxy { proxy_not_ready(view, leader) } else { None }
}

fn proxy_not_ready(view: &ClusterView, leader: &str) -> Option<String> {
    let Some(proxy) = &view.proxy else {
        return Some("the proxy's statistics have not been seen yet".to_owned());
    };
    if let Some(server) = proxy.servers.iter().find(|server| !server.is_settled()) {
        return Some(format!("the proxy is still checking {}: {} {}", server.name, server.status, server.check_status));
    }
    if proxy.up != [leader] {
        let up = if proxy.up.is_empty() { "no server".to_owned() } else { proxy.up.join(", ") };
        return Some(format!("the proxy has {up} up, the leader is {leader}"));
    }
    None
}

fn number(timeline: Option<u64>) -> String {
    timeline.map_or_else(|| "?".to_owned(), |timeline| timeline.to_string())
}

#[cfg(test)]
mod tests {
    use super::super::cluster::tests::healthy;
    use super::*;

    /// What is not ready once `change` was made to a healthy cluster.
    fn after(change: impl FnOnce(&mut ClusterView)) -> Option<String> {
        let (dcs, heard, proxy) = healthy();
        let mut view = ClusterView::assemble(Ok(dcs), heard, Some(Ok(proxy)));
        change(&mut view);
        not_ready(&view, true)
    }

    #[test]
    fn a_healthy_cluster_is_ready() {
        assert_eq!(after(|_| ()), None);
    }

    #[test]
    fn each_thing_that_is_missing_is_named() {
        assert!(after(|view| view.leader = None).unwrap().contains("leader key"));
        assert!(after(|view| view.members[1].state = "starting".into()).unwrap().contains("pg-slave"));
        assert!(after(|view| view.members[1].timeline = Some(7)).unwrap().contains("timeline 7"));
        assert!(after(|view| view.sync_standbys.clear()).unwrap().contains("/sync"));
        assert!(after(|view| view.proxy = None).unwrap().contains("proxy"));
        assert!(after(|view| view.troubles.push("zoo is away".into())).unwrap().contains("zoo"));
    }

    #[test]
    fn a_proxy_that_also_sends_to_a_replica_is_not_ready() {
        let both = after(|view| view.proxy.as_mut().unwrap().up.push("pg-slave".into()));
        assert_eq!(both.unwrap(), "the proxy has pg-master, pg-slave up, the leader is pg-master");
    }

    #[test]
    fn a_server_that_was_never_checked_is_not_ready() {
        let unchecked = after(|view| view.proxy.as_mut().unwrap().servers[0].check_status = "INI".into());
        assert!(unchecked.unwrap().contains("still checking pg-master"));
    }
}
