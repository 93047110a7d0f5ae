//! The control questions are answered from the project's own files: other files, another answer.

use labrun::lab::model::Lang;
use labrun::verify::Run;

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
