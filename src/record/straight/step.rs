//! What the reader does, one after the other.

use std::collections::HashSet;
use std::sync::Arc;

use super::super::check::{NumberCheck, TextCheck, WholeCheck};
use super::super::judge::Judge;

/// First these bytes must stand here: names, punctuation, and the quotes of the texts between them. Then comes something.
#[derive(Debug)]
pub struct Step {
    pub skip: Box<[u8]>,
    pub then: Then,
}

#[derive(Debug)]
pub enum Then {
    Nothing,
    /// A text of which nothing is asked, up to its closing quote.
    Text,
    CheckedText(Arc<TextCheck>),
    Whole {
        least: i64,
        most: i64,
    },
    CheckedWhole(Arc<WholeCheck>),
    Number(Arc<NumberCheck>),
    Truth,
    Any,
    /// Members that the schema does not name, behind those that it does.
    Others(Arc<Members>),
    /// What these steps read is judged as a whole.
    Judged(Box<(Judge, Vec<Step>)>),
    List(Box<ListSteps>),
    /// A field's name, behind a comma if another field stands before it.
    Name(Box<Name>),
    /// An object that may be missing is there.
    Present,
}

#[derive(Debug)]
pub struct Members {
    /// Of the fields that the schema names.
    pub known: HashSet<String>,
    pub judge: Option<Judge>,
}

#[derive(Debug)]
pub struct Name {
    /// With the colon.
    pub quoted: Box<[u8]>,
    /// If the field may be missing.
    pub missing: Option<Missing>,
}

#[derive(Debug)]
pub struct Missing {
    /// How many steps the value has.
    pub steps: usize,
    /// How many slots stay empty without it.
    pub slots: usize,
}

#[derive(Debug)]
pub struct ListSteps {
    pub number: usize,
    pub width: usize,
    pub least: usize,
    pub most: usize,
    pub steps: Vec<Step>,
}
