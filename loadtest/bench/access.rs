//! What it costs to be known: GET by id with a token, against the same service without; and whether the time of a refusal tells
//! anything of a token.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use waybill::access::{Hash, Token, Tokens};

use super::get::{write_ids, wrk};
use super::report::{Figure, Reach, grouped, median};
use super::stage::Stage;

const ORDERS: u64 = 30_000;
const PAIRS: usize = 10;
/// Tokens of each kind, and look-ups of each token; they take turns, so that whatever else the machine does falls on all.
const TOKENS: usize = 200;
const LOOKS: usize = 3_000;

pub async fn run() -> anyhow::Result<Vec<Figure>> {
    let open = Stage::open(&[]).await?;
    open.through(ORDERS, "0%").await?;
    let (asking, bearer) = asking().await?;
    asking.through(ORDERS, "0%").await?;
    let (ids_open, ids_asking) = (open.dir.file("ids.txt"), asking.dir.file("ids.txt"));
    write_ids(&open, &ids_open, |uid| format!("{uid}\n")).await?;
    write_ids(&asking, &ids_asking, |uid| format!("{uid}\n")).await?;
    let (mut with, mut without) = (Vec::new(), Vec::new());
    for _ in 0..PAIRS {
        with.push(wrk(asking.url(), &ids_asking, &["-H", &bearer]).await?);
        without.push(wrk(open.url(), &ids_open, &[]).await?);
    }
    let ratios = with
        .iter()
        .zip(&without)
        .map(|(with, without)| with / without);
    let per_second = |values: &[f64]| format!("{}/s", grouped(median(values.to_vec())));
    Ok(vec![
        Figure::new(
            "GET by id with a token",
            per_second(&with),
            format!("without {}", per_second(&without)),
        )
        .ratios(ratios.collect(), Reach::AtLeast(0.95)),
        timing()?,
        flood().await?,
    ])
}

/// A service that asks for tokens, and the header that one of them makes.
async fn asking() -> anyhow::Result<(Stage, String)> {
    let mut stage = Stage::empty().await?;
    let token = Token::new()?;
    let file = stage.dir.file("tokens.toml");
    std::fs::write(&file, entry("bench", token.text()))?;
    stage.http = client(token.text())?;
    let file = file.to_str().context("the directory's name is not UTF-8")?;
    stage
        .serve(&["--tokens", file, "--limit-requests", "1000000/s"])
        .await?;
    stage
        .until("cache_warm", |stats| stats["cache_warm"] == true)
        .await?;
    Ok((stage, format!("Authorization: Bearer {}", token.text())))
}

fn entry(name: &str, token: &str) -> String {
    format!(
        "[[token]]\nname = \"{name}\"\nrole = \"owner\"\nsha256 = \"{}\"\n",
        Hash::of(token)
    )
}

/// Requests a second that each may send.
const LIMIT: u32 = 100;
/// So many the one client sends, far more than it may, within this time.
const FLOOD: u32 = 10_000;
const FLOOD_TIME: Duration = Duration::from_secs(5);

/// What a client that keeps to its limit notices of one that does not.
async fn flood() -> anyhow::Result<Figure> {
    let mut stage = Stage::empty().await?;
    let (calm, wild) = (Token::new()?, Token::new()?);
    let file = stage.dir.file("tokens.toml");
    std::fs::write(
        &file,
        entry("calm", calm.text()) + &entry("wild", wild.text()),
    )?;
    let file = file.to_str().context("the directory's name is not UTF-8")?;
    let limit = format!("{LIMIT}/s");
    stage
        .serve(&["--tokens", file, "--limit-requests", &limit])
        .await?;
    let url = format!("{}/api/v1/me", stage.url());
    let (calm, wild) = (client(calm.text())?, client(wild.text())?);
    // The first of all pay for connecting.
    paced(&calm, &url, 20, Duration::from_millis(400)).await?;
    paced(&wild, &url, 20, Duration::from_millis(400)).await?;
    let few = LIMIT * 9 / 10 * FLOOD_TIME.as_secs() as u32;
    let (mut ratios, mut alone, mut beside, mut refused) = (vec![], vec![], vec![], 0);
    for _ in 0..5 {
        let (without, none) = paced(&calm, &url, few, FLOOD_TIME).await?;
        let (with, many) = tokio::join!(
            paced(&calm, &url, few, FLOOD_TIME),
            paced(&wild, &url, FLOOD, FLOOD_TIME)
        );
        let ((with, nobody), (_, many)) = (with?, many?);
        anyhow::ensure!(none + nobody == 0, "the calm client was refused");
        alone.push(without);
        beside.push(with);
        ratios.push(with / without);
        refused += many;
    }
    let all = 5 * FLOOD;
    Ok(Figure::new(
        "p99 of one client beside a flood of another",
        format!("{:.2} ms", median(beside)),
        format!("alone {:.2} ms", median(alone)),
    )
    .ratios(ratios, Reach::AtMost(2.0))
    .note(format!(
        "of {} requests that the other sent at {} a second, {} were answered 429: {LIMIT} a second are taken",
        grouped(f64::from(all)),
        grouped(f64::from(FLOOD) / FLOOD_TIME.as_secs_f64()),
        grouped(f64::from(refused))
    )))
}

fn client(token: &str) -> anyhow::Result<reqwest::Client> {
    let mut bearer = HeaderValue::try_from(format!("Bearer {token}"))?;
    bearer.set_sensitive(true);
    let headers = HeaderMap::from_iter([(AUTHORIZATION, bearer)]);
    Ok(reqwest::Client::builder()
        .default_headers(headers)
        .build()?)
}

/// So many requests, evenly over a time: their p99 in ms, and how many of them were refused.
async fn paced(
    client: &reqwest::Client,
    url: &str,
    count: u32,
    time: Duration,
) -> anyhow::Result<(f64, u32)> {
    let mut tick = tokio::time::interval(time / count);
    let mut asked = tokio::task::JoinSet::new();
    for _ in 0..count {
        tick.tick().await;
        let request = client.get(url);
        asked.spawn(async move {
            let begun = Instant::now();
            let answer = request.send().await?;
            let status = answer.status();
            answer.bytes().await?;
            Ok::<_, reqwest::Error>((begun.elapsed().as_secs_f64() * 1_000.0, status))
        });
    }
    let (mut times, mut refused) = (Vec::new(), 0);
    while let Some(answer) = asked.join_next().await {
        let (time, status) = answer??;
        match status.as_u16() {
            200 => {}
            429 => refused += 1,
            other => anyhow::bail!("{url} answered {other}"),
        }
        times.push(time);
    }
    times.sort_by(f64::total_cmp);
    let p99 = times[(times.len() * 99 / 100).min(times.len() - 1)];
    Ok((p99, refused))
}

/// Welch's t of two kinds of tokens that are not known: those that begin as one that is, and those that begin as one that is not.
/// 40 of their 43 digits are the same; of neither the checksum fits. Tokens differ among themselves, for what a checksum takes
/// depends on its digits; so each token counts as one sample, with the mean of its times. Below 3 the kinds cannot be told
/// apart.
fn timing() -> anyhow::Result<Figure> {
    let mut file = String::new();
    let (mut tokens, mut times) = (Vec::new(), Vec::new());
    for number in 0..TOKENS {
        let (known, stranger) = (Token::new()?, Token::new()?);
        file += &entry(&format!("bench-{number}"), known.text());
        for (is_near, begin) in [(true, &known), (false, &stranger)] {
            let end = Token::new()?;
            tokens.push((
                is_near,
                format!("{}{}", &begin.text()[..43], &end.text()[43..]),
            ));
            times.push(Vec::with_capacity(LOOKS));
        }
    }
    let known = Tokens::parse(Path::new("tokens.toml"), &file)?;
    for _ in 0..LOOKS {
        for ((_, token), times) in tokens.iter().zip(&mut times) {
            let begun = Instant::now();
            let found = known.find(std::hint::black_box(token));
            times.push(begun.elapsed().as_nanos() as f64);
            anyhow::ensure!(found.is_err(), "a guessed token is known");
        }
    }
    let means = |wanted: bool| {
        let kind = tokens
            .iter()
            .zip(&times)
            .filter(|((is_near, _), _)| *is_near == wanted);
        Sample::of(&kind.map(|(_, times)| trimmed(times)).collect::<Vec<_>>())
    };
    let (near, far) = (means(true), means(false));
    let t = (near.mean - far.mean) / (near.variance / near.count + far.variance / far.count).sqrt();
    Ok(Figure::new(
        "refusing a token that begins right",
        format!("{:.1} ns", near.mean),
        format!("one that does not {:.1} ns", far.mean),
    )
    .ratios(vec![t.abs()], Reach::AtMost(3.0))
    .note(format!(
        "the ratio is Welch's |t| of {TOKENS} tokens each, looked up {} times each, without the slowest tenth",
        grouped(LOOKS as f64)
    )))
}

/// The slowest tenth is the machine's.
fn trimmed(times: &[f64]) -> f64 {
    let mut times = times.to_vec();
    times.sort_by(f64::total_cmp);
    times.truncate(times.len() * 9 / 10);
    times.iter().sum::<f64>() / times.len() as f64
}

struct Sample {
    count: f64,
    mean: f64,
    variance: f64,
}

impl Sample {
    fn of(values: &[f64]) -> Self {
        let count = values.len() as f64;
        let mean = values.iter().sum::<f64>() / count;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        Self {
            count,
            mean,
            variance: squares / (count - 1.0),
        }
    }
}
