//! What the tables of a collection are called, and how they are made. They are made outside the fold by the holder of the lease,
//! and again by a replay beside the live ones.

use crate::collection::{Collection, Id, Keep};
use crate::expression::hash;
use crate::postgres::Sql;

/// One of the tables of a collection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Table {
    Documents,
    /// What became of each message that `latest` took.
    Versions,
    Sums,
    /// What each message has added to a sum.
    Entries,
}

impl Table {
    pub const ALL: [Self; 4] = [Self::Documents, Self::Versions, Self::Sums, Self::Entries];
}

/// A table's name, without its schema.
pub fn table(id: Id, table: Table) -> String {
    let documents = match id {
        // Made by the migrations, before there were others.
        Id::ORDERS => "orders".to_owned(),
        Id(id) => format!("c{id}"),
    };
    match table {
        Table::Documents => documents,
        Table::Versions => documents + "_versions",
        Table::Sums => documents + "_sums",
        Table::Entries => documents + "_entries",
    }
}

/// Which tables a collection has. It is fixed for its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    pub keep: Keep,
    pub sums: bool,
}

impl Shape {
    pub fn of(collection: &Collection) -> Self {
        Self {
            keep: collection.keep,
            sums: collection.sum.is_some(),
        }
    }

    pub fn tables(self) -> impl Iterator<Item = Table> {
        let versions = (self.keep == Keep::Latest).then_some(Table::Versions);
        let sums = self.sums.then_some([Table::Sums, Table::Entries]);
        std::iter::once(Table::Documents)
            .chain(versions)
            .chain(sums.into_iter().flatten())
    }
}

/// The statements that make the tables of a collection in a schema, those that are not there yet. Indexes for its lookups are
/// made apart: on tables that are not empty that may take long.
pub fn create(schema: &str, id: Id, shape: Shape) -> String {
    let statement = |one: Table| {
        let name = table(id, one);
        let at = format!("create table if not exists {schema}.{name}");
        match (one, shape.keep) {
            (Table::Documents, Keep::First) => format!(
                "{at} (position bigint not null, bytes_position bigint not null, key text not null, data jsonb not null,
                 constraint {name}_pkey primary key (key));
                 create index if not exists {name}_position on {schema}.{name} (position);"
            ),
            // No index but the key's: so an update touches none (HOT), if there is room on the page.
            (Table::Documents, Keep::Latest) => format!(
                "{at} (position bigint not null, bytes_position bigint not null, age bigint not null, key text not null,
                 version text, gone boolean not null, data jsonb not null,
                 constraint {name}_pkey primary key (key)) with (fillfactor = 70);"
            ),
            (Table::Versions, _) => format!(
                "{at} (position bigint not null, bytes_position bigint not null, age bigint not null, key text not null,
                 version text, what text not null, gone boolean not null,
                 constraint {name}_pkey primary key (position),
                 constraint {name}_what check (what in ('document', 'superseded', 'duplicate')));
                 create index if not exists {name}_key on {schema}.{name} (key, position);
                 create unique index if not exists {name}_version on {schema}.{name} (key, version)
                     where version is not null and what <> 'duplicate';"
            ),
            (Table::Sums, _) => format!(
                "{at} (account text not null, sum bigint not null, entries bigint not null, last_position bigint not null,
                 constraint {name}_pkey primary key (account)) with (fillfactor = 70);"
            ),
            (Table::Entries, _) => format!(
                "{at} (position bigint not null, account text not null, value bigint not null,
                 constraint {name}_pkey primary key (position));
                 create index if not exists {name}_account on {schema}.{name} (account, position);"
            ),
        }
    };
    shape.tables().map(statement).collect()
}

/// What the index of a lookup is called.
pub fn index(id: Id, pointer: &str) -> String {
    let digest = hash(pointer);
    format!("{}_{}", table(id, Table::Documents), &digest[..8])
}

/// Makes the index of a lookup on live tables. `concurrently`, for tables that are not empty.
pub fn create_index(schema: &str, id: Id, pointer: &str, concurrently: bool) -> String {
    let mut text = Sql::new("");
    looked_up(&mut text, "data", pointer);
    let how = if concurrently { "concurrently " } else { "" };
    format!(
        "create index {how}if not exists {} on {schema}.{} ({}, position)",
        index(id, pointer),
        table(id, Table::Documents),
        text.text()
    )
}

/// What is in the index of a lookup: the first of a long text, since an index takes 2,704 bytes at most.
pub fn looked_up(sql: &mut Sql, column: &'static str, pointer: &str) {
    sql.push("left(").text_at(column, pointer).push(", 512)");
}
