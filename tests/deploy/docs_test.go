package deploy

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

// A block of a page, between two fences.
type block struct{ page, language, text string }

var fenced = regexp.MustCompile("(?ms)^( *)```([a-z]+)\n(.*?)^ *```$")

func blocks(t *testing.T, page string) (found []block) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, page))
	if err != nil {
		t.Fatal(err)
	}
	for _, match := range fenced.FindAllStringSubmatch(string(text), -1) {
		content := strings.TrimPrefix(strings.ReplaceAll("\n"+match[3], "\n"+match[1], "\n"), "\n")
		found = append(found, block{page: page, language: match[2], text: content})
	}
	return found
}

// yamlWith gives the page's only YAML that has these words.
func yamlWith(t *testing.T, page string, words ...string) string {
	t.Helper()
	var found []string
	for _, block := range blocks(t, page) {
		if block.language == "yaml" && !slices.ContainsFunc(words, func(word string) bool { return !strings.Contains(block.text, word) }) {
			found = append(found, block.text)
		}
	}
	if len(found) != 1 {
		t.Fatalf("%s has %d blocks with %q", page, len(found), words)
	}
	return found[0]
}

var pages = []string{"docs/install.md", "docs/migration.md", "docs/operations.md", "docs/security.md", "docs/troubleshooting.md"}

// A command of the program, with its options.
var command = regexp.MustCompile(`lastgreen ((?:serve|resolve|check|health|ledger|config)(?: (?:list|show|forget|schema|example))?)\b([^\n|>]*)`)

// What can be checked of commands without a cluster: that a shell takes them, and that ours has these subcommands and options.
func TestCommandsOfThePages(t *testing.T) {
	seen := 0
	for _, page := range pages {
		for _, block := range blocks(t, page) {
			if block.language != "sh" {
				continue
			}
			seen++
			check := exec.Command("bash", "-n")
			check.Stdin = strings.NewReader(block.text)
			if output, err := check.CombinedOutput(); err != nil {
				t.Errorf("%s: %s\n%s", page, output, block.text)
			}
			for _, used := range command.FindAllStringSubmatch(block.text, -1) {
				help := string(run(t, tool("LASTGREEN_BIN", root+"/target/debug/lastgreen"), append(strings.Fields(used[1]), "--help")...))
				for _, word := range strings.Fields(used[2]) {
					if strings.HasPrefix(word, "--") && !strings.Contains(help, word+" ") && !strings.Contains(help, word+"\n") {
						t.Errorf("%s: `lastgreen %s` has no %s", page, used[1], word)
					}
				}
			}
		}
	}
	if seen < 10 {
		t.Errorf("only %d commands", seen)
	}
}

// What Kubernetes knows of the pages' manifests, it accepts.
func TestManifestsOfThePages(t *testing.T) {
	for _, page := range pages {
		for _, block := range blocks(t, page) {
			if block.language != "yaml" {
				continue
			}
			object := &unstructured.Unstructured{}
			if err := yaml.UnmarshalStrict([]byte(block.text), &object.Object); err != nil {
				t.Errorf("%s: %v\n%s", page, err, block.text)
				continue
			}
			if object.GetAPIVersion() == "v1" {
				if err := refusals(t, object); err != nil {
					t.Errorf("%s: %v", page, err)
				}
			}
		}
	}
}

// A newcomer's values and kustomization do as the page says, and come to the same.
func TestTheInstallPage(t *testing.T) {
	const page = "docs/install.md"
	folder := t.TempDir()
	write := func(path, text string) string {
		path = filepath.Join(folder, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	values := write("values.yaml", yamlWith(t, page, "config:", "generators:"))
	chart := mustHelm(t, "--values", values)

	if err := os.CopyFS(filepath.Join(folder, "lastgreen/deploy/kubernetes"), os.DirFS(filepath.Join(root, "deploy/kubernetes"))); err != nil {
		t.Fatal(err)
	}
	config, err := os.ReadFile(filepath.Join(folder, "lastgreen/deploy/kubernetes/base/config.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	write("mine/config.yaml", string(config))
	write("mine/kustomization.yaml", yamlWith(t, page, "kind: Kustomization"))
	built := kustomize(t, filepath.Join(folder, "mine"))
	own, err := os.ReadFile(filepath.Join(folder, "lastgreen/deploy/kubernetes/argocd/configmap.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	theirs := &unstructured.Unstructured{}
	if err := yaml.UnmarshalStrict(own, &theirs.Object); err != nil {
		t.Fatal(err)
	}
	theirs.SetNamespace("argocd")
	theirs.SetLabels(chart["ConfigMap argocd/lastgreen"].GetLabels())
	built["ConfigMap argocd/lastgreen"] = theirs

	one, other := chart.normalise(t), built.normalise(t)
	if difference := cmp.Diff(one.names(), other.names()); difference != "" {
		t.Fatalf("- chart, + kustomize:\n%s", difference)
	}
	for name, object := range one {
		if err := refusals(t, chart[name]); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if difference := cmp.Diff(object.Object, other[name].Object); difference != "" {
			t.Errorf("%s (- chart, + kustomize):\n%s", name, difference)
		}
	}

	several := write("several.yaml", yamlWith(t, page, "urlFile", "autoscaling"))
	if scaled := mustHelm(t, "--values", values, "--values", several); scaled["HorizontalPodAutoscaler lastgreen/lastgreen"] == nil || scaled["PersistentVolumeClaim lastgreen/lastgreen-ledger"] != nil {
		t.Errorf("%q", scaled.names())
	}
	// Every Secret that is mounted is made by a command of the page.
	var commands string
	for _, block := range blocks(t, page) {
		commands += block.text
	}
	for _, volume := range deployment(t, mustHelm(t, "--values", values, "--values", several)).Spec.Template.Spec.Volumes {
		if volume.Secret != nil && !strings.Contains(commands, fmt.Sprintf("-n lastgreen create secret generic %s ", volume.Secret.SecretName)) {
			t.Errorf("%s is mounted, and nobody makes it", volume.Secret.SecretName)
		}
	}
}

var (
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#+ (.+)$`)
	noSlug  = regexp.MustCompile(`[^\p{L}\p{N}_ -]`)
)

// anchors are the names of a page's headings, as GitHub makes them.
func anchors(text string) map[string]bool {
	found := map[string]bool{}
	for _, match := range heading.FindAllStringSubmatch(text, -1) {
		found[strings.ReplaceAll(noSlug.ReplaceAllString(strings.ToLower(match[1]), ""), " ", "-")] = true
	}
	return found
}

// Every link from one page to another leads somewhere.
func TestLinksOfThePages(t *testing.T) {
	all, err := filepath.Glob(filepath.Join(root, "docs/*.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, page := range []string{"README.md", "CONTRIBUTING.md", "SECURITY.md"} {
		all = append(all, filepath.Join(root, page))
	}
	seen := 0
	for _, page := range all {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		// A link may be broken over two lines between its words, never within its address.
		for _, match := range link.FindAllStringSubmatch(string(text), -1) {
			if strings.Contains(match[1], "://") {
				continue
			}
			seen++
			path, anchor, _ := strings.Cut(match[1], "#")
			target := page
			if path != "" {
				target = filepath.Join(filepath.Dir(page), path)
			}
			linked, err := os.ReadFile(target)
			if err != nil {
				if info, problem := os.Stat(target); problem != nil || !info.IsDir() {
					t.Errorf("%s: %v", page, err)
				}
				continue
			}
			if anchor != "" && !anchors(string(linked))[anchor] {
				t.Errorf("%s: %s has no #%s", page, target, anchor)
			}
		}
	}
	if seen < 40 {
		t.Errorf("only %d links", seen)
	}
}
