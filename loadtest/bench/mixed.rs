//! The same flow with junk in it, and with rules in force: the rate against that of good orders alone, interleaved.

use waybill::collection;

use super::report::{Figure, Reach, rate};
use super::stage::Stage;

const COUNT: u64 = 100_000;
const PAIRS: usize = 5;
/// Six of them, which every sample obeys.
const RULES: &str = include_str!("../../docs/strict-rules.yaml");

pub async fn run() -> anyhow::Result<Vec<Figure>> {
    let stage = Stage::open(&[]).await?;
    stage.through(COUNT, "0%").await?;
    let [mut free, mut ruled] = [const { Vec::new() }; 2];
    // Before any junk: what is a letter would be judged again by each new set of rules, meanwhile. Each goes first as often.
    for pair in 0..2 * PAIRS {
        for half in 0..2 {
            if (pair + half) % 2 == 0 {
                free.push(settled(&stage, "0%").await?);
            } else {
                apply(&stage, RULES).await?;
                ruled.push(settled(&stage, "0%").await?);
                apply(&stage, "[]").await?;
            }
        }
    }
    let [mut plain, mut ten, mut fifty] = [const { Vec::new() }; 3];
    for _ in 0..PAIRS {
        plain.push(settled(&stage, "0%").await?);
        ten.push(settled(&stage, "10%").await?);
        fifty.push(settled(&stage, "50%").await?);
    }
    let ratios = |plain: &[f64], other: &[f64]| {
        plain
            .iter()
            .zip(other)
            .map(|(plain, other)| plain / other)
            .collect()
    };
    let good = |plain: &[f64]| format!("good orders alone {}", rate(COUNT, plain));
    Ok(vec![
        Figure::new("a tenth is junk", rate(COUNT, &ten), good(&plain))
            .ratios(ratios(&plain, &ten), Reach::AtLeast(0.95)),
        Figure::new("half is junk", rate(COUNT, &fifty), good(&plain))
            .ratios(ratios(&plain, &fifty), Reach::AtLeast(0.8)),
        Figure::new("six rules in force", rate(COUNT, &ruled), good(&free))
            .ratios(ratios(&free, &ruled), Reach::AtLeast(0.97)),
    ])
}

/// Nothing left over from the one before.
async fn settled(stage: &Stage, junk: &str) -> anyhow::Result<f64> {
    let sql = stage.sql().await?;
    sql.batch_execute("vacuum").await?;
    sql.batch_execute("checkpoint").await?;
    stage.through(COUNT, junk).await
}

async fn apply(stage: &Stage, rules: &str) -> anyhow::Result<()> {
    let url = format!("{}/api/v1/collections/orders", stage.url());
    let orders = collection::orders().text.trim_end();
    let list: String = rules.lines().map(|line| format!("  {line}\n")).collect();
    let text = format!("{orders}\nrules:\n{list}");
    let request = stage
        .http
        .put(url)
        .header("content-type", "application/yaml");
    let answer = request.body(text).send().await?;
    anyhow::ensure!(answer.status().is_success(), "{}", answer.text().await?);
    Ok(())
}
