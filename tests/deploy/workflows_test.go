package deploy

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// An action of others is the very commit that was looked at, with the version for people.
var pinned = regexp.MustCompile(`uses: [\w-]+/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$`)

func TestWorkflows(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(root, ".github/workflows/*"))
	if err != nil || len(files) < 2 {
		t.Fatalf("%q %v", files, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		uses := 0
		for line := range strings.Lines(string(text)) {
			if strings.Contains(line, "uses:") {
				uses++
				if !pinned.MatchString(strings.TrimRight(line, "\n")) {
					t.Errorf("%s: not pinned:%s", file, line)
				}
			}
		}
		if uses == 0 {
			t.Errorf("%s uses nothing", file)
		}
		var workflow struct {
			Permissions map[string]string `json:"permissions"`
			Jobs        map[string]struct {
				Permissions map[string]string `json:"permissions"`
				Steps       []struct {
					Name, Uses, Run string
				} `json:"steps"`
			} `json:"jobs"`
		}
		if err := yaml.Unmarshal(text, &workflow); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		// Nothing by default; each job says what it needs, and only a release writes.
		if workflow.Permissions == nil || len(workflow.Permissions) > 0 {
			t.Errorf("%s: permissions for all jobs: %v", file, workflow.Permissions)
		}
		for name, job := range workflow.Jobs {
			if job.Permissions["contents"] != "read" {
				t.Errorf("%s: %s: %v", file, name, job.Permissions)
			}
			for what, may := range job.Permissions {
				if may == "write" && !strings.HasSuffix(file, "release.yaml") {
					t.Errorf("%s: %s writes %s", file, name, what)
				}
			}
			for _, step := range job.Steps {
				if step.Uses == "" && step.Run == "" {
					t.Errorf("%s: %s: %q does nothing", file, name, step.Name)
				}
				// Whatever is put into a script is put in by its environment: a branch's name is code otherwise.
				if strings.Contains(step.Run, "${{") {
					t.Errorf("%s: %s: %q has an expression in its script", file, name, step.Name)
				}
				check := exec.Command("bash", "-n")
				check.Stdin = strings.NewReader(step.Run)
				if output, err := check.CombinedOutput(); err != nil {
					t.Errorf("%s: %s: %q: %s", file, name, step.Name, output)
				}
			}
		}
	}
}
