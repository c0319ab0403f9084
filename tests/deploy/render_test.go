// Package deploy holds what is deployed against what the API server, Helm, kustomize and the program itself say of it.
package deploy

import (
	"bufio"
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// root is the repository.
const root = "../.."

const chart = root + "/deploy/chart/lastgreen"

func newReader(text []byte) *bufio.Reader { return bufio.NewReader(bytes.NewReader(text)) }

// tool gives the path of a program: what the environment says, else its name.
func tool(variable, name string) string {
	if path := os.Getenv(variable); path != "" {
		return path
	}
	return name
}

// run runs a program, and gives what it printed.
func run(t *testing.T, program string, args ...string) []byte {
	t.Helper()
	output, problem := try(program, args...)
	if problem != "" {
		t.Fatalf("%s %s: %s", program, strings.Join(args, " "), problem)
	}
	return output
}

// try runs a program, and gives what it printed, or what was wrong.
func try(program string, args ...string) (output []byte, problem string) {
	var errors bytes.Buffer
	cmd := exec.Command(program, args...)
	cmd.Stderr = &errors
	output, err := cmd.Output()
	if err != nil {
		return nil, err.Error() + ": " + errors.String()
	}
	return output, ""
}

// helm renders the chart as a release `lastgreen`, with these arguments.
func helm(args ...string) ([]byte, string) {
	return release("lastgreen", args...)
}

// release renders the chart into a namespace. The version of Kubernetes is what a Helm without a cluster has to be told.
func release(namespace string, args ...string) ([]byte, string) {
	all := []string{"template", "lastgreen", chart, "--namespace", namespace, "--kube-version", "1.34.0"}
	return try(tool("HELM", "helm"), append(all, args...)...)
}

func mustHelm(t *testing.T, args ...string) objects {
	t.Helper()
	output, problem := helm(args...)
	if problem != "" {
		t.Fatal(problem)
	}
	return parse(t, output)
}

func ci(name string) []string {
	return []string{"--values", filepath.Join(chart, "ci", name+"-values.yaml")}
}

// kustomize builds directories, and puts together what comes of them.
func kustomize(t *testing.T, directories ...string) objects {
	t.Helper()
	var all []byte
	for _, directory := range directories {
		all = append(all, run(t, tool("KUSTOMIZE", "kustomize"), "build", directory)...)
		all = append(all, "\n---\n"...)
	}
	return parse(t, all)
}

// A variant is one way to deploy lastgreen, by the chart and by kustomize.
type variant struct {
	name        string
	values      []string
	directories []string
	replicated  bool
}

var variants = []variant{
	{
		name:        "one pod on SQLite",
		values:      ci("sqlite"),
		directories: kubernetes("base", "secrets/base", "argocd"),
	},
	{
		name:        "several on PostgreSQL",
		values:      ci("postgresql"),
		directories: kubernetes("overlays/high-availability", "secrets/high-availability", "argocd"),
		replicated:  true,
	},
	{
		name:        "with all components",
		values:      slices.Concat(ci("sqlite"), []string{"--values", "testdata/components/values.yaml"}),
		directories: append(kubernetes("secrets/base", "argocd"), "testdata/components"),
	},
}

func kubernetes(directories ...string) (paths []string) {
	for _, directory := range directories {
		paths = append(paths, filepath.Join(root, "deploy/kubernetes", directory))
	}
	return paths
}

// each runs a test on each variant, as the chart has it and as kustomize has it.
func each(t *testing.T, test func(t *testing.T, variant variant, objects objects)) {
	for _, variant := range variants {
		t.Run(variant.name+"/chart", func(t *testing.T) { test(t, variant, mustHelm(t, variant.values...)) })
		t.Run(variant.name+"/kustomize", func(t *testing.T) { test(t, variant, kustomize(t, variant.directories...)) })
	}
}
