//! A JSON body, read strictly: a misspelt field is said to be one, and a number is no text. What a client meant and we did
//! not hear would be a decision that it did not make. A field that is null is one that was not given.

use poem::http::StatusCode;
use poem::{Body, FromRequest, Request, RequestBody};
use poem_openapi::registry::{MetaMediaType, MetaRequest, Registry};
use poem_openapi::types::Type;
use poem_openapi::{ApiExtractor, ApiExtractorType, ExtractParamOptions};
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use super::problem::Problem;
use super::raw::whole_body;

/// A set may name a million letters.
const MAX_BYTES: usize = 16 << 20;
const MEDIA_TYPE: &str = "application/json";

pub struct Strict<T>(pub T);

impl<'a, T: DeserializeOwned + Type> ApiExtractor<'a> for Strict<T> {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::RequestObject];
    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        T::register(registry);
    }

    fn request_meta() -> Option<MetaRequest> {
        Some(MetaRequest {
            description: None,
            content: vec![MetaMediaType {
                content_type: MEDIA_TYPE,
                schema: T::schema_ref(),
            }],
            required: T::IS_REQUIRED,
        })
    }

    async fn from_request(
        request: &'a Request,
        body: &mut RequestBody,
        _: ExtractParamOptions<()>,
    ) -> poem::Result<Self> {
        let named = request.content_type().unwrap_or(MEDIA_TYPE);
        let named = named.split(';').next().unwrap_or_default().trim();
        if !named.eq_ignore_ascii_case(MEDIA_TYPE) && !named.ends_with("+json") {
            return Err(Problem::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "unsupported-media-type",
                format!("The body is {named:?}, but {MEDIA_TYPE} is taken here."),
            )
            .into());
        }
        let body = <Body as FromRequest>::from_request(request, body).await?;
        let bytes = whole_body(body, MAX_BYTES).await?;
        Ok(Self(read(&bytes)?))
    }
}

fn read<T: DeserializeOwned + Type>(bytes: &[u8]) -> Result<T, Problem> {
    let bytes = match (bytes, T::IS_REQUIRED) {
        (b"", true) => return Err(Problem::bad_request("There is no body; /docs shows one.")),
        (b"", false) => b"null",
        _ => bytes,
    };
    // serde reads a list as the fields in their order.
    if bytes.trim_ascii_start().first() == Some(&b'[') {
        return Err(Problem::bad_request("The body is a list, not an object."));
    }
    serde_json::from_slice(bytes).map_err(|error| {
        Problem::bad_request(format!("The body is not what is asked for here: {error}."))
    })
}

/// For fields that are the empty text, or false, where they are null.
pub fn given<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// The same for an object in an object, which is no list either.
pub fn given_object<'de, D: Deserializer<'de>, T: DeserializeOwned + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    match Option::<Map<String, Value>>::deserialize(deserializer)? {
        Some(fields) => T::deserialize(Value::Object(fields)).map_err(D::Error::custom),
        None => Ok(T::default()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::dead_letters::DecisionRequest;
    use super::super::operations::{BulkBody, ReplayBody};
    use super::*;

    /// What is said of it; none where it is taken.
    fn said<T: DeserializeOwned + Type>(body: &str) -> Option<String> {
        read::<T>(body.as_bytes())
            .err()
            .map(|problem| problem.detail)
    }

    #[test]
    fn what_is_not_understood_is_said() {
        let decide = said::<Option<DecisionRequest>>;
        for body in [
            "",
            "null",
            "{}",
            r#"{"as": "Ada", "reason": "mine"}"#,
            r#"{"as": null}"#,
        ] {
            assert_eq!(decide(body), None, "{body}");
        }
        let (bulk, replay) = (said::<BulkBody>, said::<Option<ReplayBody>>);
        for body in [
            r#"{"action": "retry", "all": true}"#,
            r#"{"action": "note", "filter": {"ids": [1], "state": null}, "rate": null, "all": null, "reason": "x"}"#,
        ] {
            assert_eq!(bulk(body), None, "{body}");
        }
        for (said, place) in [
            (decide(r#"{"reson": "a test"}"#), "`reson`"),
            (decide(r#"{"as": 7}"#), "integer `7`"),
            (decide(r#"{"reason": true}"#), "boolean `true`"),
            (decide(r#"{"as": "Ada", "as": "Eve"}"#), "`as`"),
            (decide(" []"), "a list"),
            (
                bulk(r#"{"action": "retry", "filter": ["open"]}"#),
                "sequence",
            ),
            (bulk(""), "no body"),
            (bulk("{}"), "`action`"),
            (bulk(r#"{"action": "explode"}"#), "`explode`"),
            (bulk(r#"{"action": "retry", "dryrun": true}"#), "`dryrun`"),
            (
                bulk(r#"{"action": "retry", "filter": {"stat": "open"}}"#),
                "`stat`",
            ),
            (
                bulk(r#"{"action": "retry", "filter": {"state": 1}}"#),
                "integer `1`",
            ),
            (
                bulk(r#"{"action": "retry", "all": "true"}"#),
                "string \"true\"",
            ),
            (
                bulk(r#"{"action": "retry", "rate": "500"}"#),
                "string \"500\"",
            ),
            (replay(r#"{"because": "x"}"#), "`because`"),
        ] {
            let said = said.unwrap_or_else(|| panic!("{place} was taken"));
            assert!(said.contains(place), "{said}: {place}");
        }
    }
}
