//! Lengths of time, numbers and dates as each language writes them.

use jiff::{Timestamp, tz::TimeZone};

use crate::lab::model::Lang;

/// A space that neither breaks nor stretches: between a number and its unit.
pub const NBSP: char = '\u{a0}';

/// `340 ms`, `2.4 s`, `1 min 12 s`; in Russian `340 мс`, `2,4 с`, `1 мин 12 с`.
pub fn millis(ms: u64, lang: Lang) -> String {
    let (unit_ms, unit_s, unit_min) = match lang {
        Lang::Ru => ("мс", "с", "мин"),
        Lang::En => ("ms", "s", "min"),
    };
    match ms {
        0..1_000 => format!("{ms}{NBSP}{unit_ms}"),
        1_000..59_950 => format!("{}{NBSP}{unit_s}", tenths(ms, lang)),
        _ => {
            let seconds = (ms + 500) / 1_000;
            let (minutes, rest) = (seconds / 60, seconds % 60);
            match rest {
                0 => format!("{minutes}{NBSP}{unit_min}"),
                _ => format!("{minutes}{NBSP}{unit_min} {rest}{NBSP}{unit_s}"),
            }
        }
    }
}

/// A moment of a run: `12.3 s` whatever its size, so that moments line up.
pub fn moment(at_ms: u64, lang: Lang) -> String {
    let unit = match lang {
        Lang::Ru => "с",
        Lang::En => "s",
    };
    format!("{}{NBSP}{unit}", tenths(at_ms, lang))
}

/// Seconds with one decimal, rounded; a whole number when the decimal is 0.
fn tenths(ms: u64, lang: Lang) -> String {
    let tenths = (ms + 50) / 100;
    match tenths % 10 {
        0 => format!("{}", tenths / 10),
        rest => format!("{}{}{rest}", tenths / 10, decimal_mark(lang)),
    }
}

fn decimal_mark(lang: Lang) -> char {
    match lang {
        Lang::Ru => ',',
        Lang::En => '.',
    }
}

/// A count with its thousands apart: `1 240` in Russian, `1,240` in English. Numbers below 10,000 stay whole in Russian,
/// as its typographers have it.
pub fn number(n: u64, lang: Lang) -> String {
    let digits = n.to_string();
    if digits.len() <= 3 || (lang == Lang::Ru && digits.len() == 4) {
        return digits;
    }
    let mark = match lang {
        Lang::Ru => NBSP,
        Lang::En => ',',
    };
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(mark);
        }
        text.push(digit);
    }
    text
}

/// The form of a word that goes with a count: English takes `[one, other]`, Russian `[one, few, many]`
/// (CLDR plural rules). Too few forms yield the last one.
pub fn plural(n: u64, forms: &[String], lang: Lang) -> &str {
    let form = match lang {
        Lang::En => usize::from(n != 1),
        Lang::Ru => match (n % 10, n % 100) {
            (1, tens) if tens != 11 => 0,
            (2..=4, tens) if !(12..=14).contains(&tens) => 1,
            _ => 2,
        },
    };
    forms.get(form).or(forms.last()).map_or("", String::as_str)
}

/// `23 ноября 2026 г., 06:12:40 UTC` or `23 November 2026, 06:12:40 UTC`; the text itself when it is no RFC 3339 date.
pub fn date(rfc3339: &str, lang: Lang) -> String {
    const RU: [&str; 12] = [
        "января", "февраля", "марта", "апреля", "мая", "июня", "июля", "августа", "сентября", "октября", "ноября",
        "декабря",
    ];
    const EN: [&str; 12] = [
        "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
        "December",
    ];
    let Ok(at) = rfc3339.parse::<Timestamp>() else { return rfc3339.to_owned() };
    let at = at.to_zoned(TimeZone::UTC);
    let month = usize::from(at.month().unsigned_abs()) - 1;
    let time = at.strftime("%H:%M:%S");
    match lang {
        Lang::Ru => format!("{}{NBSP}{} {}{NBSP}г., {time} UTC", at.day(), RU[month], at.year()),
        Lang::En => format!("{}{NBSP}{} {}, {time} UTC", at.day(), EN[month], at.year()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(text: String) -> String {
        text.replace(NBSP, " ")
    }

    #[test]
    fn lengths_of_time_have_the_unit_that_fits() {
        for (ms, ru, en) in [
            (0, "0 мс", "0 ms"),
            (999, "999 мс", "999 ms"),
            (1_000, "1 с", "1 s"),
            (2_449, "2,4 с", "2.4 s"),
            (2_450, "2,5 с", "2.5 s"),
            (59_949, "59,9 с", "59.9 s"),
            (59_950, "1 мин", "1 min"),
            (72_400, "1 мин 12 с", "1 min 12 s"),
        ] {
            assert_eq!(plain(millis(ms, Lang::Ru)), ru);
            assert_eq!(plain(millis(ms, Lang::En)), en);
        }
    }

    #[test]
    fn counts_are_grouped() {
        assert_eq!(plain(number(1_240, Lang::Ru)), "1240");
        assert_eq!(plain(number(12_405, Lang::Ru)), "12 405");
        assert_eq!(number(1_240, Lang::En), "1,240");
        assert_eq!(number(1_234_567, Lang::En), "1,234,567");
        assert_eq!(number(7, Lang::En), "7");
    }

    #[test]
    fn russian_plurals_follow_the_last_digits() {
        let forms = ["запись".to_owned(), "записи".to_owned(), "записей".to_owned()];
        for (n, form) in [(1, 0), (2, 1), (5, 2), (11, 2), (12, 2), (21, 0), (22, 1), (111, 2), (0, 2)] {
            assert_eq!(plural(n, &forms, Lang::Ru), forms[form], "{n}");
        }
        let forms = ["write".to_owned(), "writes".to_owned()];
        assert_eq!(plural(1, &forms, Lang::En), "write");
        assert_eq!(plural(21, &forms, Lang::En), "writes");
    }

    #[test]
    fn dates_are_told_in_utc() {
        assert_eq!(plain(date("2026-11-23T06:12:40Z", Lang::Ru)), "23 ноября 2026 г., 06:12:40 UTC");
        assert_eq!(plain(date("2026-11-23T09:12:40+03:00", Lang::En)), "23 November 2026, 06:12:40 UTC");
        assert_eq!(date("yesterday", Lang::En), "yesterday");
    }
}
