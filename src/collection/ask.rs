//! What a collection asks of a message beside its schema and its rules, and what it says if that fails.

use bytes::Bytes;

use super::definition::Collection;
use crate::record::{
    Code, Instant, Reason, Record, Rejection, Row, Slot, Version, Violation, quote,
};

impl Collection {
    /// The version that a message is of, if versions are told by a field.
    pub fn version_of(&self, record: &Record<'_>) -> Option<Version> {
        match record.slot(Row::ROOT, self.version?) {
            Slot::Whole(number) => Some(Version::Number(*number)),
            Slot::Text(text) => Instant::read(text).map(Version::Time),
            _ => None,
        }
    }

    /// The account that a message is of, if there are sums.
    pub fn account_of(&self, record: &Record<'_>) -> Option<String> {
        let sum = self.sum.as_ref()?;
        Some(record.known(Row::ROOT, sum.per).into_owned())
    }

    /// What a message adds to its account's sum, if there are sums.
    pub fn added_by(&self, record: &Record<'_>) -> Option<Result<i64, Rejection>> {
        let sum = self.sum.as_ref()?;
        let added = sum.add.run(record);
        Some(added.map_err(|failure| {
            let message = format!("What is to be added cannot be worked out: {failure}.");
            let key = self.model.key(record);
            self.says(Reason::Sum, Code::SumFailed, message)
                .of(Some(&key))
        }))
    }

    /// Whether a message takes its document away, if any can.
    pub fn takes_away(&self, record: &Record<'_>) -> Option<Result<bool, Rejection>> {
        let gone = self.gone.as_ref()?;
        Some(gone.run(record).map_err(|failure| {
            let message = format!("Whether it is gone cannot be worked out: {failure}.");
            let key = self.model.key(record);
            self.says(Reason::Rule, Code::GoneFailed, message)
                .of(Some(&key))
        }))
    }

    /// What an account's sum is after an entry.
    pub fn sum_after(
        &self,
        account: &str,
        before: i64,
        add: i64,
        key: Option<&str>,
    ) -> Result<i64, Rejection> {
        let Some(after) = before.checked_add(add) else {
            let message = format!("The sum of {} would grow past 64 bits.", quote(account));
            return Err(self.says(Reason::Sum, Code::SumFailed, message).of(key));
        };
        let floor = self.sum.as_ref().and_then(|sum| sum.floor);
        match floor {
            Some(floor) if add < 0 && after < floor => {
                let message = format!(
                    "{} has {before}; {add} would leave {after}, below {floor}.",
                    quote(account)
                );
                Err(self.says(Reason::Sum, Code::SumTooLow, message).of(key))
            }
            _ => Ok(after),
        }
    }

    /// How a message looks that was accepted once, by whatever definition. `scratch` is a buffer to be used again.
    pub fn serve(&self, payload: &[u8], scratch: &mut Vec<u8>) -> Bytes {
        match self.model.parse_to_serve(payload, scratch) {
            Ok((_, json)) => json,
            Err(_) => {
                scratch.clear();
                self.model.render(payload).write_served(scratch);
                Bytes::copy_from_slice(scratch)
            }
        }
    }

    fn says(&self, reason: Reason, code: Code, message: String) -> Rejection {
        Rejection::new(reason, Violation::new(code, "", message))
    }
}

/// Nothing is defined by the name that a message was sent to.
pub fn no_collection(name: &str) -> Rejection {
    let message = format!(
        "There is no collection {}; if it is defined, this comes home.",
        quote(name)
    );
    Rejection::new(
        Reason::Collection,
        Violation::new(Code::NoCollection, "", message),
    )
}
