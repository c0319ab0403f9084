//! The program in a pod: the cluster around it is found by the environment, the account by the files that the kubelet
//! mounts.
//!
//! Those files are where they are in every pod, so the program runs in mounts of its own. Where it cannot have any, the
//! test says so and passes; with `LASTGREEN_REAL_SERVERS=required` it fails.

use std::{
    fs,
    io::Write as _,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use lastgreen_sim::Cluster;
use serde_json::json;
use tokio::{io::copy_bidirectional, net::TcpStream};

use crate::{
    stage::{Done, Serving, Stage, program},
    tls_server,
};

/// `unshare` with mounts of its own.
const UNSHARE: [&str; 4] = ["--map-root-user", "--mount", "--propagation", "private"];

/// Mounts the account `$0` where it is in a pod, then runs the rest.
const MOUNT: &str = "set -eu
run=$(readlink -f /var/run)
mount -t tmpfs pod \"$run\"
mkdir -p \"$run/secrets/kubernetes.io/serviceaccount\"
mount --bind \"$0\" \"$run/secrets/kubernetes.io/serviceaccount\"
exec \"$@\"";

/// A stage in a pod of a cluster.
struct Pod {
    stage: Stage,
    cluster: Cluster,
    account: PathBuf,
    port: u16,
}

impl Pod {
    async fn new() -> Option<Self> {
        let possible = Command::new("unshare").args(UNSHARE).arg("true").output();
        if !possible.is_ok_and(|done| done.status.success()) {
            let required = std::env::var("LASTGREEN_REAL_SERVERS").is_ok_and(|value| value == "required");
            assert!(!required, "mounts of its own are not possible, and LASTGREEN_REAL_SERVERS=required");
            // Straight to stderr: what the macros print of a test that passes is not shown.
            let _ = writeln!(std::io::stderr(), "NOT RUN: mounts of its own are not possible");
            return None;
        }
        let (stage, cluster) = (Stage::new().await, Cluster::start(&["team"]).await);
        let account = stage.folder().join("account");
        fs::create_dir(&account).unwrap();
        let (ca, port) = front(cluster.url().strip_prefix("http://").unwrap().to_owned()).await;
        let pod = Self { stage, cluster, account, port };
        pod.mount(1, Cluster::TOKEN, &ca);
        for name in ["token", "ca.crt", "namespace"] {
            symlink(Path::new("..data").join(name), pod.account.join(name)).unwrap();
        }
        let config = pod.stage.config();
        pod.stage.configure(&format!("{config}    plugins:\n      quotas: {{ service: quotas, namespace: team }}\n"));
        Some(pod)
    }

    /// Writes the account's files as the kubelet does: into a new folder, to which a link is then turned at once.
    fn mount(&self, nth: u32, token: &str, ca: &str) {
        let (folder, next) = (self.account.join(format!("..{nth}")), self.account.join("..data_tmp"));
        fs::create_dir(&folder).unwrap();
        for (name, content) in [("token", token), ("ca.crt", ca), ("namespace", "team")] {
            fs::write(folder.join(name), content).unwrap();
        }
        symlink(folder.file_name().unwrap(), &next).unwrap();
        fs::rename(next, self.account.join("..data")).unwrap();
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let program = program(arguments);
        let mut command = Command::new("unshare");
        command.args(UNSHARE).args(["sh", "-c", MOUNT]).arg(&self.account);
        command.arg(program.get_program()).args(program.get_args());
        command.env("LASTGREEN_CONFIG", self.stage.folder().join("config.yaml"));
        command.env("KUBERNETES_SERVICE_HOST", "127.0.0.1").env("KUBERNETES_SERVICE_PORT", self.port.to_string());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn run(&self, arguments: &[&str]) -> Done {
        self.command(arguments).output().unwrap().into()
    }
}

/// The cluster's API behind TLS, as a pod finds it; its CA and its port.
async fn front(cluster: String) -> (String, u16) {
    let own = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let port = tls_server::serve(&own, move |mut outside| {
        let cluster = cluster.clone();
        async move {
            let mut inside = TcpStream::connect(cluster).await.unwrap();
            let _ = copy_bidirectional(&mut outside, &mut inside).await;
        }
    })
    .await;
    (own.cert.pem(), port)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cluster_around_is_asked_with_the_pods_own_account() {
    let Some(pod) = Pod::new().await else { return };
    let spec = json!({ "type": "ClusterIP", "clusterIP": "10.1.2.3", "ports": [{ "port": 4355 }] });
    pod.cluster.plugin("team", "quotas", &spec, &[]);
    pod.run(&["check"]).ended(0).says("ok       namespace team: its Services can be listed and watched").says(
        "preview: plugins.quotas: is asked at http://quotas.team.svc:4355/api/v1/getparams.execute without a token",
    );

    let serving = Serving::new(pod.command(&["serve"]).spawn().unwrap());
    pod.cluster.watched_by(1).await;
    // The kubelet renews the token long before the old one ends.
    let ca = fs::read_to_string(pod.account.join("ca.crt")).unwrap();
    pod.mount(2, "the-next-token", &ca);
    pod.cluster.rotate_token("the-next-token");
    pod.cluster.cut_watches();
    pod.cluster.watched_by(1).await;
    serving.terminate();
    let done = serving.ended().ended(0);
    assert!(!done.stderr.contains("the-next-token") && !done.stderr.contains(Cluster::TOKEN), "{done:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_cluster_behind_its_address_is_not_believed() {
    let Some(pod) = Pod::new().await else { return };
    let other = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    pod.mount(2, Cluster::TOKEN, &other.cert.pem());
    let done = pod.run(&["check"]).ended(5);
    done.says("WRONG    namespace team: Kubernetes: its TLS certificate is not trusted");
    assert_eq!(pod.cluster.seen(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_is_not_mounted_is_named() {
    let Some(pod) = Pod::new().await else { return };
    fs::remove_file(pod.account.join("ca.crt")).unwrap();
    pod.run(&["check"])
        .ended(1)
        .says("cannot read certificates in the CA file `/var/run/secrets/kubernetes.io/serviceaccount/ca.crt`");
}
