package deploy

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"
)

var update = flag.Bool("update", false, "write what is generated")

// The chart's schema is its own part, with the program's schema of the configuration put in.
func TestValuesSchemaIsGenerated(t *testing.T) {
	var values, config map[string]any
	own, err := os.ReadFile(filepath.Join(root, "deploy/chart/values.schema.in.json"))
	if err != nil {
		t.Fatal(err)
	}
	for text, into := range map[string]*map[string]any{
		string(own): &values,
		string(run(t, tool("LASTGREEN_BIN", root+"/target/debug/lastgreen"), "config", "schema")): &config,
	} {
		if err := json.Unmarshal([]byte(text), into); err != nil {
			t.Fatal(err)
		}
	}
	values["$defs"] = config["$defs"]
	delete(config, "$defs")
	delete(config, "$schema")
	properties := values["properties"].(map[string]any)
	if filled, found := properties["config"].(map[string]any); !found || len(filled) > 0 {
		t.Fatal("values.schema.in.json has no place for the configuration")
	}
	properties["config"] = config
	generated, err := json.MarshalIndent(values, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	generated = append(generated, '\n')
	file := filepath.Join(chart, "values.schema.json")
	if *update {
		if err := os.WriteFile(file, generated, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	committed, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if string(committed) != string(generated) {
		t.Errorf("%s is not what the program says: deploy/check -update writes it", file)
	}
	// Draft 7, which every Helm 3 knows, looks at nothing beside a $ref.
	var beside func(where string, node any)
	beside = func(where string, node any) {
		switch node := node.(type) {
		case map[string]any:
			if _, refers := node["$ref"]; refers {
				for key := range node {
					if key != "$ref" && key != "description" && key != "default" && key != "examples" {
						t.Errorf("%s: %s stands beside a $ref", where, key)
					}
				}
			}
			for key, below := range node {
				beside(where+"/"+key, below)
			}
		case []any:
			for _, below := range node {
				beside(where, below)
			}
		}
	}
	beside("", values)
}

func TestLint(t *testing.T) {
	for _, values := range []string{"sqlite", "postgresql"} {
		run(t, tool("HELM", "helm"), append([]string{"lint", "--strict", "--kube-version", "1.34.0", chart}, ci(values)...)...)
	}
}

// Whoever sets something that would be accepted by Kubernetes, and be wrong, is told.
func TestTheChartRefuses(t *testing.T) {
	sqlite := ci("sqlite")
	for _, refused := range []struct {
		values []string
		set    string
		says   string
	}{
		{nil, "image.repository=x", "missing property 'generators'"},
		{sqlite, "image.repository=", "nobody publishes an image"},
		{sqlite, "replicaCount=2", "replicaCount is 2, but the ledger (sqlite) is for one pod only"},
		{sqlite, "autoscaling.enabled=true", "autoscaling.enabled is true, but the ledger (sqlite) is for one pod only"},
		{sqlite, "config.ledger.url=memory:,replicaCount=2", "replicaCount is 2, but the ledger (memory) is for one pod only"},
		{sqlite, "replicas=2", "additional properties 'replicas' not allowed"},
		{sqlite, "config.drainDelai=5s", "additional properties 'drainDelai' not allowed"},
		{sqlite, "config.generators.preview.build.walk=101", "maximum: got 101, want 100"},
		{sqlite, "config.answerWithin=10", "/config/answerWithin"},
		{sqlite, "argocd.configMaps.previews=x", `argocd.configMaps names the generator "previews"`},
		{sqlite, "discovery.enabled=true", "discovery.namespaces names none"},
		{sqlite, "image.digest=latest", "/image/digest"},
	} {
		if _, problem := helm(append(refused.values, "--set", refused.set)...); !strings.Contains(problem, refused.says) {
			t.Errorf("%s is not refused with %q: %q", refused.set, refused.says, problem)
		}
	}
}

// What the chart reads in the configuration, so that nobody has to say it twice.
func TestTheChartFollowsTheConfiguration(t *testing.T) {
	set := func(set string) objects { return mustHelm(t, append(ci("sqlite"), "--set", set)...) }
	for delay, grace := range map[string]int64{"0s": 40, "100ms": 41, "30s": 70, "2m": 160} {
		if found := *deployment(t, set("config.drainDelay="+delay)).Spec.Template.Spec.TerminationGracePeriodSeconds; found != grace {
			t.Errorf("%s: %d", delay, found)
		}
	}
	pod := deployment(t, set("config.listen=0.0.0.0:8000,config.ledger.url=sqlite:///data/of/lastgreen.db")).Spec.Template.Spec
	if pod.Containers[0].Ports[0].ContainerPort != 8000 {
		t.Errorf("%v", pod.Containers[0].Ports)
	}
	mounts := map[string]string{}
	for _, mount := range pod.Containers[0].VolumeMounts {
		mounts[mount.Name] = mount.MountPath
	}
	if mounts["ledger"] != "/data/of" {
		t.Errorf("%v", mounts)
	}
	if digest := "sha256:" + strings.Repeat("0", 64); deployment(t, set("image.digest="+digest)).Spec.Template.Spec.Containers[0].Image != "registry.example.com/lastgreen@"+digest {
		t.Error("the digest does not count")
	}
	// `off` is a word of YAML, and one of the log's.
	if env := deployment(t, set("logLevel=off")).Spec.Template.Spec.Containers[0].Env; env[0].Value != "off" {
		t.Errorf("%v", env)
	}
	// A change of the configuration rolls out.
	checksum := func(o objects) string { return deployment(t, o).Spec.Template.Annotations["checksum/config"] }
	if one, other := checksum(set("config.answerWithin=10s")), checksum(set("config.answerWithin=9s")); one == other || one == "" {
		t.Errorf("%q %q", one, other)
	}
	// A second generator has a ConfigMap of its own, and leaves the first one's alone.
	two := set("config.generators.other.build.repository=a/b,config.generators.other.build.images.x=ghcr.io/a/b:{sha}")
	for name, path := range map[string]string{"lastgreen": "/preview", "lastgreen-other": "/other"} {
		if base := get[corev1.ConfigMap](t, two, "ConfigMap argocd/"+name).Data["baseUrl"]; !strings.HasSuffix(base, path) {
			t.Errorf("%s: %s", name, base)
		}
	}
}

// In Argo CD's own namespace both read one Secret.
func TestInArgoCDsNamespace(t *testing.T) {
	output, problem := release("argocd", ci("sqlite")...)
	if problem != "" {
		t.Fatal(problem)
	}
	secret := get[corev1.Secret](t, parse(t, output), "Secret argocd/lastgreen-token")
	if secret.Labels["app.kubernetes.io/part-of"] != "argocd" {
		t.Errorf("%v", secret.Labels)
	}
}

// During a rotation lastgreen accepts two tokens, and Argo CD sends one.
func TestRotation(t *testing.T) {
	objects := mustHelm(t, append(ci("sqlite"), "--set", "secrets.token.stringData.token=new\nold\n")...)
	if ours := get[corev1.Secret](t, objects, "Secret lastgreen/lastgreen-token").StringData["token"]; ours != "new\nold\n" {
		t.Errorf("%q", ours)
	}
	if theirs := get[corev1.Secret](t, objects, "Secret argocd/lastgreen-token").StringData["token"]; theirs != "new" {
		t.Errorf("%q", theirs)
	}
}

// Program, chart and manifests are released together.
func TestVersionsAreTheSame(t *testing.T) {
	read := func(path string) string {
		text, err := os.ReadFile(filepath.Join(root, path))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	program := regexp.MustCompile(`(?m)^version = "(.+)"$`).FindStringSubmatch(read("Cargo.toml"))[1]
	var metadata struct{ Version, AppVersion string }
	if err := yaml.Unmarshal([]byte(read("deploy/chart/lastgreen/Chart.yaml")), &metadata); err != nil {
		t.Fatal(err)
	}
	if metadata.Version != program || metadata.AppVersion != program {
		t.Errorf("Chart.yaml has %v, Cargo.toml %s", metadata, program)
	}
	each(t, func(t *testing.T, _ variant, objects objects) {
		for name, object := range objects {
			if found := object.GetLabels()["app.kubernetes.io/version"]; found != program {
				t.Errorf("%s has %q, Cargo.toml %s", name, found, program)
			}
		}
		if image := deployment(t, objects).Spec.Template.Spec.Containers[0].Image; !strings.HasSuffix(image, ":"+program) {
			t.Errorf("%s, and Cargo.toml has %s", image, program)
		}
	})
}
