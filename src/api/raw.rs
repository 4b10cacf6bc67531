//! Bodies that are taken byte for byte, so that nothing looks into them too early; the specification shows an example of
//! each.

use poem::{Body, FromRequest, Request, RequestBody};
use poem_openapi::registry::{MetaMediaType, MetaRequest, MetaSchema, MetaSchemaRef};
use poem_openapi::{ApiExtractor, ApiExtractorType, ExtractParamOptions};

use super::examples::{MESSAGE_BODY, RULES_BODY};

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

raw! {
    /// One message as a sender sent it, or would.
    Message = MESSAGE_BODY;
    /// A rules file, in YAML.
    RulesFile = RULES_BODY;
}
