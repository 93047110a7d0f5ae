//! Look at the whole cluster at once.

use serde_json::{Value, json};

use super::{Attempt, Seen, Stage, haproxy};
use crate::observe::ClusterView;
use crate::observe::table;
use crate::verify::{Observation, Source};

pub(super) async fn run(stage: &Stage<'_>) -> Attempt {
    Ok(Seen { observation: observation(&stage.world.cluster().await), unmet: None })
}

pub(super) fn observation(view: &ClusterView) -> Observation {
    Observation { node: None, role: None, source: Source::Cluster, output: print(view), value: value(view) }
}

/// The view as expressions read it. A proxy that was not seen has no server up: what is not seen is not there.
pub(super) fn value(view: &ClusterView) -> Value {
    let proxy = json!(view.proxy.clone().unwrap_or_default());
    let mut cluster = json!(view);
    cluster["proxy"] = proxy.clone();
    json!({ "cluster": cluster, "proxy": proxy })
}

fn print(view: &ClusterView) -> String {
    let header = ["node", "member", "role", "state", "TL", "sync", "lag"];
    let number = |value: Option<u64>| value.map(|value| value.to_string()).unwrap_or_default();
    let rows: Vec<Vec<String>> = view
        .members
        .iter()
        .map(|member| {
            let sync = member.sync_state.clone().unwrap_or_default();
            let (node, name) = (member.node.clone(), member.member.clone());
            vec![
                node,
                name,
                member.role.clone(),
                member.state.clone(),
                number(member.timeline),
                sync,
                number(member.lag),
            ]
        })
        .collect();
    let mut text = table::table(&header, &rows);
    if let Some(proxy) = &view.proxy {
        text.push('\n');
        text.push_str(&haproxy::print(proxy));
        text.push('\n');
    }
    for (what, lines) in [("disagreement", &view.disagreements), ("trouble", &view.troubles)] {
        for line in lines {
            text.push_str(&format!("{what}: {line}\n"));
        }
    }
    text.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::expr;
    use crate::observe::MemberView;

    fn view() -> ClusterView {
        let member = |node: &str, role: &str, state: &str| MemberView {
            node: node.into(),
            member: format!("m-{node}"),
            role: role.into(),
            state: state.into(),
            timeline: Some(1),
            ..MemberView::default()
        };
        ClusterView {
            leader: Some("a".into()),
            timeline: Some(1),
            members: vec![member("a", "leader", "running"), member("b", "down", "unreachable")],
            troubles: vec!["b: http://127.0.0.2:8008/patroni cannot be reached".into()],
            ..ClusterView::default()
        }
    }

    #[test]
    fn a_proxy_that_was_not_seen_has_no_server_up() {
        let context = value(&view());
        assert_eq!(expr::value("proxy.up == [] and cluster.proxy.up == []", &context), Ok(json!(true)));
        assert_eq!(expr::value("cluster.leader", &context), Ok(json!("a")));
    }

    #[test]
    fn the_cluster_is_shown_as_a_table_with_its_troubles() {
        insta::assert_snapshot!(print(&view()), @r"
         node | member |  role  |    state    | TL | sync | lag
        ------+--------+--------+-------------+----+------+-----
         a    | m-a    | leader | running     |  1 |      |
         b    | m-b    | down   | unreachable |  1 |      |
        trouble: b: http://127.0.0.2:8008/patroni cannot be reached
        ");
    }
}
