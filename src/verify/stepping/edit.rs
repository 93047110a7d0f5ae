//! What an edit of the lab means for a session that is under way. Pure.
//!
//! What was done stands on the text by which it was done. An edit of what is still to come takes effect; one that would
//! change which steps were done takes effect when the check is begun again. So no check passes by a text of which a
//! part was never carried out.

use crate::lab::model::Text;
use crate::lab::{Check, Loaded};
use crate::verify::say::both;

use super::listing::steps_of;

/// How far a session got.
#[derive(Debug)]
pub struct Standing<'a> {
    /// The part that is being carried out,
    pub part: &'a str,
    /// and its check, as it is carried out. Every check before it came to its end.
    pub check: &'a Check,
    /// How many steps of it stand before the one that the session waits at.
    pub at: usize,
    /// Whether it has come to those that tidy up.
    pub tidying: bool,
}

/// What an edit comes to.
#[derive(Debug, Default)]
pub struct Edit {
    /// The current check from now on, where that changed.
    pub current: Option<Check>,
    /// What is to be told: of what was done already, or takes effect later.
    pub notes: Vec<Text>,
}

/// Whether the two labs ask the same.
pub fn same(old: &Loaded, new: &Loaded) -> bool {
    let json = |lab: &Loaded| lab.checks.values().map(|check| serde_json::to_string(&**check).ok()).collect::<Vec<_>>();
    old.sha256 == new.sha256 && json(old) == json(new)
}

/// What becomes of a session that stands there when `old` was edited to `new`; or why it cannot go on by that.
pub fn edit(old: &Loaded, new: &Loaded, standing: &Standing<'_>) -> Result<Edit, Text> {
    let (before, after) = (checks(old), checks(new));
    let here = |(part, check): &(&str, &Check)| *part == standing.part && check.id == standing.check.id;
    let done = before.iter().position(here).ok_or_else(|| moved(&standing.check.id))?;
    let mut edit = Edit::default();
    for ((part, check), at) in before[..=done].iter().zip(0..) {
        let now = after.get(at).filter(|(new_part, new)| new_part == part && new.id == check.id);
        let Some((_, now)) = now else { return Err(moved(&check.id)) };
        match at < done {
            true if !alike(check, now) => edit.notes.push(stands(&check.id)),
            true => {}
            false => of_current(standing.check, now, standing, &mut edit),
        }
    }
    Ok(edit)
}

/// The check that is being carried out.
fn of_current(check: &Check, now: &Check, standing: &Standing<'_>, edit: &mut Edit) {
    if alike(check, now) {
        return;
    }
    let ids = |check: &Check| steps_of(check).map(|(_, id)| id).take(standing.at).collect::<Vec<_>>();
    let begun = standing.at > 0 || standing.tidying;
    if standing.tidying || check.params != now.params || (begun && ids(check) != ids(now)) {
        edit.notes.push(later(&check.id));
        return;
    }
    for ((old, id), (new, _)) in steps_of(check).zip(steps_of(now)).take(standing.at) {
        if serde_json::to_value(old).ok() != serde_json::to_value(new).ok() {
            edit.notes.push(step_stands(&check.id, &id));
        }
    }
    edit.current = Some(now.clone());
}

fn checks(loaded: &Loaded) -> Vec<(&str, &Check)> {
    let parts = loaded.lab.parts.iter();
    parts.flat_map(|part| part.checks.iter().map(|check| (part.id.as_str(), check))).collect()
}

fn alike(one: &Check, other: &Check) -> bool {
    let text = |check: &Check| serde_json::to_string(&*check.check).ok();
    one.params == other.params && one.points == other.points && text(one) == text(other)
}

fn moved(check: &str) -> Text {
    both(
        format!(
            "проверка `{check}` уже начата, а после правки стоит не там или пропала; \
             закончите пошаговый запуск (labrun step --quit) и начните новый"
        ),
        format!(
            "check `{check}` was begun already, and by the edited lab stands elsewhere or is gone; \
             end the session (labrun step --quit) and begin a new one"
        ),
    )
}

fn stands(check: &str) -> Text {
    both(
        format!(
            "проверка `{check}` изменена после того, как сделана: её итог стоит на прежнем тексте \
             (заново: labrun step --again {check})"
        ),
        format!(
            "check `{check}` was edited after it was done: its result stands on the earlier text \
             (again: labrun step --again {check})"
        ),
    )
}

fn step_stands(check: &str, step: &str) -> Text {
    both(
        format!(
            "шаг `{check}/{step}` изменён после того, как сделан: его итог стоит на прежнем тексте \
             (заново всю проверку: labrun step --again {check})"
        ),
        format!(
            "step `{check}/{step}` was edited after it was done: its result stands on the earlier text \
             (the whole check again: labrun step --again {check})"
        ),
    )
}

fn later(check: &str) -> Text {
    both(
        format!(
            "правка проверки `{check}` меняет её параметры или то, какие шаги уже сделаны; она подействует, \
             когда проверка начнётся заново: labrun step --again {check}"
        ),
        format!(
            "the edit of check `{check}` changes its parameters, or which steps were done; it takes effect when the \
             check is begun again: labrun step --again {check}"
        ),
    )
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::lab::model::{CheckFile, Lang, Step};

    fn lab() -> Loaded {
        crate::lab::load("builtin:ha-postgres").unwrap()
    }

    /// The lab with one of its checks edited.
    fn edited(change: impl FnOnce(&mut CheckFile)) -> Loaded {
        let mut lab = lab();
        let check = &mut lab.lab.parts[1].checks[0];
        change(Arc::make_mut(&mut check.check));
        let text = Arc::clone(&check.check);
        lab.checks.insert("replication".to_owned(), text);
        lab
    }

    /// A session that did the first check and `at` steps of the second.
    fn standing(lab: &Loaded, at: usize) -> Standing<'_> {
        Standing { part: "replication", check: &lab.lab.parts[1].checks[0], at, tidying: false }
    }

    fn told(edit: &Edit) -> Vec<&str> {
        edit.notes.iter().map(|note| note.get(Lang::En)).collect()
    }

    fn retitle(step: &mut Step) {
        step.title = both("иначе", "otherwise");
    }

    #[test]
    fn an_edit_of_what_is_to_come_takes_effect_and_there_is_nothing_to_tell() {
        let old = lab();
        let new = edited(|check| retitle(&mut check.steps[2]));
        assert!(!same(&old, &new) && same(&old, &lab()));
        let found = edit(&old, &new, &standing(&old, 2)).unwrap();
        assert_eq!(told(&found), Vec::<&str>::new());
        assert_eq!(found.current.unwrap().check.steps[2].title.get(Lang::En), "otherwise");
    }

    #[test]
    fn an_edit_of_a_step_that_was_done_is_told_and_its_result_stands() {
        let old = lab();
        let new = edited(|check| retitle(&mut check.steps[0]));
        let found = edit(&old, &new, &standing(&old, 2)).unwrap();
        assert_eq!(told(&found).len(), 1);
        assert!(told(&found)[0].contains("stands on the earlier text"), "{:?}", told(&found));
        assert!(found.current.is_some(), "the steps to come are those of the edited text");
    }

    #[test]
    fn a_step_put_before_those_that_were_done_takes_effect_only_from_the_beginning() {
        let old = lab();
        let new = edited(|check| {
            let again = check.steps[0].clone();
            check.steps.insert(0, Step { id: Some("new".to_owned()), ..again });
        });
        let found = edit(&old, &new, &standing(&old, 1)).unwrap();
        assert!(found.current.is_none() && told(&found)[0].contains("--again replication"), "{found:?}");
        let at_its_beginning = edit(&old, &new, &standing(&old, 0)).unwrap();
        assert!(at_its_beginning.current.is_some() && at_its_beginning.notes.is_empty());
    }

    #[test]
    fn a_check_that_was_done_and_edited_is_told() {
        let old = lab();
        let mut new = lab();
        Arc::make_mut(&mut new.lab.parts[0].checks[0].check).steps.pop();
        let found = edit(&old, &new, &standing(&old, 1)).unwrap();
        assert!(told(&found)[0].contains("check `cluster-ready` was edited after it was done"), "{found:?}");
    }

    #[test]
    fn a_check_that_was_begun_and_is_gone_ends_the_session_as_it_was() {
        let (old, mut new) = (lab(), lab());
        new.lab.parts.remove(0);
        let refused = edit(&old, &new, &standing(&old, 1)).unwrap_err();
        assert!(refused.get(Lang::En).contains("`cluster-ready`"), "{refused:?}");
    }

    #[test]
    fn parameters_are_those_with_which_the_check_began() {
        let (old, mut new) = (lab(), lab());
        new.lab.parts[1].checks[0].params.insert("table".to_owned(), "other".into());
        let found = edit(&old, &new, &standing(&old, 1)).unwrap();
        assert!(found.current.is_none() && told(&found)[0].contains("parameters"), "{found:?}");
    }
}
