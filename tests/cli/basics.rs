//! What needs no world: help, version, schema, examples, and what is refused.

use std::{fs, path::Path};

use lastgreen::config::Config;
use serde_json::Value;

use crate::stage::{Stage, program, run};

#[test]
fn it_tells_its_version() {
    let done = run(&["--version"]).ended(0);
    // The build of the program and of this test were told the same.
    let commit = option_env!("LASTGREEN_COMMIT").filter(|commit| !commit.is_empty()).unwrap_or("unknown");
    assert_eq!(done.stdout, format!("lastgreen {} ({commit})\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn help_lists_the_commands() {
    let done = run(&["--help"]).ended(0);
    for command in ["serve", "resolve", "check", "health", "ledger", "config"] {
        assert!(done.stdout.lines().any(|line| line.trim_start().starts_with(command)), "{command}: {}", done.stdout);
    }
}

#[test]
fn the_schema_is_json() {
    let schema = run(&["config", "schema"]).ended(0).json();
    assert!(schema["properties"]["generators"].is_object(), "{schema:#}");
    assert_eq!(schema["additionalProperties"], Value::Bool(false));
}

#[test]
fn the_example_can_be_read_again() {
    let text = run(&["config", "example"]).ended(0).stdout;
    let (config, _) = Config::parse(&text, "example").unwrap_or_else(|errors| panic!("{errors}"));
    assert!(config.generators.contains_key("preview"));
}

#[test]
fn every_example_configuration_can_be_read() {
    let mut seen = 0;
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    for folder in fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()) {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            let is_yaml = path.extension().is_some_and(|extension| extension == "yaml");
            let name = path.display().to_string();
            let text = if is_yaml { fs::read_to_string(&path).unwrap() } else { continue };
            // The other YAML files are for Kubernetes and GitHub.
            if text.lines().any(|line| line.starts_with("generators:")) {
                let (_, warnings) = Config::parse(&text, &name).unwrap_or_else(|errors| panic!("{errors}"));
                assert!(warnings.is_empty(), "{warnings:?}");
                seen += 1;
            }
        }
    }
    assert!(seen >= 2, "{seen} examples");
}

#[test]
fn a_wrong_command_line_is_refused() {
    for arguments in [&["sing"][..], &["serve", "--port", "1"], &["resolve"], &["--log-format", "xml", "serve"]] {
        run(arguments).ended(2).says("--help");
    }
}

#[test]
fn no_command_is_told_which_there_are() {
    run(&[]).ended(2).says("Usage: lastgreen").says("resolve");
}

#[test]
fn a_configuration_that_is_not_there_is_refused() {
    for command in [&["serve"][..], &["check"], &["resolve", "--branch", "x"]] {
        run(&[command, &["--config", "/nowhere/config.yaml"]].concat())
            .ended(2)
            .says("/nowhere/config.yaml: cannot read the configuration: it does not exist");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_that_is_wrong_is_said_in_one_go() {
    let stage = Stage::new().await;
    let text = stage.config();
    stage.configure(
        &text
            .replace("answerWithin", "answerWithn")
            .replace("/github }", "/not-there }")
            .replace("front:sha-{sha}", "front:sha-{shaa}"),
    );
    for command in [&["serve"][..], &["check"], &["resolve", "--branch", "feature"]] {
        let done = stage.run(command).ended(2);
        assert_eq!(done.stdout, "");
        done.says("unknown key (did you mean `answerWithin`?)").says("not-there").says("{shaa}");
        assert_eq!(done.stderr.matches("config.yaml:").count(), 3, "{}", done.stderr);
    }
    assert_eq!(stage.sim.counts().github(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_configuration_is_found_by_flag_and_by_environment() {
    let stage = Stage::new().await;
    let path = stage.folder().join("config.yaml");
    run(&["check", "--config", path.to_str().unwrap()]).ended(0);
    let status = program(&["check"]).env("LASTGREEN_CONFIG", &path).output().unwrap().status;
    assert!(status.success());
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_no_success() {
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    let output = program(&["config", "schema"]).stdout(full).stderr(std::process::Stdio::piped()).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(!output.stderr.is_empty());
}
