//! What a token looks like: `wb_`, 43 digits of chance and 6 of a checksum. The prefix is for scanners that look for secrets
//! in repositories; the checksum tells a mistyped token from one that is not known, without asking anybody.
//!
//! Its invariant: a token's text is compared with nothing. Only its hash is kept, and compared in constant time.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

const PREFIX: &str = "wb_";
const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// 43 digits of base 62 are 256.03 bits.
const SECRET: usize = 43;
/// 6 hold the 32 bits of the checksum.
const CHECK: usize = 6;
/// With the prefix 52 bytes: one block of SHA-256, which takes at most 55.
const LENGTH: usize = PREFIX.len() + SECRET + CHECK;

/// A new token, to be shown once. It has no Debug, no PartialEq and no Display: what is not there cannot leak or compare.
pub struct Token(String);

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Mistyped {
    #[error("a token looks like {PREFIX} and {} letters and digits", SECRET + CHECK)]
    Shape,
    #[error("the checksum in the token does not fit: a character of it is wrong, or missing")]
    Checksum,
}

#[derive(Debug, thiserror::Error)]
#[error("the system gives no random numbers: {0}")]
pub struct NoChance(getrandom::Error);

impl Token {
    pub fn new() -> Result<Self, NoChance> {
        let mut text = String::from(PREFIX);
        let mut chance = [0; 64];
        while text.len() < PREFIX.len() + SECRET {
            getrandom::fill(&mut chance).map_err(NoChance)?;
            // 248 = 4 × 62: the bytes above it would make some digits more likely.
            let even = chance.iter().filter(|byte| **byte < 248);
            let missing = PREFIX.len() + SECRET - text.len();
            text.extend(even.take(missing).map(|byte| digit(u32::from(*byte))));
        }
        let sum = checksum(&text.as_bytes()[PREFIX.len()..]);
        text.push_str(&sum);
        Ok(Self(text))
    }

    /// For the one who is to have it.
    pub fn text(&self) -> &str {
        &self.0
    }

    /// Whether it begins as one.
    pub fn is_like(text: &str) -> bool {
        text.starts_with(PREFIX)
    }

    /// What typing has broken, if anything.
    pub fn check(text: &str) -> Result<(), Mistyped> {
        let rest = text.strip_prefix(PREFIX).ok_or(Mistyped::Shape)?;
        let whole = text.len() == LENGTH && rest.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if !whole {
            return Err(Mistyped::Shape);
        }
        let (secret, check) = rest.split_at(SECRET);
        match checksum(secret.as_bytes()) == check {
            true => Ok(()),
            false => Err(Mistyped::Checksum),
        }
    }
}

fn digit(value: u32) -> char {
    char::from(DIGITS[(value % 62) as usize])
}

/// CRC-32 (IEEE 802.3) in base 62. It is no secret, and protects none: whoever has the token has it.
fn checksum(secret: &[u8]) -> String {
    let crc = secret.iter().fold(!0_u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| match crc & 1 {
            0 => crc >> 1,
            _ => (crc >> 1) ^ 0xedb8_8320,
        })
    });
    let mut left = !crc;
    let mut text = [' '; CHECK];
    for place in text.iter_mut().rev() {
        *place = digit(left);
        left /= 62;
    }
    text.iter().collect()
}

/// SHA-256 of a token's text: what the tokens file holds.
#[derive(Clone, Copy)]
pub struct Hash([u8; 32]);

impl Hash {
    pub fn of(token: &str) -> Self {
        Self(Sha256::digest(token.as_bytes()).into())
    }

    /// In constant time.
    pub fn is(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }

    /// The first 64 bits, to look it up by. Whoever measures how long that takes learns something of a hash, from which no
    /// token follows.
    pub fn start(&self) -> u64 {
        let mut start = [0; 8];
        start.copy_from_slice(&self.0[..8]);
        u64::from_be_bytes(start)
    }
}

/// In hexadecimal, as `sha256sum` writes it.
impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl FromStr for Hash {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = "sha256 is not 64 hexadecimal digits";
        if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(wrong);
        }
        let mut hash = [0; 32];
        for (index, byte) in hash.iter_mut().enumerate() {
            let digits = &text[2 * index..2 * index + 2];
            *byte = u8::from_str_radix(digits, 16).map_err(|_| wrong)?;
        }
        Ok(Self(hash))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn a_new_token_is_whole_and_no_two_are_the_same() {
        let mut seen = HashSet::new();
        let mut digits = HashSet::new();
        for _ in 0..1000 {
            let token = Token::new().unwrap();
            assert_eq!(Token::check(token.text()), Ok(()), "{}", token.text());
            assert_eq!(token.text().len(), 52);
            digits.extend(token.text()[3..46].bytes());
            assert!(seen.insert(token.text().to_owned()));
        }
        assert_eq!(digits.len(), 62, "all digits are drawn");
    }

    #[test]
    fn each_typing_error_is_found() {
        let token = Token::new().unwrap();
        let text = token.text();
        for at in 3..text.len() {
            let mut wrong = text.to_owned();
            let other = if &text[at..=at] == "7" { "8" } else { "7" };
            wrong.replace_range(at..=at, other);
            assert_eq!(Token::check(&wrong), Err(Mistyped::Checksum), "{at}");
        }
        // Two neighbours that changed places.
        let bytes = text.as_bytes();
        for at in (3..text.len() - 1).filter(|at| bytes[*at] != bytes[at + 1]) {
            let mut wrong = bytes.to_vec();
            wrong.swap(at, at + 1);
            let wrong = String::from_utf8(wrong).unwrap();
            assert_eq!(Token::check(&wrong), Err(Mistyped::Checksum), "{at}");
        }
        for shape in [
            "",
            "wb_",
            "hunter2",
            &text[3..],
            &text[..51],
            &format!("{text}x"),
        ] {
            assert_eq!(Token::check(shape), Err(Mistyped::Shape), "{shape}");
        }
        let shifted = format!("wb_é{}", &text[5..]);
        assert_eq!(Token::check(&shifted), Err(Mistyped::Shape));
    }

    #[test]
    fn a_hash_is_what_sha256sum_says() {
        // printf abc | sha256sum
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(Hash::of("abc").to_string(), abc);
        let read: Hash = abc.to_uppercase().parse().unwrap();
        assert!(read.is(&Hash::of("abc")) && !read.is(&Hash::of("abd")));
        for wrong in ["", &abc[1..], &format!("{}g", &abc[1..])] {
            assert!(wrong.parse::<Hash>().is_err());
        }
        // The check value of CRC-32: 0xcbf43926.
        assert_eq!(checksum(b"123456789"), {
            let mut left = 0xcbf4_3926_u32;
            let mut text = Vec::new();
            for _ in 0..CHECK {
                text.push(digit(left));
                left /= 62;
            }
            text.iter().rev().collect::<String>()
        });
    }
}
