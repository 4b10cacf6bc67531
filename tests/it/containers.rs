//! Dockerfile, docker-compose.yml and .env.example, read as their users' tools would: no image can be built where the
//! tests run, so what can be seen without Docker is seen here.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use serde::Deserialize;

fn read(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

/// One instruction: its name, and all that follows over its continued lines.
fn instructions(dockerfile: &str) -> Vec<(String, String)> {
    let lines = dockerfile
        .lines()
        .filter(|line| !line.trim_start().starts_with('#'));
    let joined = lines.collect::<Vec<_>>().join("\n").replace("\\\n", " ");
    let instructions = joined
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty());
    instructions
        .map(|line| {
            let (name, rest) = line.split_once(' ').expect("an instruction has arguments");
            (
                name.to_owned(),
                rest.split_whitespace().collect::<Vec<_>>().join(" "),
            )
        })
        .collect()
}

#[test]
fn dockerfile_builds_from_what_is_here_and_runs_unprivileged() {
    let known = "FROM WORKDIR COPY RUN USER EXPOSE HEALTHCHECK ENTRYPOINT CMD ENV ARG LABEL";
    let mut stages: Vec<String> = Vec::new();
    let mut last = BTreeMap::new();
    for (name, rest) in instructions(&read("Dockerfile")) {
        assert!(known.split(' ').any(|known| known == name), "{name}");
        let words: Vec<&str> = rest.split(' ').collect();
        match name.as_str() {
            "FROM" => {
                let (_, tag) = words[0].split_once(':').expect("an image has a tag");
                assert_ne!(tag, "latest");
                stages.push(
                    words
                        .get(2)
                        .map_or(String::new(), |stage| (*stage).to_owned()),
                );
                last.clear();
            }
            "COPY" => match words[0].strip_prefix("--from=") {
                Some(from) => assert!(stages.iter().any(|stage| stage == from), "{from}"),
                None => {
                    for source in &words[..words.len() - 1] {
                        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(source);
                        assert!(path.exists(), "{source} is not in the repository");
                        let ignored = !read(".dockerignore").contains(&format!("!{source}\n"));
                        assert!(!ignored, "{source} is ignored by .dockerignore");
                    }
                }
            },
            _ => {}
        }
        last.insert(name, rest);
    }
    assert_eq!(stages.len(), 2, "what builds is not what runs");
    let (user, _) = last["USER"].split_once(':').unwrap();
    assert_ne!(
        user.parse::<u32>().unwrap(),
        0,
        "a number: Kubernetes checks runAsNonRoot by it"
    );
    for name in ["ENTRYPOINT", "CMD"] {
        // Through a shell, SIGTERM would never arrive.
        let words: Vec<String> = serde_json::from_str(&last[name]).unwrap();
        assert!(!words.is_empty());
    }
}

/// Cargo has to find in the image all that the crate includes at compile time.
#[test]
fn dockerfile_copies_all_that_the_crate_includes() {
    let copied: Vec<String> = instructions(&read("Dockerfile"))
        .into_iter()
        .filter(|(name, rest)| name == "COPY" && !rest.starts_with("--from"))
        .flat_map(|(_, rest)| rest.split(' ').map(str::to_owned).collect::<Vec<_>>())
        .collect();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut dirs = vec![root.join("src")];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(&dir)
            .unwrap()
            .map(|entry| entry.unwrap().path())
        {
            if entry.is_dir() {
                dirs.push(entry);
                continue;
            }
            let text = fs::read(&entry).unwrap();
            let text = String::from_utf8_lossy(&text);
            for macro_name in [
                "include_str!(\"",
                "include_bytes!(\"",
                "embed_migrations!(\"",
            ] {
                for (start, _) in text.match_indices(macro_name) {
                    let path = text[start + macro_name.len()..].split('"').next().unwrap();
                    let base = if macro_name.starts_with("embed") {
                        root
                    } else {
                        &dir
                    };
                    let Ok(included) = fs::canonicalize(base.join(path)) else {
                        continue;
                    };
                    let Ok(inside) = included.strip_prefix(fs::canonicalize(root).unwrap()) else {
                        continue;
                    };
                    let top = inside.iter().next().unwrap().to_string_lossy();
                    assert!(
                        copied.contains(&top.to_string()),
                        "{top}, for {}",
                        entry.display()
                    );
                }
            }
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(dead_code)] // Some are only there to be known.
struct Compose {
    name: String,
    services: BTreeMap<String, Service>,
    volumes: BTreeMap<String, Option<BTreeMap<String, String>>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(dead_code)]
struct Service {
    image: Option<String>,
    build: Option<String>,
    #[serde(default)]
    environment: BTreeMap<String, String>,
    #[serde(default)]
    command: Vec<String>,
    #[serde(default)]
    volumes: Vec<String>,
    #[serde(default)]
    ports: Vec<String>,
    #[serde(default)]
    depends_on: BTreeMap<String, Dependency>,
    #[serde(default)]
    cap_drop: Vec<String>,
    #[serde(default)]
    security_opt: Vec<String>,
    healthcheck: Option<Healthcheck>,
    shm_size: Option<String>,
    read_only: Option<bool>,
    stop_grace_period: Option<String>,
    restart: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Dependency {
    condition: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(dead_code)]
struct Healthcheck {
    test: Vec<String>,
    interval: String,
    timeout: String,
    retries: u32,
}

/// The variables of .env.example, commented out or not.
fn documented() -> BTreeSet<String> {
    read(".env.example")
        .lines()
        .filter_map(|line| line.trim_start_matches('#').split_once('='))
        .map(|(name, _)| name.to_owned())
        .filter(|name| name.starts_with("WAYBILL_"))
        .collect()
}

#[test]
fn compose_file_hangs_together() {
    let compose: Compose = serde_saphyr::from_str(&read("docker-compose.yml")).unwrap();
    for (name, service) in &compose.services {
        assert!(service.image.is_some() != service.build.is_some(), "{name}");
        for volume in &service.volumes {
            assert!(
                compose
                    .volumes
                    .contains_key(volume.split(':').next().unwrap()),
                "{volume}"
            );
        }
        for port in &service.ports {
            // It asks nobody for a token.
            assert!(
                port.starts_with("127.0.0.1:"),
                "{port} would be open to the network"
            );
        }
        for (other, dependency) in &service.depends_on {
            let other = &compose.services[other];
            let healthy = dependency.condition == "service_healthy";
            assert_eq!(healthy, other.healthcheck.is_some(), "{name}");
        }
    }
    let broker = &compose.services["nats-streaming"];
    assert_eq!(broker.image.as_deref(), Some("nats-streaming:0.25.6"));
    let waybill = &compose.services["waybill"];
    let cluster = format!("--cluster_id={}", waybill.environment["WAYBILL_CLUSTER_ID"]);
    assert!(broker.command.contains(&cluster));
    for limit in ["msgs", "bytes", "subs", "channels"] {
        assert!(
            broker.command.contains(&format!("--max_{limit}=0")),
            "{limit}"
        );
    }
    for name in waybill.environment.keys() {
        assert!(documented().contains(name), "{name} is not in .env.example");
    }
}
