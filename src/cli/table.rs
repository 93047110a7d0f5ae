//! Tables as `patronictl list` draws them.

use unicode_width::UnicodeWidthStr;

/// A table with a title in its upper border; every row as long as the header.
pub fn boxed(title: &str, header: &[&str], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].width());
        cells.chain([header[column].width()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..header.len()).map(width).collect();
    let border: String = widths.iter().map(|width| format!("+{}", "-".repeat(width + 2))).collect::<String>() + "+";
    let mut out = String::new();
    out += &titled(&border, title);
    out += &line(header, &widths);
    out += &format!("{border}\n");
    for row in rows {
        out += &line(row, &widths);
    }
    out += &format!("{border}\n");
    out
}

/// The border with ` title ` written into it.
fn titled(border: &str, title: &str) -> String {
    let text = format!("+ {title} ");
    let rest: String = border.chars().skip(text.width()).collect();
    if title.is_empty() { format!("{border}\n") } else { format!("{text}{rest}\n") }
}

fn line(cells: &[impl AsRef<str>], widths: &[usize]) -> String {
    let cells = cells.iter().zip(widths).map(|(cell, width)| {
        let cell = cell.as_ref();
        format!("| {cell}{} ", " ".repeat(width - cell.width()))
    });
    cells.collect::<String>() + "|\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = vec![vec!["узел".to_owned(), "1".to_owned()], vec!["b".to_owned(), "22".to_owned()]];
        let expected = "+ c ---+----+\n| Node | TL |\n+------+----+\n| узел | 1  |\n| b    | 22 |\n+------+----+\n";
        assert_eq!(boxed("c", &["Node", "TL"], &rows), expected);
    }
}
