//! An outage in a few lines, for a terminal.

use crate::lab::model::Lang;
use crate::verify::run::Outage;

/// The outage: how long, of which phases, what would shorten it, and why nobody was elected.
pub fn lines(outage: &Outage, lang: Lang) -> Vec<String> {
    let mut lines = vec![whole(outage, lang)];
    if outage.unhurt {
        return lines;
    }
    if outage.phases.len() > 1 {
        let phases = outage
            .phases
            .iter()
            .map(|phase| format!("{} {}", phase_word(&phase.name, lang), seconds(phase.took(), lang)));
        lines.push(format!("  {}", phases.collect::<Vec<_>>().join(" · ")));
    }
    if let (Some(mark), Some(advice)) = (&outage.dominant, &outage.advice) {
        let longest = if lang == Lang::Ru { "дольше всего" } else { "the longest" };
        lines.push(format!("  {longest}: {}: {}", phase_word(mark, lang), advice.get(lang)));
    }
    lines.extend(unelected(outage, lang));
    lines
}

fn whole(outage: &Outage, lang: Lang) -> String {
    let gap = seconds(outage.gap_ms, lang);
    let path = match (lang, outage.path.as_str()) {
        (Lang::Ru, "proxy") => "через HAProxy",
        (Lang::Ru, "direct") => "напрямую",
        (Lang::En, "proxy") => "through HAProxy",
        (Lang::En, "direct") => "directly",
        (_, other) => other,
    };
    match (lang, outage.closed) {
        // Where nothing was done to the cluster, a client's longest pause is no outage.
        (Lang::Ru, true) if outage.fault_at_ms.is_none() => {
            format!("сбоя под нагрузкой не было; самая долгая пауза между записями {path}: {gap}")
        }
        (Lang::En, true) if outage.fault_at_ms.is_none() => {
            format!("no fault happened under the load; the longest pause between writes {path}: {gap}")
        }
        (Lang::Ru, true) if outage.unhurt => {
            format!("сбой не остановил запись; самая долгая пауза между записями {path}: {gap}")
        }
        (Lang::En, true) if outage.unhurt => {
            format!("the fault did not stop writes; the longest pause between writes {path}: {gap}")
        }
        (Lang::Ru, true) => format!("запись {path} была недоступна {gap}"),
        (Lang::Ru, false) => {
            format!("запись {path} была недоступна дольше {gap}: до остановки клиентов не подтверждена ни одна")
        }
        (Lang::En, true) => format!("writes {path} were unavailable for {gap}"),
        (Lang::En, false) => {
            format!("writes {path} were unavailable for over {gap}: none was acknowledged until the clients ended")
        }
    }
}

fn unelected(outage: &Outage, lang: Lang) -> Vec<String> {
    let Some(none) = &outage.no_election else { return Vec::new() };
    let (title, fit) = match lang {
        Lang::Ru => ("выборов не было", "ничто не мешало"),
        Lang::En => ("no election happened", "nothing was seen against it"),
    };
    let because: Vec<&str> = none.because.iter().map(|text| text.get(lang)).collect();
    let mut lines = vec![match because.is_empty() {
        true => format!("  {title}"),
        false => format!("  {title}: {}", because.join("; ")),
    }];
    for candidate in &none.candidates {
        let reasons: Vec<&str> = candidate.reasons.iter().map(|text| text.get(lang)).collect();
        let reasons = if reasons.is_empty() { fit.to_owned() } else { reasons.join("; ") };
        lines.push(format!("    {}: {reasons}", candidate.node));
    }
    lines
}

/// A phase by the mark at its end, in a word or two.
pub fn phase_word(mark: &str, lang: Lang) -> &str {
    match (lang, mark) {
        (Lang::Ru, "fault") => "до сбоя",
        (Lang::Ru, "detected") => "замечено",
        (Lang::Ru, "lock_free") => "ключ свободен",
        (Lang::Ru, "lock_taken") => "ключ взят",
        (Lang::Ru, "promoted") => "новый лидер пишет",
        (Lang::Ru, "proxy_up") => "HAProxy пускает",
        (Lang::Ru, "first_ack") => "первая запись",
        (Lang::Ru, "unacknowledged") => "записи нет",
        (Lang::En, "fault") => "before the fault",
        (Lang::En, "detected") => "noticed",
        (Lang::En, "lock_free") => "key free",
        (Lang::En, "lock_taken") => "key taken",
        (Lang::En, "promoted") => "promoted",
        (Lang::En, "proxy_up") => "HAProxy up",
        (Lang::En, "first_ack") => "first write",
        (Lang::En, "unacknowledged") => "no write",
        (_, other) => other,
    }
}

fn seconds(ms: u64, lang: Lang) -> String {
    let (point, unit) = match lang {
        Lang::Ru => (',', 'с'),
        Lang::En => ('.', 's'),
    };
    format!("{}{point}{} {unit}", ms / 1000, ms % 1000 / 100)
}

#[cfg(test)]
mod tests {
    use super::super::budget::tests::{outage, timing};
    use super::super::{advice, election, phases};
    use super::*;
    use crate::verify::say::both;

    #[test]
    fn an_outage_is_told_with_its_phases_and_what_helps() {
        let mut seen = outage((100, 7_300), Some(150), &[("detected", 400), ("lock_taken", 900), ("proxy_up", 7_200)]);
        seen.phases = phases(&seen);
        seen.dominant = Some("proxy_up".to_owned());
        seen.advice = advice::advice("proxy_up", "stop", &timing());
        insta::assert_snapshot!(lines(&seen, Lang::En).join("\n"), @r"
        writes through HAProxy were unavailable for 7.2 s
          before the fault 0.0 s · noticed 0.2 s · key taken 0.5 s · HAProxy up 6.3 s · first write 0.1 s
          the longest: HAProxy up: HAProxy waits for rise 2 passed checks, inter 3 s apart; a smaller inter (or fastinter) or rise shortens it
        ");
    }

    #[test]
    fn without_a_fault_a_pause_is_no_outage_but_writes_that_did_not_come_back_are() {
        let mut seen = outage((100, 180), None, &[]);
        let told = [Lang::En, Lang::Ru].map(|lang| lines(&seen, lang).join("\n"));
        insta::assert_snapshot!(told.join("\n"), @r"
        no fault happened under the load; the longest pause between writes through HAProxy: 0.0 s
        сбоя под нагрузкой не было; самая долгая пауза между записями через HAProxy: 0,0 с
        ");
        seen.closed = false;
        assert!(
            lines(&seen, Lang::En)[0]
                .contains("were unavailable for over 0.0 s: none was acknowledged until the clients ended")
        );
    }

    #[test]
    fn a_fault_that_stopped_no_write_is_no_outage() {
        let mut seen = outage((100, 180), Some(120), &[("proxy_up", 170)]);
        seen.phases = phases(&seen);
        seen.unhurt = true;
        let told = [Lang::En, Lang::Ru].map(|lang| lines(&seen, lang).join("\n"));
        insta::assert_snapshot!(told.join("\n"), @r"
        the fault did not stop writes; the longest pause between writes through HAProxy: 0.0 s
        сбой не остановил запись; самая долгая пауза между записями через HAProxy: 0,0 с
        ");
    }

    #[test]
    fn where_nobody_was_elected_every_candidate_is_told() {
        let mut seen = outage((100, 60_000), Some(150), &[]);
        seen.closed = false;
        let candidate = |node: &str, reasons| election::Candidate { node: node.to_owned(), reasons };
        seen.no_election = Some(election::NoElection {
            because: vec![both("кластер на паузе", "the cluster is paused")],
            candidates: vec![
                candidate("a", vec![both("тег nofailover", "the tag nofailover")]),
                candidate("b", vec![]),
            ],
        });
        insta::assert_snapshot!(lines(&seen, Lang::En).join("\n"), @r"
        writes through HAProxy were unavailable for over 59.9 s: none was acknowledged until the clients ended
          no election happened: the cluster is paused
            a: the tag nofailover
            b: nothing was seen against it
        ");
    }
}
