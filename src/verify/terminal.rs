//! The terminal: what happens as it happens, a line for each part, check and step; and the summary at the end.

use std::io::{self, Write};

use super::outage::words;
use super::{Consumer, Event, Run, Stamped, Verdict, say};
use crate::lab::model::{Lang, Text};
use crate::observe::table;

/// How often a waiting line is printed where it cannot be replaced, in ms, while its words stay the same.
const SAME_WORDS_MS: u64 = 10_000;

/// Prints events for a person.
pub struct Terminal<W> {
    out: W,
    lang: Lang,
    colours: bool,
    live: bool,
    titles: Titles,
    waiting: Option<(String, u64)>,
    has_waiting_line: bool,
}

/// What goes on now, for the lines at its end.
#[derive(Default)]
struct Titles {
    step: (String, u64),
    check_began_ms: u64,
}

impl<W: Write> Terminal<W> {
    /// Prints to `out`. Where that is `live` (a terminal), the waiting line is replaced in place.
    pub fn new(out: W, lang: Lang, colours: bool, live: bool) -> Terminal<W> {
        let titles = Titles::default();
        Terminal { out, lang, colours, live, titles, waiting: None, has_waiting_line: false }
    }

    fn print(&mut self, event: &Stamped) -> io::Result<()> {
        match &event.event {
            Event::PartStarted { part, title } => {
                let title = named(title, part, self.lang);
                self.line(&format!("\n{}", bold(&title, self.colours)))
            }
            Event::CheckStarted { check, title, .. } => {
                self.titles.check_began_ms = event.at_ms;
                self.line(&format!("  {}", named(title, check, self.lang)))
            }
            Event::StepStarted { scope, title } => {
                let id = scope.rsplit('/').next().unwrap_or(scope);
                self.titles.step = (named(title, id, self.lang), event.at_ms);
                self.waiting = None;
                Ok(())
            }
            Event::Waiting { not_yet, waited_ms, deadline_ms, .. } => {
                self.waits(not_yet.get(self.lang), *waited_ms, *deadline_ms)
            }
            Event::StepFinished { verdict, reason, .. } => {
                let (title, began_ms) = std::mem::take(&mut self.titles.step);
                self.verdict_line("    ", *verdict, event.at_ms.saturating_sub(began_ms), &title)?;
                self.reason("             ", reason.as_ref())
            }
            Event::CheckFinished { check, verdict, reason, .. } => {
                let took = event.at_ms.saturating_sub(self.titles.check_began_ms);
                self.verdict_line("  ", *verdict, took, check)?;
                // The step that decided has told it already.
                let told = matches!(verdict, Verdict::Fail | Verdict::InfraError);
                self.reason("           ", reason.as_ref().filter(|_| !told))
            }
            Event::WentBack { check } => self.line(&match self.lang {
                Lang::Ru => format!("  проверка {check} начинается заново"),
                Lang::En => format!("  check {check} begins again"),
            }),
            Event::OutageMeasured { outage } => {
                words::lines(outage, self.lang).iter().try_for_each(|line| self.line(&format!("    {line}")))
            }
            Event::PartFinished { verdict: Verdict::Skipped, reason, .. } => self.reason("  ", reason.as_ref()),
            _ => Ok(()),
        }
    }

    fn verdict_line(&mut self, indent: &str, verdict: Verdict, took_ms: u64, what: &str) -> io::Result<()> {
        let word = painted(verdict, &format!("{:<12}", verdict.word()), self.colours);
        self.line(&format!("{indent}{word} {:>7}  {what}", seconds(took_ms, self.lang)))
    }

    fn reason(&mut self, indent: &str, reason: Option<&Text>) -> io::Result<()> {
        match reason {
            Some(reason) => self.line(&format!("{indent}{}", reason.get(self.lang))),
            None => Ok(()),
        }
    }

    fn waits(&mut self, not_yet: &str, waited_ms: u64, deadline_ms: u64) -> io::Result<()> {
        let limit = seconds(deadline_ms, self.lang);
        if self.live {
            let line = format!("    … {} / {limit}: {not_yet}", seconds(waited_ms, self.lang));
            let line: String = line.chars().take(120).collect();
            self.has_waiting_line = true;
            write!(self.out, "\r\x1b[K{line}")?;
            return self.out.flush();
        }
        let is_news = self
            .waiting
            .as_ref()
            .is_none_or(|(words, at)| words != not_yet || waited_ms.saturating_sub(*at) >= SAME_WORDS_MS);
        if is_news {
            self.waiting = Some((not_yet.to_owned(), waited_ms));
            self.line(&format!("    … {} / {limit}: {not_yet}", seconds(waited_ms, self.lang)))?;
        }
        Ok(())
    }

    fn line(&mut self, text: &str) -> io::Result<()> {
        if std::mem::take(&mut self.has_waiting_line) {
            write!(self.out, "\r\x1b[K")?;
        }
        writeln!(self.out, "{text}")
    }
}

impl<W: Write + Send> Consumer for Terminal<W> {
    fn hear(&mut self, event: &Stamped) -> io::Result<()> {
        // A terminal that went away is no reason to end a run.
        let _ = self.print(event);
        Ok(())
    }
}

/// What a run came to, for a person: parts with verdicts and points, the measured outages, the notes.
pub fn summary(run: &Run, lang: Lang, colours: bool) -> String {
    let header = match lang {
        Lang::Ru => ["часть", "проверка", "итог", "баллы"],
        Lang::En => ["part", "check", "verdict", "points"],
    };
    let rows: Vec<Vec<String>> = run
        .parts
        .iter()
        .flat_map(|part| part.checks.iter().map(move |check| (part, check)))
        .map(|(part, check)| {
            let points = format!("{}/{}", check.points.0, check.points.1);
            vec![part.id.clone(), check.id.clone(), word(check.verdict, lang).to_owned(), points]
        })
        .collect();
    let mut text = table::table(&header, &rows);
    for part in run.parts.iter().filter(|part| part.verdict != Verdict::Pass) {
        let reason = part.reason.as_ref().map(|reason| reason.get(lang)).unwrap_or_default();
        text.push_str(&format!("{}: {reason}\n", part.id));
    }
    let outages = run.outages.iter().flat_map(|outage| words::lines(outage, lang));
    outages.for_each(|line| text.push_str(&format!("{line}\n")));
    run.notes.iter().for_each(|note| text.push_str(&format!("{}\n", note.get(lang))));
    let (verdict, points) = match lang {
        Lang::Ru => ("итог", "баллы"),
        Lang::En => ("verdict", "points"),
    };
    let whole = painted(run.verdict, word(run.verdict, lang), colours);
    text.push_str(&format!("{verdict}: {whole}, {points}: {}/{}, ", run.points.0, run.points.1));
    text.push_str(&seconds(run.took_ms, lang));
    text
}

fn word(verdict: Verdict, lang: Lang) -> &'static str {
    match lang {
        Lang::Ru => say::verdict_ru(verdict),
        Lang::En => verdict.word(),
    }
}

fn named(title: &Text, id: &str, lang: Lang) -> String {
    Some(title.get(lang)).filter(|title| !title.is_empty()).unwrap_or(id).to_owned()
}

fn seconds(ms: u64, lang: Lang) -> String {
    let (point, unit) = match lang {
        Lang::Ru => (',', 'с'),
        Lang::En => ('.', 's'),
    };
    format!("{}{point}{} {unit}", ms / 1000, ms % 1000 / 100)
}

fn painted(verdict: Verdict, text: &str, colours: bool) -> String {
    let colour = match verdict {
        Verdict::Pass => "32",
        Verdict::Fail => "31",
        Verdict::Inconclusive | Verdict::InfraError => "33",
        Verdict::Skipped => "2",
    };
    if colours { format!("\x1b[{colour}m{text}\x1b[0m") } else { text.to_owned() }
}

fn bold(text: &str, colours: bool) -> String {
    if colours { format!("\x1b[1m{text}\x1b[0m") } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(live: bool, colours: bool) -> String {
        let mut terminal = Terminal::new(Vec::new(), Lang::En, colours, live);
        let title = |text: &str| Text::Same(text.to_owned());
        let wait = |not_yet: &str, waited_ms| Event::Waiting {
            scope: "failover/failover/new-leader".into(),
            not_yet: title(not_yet),
            waited_ms,
            deadline_ms: 60_000,
        };
        let reason = Some(say::expected("lost == []", "lost = [7]"));
        for (at_ms, event) in [
            (0, Event::PartStarted { part: "failover".into(), title: title("Failover") }),
            (0, Event::CheckStarted { part: "failover".into(), check: "failover".into(), title: title("Leader lost") }),
            (10, Event::StepStarted { scope: "failover/failover/new-leader".into(), title: title("A new leader") }),
            (1_000, wait("nobody holds the leader key", 990)),
            (2_000, wait("nobody holds the leader key", 1_990)),
            (3_000, wait("pg-slave is promoting", 2_990)),
            (4_000, Event::StepFinished { scope: "x".into(), verdict: Verdict::Pass, reason: None }),
            (4_000, Event::StepStarted { scope: "failover/failover/judge".into(), title: Text::default() }),
            (4_100, Event::StepFinished { scope: "x".into(), verdict: Verdict::Fail, reason: reason.clone() }),
            (
                4_200,
                Event::CheckFinished {
                    part: "failover".into(),
                    check: "failover".into(),
                    verdict: Verdict::Fail,
                    reason: reason.clone(),
                },
            ),
            (4_200, Event::PartFinished { part: "failover".into(), verdict: Verdict::Fail, reason }),
        ] {
            terminal.hear(&Stamped { seq: 0, at_ms, event }).unwrap();
        }
        String::from_utf8(terminal.out).unwrap()
    }

    #[test]
    fn without_a_terminal_there_are_plain_lines_and_no_repetition() {
        insta::assert_snapshot!(shown(false, false), @r"

        Failover
          Leader lost
            … 0.9 s / 60.0 s: nobody holds the leader key
            … 2.9 s / 60.0 s: pg-slave is promoting
            pass           3.9 s  A new leader
            fail           0.1 s  judge
                     expected `lost == []`, but lost = [7]
          fail           4.2 s  failover
        ");
    }

    #[test]
    fn on_a_terminal_the_waiting_line_is_replaced_and_removed() {
        let shown = shown(true, true);
        assert!(shown.contains("\r\x1b[K    … 2.9 s / 60.0 s: pg-slave is promoting\r\x1b[K"), "{shown:?}");
        assert!(shown.contains("\x1b[31mfail"), "{shown:?}");
    }
}
