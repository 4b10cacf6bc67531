//! Exports: all of it, as it is served; safe in a spreadsheet; whole, or visibly not.

use std::io::{Cursor, Read};

use serde_json::Value;

use crate::harness::{Bench, Weight, order, order_with, until, until_equal};

#[tokio::test]
async fn an_export_is_what_is_listed_and_served() {
    let bench = Bench::new(Weight::Light).await;
    let service = bench.serve(None, &[]).await;
    for number in 0..40 {
        service.post(order(&format!("order-{number}"))).await;
        service.post(format!("junk {number}")).await;
    }
    service.post(&b"\xff\xfe"[..]).await;
    let formula = [
        ("Test Testov", "=HYPERLINK(\\\"x\\\")"),
        (
            "test\",\n  \"delivery_service",
            "me, myself\",\n  \"delivery_service",
        ),
    ];
    let formula = order_with("order-formula", &formula[..1]);
    let last = service.post(formula).await;
    service.rests(30, 82).await;

    let orders = service.get("/api/v1/collections/orders/export").await;
    assert_eq!(orders.header("content-type"), "application/x-ndjson");
    assert!(
        orders
            .header("content-disposition")
            .starts_with("attachment; filename=\"orders-")
    );
    let text = String::from_utf8(orders.body.to_vec()).unwrap();
    assert_eq!(text.lines().count(), 41);
    for line in text.lines() {
        let order: Value = serde_json::from_str(line).unwrap();
        let served = service.order(order["order_uid"].as_str().unwrap()).await;
        assert_eq!(served.body, line.as_bytes());
    }
    // By span, by customer; what there is none of is empty, not an error.
    for (query, wanted) in [
        ("from=3&to=5".to_owned(), 2),
        (format!("from={last}"), 1),
        ("customer_id=test".to_owned(), 41),
        (
            "track_number=WBILMTESTTRACK&customer_id=test".to_owned(),
            41,
        ),
        ("customer_id=nobody".to_owned(), 0),
    ] {
        let answer = service
            .get(&format!("/api/v1/collections/orders/export?{query}"))
            .await;
        assert_eq!(answer.status, 200);
        let lines = answer.body.iter().filter(|byte| **byte == b'\n').count();
        assert_eq!(lines, wanted, "{query}");
    }
    let csv = service
        .get(&format!(
            "/api/v1/collections/orders/export?format=csv&from={last}"
        ))
        .await;
    let csv = String::from_utf8(csv.body.to_vec()).unwrap();
    assert_eq!(csv.matches("\r\n").count(), 2, "{csv}");
    assert!(csv.starts_with("order_uid,track_number,"), "{csv}");
    assert!(
        csv.contains(",\"'=HYPERLINK(\"\"x\"\")\",'+9720000000,"),
        "{csv}"
    );

    let letters = service.get("/api/v1/dead-letters/export").await;
    let letters: Vec<Value> = String::from_utf8(letters.body.to_vec())
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let listed = service.json("/api/v1/dead-letters?limit=500").await;
    let listed = listed["items"].as_array().unwrap();
    assert_eq!((letters.len(), listed.len()), (41, 41));
    for (letter, listed) in letters.iter().zip(listed) {
        for (name, value) in listed.as_object().unwrap() {
            assert_eq!(&letter[name], value);
        }
    }
    assert_eq!(letters[0]["hex"], "fffe");
    assert_eq!(letters[1]["text"], "junk 39");
    for (query, wanted) in [
        ("reason=not_utf8", 1),
        ("text=JUNK", 0),
        ("to=10&format=csv", 6),
        ("state=replaced", 0),
    ] {
        let answer = service
            .get(&format!("/api/v1/dead-letters/export?{query}"))
            .await;
        let lines = answer.body.iter().filter(|byte| **byte == b'\n').count();
        assert_eq!(lines, wanted, "{query}");
    }
    for path in [
        "dead-letters/export?state=x",
        "dead-letters/export?format=xml",
        "collections/orders/export?customer_id=%00",
    ] {
        let answer = service.get(&format!("/api/v1/{path}")).await;
        assert_eq!(answer.status, 400, "{path}");
        assert_eq!(answer.header("content-type"), "application/problem+json");
    }
}

#[tokio::test]
async fn an_order_that_is_called_export_is_found_all_the_same() {
    let bench = Bench::new(Weight::Light).await;
    let service = bench.serve(None, &[]).await;
    service.post(order("export")).await;
    service.rests(30, 1).await;
    let found = service.order("%65xport").await;
    assert_eq!(found.json()["order_uid"], "export");
    let all = service.get("/api/v1/collections/orders/export").await;
    assert_eq!(all.header("content-type"), "application/x-ndjson");
    assert_eq!(all.json(), found.json());
}

#[tokio::test]
async fn an_export_that_cannot_be_finished_is_cut_off() {
    let bench = Bench::new(Weight::Light).await;
    let mut service = bench.serve(None, &[]).await;
    for number in 0..400 {
        service
            .post(format!("{number} {}", "x".repeat(100_000)))
            .await;
    }
    service.rests(60, 400).await;
    let mut response = reqwest::get(format!("{}/api/v1/dead-letters/export", service.url))
        .await
        .unwrap();
    assert_eq!(response.status(), 200);
    let mut read = response.chunk().await.unwrap().unwrap().len();
    // 40 MB are more than any buffer on the way holds.
    service.kill();
    let outcome = loop {
        match response.chunk().await {
            Ok(Some(chunk)) => read += chunk.len(),
            Ok(None) => break Ok(()),
            Err(error) => break Err(error),
        }
    };
    assert!(outcome.is_err(), "{read} bytes seem to be all of it");
    assert!(read < 40_000_000);
}

/// A file of XLSX as lines of cells: a number or a truth as it is written, a text, nothing. By hand, since what is to be seen
/// is what stands there.
fn lines_of_xlsx(file: &[u8]) -> Vec<Vec<String>> {
    let mut archive = zip::ZipArchive::new(Cursor::new(file)).unwrap();
    let mut part = archive.by_name("xl/worksheets/sheet1.xml").unwrap();
    let mut xml = String::new();
    part.read_to_string(&mut xml).unwrap();
    let rows = xml.split("<row ").skip(1);
    rows.map(|row| {
        let row = row.split("</row>").next().unwrap();
        let mut cells = Vec::new();
        for cell in row.split("<c r=\"").skip(1) {
            let column = cell.bytes().take_while(u8::is_ascii_uppercase);
            let column = column.fold(0, |sum, letter| sum * 26 + usize::from(letter - b'A') + 1);
            let value = cell.split_once("<v>").or_else(|| {
                let (_, text) = cell.split_once("<t")?;
                text.split_once('>')
            });
            let value = value.unwrap().1.split("</").next().unwrap();
            let value = [
                ("&lt;", "<"),
                ("&gt;", ">"),
                ("_x000D_", "\r"),
                ("&amp;", "&"),
            ]
            .iter()
            .fold(value.to_owned(), |value, (from, to)| {
                value.replace(from, to)
            });
            cells.resize(column - 1, String::new());
            cells.push(value);
        }
        cells
    })
    .collect()
}

/// As a spreadsheet reads it; the apostrophe before what would be a formula is not the text's.
fn lines_of_csv(text: &str) -> Vec<Vec<String>> {
    let (mut lines, mut cells, mut cell, mut quoted) =
        (Vec::new(), Vec::new(), String::new(), false);
    let mut chars = text.chars().peekable();
    while let Some(char) = chars.next() {
        match (char, quoted) {
            ('"', true) if chars.next_if_eq(&'"').is_some() => cell.push('"'),
            ('"', _) => quoted = !quoted,
            (',', false) => cells.push(std::mem::take(&mut cell)),
            ('\r', false) => {}
            ('\n', false) => {
                cells.push(std::mem::take(&mut cell));
                lines.push(std::mem::take(&mut cells));
            }
            _ => cell.push(char),
        }
    }
    for cell in lines.iter_mut().flatten() {
        if let Some(rest) = cell.strip_prefix('\'')
            && rest.starts_with(['=', '+', '-', '@', '\r'])
        {
            *cell = rest.to_owned();
        }
    }
    lines
}

#[tokio::test]
async fn a_workbook_has_the_cells_of_the_csv() {
    let bench = Bench::new(Weight::Light).await;
    let service = bench.serve(None, &[]).await;
    for number in 0..10 {
        service.post(order(&format!("order-{number}"))).await;
    }
    let long = "я".repeat(40_000);
    let mut special: Value = serde_json::from_slice(&order("special")).unwrap();
    special["delivery"]["name"] = "=HYPERLINK(\"x\")".into();
    special["delivery"]["city"] = "a <b> & \"c\",\r\nd".into();
    special["delivery"]["address"] = long.clone().into();
    special["delivery"]["zip"] = "007".into();
    special["payment"]["payment_dt"] = 1_234_567_890_123_456_789_i64.into();
    let mut second = special["items"][0].clone();
    second["brand"] = "".into();
    special["items"].as_array_mut().unwrap().push(second);
    service.post(special.to_string()).await;
    service.post("junk").await;
    service.rests(30, 12).await;

    let path = "/api/v1/collections/orders/export?format=";
    let csv = service.get(&format!("{path}csv")).await;
    let csv = lines_of_csv(std::str::from_utf8(&csv.body).unwrap());
    let answer = service.get(&format!("{path}xlsx")).await;
    assert_eq!(answer.status, 200);
    assert_eq!(
        answer.header("content-type"),
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
    );
    let disposition = answer.header("content-disposition");
    assert!(disposition.ends_with(".xlsx\""), "{disposition}");
    let xlsx = lines_of_xlsx(&answer.body);
    assert_eq!((xlsx.len(), csv.len()), (13, 13));
    let mut cut = 0;
    for (line, (cells, wanted)) in xlsx.iter().zip(&csv).enumerate() {
        for (column, wanted) in wanted.iter().enumerate() {
            let name = &csv[0][column];
            let cell = cells.get(column).map_or("", String::as_str);
            if *wanted == long {
                cut += 1;
                assert_eq!(cell, format!("{}…", "я".repeat(32_766)));
                continue;
            }
            assert_eq!(cell, wanted, "line {line}, {name}");
        }
    }
    assert_eq!(cut, 2);

    // By filter, of nothing, and of letters.
    for (path, lines) in [
        ("collections/orders/export?format=xlsx&from=3&to=5", 4),
        (
            "collections/orders/export?format=xlsx&customer_id=nobody",
            1,
        ),
        ("dead-letters/export?format=xlsx", 2),
    ] {
        let answer = service.get(&format!("/api/v1/{path}")).await;
        assert_eq!(lines_of_xlsx(&answer.body).len(), lines, "{path}");
    }
}

/// Files without a name that a process holds.
fn nameless_files(pid: u32) -> usize {
    let files = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
    let names = files.filter_map(|file| std::fs::read_link(file.ok()?.path()).ok());
    names
        .filter(|name| name.to_string_lossy().ends_with(" (deleted)"))
        .count()
}

#[tokio::test]
async fn a_workbook_leaves_no_file_when_its_client_goes_away() {
    let bench = Bench::new(Weight::Light).await;
    let service = bench.serve(None, &[]).await;
    // More than all buffers on the way hold, also compressed.
    let mut order: Value = serde_json::from_slice(&order("x")).unwrap();
    for number in 0..120 {
        order["order_uid"] = format!("order-{number}").into();
        for field in ["name", "city", "address", "region", "zip"] {
            let chars = std::iter::repeat_with(fastrand::alphanumeric);
            order["delivery"][field] = chars.take(32_000).collect::<String>().into();
        }
        service.post(order.to_string()).await;
    }
    service.rests(60, 120).await;
    let before = nameless_files(service.pid());
    let url = format!(
        "{}/api/v1/collections/orders/export?format=xlsx",
        service.url
    );
    let mut two = Vec::new();
    for _ in 0..2 {
        let mut response = reqwest::get(&url).await.unwrap();
        assert_eq!(response.status(), 200);
        assert!(response.chunk().await.unwrap().is_some());
        two.push(response);
    }
    assert_eq!(nameless_files(service.pid()), before + 2);
    // A third waits for its turn; another format does not.
    let third = reqwest::get(&url).await.unwrap();
    assert_eq!(third.status(), 503);
    let csv = service
        .get("/api/v1/collections/orders/export?format=csv")
        .await;
    assert_eq!(csv.status, 200);

    drop(two);
    until_equal(30, "the files are gone", before, async || {
        nameless_files(service.pid())
    })
    .await;
    let whole = until(30, "there is a place again", async || {
        let answer = service
            .get("/api/v1/collections/orders/export?format=xlsx")
            .await;
        (answer.status == 200).then_some(answer)
    })
    .await;
    assert_eq!(lines_of_xlsx(&whole.body).len(), 121);
    let log = service.text();
    assert!(!log.contains("ZipWriter"), "{log}");
    until_equal(30, "that one is gone, too", before, async || {
        nameless_files(service.pid())
    })
    .await;
}
