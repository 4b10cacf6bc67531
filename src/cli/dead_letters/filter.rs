//! Which letters: the filters of the list, for every command that speaks of many.

#[derive(clap::Args, Clone, Debug, Default)]
#[command(next_help_heading = "Which letters")]
pub struct Filter {
    /// Why it failed: not_utf8, not_json, schema, rule, unstorable, conflict, collection,
    /// sum
    #[arg(long, value_name = "REASON")]
    pub failed_for: Option<String>,

    /// The code of what is wrong, as missing_field
    #[arg(long, value_name = "CODE")]
    pub code: Option<String>,

    /// The group, as `waybill dead-letters groups` shows it
    #[arg(long, value_name = "HEX")]
    pub fingerprint: Option<String>,

    /// Of this collection
    #[arg(long, value_name = "NAME")]
    pub collection: Option<String>,

    /// What its document would be known by
    #[arg(long, value_name = "KEY")]
    pub key: Option<String>,

    /// A source's name, or its kind: stan, http
    #[arg(long, value_name = "SOURCE")]
    pub source: Option<String>,

    /// Received at or after: 2026-01-31T12:00:00Z, or how long ago, as 15m, 2h, 7d
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,

    /// Received before
    #[arg(long, value_name = "TIME")]
    pub until: Option<String>,

    /// The lowest id
    #[arg(long, value_name = "ID", value_parser = clap::value_parser!(i64).range(1..))]
    pub from: Option<i64>,

    /// The highest id
    #[arg(long, value_name = "ID", value_parser = clap::value_parser!(i64).range(1..))]
    pub to: Option<i64>,

    /// Found in message or key, in any case
    #[arg(long, value_name = "TEXT")]
    pub text: Option<String>,
}

impl Filter {
    /// Under the API's names. `--reason` is why somebody decides, so the letter's own reason has another flag here.
    pub fn query(&self) -> Vec<(&'static str, String)> {
        let number = |number: Option<i64>| number.map(|number| number.to_string());
        [
            ("reason", self.failed_for.clone()),
            ("code", self.code.clone()),
            ("fingerprint", self.fingerprint.clone()),
            ("collection", self.collection.clone()),
            ("key", self.key.clone()),
            ("source", self.source.clone()),
            ("since", self.since.clone()),
            ("until", self.until.clone()),
            ("from", number(self.from)),
            ("to", number(self.to)),
            ("text", self.text.clone()),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
        .collect()
    }
}
