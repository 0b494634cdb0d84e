//! Unit, image and compose file name only things that exist. No container engine and no systemd run here; schemas that are
//! not ours judge the files in `tests/deployment/run`.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use unlockd::config::{self, Inputs};

fn read(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).expect(name)
}

#[test]
fn every_path_that_the_dockerfile_copies_is_there_and_not_left_out_of_its_context() {
    let (dockerfile, ignored) = (read("Dockerfile"), read(".dockerignore"));
    let copied: Vec<&str> = dockerfile
        .lines()
        .filter_map(|line| line.strip_prefix("COPY ").filter(|rest| !rest.starts_with("--from")))
        .flat_map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            words[..words.len() - 1].to_vec()
        })
        .collect();
    assert!(copied.contains(&"src") && copied.contains(&"Cargo.lock"), "{copied:?}");
    for path in copied {
        assert!(Path::new(env!("CARGO_MANIFEST_DIR")).join(path).exists(), "{path} is gone");
        assert!(!ignored.lines().any(|line| line == path), "{path} is in .dockerignore");
    }
    // The image builds the dependencies with empty sources: each target in the manifest has one.
    for line in read("Cargo.toml").lines().filter(|line| line.starts_with("path = ")) {
        let path = line.trim_start_matches("path = ").trim_matches('"');
        assert!(dockerfile.contains(path), "the Dockerfile makes no empty {path}");
    }
}

#[test]
fn commands_in_unit_image_and_compose_file_are_commands() {
    let (unit, dockerfile, compose) =
        (read("config/unlockd.service"), read("Dockerfile"), read("config/compose.yaml"));
    assert!(unit.contains("\nExecStart=/usr/bin/unlockd run\n"));
    // A full disk for a minute is no reason to stay down, a mistake in the configuration is; no core has a key in it.
    for line in ["Restart=on-failure", "StartLimitIntervalSec=0", "RestartPreventExitStatus=2", "LimitCORE=0"]
    {
        assert!(unit.lines().any(|found| found == line), "{line}");
    }
    assert!(dockerfile.contains("CMD [\"run\"]") && dockerfile.contains("\nUSER 65532:65532\n"));
    let health = "[\"/usr/local/bin/unlockd\", \"health\"]";
    assert!(dockerfile.contains(&format!("    CMD {health}")));
    assert!(compose.contains("test: [\"CMD\", \"/usr/local/bin/unlockd\", \"health\"]"));
    for command in ["run", "health", "check"] {
        let help = Command::new(env!("CARGO_BIN_EXE_unlockd")).args([command, "--help"]).output();
        assert!(help.expect("it starts").status.success(), "{command}");
    }
}

#[test]
fn the_compose_file_takes_every_right_away() {
    let compose = read("config/compose.yaml");
    for line in [
        "    read_only: true",
        "    cap_drop: [ALL]",
        "    security_opt: [\"no-new-privileges:true\"]",
        "    user: \"65532:65532\"",
        "    stop_grace_period: 15s",
    ] {
        assert!(compose.lines().any(|found| found == line), "{line}");
    }
    assert!(!compose.contains('\t') && !compose.contains("privileged: true"));
}

/// `UNLOCKD_A__B=value`, `UNLOCKD_A__B: value` and `-e UNLOCKD_A__B=value`, even in comments, since people
/// copy them.
fn settings(text: &str) -> BTreeMap<String, String> {
    text.match_indices("UNLOCKD_")
        .filter_map(|(at, _)| {
            let (name, rest) = text[at..].split_once(['=', ':'])?;
            let value = rest.trim_start_matches(' ').split([' ', '\n']).next()?.trim_matches('\'');
            name.chars()
                .all(|c| c.is_ascii_uppercase() || c == '_')
                .then(|| (name.to_owned(), value.to_owned()))
        })
        .collect()
}

#[test]
fn settings_in_unit_image_and_compose_file_are_settings() {
    for (file, least) in [
        ("config/unlockd.service", 2),
        ("config/unlockd-postgres.conf", 3),
        ("Dockerfile", 2),
        ("config/compose.yaml", 5),
        ("config/compose.postgres.yaml", 3),
        ("config/compose.fleet.yaml", 7),
    ] {
        let env = settings(&read(file));
        assert!(env.len() >= least, "{file}: {env:?}");
        let folder = tempfile::tempdir().expect("a folder");
        let inputs = Inputs {
            env: env.clone().into_iter().collect(),
            cwd: folder.path().to_owned(),
            system_file: folder.path().join("no-such-file.toml"),
            ..Inputs::default()
        };
        config::load(&inputs).unwrap_or_else(|error| panic!("{file}: {error}\n{env:?}"));
    }
}

/// The documents of a file of YAML.
fn documents(name: &str) -> Vec<Value> {
    serde_saphyr::from_multiple(&read(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The values of a key, in any depth.
fn all<'a>(value: &'a Value, key: &str, found: &mut Vec<&'a Value>) {
    match value {
        Value::Object(members) => {
            found.extend(members.get(key));
            members.values().for_each(|member| all(member, key, found));
        }
        Value::Array(items) => items.iter().for_each(|item| all(item, key, found)),
        _ => {}
    }
}

#[test]
fn the_manifest_for_kubernetes_names_what_is_there_and_takes_every_right_away() {
    let documents = documents("config/kubernetes.yaml");
    let of = |kind: &str| documents.iter().find(|document| document["kind"] == kind).expect("this kind");
    let (deployment, budget, map) = (of("Deployment"), of("PodDisruptionBudget"), of("ConfigMap"));
    let pod = &deployment["spec"]["template"];
    assert!(deployment["spec"]["replicas"].as_i64() >= Some(2));
    for selector in [&deployment["spec"]["selector"], &budget["spec"]["selector"]] {
        assert_eq!(selector["matchLabels"], pod["metadata"]["labels"]);
    }
    assert_eq!(budget["spec"]["minAvailable"], 1);
    assert!(pod["spec"]["terminationGracePeriodSeconds"].as_i64() > Some(10));
    let container = &pod["spec"]["containers"][0];
    for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
        let asked = &container[probe]["httpGet"];
        assert_eq!((&asked["path"], &asked["port"]), (&"/healthz".into(), &"http".into()), "{probe}");
        // Another name is refused.
        assert_eq!(asked["httpHeaders"][0], serde_json::json!({"name": "Host", "value": "localhost"}));
    }
    let rights = serde_json::json!({
        "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": {"drop": ["ALL"]},
    });
    assert_eq!(container["securityContext"], rights);
    assert_eq!(pod["spec"]["securityContext"]["runAsNonRoot"], true);
    let (mut mounts, mut volumes) = (Vec::new(), Vec::new());
    all(&container["volumeMounts"], "name", &mut mounts);
    pod["spec"]["volumes"]
        .as_array()
        .expect("volumes")
        .iter()
        .for_each(|volume| volumes.push(&volume["name"]));
    assert_eq!(mounts, volumes);
    // The map is a configuration of this version, in the place where the program looks for it.
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("unlockd.toml");
    std::fs::write(&file, map["data"]["unlockd.toml"].as_str().expect("a text")).expect("written");
    let inputs = Inputs { file: Some(file), cwd: folder.path().to_owned(), ..Inputs::default() };
    config::load(&inputs).unwrap_or_else(|error| panic!("{error}"));
    let host = format!("@{}-rw:", of("Cluster")["metadata"]["name"].as_str().expect("a name"));
    assert!(map["data"]["unlockd.toml"].as_str().is_some_and(|text| text.contains(&host)));
}

#[test]
fn the_compose_file_of_a_fleet_names_what_is_there_and_takes_every_right_away() {
    let documents = documents("config/compose.fleet.yaml");
    let compose = &documents[0];
    let services = compose["services"].as_object().expect("services");
    assert_eq!(services.keys().collect::<Vec<_>>().len(), 5);
    for (name, service) in services {
        let merged = if service["<<"].is_object() { &service["<<"] } else { service };
        let security = serde_json::json!(["no-new-privileges:true"]);
        assert_eq!(merged["security_opt"], security, "{name}");
        assert!(merged["logging"]["options"]["max-size"].is_string(), "{name}");
        for secret in merged["secrets"].as_array().into_iter().flatten() {
            assert!(compose["secrets"][secret.as_str().expect("a name")].is_object(), "{name}: {secret}");
        }
        for used in service["configs"].as_array().into_iter().flatten() {
            let source = used["source"].as_str().expect("a name");
            assert!(compose["configs"][source]["content"].is_string(), "{name}: {source}");
        }
        for volume in service["volumes"].as_array().into_iter().flatten() {
            let volume = volume.as_str().and_then(|volume| volume.split(':').next()).expect("a name");
            assert!(compose["volumes"].as_object().is_some_and(|all| all.contains_key(volume)), "{volume}");
        }
        for other in merged["depends_on"].as_object().into_iter().flat_map(|others| others.keys()) {
            assert!(services.contains_key(other), "{name}: {other}");
        }
    }
    // The standby that commits wait for is the one that there is, and the balancer knows everybody.
    let first_start = compose["configs"]["first-start"]["content"].as_str().expect("a script");
    assert!(first_start.contains("synchronous_standby_names = 'ANY 1 (standby)'"));
    assert!(
        services["standby"]["command"][0]
            .as_str()
            .is_some_and(|text| text.contains("application_name=standby"))
    );
    let balancer = compose["configs"]["balancer"]["content"].as_str().expect("a configuration");
    for server in ["worker-1:8787", "worker-2:8787", "primary:5432", "standby:5432 backup"] {
        assert!(balancer.contains(server), "{server}");
    }
    assert!(balancer.contains("http-check send meth GET uri /readyz"));
}
