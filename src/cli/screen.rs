//! What a person sees: tables that fit the terminal, ages, numbers, marks in colour. Called by the commands that show
//! something.
//!
//! Its invariant: text that others have sent never reaches the terminal as it is; a control character in a payload is
//! shown, not obeyed. Deliberately absent: anything that a script would read; `--output json` is the service's own answer.

use std::borrow::Cow;
use std::io::{self, IsTerminal, Write};

use comfy_table::{
    Attribute, Cell, CellAlignment, ColumnConstraint, ContentArrangement, Row, Table, presets,
};
use jiff::Timestamp;

/// What a command prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Output {
    /// For people.
    Table,
    /// For scripts: what the service answered.
    Json,
}

/// What a command prints that speaks of many things.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum ListOutput {
    /// For people.
    Table,
    /// For scripts: what the service answered.
    Json,
    /// One id a line, for the next command: … --output ids | waybill dead-letters retry -
    Ids,
}

/// stdout did not take it: most often because its reader went away (`| head`).
#[derive(Debug, thiserror::Error)]
#[error("stdout cannot be written to: {0}")]
pub struct Unprinted(io::Error);

impl Unprinted {
    /// Whoever read it has seen enough.
    pub fn is_closed(&self) -> bool {
        self.0.kind() == io::ErrorKind::BrokenPipe
    }
}

/// To stdout, with a line break behind it.
pub fn print(text: impl AsRef<str>) -> Result<(), Unprinted> {
    let text = text.as_ref();
    let line_break = if text.ends_with('\n') { "" } else { "\n" };
    print_bytes(format!("{text}{line_break}").as_bytes())
}

/// To stdout, as they are.
pub fn print_bytes(bytes: &[u8]) -> Result<(), Unprinted> {
    let mut out = io::stdout().lock();
    out.write_all(bytes)
        .and_then(|()| out.flush())
        .map_err(Unprinted)
}

/// The terminal's; none where there is no terminal.
pub fn width() -> Option<u16> {
    Table::new().width()
}

/// A table without lines, as wide as the terminal at most; what is piped is never cut.
pub struct Sheet {
    table: Table,
    cut: Option<usize>,
}

impl Sheet {
    pub fn new(header: &[&str]) -> Self {
        let mut sheet = Self::plain();
        sheet.table.set_header(
            header
                .iter()
                .map(|name| Cell::new(name).add_attribute(Attribute::Bold)),
        );
        sheet
    }

    /// Names and values, without a header.
    pub fn plain() -> Self {
        let mut table = Table::new();
        table
            .load_style(presets::NOTHING)
            .set_content_arrangement(ContentArrangement::Dynamic);
        if std::env::var_os("NO_COLOR").is_some() {
            table.force_no_tty();
            if let Some(width) = width() {
                table.set_width(width);
            }
        }
        Self { table, cut: None }
    }

    pub fn row<T: AsRef<str>>(&mut self, cells: impl IntoIterator<Item = T>) {
        let cells = cells
            .into_iter()
            .map(|cell| plain(cell.as_ref()).into_owned());
        self.table
            .add_row(Row::from(cells.collect::<Vec<String>>()));
    }

    pub fn right(&mut self, columns: &[usize]) {
        for column in columns {
            if let Some(column) = self.table.column_mut(*column) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
    }

    /// Each row is one line: this column is cut where it does not fit, and no other one.
    pub fn cut(&mut self, column: usize) {
        self.cut = Some(column);
    }

    pub fn text(mut self) -> String {
        for (index, column) in self.table.column_iter_mut().enumerate() {
            column.set_padding((0, 2));
            if self.cut.is_some_and(|cut| cut != index) {
                column.set_constraint(ColumnConstraint::ContentWidth);
            }
        }
        if self.cut.is_some() && io::stdout().is_terminal() {
            for row in self.table.row_iter_mut() {
                row.max_height(1);
            }
        }
        self.table.trim_fmt()
    }
}

/// Somebody else's text, safe to show: control characters by their pictures, marks that turn the text around left out.
pub fn plain(text: &str) -> Cow<'_, str> {
    let harmful =
        |c: char| c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    if !text.contains(harmful) {
        return Cow::Borrowed(text);
    }
    text.chars()
        .map(|c| match c {
            '\0'..='\u{1f}' => char::from_u32(0x2400 + u32::from(c)).unwrap_or('\u{fffd}'),
            '\u{7f}' => '\u{2421}',
            c if harmful(c) => '\u{fffd}',
            c => c,
        })
        .collect()
}

/// 1234567 → 1,234,567
pub fn number(number: i64) -> String {
    let digits = number.unsigned_abs().to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    match number < 0 {
        true => format!("-{text}"),
        false => text,
    }
}

/// "3 orders", "1 order"
pub fn count(count: i64, one: &str, many: &str) -> String {
    format!("{} {}", number(count), if count == 1 { one } else { many })
}

/// 1536 → 1.5 KiB
pub fn bytes(bytes: i64) -> String {
    let mut size = bytes as f64;
    let mut unit = "bytes";
    for next in ["KiB", "MiB", "GiB", "TiB"] {
        if size < 1024.0 {
            break;
        }
        size /= 1024.0;
        unit = next;
    }
    match unit {
        "bytes" => count(bytes, "byte", "bytes"),
        _ => format!("{size:.1} {unit}"),
    }
}

/// "2m ago": the largest unit alone, for a table's column.
pub fn age(time: &str) -> String {
    age_at(time, Timestamp::now())
}

fn age_at(time: &str, now: Timestamp) -> String {
    let Ok(time) = time.parse::<Timestamp>() else {
        return time.to_owned();
    };
    match now.duration_since(time).as_secs() {
        ..1 => "just now".to_owned(),
        s @ 1..120 => format!("{s}s ago"),
        s @ 120..7_200 => format!("{}m ago", s / 60),
        s @ 7_200..172_800 => format!("{}h ago", s / 3_600),
        s => format!("{}d ago", s / 86_400),
    }
}

/// Who decided, and how that was proven. The service's own decisions need no proof.
pub fn who(name: &str, proof: Option<&str>) -> String {
    match proof {
        Some(proof) => format!("{name} ({proof})"),
        None if name == "waybill" => name.to_owned(),
        None => format!("{name} (unproven)"),
    }
}

/// 2026-01-31 12:00:00Z (2m ago)
pub fn moment(time: &str) -> String {
    match time.parse::<Timestamp>() {
        Ok(at) => format!("{} ({})", at.strftime("%F %TZ"), age(time)),
        Err(_) => plain(time).into_owned(),
    }
}

/// Colours, where somebody sees them.
#[derive(Clone, Copy)]
pub struct Paint(bool);

impl Paint {
    pub fn stdout() -> Self {
        Self(io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none())
    }

    #[cfg(test)]
    pub fn none() -> Self {
        Self(false)
    }

    fn code(self, code: &str, text: &str) -> String {
        match self.0 {
            true => format!("\x1b[{code}m{text}\x1b[0m"),
            false => text.to_owned(),
        }
    }

    pub fn bold(self, text: &str) -> String {
        self.code("1", text)
    }

    pub fn red(self, text: &str) -> String {
        self.code("31", text)
    }

    pub fn green(self, text: &str) -> String {
        self.code("32", text)
    }

    pub fn yellow(self, text: &str) -> String {
        self.code("33", text)
    }

    pub fn dim(self, text: &str) -> String {
        self.code("2", text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_is_shown_and_not_obeyed() {
        assert_eq!(plain("a\x1b[2J\u{202e}b\u{9b}"), "a␛[2J\u{fffd}b\u{fffd}");
        assert!(matches!(plain("как есть"), Cow::Borrowed(_)));
    }

    #[test]
    fn numbers_are_grouped() {
        for (given, wanted) in [
            (0, "0"),
            (999, "999"),
            (1_000, "1,000"),
            (-12_345_678, "-12,345,678"),
        ] {
            assert_eq!(number(given), wanted);
        }
        assert_eq!(bytes(1), "1 byte");
        assert_eq!(bytes(1_536), "1.5 KiB");
    }

    #[test]
    fn an_age_has_one_unit() {
        let now: Timestamp = "2026-01-31T12:00:00Z".parse().unwrap();
        for (time, wanted) in [
            ("2026-01-31T12:00:05Z", "just now"),
            ("2026-01-31T11:59:00Z", "60s ago"),
            ("2026-01-31T11:00:00Z", "60m ago"),
            ("2026-01-30T11:00:00Z", "25h ago"),
            ("2026-01-01T12:00:00Z", "30d ago"),
            ("long ago", "long ago"),
        ] {
            assert_eq!(age_at(time, now), wanted);
        }
    }

    #[test]
    fn piped_tables_are_plain_lines() {
        let mut sheet = Sheet::new(&["id", "what"]);
        sheet.row(["7", "a\nb"]);
        sheet.right(&[0]);
        assert_eq!(sheet.text(), "id  what\n 7  a␊b");
    }
}
