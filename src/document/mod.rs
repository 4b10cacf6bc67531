//! The tables of the collections: made, written, found, paged. Each collection has tables of its own, called by its id; what
//! they are called says `table`, and nobody else. The projector writes them, the API and the cache read. Invariants: a row is
//! written once by one batch; no name of a user's ever is the name of a table. Absent on purpose: judging, and how a document
//! looks.

mod find;
mod page;
mod rebuild;
mod refresh;
mod story;
mod table;
mod write;

pub use find::{
    Found, Place, Standing, Stored, by_key, changed, find, indexed, is_indexed, position, select,
    standing, stored, sums, versions,
};
pub use page::{Asked, Cursor, Lookup, Page, list, newest, page};
pub use rebuild::{empty_latest, rebuild_latest, rebuild_sums};
pub use refresh::{build_index, refresh, table_oid};
pub use story::{Added, Sum, Version, entries_of, sum_of, sums_above, versions_of};
pub use table::{Shape, Table, create, create_index, index, table};
pub use write::{
    Brought, Current, Entry, FEW, NewDocument, NewVersion, SumChange, insert_duplicates,
    insert_few, write_last, write_rows,
};
