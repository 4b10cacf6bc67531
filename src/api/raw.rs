//! Bodies that are taken byte for byte, so that nothing looks into them too early; the specification shows an example of
//! each.

use std::time::Duration;

use bytes::Bytes;
use poem::http::StatusCode;
use poem::{Body, FromRequest, Request, RequestBody};
use poem_openapi::registry::{MetaMediaType, MetaRequest, MetaSchema, MetaSchemaRef};
use poem_openapi::{ApiExtractor, ApiExtractorType, ExtractParamOptions};
use tokio::io::AsyncReadExt;

use super::problem::Problem;
use crate::order::schema::EXAMPLE;

macro_rules! raw {
    ($($(#[$doc:meta])* $name:ident = $example:expr;)*) => {$(
        $(#[$doc])*
        pub struct $name(pub Body);

        impl<'a> ApiExtractor<'a> for $name {
            const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::RequestObject];
            type ParamType = ();
            type ParamRawType = ();

            fn request_meta() -> Option<MetaRequest> {
                Some(MetaRequest {
                    description: None,
                    content: vec![MetaMediaType {
                        content_type: "application/octet-stream",
                        schema: MetaSchemaRef::Inline(Box::new(MetaSchema {
                            format: Some("binary"),
                            example: Some($example.into()),
                            ..MetaSchema::new("string")
                        })),
                    }],
                    required: true,
                })
            }

            /// Whatever content type it has: senders call their JSON many things.
            async fn from_request(
                request: &'a Request,
                body: &mut RequestBody,
                _: ExtractParamOptions<()>,
            ) -> poem::Result<Self> {
                Ok(Self(<Body as FromRequest>::from_request(request, body).await?))
            }
        }
    )*};
}

/// What the specification shows of rules.
pub const RULES: &str = "\
- id: amount_adds_up
  message: The amount must be the goods, the delivery and the customs' fee together.
  field: payment.amount
  rule: order.payment.amount == order.payment.goods_total + order.payment.delivery_cost + order.payment.custom_fee
";

raw! {
    /// One message as a sender sent it, or would.
    Message = EXAMPLE;
    /// A rules file, in YAML.
    RulesFile = RULES;
}

const BODY_TIME: Duration = Duration::from_secs(30);
/// What is read of a body that is too large, for its sender's sake.
const MOST_DRAINED: u64 = 16 << 20;

/// A body, bounded in size and in time.
pub async fn whole_body(body: Body, limit: usize) -> Result<Bytes, Problem> {
    let read = async {
        let mut reader = body.into_async_read();
        let mut bytes = Vec::new();
        let most = limit as u64 + 1;
        (&mut reader).take(most).read_to_end(&mut bytes).await?;
        if bytes.len() > limit {
            // A client that is still sending would hear of a broken connection, and not what was wrong.
            tokio::io::copy(&mut reader.take(MOST_DRAINED), &mut tokio::io::sink()).await?;
        }
        Ok::<_, std::io::Error>(bytes)
    };
    match tokio::time::timeout(BODY_TIME, read).await {
        Ok(Ok(bytes)) if bytes.len() <= limit => Ok(Bytes::from(bytes)),
        Ok(Ok(_)) => Err(Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "too-large",
            format!(
                "The body is larger than {limit} bytes, the most that is taken here; of a message, --max-body-bytes sets the limit."
            ),
        )),
        Ok(Err(error)) => Err(Problem::bad_request(format!(
            "The body could not be read: {error}."
        ))),
        Err(_) => Err(Problem::new(
            StatusCode::REQUEST_TIMEOUT,
            "too-slow",
            format!("The body did not arrive within {} s.", BODY_TIME.as_secs()),
        )),
    }
}
