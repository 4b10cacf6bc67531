//! A table as a workbook of one sheet, for people who open it in a spreadsheet. Called by the exports.
//!
//! Its invariants: no cell is a formula, also after it was edited; a number is one only if the spreadsheet holds it exactly;
//! memory does not grow with the rows. They are in a temporary file that has no name, so it is gone with the `Sheet`, and
//! with the process, however that ends.

use std::borrow::Cow;
use std::io::{self, BufWriter, Write};

use rust_xlsxwriter::{Format, Workbook, Worksheet, XlsxError};
use serde_json::{Number, Value};

use super::csv::FORMULA;

/// Lines that a sheet can have: the format's own bound.
const LINES: u32 = 1 << 20;
/// What a sheet's XML may come to, and so the temporary file: without ZIP64, which not every reader knows, a part of the
/// archive ends below 4 GiB. The rest is for what comes before the rows and after them.
const BYTES: u64 = (4 << 30) - (16 << 20);
/// What the XML of a cell comes to at most, beside its text.
const CELL_BYTES: u64 = 96;
/// UTF-16 units of a cell: the format's own bound.
const CELL_UNITS: usize = 32_767;
/// Significant digits of a number that a spreadsheet keeps; it makes the others zeros.
const DIGITS: usize = 15;
/// Of 1 to 9. Measured with 300 MB of orders: 46 MB in 0.8 s; 1 makes 57 MB in 0.5 s, the default (6) 37 MB in 2.4 s.
const COMPRESSION: u8 = 2;
/// What is handed to the writer at a time.
const CHUNK: usize = 64 << 10;

/// Why there is no workbook.
#[derive(Debug, thiserror::Error)]
pub enum Unmade {
    #[error("a sheet of XLSX has {LINES} lines at most")]
    TooManyLines,
    #[error("a sheet of XLSX comes to 4 GiB at most")]
    TooLarge,
    #[error("the workbook cannot be written: {0}")]
    Xlsx(#[from] XlsxError),
    #[error(transparent)]
    Io(#[from] io::Error),
}

pub struct Sheet {
    workbook: Workbook,
    sheet: Worksheet,
    /// The line that is written next.
    line: u32,
    bytes: u64,
    /// Of a text that would become a formula once it is edited.
    quoted: Format,
}

impl Sheet {
    /// With a first line of names, which stays when the others scroll.
    pub fn new<'a>(title: &str, names: impl IntoIterator<Item = &'a str>) -> Result<Self, Unmade> {
        let mut workbook = Workbook::new();
        workbook.set_zip_compression_level(COMPRESSION);
        let mut sheet = workbook.new_worksheet_with_constant_memory()?;
        sheet.set_name(title)?;
        sheet.set_freeze_panes(1, 0)?;
        let bold = Format::new().set_bold();
        for (name, column) in names.into_iter().zip(0..) {
            sheet.write_string_with_format(0, column, fitting(name), &bold)?;
        }
        Ok(Self {
            workbook,
            sheet,
            line: 1,
            bytes: 0,
            quoted: Format::new().set_quote_prefix(),
        })
    }

    pub fn line<'a>(&mut self, cells: impl IntoIterator<Item = &'a Value>) -> Result<(), Unmade> {
        if self.line >= LINES {
            return Err(Unmade::TooManyLines);
        }
        for (cell, column) in cells.into_iter().zip(0..) {
            match cell {
                Value::Null => {}
                Value::Bool(truth) => {
                    self.sheet.write_boolean(self.line, column, *truth)?;
                    self.bytes += CELL_BYTES;
                }
                Value::Number(number) => match exact(number) {
                    Some(number) => {
                        self.sheet.write_number(self.line, column, number)?;
                        self.bytes += CELL_BYTES;
                    }
                    None => self.text(column, &number.to_string())?,
                },
                Value::String(text) => self.text(column, text)?,
                nested => self.text(column, &nested.to_string())?,
            }
        }
        if self.bytes > BYTES {
            return Err(Unmade::TooLarge);
        }
        self.line += 1;
        Ok(())
    }

    fn text(&mut self, column: u16, text: &str) -> Result<(), Unmade> {
        let text = fitting(text);
        self.bytes += CELL_BYTES + in_xml(&text);
        let (sheet, line) = (&mut self.sheet, self.line);
        match text.starts_with(FORMULA) {
            true => sheet.write_string_with_format(line, column, text, &self.quoted)?,
            false => sheet.write_string(line, column, text)?,
        };
        Ok(())
    }

    /// Writes the file, from its first byte to its last.
    pub fn save(mut self, to: impl Write + Send) -> Result<(), Unmade> {
        self.workbook.push_worksheet(self.sheet);
        let mut to = BufWriter::with_capacity(CHUNK, to);
        self.workbook.save_to_writer(&mut to)?;
        Ok(to.flush()?)
    }
}

/// The number, if a spreadsheet holds all its digits.
fn exact(number: &Number) -> Option<f64> {
    let size = number.as_f64()?.abs();
    // What is closer to 0 becomes 0, what is larger is refused.
    if size != 0.0 && !(1e-307..1e307).contains(&size) {
        return None;
    }
    let text = number.to_string();
    let digits = text.split(['e', 'E']).next().unwrap_or_default();
    let digits = digits.trim_start_matches(['-', '0', '.']);
    let significant = match digits.contains('.') || text.contains('.') {
        true => digits.trim_end_matches(['0', '.']),
        false => digits.trim_end_matches('0'),
    };
    let count = significant.bytes().filter(u8::is_ascii_digit).count();
    (count <= DIGITS).then(|| number.as_f64()).flatten()
}

/// The text, cut to what a cell holds; then its last character is `…`.
fn fitting(text: &str) -> Cow<'_, str> {
    // No text has more UTF-16 units than bytes.
    if text.len() <= CELL_UNITS || text.encode_utf16().count() <= CELL_UNITS {
        return Cow::Borrowed(text);
    }
    let mut left = CELL_UNITS - 1;
    let kept = text.chars().take_while(|char| {
        let fits = char.len_utf16() <= left;
        left = left.saturating_sub(char.len_utf16());
        fits
    });
    Cow::Owned(kept.chain(['…']).collect())
}

/// What a text comes to in XML at most: a character that is escaped takes up to seven bytes.
fn in_xml(text: &str) -> u64 {
    let escaped = |byte: &u8| *byte < b' ' || b"&<>_\xef".contains(byte);
    let escaped = text.bytes().filter(escaped).count();
    (text.len() + 6 * escaped) as u64
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Read};

    use serde_json::json;

    use super::*;

    fn sheet() -> Sheet {
        Sheet::new("orders", ["a", "b"]).unwrap()
    }

    fn xml(sheet: Sheet) -> String {
        let mut file = Vec::new();
        sheet.save(&mut file).unwrap();
        let mut archive = zip::ZipArchive::new(Cursor::new(file)).unwrap();
        let mut part = archive.by_name("xl/worksheets/sheet1.xml").unwrap();
        let mut text = String::new();
        part.read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn a_number_is_one_if_its_digits_are_kept_and_a_text_never_is() {
        let long = "9".repeat(20);
        for (given, wanted) in [
            (json!(1817), "<v>1817</v>"),
            (json!(-5), "<v>-5</v>"),
            (json!(0), "<v>0</v>"),
            (json!(1.5), "<v>1.5</v>"),
            (json!(999_999_999_999_999_i64), "<v>999999999999999</v>"),
            (json!(1_000_000_000_000_000_i64), "<v>1000000000000000</v>"),
            (json!(1_000_000_000_000_001_i64), "<t>1000000000000001</t>"),
            (json!(i64::MIN), "<t>-9223372036854775808</t>"),
            (json!(u64::MAX), "<t>18446744073709551615</t>"),
            (json!(0.1234567890123456), "<t>0.1234567890123456</t>"),
            (json!(0.000123456789012345), "<v>0.000123456789012345</v>"),
            (json!(1e-320), "<t>1e-320</t>"),
            (json!(1.5e308), "<t>1.5e+308</t>"),
            (json!(true), "t=\"b\"><v>1</v>"),
            (json!(long), "<t>99999999999999999999</t>"),
            (json!("007"), "<t>007</t>"),
            (json!("2021-11-26T06:22:19Z"), "<t>2021-11-26T06:22:19Z</t>"),
            (json!({"a": [1]}), "<t>{\"a\":[1]}</t>"),
            (json!("a\r\u{1}<&"), "<t>a_x000D__x0001_&lt;&amp;</t>"),
            (json!("_x0041_"), "<t>_x005F_x0041_</t>"),
        ] {
            let mut sheet = sheet();
            sheet.line([&given]).unwrap();
            let bytes = sheet.bytes;
            let xml = xml(sheet);
            assert!(xml.contains(wanted), "{given}: {xml}");
            let rows = xml.split_once("<row r=\"2\"").unwrap().1;
            let cell = rows.split_once("</row>").unwrap().0.len() as u64;
            assert!(cell <= bytes, "{given}: {cell} bytes, {bytes} were counted");
        }
    }

    #[test]
    fn what_would_be_a_formula_is_marked_as_a_text() {
        let mut sheet = sheet();
        let (formula, plain) = (json!("=1+1"), json!("1+1"));
        sheet.line([&formula, &plain]).unwrap();
        let xml = xml(sheet);
        assert!(!xml.contains("<f>"), "{xml}");
        // The second format: the first is the names'.
        let marked = r#"<c r="A2" s="2" t="inlineStr"><is><t>=1+1</t></is></c>"#;
        assert!(xml.contains(marked), "{xml}");
        assert!(xml.contains(r#"<c r="B2" t="inlineStr">"#), "{xml}");
        assert!(xml.contains(r#"state="frozen""#), "{xml}");
    }

    #[test]
    fn a_text_that_is_too_long_for_a_cell_ends_in_an_ellipsis() {
        let fits = "я".repeat(CELL_UNITS);
        assert_eq!(fitting(&fits), fits);
        let long = format!("{fits}я");
        let cut = fitting(&long);
        assert_eq!(cut.encode_utf16().count(), CELL_UNITS);
        assert!(cut.ends_with("я…"));
        // A character of two units is not cut in half.
        let wide = "😀".repeat(CELL_UNITS / 2 + 1);
        let cut = fitting(&wide);
        assert_eq!(cut.encode_utf16().count(), CELL_UNITS);
        assert!(cut.ends_with("😀…"));
        let mut sheet = sheet();
        sheet.line([&json!(long)]).unwrap();
    }

    #[test]
    fn more_than_a_sheet_can_hold_is_refused() {
        let cell = json!("x");
        let mut full = sheet();
        full.line = LINES - 1;
        full.line([&cell]).unwrap();
        assert!(matches!(full.line([&cell]), Err(Unmade::TooManyLines)));
        let mut large = sheet();
        large.bytes = BYTES;
        assert!(matches!(large.line([&cell]), Err(Unmade::TooLarge)));
    }
}
