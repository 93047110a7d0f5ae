//! Runs that did not pass: the fixture's, cut off at a step.

use labrun::lab::model::Text;
use labrun::verify::{Fact, Run, Source, Verdict};
use serde_json::json;

use super::fixture;

/// A text in both languages.
pub fn text(ru: &str, en: &str) -> Text {
    Text::Each { ru: ru.to_owned(), en: en.to_owned() }
}

/// The run that came to `verdict` at that step: what follows in the check was not run, later parts were skipped, and
/// what the check's collectors found is there.
pub fn at(part: &str, step: &str, verdict: Verdict, reason: Text) -> Run {
    let mut run = fixture::passed();
    let place = run.parts.iter().position(|result| result.id == part).expect("a part");
    let check = &mut run.parts[place].checks[0];
    let last = check.steps.iter().position(|result| result.id == step).expect("a step");
    check.steps.truncate(last + 1);
    let done = &mut check.steps[last];
    (done.verdict, done.reason) = (verdict, Some(reason.clone()));
    let end = done.span_ms.1;
    let points = if verdict == Verdict::InfraError { (0, 0) } else { (0, 1) };
    (check.verdict, check.reason, check.points, check.span_ms.1) = (verdict, Some(reason.clone()), points, end);
    let scope = format!("{part}/{}/collect/log-pg-slave", check.id);
    (run.parts[place].verdict, run.parts[place].reason) = (verdict, Some(reason));
    let skipped = text(&format!("пропущено из-за части `{part}`"), &format!("skipped because of part `{part}`"));
    for later in &mut run.parts[place + 1..] {
        (later.verdict, later.reason) = (Verdict::Skipped, Some(skipped.clone()));
        let check = &mut later.checks[0];
        (check.verdict, check.reason, check.points) = (Verdict::Skipped, Some(skipped.clone()), (0, 1));
        check.steps.clear();
        check.span_ms = (0, 0);
    }
    let steps = run.parts.iter().flat_map(|part| &part.checks).flat_map(|check| &check.steps);
    let kept: Vec<String> = steps.flat_map(|step| step.facts.clone()).collect();
    run.facts.retain(|fact| kept.contains(&fact.id));
    run.timeline.retain(|change| change.at_ms <= end);
    run.outages.retain(|outage| kept.contains(&outage.fact));
    run.facts.push(Fact {
        id: "F900".to_owned(),
        scope,
        at_ms: end + 40,
        took_ms: 12,
        node: Some("pg-slave".to_owned()),
        role: None,
        source: Source::Logs { path: "/tmp/nodes/pg-slave/log".to_owned() },
        output: "INFO: not healthy enough for the leader race".to_owned(),
        value: json!({"lines": [], "count": 1, "node": "pg-slave"}),
    });
    run.took_ms = end + 60;
    total(&mut run);
    run
}

/// Nobody became leader.
pub fn failed() -> Run {
    let reason =
        text("выборы не состоялись: ключ лидера пока никем не занят", "no other node holds the leader key yet");
    at("failover", "new-leader", Verdict::Fail, reason)
}

/// The standby was down before the leader was stopped.
pub fn inconclusive() -> Run {
    let reason =
        text("ничего не доказано: нет живой синхронной реплики", "nothing is proved: no live synchronous standby");
    at("failover", "before", Verdict::Inconclusive, reason)
}

/// The node could not be stopped.
pub fn infra_error() -> Run {
    at(
        "failover",
        "stop",
        Verdict::InfraError,
        text("сбой labrun или машины: нет процесса", "labrun or the machine failed: no such process"),
    )
}

/// Ctrl-C while the checks waited for the proxy.
pub fn interrupted() -> Run {
    let reason = text("проверка прервана", "the verification was interrupted");
    let mut run = at("failover", "proxy", Verdict::Inconclusive, reason.clone());
    run.notes.push(reason);
    run
}

/// Ctrl-C at once: no part was come to.
pub fn not_begun() -> Run {
    let mut run =
        at("setup", "ready", Verdict::Skipped, text("до этого дело не дошло", "the run did not get that far"));
    for part in &mut run.parts {
        part.reason = Some(text("до этого дело не дошло", "the run did not get that far"));
        part.checks[0].steps.clear();
    }
    run.facts.clear();
    run.timeline.clear();
    run.ready_after_ms = None;
    run.notes.push(text("проверка прервана", "the verification was interrupted"));
    run
}

/// An acknowledged write was lost, which the judgement saw.
pub fn lossy() -> Run {
    let reason = text("ожидалось `lost == []`, но lost = [77]", "expected `lost == []`, but lost = [77]");
    let mut run = at("failover", "judge", Verdict::Fail, reason);
    let judged = run.facts.iter_mut().find(|fact| fact.scope.ends_with("/judge")).expect("the judgement");
    judged.value["lost"] = json!([77]);
    judged.value["lost_count"] = json!(1);
    run
}

/// All of them, each with a name.
pub fn all() -> Vec<(&'static str, Run)> {
    vec![
        ("failed", failed()),
        ("inconclusive", inconclusive()),
        ("infra_error", infra_error()),
        ("interrupted", interrupted()),
        ("not_begun", not_begun()),
        ("lossy", lossy()),
    ]
}

fn total(run: &mut Run) {
    run.verdict = Verdict::all(run.parts.iter().map(|part| part.verdict));
    let points = run.parts.iter().flat_map(|part| &part.checks).map(|check| check.points);
    run.points = points.fold((0, 0), |sum, points| (sum.0 + points.0, sum.1 + points.1));
}
