//! Needs: of nodes, which give the start order, and of parts, which are run in their order.

use super::Meaning;
use crate::lab::diagnostic::{Code, listed, nearest};
use crate::lab::model::LabFile;
use crate::lab::order::waves;

impl Meaning<'_> {
    pub(super) fn needs(&mut self, lab: &LabFile) {
        let nodes: Vec<_> = lab.topology.nodes.iter().map(|(name, node)| (name.as_str(), node.needs())).collect();
        for (name, needs) in &nodes {
            self.known_needs(&["topology", "nodes", name, "needs"], name, needs, &nodes, "node");
        }
        self.circle(&nodes, |name| {
            vec!["topology".to_owned(), "nodes".to_owned(), name.to_owned(), "needs".to_owned()]
        });

        let parts: Vec<_> = lab.parts.iter().map(|part| (part.id.as_str(), part.needs.as_slice())).collect();
        for (index, (id, needs)) in parts.iter().enumerate() {
            let at = index.to_string();
            self.known_needs(&["parts", &at, "needs"], id, needs, &parts, "part");
        }
        let place = |id: &str| parts.iter().position(|(other, _)| *other == id).unwrap_or(0).to_string();
        let circle = self.circle(&parts, |id| vec!["parts".to_owned(), place(id), "needs".to_owned()]);
        if !circle {
            self.later_parts(&parts);
        }
    }

    fn known_needs(&mut self, path: &[&str], name: &str, needs: &[String], all: &[(&str, &[String])], what: &str) {
        for (index, need) in needs.iter().enumerate() {
            if all.iter().any(|(other, _)| other == need) {
                continue;
            }
            let at = index.to_string();
            let place = self.value(&[path, &[&at]].concat());
            let names = || all.iter().map(|(other, _)| *other).filter(|other| *other != name);
            let help = match nearest(need, names()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("there are {}", listed(names())),
            };
            self.error(Code::UnknownNeed, format!("there is no {what} `{need}`"), place)
                .with_label(format!("{name} needs it"))
                .with_help(help);
        }
    }

    fn circle(&mut self, all: &[(&str, &[String])], path: impl Fn(&str) -> Vec<String>) -> bool {
        let Err(circle) = waves(all) else { return false };
        let places: Vec<_> = circle.windows(2).map(|pair| (path(pair[0]), pair[0], pair[1])).collect();
        let shown = circle.join(" -> ");
        let place_of = |meaning: &Self, path: &[String], need: &str| {
            let path: Vec<&str> = path.iter().map(String::as_str).collect();
            let items = meaning.tree.find(&path).map(|needs| needs.items()).unwrap_or_default();
            items.iter().find(|item| item.text() == Some(need)).map_or(meaning.key(&path), |item| item.span.clone())
        };
        let spans: Vec<_> = places.iter().map(|(path, _, need)| place_of(self, path, need)).collect();
        let Some((first, rest)) = spans.split_first() else { return true };
        let finding =
            self.error(Code::CyclicNeeds, format!("these need one another in a circle: {shown}"), first.clone());
        finding.with_help("nothing in a circle can be the first; take one of these needs away");
        finding.with_label(format!("{} needs {}", circle[0], circle[1]));
        for (span, (_, from, to)) in rest.iter().zip(&places[1..]) {
            finding.with_place(span.clone(), format!("{from} needs {to}"));
        }
        true
    }

    /// Parts are run in their order, so that a part may only need those before it.
    fn later_parts(&mut self, parts: &[(&str, &[String])]) {
        for (index, (id, needs)) in parts.iter().enumerate() {
            for (at, need) in needs.iter().enumerate() {
                if parts[index..].iter().any(|(later, _)| later == need) {
                    let place = self.value(&["parts", &index.to_string(), "needs", &at.to_string()]);
                    self.error(Code::CyclicNeeds, format!("`{id}` needs `{need}`, which is run after it"), place)
                        .with_help(format!("parts are run in the order of the file: move `{id}` behind `{need}`"));
                }
            }
        }
    }
}
