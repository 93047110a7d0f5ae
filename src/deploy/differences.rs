//! What differs between the plan that was carried out and the one that is asked for now.

use serde::Serialize;

use crate::topology::{ConfigFile, ContainerPlan, NodePlan, Plan, Publish};

/// One line for each difference; none where the two are the same. Never says what a file or a password holds.
pub fn differences(deployed: &Plan, asked: &Plan) -> Vec<String> {
    let mut lines = Vec::new();
    if deployed.lab != asked.lab {
        lines.push(format!("it is the lab {}, not {}", deployed.lab, asked.lab));
    }
    for node in &asked.nodes {
        match deployed.nodes.iter().find(|old| old.name == node.name) {
            Some(old) => of_node(old, node, &mut lines),
            None => lines.push(format!("{} is new", node.name)),
        }
    }
    let gone = deployed.nodes.iter().filter(|old| asked.nodes.iter().all(|node| node.name != old.name));
    lines.extend(gone.map(|old| format!("{} is no longer in the lab", old.name)));
    let mut rest = |what: &str, same: bool| {
        if !same {
            lines.push(format!("{what} differ"));
        }
    };
    rest("the images that are built", alike(&deployed.images, &asked.images));
    rest("users or passwords", alike(&deployed.credentials, &asked.credentials));
    rest("the scope or the namespace", (&deployed.scope, &deployed.namespace) == (&asked.scope, &asked.namespace));
    let unseen = lines.is_empty() && !alike(deployed, asked);
    if unseen {
        lines.push("the compose project, the start order or the timing differ".to_owned());
    }
    lines
}

fn of_node(old: &NodePlan, new: &NodePlan, lines: &mut Vec<String>) {
    let name = &new.name;
    if old.service != new.service {
        lines.push(format!("{name}: another service runs on it"));
    }
    if old.publish != new.publish {
        lines.push(format!("{name}: publishes {}, not {}", ports(&new.publish), ports(&old.publish)));
    }
    if let (Some(old), Some(new)) = (&old.container, &new.container) {
        of_container(name, old, new, lines);
    }
    for file in &new.files {
        match old.files.iter().find(|there| there.path == file.path) {
            Some(there) if there == file => {}
            Some(there) => lines.push(format!("{name}: {} differs{}", file.path, first_line(there, file))),
            None => lines.push(format!("{name}: {} is new", file.path)),
        }
    }
}

fn of_container(name: &str, old: &ContainerPlan, new: &ContainerPlan, lines: &mut Vec<String>) {
    if old.image != new.image {
        lines.push(format!("{name}: its image is {}, not {}", new.image, old.image));
    }
    let rest = |plan: &ContainerPlan| ContainerPlan { image: String::new(), ..plan.clone() };
    if rest(old) != rest(new) {
        lines.push(format!("{name}: its environment, volumes or command differ"));
    }
}

/// ` from line N`, where the two files part.
fn first_line(old: &ConfigFile, new: &ConfigFile) -> String {
    let same = old.content.lines().zip(new.content.lines()).take_while(|(old, new)| old == new).count();
    format!(" from line {}", same + 1)
}

fn ports(publish: &[Publish]) -> String {
    let ports: Vec<_> = publish.iter().map(|port| port.host_port.to_string()).collect();
    if ports.is_empty() { "no port".to_owned() } else { ports.join(", ") }
}

fn alike<T: Serialize>(one: &T, other: &T) -> bool {
    serde_json::to_value(one).ok() == serde_json::to_value(other).ok()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::topology::{Credentials, Service, Timing};

    fn plan() -> Plan {
        let file = ConfigFile { path: "zoo.cfg".into(), content: "a\nb\nc\n".into(), secret: false };
        let zoo = NodePlan {
            name: "zoo".into(),
            address: [127, 40, 0, 10].into(),
            service: Service::Zookeeper { client_port: 2181 },
            publish: vec![Publish { host_port: 2181, node_port: 2181 }],
            needs: Vec::new(),
            files: vec![file],
            container: None,
        };
        Plan {
            deployment: "d".into(),
            lab: "l".into(),
            scope: "s".into(),
            namespace: "service".into(),
            credentials: Credentials {
                superuser: "postgres".into(),
                superuser_password: "hidden-1".into(),
                replication: "replicator".into(),
                replication_password: "hidden-2".into(),
                rest: None,
            },
            timing: Timing {
                ttl_ms: 1,
                loop_wait_ms: 1,
                retry_timeout_ms: 1,
                inter_ms: 1,
                fall: 1,
                rise: 1,
                other: BTreeMap::new(),
            },
            nodes: vec![zoo],
            waves: vec![vec!["zoo".into()]],
            project: Vec::new(),
            images: Vec::new(),
        }
    }

    /// What differs once `change` was made to what is asked for.
    fn after(change: impl FnOnce(&mut Plan)) -> Vec<String> {
        let mut asked = plan();
        change(&mut asked);
        differences(&plan(), &asked)
    }

    #[test]
    fn the_same_plan_has_no_difference() {
        assert_eq!(after(|_| ()), Vec::<String>::new());
    }

    #[test]
    fn each_difference_is_named_without_its_secrets() {
        assert_eq!(after(|plan| plan.nodes[0].publish[0].host_port = 12181), ["zoo: publishes 12181, not 2181"]);
        assert_eq!(after(|plan| plan.nodes[0].publish.clear()), ["zoo: publishes no port, not 2181"]);
        assert_eq!(
            after(|plan| plan.nodes[0].files[0].content = "a\nX\nc\n".into()),
            ["zoo: zoo.cfg differs from line 2"]
        );
        assert_eq!(
            after(|plan| plan.nodes[0].name = "keeper".into()),
            ["keeper is new", "zoo is no longer in the lab"]
        );
        assert_eq!(after(|plan| plan.credentials.superuser_password = "other".into()), ["users or passwords differ"]);
        assert_eq!(after(|plan| plan.timing.ttl_ms = 2).len(), 1);
    }
}
