//! The run's directory, and the one Postgres that most tests share: a migrated template, and a copy of it for each test.

use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::sync::OnceCell;
use tokio_postgres::NoTls;
use waybill::postgres::{Database, Settings, migrate};
use waybill::sandbox::postgres::{Options, Postgres};

/// A directory, and a janitor that removes it once we are gone: its stdin ends with us, however we end.
struct Run {
    dir: PathBuf,
    _janitor: Child,
}

/// Postgres goes at the same moment: until it has, something may be left.
const JANITOR: &str = r#"
trap '' HUP INT TERM
read -r _
n=0
while [ -e "$1" ] && [ $n -lt 50 ]; do
    sleep 0.3
    rm -rf "$1"
    n=$((n + 1))
done
"#;

static RUN: LazyLock<Run> = LazyLock::new(|| {
    let dir = std::env::temp_dir().join(format!("waybill-it-{:08x}", fastrand::u32(..)));
    std::fs::create_dir_all(&dir).unwrap();
    let janitor = Command::new("/bin/sh")
        .args(["-c", JANITOR, "janitor"])
        .arg(&dir)
        .current_dir("/")
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    Run {
        dir,
        _janitor: janitor,
    }
});

/// A new one in the run's, that Postgres can pass through whoever it runs as.
pub fn directory() -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let dir = RUN.dir.join(number.to_string());
    std::fs::create_dir_all(&dir).unwrap();
    for dir in [&RUN.dir, &dir] {
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(dir, open).unwrap();
    }
    dir
}

const TEMPLATE: &str = "waybill_template";

async fn shared() -> &'static Postgres {
    static SHARED: OnceCell<Postgres> = OnceCell::const_new();
    SHARED
        .get_or_init(|| async {
            let settings = [("shared_buffers", "128MB"), ("max_connections", "400")];
            let dir = directory();
            let options = Options {
                data_dir: dir.join("postgres"),
                // Nobody drops this one, so its socket is where the janitor cleans.
                socket_dir: Some(dir.join("socket")),
                settings: settings
                    .map(|(name, value)| (name.to_owned(), value.to_owned()))
                    .to_vec(),
                ..Default::default()
            };
            let postgres = Postgres::start(options).await.unwrap();
            let create = format!("create database {TEMPLATE}");
            run(&postgres, &create).await;
            // Migrated by another role than the services': they have the rights of a service, and no more.
            let url = postgres.url_as("postgres", TEMPLATE);
            let settings = Settings::parse(&url, None, false).unwrap();
            migrate(&Database::new(settings, 1).unwrap(), Some("waybill"))
                .await
                .unwrap();
            postgres
        })
        .await
}

async fn run(postgres: &Postgres, statement: &str) {
    let (client, connection) = tokio_postgres::connect(&postgres.superuser_url(), NoTls)
        .await
        .unwrap();
    tokio::spawn(connection);
    client.batch_execute(statement).await.unwrap();
}

/// A database of a test's own: its URL for the service, and for the superuser.
pub async fn database() -> (String, String) {
    let (url, superuser_url) = create(&format!("template {TEMPLATE}")).await;
    // What a database as a whole grants is not copied from its template.
    let (client, connection) = tokio_postgres::connect(&superuser_url, NoTls)
        .await
        .unwrap();
    tokio::spawn(connection);
    let grant = "do $$ begin execute format('grant create on database %I to waybill', current_database()); end $$";
    client.batch_execute(grant).await.unwrap();
    (url, superuser_url)
}

/// The service's role owns it, and migrates it itself.
pub async fn empty_database() -> (String, String) {
    create("template template0 owner waybill").await
}

async fn create(from: &str) -> (String, String) {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let postgres = shared().await;
    let name = format!("waybill_{}", COUNT.fetch_add(1, Ordering::Relaxed));
    let create = format!("create database {name} {from}");
    run(postgres, &create).await;
    (
        postgres.url_as("waybill", &name),
        postgres.url_as("postgres", &name),
    )
}
