//! Values of PostgreSQL's parameters: `16MB` in a file and `2048` blocks of 8 kB in pg_settings are the same.

/// What pg_settings says about a parameter's values.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Shape {
    /// `bool`, `integer`, `real`, `enum` or `string`.
    pub vartype: String,
    /// What a number without a unit counts, such as `8kB`.
    pub unit: Option<String>,
}

/// Units in bytes and in microseconds, the greatest first.
const MEMORY: &[(&str, f64)] =
    &[("TB", 1099511627776.0), ("GB", 1073741824.0), ("MB", 1048576.0), ("kB", 1024.0), ("B", 1.0)];
const TIME: &[(&str, f64)] = &[("d", 86_400e6), ("h", 3600e6), ("min", 60e6), ("s", 1e6), ("ms", 1e3), ("us", 1.0)];

impl Shape {
    /// Whether the `setting` that pg_settings has is what `wanted`, as people write it, means.
    pub fn is_same(&self, setting: &str, wanted: &str) -> bool {
        match self.vartype.as_str() {
            "bool" => boolean(setting).is_some() && boolean(setting) == boolean(wanted),
            "integer" => {
                let wanted = self.number(wanted).map(f64::round_ties_even);
                wanted.is_some() && number_of(setting).map(|(value, _)| value) == wanted
            }
            "real" => {
                let setting = number_of(setting).map(|(value, _)| value);
                setting.is_some() && setting == self.number(wanted)
            }
            "enum" => setting.eq_ignore_ascii_case(wanted),
            _ => setting == wanted,
        }
    }

    /// A number without a unit in the greatest unit that holds it without loss; anything else as it is.
    pub fn readable(&self, value: &str) -> String {
        let is_number = matches!(self.vartype.as_str(), "integer" | "real");
        let number = number_of(value).filter(|(number, unit)| is_number && unit.is_empty() && *number != 0.0);
        let (Some((number, _)), Some((units, base))) = (number, self.base()) else { return value.to_owned() };
        let total = number * base;
        let whole = |size: f64| (total / size).fract() == 0.0;
        match units.iter().find(|(_, size)| whole(*size)) {
            Some((unit, size)) => format!("{}{unit}", total / size),
            None => value.to_owned(),
        }
    }

    fn base(&self) -> Option<(&'static [(&'static str, f64)], f64)> {
        let text = self.unit.as_deref()?;
        let (count, unit) = number_of(text).unwrap_or((1.0, text));
        let units = [MEMORY, TIME].into_iter().find(|units| units.iter().any(|(name, _)| *name == unit))?;
        Some((units, count * size(units, unit)?))
    }

    /// The number in the parameter's own unit.
    fn number(&self, text: &str) -> Option<f64> {
        let (number, unit) = number_of(text)?;
        if unit.is_empty() {
            return Some(number);
        }
        let (units, base) = self.base()?;
        let value = number * size(units, unit)? / base;
        // As PostgreSQL does it: rounded to a multiple of the next smaller unit.
        let at = units.iter().position(|(name, _)| *name == unit)?;
        Some(match units.get(at + 1) {
            Some((_, smaller)) => (value * base / smaller).round_ties_even() * smaller / base,
            None => value,
        })
    }
}

fn size(units: &[(&str, f64)], unit: &str) -> Option<f64> {
    units.iter().find(|(name, _)| *name == unit).map(|(_, size)| *size)
}

/// A number as C's `strtol` and `strtod` read it, and what follows it.
fn number_of(text: &str) -> Option<(f64, &str)> {
    let text = text.trim();
    let (sign, digits) = match text.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, text.strip_prefix('+').unwrap_or(text)),
    };
    let radix = |prefix: &str, base: u32| {
        let rest = digits.strip_prefix(prefix)?;
        let end = rest.find(|c: char| !c.is_digit(base)).unwrap_or(rest.len());
        Some((i64::from_str_radix(&rest[..end], base).ok()? as f64, &rest[end..]))
    };
    let octal = || radix("0", 8).filter(|(_, rest)| !rest.starts_with(['.', 'e', 'E', '8', '9']));
    let (number, rest) = radix("0x", 16).or_else(|| radix("0X", 16)).or_else(octal).or_else(|| decimal(digits))?;
    Some((sign * number, rest.trim()))
}

fn decimal(text: &str) -> Option<(f64, &str)> {
    let mantissa = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let exponent = text[mantissa..].strip_prefix(['e', 'E']).and_then(|rest| {
        let digits = rest.strip_prefix(['+', '-']).unwrap_or(rest);
        let count = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
        (count > 0).then_some(1 + rest.len() - digits.len() + count)
    });
    let end = mantissa + exponent.unwrap_or(0);
    Some((text[..end].parse().ok()?, &text[end..]))
}

pub(super) fn boolean(value: &str) -> Option<bool> {
    match value.to_ascii_lowercase().as_str() {
        "on" | "true" | "yes" | "1" => Some(true),
        "off" | "false" | "no" | "0" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(vartype: &str, unit: &str) -> Shape {
        Shape { vartype: vartype.into(), unit: (!unit.is_empty()).then(|| unit.into()) }
    }

    #[test]
    fn values_are_the_same_whatever_unit_they_are_written_in() {
        for (vartype, unit, setting, wanted, same) in [
            ("integer", "8kB", "2048", "16MB", true),
            ("integer", "8kB", "2048", "2048", true),
            ("integer", "8kB", "2048", "17MB", false),
            ("integer", "16384kB", "64", " 0x400 MB ", true),
            ("integer", "2MB", "524288", "1TB", true),
            ("integer", "kB", "4098", "4097.5kB", true),
            ("integer", "s", "300", "5min", true),
            ("integer", "", "100", "100", true),
            ("integer", "", "6", "6GB", false),
            ("integer", "MB", "6", "x", false),
            ("real", "", "1e-06", "0.000001", true),
            ("real", "ms", "0", "0.0004ms", true),
            ("bool", "", "on", "TRUE", true),
            ("bool", "", "on", "maybe", false),
            ("enum", "", "remote_write", "REMOTE_WRITE", true),
            ("string", "", "remote_write", "REMOTE_WRITE", false),
            ("integer", "", "8", "010", true),
        ] {
            assert_eq!(shape(vartype, unit).is_same(setting, wanted), same, "{setting} and {wanted}");
        }
    }

    #[test]
    fn numbers_are_told_in_the_greatest_unit_that_holds_them() {
        for (vartype, unit, value, readable) in [
            ("integer", "8kB", "2048", "16MB"),
            ("integer", "kB", "1025", "1025kB"),
            ("integer", "ms", "5", "5ms"),
            ("real", "ms", "4.2", "4200us"),
            ("integer", "s", "300", "5min"),
            ("integer", "", "50", "50"),
            ("integer", "8kB", "32MB", "32MB"),
            ("integer", "8kB", "0", "0"),
            ("string", "", "a", "a"),
        ] {
            assert_eq!(shape(vartype, unit).readable(value), readable, "{value} {unit}");
        }
    }
}
