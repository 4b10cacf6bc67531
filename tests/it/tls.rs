//! Postgres behind TLS, as managed ones are: each sslmode does what libpq means by it, and a server that is not the one we
//! mean is refused in words.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;

use rcgen::date_time_ymd;

use crate::harness::{Authority, Bench, Certificate, Line, Proxy, Weight, check, order};
use crate::hosts::two_addresses;
use crate::settings::{is_told, waybill};

/// The only name that the server's certificate has.
const NAME: &str = "db.waybill.test";

const HBA: &str = "
local all all trust
hostssl certified waybill 127.0.0.1/32 cert
hostssl all waybill 127.0.0.1/32 scram-sha-256
";

struct Secured {
    bench: Bench,
    authority: Authority,
    /// Somebody else's, that knows nothing of our server.
    stranger: Authority,
    password: String,
    port: u16,
}

/// A Postgres that takes nobody over TCP but by TLS.
async fn secured() -> Secured {
    let mut bench = Bench::with_own_postgres(Weight::Light, &[]).await;
    let dir = bench.dir.clone();
    let authority = Authority::new(&dir, "authority");
    let stranger = Authority::new(&dir, "stranger");
    let sql = bench.sql().await;
    sql.run("create database certified owner waybill").await;
    sql.run("alter system set ssl = on").await;
    sql.run("alter system set ssl_ca_file = 'root.crt'").await;
    drop(sql);
    let Certificate { certificate, key } = authority.issue("server", &[NAME]);
    let postgres = bench.postgres();
    let data = postgres.data_dir().to_owned();
    give(&data, "root.crt", &fs::read(&authority.root).unwrap());
    give(&data, "server.crt", &fs::read(certificate).unwrap());
    give(&data, "server.key", &fs::read(key).unwrap());
    give(&data, "pg_hba.conf", HBA.as_bytes());
    postgres.stop().await;
    postgres.start_again().await.unwrap();
    let url = postgres.tcp_url().unwrap();
    let (_, rest) = url.split_once("waybill:").unwrap();
    let (password, _) = rest.split_once('@').unwrap();
    Secured {
        password: password.to_owned(),
        port: postgres.tcp_address().unwrap().port(),
        bench,
        authority,
        stranger,
    }
}

/// A file of the server's own, which is nobody else's to read.
fn give(data: &Path, name: &str, bytes: &[u8]) {
    let (path, owner) = (data.join(name), fs::metadata(data).unwrap());
    fs::write(&path, bytes).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    chown(&path, Some(owner.uid()), Some(owner.gid())).unwrap();
}

impl Secured {
    /// By the name in the certificate.
    fn by_name(&self, parameters: &str) -> String {
        let Self { password, port, .. } = self;
        format!(
            "postgresql://waybill:{password}@{NAME}:{port}/waybill?hostaddr=127.0.0.1&{parameters}"
        )
    }

    /// By an address that the certificate does not name.
    fn by_address(&self, parameters: &str) -> String {
        let Self { password, port, .. } = self;
        format!("postgresql://waybill:{password}@127.0.0.1:{port}/waybill?{parameters}")
    }
}

fn root(authority: &Authority) -> String {
    let path = authority.root.to_str().unwrap();
    format!("sslrootcert={}", path.replace('/', "%2F"))
}

#[tokio::test]
async fn each_sslmode_serves() {
    let secured = secured().await;
    let root = root(&secured.authority);
    let file = secured.bench.dir.join("password");
    fs::write(&file, format!("{}\n", secured.password)).unwrap();
    let without_password = secured.by_name(&format!("sslmode=verify-full&{root}"));
    let without_password = without_password.replace(&format!(":{}@", secured.password), "@");
    let key_value = format!(
        "host={NAME} hostaddr=127.0.0.1 port={} user=waybill password={} dbname=waybill sslmode=verify-full sslrootcert={}",
        secured.port,
        secured.password,
        secured.authority.root.display()
    );
    for (number, (url, more)) in [
        (secured.by_address("sslmode=require"), None),
        // A server that offers TLS gets it.
        (secured.by_address("sslmode=prefer"), None),
        (
            secured.by_address(&format!("sslmode=verify-ca&{root}")),
            None,
        ),
        (
            without_password,
            Some(["--database-password-file", file.to_str().unwrap()]),
        ),
        (key_value, None),
    ]
    .into_iter()
    .enumerate()
    {
        let mut args = vec!["--database-url", &url];
        args.extend(more.iter().flatten());
        let mut service = secured.bench.serve(None, &args).await;
        service.is_ready().await;
        let order_uid = format!("tls-{number}");
        let position = service.post(order(&order_uid)).await;
        service.rests(20, position).await;
        assert_eq!(service.order(&order_uid).await.status, 200);
        let (all, secret) = sessions(&secured.bench).await;
        assert!(
            all >= 3 && secret == all,
            "{secret} of {all} sessions are by TLS: {url}"
        );
        check(&secured.bench, &service, &Default::default()).await;
        // In order, so that the next need not wait for the lease.
        service.stop().await;
    }
}

/// Each of its addresses is dialled, and the name stays what the certificate must have.
#[tokio::test]
async fn a_name_with_several_addresses_stays_the_one_that_is_verified() {
    let mut secured = secured().await;
    let postgres = secured.bench.postgres().tcp_address().unwrap();
    let dead = format!("127.0.0.2:{}", secured.port).parse().unwrap();
    let dead = Proxy::at(dead, postgres).await;
    dead.set(Line::Hole);
    let root = root(&secured.authority);
    let url = secured.by_name(&format!("sslmode=verify-full&{root}"));
    let url = url.replace("hostaddr=127.0.0.1&", "");
    let environment = two_addresses(&secured.bench);
    let args = ["--database-url", &url];
    let service = secured.bench.serve_in(&[&environment], None, &args).await;
    service.is_ready().await;
    let (all, secret) = sessions(&secured.bench).await;
    assert!(all >= 3 && secret == all, "{secret} of {all}");
}

/// Ours, and those of them by TLS.
async fn sessions(bench: &Bench) -> (i64, i64) {
    let sql = bench.sql().await;
    let rows = sql
        .rows(
            "select count(*), count(*) filter (where s.ssl) from pg_stat_ssl s join pg_stat_activity a using (pid)
             where a.application_name like 'waybill %' and a.usename = 'waybill'",
        )
        .await;
    (rows[0].get(0), rows[0].get(1))
}

#[tokio::test]
async fn a_server_that_is_not_the_one_we_mean_is_refused() {
    let secured = secured().await;
    let (ours, strangers) = (root(&secured.authority), root(&secured.stranger));
    for (url, words) in [
        (
            secured.by_address(&format!("sslmode=verify-full&{ours}")),
            vec!["127.0.0.1", NAME],
        ),
        (
            secured.by_name(&format!("sslmode=verify-full&{strangers}")),
            vec!["sslrootcert"],
        ),
        (
            secured.by_name(&format!("sslmode=verify-ca&{strangers}")),
            vec!["sslrootcert"],
        ),
        // As libpq has it: a root that is named is asked, also here.
        (
            secured.by_address(&format!("sslmode=require&{strangers}")),
            vec!["sslrootcert"],
        ),
        // The system's roots know nothing of ours.
        (secured.by_name("sslmode=verify-full"), vec!["sslrootcert"]),
        // The server will not have it.
        (secured.by_address("sslmode=disable"), vec!["pg_hba.conf"]),
        (
            secured.by_address("sslmode=require&sslrootcert=/no/such/file"),
            vec!["/no/such/file"],
        ),
    ] {
        // The one that ends in any case comes first.
        is_told(&["migrate", "--database-url", &url], 2, &words);
        let serve = ["serve", "--listen", "127.0.0.1:0", "--database-url", &url];
        is_told(&serve, 2, &words);
    }
}

#[tokio::test]
async fn a_server_whose_certificate_has_expired_is_refused() {
    let mut secured = secured().await;
    let url = secured.by_name(&format!("sslmode=verify-full&{}", root(&secured.authority)));
    assert!(
        waybill(&["migrate", "--database-url", &url])
            .status
            .success()
    );
    let expired = secured.authority.issue_with("expired", &[NAME], |params| {
        params.not_after = date_time_ymd(2020, 1, 1);
    });
    let data = secured.bench.postgres().data_dir().to_owned();
    give(&data, "server.crt", &fs::read(expired.certificate).unwrap());
    give(&data, "server.key", &fs::read(expired.key).unwrap());
    secured.bench.postgres().stop().await;
    secured.bench.postgres().start_again().await.unwrap();
    is_told(
        &["migrate", "--database-url", &url],
        2,
        &["certificate", "xpired"],
    );
}

#[tokio::test]
async fn a_client_is_known_by_its_certificate() {
    let secured = secured().await;
    let url = |client: &Certificate| {
        let parameters = format!(
            "sslmode=verify-full&{}&sslcert={}&sslkey={}",
            root(&secured.authority),
            client.certificate.display(),
            client.key.display()
        );
        secured
            .by_name(&parameters)
            .replace("/waybill?", "/certified?")
    };
    let ours = url(&secured.authority.issue("waybill", &[]));
    let output = waybill(&["migrate", "--database-url", &ours]);
    assert!(output.status.success(), "{output:?}");
    // One that says it is another's, and none at all.
    let anothers = url(&secured.authority.issue("another", &[]));
    let none = ours.split("&sslcert").next().unwrap();
    for url in [&anothers, none] {
        is_told(&["migrate", "--database-url", url], 2, &[]);
    }
    // The key is another's: it could be known before anything is dialled.
    let other_key = secured.stranger.issue("other", &[]);
    let path = secured.bench.dir.join("waybill.key");
    let mixed = ours.replace(path.to_str().unwrap(), other_key.key.to_str().unwrap());
    is_told(&["migrate", "--database-url", &mixed], 2, &["sslkey"]);
}
