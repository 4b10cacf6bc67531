words! {
    pub enum What {
        /// Somebody signed in to the page.
        SignedIn = "signed_in",
        /// Somebody tried to, and was not who he said.
        SignInFailed = "sign_in_failed",
        /// Somebody signed out.
        SignedOut = "signed_out",
        /// A request was refused: not known, not allowed, or from elsewhere.
        Refused = "refused",
        /// Orders or letters were taken out.
        Exported = "exported",
        /// A replay was asked for.
        Replay = "replay",
        /// An operation was paused, resumed or cancelled.
        Steered = "steered",
        /// Somebody was seen from an address for the first time.
        NewAddress = "new_address",
    }
}

/// Texts come from clients: they are cut, and hold no NUL.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Entry {
    pub what: What,
    pub who: String,
    pub proof: &'static str,
    pub address: String,
    pub detail: String,
}

const LONGEST: usize = 500;

impl Entry {
    pub fn new(what: What, who: &str, proof: &'static str, address: &str, detail: &str) -> Self {
        let cut = |text: &str| {
            text.chars()
                .filter(|char| *char != '\0')
                .take(LONGEST)
                .collect()
        };
        Self {
            what,
            who: cut(who),
            proof,
            address: cut(address),
            detail: cut(detail),
        }
    }
}
