//! Which texts need no escape in JSON: those without a quote, a backslash or a control character. An order has many short texts,
//! and for those a loop over 8 bytes at a time is faster than calling a search that looks at more bytes at a time.

/// How many bytes are plain before the first that is not.
pub fn plain(bytes: &[u8]) -> usize {
    let (words, _) = bytes.as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        let marked = marked(*word);
        if marked != 0 {
            return index * 8 + marked.trailing_zeros() as usize / 8;
        }
    }
    let rest = words.len() * 8;
    let end = bytes[rest..].iter().position(|byte| !is_plain_byte(*byte));
    rest + end.unwrap_or(bytes.len() - rest)
}

/// True if all bytes are plain. Faster than finding the first that is not.
pub fn is_plain(bytes: &[u8]) -> bool {
    match bytes.last_chunk::<8>() {
        Some(last) => {
            let (words, _) = bytes.as_chunks::<8>();
            words
                .iter()
                .fold(marked(*last), |all, word| all | marked(*word))
                == 0
        }
        None => bytes.iter().all(|byte| is_plain_byte(*byte)),
    }
}

fn is_plain_byte(byte: u8) -> bool {
    byte >= 0x20 && !matches!(byte, b'"' | b'\\')
}

/// The highest bit of each byte of the word that is not plain. Only the lowest of these bits is reliable.
fn marked(word: [u8; 8]) -> u64 {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const HIGHS: u64 = ONES << 7;
    let word = u64::from_le_bytes(word);
    let below = |word: u64, bound: u8| word.wrapping_sub(ONES * u64::from(bound)) & !word & HIGHS;
    let is = |byte: u8| below(word ^ (ONES * u64::from(byte)), 1);
    below(word, 0x20) | is(b'"') | is(b'\\')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_text_ends_at_the_first_byte_that_is_none() {
        for filler in [
            b' ', b'a', b'!', b'#', b'[', b']', 0x7f, 0x80, 0xa2, 0xdc, 0xff,
        ] {
            for byte in 0..=u8::MAX {
                for length in 0..=20 {
                    for at in 0..length {
                        let mut text = vec![filler; length];
                        text[at] = byte;
                        // A second one behind it must not matter.
                        text[length - 1] = if at + 1 < length { b'"' } else { byte };
                        let ends = |byte: &u8| *byte < 0x20 || *byte == b'"' || *byte == b'\\';
                        let end = text.iter().position(ends).unwrap_or(length);
                        assert_eq!(plain(&text), end, "{text:?}");
                        assert_eq!(is_plain(&text), end == length, "{text:?}");
                    }
                }
            }
        }
    }
}
