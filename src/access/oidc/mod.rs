//! OpenID Connect: an issuer says who somebody is, and which roles that one has there; the tokens file says what those let one
//! do here. Scripts show the issuer's JWT as they would a token; the page gets one by signing in there. Called by the gate.
//!
//! Its invariants: what a JWT is checked by comes from the issuer that was set, and never from the JWT itself; what cannot
//! be checked proves nothing. The issuer is asked in the background and for a key that is not known, never for each
//! request: while it is away, the keys that it had go on for a bounded time. Deliberately absent: sessions of our own (the
//! JWT is the session, and ends when it says), refresh tokens, and asking the issuer whether it has changed its mind.

mod claims;
mod crypto;
mod flow;
mod issuer;
mod keys;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use jsonwebtoken::Header;
use quick_cache::sync::Cache;
use sha2::{Digest, Sha256};
use tokio::sync::Mutex;

use self::claims::{Claims, verified};
use self::issuer::{Discovery, Issuer};
use self::keys::Keys;
use super::principal::Principal;
use super::roles::Roles;

pub use claims::NotProven;
pub use flow::{NotSignedIn, Secrets};
pub use issuer::{Unusable, Wrong};

/// How often the issuer's keys are read again: so long at most a key that it has withdrawn still counts.
pub const EVERY: Duration = Duration::from_secs(600);
/// How long keys count after the issuer was last heard: a night, in which nobody mends it, and no more.
const COUNT_FOR: Duration = Duration::from_secs(12 * 3600);
/// For keys that are not known the issuer is asked once in this time, however many come with some.
const PAUSE: Duration = Duration::from_secs(10);
/// JWTs that were checked and are remembered: some 5 MB. Checking one by RSA takes 30 µs, and finding it here a tenth.
const REMEMBERED: usize = 10_000;
/// The longest JWT that is looked at: an issuer of many groups writes some kB.
const MAX_BYTES: usize = 16 << 10;

#[derive(Clone, Debug)]
pub struct Settings {
    pub issuer: String,
    pub client_id: String,
    /// None: a public client, whose codes PKCE protects.
    pub client_secret: Option<String>,
    /// Whom JWTs are for, beside the client itself.
    pub audience: Option<String>,
    /// Where in a JWT the roles are: names with dots between them.
    pub roles_claim: String,
    pub scope: String,
    pub ca_file: Option<PathBuf>,
}

/// What the issuer said when it was last heard.
struct Known {
    /// Another for other keys.
    generation: u64,
    text: Vec<u8>,
    keys: Arc<Keys>,
    discovery: Discovery,
    heard: Instant,
}

impl Known {
    fn counts(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.heard) < COUNT_FOR
    }
}

#[derive(Clone)]
struct Remembered {
    generation: u64,
    principal: Principal,
}

/// Who came back from the issuer's page, and what proves it.
pub struct SignedIn {
    pub principal: Principal,
    /// By which the issuer knows that one, whatever the name: for the log.
    pub subject: String,
    pub id_token: String,
}

pub struct Oidc {
    settings: Settings,
    issuer: Issuer,
    known: RwLock<Option<Arc<Known>>>,
    /// When it was last asked for what was not known, and how that ended; held while it is asked, so that one asks for all.
    asked: Mutex<Option<(Instant, Result<(), Unusable>)>>,
    well: AtomicBool,
    remembered: Cache<[u8; 32], Remembered>,
}

impl Oidc {
    pub fn new(settings: Settings) -> Result<Self, Wrong> {
        crypto::install();
        Ok(Self {
            issuer: Issuer::new(&settings.issuer, settings.ca_file.as_deref())?,
            settings,
            known: RwLock::new(None),
            asked: Mutex::new(None),
            well: AtomicBool::new(false),
            remembered: Cache::new(REMEMBERED),
        })
    }

    /// Whether the issuer answered when it was last asked.
    pub fn is_well(&self) -> bool {
        self.well.load(Ordering::Relaxed)
    }

    /// As `iss` names it.
    pub fn name(&self) -> &str {
        &self.issuer.name
    }

    /// Where people sign in, for a button.
    pub fn host(&self) -> &str {
        &self.issuer.host
    }

    /// Who shows this JWT.
    pub async fn find(&self, token: &str, roles: &Roles) -> Result<Principal, NotProven> {
        let digest: [u8; 32] = Sha256::digest(token).into();
        if let Some(known) = self.known()
            && let Some(found) = self.remembered.get(&digest)
            && found.generation == known.generation
            && !found.principal.is_over()
        {
            return Ok(found.principal);
        }
        // On the heap: each request waits here, most of them for nothing, and what is below is large.
        Box::pin(self.checked(token, digest, roles)).await
    }

    async fn checked(
        &self,
        token: &str,
        digest: [u8; 32],
        roles: &Roles,
    ) -> Result<Principal, NotProven> {
        let audience = self.settings.audience.as_deref();
        let audiences: Vec<&str> = audience
            .into_iter()
            .chain([self.settings.client_id.as_str()])
            .collect();
        let (claims, generation) = self.claims(token, &audiences).await?;
        let principal = self.principal(&claims, roles)?;
        let remembered = Remembered {
            generation,
            principal: principal.clone(),
        };
        self.remembered.insert(digest, remembered);
        Ok(principal)
    }

    /// Who an ID token speaks of, if it was made for this sign-in.
    async fn of_sign_in(
        &self,
        id_token: String,
        nonce: &str,
        roles: &Roles,
    ) -> Result<SignedIn, NotProven> {
        let client = self.settings.client_id.as_str();
        let (claims, _) = self.claims(&id_token, &[client]).await?;
        if claims.text("nonce") != Some(nonce) {
            return Err(NotProven::OtherSignIn);
        }
        // Of several audiences, the one that it was made for.
        if claims.text("azp").is_some_and(|party| party != client) {
            return Err(NotProven::OtherAudience);
        }
        Ok(SignedIn {
            principal: self.principal(&claims, roles)?,
            subject: claims.text("sub").unwrap_or_default().to_owned(),
            id_token,
        })
    }

    async fn claims(&self, token: &str, audiences: &[&str]) -> Result<(Claims, u64), NotProven> {
        let header = header(token)?;
        let known = self.with_key_of(&header).await?;
        let key = known.keys.find(&header).ok_or(NotProven::UnknownKey)?;
        let claims = verified(token, &header, key, &self.issuer.name, audiences)?;
        Ok((claims, known.generation))
    }

    fn principal(&self, claims: &Claims, roles: &Roles) -> Result<Principal, NotProven> {
        let (name, claim) = (claims.name()?, &self.settings.roles_claim);
        let found = roles.principal(name, claims.values(claim), claims.expires()?);
        found.ok_or_else(|| NotProven::NoRole {
            name: name.to_owned(),
            claim: claim.clone(),
        })
    }

    /// What counts of what the issuer said.
    fn known(&self) -> Option<Arc<Known>> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.clone().filter(|known| known.counts(Instant::now()))
    }

    /// The issuer is asked if it has not been heard for so long that nothing counts, or if the key is new.
    async fn with_key_of(&self, header: &Header) -> Result<Arc<Known>, NotProven> {
        let away = |why: Unusable| NotProven::Away(why.to_string());
        match self.known() {
            Some(known) if known.keys.find(header).is_some() => Ok(known),
            Some(known) => {
                self.ask_again().await.map_err(away)?;
                Ok(self.known().unwrap_or(known))
            }
            None => self.heard().await.map_err(away),
        }
    }

    async fn heard(&self) -> Result<Arc<Known>, Unusable> {
        if let Some(known) = self.known() {
            return Ok(known);
        }
        self.ask_again().await?;
        self.known().ok_or(Unusable::NoKeys)
    }

    /// Unless it was asked a moment ago: then how that ended. What it was told meanwhile, by whoever asked first, counts for
    /// all who wait here.
    async fn ask_again(&self) -> Result<(), Unusable> {
        let before = self.generation();
        let mut asked = self.asked.lock().await;
        if self.generation() != before {
            return Ok(());
        }
        if let Some((at, ended)) = &*asked
            && at.elapsed() < PAUSE
        {
            return ended.clone();
        }
        let ended = self.ask().await.map(|_| ());
        *asked = Some((Instant::now(), ended.clone()));
        ended
    }

    /// Asks for the keys, whatever is known; how many there are if they are others than before.
    pub async fn refresh(&self) -> Result<Option<usize>, Unusable> {
        let _one = self.asked.lock().await;
        self.ask().await
    }

    fn generation(&self) -> Option<u64> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.as_ref().map(|known| known.generation)
    }

    async fn ask(&self) -> Result<Option<usize>, Unusable> {
        let answered = self.answer().await;
        self.well.store(answered.is_ok(), Ordering::Relaxed);
        answered
    }

    async fn answer(&self) -> Result<Option<usize>, Unusable> {
        let discovery = self.issuer.discover().await?;
        let text = self.issuer.get(&discovery.jwks_uri).await?;
        let read = Keys::read(&text).map_err(|error| Unusable::Unreadable {
            url: discovery.jwks_uri.clone(),
            problem: error.to_string(),
        })?;
        if read.len() == 0 {
            return Err(Unusable::NoKeys);
        }
        let count = read.len();
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let (generation, keys) = match known.as_ref() {
            Some(known) if known.text == text => (known.generation, known.keys.clone()),
            Some(known) => (known.generation + 1, Arc::new(read)),
            None => (1, Arc::new(read)),
        };
        let changed = known
            .as_ref()
            .is_none_or(|before| before.generation != generation);
        *known = Some(Arc::new(Known {
            generation,
            text,
            keys,
            discovery,
            heard: Instant::now(),
        }));
        Ok(changed.then_some(count))
    }
}

/// What a JWT says of itself; believed in nothing but which of the issuer's keys to try.
fn header(token: &str) -> Result<Header, NotProven> {
    if token.len() > MAX_BYTES {
        return Err(NotProven::NoJwt);
    }
    let header = jsonwebtoken::decode_header(token).map_err(|_| NotProven::NoJwt)?;
    // Issuers sign other things with the same keys: a logout, say, is not a sign-in.
    let kinds = ["jwt", "at+jwt", "application/at+jwt"];
    match &header.typ {
        Some(kind) if !kinds.contains(&kind.to_ascii_lowercase().as_str()) => {
            Err(NotProven::OtherType(kind.chars().take(50).collect()))
        }
        _ => Ok(header),
    }
}

#[cfg(test)]
mod tests;
