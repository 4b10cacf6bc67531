//! The list of servers, as URLs: where they are, and who we are there.

use std::path::PathBuf;

use async_nats::ServerAddr;

use super::error::{InvalidOption, invalid};

#[derive(Clone, Default)]
pub enum Auth {
    #[default]
    None,
    User {
        user: String,
        password: String,
    },
    Token(String),
    /// A NATS `.creds` file.
    CredentialsFile(PathBuf),
}

/// One server of the list, and who we are there.
#[derive(Clone)]
pub(crate) struct Server {
    pub address: ServerAddr,
    /// Host and port: what may be shown, since the URL can hold a password.
    pub name: String,
    pub auth: Auth,
}

impl Server {
    /// Comma-separated. A server whose URL names no user gets the credentials of the options.
    pub(crate) fn parse_list(urls: &str, auth: &Auth) -> Result<Vec<Server>, InvalidOption> {
        let servers: Vec<_> = urls
            .split(',')
            .map(str::trim)
            .filter(|url| !url.is_empty())
            .map(|url| Server::parse(url, auth))
            .collect::<Result<_, _>>()?;
        if servers.is_empty() {
            return Err(invalid(
                "servers",
                "name at least one, like nats://host:4222",
            ));
        }
        Ok(servers)
    }

    fn parse(url: &str, auth: &Auth) -> Result<Server, InvalidOption> {
        // Neither the URL nor the parser's words are repeated: both may hold the password.
        let unreadable = || invalid("servers", "not an URL like nats://host:4222");
        let address: ServerAddr = url.parse().map_err(|_| unreadable())?;
        if !matches!(address.scheme(), "nats" | "tls") {
            return Err(invalid(
                "servers",
                format!("scheme {}://: use nats:// or tls://", address.scheme()),
            ));
        }
        if address.host().is_empty() {
            return Err(unreadable());
        }
        let auth = match (address.username(), address.password()) {
            (Some(user), Some(password)) => Auth::User {
                user: decode_percent(user).ok_or_else(unreadable)?,
                password: decode_percent(password).ok_or_else(unreadable)?,
            },
            (Some(token), None) => Auth::Token(decode_percent(token).ok_or_else(unreadable)?),
            (None, _) => auth.clone(),
        };
        Ok(Server {
            name: format!("{}:{}", address.host(), address.port()),
            address,
            auth,
        })
    }
}

/// The user and password of an URL are percent-encoded.
fn decode_percent(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let high = char::from(rest.next()?).to_digit(16)?;
            let low = char::from(rest.next()?).to_digit(16)?;
            bytes.push(u8::try_from(high * 16 + low).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_split_and_keep_their_own_credentials() {
        let urls = "nats://ann:p%40ss@one:4000, tls://two ,three,nats://tok@four";
        let servers = Server::parse_list(urls, &Auth::None).unwrap();
        let names: Vec<_> = servers.iter().map(|s| s.name.as_str()).collect();
        assert_eq!(names, ["one:4000", "two:4222", "three:4222", "four:4222"]);
        assert!(
            matches!(&servers[0].auth, Auth::User { user, password } if user == "ann" && password == "p@ss")
        );
        assert!(servers[1].address.tls_required());
        assert!(matches!(servers[2].auth, Auth::None));
        assert!(matches!(&servers[3].auth, Auth::Token(token) if token == "tok"));
    }
}
