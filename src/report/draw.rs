//! From a run's facts to pictures, and the template functions that put them into the page.

use std::sync::{Arc, Mutex, PoisonError};

use minijinja::value::{Rest, Value};
use minijinja::{Environment, State};

use super::commands;
use super::evidence::{Evidence, Scope, reference};
use super::functions::{link, scope};
use super::markdown;
use super::picture::lanes::{self, Lane, Mark, Segment};
use super::picture::svg::Svg;
use super::picture::terminal::{self, Entry};
use super::picture::topology::{self, EdgeWords, NodeBox, View};
use super::picture::{self};
use super::words::fill;
use super::{format, words::Words};
use crate::lab::model::Lang;
use crate::topology::Service;
use crate::verify::outage;
use crate::verify::run::Outage;
use crate::verify::{CheckResult, Fact, NodeFacts, Run, Source, tried};

/// Lines of one output that a terminal picture shows; the appendix has them all.
const SHOWN_LINES: usize = 24;
/// Lines that the outputs of one picture share, and the least that each of them has.
const SHARED_LINES: (usize, usize) = (36, 10);
/// Lines of a whole window, after which the next command gets a window of its own.
const WINDOW_LINES: usize = 30;

/// A picture with its place in the report.
#[derive(Debug, Clone)]
pub struct Picture {
    /// Its path, relative to the report.
    pub path: String,
    /// The drawing.
    pub svg: Svg,
}

/// The pictures of a report, in the order in which they appear.
pub type Pictures = Arc<Mutex<Vec<Picture>>>;

/// Draws what templates ask for.
#[derive(Clone)]
pub struct Artist {
    evidence: Arc<Evidence>,
    pictures: Pictures,
    lang: Lang,
}

impl Artist {
    /// One for a report.
    pub fn new(evidence: &Arc<Evidence>, lang: Lang) -> Self {
        Artist { evidence: Arc::clone(evidence), pictures: Pictures::default(), lang }
    }

    /// What was drawn.
    pub fn pictures(&self) -> Vec<Picture> {
        self.pictures.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Adds `terminal`, `terminals`, `lanes`, `outage_picture` and `topology_picture` to templates.
    pub fn add_functions(&self, env: &mut Environment<'static>) {
        let artist = self.clone();
        env.add_function("terminal", move |state: &State, names: Rest<String>| {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            Value::from_safe_string(artist.terminal(&scope(state), &names))
        });
        let artist = self.clone();
        env.add_function("terminals", move |state: &State| Value::from_safe_string(artist.terminals(&scope(state))));
        let artist = self.clone();
        env.add_function("lanes", move |state: &State| Value::from_safe_string(artist.lanes(&scope(state))));
        let artist = self.clone();
        env.add_function("outage_picture", move |state: &State| Value::from_safe_string(artist.outage(&scope(state))));
        let artist = self.clone();
        env.add_function("topology_picture", move || Value::from_safe_string(artist.topology()));
    }

    fn words(&self) -> &Words {
        self.evidence.words()
    }

    fn run(&self) -> &Run {
        self.evidence.run()
    }

    /// Keeps a picture and writes the Markdown that shows it.
    fn show(&self, name: &str, alt: &str, svg: Svg) -> String {
        let mut pictures = self.pictures.lock().unwrap_or_else(PoisonError::into_inner);
        let name = markdown::slug(name);
        let path = (1..)
            .map(|count| match count {
                1 => format!("images/{name}.{}.svg", self.lang.code()),
                _ => format!("images/{name}-{count}.{}.svg", self.lang.code()),
            })
            .find(|path| pictures.iter().all(|picture| picture.path != *path))
            .unwrap_or_default();
        let text = format!("![{}]({path})\n", markdown::escape(alt));
        pictures.push(Picture { path, svg });
        text
    }

    /// One window with the last fact of each of these steps, and the same as text.
    fn terminal(&self, scope: &Scope, names: &[&str]) -> String {
        let facts: Vec<&Fact> =
            names.iter().filter_map(|name| self.evidence.step_facts(scope, name)?.1.first().copied()).collect();
        self.window(scope, &format!("{}-{}-{}", scope.part, scope.check, names.join("-")), &facts)
    }

    /// Windows for all facts of a check, several commands in one as far as they fit.
    fn terminals(&self, scope: &Scope) -> String {
        let Some(check) = self.check(scope) else { return String::new() };
        let mut groups: Vec<Vec<&Fact>> = Vec::new();
        let mut lines = WINDOW_LINES;
        for step in &check.steps {
            let Some(fact) = step.facts.last().and_then(|id| self.evidence.fact(id)) else { continue };
            let more = fact.output.lines().count().min(SHOWN_LINES) + 3;
            match groups.last_mut() {
                Some(group) if lines + more <= WINDOW_LINES => group.push(fact),
                _ => {
                    groups.push(vec![fact]);
                    lines = 0;
                }
            }
            lines += more;
        }
        let windows = groups.iter().enumerate();
        windows
            .map(|(count, facts)| self.window(scope, &format!("{}-{}-{}", scope.part, scope.check, count + 1), facts))
            .collect()
    }

    fn check(&self, scope: &Scope) -> Option<&CheckResult> {
        let part = self.run().parts.iter().find(|part| part.id == scope.part)?;
        part.checks.iter().find(|check| check.id == scope.check)
    }

    /// What the pictures of a check are called, or of a question that was tried.
    fn title(&self, scope: &Scope) -> &str {
        let question = || self.run().lab.questions.iter().find(|question| question.id == scope.check);
        let title = match scope.part == tried::PART {
            true => question().map(|question| &question.ask),
            false => self.check(scope).map(|check| &check.title),
        };
        title.map_or("", |title| title.get(self.lang)).trim()
    }

    fn window(&self, scope: &Scope, name: &str, facts: &[&Fact]) -> String {
        if facts.is_empty() {
            return String::new();
        }
        let entries: Vec<Entry> = facts.iter().map(|fact| self.entry(fact)).collect();
        let title = self.title(scope);
        let ids: Vec<&str> = facts.iter().map(|fact| fact.id.as_str()).collect();
        let more = |left: usize| fill(&self.words().picture.more_lines, &[&left.to_string()]);
        let svg = terminal::draw(title, &ids.join(" · "), &entries, most_lines(entries.len()), more);
        let picture = self.show(name, &fill(&self.words().picture.terminal, &[title]), svg);
        let links: Vec<String> = facts.iter().map(|fact| link(&reference(&fact.id))).collect();
        let as_text = self.words().page.get("as_text").map_or("", String::as_str);
        let text: Vec<String> = entries.iter().map(as_console).collect();
        format!(
            "{picture}\n<details><summary>{}</summary>\n\n{}\n{}\n\n</details>\n\n",
            markdown::escape(as_text),
            markdown::fence(&text.join("\n"), "console"),
            links.join(" ")
        )
    }

    /// What is typed, what came back, and whose it was.
    fn entry(&self, fact: &Fact) -> Entry {
        let command = commands::of(fact, self.run(), self.evidence.project()).labrun;
        let note = format!("{} · {} · {}", fact.id, format::moment(fact.at_ms, self.lang), self.whose(fact));
        Entry { note, command, output: fact.output.clone() }
    }

    /// The node and the role that it had then; the whole cluster, or the workload.
    fn whose(&self, fact: &Fact) -> String {
        match (&fact.source, &fact.node) {
            (Source::Workload { name }, _) => fill(&self.words().picture.workload, &[name]),
            (_, Some(node)) => match &fact.role {
                Some(role) => format!("{node} ({})", self.words().role(role)),
                None => node.clone(),
            },
            (_, None) => self.words().picture.whole_cluster.clone(),
        }
    }

    /// The lanes of a check's time; of the whole run outside of a check.
    fn lanes(&self, scope: &Scope) -> String {
        if self.run().timeline.is_empty() {
            return String::new();
        }
        let marks: Vec<Mark> = self.run().facts.iter().filter_map(|fact| self.mark(fact)).collect();
        let lanes: Vec<Lane> = self.run().nodes.iter().filter_map(|node| self.lane(node)).collect();
        let (span, name) = match self.check(scope) {
            Some(check) => {
                let (from, to) = check.span_ms;
                let first = marks.iter().map(|mark| mark.at).find(|at| (from..=to).contains(at)).unwrap_or(from);
                ((from.max(first.saturating_sub(3_000)), to), format!("{}-{}-roles", scope.part, scope.check))
            }
            None => ((0, self.run().took_ms), "roles".to_owned()),
        };
        let zero = if self.check(scope).is_some() {
            marks.iter().map(|mark| mark.at).find(|at| (span.0..=span.1).contains(at)).unwrap_or(span.0)
        } else {
            0
        };
        let svg = lanes::draw(&self.words().picture.lanes, &lanes, &marks, span, zero, self.lang);
        self.show(&name, &self.words().picture.lanes, svg)
    }

    fn mark(&self, fact: &Fact) -> Option<Mark> {
        let word = match &fact.source {
            Source::Fault { fault, .. } => fault,
            Source::Operation { operation, .. } => operation,
            _ => return None,
        };
        let node = fact.node.as_deref()?;
        // The fact is recorded when the fault was seen to have taken effect; its value says when it was injected.
        let at = fact.value.get("at").and_then(serde_json::Value::as_u64).unwrap_or(fact.at_ms);
        Some(Mark { at, text: format!("{} {node}", self.words().fault(word)) })
    }

    fn lane(&self, node: &NodeFacts) -> Option<Lane> {
        let Service::Postgres { .. } = node.service else { return None };
        let changes: Vec<_> = self.run().timeline.iter().filter(|change| change.node == node.name).collect();
        let end = self.run().took_ms;
        let segment = |from: u64, to: u64, role: &str, timeline: Option<u64>| Segment {
            from,
            to,
            role: markdown::slug(role).replace('-', "_"),
            word: self.words().role(role).to_owned(),
            timeline,
        };
        let mut segments = Vec::new();
        let first = changes.first().map_or(end, |change| change.at_ms);
        if first > 0 {
            segments.push(segment(0, first, "unknown", None));
        }
        for (place, change) in changes.iter().enumerate() {
            let to = changes.get(place + 1).map_or(end, |next| next.at_ms);
            segments.push(segment(change.at_ms, to.max(change.at_ms), &change.role, change.timeline));
        }
        Some(Lane { node: node.name.clone(), segments })
    }

    /// The outages that a check measured, all paths in one picture.
    fn outage(&self, scope: &Scope) -> String {
        let outages: Vec<&Outage> = self.evidence.outages(scope).collect();
        if outages.is_empty() {
            return String::new();
        }
        let fault_at = outages.iter().find_map(|outage| outage.fault_at_ms);
        let fault = fault_at.and_then(|at| {
            self.run().facts.iter().filter_map(|fact| self.mark(fact)).find(|mark| mark.at.abs_diff(at) < 2_000)
        });
        let kind = self.fault_kind(scope);
        let paths: Vec<picture::outage::Path> = outages.iter().map(|outage| self.path(outage, kind)).collect();
        let zero = fault_at.unwrap_or(outages[0].gap.0);
        let words = fault.map_or_else(String::new, |mark| mark.text);
        let svg = picture::outage::draw(
            &self.words().picture.outage,
            fault_at.map(|at| (at, words.as_str())),
            &paths,
            zero,
            self.lang,
        );
        self.show(&format!("{}-{}-outage", scope.part, scope.check), &self.words().picture.outage, svg)
    }

    /// The fault that a check injected first, or what it had an agent do.
    pub fn fault_kind(&self, scope: &Scope) -> &str {
        let prefix = format!("{}/{}/", scope.part, scope.check);
        let faults = self.run().facts.iter().filter(|fact| fact.scope.starts_with(&prefix));
        let mut kinds = faults.filter_map(|fact| match &fact.source {
            Source::Fault { fault, .. } => Some(fault.as_str()),
            Source::Operation { operation, .. } if operation == "switchover" => Some(operation.as_str()),
            _ => None,
        });
        kinds.next().unwrap_or_default()
    }

    fn path(&self, seen: &Outage, fault: &str) -> picture::outage::Path {
        let phases = outage::phases(seen).into_iter().map(|phase| {
            let words = format!("{} · {}", self.words().phase(&phase.name), format::millis(phase.took(), self.lang));
            (phase.name, words, phase.from, phase.to)
        });
        let budgets = outage::bounds(fault, &seen.path, &self.run().timing).into_iter().map(|bound| {
            let words = fill(&self.words().picture.budget, &[&bound_words(&bound, self.words(), self.lang)]);
            let from = bound.begins(seen);
            (words, from, from + bound.ms)
        });
        picture::outage::Path {
            name: self.words().path(&seen.path).to_owned(),
            gap: seen.gap,
            gap_text: fill(&self.words().picture.gap, &[&format::millis(seen.gap_ms, self.lang)]),
            phases: phases.collect(),
            budgets: budgets.collect(),
        }
    }

    fn topology(&self) -> String {
        let run = self.run();
        let of = |wanted: fn(&Service) -> bool| -> Vec<NodeBox> {
            run.nodes.iter().filter(|node| wanted(&node.service)).map(|node| self.node_box(node)).collect()
        };
        let words = &self.words().picture;
        let entry =
            run.nodes.iter().find_map(|node| match node.service {
                Service::Haproxy { sql_port, .. } => {
                    let published = node.published.iter().find(|(_, inner)| *inner == sql_port);
                    Some(published.map_or_else(
                        || format!("{}:{sql_port}", node.address),
                        |(host, _)| format!("127.0.0.1:{host}"),
                    ))
                }
                _ => None,
            });
        let view = View {
            title: words.topology.clone(),
            client: (words.client.clone(), entry.unwrap_or_default()),
            proxies: of(|service| matches!(service, Service::Haproxy { .. })),
            databases: of(|service| matches!(service, Service::Postgres { .. })),
            stores: of(|service| matches!(service, Service::Zookeeper { .. })),
            words: EdgeWords {
                sessions: words.sessions.clone(),
                check: words.health_check.clone(),
                replication: words.replication.clone(),
                dcs: words.dcs.clone(),
            },
        };
        self.show("topology", &words.topology, topology::draw(&view))
    }

    /// A node with the role that it had at first.
    fn node_box(&self, node: &NodeFacts) -> NodeBox {
        let role =
            self.run().timeline.iter().find(|change| change.node == node.name).map(|change| change.role.as_str());
        let ports: Vec<String> = node.published.iter().map(|(host, inner)| format!("{host}→{inner}")).collect();
        let version =
            |program: &str| self.run().versions.get(program).map(|version| format!(" {version}")).unwrap_or_default();
        let about = match &node.service {
            Service::Zookeeper { .. } => format!("ZooKeeper{}", version("zookeeper")),
            Service::Haproxy { .. } => format!("HAProxy{}", version("haproxy")),
            Service::Postgres { member, .. } => {
                format!("PostgreSQL{} · {}", version("postgres"), fill(&self.words().picture.member, &[member]))
            }
        };
        NodeBox {
            name: node.name.clone(),
            about,
            ports: ports.join(", "),
            role: role.map(|role| (markdown::slug(role).replace('-', "_"), self.words().role(role).to_owned())),
        }
    }
}

/// How many lines each output may have in a picture of several.
fn most_lines(entries: usize) -> usize {
    SHOWN_LINES.min((SHARED_LINES.0 / entries.max(1)).max(SHARED_LINES.1))
}

fn as_console(entry: &Entry) -> String {
    let mut text = format!("# {}\n", entry.note);
    if let Some(command) = &entry.command {
        text.push_str(&format!("$ {command}\n"));
    }
    text.push_str(entry.output.trim_end_matches('\n'));
    text.push('\n');
    text
}

/// `rise × inter = 2 × 3 s = 6 s`.
pub fn bound_words(bound: &outage::Bound, words: &Words, lang: Lang) -> String {
    let total = format::millis(bound.ms, lang);
    match bound.name {
        "ttl" => fill(&words.picture.bound_ttl, &[&total]),
        _ => fill(
            &words.picture.bound_proxy,
            &[&bound.product.0.to_string(), &format::millis(bound.product.1, lang), &total],
        ),
    }
}
