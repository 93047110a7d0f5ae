//! Parts and questions: the files and templates that they name.

use super::Meaning;
use crate::lab::diagnostic::{Code, listed, nearest};
use crate::lab::library::Library;
use crate::lab::model::{LabFile, Lang, Node, Topology};
use crate::lab::settings;

/// The files of the compose project that a topology makes.
pub fn project_files(topology: &Topology) -> Vec<String> {
    let mut images: Vec<&str> = Vec::new();
    let (mut members, mut proxies) = (0, Vec::new());
    for (name, node) in &topology.nodes {
        match node {
            Node::Postgres(node) => {
                let image = settings::postgres_image(&topology.defaults, node);
                if !images.contains(&image) {
                    images.push(image);
                }
                members += 1;
            }
            Node::Haproxy(_) => proxies.push(name),
            Node::Zookeeper(_) => {}
        }
    }
    let numbered =
        |index: usize| if index == 0 { "Dockerfile".to_owned() } else { format!("Dockerfile.{}", index + 1) };
    let mut files: Vec<String> = (0..images.len()).map(numbered).collect();
    files.extend((0..members).map(|index| format!("postgres{index}.yml")));
    files.push("docker-compose.yml".to_owned());
    match proxies.as_slice() {
        [_] => files.push("haproxy.cfg".to_owned()),
        several => files.extend(several.iter().map(|name| format!("{name}.cfg"))),
    }
    files
}

impl Meaning<'_> {
    pub(super) fn parts(&mut self, lab: &LabFile, library: &Library) {
        if lab.parts.is_empty() {
            let place = self.key(&["parts"]);
            self.error(Code::Vacuous, "a lab without parts proves nothing", place)
                .with_help("add a part with at least one check");
        }
        let files = project_files(&lab.topology);
        for (index, part) in lab.parts.iter().enumerate() {
            let at = index.to_string();
            if part.checks.is_empty() {
                let place = self.value(&["parts", &at, "id"]);
                self.error(
                    Code::Vacuous,
                    format!("the part `{}` has no checks, so that it proves nothing", part.id),
                    place,
                )
                .with_help("add a check: `checks: [{use: …}]`");
            }
            for (number, name) in part.files.iter().enumerate().filter(|(_, name)| !files.contains(name)) {
                let place = self.value(&["parts", &at, "files", &number.to_string()]);
                let help = match nearest(name, files.iter().map(String::as_str)) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("there are {}", listed(files.iter().map(String::as_str))),
                };
                self.error(Code::MissingFile, format!("the project has no file `{name}`"), place).with_help(help);
            }
        }
        self.questions(lab, library);
    }

    fn questions(&mut self, lab: &LabFile, library: &Library) {
        for (index, question) in lab.questions.iter().enumerate() {
            let place = self.value(&["questions", &index.to_string(), "answer"]);
            let before = self.findings.len();
            self.id(&question.answer, place.clone());
            if self.findings.len() > before {
                continue;
            }
            for lang in [Lang::Ru, Lang::En] {
                let path = format!("templates/questions/{}.{}.md.j2", question.answer, lang.code());
                match library.file(&path) {
                    Ok(Some(_)) => {}
                    Ok(None) => {
                        let names = library.names("templates/questions", &format!(".{}.md.j2", lang.code()));
                        let help = match nearest(&question.answer, names.iter().map(String::as_str)) {
                            Some(near) => format!("did you mean `{near}`?"),
                            None => format!(
                                "write that file beside the lab, or use one of {}",
                                listed(names.iter().map(String::as_str))
                            ),
                        };
                        self.error(Code::MissingFile, format!("there is no template {path}"), place.clone())
                            .with_help(help);
                    }
                    Err(finding) => self.findings.push(finding),
                }
            }
        }
    }
}
