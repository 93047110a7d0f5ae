//! The words of a run in both languages: why something did not pass.

use crate::lab::model::{Lang, Text};
use crate::verify::Verdict;

/// How a reason begins in English where nothing is proved.
pub const NOTHING_PROVED: &str = "nothing is proved: ";
/// The same in Russian.
pub const NOTHING_PROVED_RU: &str = "ничего не доказано: ";

/// A text in both languages.
pub fn both(ru: impl Into<String>, en: impl Into<String>) -> Text {
    Text::Each { ru: ru.into(), en: en.into() }
}

/// A text, and another one behind it.
pub fn and(first: Text, between: &str, second: &Text) -> Text {
    let join = |lang| format!("{}{between}{}", first.get(lang), second.get(lang));
    each(join)
}

/// A text, and behind it a sentence that explains it.
pub fn explained(first: Text, sentence: &Text) -> Text {
    each(|lang| {
        let mut letters = sentence.get(lang).chars();
        let capital: String = letters.next().map(|letter| letter.to_uppercase().collect()).unwrap_or_default();
        format!("{}. {capital}{}", first.get(lang), letters.as_str())
    })
}

/// A text made for each language; one text where both come out the same.
pub fn each(text: impl Fn(Lang) -> String) -> Text {
    let (ru, en) = (text(Lang::Ru), text(Lang::En));
    if ru == en { Text::Same(en) } else { Text::Each { ru, en } }
}

/// What there is to wait for, without the words that only a verdict needs.
pub fn brief(reason: &Text) -> Text {
    each(|lang| {
        let text = reason.get(lang);
        let prefix = if lang == Lang::Ru { NOTHING_PROVED_RU } else { NOTHING_PROVED };
        text.strip_prefix(prefix).unwrap_or(text).to_owned()
    })
}

/// An expectation that does not hold, with what was observed.
pub fn expected(expression: &str, observed: &str) -> Text {
    both(format!("ожидалось `{expression}`, но {observed}"), format!("expected `{expression}`, but {observed}"))
}

/// What must never hold, and did.
pub fn never(expression: &str, observed: &str) -> Text {
    both(
        format!("`{expression}` не должно выполняться никогда, но {observed}"),
        format!("`{expression}` must never hold, but {observed}"),
    )
}

/// When what had to hold all the time did not.
pub fn broke_after(ms: u64, allowed: &str) -> Text {
    let seconds = format!("{}.{}", ms / 1000, ms % 1000 / 100);
    both(
        format!("(через {} с от начала; должно держаться {allowed})", seconds.replace('.', ",")),
        format!("(after {seconds} s; it must hold for {allowed})"),
    )
}

/// What held at the last look, but not long enough without a break.
pub fn unstable(allowed: &str) -> Text {
    both(
        format!("условие выполнялось, но не {allowed} без перерыва"),
        format!("it held, but not for {allowed} without a break"),
    )
}

/// Too few looks to say anything of a time.
pub fn too_few_looks(looks: usize, allowed: &str) -> Text {
    both(
        format!("{NOTHING_PROVED_RU}за {allowed} удалось посмотреть лишь {looks} раз"),
        format!("{NOTHING_PROVED}in {allowed} only {looks} looks could be taken"),
    )
}

/// What must hold for a pass to mean anything, and does not.
pub fn required(expression: &str, observed: &str) -> Text {
    both(
        format!("{NOTHING_PROVED_RU}нужно `{expression}`, но {observed}"),
        format!("{NOTHING_PROVED}`{expression}` must hold, but {observed}"),
    )
}

/// An expression that has no value.
pub fn no_value(error: &str) -> Text {
    both(format!("{NOTHING_PROVED_RU}{error}"), format!("{NOTHING_PROVED}{error}"))
}

/// What was asked for and not had, where that is a precondition.
pub fn unproved(words: Text) -> Text {
    and(both(NOTHING_PROVED_RU, NOTHING_PROVED), "", &words)
}

/// A text as it is, in both languages: an error's own words.
pub fn same(error: impl std::fmt::Display) -> Text {
    Text::Same(error.to_string())
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

/// Begun, and not brought to its end when the run was stored.
pub fn unfinished() -> Text {
    both(
        format!("{NOTHING_PROVED_RU}проверка начата и не доведена до конца"),
        format!("{NOTHING_PROVED}the check was begun and not brought to its end"),
    )
}

/// A check that a stepping session went back to, with what it had come to.
pub fn taken_back(check: &str, verdict: Verdict, reason: Option<&Text>) -> Text {
    each(|lang| {
        let why = reason.map(|reason| format!(" ({})", reason.get(lang))).unwrap_or_default();
        match lang {
            Lang::Ru => format!("к проверке `{check}` вернулись; прежний итог не в счёт: {}{why}", verdict_ru(verdict)),
            Lang::En => {
                format!("check `{check}` was gone back to; what it had come to does not count: {}{why}", verdict.word())
            }
        }
    })
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
        format!("пропущено из-за {what_ru} `{id}`: {}", verdict_ru(verdict)),
        format!("skipped because of {what_en} `{id}`: {}", verdict.word()),
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
