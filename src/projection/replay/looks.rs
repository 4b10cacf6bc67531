//! What a replay reads bytes by. Which collection a message belongs to follows the definitions at its position, how its document
//! looks the last definition of that collection.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use super::super::Error;
use super::super::batch::Examine;
use super::super::definitions::{self, Defined, InForce};
use super::super::examine::{Examined, Examiner};
use super::super::sources::Sources;
use crate::collection::{Collection, Id, Keep};
use crate::document::Shape;
use crate::inbox::{Position, SourceId};
use crate::postgres::Client;

/// A collection that there was at some time.
#[derive(Clone)]
pub struct Look {
    pub collection: Arc<Collection>,
    /// Of the last definition.
    pub position: Position,
}

/// All that the log has defined up to a position.
#[derive(Clone, Default)]
pub struct Looks {
    /// By name: from which position on it was which collection; none since it was dropped.
    timeline: BTreeMap<Arc<str>, Vec<(Position, Option<Id>)>>,
    collections: BTreeMap<Id, Look>,
    sources: Sources,
    until: Position,
}

impl Looks {
    pub async fn load(client: &Client, until: Position) -> Result<Self, Error> {
        let mut looks = Self::default();
        looks
            .sources
            .know(client, [SourceId(-1)].into_iter())
            .await?;
        let mut in_force = InForce::default();
        looks.note(&in_force)?;
        let changes = definitions::changes(client, until).await?;
        for change in changes {
            let before = in_force.clone();
            in_force.apply(&change);
            looks.note(&in_force)?;
            looks.note_drops(&before, &in_force);
        }
        looks.until = until;
        Ok(looks)
    }

    fn note(&mut self, in_force: &InForce) -> Result<(), Error> {
        for defined in in_force
            .iter()
            .filter(|one| one.position == in_force.position)
        {
            let line = self.timeline.entry(defined.name.clone()).or_default();
            line.push((defined.position, Some(defined.id)));
            let look = Look {
                collection: defined.collection()?.clone(),
                position: defined.position,
            };
            self.collections.insert(defined.id, look);
        }
        Ok(())
    }

    fn note_drops(&mut self, before: &InForce, after: &InForce) {
        for dropped in before.iter().filter(|one| after.get(&one.name).is_none()) {
            let line = self.timeline.entry(dropped.name.clone()).or_default();
            line.push((after.position, None));
        }
    }

    /// Whether definitions up to this position are known.
    pub fn reaches(&self, position: Position) -> bool {
        position <= self.until
    }

    pub fn until(&self) -> Position {
        self.until
    }

    /// The name of what a source feeds. All sources whose rows are in the log are known: a row is appended after its source.
    pub fn collection(&self, source: SourceId) -> Option<Arc<str>> {
        self.sources.collection(source)
    }

    pub fn sources(&self) -> &Sources {
        &self.sources
    }

    fn at(&self, name: &str, position: Position) -> Option<Id> {
        let line = self.timeline.get(name)?;
        let before = line.iter().rev().find(|(from, _)| *from < position)?;
        before.1
    }

    pub fn look(&self, id: Id) -> Option<&Look> {
        self.collections.get(&id)
    }

    pub fn keep(&self, id: Id) -> Keep {
        self.look(id)
            .map_or(Keep::First, |look| look.collection.keep)
    }

    /// All, with the tables that each has.
    pub fn shapes(&self) -> impl Iterator<Item = (Id, Shape)> {
        let shape = |(id, look): (&Id, &Look)| (*id, Shape::of(&look.collection));
        self.collections.iter().map(shape)
    }

    /// By which definition each is rendered.
    pub fn rendered(&self) -> impl Iterator<Item = (Id, Position)> {
        self.collections
            .iter()
            .map(|(id, look)| (*id, look.position))
    }

    /// None if nothing was defined by that name at the position.
    pub fn examine(
        &self,
        examiner: &mut Examiner,
        name: &str,
        position: Position,
        bytes: &[u8],
    ) -> Option<Examined> {
        let id = self.at(name, position)?;
        let look = self.look(id)?;
        Some(examiner.examine_to_store(bytes, id, &look.collection))
    }
}

/// Letters are examined as their documents look.
pub struct AsTheyLook<'l> {
    pub looks: &'l Looks,
    pub examiner: Examiner,
}

impl Examine for AsTheyLook<'_> {
    fn examine(&mut self, bytes: &Bytes, defined: &Defined) -> Result<Examined, Error> {
        let look = self.looks.look(defined.id);
        let collection = match look {
            Some(look) => &look.collection,
            None => defined.collection()?,
        };
        Ok(self
            .examiner
            .examine_to_store(bytes, defined.id, collection))
    }
}
