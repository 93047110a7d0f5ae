//! The same on running containers.

use labrun::verify::{Run, Verdict};

use crate::project::{Project, Said, docker};
use crate::variants::{TWELVE, Variant};

/// Start it, and verify it.
fn verified(project: &mut Project, variant: Option<&Variant>) -> Said {
    let up = project.up();
    assert_eq!(up.code, 0, "{}", up.all());
    if let Some(variant) = variant {
        project.edit(variant.edits_later);
    }
    project.labrun(&["verify", "--lang", "en", "--attach", &project.source()])
}

fn run(project: &Project) -> Run {
    let file = project.output().join(&project.name).join("runs/latest/run.json");
    serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap()
}

fn variant(name: &str) -> &'static Variant {
    TWELVE.iter().find(|variant| variant.name == name).unwrap()
}

/// One part failed, and every other one passed or was skipped for it.
fn only_consequences(run: &Run) -> Vec<String> {
    let failed: Vec<_> = run.parts.iter().filter(|part| part.verdict == Verdict::Fail).collect();
    assert!(failed.len() <= 1, "{:?}", failed.iter().map(|part| &part.id).collect::<Vec<_>>());
    for part in &run.parts {
        let expected = [Verdict::Pass, Verdict::Fail, Verdict::Skipped];
        assert!(expected.contains(&part.verdict), "{}: {:?} {:?}", part.id, part.verdict, part.reason);
    }
    failed.iter().map(|part| part.id.clone()).collect()
}

pub fn the_reports_own_project_passes_and_is_left_as_it_was_found() {
    let mut project = Project::new(None);
    let said = verified(&mut project, None);
    assert_eq!(said.code, 0, "{}", said.all());
    for line in ["  zoo          zoo", "  pg-master    pg-master", "  haproxy      haproxy"] {
        assert!(said.err.contains(line), "{}", said.err);
    }
    let seen = run(&project);
    assert!(seen.parts.iter().all(|part| part.verdict == Verdict::Pass) && seen.parts.len() == 5);
    assert_eq!(seen.backend, "attached");
    assert!(project.states().iter().all(|state| state.ends_with(" running")), "{:?}", project.states());
    let left =
        project.labrun(&["sql", "--on", "leader", "select count(*) from pg_tables where tablename like 'labrun%'"]);
    assert!(left.out.contains(" 0") && !left.out.contains("labrun"), "{}", left.all());
    // The report is made from the student's own files.
    let report = project.labrun(&["report", "--lang", "en"]);
    assert_eq!(report.code, 0, "{}", report.all());
    let page = project.output().join(&project.name).join("runs/latest/report.en.md");
    let page = std::fs::read_to_string(page).unwrap();
    assert!(page.contains("COPY postgres0.yml /postgres0.yml"), "the Dockerfile is not in the report");
    docker_compose_does_what_the_experiments_showed(&project, &seen);
    // What labrun wrote goes, the containers stay.
    assert_eq!(project.labrun(&["destroy"]).code, 0);
    assert!(project.states().iter().all(|state| state.ends_with(" running")), "{:?}", project.states());
}

/// The experiments speak of a copy and of what labrun asked of the engine. Here docker-compose itself is asked, on the project.
fn docker_compose_does_what_the_experiments_showed(project: &Project, seen: &Run) {
    for tried in &seen.tried {
        assert_eq!(tried.verdict, Verdict::Pass, "{tried:?}");
    }
    let shown = |step: &str| {
        let scope = format!("questions/edit-yaml/{step}");
        let fact = seen.facts.iter().find(|fact| fact.scope == scope).unwrap();
        (fact.value["same_image"].as_bool().unwrap(), fact.value["edited"].as_bool().unwrap())
    };
    let container = format!("{}-pg-slave", project.name);
    let image = || docker(&["inspect", "--format", "{{.Image}}", &container]);
    let edited = || docker(&["exec", &container, "cat", "/postgres1.yml"]).contains(&"# an edit".to_owned());
    let before = image();
    project.forget_later(&container);
    project.edit(&[("postgres1.yml", "scope: my_cluster", "# an edit\nscope: my_cluster")]);
    for (step, args) in [
        ("restart", &["restart", "pg-slave"][..]),
        ("up", &["up", "-d", "--no-deps", "--force-recreate", "pg-slave"]),
        ("build", &["up", "-d", "--no-deps", "--build", "pg-slave"]),
    ] {
        let said = project.compose(args);
        assert_eq!(said.code, 0, "{}", said.all());
        assert_eq!((image() == before, edited()), shown(step), "{step}");
    }
}

pub fn a_check_that_replicas_pass_is_named_and_what_follows_is_skipped() {
    let variant = variant("check-patroni");
    let mut project = Project::new(Some(variant));
    let said = verified(&mut project, Some(variant));
    assert_ne!(said.code, 0, "{}", said.all());
    assert!(said.err.contains("LR0701"), "{}", said.err);
    assert_eq!(only_consequences(&run(&project)).len(), 1);
}

pub fn a_file_that_was_edited_and_not_built_in_is_named() {
    let variant = variant("not-rebuilt");
    let mut project = Project::new(Some(variant));
    let up = project.up();
    assert_eq!(up.code, 0, "{}", up.all());
    project.edit(variant.edits_later);
    let said = project.labrun(&["verify", "--lang", "en", "--only", "setup", "--attach", &project.source()]);
    assert!(said.err.contains(variant.words), "{}", said.all());
}

pub fn what_does_not_run_is_told() {
    let project = Project::new(None);
    let said = project.labrun(&["verify", "--attach", &project.source()]);
    assert_eq!(said.code, 6, "{}", said.all());
    assert!(said.err.contains("LR0861") && said.err.contains("docker compose up -d --build"), "{}", said.err);
}

/// All twelve, with a table of what was said: `make attached`.
pub fn twelve() {
    let mut table =
        String::from("| variant | mistake | lint | verify: parts | said |\n| --- | --- | --- | --- | --- |\n");
    let only = std::env::var("LABRUN_VARIANT").ok();
    for variant in TWELVE.iter().filter(|variant| only.as_ref().is_none_or(|only| only == variant.name)) {
        let mut project = Project::new(Some(variant));
        let said = verified(&mut project, Some(variant));
        let parts = match project.output().join(&project.name).join("runs/latest/run.json").exists() {
            true => run(&project)
                .parts
                .iter()
                .map(|part| format!("{} {:?}", part.id, part.verdict))
                .collect::<Vec<_>>()
                .join(", "),
            false => format!("not begun (exit code {})", said.code),
        };
        let wanted = |line: &&str| line.contains(variant.words) || variant.code.is_some_and(|code| line.contains(code));
        let words = said.err.lines().chain(said.out.lines()).find(wanted).unwrap_or("nothing").replace('|', "\\|");
        let row = format!(
            "| {} | {} | {} | {parts} | {} |\n",
            variant.name,
            variant.mistake,
            variant.code.unwrap_or("-"),
            words.trim()
        );
        eprint!("{row}");
        table += &row;
        std::fs::write("target/attached-said-".to_owned() + variant.name + ".txt", said.all()).ok();
    }
    println!("{table}");
}
