//! The file as people write it, and as they break it.

use std::fs;

use super::super::grant::Collections;
use super::super::right::Rights;
use super::*;

fn entry(name: &str, grant: &str, token: &Token) -> String {
    let hash = Hash::of(token.text());
    format!("[[token]]\nname = \"{name}\"\n{grant}\nsha256 = \"{hash}\"\n\n")
}

fn parse(text: &str) -> Result<Tokens, Unusable> {
    Tokens::parse(Path::new("tokens.toml"), text)
}

#[test]
fn a_token_is_found_with_what_it_lets_one_do() {
    let (ada, ci) = (Token::new().unwrap(), Token::new().unwrap());
    let text = entry("ada", "role = \"operator\"\nexpires = 2999-01-01", &ada)
        + "# for the shop's own tests\n"
        + &entry(
            "ci",
            "rights = [\"publish\", \"read\"]\ncollections = [\"orders\"]",
            &ci,
        );
    let tokens = parse(&text).unwrap();
    let found = tokens.find(ada.text()).unwrap();
    assert_eq!(
        (found.name(), found.rights()),
        ("ada", Role::Operator.rights())
    );
    assert_eq!(found.collections(), &Collections::All);
    assert_eq!(found.expires().unwrap().to_string(), "2999-01-01T00:00:00Z");
    assert_eq!(found.proof(), Proof::Token);
    let found = tokens.find(ci.text()).unwrap();
    assert_eq!(found.rights(), Rights::of(&[Right::Read, Right::Publish]));
    assert!(found.sees("orders") && !found.sees("purchases"));
    assert_eq!(found.expires(), None);
    assert_eq!(tokens.list().len(), 2);
    assert!(parse("").unwrap().list().is_empty());
}

#[test]
fn what_proves_nothing_is_told_apart() {
    let (old, other) = (Token::new().unwrap(), Token::new().unwrap());
    let tokens = parse(&entry(
        "old",
        "role = \"owner\"\nexpires = 2020-01-01T00:00:00+02:00",
        &old,
    ));
    let tokens = tokens.unwrap();
    let at = "2019-12-31T22:00:00Z".parse().unwrap();
    let name = "old".to_owned();
    let why = |token: &str| tokens.find(token).unwrap_err();
    assert_eq!(why(old.text()), NotKnown::Expired { name, at });
    assert_eq!(why(other.text()), NotKnown::Unknown);
    assert_eq!(
        why(&other.text()[..51]),
        NotKnown::Mistyped(Mistyped::Shape)
    );
    let mut wrong = other.text().to_owned();
    wrong.replace_range(10..11, if &wrong[10..11] == "a" { "b" } else { "a" });
    assert_eq!(why(&wrong), NotKnown::Mistyped(Mistyped::Checksum));
    // What is in the file is no token.
    assert_eq!(
        why(&Hash::of(old.text()).to_string()),
        NotKnown::Mistyped(Mistyped::Shape)
    );
}

#[test]
fn a_mistake_is_told_with_its_line() {
    let token = Token::new().unwrap();
    let good = entry("ada", "role = \"reader\"", &token);
    let hash = Hash::of(token.text()).to_string();
    for (text, line, said) in [
        ("[[token]\n".to_owned(), 1, ""),
        ("\n\ntokens = 1\n".to_owned(), 3, "unknown field"),
        (good.replace("reader", "boss"), 3, "unknown variant `boss`"),
        (good.replace("role", "roles"), 3, "unknown field `roles`"),
        (
            good.replace("role = \"reader\"", ""),
            1,
            "either a role or rights",
        ),
        (
            good.replace("role =", "rights = []\nrole ="),
            1,
            "either a role or rights",
        ),
        (
            good.replace("role = \"reader\"", "rights = [\"fly\"]"),
            3,
            "unknown variant `fly`",
        ),
        (good.replace(&hash, &hash[1..]), 1, "sha256"),
        (good.replace(&hash, token.text()), 1, "sha256"),
        (good.replace("\"ada\"", "\"\""), 1, "name"),
        (
            good.replace("\"ada\"", "\"waybill\""),
            1,
            "taken by the service",
        ),
        (
            good.replace("role =", "collections = []\nrole ="),
            1,
            "collections is empty",
        ),
        (
            good.replace("role =", "collections = [\"Orders\"]\nrole ="),
            1,
            "\"Orders\"",
        ),
        (
            good.replace("role =", "expires = 2027-01-31T12:00:00\nrole ="),
            1,
            "its offset",
        ),
        (good.replace("role =", "expires = \"soon\"\nrole ="), 3, ""),
        (
            format!("{good}{}", good.replace("ada", "eve")),
            6,
            "ada and eve have the same token",
        ),
    ] {
        let error = parse(&text)
            .err()
            .unwrap_or_else(|| panic!("taken: {text}"))
            .to_string();
        let place = format!("tokens.toml, line {line}: ");
        assert!(
            error.starts_with(&place) && error.contains(said),
            "{said}: {error}\n{text}"
        );
        assert!(!error.contains(token.text()) || text.contains(token.text()));
    }
}

#[test]
fn the_issuers_roles_stand_beside_the_tokens() {
    let staff = "[[oidc]]\nvalue = \"staff\"\nrole = \"support\"\ncollections = [\"orders\"]\n";
    let tokens = parse(staff).unwrap();
    let later = "2999-01-01T00:00:00Z".parse().unwrap();
    let ada = tokens.roles.principal("ada", ["staff"], later).unwrap();
    assert_eq!(ada.rights(), Role::Support.rights());
    assert!(ada.sees("orders") && !ada.sees("purchases"));
    for (text, line, said) in [
        (format!("{staff}{staff}"), 5, "\"staff\" has two entries"),
        (staff.replace("role", "roll"), 3, "unknown field `roll`"),
        (
            staff.replace("role = \"support\"\n", ""),
            1,
            "either a role or rights",
        ),
        (
            staff.replace("orders", "Orders"),
            1,
            "no name of a collection",
        ),
    ] {
        let error = parse(&text).err().map(|error| error.to_string());
        let error = error.unwrap_or_else(|| panic!("taken: {text}"));
        let place = format!("tokens.toml, line {line}: ");
        assert!(error.starts_with(&place) && error.contains(said), "{error}");
    }
}

/// Whoever is in the middle of something by a role is over when the role is given something else, and only then.
#[test]
fn a_role_that_is_taken_away_ends_what_was_begun_with_it() {
    let staff = "[[oidc]]\nvalue = \"staff\"\nrole = \"support\"\n";
    let mut tokens = parse(staff).unwrap();
    let later = "2999-01-01T00:00:00Z".parse().unwrap();
    let ada = tokens.roles.principal("ada", ["staff"], later).unwrap();
    let token = Token::new().unwrap();
    tokens.replace(
        parse(&format!(
            "{staff}{}",
            entry("eve", "role = \"owner\"", &token)
        ))
        .unwrap(),
    );
    assert!(!ada.is_over());
    tokens.replace(parse("").unwrap());
    assert!(ada.is_over());
}

struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

#[test]
fn a_changed_file_is_read_again_and_a_broken_one_takes_nothing_away() {
    let scratch =
        Scratch(std::env::temp_dir().join(format!("waybill-tokens-{}", std::process::id())));
    let path = &scratch.0;
    let (ada, eve) = (Token::new().unwrap(), Token::new().unwrap());
    let (of_ada, of_eve) = (
        entry("ada", "role = \"owner\"", &ada),
        entry("eve", "role = \"reader\"", &eve),
    );
    fs::write(path, format!("{of_ada}{of_eve}")).unwrap();
    let file = TokenFile::open(path.clone()).unwrap();
    let (first, eves) = (
        file.find(ada.text()).unwrap(),
        file.find(eve.text()).unwrap(),
    );
    assert!(matches!(file.look(), Looked::Unchanged));

    fs::write(path, "[[token]").unwrap();
    assert!(matches!(
        file.look(),
        Looked::Broken(Unusable::Wrong { .. })
    ));
    assert!(matches!(file.look(), Looked::Unchanged), "it is told once");
    fs::remove_file(path).unwrap();
    assert!(matches!(
        file.look(),
        Looked::Broken(Unusable::Unreadable { .. })
    ));
    assert!(matches!(file.look(), Looked::Unchanged));
    assert!(file.find(eve.text()).is_ok() && !eves.is_over());

    // Eve's is gone; Ada is who she was, also where she is in the middle of something.
    fs::write(path, &of_ada).unwrap();
    assert!(matches!(file.look(), Looked::Read(now) if now.starts_with("tokens: 1, ")));
    assert_eq!(file.find(eve.text()).unwrap_err(), NotKnown::Unknown);
    assert!(eves.is_over() && !first.is_over());
    // A right that is taken away ends what was begun with it.
    fs::write(path, of_ada.replace("owner", "reader")).unwrap();
    assert!(matches!(file.look(), Looked::Read(now) if now.starts_with("tokens: 1, ")));
    assert!(first.is_over());
    assert_eq!(
        file.find(ada.text()).unwrap().rights(),
        Role::Reader.rights()
    );
}

#[test]
fn a_certificate_is_found_by_its_subject_and_is_no_token() {
    let named = |name: &str, subject: &str| {
        format!(
            "[[certificate]]\nname = \"{name}\"\nrole = \"reader\"\nsubject = \"{subject}\"\n\n"
        )
    };
    let tokens = parse(&named("ada", "cn=ada,O=Acme")).unwrap();
    let hash = Certificate::hash_of("CN=ada,O=Acme").unwrap();
    let found = tokens.certificates.find(&hash, || NotKnown::Unknown);
    let found = found.unwrap();
    assert_eq!((found.name(), found.proof()), ("ada", Proof::Certificate));
    assert!(tokens.find("CN=ada,O=Acme").is_err());
    assert!(tokens.list().is_empty());
    for (text, line) in [
        (named("ada", "ada"), 1),
        (named("ada", ""), 1),
        (named("ada", "CN=a") + &named("bob", "cn=a"), 6),
        (named("nobody", "CN=a"), 1),
    ] {
        match parse(&text) {
            Err(Unusable::Wrong { line: found, .. }) => assert_eq!(found, line, "{text}"),
            _ => panic!("{text}"),
        }
    }
}
