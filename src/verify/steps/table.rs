//! Tables as psql prints them.

use crate::observe::SqlOutput;

/// The result of a statement, as psql would show it: a table, or a command's tag.
pub fn result(statement: &str, output: &SqlOutput) -> String {
    if output.columns.is_empty() {
        return tag(statement, output.count);
    }
    let cells: Vec<Vec<String>> =
        output.rows.iter().map(|row| row.iter().map(|cell| cell.clone().unwrap_or_default()).collect()).collect();
    let mut text = table(&output.columns, &cells);
    text.push_str(&format!("({} {})", cells.len(), if cells.len() == 1 { "row" } else { "rows" }));
    text
}

/// A table with a header, a rule and the rows, each line ended. Columns of numbers are aligned to the right.
pub fn table<H: AsRef<str>>(header: &[H], rows: &[Vec<String>]) -> String {
    let cell = |row: &Vec<String>, column: usize| row.get(column).map_or("", String::as_str).to_owned();
    let widths: Vec<usize> = (0..header.len())
        .map(|column| {
            let longest = rows.iter().map(|row| cell(row, column).chars().count()).max().unwrap_or(0);
            longest.max(header[column].as_ref().chars().count())
        })
        .collect();
    let numeric: Vec<bool> = (0..header.len()).map(|column| is_numeric(rows, column)).collect();
    let mut text = String::new();
    let titles: Vec<String> =
        header.iter().zip(&widths).map(|(title, width)| centred(title.as_ref(), *width)).collect();
    push_line(&mut text, &titles, " | ");
    let rules: Vec<String> = widths.iter().map(|width| "-".repeat(width + 2)).collect();
    text.push_str(&rules.join("+"));
    text.push('\n');
    for row in rows {
        let cells: Vec<String> = (0..header.len())
            .map(|column| match (cell(row, column), widths[column]) {
                (cell, width) if numeric[column] => format!("{cell:>width$}"),
                (cell, width) => format!("{cell:<width$}"),
            })
            .collect();
        push_line(&mut text, &cells, " | ");
    }
    text
}

fn push_line(text: &mut String, cells: &[String], between: &str) {
    let line = format!(" {}", cells.join(between));
    text.push_str(line.trim_end());
    text.push('\n');
}

fn is_numeric(rows: &[Vec<String>], column: usize) -> bool {
    let mut filled = rows.iter().filter_map(|row| row.get(column)).filter(|cell| !cell.is_empty()).peekable();
    filled.peek().is_some() && filled.all(|cell| cell.parse::<f64>().is_ok())
}

fn centred(title: &str, width: usize) -> String {
    let room = width.saturating_sub(title.chars().count());
    format!("{}{title}{}", " ".repeat(room / 2), " ".repeat(room - room / 2))
}

/// The tag that psql prints for a statement without rows. The server's own tag is not kept by the client, so it is
/// made from the last statement's first words.
fn tag(statement: &str, count: u64) -> String {
    let last = statement.split(';').map(str::trim).rfind(|part| !part.is_empty()).unwrap_or("");
    let words: Vec<String> = last.split_whitespace().take(2).map(str::to_uppercase).collect();
    match words.first().map(String::as_str) {
        Some("INSERT") => format!("INSERT 0 {count}"),
        Some(verb @ ("UPDATE" | "DELETE" | "SELECT" | "COPY")) => format!("{verb} {count}"),
        Some("CREATE" | "DROP" | "ALTER" | "TRUNCATE") => words.join(" "),
        Some(verb) => verb.to_owned(),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn output(columns: &[&str], rows: &[&[Option<&str>]]) -> SqlOutput {
        SqlOutput {
            columns: columns.iter().map(|column| (*column).to_owned()).collect(),
            rows: rows.iter().map(|row| row.iter().map(|cell| cell.map(str::to_owned)).collect()).collect(),
            count: rows.len() as u64,
        }
    }

    #[test]
    fn rows_look_as_in_psql() {
        let rows: [&[Option<&str>]; 2] = [&[Some("1"), Some("первая")], &[Some("12"), None]];
        let expected = " id |  name\n----+--------\n  1 | первая\n 12 |\n(2 rows)";
        assert_eq!(result("select * from t", &output(&["id", "name"], &rows)), expected);
        assert_eq!(
            result("select 1", &output(&["?column?"], &[&[Some("1")]])),
            " ?column?\n----------\n        1\n(1 row)"
        );
    }

    #[test]
    fn a_statement_without_rows_has_a_tag() {
        let none = SqlOutput { count: 3, ..SqlOutput::default() };
        assert_eq!(result("insert into t values (1)", &none), "INSERT 0 3");
        assert_eq!(result("drop table if exists t; create table t (id int);", &none), "CREATE TABLE");
        assert_eq!(result("checkpoint", &none), "CHECKPOINT");
    }
}
