//! When a cluster is ready: a predicate over the whole of it, never a node's word about itself.

use super::{ClusterView, MemberView};

/// What keeps a cluster from being ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotReady {
    /// What is not yet true, in words.
    pub why: String,
    /// Whose doing that is; who is the first to ask comes first.
    pub accused: Vec<Accused>,
}

/// One that keeps a cluster from being ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Accused {
    /// A postgres node.
    Node(String),
    /// The DCS.
    Dcs,
    /// The proxy.
    Proxy,
}

/// What is not yet true of a cluster that should be healthy, or nothing where all of it is: one leader whom the DCS,
/// REST and the proxy agree on, every other node streaming on its timeline, a sync standby where one is asked for.
/// `with_proxy` says whether the topology has a proxy.
pub fn not_ready(view: &ClusterView, with_proxy: bool) -> Option<NotReady> {
    if let Some(trouble) = view.troubles.first() {
        return Some(NotReady { why: trouble.clone(), accused: unseen(view, with_proxy) });
    }
    let Some(leader) = &view.leader else {
        return because("nobody holds the leader key yet".to_owned(), nodes(&view.members, |_| true));
    };
    members_not_ready(view, leader)
        .or_else(|| view.disagreements.first().and_then(|words| because(words.clone(), named_in(words, view))))
        .or_else(|| if with_proxy { proxy_not_ready(view, leader) } else { None })
}

fn because(why: String, accused: Vec<Accused>) -> Option<NotReady> {
    Some(NotReady { why, accused })
}

fn nodes(members: &[MemberView], guilty: impl Fn(&MemberView) -> bool) -> Vec<Accused> {
    members.iter().filter(|member| guilty(member)).map(|member| Accused::Node(member.node.clone())).collect()
}

/// Whoever did not answer.
fn unseen(view: &ClusterView, with_proxy: bool) -> Vec<Accused> {
    let dcs = (!view.dcs_seen).then_some(Accused::Dcs);
    let silent = nodes(&view.members, |member| member.role == "down");
    let proxy = (with_proxy && view.proxy.is_none()).then_some(Accused::Proxy);
    dcs.into_iter().chain(silent).chain(proxy).collect()
}

fn members_not_ready(view: &ClusterView, leader: &str) -> Option<NotReady> {
    let wanted = |member: &MemberView| if member.node == leader { "running" } else { "streaming" };
    let astray = |member: &MemberView| member.state != wanted(member) || member.timeline != view.timeline;
    if let Some(member) = view.members.iter().find(|member| astray(member)) {
        let why = if member.state == wanted(member) {
            let (own, leaders) = (number(member.timeline), number(view.timeline));
            format!("{} is on timeline {own}, the leader on {leaders}", member.node)
        } else {
            format!("{} ({}) is {}, not yet {}", member.node, member.role, member.state, wanted(member))
        };
        return because(why, nodes(&view.members, astray));
    }
    if view.synchronous && view.members.len() > 1 && view.sync_standbys.is_empty() {
        // The leader chooses among the others.
        let mut all = nodes(&view.members, |member| member.node == leader);
        all.extend(nodes(&view.members, |member| member.node != leader));
        return because("/sync names no standby yet".to_owned(), all);
    }
    None
}

/// The nodes that a sentence names.
fn named_in(words: &str, view: &ClusterView) -> Vec<Accused> {
    let part_of_name = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_');
    let named: Vec<&str> = words.split(|c| !part_of_name(c)).collect();
    nodes(&view.members, |member| named.contains(&member.node.as_str()))
}

fn proxy_not_ready(view: &ClusterView, leader: &str) -> Option<NotReady> {
    let Some(proxy) = &view.proxy else {
        return because("the proxy's statistics have not been seen yet".to_owned(), vec![Accused::Proxy]);
    };
    if let Some(server) = proxy.servers.iter().find(|server| !server.is_settled()) {
        let why = format!("the proxy is still checking {}: {} {}", server.name, server.status, server.check_status);
        return because(why, vec![Accused::Proxy]);
    }
    if proxy.up == [leader] {
        return None;
    }
    let up = if proxy.up.is_empty() { "no server".to_owned() } else { proxy.up.join(", ") };
    // The proxy's own configuration is asked first, then the nodes whose health check answers what it should not.
    let wrong: Vec<_> = proxy.servers.iter().filter(|server| server.is_up() != (server.name == leader)).collect();
    let checks = wrong.iter().map(|server| format!("; its check of {} ended with {}", server.name, server.check()));
    let why = format!("the proxy has {up} up, the leader is {leader}{}", checks.collect::<String>());
    let named = wrong.iter().map(|server| Accused::Node(server.name.clone()));
    because(why, std::iter::once(Accused::Proxy).chain(named).collect())
}

fn number(timeline: Option<u64>) -> String {
    timeline.map_or_else(|| "?".to_owned(), |timeline| timeline.to_string())
}

#[cfg(test)]
mod tests {
    use super::super::cluster::tests::healthy;
    use super::*;

    /// What is not ready once `change` was made to a healthy cluster.
    fn after(change: impl FnOnce(&mut ClusterView)) -> Option<NotReady> {
        let (dcs, heard, proxy) = healthy();
        let mut view = ClusterView::assemble(Ok(dcs), heard, Some(Ok(proxy)));
        change(&mut view);
        not_ready(&view, true)
    }

    fn node(name: &str) -> Accused {
        Accused::Node(name.to_owned())
    }

    #[test]
    fn a_healthy_cluster_is_ready() {
        assert_eq!(after(|_| ()), None);
    }

    #[test]
    fn each_thing_that_is_missing_is_named_with_whoever_keeps_it_so() {
        let (master, slave) = (|| node("pg-master"), || node("pg-slave"));
        type Change = fn(&mut ClusterView);
        let cases: [(Change, &str, Vec<Accused>); 7] = [
            (|view| view.leader = None, "leader key", vec![master(), slave()]),
            (|view| view.members[1].state = "starting".into(), "pg-slave (sync_standby) is starting", vec![slave()]),
            (|view| view.members[1].timeline = Some(7), "pg-slave is on timeline 7", vec![slave()]),
            (|view| view.members[0].state = "stopping".into(), "pg-master (leader) is stopping", vec![master()]),
            (|view| view.sync_standbys.clear(), "/sync", vec![master(), slave()]),
            (|view| view.disagreements.push("/sync names pg-slave, but".into()), "/sync names", vec![slave()]),
            (|view| view.proxy = None, "proxy", vec![Accused::Proxy]),
        ];
        for (change, words, accused) in cases {
            let found = after(change).expect(words);
            assert!(found.why.contains(words), "{found:?}");
            assert_eq!(found.accused, accused, "{words}");
        }
    }

    #[test]
    fn all_that_do_not_answer_are_accused() {
        let (_, mut heard, _) = healthy();
        heard[1].rest = None;
        heard[1].trouble = Some("pg-slave: away".into());
        let view = ClusterView::assemble(Err("no ZooKeeper".into()), heard, Some(Err("no HAProxy".into())));
        let found = not_ready(&view, true).expect("not ready");
        assert_eq!(found.why, "no ZooKeeper");
        assert_eq!(found.accused, [Accused::Dcs, node("pg-slave"), Accused::Proxy]);
    }

    #[test]
    fn a_proxy_that_also_sends_to_a_replica_is_accused_with_the_check_that_passes() {
        let both = after(|view| {
            let proxy = view.proxy.as_mut().unwrap();
            proxy.servers[1].status = "UP".into();
            proxy.servers[1].check_code = Some(200);
            proxy.up.push("pg-slave".into());
        });
        let both = both.unwrap();
        let words =
            "the proxy has pg-master, pg-slave up, the leader is pg-master; its check of pg-slave ended with L7OK 200";
        assert_eq!(both.why, words);
        assert_eq!(both.accused, [Accused::Proxy, node("pg-slave")]);
    }

    #[test]
    fn a_proxy_without_the_leader_is_accused_with_the_check_that_fails() {
        let none = after(|view| {
            let proxy = view.proxy.as_mut().unwrap();
            (proxy.servers[0].status, proxy.servers[0].check_code) = ("DOWN".into(), Some(503));
            proxy.up.clear();
        });
        let none = none.unwrap();
        assert!(none.why.starts_with("the proxy has no server up, the leader is pg-master; its check of pg-master"));
        assert_eq!(none.accused, [Accused::Proxy, node("pg-master")]);
    }

    #[test]
    fn a_server_that_was_never_checked_is_not_ready() {
        let unchecked = after(|view| view.proxy.as_mut().unwrap().servers[0].check_status = "INI".into());
        assert!(unchecked.unwrap().why.contains("still checking pg-master"));
    }
}
