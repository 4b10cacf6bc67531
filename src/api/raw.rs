//! Bodies that are taken byte for byte, so that nothing looks into them too early; the specification shows an example of
//! each.

use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use futures_util::TryStreamExt;
use poem::http::StatusCode;
use poem::{Body, FromRequest, Request, RequestBody};
use poem_openapi::registry::{MetaMediaType, MetaRequest, MetaSchema, MetaSchemaRef};
use poem_openapi::{ApiExtractor, ApiExtractorType, ExtractParamOptions};

use super::problem::Problem;
use crate::collection::EXAMPLE;
use crate::inbox::{Inbox, Payload, Room};

macro_rules! raw {
    ($($(#[$doc:meta])* $name:ident = $example:expr, $others:expr;)*) => {$(
        $(#[$doc])*
        pub struct $name(pub Body);

        impl<'a> ApiExtractor<'a> for $name {
            const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::RequestObject];
            type ParamType = ();
            type ParamRawType = ();

            fn request_meta() -> Option<MetaRequest> {
                let content = |content_type| MetaMediaType {
                    content_type,
                    schema: MetaSchemaRef::Inline(Box::new(MetaSchema {
                        format: Some("binary"),
                        example: Some($example.into()),
                        ..MetaSchema::new("string")
                    })),
                };
                Some(MetaRequest {
                    description: None,
                    content: std::iter::once(&BYTES).chain($others).copied().map(content).collect(),
                    required: true,
                })
            }

            async fn from_request(
                request: &'a Request,
                body: &mut RequestBody,
                _: ExtractParamOptions<()>,
            ) -> poem::Result<Self> {
                check_media_type(request, $others)?;
                Ok(Self(<Body as FromRequest>::from_request(request, body).await?))
            }
        }
    )*};
}

/// What the specification shows of a definition.
pub const DEFINITION: &str = "\
collection: purchases
one: purchase
schema:
  type: object
  required: [purchase_id, customer, amount]
  properties:
    purchase_id: {type: string, minLength: 1}
    customer: {type: string, minLength: 1}
    amount: {type: integer, minimum: 0}
key: /purchase_id
lookups: [/customer]
rules:
  - {id: not_absurd, field: /amount, message: Nobody pays that much., rule: purchase.amount < 100000000}
";

raw! {
    /// One message as a sender sent it, or would.
    Message = EXAMPLE, &["application/json"];
    /// A definition, in YAML.
    DefinitionFile = DEFINITION, &["application/yaml"];
}

/// What is in the body, as it is: the type of whoever names none.
const BYTES: &str = "application/octet-stream";

/// A browser sends some types for any page, without asking first; none of those is taken. It says what to name instead, for curl
/// names one of them.
pub fn check_media_type(request: &Request, others: &[&str]) -> Result<(), Problem> {
    let named = request.content_type().unwrap_or(BYTES);
    let named = named.split(';').next().unwrap_or_default().trim();
    let is = |taken: &&str| named.eq_ignore_ascii_case(taken);
    let json =
        others.contains(&"application/json") && named.to_ascii_lowercase().ends_with("+json");
    if is(&BYTES) || others.iter().any(is) || json {
        return Ok(());
    }
    Err(Problem::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "unsupported-media-type",
        format!(
            "The body is called {named:?}; here {BYTES} or {} is taken (curl: -H 'content-type: {BYTES}').",
            others.join(" or ")
        ),
    ))
}

const BODY_TIME: Duration = Duration::from_secs(30);
/// What is read of a body that is too large, for its sender's sake.
const MOST_DRAINED: usize = 16 << 20;

/// A body, bounded in size and in time.
pub async fn whole_body(body: Body, limit: usize) -> Result<Bytes, Problem> {
    Ok(bounded(read(body, limit, None)).await?.bytes)
}

/// A message's body. It takes room in the inbox while it arrives, piece by piece: if there is no more room, it is refused before
/// the rest of it has come.
pub async fn message_body(body: Body, limit: usize, inbox: &Inbox) -> Result<Payload, Problem> {
    bounded(read(body, limit, Some(inbox))).await
}

async fn bounded(
    reading: impl Future<Output = Result<Payload, Problem>>,
) -> Result<Payload, Problem> {
    let late = |_| {
        Problem::new(
            StatusCode::REQUEST_TIMEOUT,
            "too-slow",
            format!("The body did not arrive within {} s.", BODY_TIME.as_secs()),
        )
    };
    let read = tokio::time::timeout(BODY_TIME, reading).await;
    read.map_err(late)?
}

/// Takes room for each piece before it is kept, if there is an inbox to take it from.
async fn read(body: Body, limit: usize, inbox: Option<&Inbox>) -> Result<Payload, Problem> {
    let unreadable = |error| Problem::bad_request(format!("The body could not be read: {error}."));
    let mut pieces = pin!(body.into_bytes_stream());
    let (mut bytes, mut room) = (Vec::new(), Room::default());
    while let Some(piece) = pieces.try_next().await.map_err(unreadable)? {
        let kept = match bytes.len() + piece.len() > limit {
            true => Err(too_large(limit)),
            false => inbox.map_or(Ok(()), |inbox| Ok(inbox.take_room(&mut room, piece.len())?)),
        };
        if let Err(problem) = kept {
            // Others may have it while the rest is read.
            drop((bytes, room));
            // A client that is still sending would hear of a broken connection, and not what was wrong.
            let mut drained = piece.len();
            while drained < MOST_DRAINED
                && let Some(piece) = pieces.try_next().await.map_err(unreadable)?
            {
                drained += piece.len();
            }
            return Err(problem);
        }
        bytes.extend_from_slice(&piece);
    }
    // Without the room that it had to grow.
    let bytes = bytes.into_boxed_slice().into();
    Ok(Payload { bytes, room })
}

fn too_large(limit: usize) -> Problem {
    Problem::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        "too-large",
        format!(
            "The body is larger than {limit} bytes, the most that is taken here; of a message, --max-body-bytes sets the limit."
        ),
    )
}
