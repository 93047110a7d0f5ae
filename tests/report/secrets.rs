//! No secret of the lab shows in a report, whatever a node printed. The lab's own files are printed as they are: what
//! passwords they hold is part of what the lab teaches.

use labrun::lab::model::Text;
use labrun::verify::{Run, Source};
use serde_json::{Value, json};

use super::read::page;
use super::{LANGS, fixture, report};

const REPLICATION: &str = "Xq7-replication";
const SUPERUSER: &str = "Yw9-superuser";

/// A run whose nodes and errors tell everything they should not.
fn leaking() -> Run {
    let mut run = fixture::passed_of(|text| {
        let text = text.replace("password: rep-pass", &format!("password: {REPLICATION}"));
        text.replace("password: postgres", &format!("password: {SUPERUSER}"))
    });
    let told = format!(
        "primary_conninfo = 'host=a user=replicator password={REPLICATION}'\npostgres://postgres:{SUPERUSER}@a:5432/\n\
         PGPASSWORD={SUPERUSER} psql\nthe password is {REPLICATION}, they say\n{{\"password\": \"{SUPERUSER}\"}}\n"
    );
    for fact in &mut run.facts {
        fact.output.push_str(&format!("\n{told}"));
        if let Value::Object(fields) = &mut fact.value {
            fields.insert("told".to_owned(), json!([told]));
        }
        match &mut fact.source {
            Source::Sql { statement, .. } => statement.push_str(&format!(" -- {SUPERUSER}")),
            Source::Fault { command, .. } => command.push_str(&format!(" --password={SUPERUSER}")),
            Source::Http { url, .. } => *url = url.replace("http://", &format!("http://postgres:{SUPERUSER}@")),
            _ => {}
        }
    }
    run.notes.push(Text::Same(told.clone()));
    let check = &mut run.parts[1].checks[0];
    check.reason = Some(Text::Same(told.clone()));
    check.steps[0].reason = Some(Text::Same(told.clone()));
    run.parts[1].reason = Some(Text::Same(told));
    run
}

#[test]
fn secrets_stand_in_the_labs_own_files_alone() {
    let run = leaking();
    for lang in LANGS {
        let made = report(&run, lang);
        let own: Vec<&str> = run.project.iter().map(|file| file.content.as_str()).collect();
        let mut page = page(&made.markdown);
        page.fences.retain(|(_, text)| !own.contains(&text.as_str()));
        let mut shown = vec![("prose".to_owned(), page.prose), ("raw".to_owned(), page.html.join("\n"))];
        shown.extend(page.fences);
        for (path, bytes) in made.assets.iter().filter(|(path, _)| !path.starts_with("project/")) {
            shown.push((path.clone(), String::from_utf8_lossy(bytes).into_owned()));
        }
        for secret in [REPLICATION, SUPERUSER] {
            for (what, text) in &shown {
                assert!(!text.contains(secret), "{secret} in {what}: {text}");
            }
            // The page holds the same as the Markdown: each secret as often as the printed files do.
            let printed = run.lab.parts.iter().flat_map(|part| &part.files);
            let files = printed.filter_map(|path| run.project.iter().find(|file| file.path == *path));
            let expected: usize = files.map(|file| file.content.matches(secret).count()).sum();
            assert!(expected > 0, "the files hold {secret}");
            assert_eq!(made.html.matches(secret).count(), expected, "{secret} in the page");
            assert_eq!(made.markdown.matches(secret).count(), expected, "{secret} in the Markdown");
        }
    }
}
