//! Who may do what: a principal, and the rights that it has. `api::gate` finds out who asks; every handler is handed a
//! principal and asks nobody again. It knows no other room.

mod principal;
mod right;

pub use principal::{Collections, ORDERS, Principal, Proof};
pub use right::{Right, Rights, Role};
