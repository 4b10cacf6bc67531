//! What is wrong in a schema, and where.

/// What is wrong in a schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// Where in the schema, as a JSON pointer.
    pub pointer: String,
    pub message: String,
    /// The key or lookup that it is about, if it is not about the schema itself.
    pub of: Option<String>,
}

pub type Result<T> = std::result::Result<T, Mistake>;

pub fn mistake<T>(pointer: &str, message: impl Into<String>) -> Result<T> {
    Err(Mistake {
        pointer: pointer.to_owned(),
        message: message.into(),
        of: None,
    })
}

/// About a key or a lookup.
pub fn misled<T>(pointer: &str, message: impl Into<String>) -> Result<T> {
    Err(Mistake {
        pointer: String::new(),
        message: message.into(),
        of: Some(pointer.to_owned()),
    })
}
