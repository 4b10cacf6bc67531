//! Over NATS Streaming: a window of messages in flight, over as many connections as it takes.

use std::collections::VecDeque;
use std::future::pending;
use std::time::Duration;

use anyhow::Context;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use super::report::Report;
use super::source::{Item, Source};
use super::target::name_the_flag;
use crate::stan::{Client, Options, PubAck, PublishError, Publisher, connect_with_backoff};

/// How long a stop waits for the last acknowledgements.
const PATIENCE: Duration = Duration::from_secs(5);

pub(super) async fn publish(
    options: &Options,
    channel: &str,
    window: u32,
    source: Source,
    report: &mut Report,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    // Only the first connection may fail: a wrong address is to be told, not waited for.
    let mut client = Client::connect(options)
        .await
        .context("nothing was published (is `waybill dev`, or the broker, running?)")?;
    let mut run = Run {
        source: Some(source),
        in_flight: VecDeque::with_capacity(window as usize),
        again: VecDeque::new(),
        window: window as usize,
        report,
        stop,
    };
    loop {
        match client.publisher(channel, window).await {
            Err(PublishError::Options(mistake)) => return Err(name_the_flag(mistake)),
            // Lost already: connect anew.
            Err(_) => {}
            Ok(publisher) => {
                if run.over(&client, &publisher).await? {
                    // All outcomes are known or given up: whether the broker hears of the end is no matter.
                    let _ = client.close().await;
                    return Ok(());
                }
            }
        }
        if let Some(loss) = client.loss() {
            run.report
                .say(&format!("{loss}: waiting for the broker (Ctrl-C ends it)"));
        }
        let mut told = String::new();
        let reconnect = connect_with_backoff(options, |error, _| {
            let text = error.to_string();
            if text != told {
                run.report.say(&text);
                told = text;
            }
        });
        let renewed = tokio::select! {
            biased;
            () = stop.cancelled() => None,
            client = reconnect => Some(client),
        };
        match renewed {
            Some(renewed) => client = renewed,
            None => {
                run.give_up();
                return Ok(());
            }
        }
    }
}

struct Run<'a> {
    /// None at its end.
    source: Option<Source>,
    in_flight: VecDeque<(Item, PubAck)>,
    /// Of unknown outcome: the first to be published over the next connection.
    again: VecDeque<Item>,
    window: usize,
    report: &'a mut Report,
    stop: &'a CancellationToken,
}

impl Run<'_> {
    /// Publishes over one connection. True when there is nothing left to do, false when it was lost.
    async fn over(&mut self, client: &Client, publisher: &Publisher) -> anyhow::Result<bool> {
        while client.loss().is_none() {
            if self.stop.is_cancelled() {
                self.await_the_last().await?;
                return Ok(true);
            }
            if self.in_flight.is_empty() && self.again.is_empty() && self.source.is_none() {
                return Ok(true);
            }
            let room = self.in_flight.len() < self.window;
            if room && let Some(item) = self.again.pop_front() {
                self.report.again();
                self.send(publisher, item).await;
                continue;
            }
            tokio::select! {
                biased;
                outcome = oldest(&mut self.in_flight) => self.settle(outcome)?,
                item = next(&mut self.source), if room && self.source.is_some() => match item {
                    Ok(Some(item)) => self.send(publisher, item).await,
                    Ok(None) => self.source = None,
                    Err(error) => {
                        self.report.broken(&error);
                        self.source = None;
                    }
                },
                () = self.stop.cancelled() => {}
            }
        }
        // Each that was not answered before the loss resolves now.
        while !self.in_flight.is_empty() {
            let outcome = oldest(&mut self.in_flight).await;
            self.settle(outcome)?;
        }
        Ok(false)
    }

    async fn send(&mut self, publisher: &Publisher, item: Item) {
        self.report.sending();
        match publisher.publish(&item.payload).await {
            Ok(ack) => self.in_flight.push_back((item, ack)),
            Err(error) => self.fail(item, error),
        }
    }

    /// The oldest in flight has its outcome. The broker answers in order, or nearly so.
    fn settle(&mut self, outcome: Result<(), PublishError>) -> anyhow::Result<()> {
        match (self.in_flight.pop_front(), outcome) {
            (Some((item, _)), Ok(())) => self.report.acknowledged(&item)?,
            (Some((item, _)), Err(error)) => self.fail(item, error),
            (None, _) => {}
        }
        Ok(())
    }

    fn fail(&mut self, item: Item, error: PublishError) {
        match error {
            PublishError::TimedOut(_) | PublishError::Lost(_) => self.again.push_back(item),
            error => self.report.failed(error),
        }
    }

    async fn await_the_last(&mut self) -> anyhow::Result<()> {
        let until = Instant::now() + PATIENCE;
        while !self.in_flight.is_empty() {
            match timeout_at(until, oldest(&mut self.in_flight)).await {
                Ok(outcome) => self.settle(outcome)?,
                Err(_) => break,
            }
        }
        self.give_up();
        Ok(())
    }

    fn give_up(&mut self) {
        for _ in 0..self.in_flight.len() + self.again.len() {
            self.report
                .failed("not acknowledged when it was interrupted");
        }
        self.in_flight.clear();
        self.again.clear();
    }
}

async fn oldest(in_flight: &mut VecDeque<(Item, PubAck)>) -> Result<(), PublishError> {
    match in_flight.front_mut() {
        Some((_, ack)) => ack.await,
        None => pending().await,
    }
}

async fn next(source: &mut Option<Source>) -> std::io::Result<Option<Item>> {
    match source {
        Some(source) => source.next().await,
        None => Ok(None),
    }
}
