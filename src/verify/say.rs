//! The words of a run in both languages: why something did not pass.

use crate::lab::model::Text;
use crate::verify::Verdict;

/// How a reason begins in English where nothing is proved.
pub const NOTHING_PROVED: &str = "nothing is proved: ";

/// A text in both languages.
pub fn both(ru: impl Into<String>, en: impl Into<String>) -> Text {
    Text::Each { ru: ru.into(), en: en.into() }
}

/// A text, and another one behind it.
pub fn and(first: Text, between: &str, second: &Text) -> Text {
    let join = |lang| format!("{}{between}{}", first.get(lang), second.get(lang));
    both(join(crate::lab::model::Lang::Ru), join(crate::lab::model::Lang::En))
}

/// An expectation that does not hold, with what was observed.
pub fn expected(expression: &str, observed: &str) -> Text {
    both(format!("ожидалось `{expression}`, но {observed}"), format!("expected `{expression}`, but {observed}"))
}

/// What must hold for a pass to mean anything, and does not.
pub fn required(expression: &str, observed: &str) -> Text {
    both(
        format!("ничего не доказано: нужно `{expression}`, но {observed}"),
        format!("{NOTHING_PROVED}`{expression}` must hold, but {observed}"),
    )
}

/// An expression that has no value.
pub fn no_value(error: &str) -> Text {
    both(format!("ничего не доказано: {error}"), format!("{NOTHING_PROVED}{error}"))
}

/// What an action asked for and did not get.
pub fn unmet(words: &str) -> Text {
    Text::Same(words.to_owned())
}

/// The same, where it is a precondition.
pub fn unmet_precondition(words: &str) -> Text {
    both(format!("ничего не доказано: {words}"), format!("{NOTHING_PROVED}{words}"))
}

/// labrun or the machine failed.
pub fn infra(words: &str) -> Text {
    both(format!("сбой labrun или машины: {words}"), format!("labrun or the machine failed: {words}"))
}

/// How long was waited, and how long that could have been.
pub fn waited(ms: u64, derivation: &str) -> Text {
    let seconds = format!("{}.{}", ms / 1000, ms % 1000 / 100);
    both(
        format!("(за {} с; отведено: {derivation})", seconds.replace('.', ",")),
        format!("(for {seconds} s; allowed: {derivation})"),
    )
}

/// Not run, since it was interrupted.
pub fn interrupted() -> Text {
    both("проверка прервана", "the verification was interrupted")
}

/// Not run yet when the run was stored.
pub fn not_reached() -> Text {
    both("до этого дело не дошло", "the run did not get that far")
}

/// Nothing in a check was expected.
pub fn vacuous() -> Text {
    both(
        "ничего не доказано: в проверке нет ни одного ожидания, её успех ничего бы не значил",
        "nothing is proved: the check expects nothing, so that its pass would mean nothing",
    )
}

/// Skipped for something that did not pass.
pub fn skipped_for(what_ru: &str, what_en: &str, id: &str, verdict: Verdict) -> Text {
    both(
        format!("пропущено: {what_ru} `{id}` не пройдена ({})", verdict_ru(verdict)),
        format!("skipped: {what_en} `{id}` did not pass ({})", verdict.word()),
    )
}

/// The verdict for Russian readers.
pub fn verdict_ru(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "пройдено",
        Verdict::Fail => "не пройдено",
        Verdict::Inconclusive => "не доказано",
        Verdict::Skipped => "пропущено",
        Verdict::InfraError => "сбой машины",
    }
}
