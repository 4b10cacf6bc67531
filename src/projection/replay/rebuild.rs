//! What the load of a replay makes at its end: the documents of `latest`, each from the last version that became it, and the sums.

use super::looks::Looks;
use super::{Error, Replay};
use crate::collection::Keep;
use crate::document;
use crate::postgres::Session;

impl Replay<'_> {
    /// To be done again is harmless: after a kill it begins anew.
    pub(super) async fn rebuild(&self, session: &Session, looks: &Looks) -> Result<(), Error> {
        let client = session.client();
        for (id, shape) in looks.shapes() {
            let Some(look) = looks.look(id) else {
                continue;
            };
            if shape.keep == Keep::Latest {
                document::empty_latest(client, id).await?;
                let mut after = Some(String::new());
                while let Some(from) = after {
                    let render = |payload: &[u8]| {
                        let mut stored = Vec::new();
                        look.collection
                            .model
                            .render(payload)
                            .write_stored(&mut stored);
                        stored.into()
                    };
                    after = document::rebuild_latest(client, id, &from, render).await?;
                }
            }
            if shape.sums {
                document::rebuild_sums(client, id).await?;
            }
        }
        Ok(())
    }
}
