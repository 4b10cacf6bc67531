//! Statements that are put together at run time, since their conditions depend on what is asked for. A statement without such
//! parts is a constant above its user, and needs none of this. Nothing can be injected: text is ours, compiled in
//! (`&'static str`); a value is a parameter; a name or a path is quoted here.

use jiff::Timestamp;
use tokio_postgres::Row;
use tokio_postgres::types::{ToSql, Type};

use super::query::{PATIENCE, within};
use super::{Client, Error};

/// What can be a parameter. It names its type, so that a statement can be sent without being prepared first.
pub trait Value: ToSql + Sync + Send + 'static {
    const TYPE: Type;
}

macro_rules! values {
    ($($rust:ty => $postgres:ident),*) => {
        $(impl Value for $rust {
            const TYPE: Type = Type::$postgres;
        })*
    };
}

values!(i32 => INT4, i64 => INT8, String => TEXT, Timestamp => TIMESTAMPTZ,
    Vec<i32> => INT4_ARRAY, Vec<i64> => INT8_ARRAY, Vec<String> => TEXT_ARRAY);

/// Once a connection keeps so many prepared statements, no more of those here are added. The house has about 110 constants;
/// collections times their lookups could be any number, each 40 kB in the server (the three contexts of a cached plan).
const KEPT: usize = 300;

/// A statement's text and its parameters. They are added in one go, so that places and values always agree.
pub struct Sql {
    text: String,
    values: Vec<(Box<dyn ToSql + Sync + Send>, Type)>,
}

impl Sql {
    pub fn new(text: &'static str) -> Self {
        Self {
            text: text.to_owned(),
            values: Vec::new(),
        }
    }

    pub fn push(&mut self, text: &'static str) -> &mut Self {
        self.text.push_str(text);
        self
    }

    /// Appends text in which each `$` stands for the value.
    pub fn bind<T: Value>(&mut self, text: &'static str, value: T) -> &mut Self {
        self.values.push((Box::new(value), T::TYPE));
        let place = format!("${}", self.values.len());
        self.text.push_str(&text.replace('$', &place));
        self
    }

    /// A condition beside those that are there, if there is a value for it.
    pub fn and<T: Value>(&mut self, condition: &'static str, value: Option<T>) -> &mut Self {
        match value {
            Some(value) => self.push(" and ").bind(condition, value),
            None => self,
        }
    }

    /// A table's or a column's name; it may be of any characters.
    pub fn name(&mut self, name: &str) -> &mut Self {
        let doubled = name.replace('"', "\"\"");
        self.text.push_str(&format!("\"{doubled}\""));
        self
    }

    /// The text at a JSON pointer in jsonb: `data -> 'a' ->> 'b'` for `/a/b`. Only an index on the same expression is used.
    pub fn text_at(&mut self, column: &'static str, pointer: &str) -> &mut Self {
        self.push(column);
        let mut keys = pointer.split('/').skip(1).peekable();
        while let Some(key) = keys.next() {
            let arrow = if keys.peek().is_some() { "->" } else { "->>" };
            // In E'…' a backslash is an escape whatever standard_conforming_strings says.
            let key = key.replace("~1", "/").replace("~0", "~");
            let key = key.replace('\\', "\\\\").replace('\'', "''");
            let sign = if key.contains('\\') { "E" } else { "" };
            self.text.push_str(&format!(" {arrow} {sign}'{key}'"));
        }
        self
    }

    /// As it stands, for what cannot have parameters.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Prepared once on each connection, as constants are: for a statement of which there are few variants.
    pub async fn query(&self, client: &Client) -> Result<Vec<Row>, Error> {
        if client.statement_cache.size() >= KEPT {
            return self.query_once(client).await;
        }
        within(PATIENCE, async {
            let (values, types): (Vec<_>, Vec<_>) = self.parameters().into_iter().unzip();
            let prepared = client.prepare_typed_cached(&self.text, &types).await?;
            Ok(client.query(&prepared, &values).await?)
        })
        .await
    }

    /// Planned for these values, and not kept: for a statement of many variants, or whose plan depends on the values.
    pub async fn query_once(&self, client: &Client) -> Result<Vec<Row>, Error> {
        within(PATIENCE, async {
            Ok(client.query_typed(&self.text, &self.parameters()).await?)
        })
        .await
    }

    fn parameters(&self) -> Vec<(&(dyn ToSql + Sync), Type)> {
        self.values
            .iter()
            .map(|(value, kind)| (&**value as &(dyn ToSql + Sync), kind.clone()))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_its_values_and_a_condition_without_a_value_is_left_out() {
        let mut sql = Sql::new("select a from b");
        sql.bind(" where c < $", 1_i64)
            .and("d = $", None::<i32>)
            .and("(e = $ or f = $)", Some("g".to_owned()));
        assert_eq!(
            sql.text,
            "select a from b where c < $1 and (e = $2 or f = $2)"
        );
        let types: Vec<Type> = sql.values.into_iter().map(|(_, kind)| kind).collect();
        assert_eq!(types, [Type::INT8, Type::TEXT]);
    }

    #[test]
    fn names_and_paths_are_quoted() {
        let mut sql = Sql::new("");
        sql.name("a\"; drop table b; --$1");
        assert_eq!(sql.text, "\"a\"\"; drop table b; --$1\"");
        for (pointer, expected) in [
            ("/customer_id", "data ->> 'customer_id'"),
            ("/a~1b/c~01/", "data -> 'a/b' -> 'c~1' ->> ''"),
            ("/it's $1", "data ->> 'it''s $1'"),
            (r"/\' or true", r"data ->> E'\\'' or true'"),
        ] {
            assert_eq!(Sql::new("").text_at("data", pointer).text, expected);
        }
    }
}
