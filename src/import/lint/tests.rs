//! Projects as people hand them in: one that is as it should be, the reference report's own, and each known mistake.

use std::sync::Arc;

use super::*;
use crate::lab::diagnostic::File;

type Files = Vec<Arc<File>>;

macro_rules! project {
    ($name:literal) => {
        [
            ("Dockerfile", include_str!(concat!("../../../tests/projects/", $name, "/Dockerfile"))),
            ("docker-compose.yml", include_str!(concat!("../../../tests/projects/", $name, "/docker-compose.yml"))),
            ("haproxy.cfg", include_str!(concat!("../../../tests/projects/", $name, "/haproxy.cfg"))),
            ("postgres0.yml", include_str!(concat!("../../../tests/projects/", $name, "/postgres0.yml"))),
            ("postgres1.yml", include_str!(concat!("../../../tests/projects/", $name, "/postgres1.yml"))),
        ]
        .map(|(name, text)| Arc::new(File { name: name.to_owned(), text: text.to_owned() }))
        .to_vec()
    };
}

fn found(files: &Files) -> Vec<Diagnostic> {
    arranged(judge(&Submission::of(files), &|_| None))
}

/// A finding as one line: code, place, message.
fn line(finding: &Diagnostic) -> String {
    let place = finding.place().unwrap_or_default();
    format!("{} {place} {}", finding.code, finding.message)
}

fn lines(files: &Files) -> Vec<String> {
    found(files).iter().map(line).collect()
}

/// The clean project with a text of one file replaced, wherever it stands.
fn changed(name: &str, from: &str, to: &str) -> Files {
    let mut files = project!("clean");
    let file = files.iter_mut().find(|file| file.name == name).expect("a file of the project");
    assert!(file.text.contains(from), "{name} has no `{from}`");
    *file = Arc::new(File { name: name.to_owned(), text: file.text.replace(from, to) });
    files
}

#[test]
fn a_clean_project_is_silent() {
    assert_eq!(lines(&project!("clean")), Vec::<String>::new());
}

#[test]
fn the_reference_reports_project_works_and_is_told_its_weak_points() {
    let findings = found(&project!("reference"));
    assert!(findings.iter().all(|finding| finding.warning), "{:?}", lines(&project!("reference")));
    let mut codes: Vec<_> = findings.iter().map(|finding| finding.code).collect();
    codes.dedup();
    for code in [Code::RewindCannotWork, Code::NoVolume, Code::StartedIsNotReady, Code::OneZookeeper] {
        assert!(codes.contains(&code), "{code} is missing from {codes:?}");
    }
}

#[test]
fn lost_indentation_is_all_that_is_told_and_the_likely_original_is_the_original() {
    let findings = found(&project!("flattened"));
    assert_eq!(
        findings.iter().map(|f| (f.code, f.file.as_ref().map_or("", |file| file.name.as_str()))).collect::<Vec<_>>(),
        [
            (Code::IndentationLost, "docker-compose.yml"),
            (Code::IndentationLost, "postgres0.yml"),
            (Code::IndentationLost, "postgres1.yml")
        ]
    );
    // What is proposed, put in place of what was lost, is a project that works.
    let restored = project!("flattened").into_iter().map(|file| {
        let text = crate::import::restore::likely_original(&file).unwrap_or_else(|| file.text.clone());
        Arc::new(File { name: file.name.clone(), text })
    });
    assert_eq!(
        found(&restored.collect()).iter().map(|finding| finding.code).collect::<Vec<_>>(),
        found(&project!("reference")).iter().map(|finding| finding.code).collect::<Vec<_>>()
    );
}

/// One mistake in the clean project: file, what is replaced by what, the code, where it is pointed at, and words that
/// the message or the advice has.
const MISTAKES: &[(&str, &str, &str, Code, &str, &str)] = &[
    (
        "haproxy.cfg",
        "option httpchk\n",
        "option httpchk GET /health\n",
        Code::HealthCheckPassesOnReplicas,
        "haproxy.cfg:21:",
        "passes on replicas",
    ),
    (
        "haproxy.cfg",
        "option httpchk\n",
        "option httpchk GET /patroni\n",
        Code::HealthCheckPassesOnReplicas,
        "haproxy.cfg:21:",
        "at random",
    ),
    (
        "haproxy.cfg",
        "    option httpchk\n    http-check expect status 200\n",
        "    option tcp-check\n",
        Code::HealthCheckPassesOnReplicas,
        "haproxy.cfg:21:",
        "OPTIONS /",
    ),
    (
        "haproxy.cfg",
        "    option httpchk\n    http-check expect status 200\n",
        "",
        Code::HealthCheckPassesOnReplicas,
        "haproxy.cfg:19:",
        "passes on replicas",
    ),
    (
        "haproxy.cfg",
        "option httpchk\n",
        "option httpchk GET /replica\n",
        Code::HealthCheckPassesOnReplicas,
        "haproxy.cfg:21:",
        "no write",
    ),
    ("haproxy.cfg", "check port 8008", "", Code::NotChecked, "haproxy.cfg:2", "always"),
    ("haproxy.cfg", "check port 8008", "check", Code::NotChecked, "haproxy.cfg:2", "check port 8008"),
    ("haproxy.cfg", " on-marked-down shutdown-sessions", "", Code::SessionsOutlive, "haproxy.cfg:2", "default-server"),
    ("haproxy.cfg", "pg-slave:5432", "pg-slav:5432", Code::WrongServer, "haproxy.cfg:2", "did you mean `pg-slave`?"),
    ("haproxy.cfg", "pg-slave:5432", "pg-slave:5434", Code::WrongServer, "haproxy.cfg:2", "pg-slave:5432"),
    (
        "postgres0.yml",
        "    synchronous_mode:",
        "    synchronus_mode:",
        Code::UnreadKey,
        "postgres0.yml:",
        "did you mean `synchronous_mode`?",
    ),
    (
        "postgres0.yml",
        "postgresql:\n  listen",
        "recovery_conf:\n  restore_command: cp\npostgresql:\n  listen",
        Code::UnreadKey,
        "postgres0.yml:",
        "`recovery_conf` at the top level",
    ),
    (
        "postgres1.yml",
        "  authentication:\n",
        "  authentication:\n    parameters:\n      max_connections: 50\n",
        Code::UnreadKey,
        "postgres1.yml:",
        "`parameters` under `postgresql.authentication`",
    ),
    (
        "postgres0.yml",
        "  pg_hba:\n",
        "  postgresql:\n    use_pg_rewind: true\n  pg_hba:\n",
        Code::UnreadKey,
        "postgres0.yml:",
        "`postgresql` under `bootstrap`",
    ),
    (
        "postgres0.yml",
        "ttl: 30",
        "ttl: 25",
        Code::LeaseTiming,
        "postgres0.yml:",
        "25 is less than loop_wait 10 + 2 x retry_timeout 10 = 30",
    ),
    (
        "postgres0.yml",
        "wal_log_hints: \"on\"",
        "wal_log_hints: \"off\"",
        Code::RewindCannotWork,
        "postgres0.yml:",
        "wal_log_hints",
    ),
    (
        "postgres0.yml",
        "unix_socket_directories: /var/run/postgresql",
        "unix_socket_directories: .",
        Code::RewindCannotWork,
        "postgres0.yml:",
        "socket",
    ),
    ("postgres1.yml", "scope: my_cluster", "scope: mycluster", Code::OtherScope, "postgres1.yml:1:", "two clusters"),
    (
        "docker-compose.yml",
        "PATRONI_NAME: postgresql1",
        "PATRONI_NAME: postgresql0",
        Code::SameMember,
        "docker-compose.yml:",
        "both called `postgresql0`",
    ),
    ("postgres1.yml", "- zoo1:2181", "- zookeper:2181", Code::WrongDcs, "postgres1.yml:", "no service"),
    ("postgres1.yml", "- zoo1:2181", "- zoo1:2182", Code::WrongDcs, "postgres1.yml:", "zoo1:2181"),
    (
        "postgres1.yml",
        "connect_address: pg-slave:5432",
        "connect_address: pg-master:5432",
        Code::WrongAddress,
        "postgres1.yml:",
        "pg-slave:5432",
    ),
    (
        "postgres1.yml",
        "connect_address: pg-slave:8008",
        "connect_address: localhost:8008",
        Code::WrongAddress,
        "postgres1.yml:",
        "pg-slave:8008",
    ),
    (
        "postgres1.yml",
        "connect_address: pg-slave:5432",
        "connect_address: pg-slave:5434",
        Code::WrongAddress,
        "postgres1.yml:",
        "another port",
    ),
    (
        "postgres1.yml",
        "listen: 0.0.0.0:8008",
        "listen: 127.0.0.1:8008",
        Code::WrongAddress,
        "postgres1.yml:",
        "loopback",
    ),
    (
        "postgres0.yml",
        "    - host replication replicator 0.0.0.0/0 md5\n",
        "",
        Code::KeptOut,
        "postgres0.yml:",
        "`all` as a database does not include",
    ),
    (
        "postgres0.yml",
        "host replication replicator 0.0.0.0/0 md5",
        "host replication repl 0.0.0.0/0 md5",
        Code::KeptOut,
        "postgres0.yml:",
        "replicator",
    ),
    (
        "postgres1.yml",
        "password: rep-pass",
        "password: rep_pass",
        Code::OtherPassword,
        "postgres1.yml:",
        "password of the replication",
    ),
    (
        "docker-compose.yml",
        "      - pg-slave-data:/var/lib/postgresql/data\n",
        "      - pg-slave-data:/var/lib/pgsql\n",
        Code::NoVolume,
        "docker-compose.yml:",
        "pg-slave",
    ),
    (
        "docker-compose.yml",
        "    depends_on:\n      pg-master:\n        condition: service_healthy\n      pg-slave:\n        condition: service_healthy\n",
        "    depends_on:\n      - pg-master\n      - pg-slave\n",
        Code::StartedIsNotReady,
        "docker-compose.yml:",
        "service_healthy",
    ),
    (
        "docker-compose.yml",
        "127.0.0.1:5000:5432",
        "127.0.0.1:5000:5000",
        Code::NothingListens,
        "docker-compose.yml:",
        "5000",
    ),
    (
        "docker-compose.yml",
        "127.0.0.1:5434:5432",
        "127.0.0.1:5433:5432",
        Code::HostPort,
        "docker-compose.yml:",
        "`pg-master` and by `pg-slave`",
    ),
    (
        "docker-compose.yml",
        "command: patroni /postgres1.yml",
        "command: patroni /etc/postgres1.yml",
        Code::NotReached,
        "docker-compose.yml:",
        "postgres1.yml",
    ),
    (
        "Dockerfile",
        "postgres1.yml /postgres1.yml\n",
        "postgres1.yml /postgres9.yml\n",
        Code::NotReached,
        "docker-compose.yml:",
        "lies at /postgres9.yml",
    ),
];

#[test]
fn each_known_mistake_is_named_and_nothing_else_is_blamed() {
    let wrong: Vec<String> = MISTAKES.iter().filter_map(misjudged).collect();
    assert_eq!(wrong, Vec::<String>::new());
}

/// How a mistake is not told as it should be.
fn misjudged((name, from, to, code, place, words): &(&str, &str, &str, Code, &str, &str)) -> Option<String> {
    let findings = found(&changed(name, from, to));
    let told: Vec<String> = findings.iter().map(line).collect();
    let first = findings.first();
    let text = first.map(|f| format!("{} {} {:?}", f.message, f.help.as_deref().unwrap_or_default(), f.labels));
    let why = match (first, text) {
        (None, _) => "passes",
        _ if !findings.iter().all(|finding| finding.code == *code) => "another code",
        (_, Some(text)) if !text.contains(words) => "other words",
        (Some(first), _) if !first.place().unwrap_or_default().starts_with(place) => "another place",
        (Some(first), _) if first.help.is_none() => "no advice",
        _ => return None,
    };
    Some(format!("{name}: {to:?}: {why}: {told:?}"))
}

#[test]
fn nobody_may_lead_when_all_are_tagged() {
    let mut files = changed("postgres0.yml", "nofailover: false", "nofailover: true");
    assert_eq!(found(&files).iter().map(|f| (f.code, f.warning)).collect::<Vec<_>>(), [(Code::NobodyMayLead, true)]);
    let other = files.iter_mut().find(|file| file.name == "postgres1.yml").unwrap();
    *other =
        Arc::new(File { name: other.name.clone(), text: other.text.replace("nofailover: false", "nofailover: true") });
    assert_eq!(found(&files).iter().map(|f| (f.code, f.warning)).collect::<Vec<_>>(), [(Code::NobodyMayLead, false)]);
}

#[test]
fn the_environments_name_wins_over_the_files() {
    // The container's PATRONI_NAME tells them apart, whatever the files say.
    let mut files = changed("postgres1.yml", "name: postgresql1", "name: postgresql0");
    assert_eq!(lines(&files), Vec::<String>::new());
    let compose = files.iter_mut().find(|file| file.name == "docker-compose.yml").unwrap();
    let text = compose.text.lines().filter(|line| !line.contains("PATRONI_NAME")).map(|line| format!("{line}\n"));
    *compose = Arc::new(File { name: compose.name.clone(), text: text.collect() });
    let findings = found(&files);
    assert_eq!(findings.iter().map(|finding| finding.code).collect::<Vec<_>>(), [Code::SameMember]);
    assert_eq!(findings[0].place().as_deref(), Some("postgres1.yml:2:7"));
}

#[test]
fn a_taken_port_of_the_host_is_told_with_its_holder() {
    let submission = Submission::of(&project!("clean"));
    let findings = judge(&submission, &|port| (port == 5000).then(|| "nginx (process 7)".to_owned()));
    let told: Vec<_> = findings.iter().map(line).collect();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].starts_with("LR0718 docker-compose.yml:") && told[0].contains("nginx (process 7)"), "{told:?}");
}

#[test]
fn parts_that_are_missing_are_named() {
    let mut files = project!("clean");
    files.retain(|file| file.name != "haproxy.cfg" && file.name != "postgres1.yml");
    let told = lines(&files);
    for part in ["no HAProxy", "no two nodes", "`pg-slave` runs /postgres1.yml, but the project has no such file"] {
        assert!(told.iter().any(|line| line.contains(part)), "{part}: {told:?}");
    }
}

#[test]
fn files_without_a_compose_file_are_judged_by_themselves() {
    let mut files = project!("clean");
    files.retain(|file| file.name.starts_with("postgres"));
    assert_eq!(lines(&files), Vec::<String>::new());
    files[1] = Arc::new(File { name: files[1].name.clone(), text: files[1].text.replace("my_cluster", "other") });
    assert_eq!(found(&files).iter().map(|finding| finding.code).collect::<Vec<_>>(), [Code::OtherScope]);
}
