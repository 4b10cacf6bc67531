//! The messages to publish: samples, or what a file holds. Made and read on a thread of its own, so that
//! neither a slow pipe nor the making holds up acknowledgements.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Seek};
use std::path::Path;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::documents::messages;
use super::{Arguments, Format, usage};
use crate::record::{Junk, Model, Samples};

/// Made in advance.
const AHEAD: usize = 1_024;
/// A rate that could not be held for this long is not made up for afterwards.
const BEHIND: Duration = Duration::from_secs(1);

pub(super) struct Item {
    pub payload: Vec<u8>,
    pub junk: bool,
}

pub(super) struct Source {
    items: mpsc::Receiver<io::Result<Item>>,
    total: Option<u64>,
    pace: Option<Pace>,
    stop: CancellationToken,
}

struct Pace {
    gap: Duration,
    next: Instant,
}

impl Source {
    /// Samples are made of the model.
    pub(super) fn open(
        arguments: &Arguments,
        model: &'static Model,
        stop: &CancellationToken,
    ) -> anyhow::Result<Source> {
        let (sender, items) = mpsc::channel(AHEAD);
        let limit = arguments.count.unwrap_or(u64::MAX);
        let mut total = arguments.count;
        match &arguments.file {
            None => {
                let count = arguments.count.unwrap_or(1_000);
                total = Some(count);
                let maker = Maker::new(arguments, model)?;
                std::thread::spawn(move || send_all(maker.take_up_to(count), &sender));
            }
            Some(path) if path.as_os_str() == "-" => {
                let format = arguments.format;
                std::thread::spawn(move || {
                    send_file(io::stdin().lock(), format, limit, &sender);
                });
            }
            Some(path) => {
                let file = open_file(path, arguments.format)
                    .map_err(|error| usage(format!("--file {}: {error}", path.display())))?;
                let format = arguments.format;
                std::thread::spawn(move || {
                    send_file(BufReader::new(file), format, limit, &sender);
                });
                // How many lines it has is not known before they are read.
                total = None;
            }
        }
        let pace = arguments.rate.map(|rate| Pace {
            gap: Duration::from_secs_f64((1.0 / rate).min(1e9)),
            next: Instant::now(),
        });
        Ok(Source {
            items,
            total,
            pace,
            stop: stop.clone(),
        })
    }

    pub(super) fn total(&self) -> Option<u64> {
        self.total
    }

    /// The next message, when its time has come; none at the end, and no waiting once a stop was asked for.
    /// Cancel-safe.
    pub(super) async fn next(&mut self) -> io::Result<Option<Item>> {
        let stop = self.stop.clone();
        tokio::select! {
            biased;
            item = self.due() => item.transpose(),
            () = stop.cancelled() => Ok(None),
        }
    }

    async fn due(&mut self) -> Option<io::Result<Item>> {
        let Some(pace) = &mut self.pace else {
            return self.items.recv().await;
        };
        sleep_until(pace.next).await;
        let item = self.items.recv().await;
        pace.next = (pace.next + pace.gap).max(Instant::now() - BEHIND);
        item
    }
}

/// Makes samples, with their share of junk.
struct Maker {
    samples: Samples<'static>,
    dice: fastrand::Rng,
    share: f64,
    kinds: Vec<Junk>,
}

impl Maker {
    fn new(arguments: &Arguments, model: &'static Model) -> anyhow::Result<Maker> {
        let now = jiff::Timestamp::now().as_second();
        let (samples, dice) = match arguments.seed {
            Some(seed) => (Samples::seeded(model, seed), fastrand::Rng::with_seed(seed)),
            None => (
                Samples::new(model, fastrand::u64(..), now),
                fastrand::Rng::new(),
            ),
        };
        let samples = samples.map_err(usage)?;
        let known = samples.kinds();
        let kinds = match arguments.junk_kinds.as_slice() {
            [] => known.clone(),
            kinds => kinds.to_vec(),
        };
        if let Some(kind) = kinds.iter().find(|kind| !known.contains(kind)) {
            let known: Vec<_> = known.iter().map(|kind| kind.name()).collect();
            return Err(usage(format!(
                "--junk-kinds {kind}: no {} can be junk of this kind; there are {}",
                model.one,
                known.join(", ")
            )));
        }
        Ok(Maker {
            samples,
            dice,
            share: arguments.junk,
            kinds,
        })
    }

    fn take_up_to(mut self, count: u64) -> impl Iterator<Item = io::Result<Item>> {
        (0..count).map(move |_| Ok(self.make()))
    }

    fn make(&mut self) -> Item {
        let junk = self.dice.f64() < self.share;
        let payload = if junk {
            let kind = self.kinds[self.dice.usize(..self.kinds.len())];
            self.samples.junk(kind).unwrap_or_default()
        } else {
            self.samples.message().into_bytes()
        };
        Item { payload, junk }
    }
}

/// Opens it, and looks through it: what is no JSON is told before anything was sent.
fn open_file(path: &Path, format: Format) -> io::Result<File> {
    let mut file = File::open(path)?;
    if file.metadata()?.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    // A pipe can be read but once.
    if format == Format::Auto && file.metadata()?.is_file() {
        for item in messages(BufReader::new(&file), format)? {
            item?;
        }
        file.rewind()?;
    }
    Ok(file)
}

fn send_file(
    input: impl BufRead + 'static,
    format: Format,
    limit: u64,
    to: &mpsc::Sender<io::Result<Item>>,
) {
    match messages(input, format) {
        Ok(messages) => {
            let limit = usize::try_from(limit).unwrap_or(usize::MAX);
            let items = messages.take(limit).map(|payload| {
                payload.map(|payload| Item {
                    payload,
                    junk: false,
                })
            });
            send_all(items, to);
        }
        Err(error) => send_all([Err(error)].into_iter(), to),
    }
}

/// Ends early when nobody wants any more.
fn send_all(items: impl Iterator<Item = io::Result<Item>>, to: &mpsc::Sender<io::Result<Item>>) {
    for item in items {
        let failed = item.is_err();
        if to.blocking_send(item).is_err() || failed {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        arguments: Arguments,
    }

    #[test]
    fn a_kind_of_junk_that_the_schema_cannot_have_is_refused_with_those_that_it_can() {
        let schema = serde_json::json!({
            "type": "object", "required": ["at"], "properties": {"at": {"type": "string", "format": "date"}},
        });
        let model = Model::compile("reading", &schema, &[], &[]).unwrap();
        let model: &'static Model = Box::leak(Box::new(model));
        let maker = |arguments: &[&str]| {
            let command = Command::try_parse_from([&["publish"], arguments].concat());
            Maker::new(&command.unwrap().arguments, model)
        };
        let mut all = maker(&["--junk", "1"]).unwrap();
        assert!(all.kinds.contains(&Junk::BadDate) && !all.kinds.contains(&Junk::Conflict));
        for _ in 0..200 {
            assert!(model.parse(&all.make().payload).is_err());
        }
        let refused = maker(&["--junk-kinds", "bad-date,conflict"]).map(drop);
        let message = refused.unwrap_err().to_string();
        assert!(
            message.starts_with("--junk-kinds conflict: no reading "),
            "{message}"
        );
        assert!(message.contains(", bad-date"), "{message}");
    }
}
