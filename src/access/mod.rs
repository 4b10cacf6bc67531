//! Who may do what: a principal, and the rights that it has. `api::gate` finds out who asks; every handler is handed a
//! principal and asks nobody again. Tokens, certificates and JWTs of an issuer prove it. It knows no other room, and of the
//! world outside its file of tokens and the issuer alone.

mod certificate;
mod grant;
pub mod oidc;
mod principal;
mod right;
mod roles;
mod token;
mod tokens;

pub use certificate::Certificate;
pub use grant::{Collections, Grant, ORDERS, checked_collections};
pub use principal::{Principal, Proof, check_name};
pub use right::{Right, Rights, Role};
pub use roles::Roles;
pub use token::{Hash, Mistyped, Token};
pub use tokens::{Looked, NotKnown, TokenFile, Tokens, Unusable, read};
