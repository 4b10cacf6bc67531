//! The letters of a bulk operation, page by page.

use serde::Deserialize;
use serde_json::Value;

use super::super::client::Client;
use super::super::screen::{self, ListOutput, Sheet};

#[derive(Deserialize)]
struct Letters {
    items: Vec<OneLetter>,
    next: Option<String>,
}

#[derive(Deserialize)]
struct OneLetter {
    letter: i64,
    position: Option<i64>,
    result: Option<String>,
    #[serde(default)]
    failing: Value,
}

pub async fn letters(
    client: &Client,
    id: i64,
    results: Option<&str>,
    output: ListOutput,
) -> anyhow::Result<()> {
    let path = format!("/api/v1/operations/{id}/letters");
    let mut after: Option<String> = None;
    let mut first = true;
    loop {
        let mut query = vec![("limit", "500".to_owned())];
        query.extend(results.map(|results| ("result", results.to_owned())));
        query.extend(after.take().map(|after| ("after", after)));
        let answer = client.get(&path, &query).await?;
        let page: Letters = answer.read()?;
        match output {
            ListOutput::Json => screen::print(answer.text())?,
            ListOutput::Ids if page.items.is_empty() => {}
            ListOutput::Ids => {
                screen::print(page.items.iter().fold(String::new(), |text, item| {
                    format!("{text}{}\n", item.letter)
                }))?
            }
            ListOutput::Table if page.items.is_empty() => screen::print("No letters like that.")?,
            ListOutput::Table => {
                let mut sheet = match first {
                    true => Sheet::new(&["letter", "result", "decision", "code", "what is wrong"]),
                    false => Sheet::plain(),
                };
                for item in &page.items {
                    let failing =
                        |name: &str| item.failing[name].as_str().unwrap_or_default().to_owned();
                    sheet.row([
                        item.letter.to_string(),
                        item.result.clone().unwrap_or_default(),
                        item.position
                            .map(|position| position.to_string())
                            .unwrap_or_default(),
                        failing("code"),
                        failing("message"),
                    ]);
                }
                sheet.right(&[0, 2]);
                sheet.cut(4);
                screen::print(sheet.text())?;
            }
        }
        first = false;
        after = page.next;
        if after.is_none() {
            return Ok(());
        }
    }
}
