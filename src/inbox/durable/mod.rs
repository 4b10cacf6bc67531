//! Committed, and not yet on the disk. Called by the stage, which appends, and by the projector, which reads. Its invariant is
//! the inbox's: nothing is acknowledged that a crash of Postgres could still take away.
//!
//! **Why the two are apart.** An append commits with `synchronous_commit = off`: Postgres answers as soon as the commit's
//! record is in its WAL buffers, and a moment later writes it to the disk. So the next batch is copied while the disk works
//! for the one before. In that moment others see the rows already, and a crash of Postgres loses them, and gives their
//! positions to other rows.
//!
//! **What is on the disk.** Each batch waits in [`flush`] for a transaction that waits for the disk, and is answered for
//! after it:
//!
//! ```text
//! server's life   ══════════════════════════════════════════════════════════════════►
//! flush session   ├ since ───────────────────────────── flush ┤── answered ┤
//! inbox session           ├ begun ── append ┤── answered ┤                 │
//! WAL on the disk  ·····································  ═════════════════┤
//!                                                                          └► acknowledged
//! ```
//!
//! 1. The flush began after the append was answered. The WAL is one sequence, so the append's records are before the flush's.
//! 2. The flush writes a record of its own and commits with `synchronous_commit = on` (or `remote_apply`). Postgres answers
//!    such a commit once all WAL up to it is on its disk, and on that of the standby that commits wait for. It would answer a
//!    transaction that wrote nothing, or that has no transaction id, without waiting.
//! 3. In between Postgres has not crashed, or the append's records would not be before the flush's any more. That is what a
//!    [`Witness`] says: a crash of Postgres ends all of its sessions, so a session that was there before the append was begun,
//!    and answers after it, has seen one life of one server.
//!
//! A row that was found (`Known`) is covered as one that was stored is: another replica may have committed it a moment ago,
//! just as unflushed, but before our append saw it, hence before the flush. A batch that no witness saw is in doubt, and is
//! appended again: a row that was lost is stored, the others are found.
//!
//! **What may be read before that.** Anything: the projector's own commits wait for the disk, and so for all before them. It
//! takes a few rows from memory ([`Tail`]) instead of reading them back, if the youngest session that it writes with is a
//! witness to their append: its commit fails if Postgres has crashed since.

mod flush;
mod tail;
mod witness;

pub(super) use flush::{Committed, Flush};
pub use tail::Tail;
pub use witness::Witness;
