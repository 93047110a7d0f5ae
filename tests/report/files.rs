//! Every file that a report prints or brings along is well-formed in its own language, and whole.

use std::io::Write;
use std::process::{Command, Stdio};

use labrun::deploy::local::programs::Search;
use labrun::lab::model::Lang;
use labrun::report::write;
use serde_json::Value;

use super::read::{self, section};
use super::{LANGS, ended, fixture, report};

/// Instructions of a Dockerfile (Docker's reference, "Overview").
const INSTRUCTIONS: [&str; 18] = [
    "ADD",
    "ARG",
    "CMD",
    "COPY",
    "ENTRYPOINT",
    "ENV",
    "EXPOSE",
    "FROM",
    "HEALTHCHECK",
    "LABEL",
    "MAINTAINER",
    "ONBUILD",
    "RUN",
    "SHELL",
    "STOPSIGNAL",
    "USER",
    "VOLUME",
    "WORKDIR",
];

fn yaml(text: &str) -> Value {
    serde_saphyr::from_str(text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// The text of a file of the fixture's project.
fn project(path: &str) -> String {
    let file = fixture::passed().project.into_iter().find(|file| file.path == path);
    file.unwrap_or_else(|| panic!("no {path}")).content
}

fn dockerfile(text: &str) {
    let mut goes_on = false;
    let mut first = true;
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if !goes_on {
            let word = line.split_whitespace().next().expect("a word");
            assert!(INSTRUCTIONS.contains(&word), "{line}");
            assert!(!first || word == "FROM", "FROM comes first: {line}");
            first = false;
        }
        goes_on = line.ends_with('\\');
    }
    assert!(!goes_on && !first, "it ends within an instruction, or has none");
}

fn haproxy(text: &str) {
    for line in text.lines().filter(|line| !line.is_empty()) {
        let section =
            ["global", "defaults", "listen ", "frontend ", "backend "].iter().any(|word| line.starts_with(word));
        assert!(section || line.starts_with("    ") || line.starts_with('#'), "{line}");
    }
}

fn shell(text: &str) {
    let mut sh = Command::new("sh").arg("-n").stdin(Stdio::piped()).spawn().expect("a shell");
    sh.stdin.take().expect("its input").write_all(text.as_bytes()).expect("written");
    assert!(sh.wait().expect("it ends").success(), "{text}");
}

#[test]
fn every_printed_block_is_well_formed_in_its_language() {
    for (name, run) in ended::all().into_iter().chain([("passed", fixture::passed())]) {
        for lang in LANGS {
            for (language, text) in read::page(&report(&run, lang).markdown).fences {
                match language.as_str() {
                    "yaml" => assert!(yaml(&text).is_object(), "{name}: {text}"),
                    "dockerfile" => dockerfile(&text),
                    "haproxy" => haproxy(&text),
                    "bash" => shell(&text),
                    "console" => assert!(!text.contains('\u{1b}'), "{name}: a terminal's own signs: {text}"),
                    other => panic!("{name}: nothing says what {other} is: {text}"),
                }
            }
        }
    }
}

#[test]
fn each_part_prints_its_files_as_they_are() {
    let run = fixture::passed();
    let markdown = report(&run, Lang::Ru).markdown;
    for (heading, files) in [
        ("## Часть 1.", &["Dockerfile", "postgres0.yml", "postgres1.yml", "docker-compose.yml"][..]),
        ("## Часть 3.", &["haproxy.cfg"][..]),
    ] {
        let page = read::page(section(&markdown, heading));
        for file in files {
            let text = project(file);
            assert!(page.fences.iter().any(|(_, printed)| *printed == text), "{file} in {heading}");
        }
    }
}

#[test]
fn patronis_files_have_the_keys_that_the_reference_report_lost_the_indentation_of() {
    let file = yaml(&project("postgres0.yml"));
    let dcs = &file["bootstrap"]["dcs"];
    assert_eq!(dcs["ttl"], 30);
    assert_eq!(dcs["synchronous_mode"], true);
    assert_eq!(dcs["postgresql"]["use_pg_rewind"], true);
    assert_eq!(dcs["postgresql"]["parameters"]["hot_standby"], "on");
    assert_eq!(dcs["postgresql"]["parameters"]["archive_mode"], "always");
    assert_eq!(file["restapi"]["connect_address"], "pg-master:8008");
    assert_eq!(file["zookeeper"]["hosts"][0], "zoo:2181");
    assert_eq!(file["bootstrap"]["pg_hba"].as_array().map(Vec::len), Some(2));
    assert_eq!(file["postgresql"]["authentication"]["replication"]["username"], "replicator");
    assert_eq!(file["tags"]["nofailover"], false);
}

#[test]
fn the_compose_project_refers_only_to_what_is_in_it() {
    let run = fixture::passed();
    let compose = yaml(&project("docker-compose.yml"));
    let services = compose["services"].as_object().expect("services");
    let there = |path: &str| run.project.iter().any(|file| file.path == path);
    assert_eq!(services.keys().collect::<Vec<_>>(), ["zoo", "pg-master", "pg-slave", "haproxy"]);
    for (name, service) in services {
        assert!(service["image"].is_string(), "{name}");
        if service.get("build").is_some() {
            assert!(there("Dockerfile"), "{name}");
        }
        for need in service["depends_on"].as_object().into_iter().flat_map(|needs| needs.keys()) {
            assert!(services.contains_key(need), "{name} needs {need}");
        }
        for volume in service["volumes"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            let source = volume.split(':').next().expect("a source");
            let known = source.strip_prefix("./").map_or_else(|| compose["volumes"].get(source).is_some(), there);
            assert!(known, "{name}: {volume}");
        }
        if let Some(config) = service["command"].as_str().and_then(|command| command.strip_prefix("patroni /")) {
            assert!(there(config), "{name}: {config}");
            assert!(project("Dockerfile").contains(&format!("{config} /{config}")), "{config} gets into the image");
        }
    }
}

#[test]
fn haproxy_itself_takes_its_configuration() {
    let folder = tempfile::tempdir().expect("tempdir");
    let path = folder.path().join("haproxy.cfg");
    // Its servers' names are known in the compose network only.
    let text = project("haproxy.cfg").replace("pg-master:", "127.0.0.1:").replace("pg-slave:", "127.0.0.1:");
    std::fs::write(&path, text).expect("written");
    let program = Search::from_env().haproxy().unwrap_or_else(|missing| panic!("{} is needed", missing.program));
    let checked = Command::new(program).arg("-c").arg("-f").arg(&path).output().expect("it runs");
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
}

#[test]
fn what_lies_beside_the_report_is_what_it_says() {
    let folder = tempfile::tempdir().expect("tempdir");
    let run = fixture::passed();
    let made = report(&run, Lang::En);
    let written = write(folder.path(), &made).expect("written");
    assert_eq!(std::fs::read_to_string(&written.main).expect("readable"), made.markdown);
    let mut sums = Command::new("sha256sum");
    sums.args(["--check", "--strict", "--quiet", "SHA256SUMS"]).current_dir(folder.path().join("facts"));
    let checked = sums.output().expect("it runs");
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
    let facts = std::fs::read_dir(folder.path().join("facts")).expect("a folder").count();
    assert_eq!(facts, run.facts.len() + 1, "one file a fact, and their sums");
    for file in &run.project {
        let there = std::fs::read_to_string(folder.path().join("project").join(&file.path)).expect("readable");
        assert_eq!(there, file.content, "{}", file.path);
    }
}
