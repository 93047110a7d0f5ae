//! The table of faults: what each does, what it exercises, what undoes it, and where it can be done.

use serde::Serialize;

use crate::lab::model::{FaultKind, Lang};

/// What there is to know of a fault.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Row {
    /// The fault.
    pub fault: FaultKind,
    /// What it does.
    pub does: &'static str,
    /// What it exercises.
    pub exercises: &'static str,
    /// What undoes it.
    pub undo: &'static str,
    /// What it needs beside a target.
    pub needs: &'static str,
}

/// Every fault, in the order in which one gets to know them.
pub fn rows(lang: Lang) -> Vec<Row> {
    FaultKind::ALL.into_iter().map(|fault| row(fault, lang)).collect()
}

fn row(fault: FaultKind, lang: Lang) -> Row {
    let [does, exercises, undo, needs] = match lang {
        Lang::En => english(fault),
        Lang::Ru => russian(fault),
    };
    Row { fault, does, exercises, undo, needs }
}

fn english(fault: FaultKind) -> [&'static str; 4] {
    match fault {
        FaultKind::Stop => ["SIGTERM to the node (docker stop)", "clean shutdown, the key is released", "start", ""],
        FaultKind::Kill => ["SIGKILL to everything on the node", "the session runs out, or is taken over", "start", ""],
        FaultKind::Start => ["starts a node that does not run", "rejoin", "", ""],
        FaultKind::Restart => ["stop, then start", "rejoin", "start, where it does not run", ""],
        FaultKind::Crash => [
            "SIGKILL to the postmaster only",
            "crash recovery, or failover when it takes too long",
            "the agent starts it again",
            "",
        ],
        FaultKind::Hang => [
            "SIGSTOP to all of PostgreSQL; the agent lives on",
            "a server that answers nobody is found out",
            "SIGCONT",
            "",
        ],
        FaultKind::Freeze => [
            "SIGSTOP to the agent only; PostgreSQL lives on",
            "the lease is honoured all the same: no second writer",
            "SIGCONT",
            "",
        ],
        FaultKind::Pause => [
            "everything on the node stops and later goes on (docker pause)",
            "the woken leader must not acknowledge writes",
            "SIGCONT to all",
            "",
        ],
        FaultKind::Isolate => [
            "no traffic between the node and any other; labrun still reaches it",
            "partition: the lonely leader stops taking writes",
            "the rules go",
            "own network",
        ],
        FaultKind::Cut => [
            "no traffic between two nodes; with one_way only from `on` to `to`",
            "partial partitions: leader and DCS, replica and leader",
            "the rules go",
            "to; own network",
        ],
        FaultKind::Slow => [
            "packets between two nodes take `delay` longer, `loss` of 100 are lost",
            "timeouts and retries",
            "the rules go",
            "to, delay or loss; own network",
        ],
        FaultKind::Heal => ["undoes whatever is in effect on the node, or on `all`", "", "", ""],
    }
}

fn russian(fault: FaultKind) -> [&'static str; 4] {
    match fault {
        FaultKind::Stop => ["SIGTERM узлу (docker stop)", "чистая остановка, ключ освобождается", "start", ""],
        FaultKind::Kill => ["SIGKILL всему на узле", "сессия истекает, или её перенимают", "start", ""],
        FaultKind::Start => ["запускает узел, который не работает", "возвращение", "", ""],
        FaultKind::Restart => ["остановка, затем запуск", "возвращение", "start, если узел не работает", ""],
        FaultKind::Crash => [
            "SIGKILL одному postmaster",
            "восстановление после сбоя или failover, если оно слишком долгое",
            "агент запускает его снова",
            "",
        ],
        FaultKind::Hang => {
            ["SIGSTOP всему PostgreSQL; агент живёт", "сервер, который никому не отвечает, замечен", "SIGCONT", ""]
        }
        FaultKind::Freeze => {
            ["SIGSTOP одному агенту; PostgreSQL живёт", "аренда соблюдается и так: второго пишущего нет", "SIGCONT", ""]
        }
        FaultKind::Pause => [
            "всё на узле замирает и потом продолжается (docker pause)",
            "проснувшийся лидер не должен подтверждать записи",
            "SIGCONT всему",
            "",
        ],
        FaultKind::Isolate => [
            "нет связи узла ни с одним другим; сам labrun до него достаёт",
            "разделение сети: одинокий лидер перестаёт принимать записи",
            "правила снимаются",
            "своя сеть",
        ],
        FaultKind::Cut => [
            "нет связи между двумя узлами; с one_way — только от `on` к `to`",
            "частичное разделение: лидер и DCS, реплика и лидер",
            "правила снимаются",
            "to; своя сеть",
        ],
        FaultKind::Slow => [
            "пакеты между двумя узлами идут на `delay` дольше, `loss` из 100 теряются",
            "таймауты и повторы",
            "правила снимаются",
            "to, delay или loss; своя сеть",
        ],
        FaultKind::Heal => ["отменяет всё, что действует на узле или на `all`", "", "", ""],
    }
}
