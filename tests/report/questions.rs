//! The control questions are answered from the project's own files: other files, another answer.

use labrun::deploy::trial::{Look, Steps, Subject};
use labrun::lab::model::{Experiment, Lang};
use labrun::verify::run::Tried;
use labrun::verify::tried::rebuild::{self, ACTS, Act};
use labrun::verify::{Fact, Run, StepResult, Verdict};

use super::read::section;
use super::{LANGS, fixture, report};

fn answer(run: &Run, lang: Lang, question: usize) -> String {
    let markdown = report(run, lang).markdown;
    let heading = if lang == Lang::Ru { "## Ответы" } else { "## Answers" };
    let all = section(&markdown, heading).to_owned();
    section(&all, &format!("### {question}.")).to_owned()
}

fn with_file(path: &str, change: impl Fn(&str) -> String) -> Run {
    let mut run = fixture::passed();
    let file = run.project.iter_mut().find(|file| file.path == path).expect(path);
    let changed = change(&file.content);
    assert_ne!(changed, file.content, "{path} is changed");
    file.content = changed;
    run
}

fn of_lab(from: &str, to: &str) -> Run {
    fixture::passed_of(|text| {
        assert!(text.contains(from), "{from}");
        text.replace(from, to)
    })
}

#[test]
fn every_question_is_answered_in_both_languages() {
    let run = fixture::passed();
    for lang in LANGS {
        for question in 1..=4 {
            let text = answer(&run, lang, question);
            assert!(text.lines().count() > 3 && text.contains("docker"), "{text}");
        }
    }
}

#[test]
fn answers_name_the_lines_that_they_stand_on() {
    let run = fixture::passed();
    let compose = &run.project.iter().find(|file| file.path == "docker-compose.yml").expect("compose").content;
    let line = 1 + compose.lines().position(|line| line.trim() == "build: .").expect("a build");
    assert!(answer(&run, Lang::Ru, 1).contains(&format!("[docker-compose.yml:{line}](#file-docker-compose-yml)")));
}

#[test]
fn a_restart_builds_where_the_project_says_so() {
    assert!(answer(&fixture::passed(), Lang::En, 1).contains("**No.**"));
    let always = with_file("docker-compose.yml", |text| {
        text.replacen("    build: .\n", "    build: .\n    pull_policy: build\n", 1)
    });
    assert!(
        answer(&always, Lang::En, 1).contains("**Yes, at every `docker compose up`.**"),
        "{}",
        answer(&always, Lang::En, 1)
    );
    let ready = with_file("docker-compose.yml", |text| text.replace("    build: .\n", ""));
    assert!(answer(&ready, Lang::En, 1).contains("there is nothing to build"), "{}", answer(&ready, Lang::En, 1));
}

#[test]
fn an_edited_file_matters_where_it_is_mounted_and_not_where_it_is_copied() {
    let copied = answer(&fixture::passed(), Lang::Ru, 2);
    assert!(copied.contains("**Нет, и правка не подействует.**"), "{copied}");
    let mounted = with_file("docker-compose.yml", |text| {
        let text = text
            .replace("      - pg-master-data:", "      - ./postgres0.yml:/postgres0.yml:ro\n      - pg-master-data:");
        text.replace("      - pg-slave-data:", "      - ./postgres1.yml:/postgres1.yml:ro\n      - pg-slave-data:")
    });
    let mounted = answer(&mounted, Lang::Ru, 2);
    assert!(mounted.contains("правка подействует.**") && !mounted.contains("не подействует.**"), "{mounted}");
}

#[test]
fn an_edited_dockerfile_is_answered_for_projects_that_build_and_for_those_that_do_not() {
    assert!(answer(&fixture::passed(), Lang::Ru, 3).contains("**Тоже нет.**"));
    let ready = with_file("docker-compose.yml", |text| text.replace("    build: .\n", ""));
    assert!(!answer(&ready, Lang::Ru, 3).contains("**Тоже нет.**"));
}

/// The same port under the other directive.
#[test]
fn ports_and_expose_are_answered_by_what_the_project_says() {
    let published = answer(&fixture::passed(), Lang::En, 4);
    assert!(published.contains("Port 8008") && published.contains("127.0.0.1:8008"), "{published}");
    let exposed = with_file("docker-compose.yml", |text| {
        let text = text.replace("      - \"127.0.0.1:8008:8008\"\n", "    expose:\n      - \"8008\"\n");
        text.replace("      - \"127.0.0.1:8009:8008\"\n", "    expose:\n      - \"8008\"\n")
    });
    let exposed = answer(&exposed, Lang::En, 4);
    assert_ne!(published, exposed);
    assert!(exposed.contains("| `pg-master` | 8008 | `expose` |") && !exposed.contains("127.0.0.1:8008"), "{exposed}");
}

#[test]
fn a_lab_that_publishes_other_ports_gets_another_answer() {
    let moved = answer(&of_lab("        rest: 8008\n", "        rest: 18008\n"), Lang::Ru, 4);
    assert!(moved.contains("127.0.0.1:18008") && !moved.contains("127.0.0.1:8008"), "{moved}");
    let hidden =
        fixture::passed_of(|text| text.replace("        rest: 8008\n", "").replace("        rest: 8009\n", ""));
    let hidden = answer(&hidden, Lang::Ru, 4);
    assert!(hidden.contains("Порта 8008 (REST API Patroni) нет ни под `ports`, ни под `expose`"), "{hidden}");
}

#[test]
fn without_the_files_no_answer_is_made_up() {
    let mut run = fixture::passed();
    run.project.clear();
    for question in 1..=4 {
        let text = answer(&run, Lang::Ru, question);
        assert!(text.contains("В файлах проекта нет того, на чём стоял бы ответ."), "{text}");
    }
}

#[test]
fn a_question_without_a_template_says_that_it_has_none() {
    let mut run = fixture::passed();
    run.lab.questions[0].answer = "unknown".to_owned();
    assert!(answer(&run, Lang::En, 1).contains("The lab has no template in English"));
    assert!(answer(&run, Lang::Ru, 1).contains("нет шаблона ответа на русском языке"));
}

/// What an experiment with the question's edit shows in containers: only the build takes it up.
fn with_experiment(run: &mut Run, question: &str, experiment: Experiment) {
    let subject = Subject {
        node: "pg-master".into(),
        image: "my-postgres-patroni".into(),
        dockerfile: "Dockerfile".into(),
        config: Some(("postgres0.yml".into(), "/postgres0.yml".into())),
        always_built: false,
    };
    let edit = rebuild::edit(experiment, &subject).expect("an edit");
    let look = |image: &str, container: &str, edited: bool| Look {
        container: container.into(),
        image: format!("sha256:{image}"),
        config: Some(if edited { edit.as_ref().expect("an edit").line.to_owned() } else { String::new() }),
        environment: Vec::new(),
    };
    let looks =
        [look("aaaa", "c1", false), look("aaaa", "c1", false), look("aaaa", "c2", false), look("bbbb", "c3", true)];
    let mut tried = Tried::of(question, experiment);
    for (place, act) in ACTS.into_iter().enumerate() {
        let before = place.checked_sub(1).map(|before| &looks[before]);
        let steps = matches!(act, Act::Begin | Act::Build).then_some(Steps { all: 9, cached: 6 });
        let seen = rebuild::seen(act, &subject, edit.as_ref(), before, &looks[place], steps);
        let id = format!("F9{place}");
        tried.steps.push(StepResult {
            id: act.id().into(),
            title: act.title(edit.as_ref()),
            action: "try".into(),
            verdict: Verdict::Pass,
            reason: None,
            deadline: None,
            facts: vec![id.clone()],
            earlier: Vec::new(),
            span_ms: (33_000, 33_100),
        });
        run.facts.push(Fact {
            id,
            scope: format!("questions/{question}/{}", act.id()),
            at_ms: 33_000,
            took_ms: 100,
            node: seen.node,
            role: None,
            source: seen.source,
            output: seen.output,
            value: seen.value,
        });
    }
    tried.verdict = Verdict::Pass;
    run.backend = "docker".into();
    run.tried.push(tried);
}

#[test]
fn an_answer_shows_what_was_tried_with_its_evidence() {
    let mut run = fixture::passed();
    with_experiment(&mut run, "edit-yaml", Experiment::EditConfig);
    let told = answer(&run, Lang::En, 2);
    for sentence in [
        "**No, and the edit has no effect.**",
        "After `docker compose restart`: the same container, the same image `aaaa`; the edit **is not** in the container. [F91](#f91)",
        "After `docker compose up -d --force-recreate`: another container, the same image `aaaa`; the edit **is not** in",
        "After `docker compose up -d --build` (6 of 9 steps from the cache): another container, another image `bbbb`; the edit **is** in the container. [F93](#f93)",
        "$ echo '# labrun: an edit' >> postgres0.yml && docker compose restart pg-master",
    ] {
        assert!(told.contains(sentence), "{sentence}\n{told}");
    }
    let told = answer(&run, Lang::Ru, 2);
    for sentence in
        ["образ прежний, `aaaa`; правка в контейнере **не видна**", "образ новый, `bbbb`; правка в контейнере **есть**"]
    {
        assert!(told.contains(sentence), "{sentence}\n{told}");
    }
    let html = report(&run, Lang::Ru).html;
    assert!(html.contains("<strong>не видна</strong>") && html.contains("href=\"#f93\""), "the page lacks it");
    // Another question's answer, and one whose evidence is gone, say nothing of it.
    assert!(!answer(&run, Lang::En, 1).contains("Tried"));
    run.facts.retain(|fact| fact.id != "F93");
    let told = answer(&run, Lang::En, 2);
    assert!(told.contains("[F92](#f92)") && !told.contains("another image"), "{told}");
}

#[test]
fn what_could_not_be_tried_is_told_where_there_are_containers_and_nowhere_else() {
    let mut run = fixture::passed();
    let before = answer(&run, Lang::En, 1);
    let mut tried = Tried::of("restart", Experiment::Restart);
    tried.reason = Some(labrun::lab::model::Text::Same("the folder is not here".into()));
    run.tried.push(tried);
    assert_eq!(answer(&run, Lang::En, 1), before);
    run.backend = "attached".into();
    let told = answer(&run, Lang::En, 1);
    assert!(told.contains("*Not tried: the folder is not here.*"), "{told}");
    run.tried[0].verdict = Verdict::InfraError;
    assert!(answer(&run, Lang::Ru, 1).contains("Опыт не проведён: the folder is not here."));
}
