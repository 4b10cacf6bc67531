//! Who asks.

use hyper::Request;

use super::host::Names;
use super::{Refused, site};
use crate::access::{Principal, Proof};

pub struct Who {
    /// Where nobody is asked for proof.
    everybody: Principal,
}

impl Who {
    pub fn new(on_loopback: bool) -> Self {
        let proof = match on_loopback {
            true => Proof::Local,
            false => Proof::Open,
        };
        Self {
            everybody: Principal::everybody(proof),
        }
    }

    /// What a browser sends by itself counts only if a page of ours asks for it.
    pub fn find<B>(&self, request: &Request<B>, names: &Names) -> Result<Principal, Refused> {
        site::check(request, names)?;
        Ok(self.everybody.clone())
    }
}
