//! What an edit changed, line by line. Pure.

use super::screen::{self, Paint};

const CONTEXT: usize = 2;
/// Beyond it, what lies between the first and the last change is shown as changed altogether.
const MAX_CELLS: usize = 4_000_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line<'a> {
    Same(&'a str),
    Old(&'a str),
    New(&'a str),
}

/// With a little of what is around each change; empty where there is none.
pub fn difference(old: &str, new: &str, paint: Paint) -> String {
    let lines = compare(
        &old.lines().collect::<Vec<_>>(),
        &new.lines().collect::<Vec<_>>(),
    );
    let near = |index: usize| {
        let from = index.saturating_sub(CONTEXT);
        let to = (index + CONTEXT + 1).min(lines.len());
        lines[from..to]
            .iter()
            .any(|line| !matches!(line, Line::Same(_)))
    };
    let mut out = String::new();
    let mut left_out = false;
    for (index, line) in lines.iter().enumerate() {
        if !near(index) {
            left_out = true;
            continue;
        }
        if left_out {
            out.push_str(&paint.dim("  ┆"));
            out.push('\n');
            left_out = false;
        }
        let row = match line {
            Line::Same(text) => format!("  {}", screen::plain(text)),
            Line::Old(text) => paint.red(&format!("- {}", screen::plain(text))),
            Line::New(text) => paint.green(&format!("+ {}", screen::plain(text))),
        };
        out.push_str(&row);
        out.push('\n');
    }
    out
}

fn compare<'a>(old: &[&'a str], new: &[&'a str]) -> Vec<Line<'a>> {
    let before = old.iter().zip(new).take_while(|(a, b)| a == b).count();
    let (old_rest, new_rest) = (&old[before..], &new[before..]);
    let after = old_rest
        .iter()
        .rev()
        .zip(new_rest.iter().rev())
        .take_while(|(a, b)| a == b)
        .count();
    let old_middle = &old_rest[..old_rest.len() - after];
    let new_middle = &new_rest[..new_rest.len() - after];
    let mut lines: Vec<Line<'_>> = old[..before].iter().map(|line| Line::Same(line)).collect();
    match old_middle.len().saturating_mul(new_middle.len()) <= MAX_CELLS {
        true => middle(old_middle, new_middle, &mut lines),
        false => {
            lines.extend(old_middle.iter().map(|line| Line::Old(line)));
            lines.extend(new_middle.iter().map(|line| Line::New(line)));
        }
    }
    lines.extend(old[old.len() - after..].iter().map(|line| Line::Same(line)));
    lines
}

/// The longest common subsequence, by the table that everybody knows.
fn middle<'a>(old: &[&'a str], new: &[&'a str], lines: &mut Vec<Line<'a>>) {
    let width = new.len() + 1;
    let mut longest = vec![0_u32; (old.len() + 1) * width];
    for i in (0..old.len()).rev() {
        for j in (0..new.len()).rev() {
            longest[i * width + j] = match old[i] == new[j] {
                true => longest[(i + 1) * width + j + 1] + 1,
                false => longest[(i + 1) * width + j].max(longest[i * width + j + 1]),
            };
        }
    }
    let (mut i, mut j) = (0, 0);
    while i < old.len() || j < new.len() {
        if i < old.len() && j < new.len() && old[i] == new[j] {
            lines.push(Line::Same(old[i]));
            (i, j) = (i + 1, j + 1);
        } else if j == new.len()
            || (i < old.len() && longest[(i + 1) * width + j] >= longest[i * width + j + 1])
        {
            lines.push(Line::Old(old[i]));
            i += 1;
        } else {
            lines.push(Line::New(new[j]));
            j += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_changed_is_marked() {
        let old = "a\nb\nc\nd\ne\nf\ng";
        let new = "a\nb\nc\nD\ne\nf\ng\nh";
        assert_eq!(
            difference(old, new, Paint::none()),
            "  ┆\n  b\n  c\n- d\n+ D\n  e\n  f\n  g\n+ h\n"
        );
        assert_eq!(difference(old, old, Paint::none()), "");
        assert_eq!(difference("", "a", Paint::none()), "+ a\n");
        assert_eq!(difference("a", "", Paint::none()), "- a\n");
    }

    #[test]
    fn old_and_new_can_both_be_read_from_it() {
        fastrand::seed(7);
        for _ in 0..500 {
            let text = || -> Vec<&'static str> {
                let lines = ["a", "b", "c"];
                (0..fastrand::usize(..9))
                    .map(|_| lines[fastrand::usize(..3)])
                    .collect()
            };
            let (old, new) = (text(), text());
            let lines = compare(&old, &new);
            let read = |mine: fn(&Line<'static>) -> Option<&'static str>| -> Vec<&str> {
                lines.iter().filter_map(mine).collect()
            };
            let olds = read(|line| match line {
                Line::Same(text) | Line::Old(text) => Some(text),
                Line::New(_) => None,
            });
            let news = read(|line| match line {
                Line::Same(text) | Line::New(text) => Some(text),
                Line::Old(_) => None,
            });
            assert_eq!((olds, news), (old, new));
        }
    }
}
