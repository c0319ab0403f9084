//! GitHub, the registries, and the files with secrets.

use super::*;

#[test]
fn what_may_ask_may_not_change_anything() {
    let (config, _) = Config::parse(&format!("{SMALL}ops: {{ tokenFile: /o }}\n"), "c").unwrap();
    assert_eq!(config.ops.token_file, Some("/o".into()));
    assert_eq!(config.check_files().len(), 3, "it must be readable, as the other two");
    assert_eq!(
        error("", "ops: { tokenFile: /t }\n"),
        "c:9:6: ops: its `tokenFile` is Argo CD's too: what may ask must not be able to change anything"
    );
}

#[test]
fn github_is_reached_safely_and_by_one_identity() {
    let auth = |auth: &str| error("auth: { tokenFile: /g }", &format!("auth: {auth}"));
    assert_eq!(
        auth("{ tokenFile: /g, app: { id: 1, privateKeyFile: /k } }"),
        "c:2:17: github.auth: `app` and `tokenFile` exclude each other"
    );
    assert_eq!(auth("{}"), "c:2:17: github.auth: expected a map with `app` or `tokenFile`");
    assert_eq!(
        auth("{ app: { id: 1 } }"),
        "c:2:24: github.auth.app.privateKeyFile: missing; expected the path of a file with the App's private key"
    );
    assert_eq!(
        auth("{ app: { id: Iv1.abc, privateKeyFile: /k } }"),
        "c:2:30: github.auth.app.id: expected a whole number of 1 or more, got the text `Iv1.abc`"
    );
    let api = |api: &str| SMALL.replace("github: {", &format!("github: {{ api: \"{api}\","));
    for good in ["https://ghe.example.com/api/v3/", "http://localhost:8080", "http://127.0.0.1:1", "http://[::1]:1/x"] {
        let (config, _) = Config::parse(&api(good), "c").unwrap();
        assert_eq!(config.github.unwrap().api, good.trim_end_matches('/'));
    }
    for (bad, why) in [
        ("http://ghe.example.com", "`http` is allowed to this machine only"),
        ("ftp://ghe.example.com", "it must start with `https://`"),
        ("https://u:hunter2@ghe.example.com", "it must not hold a user name or a password"),
        ("https://ghe.example.com?x=1", "it must end with its path"),
        ("https://ghe.example.com/#x", "it must end with its path"),
        ("api.github.com", "it must start with `https://`"),
        ("/api/v3", "it has no host"),
        ("https://a b", "this is no URL"),
        ("https://github.com", "github.com's API is at `https://api.github.com`"),
        ("https://api.github.com/graphql/", "the REST API is wanted, which leads to the other one"),
    ] {
        let errors = errors(&api(bad));
        assert!(errors.len() == 1 && errors[0].ends_with(&format!(": {why}")), "{bad}: {errors:?}");
    }
}

#[test]
fn registries_are_checked() {
    let registry = |keys: &str| error("", &format!("registries: [{{ {keys} }}]\n"));
    assert_eq!(
        registry("plainHttp: true"),
        "c:9:14: registries[0].host: missing; expected the registry's host as `ghcr.io` or `localhost:5000`"
    );
    for bad in ["https://ghcr.io", "ghcr.io/myorg", "ghcr", "''"] {
        let error = registry(&format!("host: {bad}"));
        assert!(error.contains(".host: expected the registry's host as `ghcr.io` or `localhost:5000`"), "{error}");
    }
    assert_eq!(
        error("", "registries: [{ host: ghcr.io }, { host: GHCR.io }]\n"),
        "c:9:33: registries[1]: the registry `ghcr.io` is already given"
    );
    for auth in ["{}", "{ usernameFile: /u }", "{ usernameFile: /u, passwordFile: /p, dockerConfigFile: /d }"] {
        assert_eq!(
            registry(&format!("host: ghcr.io, auth: {auth}")),
            "c:9:37: registries[0].auth: expected a map with `usernameFile` and `passwordFile`, or with \
             `dockerConfigFile`; leave `auth` out to be anonymous"
        );
    }
    assert_eq!(
        registry("host: ghcr.io, realms: ['https://auth.example.com/token']"),
        "c:9:40: registries[0].realms[0]: expected a token server's host as `auth.example.com` or \
         `auth.example.com:8443`, got `https://auth.example.com/token`"
    );
    assert_eq!(
        registry("host: ghcr.io, pace: { perSecond: 0 }"),
        "c:9:50: registries[0].pace.perSecond: expected a whole number from 1 to 10000, got the number 0"
    );
}

#[test]
fn what_may_not_be_meant_is_warned_of() {
    let warnings = |host: &str, keys: &str| {
        let text = SMALL.replace("ghcr.io", host) + &format!("registries: [{{ host: \"{host}\"{keys} }}]\n");
        let (_, warnings) = Config::parse(&text, "c").unwrap();
        warnings.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let near =
        ["localhost:5000", "127.0.0.1:5000", "registry:5000", "registry.tools.svc", "r.tools.svc.cluster.local:80"];
    for host in near {
        assert_eq!(warnings(host, ", plainHttp: true"), [""; 0], "{host}");
    }
    for host in ["registry.example.com", "10.0.0.1:5000"] {
        let warnings = warnings(host, ", plainHttp: true");
        assert!(warnings.len() == 1 && warnings[0].contains("is asked without TLS"), "{warnings:?}");
    }
    let (_, warnings) = Config::parse(&format!("{SMALL}registries: [{{ host: gchr.io }}]\n"), "c").unwrap();
    assert_eq!(warnings[0].to_string(), "c:9:14: registries[0]: no generator has an image at `gchr.io`");
}

#[test]
fn no_secret_is_shown() {
    for text in [
        SMALL.replace("auth: { tokenFile: /g }", "auth: hunter2"),
        SMALL.replace("auth: { tokenFile: /g }", "auth: { tokenFile: ghp_hunter2 }"),
        SMALL.replace("auth: { tokenFile: /g }", "auth: { token: hunter2 }"),
        SMALL.replace("auth: { tokenFile: /g }", "auth: { app: { id: 1, privateKeyFile: \"-----BEGIN\\nhunter2\" } }"),
        SMALL.replace("tokenFile: /t", "tokenFile: [hunter2]"),
        format!("{SMALL}registries: [{{ host: ghcr.io, auth: 'u:hunter2' }}]"),
        format!("{SMALL}ledger: {{ url: 'mysql://u:hunter2@db' }}"),
    ] {
        let errors = errors(&text).join("\n");
        assert!(!errors.is_empty() && !errors.contains("hunter2"), "{errors}");
    }
}

#[test]
fn files_are_looked_at_with_all_else() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::write(path("token"), "hunter2\n").unwrap();
    fs::write(path("empty"), "\n").unwrap();
    fs::write(path("binary"), [0xff, 0xfe]).unwrap();
    let root = folder.path().display().to_string();
    let text = SMALL
        .replace("tokenFile: /t", &format!("tokenFile: {root}/absent"))
        .replace("tokenFile: /g", &format!("tokenFile: {root}/token"))
        + &format!(
            "registries:\n  - {{ host: ghcr.io, auth: {{ usernameFile: {root}/empty, passwordFile: {root}/binary }}, caFile: {root} }}\n"
        );
    let expected = [
        format!("1:12: tokenFile: cannot read the file `{root}/absent`: it does not exist"),
        format!("10:44: registries[0].auth.usernameFile: cannot read the file `{root}/empty`: it is empty"),
        format!("registries[0].auth.passwordFile: cannot read the file `{root}/binary`: it is not UTF-8 text"),
        format!("registries[0].caFile: cannot read the file `{root}`: it is a directory"),
    ];
    let matches = |errors: &[ConfigError]| {
        assert_eq!(errors.len(), expected.len(), "{errors:?}");
        for (error, expected) in errors.iter().zip(&expected) {
            assert!(error.to_string().ends_with(expected), "{error}");
        }
    };
    matches(&Config::parse(&text, "c").unwrap().0.check_files());

    fs::write(path("config.yaml"), &text).unwrap();
    matches(&Config::load(&path("config.yaml")).unwrap_err().0);
    fs::write(path("config.yaml"), text + "wrong: 1\n").unwrap();
    let errors = Config::load(&path("config.yaml")).unwrap_err();
    assert_eq!(errors.0.len(), expected.len() + 1);
    assert_eq!(errors.to_string().lines().count(), errors.0.len());

    let absent = Config::load(&path("none.yaml")).unwrap_err().to_string();
    assert_eq!(absent, format!("{root}/none.yaml: cannot read the configuration: it does not exist"));
}
