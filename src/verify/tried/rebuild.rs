//! What is done to a copy of a project, what is seen of it, and how that is told: whether a restart, an `up` and a build take up
//! an edit, and which image the container has after each.

use serde_json::{Value, json};

use crate::deploy::trial::{Look, Steps, Subject};
use crate::lab::model::{Experiment, Text};
use crate::verify::spine::Observation;
use crate::verify::{Source, say};

/// The line that is written into a node's configuration: a comment, so that it means the same.
const CONFIG_LINE: &str = "# labrun: an edit";
/// The line that is written into the Dockerfile; what it sets is seen in the container.
const DOCKERFILE_LINE: &str = "ENV LABRUN_TRIED=edit";
/// How many digits of an id are told, as Docker does.
const SHORT: usize = 12;

/// The acts, in order.
pub const ACTS: [Act; 4] = [Act::Begin, Act::Restart, Act::Up, Act::Build];

/// An act.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// The copy is built and started.
    Begin,
    /// Its container is restarted; before that the edit is made.
    Restart,
    /// Its container is made anew from the image of that name.
    Up,
    /// Its image is built again, and its container made anew.
    Build,
}

/// An edit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edit {
    /// The file, within the copy.
    pub file: String,
    /// The line that is written at its end.
    pub line: &'static str,
}

/// The edit that an experiment makes, if any; or why it cannot be made.
pub fn edit(experiment: Experiment, subject: &Subject) -> Result<Option<Edit>, Text> {
    match (experiment, &subject.config) {
        (Experiment::EditConfig, Some((file, _))) => Ok(Some(Edit { file: file.clone(), line: CONFIG_LINE })),
        (Experiment::EditConfig, None) => Err(say::both(
            format!("образ {} не содержит настроек узла", subject.image),
            format!("the image {} does not hold the node's configuration", subject.image),
        )),
        (Experiment::EditDockerfile, _) => Ok(Some(Edit { file: subject.dockerfile.clone(), line: DOCKERFILE_LINE })),
        (Experiment::Restart | Experiment::Ports, _) => Ok(None),
    }
}

impl Act {
    /// Its name as a step.
    pub fn id(self) -> &'static str {
        match self {
            Act::Begin => "begin",
            Act::Restart => "restart",
            Act::Up => "up",
            Act::Build => "build",
        }
    }

    /// Whether the image is built in it. An `up` builds only where the project says that it always does.
    pub fn builds(self, subject: &Subject) -> bool {
        match self {
            Act::Begin | Act::Build => true,
            Act::Restart => false,
            Act::Up => subject.always_built,
        }
    }

    /// What it does.
    pub fn title(self, edit: Option<&Edit>) -> Text {
        match (self, edit) {
            (Act::Begin, _) => say::both("Копия собрана и запущена", "A copy is built and started"),
            (Act::Restart, None) => say::both("Контейнер перезапущен", "The container is restarted"),
            (Act::Restart, Some(edit)) => say::both(
                format!("{} изменён, контейнер перезапущен", edit.file),
                format!("{} is edited, the container restarted", edit.file),
            ),
            (Act::Up, _) => say::both("Контейнер создан заново", "The container is made anew"),
            (Act::Build, _) => {
                say::both("Образ собран, контейнер создан заново", "The image is built, the container made anew")
            }
        }
    }

    /// What does the same on a compose project.
    fn command(self, subject: &Subject, edit: Option<&Edit>) -> String {
        let node = &subject.node;
        match (self, edit) {
            (Act::Begin | Act::Build, _) => format!("docker compose up -d --build {node}"),
            (Act::Restart, None) => format!("docker compose restart {node}"),
            (Act::Restart, Some(edit)) => {
                format!("echo '{}' >> {} && docker compose restart {node}", edit.line, edit.file)
            }
            (Act::Up, _) => format!("docker compose up -d --force-recreate {node}"),
        }
    }
}

/// What an act showed: `now`, where the copy was as in `before`.
pub fn seen(
    act: Act,
    subject: &Subject,
    edit: Option<&Edit>,
    before: Option<&Look>,
    now: &Look,
    steps: Option<Steps>,
) -> Observation {
    let mut lines = Vec::new();
    if let Some(Steps { all, cached }) = steps {
        lines.push(format!("build: {all} steps, {cached} of them from the cache"));
    }
    let earlier = |id: fn(&Look) -> &str| before.map(id);
    lines.push(change("image", earlier(|look| &look.image), &now.image));
    lines.push(change("container", earlier(|look| &look.container), &now.container));
    let edited = edit.filter(|_| before.is_some()).map(|edit| holds(now, edit));
    if let (Some(edit), Some(edited)) = (edit, edited) {
        let word = if edited { "is" } else { "is not" };
        lines.push(format!("the edit of {} {word} in the container", edit.file));
    }
    let same = |id: fn(&Look) -> &str| before.map(|before| id(before) == id(now));
    let value: Value = json!({
        "name": subject.image,
        "image": short(&now.image),
        "same_image": same(|look| &look.image),
        "container": short(&now.container),
        "same_container": same(|look| &look.container),
        "edited": edited,
        "file": edit.map(|edit| edit.file.as_str()),
        "steps": steps.map(|steps| steps.all),
        "cached": steps.map(|steps| steps.cached),
    });
    Observation {
        node: Some(subject.node.clone()),
        role: None,
        source: Source::Tried { command: act.command(subject, edit) },
        output: lines.join("\n"),
        value,
    }
}

/// Whether the container has what was edited.
fn holds(look: &Look, edit: &Edit) -> bool {
    match edit.line.strip_prefix("ENV ") {
        Some(variable) => look.environment.iter().any(|there| there == variable),
        None => look.config.iter().flat_map(|text| text.lines()).any(|line| line == edit.line),
    }
}

fn change(what: &str, before: Option<&str>, now: &str) -> String {
    let now_short = short(now);
    match before {
        None => format!("{what} {now_short}"),
        Some(before) if before == now => format!("{what} {now_short}, as before"),
        Some(before) => format!("{what} {now_short}, before {}", short(before)),
    }
}

/// An id as `docker ps` and `docker images` print it.
fn short(id: &str) -> String {
    id.trim_start_matches("sha256:").chars().take(SHORT).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subject() -> Subject {
        Subject {
            node: "pg-master".into(),
            image: "my-postgres-patroni".into(),
            dockerfile: "Dockerfile".into(),
            config: Some(("postgres0.yml".into(), "/postgres0.yml".into())),
            always_built: false,
        }
    }

    fn look(image: &str, container: &str, config: &str) -> Look {
        Look {
            container: container.into(),
            image: format!("sha256:{image}"),
            config: Some(config.into()),
            environment: vec!["PATH=/bin".into()],
        }
    }

    #[test]
    fn each_experiment_edits_what_it_is_about() {
        let edited = |experiment| edit(experiment, &subject()).unwrap().map(|edit| edit.file);
        assert_eq!(edited(Experiment::Restart), None);
        assert_eq!(edited(Experiment::EditConfig).as_deref(), Some("postgres0.yml"));
        assert_eq!(edited(Experiment::EditDockerfile).as_deref(), Some("Dockerfile"));
        let without = Subject { config: None, ..subject() };
        assert!(edit(Experiment::EditConfig, &without).is_err() && edit(Experiment::Restart, &without).is_ok());
    }

    #[test]
    fn only_a_build_builds_unless_the_project_always_does() {
        let built = |subject: &Subject| ACTS.map(|act| act.builds(subject));
        assert_eq!(built(&subject()), [true, false, false, true]);
        assert_eq!(built(&Subject { always_built: true, ..subject() }), [true, false, true, true]);
    }

    #[test]
    fn an_edit_is_seen_where_it_is_and_images_are_compared_with_those_before() {
        let edit = edit(Experiment::EditConfig, &subject()).unwrap();
        let (old, new) = ("name: a\n", "name: a\n\n# labrun: an edit\n");
        let before = look("0123456789abcdef", "c1", old);
        let kept = seen(Act::Up, &subject(), edit.as_ref(), Some(&before), &look("0123456789abcdef", "c2", old), None);
        insta::assert_snapshot!(kept.output, @r"
        image 0123456789ab, as before
        container c2, before c1
        the edit of postgres0.yml is not in the container
        ");
        assert_eq!((&kept.value["same_image"], &kept.value["edited"]), (&json!(true), &json!(false)));
        let steps = Some(Steps { all: 9, cached: 5 });
        let built = seen(Act::Build, &subject(), edit.as_ref(), Some(&before), &look("fedc", "c3", new), steps);
        insta::assert_snapshot!(built.output, @r"
        build: 9 steps, 5 of them from the cache
        image fedc, before 0123456789ab
        container c3, before c1
        the edit of postgres0.yml is in the container
        ");
        assert_eq!((&built.value["same_image"], &built.value["edited"]), (&json!(false), &json!(true)));
        let Source::Tried { command } = built.source else { panic!() };
        assert_eq!(command, "docker compose up -d --build pg-master");
    }

    #[test]
    fn an_edit_of_the_dockerfile_is_seen_in_the_environment() {
        let edit = edit(Experiment::EditDockerfile, &subject()).unwrap().unwrap();
        let mut now = look("1", "c", "ENV LABRUN_TRIED=edit\n");
        assert!(!holds(&now, &edit));
        now.environment.push("LABRUN_TRIED=edit".into());
        assert!(holds(&now, &edit));
        assert_eq!(
            Act::Restart.command(&subject(), Some(&edit)),
            "echo 'ENV LABRUN_TRIED=edit' >> Dockerfile && docker compose restart pg-master"
        );
    }
}
