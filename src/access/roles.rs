//! What an issuer's roles let one do: the tokens file's `[[oidc]]` entries. They stand in that file, and not in flags, so that
//! one place says who may do what, in the same words as for tokens (role, rights, collections), and a change counts without
//! a restart.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::grant::{Collections, Grant};
use super::principal::{Basis, Principal, Proof};
use super::right::Rights;

/// By the value that the issuer's claim must have.
#[derive(Debug, Default)]
pub struct Roles {
    grants: BTreeMap<String, Grant>,
    basis: Basis,
}

impl Roles {
    pub fn add(&mut self, value: String, grant: Grant) -> Result<(), String> {
        match self.grants.contains_key(&value) {
            true => Err(format!("{value:?} has two entries")),
            false => {
                self.grants.insert(value, grant);
                Ok(())
            }
        }
    }

    pub fn is_empty(&self) -> bool {
        self.grants.is_empty()
    }

    pub fn len(&self) -> usize {
        self.grants.len()
    }

    pub fn is_as(&self, other: &Self) -> bool {
        self.grants == other.grants
    }

    /// Whoever is in the middle of something by them is over.
    pub fn end(&self) {
        self.basis.take_away();
    }

    /// None if none of the values is in the file.
    pub fn principal<'a>(
        &self,
        name: &str,
        values: impl IntoIterator<Item = &'a str>,
        expires: Timestamp,
    ) -> Option<Principal> {
        let values: BTreeSet<&str> = values.into_iter().collect();
        let grants: Vec<&Grant> = values
            .into_iter()
            .filter_map(|value| self.grants.get(value))
            .collect();
        let grant = combined(&grants)?;
        let basis = self.basis.clone();
        Some(Principal::on(
            basis,
            name,
            grant,
            Proof::Oidc,
            Some(expires),
        ))
    }
}

/// A principal has one set of rights, and one of collections in which all of them count. So of several grants: those with the
/// same rights count in all their collections together; what another grant holds already is left out; and what is still
/// different counts where all of it does: nobody gets a right in a collection in which no role gives it.
fn combined(grants: &[&Grant]) -> Option<Grant> {
    let mut by_rights: Vec<Grant> = Vec::new();
    for grant in grants {
        match by_rights.iter_mut().find(|of| of.rights == grant.rights) {
            Some(same) => same.collections = either(&same.collections, &grant.collections),
            None => by_rights.push((*grant).clone()),
        }
    }
    let held = |grant: &Grant| {
        by_rights.iter().any(|other| {
            other.rights != grant.rights
                && grant.rights.iter().all(|right| other.rights.has(right))
                && both(&other.collections, &grant.collections) == grant.collections
        })
    };
    let all = by_rights.iter().filter(|grant| !held(grant)).cloned();
    all.reduce(|one, other| Grant {
        rights: one
            .rights
            .iter()
            .chain(other.rights.iter())
            .collect::<Rights>(),
        collections: both(&one.collections, &other.collections),
    })
}

fn either(one: &Collections, other: &Collections) -> Collections {
    match (one, other) {
        (Collections::Named(one), Collections::Named(other)) => Collections::Named(one | other),
        _ => Collections::All,
    }
}

fn both(one: &Collections, other: &Collections) -> Collections {
    match (one, other) {
        (Collections::All, other) => other.clone(),
        (one, Collections::All) => one.clone(),
        (Collections::Named(one), Collections::Named(other)) => Collections::Named(one & other),
    }
}

#[cfg(test)]
mod tests {
    use super::super::right::{Right, Role};
    use super::*;

    fn grant(role: Role, collections: &str) -> Grant {
        let names: Vec<String> = collections.split(' ').map(str::to_owned).collect();
        let named = (collections != "all").then_some(&names[..]);
        Grant::written(Some(role), None, named).unwrap()
    }

    #[test]
    fn several_roles_give_what_each_gives_and_no_right_where_none_gives_it() {
        use Role::{Operator, Owner, Publisher, Reader, Support};
        let read_and_publish = Rights::of(&[Right::Read, Right::Publish]);
        for (grants, rights, collections) in [
            (vec![(Reader, "orders")], Reader.rights(), "orders"),
            // The same rights: in all their collections.
            (
                vec![(Reader, "orders"), (Reader, "purchases")],
                Reader.rights(),
                "orders purchases",
            ),
            (
                vec![(Reader, "orders"), (Reader, "all")],
                Reader.rights(),
                "all",
            ),
            // A smaller role beside a larger one takes nothing away.
            (
                vec![(Owner, "all"), (Support, "orders")],
                Owner.rights(),
                "all",
            ),
            (
                vec![(Support, "orders"), (Operator, "orders")],
                Operator.rights(),
                "orders",
            ),
            // Different ones: only where both count.
            (
                vec![(Reader, "orders purchases"), (Publisher, "orders")],
                read_and_publish,
                "orders",
            ),
            (
                vec![(Reader, "orders"), (Operator, "purchases")],
                Operator.rights(),
                "",
            ),
            (
                vec![(Reader, "all"), (Operator, "orders")],
                Operator.rights(),
                "orders",
            ),
        ] {
            let mut given: Vec<Grant> = grants.iter().map(|(r, c)| grant(*r, c)).collect();
            for _ in 0..2 {
                let found = combined(&given.iter().collect::<Vec<_>>()).unwrap();
                assert_eq!(found.rights, rights, "{grants:?}");
                let wanted = match collections {
                    "all" => Collections::All,
                    "" => Collections::Named(BTreeSet::new()),
                    names => Collections::Named(names.split(' ').map(str::to_owned).collect()),
                };
                assert_eq!(found.collections, wanted, "{grants:?}");
                given.reverse();
            }
        }
        assert_eq!(combined(&[]), None);
    }

    #[test]
    fn a_principal_by_roles_ends_with_them() {
        let mut roles = Roles::default();
        roles
            .add("staff".to_owned(), grant(Role::Reader, "all"))
            .unwrap();
        assert!(
            roles
                .add("staff".to_owned(), grant(Role::Owner, "all"))
                .is_err()
        );
        let later = "2999-01-01T00:00:00Z".parse().unwrap();
        assert!(roles.principal("ada", ["guests"], later).is_none());
        let ada = roles.principal("ada", ["guests", "staff"], later).unwrap();
        assert_eq!((ada.name(), ada.proof()), ("ada", Proof::Oidc));
        assert!(!ada.is_over());
        roles.end();
        assert!(ada.is_over());
    }
}
