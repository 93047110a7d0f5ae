//! A lab's compose project, written to be taken away.

use std::path::{Path, PathBuf};

use crate::lab::library::builtin;
use crate::lab::{Diagnostic, NewFile, into_new_folder};
use crate::topology::{Plan, Service};

/// Writes the project of a plan, with a README, into a folder that is empty or not there yet.
pub fn write_project(dir: &Path, plan: &Plan) -> Result<Vec<PathBuf>, Diagnostic> {
    let project = plan.project.iter().cloned();
    let files = project.map(|file| NewFile { path: file.path, text: file.content, secret: file.secret });
    let readme = NewFile { path: "README.md".to_owned(), text: readme(plan), secret: false };
    into_new_folder(dir, files.chain([readme]))
}

fn readme(plan: &Plan) -> String {
    let ports: Vec<String> = plan
        .nodes
        .iter()
        .flat_map(|node| node.publish.iter().map(move |port| (node, port)))
        .map(|(node, port)| {
            format!("| {} | 127.0.0.1:{} |", what(&node.name, &node.service, port.node_port), port.host_port)
        })
        .collect();
    let text = builtin("templates/export/README.md").unwrap_or_default();
    text.replace("LAB_NAME", &plan.lab).replace("PORTS", &ports.join("\n"))
}

fn what(name: &str, service: &Service, port: u16) -> String {
    match service {
        Service::Haproxy { sql_port, .. } if port == *sql_port => {
            format!("`{name}`: the entry point, always the leader")
        }
        Service::Haproxy { .. } => format!("`{name}`: statistics"),
        Service::Postgres { sql_port, .. } if port == *sql_port => format!("`{name}`: PostgreSQL"),
        Service::Postgres { .. } => format!("`{name}`: Patroni's REST API"),
        Service::Zookeeper { .. } => format!("`{name}`: ZooKeeper"),
    }
}
