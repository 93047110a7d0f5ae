//! Which node a step means: roles are resolved when the step runs, never before.

use super::Trouble;
use crate::lab::model::Text;
use crate::observe::ClusterView;
use crate::topology::Service;
use crate::verify::say::both;
use crate::verify::world::World;

/// A node that a step is aimed at, as it was then.
#[derive(Debug, Clone, PartialEq)]
pub struct Target {
    /// The node.
    pub node: String,
    /// The role that it had (`leader`, `sync_standby`, `replica`, `down`); none for a node without roles.
    pub role: Option<String>,
    /// Its member name, on a postgres node.
    pub member: Option<String>,
    /// The timeline that it was on.
    pub timeline: Option<u64>,
    /// The node that held the leader key.
    pub lease_holder: Option<String>,
}

/// The node that `selector` (a role or a node's name) means now.
pub async fn resolve(selector: &str, world: &dyn World) -> Result<Target, Trouble> {
    let deployment = world.deployment();
    let first = |node: Option<&crate::deploy::DeployedNode>, what: &str| {
        let name = node.map(|node| node.name.clone());
        name.map(Target::without_role).ok_or_else(|| {
            Trouble::NotThere(both(
                format!("в развёртывании нет узла {what}"),
                format!("the deployment has no {what} node"),
            ))
        })
    };
    match selector {
        "proxy" => return first(deployment.proxy(), "haproxy"),
        "dcs" => return first(deployment.zookeeper_nodes().next(), "zookeeper"),
        "dcs_leader" => return in_ensemble(&["leader", "standalone"], world).await,
        "dcs_follower" => return in_ensemble(&["follower"], world).await,
        "leader" | "sync_standby" | "replica" => {
            let view = world.cluster().await;
            let node = node_of_role(selector, &view).map_err(Trouble::NotThere)?;
            return Ok(Target::in_cluster(node, &view));
        }
        _ => {}
    }
    match deployment.node(selector) {
        Some(node) if matches!(node.service, Service::Postgres { .. }) => {
            Ok(Target::in_cluster(selector.to_owned(), &world.cluster().await))
        }
        Some(_) => Ok(Target::without_role(selector.to_owned())),
        None => {
            let known: Vec<&str> = deployment.nodes.iter().map(|node| node.name.as_str()).collect();
            Err(Trouble::NotThere(both(
                format!("`{selector}` не роль и не узел (узлы: {})", known.join(", ")),
                format!("`{selector}` is neither a role nor a node (nodes: {})", known.join(", ")),
            )))
        }
    }
}

/// The first ZooKeeper server that says of itself that it plays one of these parts.
async fn in_ensemble(modes: &[&str], world: &dyn World) -> Result<Target, Trouble> {
    for node in world.deployment().zookeeper_nodes() {
        let mode = world.zookeeper_mode(&node.name).await;
        if mode.is_some_and(|mode| modes.contains(&mode.as_str())) {
            return Ok(Target::without_role(node.name.clone()));
        }
    }
    let what = modes[0];
    Err(Trouble::NotThere(both(
        format!("ни один сервер ZooKeeper не отвечает, что он {what}"),
        format!("no ZooKeeper server says that it is a {what}"),
    )))
}

/// The node that has the role, by the DCS and by its own word; or why there is none.
fn node_of_role(role: &str, view: &ClusterView) -> Result<String, Text> {
    let trouble = || view.troubles.first().map(|trouble| format!(" ({trouble})")).unwrap_or_default();
    match role {
        "leader" => {
            let leader = view.leader.clone().ok_or_else(|| {
                both(
                    format!("ключ лидера никем не занят{}", trouble()),
                    format!("nobody holds the leader key{}", trouble()),
                )
            })?;
            match view.member(&leader) {
                Some(member) if member.primary => Ok(leader),
                Some(member) => Err(both(
                    format!("{leader} держит ключ лидера, но не действует как primary: он {}", member.state),
                    format!("{leader} holds the leader key, but does not act as primary: it is {}", member.state),
                )),
                None => Err(both(
                    format!("ключ лидера называет {leader}, а такого узла в развёртывании нет"),
                    format!("the leader key names {leader}, which is no node of this deployment"),
                )),
            }
        }
        "sync_standby" => {
            let named = view.sync_standbys.first().cloned();
            named.ok_or_else(|| {
                both(
                    format!("ключ sync не называет ни одной реплики{}", trouble()),
                    format!("the sync key names no standby{}", trouble()),
                )
            })
        }
        _ => {
            let mut others = view.members.iter().filter(|member| Some(&member.node) != view.leader.as_ref());
            let streaming = others.clone().find(|member| member.state == "streaming");
            let alive = streaming.or_else(|| others.find(|member| member.role != "down"));
            alive.map(|member| member.node.clone()).ok_or_else(|| {
                both(format!("живых реплик нет{}", trouble()), format!("no replica is alive{}", trouble()))
            })
        }
    }
}

impl Target {
    /// A node without roles.
    pub fn without_role(node: String) -> Target {
        Target { node, role: None, member: None, timeline: None, lease_holder: None }
    }

    fn in_cluster(node: String, view: &ClusterView) -> Target {
        let member = view.member(&node);
        Target {
            role: member.map(|member| member.role.clone()),
            member: member.map(|member| member.member.clone()),
            timeline: member.and_then(|member| member.timeline),
            lease_holder: view.leader.clone(),
            node,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::model::Lang;
    use crate::observe::MemberView;

    fn refused(role: &str, view: &ClusterView) -> String {
        node_of_role(role, view).unwrap_err().get(Lang::En).to_owned()
    }

    fn member(node: &str, role: &str, state: &str, primary: bool) -> MemberView {
        let member = format!("m-{node}");
        MemberView { node: node.into(), member, role: role.into(), state: state.into(), primary, ..Default::default() }
    }

    fn healthy() -> ClusterView {
        ClusterView {
            leader: Some("a".into()),
            sync_standbys: vec!["b".into()],
            members: vec![member("a", "leader", "running", true), member("b", "sync_standby", "streaming", false)],
            ..ClusterView::default()
        }
    }

    #[test]
    fn roles_are_those_of_the_moment() {
        let view = healthy();
        let nodes = ["leader", "sync_standby", "replica"].map(|role| node_of_role(role, &view).unwrap());
        assert_eq!(nodes, ["a", "b", "b"]);
    }

    #[test]
    fn a_leader_that_only_holds_the_key_is_not_yet_the_leader() {
        let mut view = healthy();
        view.members[0].primary = false;
        view.members[0].state = "starting".into();
        assert!(refused("leader", &view).contains("does not act as primary"));
        view.leader = None;
        view.troubles.push("zoo cannot be reached".into());
        assert_eq!(refused("leader", &view), "nobody holds the leader key (zoo cannot be reached)");
    }

    #[test]
    fn a_dead_node_is_no_replica() {
        let mut view = healthy();
        view.members[1] = member("b", "down", "unreachable", false);
        view.sync_standbys.clear();
        assert_eq!(refused("replica", &view), "no replica is alive");
        assert_eq!(refused("sync_standby", &view), "the sync key names no standby");
    }
}
