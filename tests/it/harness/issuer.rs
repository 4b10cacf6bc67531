//! An OpenID Connect issuer: npm's oidc-provider in a process of its own (tests/ui/issuer.mjs), which does what it is told.

use std::path::Path;
use std::process::Stdio;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use super::{Certificate, Service, within};

pub struct Issuer {
    /// What it is called, as in `iss`.
    pub url: String,
    wishes: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
    /// It dies with the test, and with its stdin.
    _node: Child,
}

impl Issuer {
    pub async fn start() -> Self {
        Self::over(None).await
    }

    pub async fn over(certificate: Option<&Certificate>) -> Self {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/ui");
        assert!(
            dir.join("node_modules/oidc-provider").is_dir(),
            "the issuer is missing: run `make tools`"
        );
        let mut command = Command::new("node");
        command
            .arg("issuer.mjs")
            .current_dir(&dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true);
        if let Some(certificate) = certificate {
            command
                .env("ISSUER_CERT", &certificate.certificate)
                .env("ISSUER_KEY", &certificate.key);
        }
        let mut node = command.spawn().unwrap();
        let wishes = node.stdin.take().unwrap();
        let answers = BufReader::new(node.stdout.take().unwrap()).lines();
        let mut issuer = Self {
            url: String::new(),
            wishes,
            answers,
            _node: node,
        };
        let called = issuer.wish(json!({"wish": "issuer"})).await;
        issuer.url = called["issuer"].as_str().unwrap().to_owned();
        issuer
    }

    pub async fn wish(&mut self, wish: Value) -> Value {
        let line = format!("{wish}\n");
        self.wishes.write_all(line.as_bytes()).await.unwrap();
        within(30, &format!("the issuer does {wish}"), async {
            loop {
                let line = self.answers.next_line().await.unwrap();
                let line = line.expect("the issuer is there");
                if let Some(answer) = line.strip_prefix("answer ") {
                    return serde_json::from_str(answer).unwrap();
                }
            }
        })
        .await
    }

    pub async fn roles(&mut self, name: &str, roles: &[&str]) {
        self.wish(json!({"wish": "roles", "name": name, "roles": roles}))
            .await;
    }

    /// A JWT with these claims, beside those that every good one has; null takes one of those out.
    pub async fn sign(&mut self, claims: Value) -> String {
        self.forge(json!({ "claims": claims })).await
    }

    /// As `sign`, with more wishes: `header`, and `by` a stranger's key, none, or an HMAC over the public key.
    pub async fn forge(&mut self, mut wish: Value) -> String {
        wish["wish"] = json!("sign");
        self.wish(wish).await["token"].as_str().unwrap().to_owned()
    }

    /// Lets people sign in to this service's page.
    pub async fn knows(&mut self, service: &Service) {
        let back = format!("{}/sign-in/oidc/callback", service.url);
        self.wish(json!({
            "wish": "client", "client_id": "waybill", "redirect_uris": [back],
            "token_endpoint_auth_method": "none",
        }))
        .await;
    }

    pub fn flags(&self) -> [&str; 8] {
        [
            "--oidc-issuer",
            &self.url,
            "--oidc-client-id",
            "waybill",
            "--oidc-audience",
            "waybill-api",
            "--oidc-roles-claim",
            "realm_access.roles",
        ]
    }
}
