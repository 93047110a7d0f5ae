//! A step in the reader's language, before it is done: what it does, to whom, what is expected, how long that may take.

use super::explained::{Aim, Deed, Explained, Limit};
use crate::lab::model::Lang;
use crate::verify::budget::seconds;
use crate::verify::faults::table;

/// The step, for a terminal.
pub fn show(step: &Explained, lang: Lang) -> String {
    let words = Words::of(lang);
    let (at, of) = step.place;
    let title = Some(step.title.get(lang)).filter(|title| !title.is_empty()).unwrap_or(&step.scope);
    let mut text = format!("{}  [{at}/{of}]\n{title}\n", step.scope);
    let mut row = |name: &str, value: &str| {
        for (number, line) in value.trim_end().lines().enumerate() {
            let name = if number == 0 { name } else { "" };
            text += &format!("  {name:<width$}  {line}\n", width = words.width);
        }
    };
    row(words.does, &deed(&step.deed, lang));
    step.aims.iter().for_each(|aim| row(words.on, &aimed(aim, lang)));
    if let Some(code) = code(&step.deed) {
        row("", &code);
    }
    row(words.requires, &step.require.join("\n"));
    row(words.expects, &step.expect.join("\n"));
    row(words.never, &step.never.join("\n"));
    step.known.iter().for_each(|(name, value)| row(words.known, &format!("{name} = {value}")));
    row(words.limit, &limit(step.limit.as_ref(), lang));
    step.stable_for.iter().for_each(|time| row(words.stable, time));
    row(words.faults, &step.faults.join("\n"));
    row(words.workloads, &step.workloads.join(", "));
    if at == 1 {
        row(words.proves, step.proves.get(lang));
    }
    text
}

/// The names of the rows.
struct Words {
    width: usize,
    does: &'static str,
    on: &'static str,
    requires: &'static str,
    expects: &'static str,
    never: &'static str,
    known: &'static str,
    limit: &'static str,
    stable: &'static str,
    faults: &'static str,
    workloads: &'static str,
    proves: &'static str,
}

impl Words {
    fn of(lang: Lang) -> Words {
        match lang {
            Lang::Ru => Words {
                width: 13,
                does: "что делает",
                on: "на ком",
                requires: "нужно",
                expects: "ожидается",
                never: "не должно",
                known: "известно",
                limit: "срок",
                stable: "без перерыва",
                faults: "сбои сейчас",
                workloads: "пишут сейчас",
                proves: "докажет",
            },
            Lang::En => Words {
                width: 9,
                does: "does",
                on: "on",
                requires: "requires",
                expects: "expects",
                never: "never",
                known: "known",
                limit: "limit",
                stable: "unbroken",
                faults: "faults",
                workloads: "writing",
                proves: "proves",
            },
        }
    }
}

fn deed(deed: &Deed, lang: Lang) -> String {
    let (ru, en) = match deed {
        Deed::Sql { sessions: 1, .. } => ("выполняет SQL".to_owned(), "runs SQL".to_owned()),
        Deed::Sql { sessions, .. } => (
            format!("выполняет SQL в {sessions} сеансах, одном за другим"),
            format!("runs SQL in {sessions} sessions, one after another"),
        ),
        Deed::Http { .. } => ("спрашивает по HTTP".to_owned(), "asks by HTTP".to_owned()),
        Deed::Dcs { key } => (format!("читает в DCS ключ `{key}`"), format!("reads the key `{key}` of the DCS")),
        Deed::Haproxy => ("читает статистику HAProxy".to_owned(), "reads HAProxy's statistics".to_owned()),
        Deed::Cluster => (
            "осматривает кластер целиком: DCS, REST, pg_stat_replication, HAProxy".to_owned(),
            "looks at the whole cluster: DCS, REST, pg_stat_replication, HAProxy".to_owned(),
        ),
        Deed::Exec { .. } => ("запускает программу".to_owned(), "runs a program".to_owned()),
        Deed::Logs { .. } => ("читает журнал".to_owned(), "reads the log".to_owned()),
        Deed::Fault { kind, .. } => {
            let of = |lang| table::rows(lang).into_iter().find(|row| row.fault == *kind).map(|row| row.does);
            let word = kind.word();
            let [ru, en] = [Lang::Ru, Lang::En].map(|lang| of(lang).unwrap_or_default());
            let more = settings(deed);
            (format!("сбой `{word}`{more}: {ru}"), format!("fault `{word}`{more}: {en}"))
        }
        Deed::Operate { operation, .. } => {
            let word = operation.word();
            (format!("просит агента: `{word}`"), format!("asks the agent: `{word}`"))
        }
        Deed::Chaos { mix, lasts } => (
            format!("{lasts} вносит сбои, один за другим, из набора {{{mix}}}"),
            format!("injects faults for {lasts}, one after another, drawn from {{{mix}}}"),
        ),
        Deed::Wait { not_yet } => {
            let list = |lang| not_yet.iter().map(|text| text.get(lang)).collect::<Vec<_>>().join("; ");
            (format!("ждёт, пока: {}", list(Lang::Ru)), format!("waits while: {}", list(Lang::En)))
        }
        Deed::Start { workload, table, paths, clients, readers, every_ms } => {
            let paths = paths.join(", ");
            (
                format!(
                    "запускает нагрузку `{workload}`: на каждом пути ({paths}) пишут {clients} и читают {readers}, \
                     каждые {every_ms} мс, в таблице {table}; она идёт и между командами"
                ),
                format!(
                    "starts workload `{workload}`: on each way ({paths}) {clients} write and {readers} read, every \
                     {every_ms} ms, in table {table}; it goes on between commands, too"
                ),
            )
        }
        Deed::Stop { workload } => (
            format!("останавливает нагрузку `{workload}`, читает сохранённое и судит"),
            format!("stops workload `{workload}`, reads back what is stored, and judges"),
        ),
    };
    if lang == Lang::Ru { ru } else { en }
}

/// How a fault is set, as the lab writes it: ` (delay 200ms, loss 5 %)`.
fn settings(deed: &Deed) -> String {
    let Deed::Fault { one_way, delay, loss, .. } = deed else { return String::new() };
    let delay = delay.as_ref().map(|delay| format!("delay {delay}"));
    let loss = loss.map(|loss| format!("loss {loss} %"));
    let all: Vec<String> = one_way.then(|| "one_way".to_owned()).into_iter().chain(delay).chain(loss).collect();
    if all.is_empty() { String::new() } else { format!(" ({})", all.join(", ")) }
}

/// What is carried out word for word.
fn code(deed: &Deed) -> Option<String> {
    match deed {
        Deed::Sql { statement, .. } => Some(statement.clone()),
        Deed::Http { method, path } => Some(format!("{method} {path}")),
        Deed::Operate { operation, set } => {
            let (method, path) = operation.call();
            let set = set.as_ref().map(|set| format!(" {set}")).unwrap_or_default();
            Some(format!("{method} {path}{set}"))
        }
        Deed::Exec { argv } => Some(argv.join(" ")),
        Deed::Logs { matches } => matches.clone(),
        _ => None,
    }
}

fn aimed(aim: &Aim, lang: Lang) -> String {
    let Aim { selector, node, role, why } = aim;
    match (node, lang) {
        (Some(node), _) if node == selector => match role {
            Some(role) => format!("{node} ({role})"),
            None => node.clone(),
        },
        (Some(node), Lang::Ru) => format!("{selector}: сейчас это {node}"),
        (Some(node), Lang::En) => format!("{selector}: {node} now"),
        (None, _) => {
            let nobody = if lang == Lang::Ru { "сейчас это никто" } else { "nobody now" };
            let why = why.as_ref().map(|why| format!(" ({})", why.get(lang))).unwrap_or_default();
            format!("{selector}: {nobody}{why}")
        }
    }
}

fn limit(limit: Option<&Limit>, lang: Lang) -> String {
    let Some(Limit { during, ms, derivation }) = limit else {
        return if lang == Lang::Ru { "сразу" } else { "at once" }.to_owned();
    };
    let plain = seconds(*ms);
    let derived = if *derivation == plain { String::new() } else { format!(": {derivation}") };
    match (lang, during) {
        (Lang::Ru, true) => format!("всё время, {plain}{derived}"),
        (Lang::Ru, false) => format!("не дольше {plain}{derived}"),
        (Lang::En, true) => format!("all the time, {plain}{derived}"),
        (Lang::En, false) => format!("at most {plain}{derived}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::model::{FaultKind, Operation};
    use crate::verify::say::{both, same};

    fn fault() -> Explained {
        Explained {
            scope: "failover/failover/stop".into(),
            place: (5, 13),
            check: both("Лидер остановлен под нагрузкой", "The leader is stopped under load"),
            proves: both("Кластер переживает остановку", "The cluster survives the stop"),
            title: both("Лидер остановлен", "The leader is stopped"),
            kind: "fault".into(),
            deed: Deed::Fault { kind: FaultKind::Stop, one_way: false, delay: None, loss: None },
            aims: vec![Aim::at("leader", "pg-master", Some("leader".into()))],
            known: vec![],
            require: vec!["role == 'leader'".into()],
            expect: vec![],
            never: vec![],
            limit: None,
            stable_for: None,
            workloads: vec!["writers".into()],
            faults: vec![],
        }
    }

    fn sql() -> Explained {
        Explained {
            scope: "replication/replication/sql-2".into(),
            place: (1, 4),
            title: both("", ""),
            kind: "sql".into(),
            deed: Deed::Sql { statement: "CREATE TABLE t (id int);\nINSERT INTO t VALUES (1)".into(), sessions: 1 },
            aims: vec![Aim::at_nobody("leader", same("nobody holds the leader key"))],
            known: vec![("rows_before".into(), "3".into())],
            require: vec![],
            expect: vec!["count == 1".into(), "rows_before == 3".into()],
            limit: Some(Limit {
                during: false,
                ms: 60_000,
                derivation: "ttl 30 s + loop_wait 10 s + 2 × retry_timeout 10 s = 60 s".into(),
            }),
            workloads: vec![],
            faults: vec!["slow pg-master <-> pg-slave".into()],
            ..fault()
        }
    }

    #[test]
    fn a_step_is_shown_before_it_is_done_in_both_languages() {
        let shown = [fault(), sql()].map(|step| [Lang::Ru, Lang::En].map(|lang| show(&step, lang)).join("\n"));
        insta::assert_snapshot!(shown.join("\n"));
    }

    #[test]
    fn each_deed_is_told_in_both_languages() {
        let deeds = [
            Deed::Sql { statement: "SELECT 1".into(), sessions: 5 },
            Deed::Http { method: "GET".into(), path: "/primary".into() },
            Deed::Dcs { key: "leader".into() },
            Deed::Haproxy,
            Deed::Cluster,
            Deed::Exec { argv: vec!["ls".into(), "-l".into()] },
            Deed::Logs { matches: Some("promot".into()) },
            Deed::Fault { kind: FaultKind::Slow, one_way: true, delay: Some("200ms".into()), loss: Some(5) },
            Deed::Operate { operation: Operation::Configure, set: Some("{\"ttl\":20}".into()) },
            Deed::Chaos { mix: "stop: 2, pause: 1".into(), lasts: "60s".into() },
            Deed::Wait { not_yet: vec![both("лидера ещё нет", "there is no leader yet")] },
            Deed::Start {
                workload: "writers".into(),
                table: "t".into(),
                paths: vec!["proxy".into(), "direct".into()],
                clients: 1,
                readers: 2,
                every_ms: 20,
            },
            Deed::Stop { workload: "writers".into() },
        ];
        let told = deeds.iter().map(|one| {
            let code = code(one).map(|code| format!("\n  {code}")).unwrap_or_default();
            format!("{}\n{}{code}", deed(one, Lang::Ru), deed(one, Lang::En))
        });
        insta::assert_snapshot!(told.collect::<Vec<_>>().join("\n"));
    }

    #[test]
    fn a_step_that_looks_all_the_time_says_so() {
        let looks = Limit { during: true, ms: 10_000, derivation: "10 s".into() };
        assert_eq!(limit(Some(&looks), Lang::En), "all the time, 10 s");
        assert_eq!(limit(Some(&looks), Lang::Ru), "всё время, 10 s");
    }
}
