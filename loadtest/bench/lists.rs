//! Lists with a million orders and a million letters in the tables: each question asked again and again with other values.

use std::time::Instant;

use super::fill::fill;
use super::report::{Figure, Reach, quantile};
use super::stage::Stage;

const EACH: u64 = 1_000_000;
const ASKED: usize = 300;
const GOAL_MS: f64 = 20.0;

pub async fn run() -> anyhow::Result<Vec<Figure>> {
    let stage = Stage::open(&[]).await?;
    fill(&stage, 2 * EACH, 50).await?;
    let sql = stage.sql().await?;
    let sample = |statement: &'static str| {
        let sql = &sql;
        async move {
            let rows = sql.query(statement, &[]).await?;
            Ok::<Vec<String>, tokio_postgres::Error>(rows.iter().map(|row| row.get(0)).collect())
        }
    };
    let customers =
        sample("select data ->> 'customer_id' from orders tablesample system (0.2) limit 300")
            .await?;
    let tracks =
        sample("select data ->> 'track_number' from orders tablesample system (0.2) limit 300")
            .await?;
    let positions =
        sample("select id::text from dead_letters tablesample system (0.2) limit 300").await?;
    let groups = sample("select fingerprint::text from dead_letter_groups limit 300").await?;
    let mut figures = Vec::new();
    for (what, path, values) in [
        (
            "orders, a page",
            "/api/v1/orders?limit=50&after=",
            &positions,
        ),
        (
            "orders of a customer",
            "/api/v1/orders?customer_id=",
            &customers,
        ),
        (
            "orders by track number",
            "/api/v1/orders?track_number=",
            &tracks,
        ),
        (
            "dead letters, a page",
            "/api/v1/dead-letters?limit=50&before=",
            &positions,
        ),
        (
            "dead letters of a group",
            "/api/v1/dead-letters?limit=50&group=",
            &groups,
        ),
        (
            "dead letters by state and reason",
            "/api/v1/dead-letters?state=open&reason=schema&limit=50&before=",
            &positions,
        ),
        (
            "dead letter groups",
            "/api/v1/dead-letter-groups?_=",
            &groups,
        ),
        (
            "dead letters by text",
            "/api/v1/dead-letters?limit=50&text=",
            &customers,
        ),
    ] {
        let mut took = Vec::new();
        for n in 0..ASKED {
            let url = format!("{}{path}{}", stage.url(), values[n % values.len()]);
            let begun = Instant::now();
            let answer = stage.http.get(&url).send().await?;
            anyhow::ensure!(
                answer.status().is_success(),
                "{url}: {}",
                answer.text().await?
            );
            answer.bytes().await?;
            took.push(begun.elapsed().as_secs_f64() * 1000.0);
            if took.iter().sum::<f64>() > 30_000.0 {
                break;
            }
        }
        let (p50, p99) = (quantile(took.clone(), 0.5), quantile(took.clone(), 0.99));
        let text = path.contains("text=");
        let figure = Figure::new(
            format!("{what}, p99, 1,000,000 rows"),
            format!("{p99:.1} ms (p50 {p50:.1} ms)"),
            if text { "to be reported" } else { "20 ms" },
        );
        let reach = if text {
            Reach::Report
        } else {
            Reach::AtMost(1.0)
        };
        figures.push(figure.ratios(vec![p99 / GOAL_MS], reach));
    }
    Ok(figures)
}
