//! CSV as RFC 4180 has it, for people who open it in a spreadsheet. Called by the exports.
//!
//! Its invariant: no cell is a formula. A text that a spreadsheet would run gets a leading apostrophe; numbers stay what
//! they are, also negative ones.

use serde_json::Value;

/// A text that begins so is a formula to some spreadsheet; the wide ones are, where Chinese or Japanese is spoken.
pub const FORMULA: [char; 11] = ['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠'];

/// Appends a record.
pub fn record<'a>(out: &mut Vec<u8>, cells: impl IntoIterator<Item = &'a Value>) {
    for (index, cell) in cells.into_iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        match cell {
            Value::Null => {}
            Value::String(text) => text_cell(out, text),
            Value::Number(_) | Value::Bool(_) => out.extend_from_slice(cell.to_string().as_bytes()),
            nested => text_cell(out, &nested.to_string()),
        }
    }
    out.extend_from_slice(b"\r\n");
}

/// Appends the first record.
pub fn head<'a>(out: &mut Vec<u8>, names: impl IntoIterator<Item = &'a str>) {
    for (index, name) in names.into_iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        text_cell(out, name);
    }
    out.extend_from_slice(b"\r\n");
}

fn text_cell(out: &mut Vec<u8>, text: &str) {
    let guard = text.starts_with(FORMULA);
    let quoted =
        text.contains([',', '"', '\r', '\n']) || text.starts_with(' ') || text.ends_with(' ');
    if quoted {
        out.push(b'"');
    }
    if guard {
        out.push(b'\'');
    }
    match quoted {
        true => out.extend_from_slice(text.replace('"', "\"\"").as_bytes()),
        false => out.extend_from_slice(text.as_bytes()),
    }
    if quoted {
        out.push(b'"');
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn no_cell_is_a_formula_and_every_cell_is_one_cell() {
        for (given, wanted) in [
            (json!("plain"), "plain"),
            (json!("=1+1"), "'=1+1"),
            (json!("+972"), "'+972"),
            (json!("-x"), "'-x"),
            (json!("@SUM(A1)"), "'@SUM(A1)"),
            (json!("\tx"), "'\tx"),
            (json!("\rx"), "\"'\rx\""),
            (json!("＝1"), "'＝1"),
            (
                json!("=HYPERLINK(\"http://x\",\"y\")"),
                "\"'=HYPERLINK(\"\"http://x\"\",\"\"y\"\")\"",
            ),
            (json!("a,b"), "\"a,b\""),
            (json!("a\nb"), "\"a\nb\""),
            (json!("say \"x\""), "\"say \"\"x\"\"\""),
            (json!(" x"), "\" x\""),
            (json!("a=b"), "a=b"),
            (json!(""), ""),
            (json!(-5), "-5"),
            (json!(null), ""),
        ] {
            let mut out = Vec::new();
            record(&mut out, [&given, &json!("end")]);
            assert_eq!(
                String::from_utf8(out).unwrap(),
                format!("{wanted},end\r\n"),
                "{given}"
            );
        }
    }
}
