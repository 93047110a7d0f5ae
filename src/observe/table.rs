//! Tables as psql prints them.

use unicode_width::UnicodeWidthStr;

use super::SqlOutput;

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

/// A table with a header, a rule and the rows, each line ended. Titles are centred, columns of numbers aligned to the
/// right; widths are those of a terminal.
pub fn table<H: AsRef<str>>(header: &[H], rows: &[Vec<String>]) -> String {
    let columns: Vec<Column> =
        header.iter().enumerate().map(|(at, title)| Column::of(title.as_ref(), rows, at)).collect();
    let titles = header.iter().zip(&columns).map(|(title, column)| column.centred(title.as_ref()));
    let mut text = line(titles);
    let rules: Vec<String> = columns.iter().map(|column| "-".repeat(column.width + 2)).collect();
    text.push_str(&rules.join("+"));
    text.push('\n');
    for row in rows {
        text.push_str(&line(row.iter().zip(&columns).map(|(cell, column)| column.cell(cell))));
    }
    text
}

fn line(cells: impl Iterator<Item = String>) -> String {
    let line = format!(" {}", cells.collect::<Vec<_>>().join(" | "));
    format!("{}\n", line.trim_end())
}

struct Column {
    width: usize,
    numeric: bool,
}

impl Column {
    fn of(title: &str, rows: &[Vec<String>], at: usize) -> Column {
        let cells = || rows.iter().filter_map(|row| row.get(at)).map(String::as_str);
        let filled = || cells().filter(|cell| !matches!(*cell, "" | "NULL"));
        Column {
            width: cells().chain([title]).map(UnicodeWidthStr::width).max().unwrap_or(0),
            numeric: filled().next().is_some() && filled().all(|cell| cell.parse::<f64>().is_ok()),
        }
    }

    fn centred(&self, title: &str) -> String {
        let room = self.width - title.width();
        format!("{}{title}{}", " ".repeat(room / 2), " ".repeat(room - room / 2))
    }

    fn cell(&self, cell: &str) -> String {
        let room = " ".repeat(self.width - cell.width());
        if self.numeric { format!("{room}{cell}") } else { format!("{cell}{room}") }
    }
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
