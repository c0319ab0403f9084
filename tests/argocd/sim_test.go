package argocd

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const (
	repository  = "myorg/myrepo"
	githubToken = "sim-classic-token"
)

// The world before anything happens in it. Argo CD takes every GitHub that is not api.github.com for an Enterprise Server.
const world = `
github:
  enterprise: true
  repositories:
    - { owner: myorg, name: myrepo, branches: { main: m1 }, commits: { m1: {} } }
`

// A simulator is a GitHub and a registry in a process of their own.
type simulator struct {
	t *testing.T
	// github is the base URL of its API, registry is host and port.
	github, registry string
	control          string
}

// A build is a commit with what CI made of it.
type build struct {
	commit, front, back string
}

func startSimulator(t *testing.T) *simulator {
	t.Helper()
	file := filepath.Join(t.TempDir(), "world.yaml")
	if err := os.WriteFile(file, []byte(world), 0o600); err != nil {
		t.Fatal(err)
	}
	s := &simulator{t: t}
	const free = "127.0.0.1:0"
	args := []string{"--world", file, "--github", free, "--registry", free, "--control", free}
	start(t, program("LASTGREEN_SIM_BIN", "lastgreen-sim"), args, nil, func(line string) bool {
		switch name, address, _ := strings.Cut(line, " "); name {
		case "github":
			s.github = strings.TrimSpace(address)
		case "registry":
			s.registry = strings.TrimSpace(address)
		case "control":
			s.control = strings.TrimSpace(address)
		}
		return s.control != ""
	})
	return s
}

// sha makes a commit's name from a short one, as the simulator does.
func sha(id string) string {
	sum := sha256.Sum256([]byte(id))
	return hex.EncodeToString(sum[:])[:40]
}

// An order changes the world, or makes it fail.
type order map[string]any

// push pushes a commit: onto the branch's tip, or onto other parents.
func push(branch, commit string, parents ...string) order {
	return order{"do": "push", "repository": repository, "branch": branch, "commit": commit, "parents": append([]string{}, parents...)}
}

func openPull(number int, branch string) order {
	pull := map[string]any{"number": number, "head": branch, "title": fmt.Sprintf("Pull request %d", number)}
	return order{"do": "open-pull", "repository": repository, "pull": pull}
}

func closePull(number int) order {
	return order{"do": "close-pull", "repository": repository, "number": number}
}

// report reports a check run: green, red or pending.
func report(verdict, commit string) order {
	return order{"do": verdict, "repository": repository, "commit": commit}
}

// pushImage pushes an image of a commit; labels come in pairs.
func pushImage(name, commit string, labels map[string]string) order {
	image := map[string]any{"labels": labels}
	if labels == nil {
		image = map[string]any{}
	}
	return order{"do": "push-image", "repository": "myorg/" + name, "tag": "sha-" + sha(commit), "image": image}
}

// advance lets GitHub's time pass, so that checks are at rest.
func advance() order { return order{"do": "advance", "seconds": 60} }

// fail makes a place fail with a status, or by resetting connections where the status is 0.
func fail(place string, status int) order {
	if status == 0 {
		return order{"do": "fail", "on": place, "how": "reset"}
	}
	return order{"do": "fail", "on": place, "how": map[string]any{"status": status}}
}

func clearFaults() order { return order{"do": "clear-faults"} }

// orders has orders followed, and gives what came of each.
func (s *simulator) orders(orders ...order) []map[string]any {
	s.t.Helper()
	body, err := json.Marshal(orders)
	if err != nil {
		s.t.Fatal(err)
	}
	response, err := http.Post(s.control, "application/json", bytes.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		s.t.Fatalf("an order is not followed: %s: %s %v", response.Status, text, err)
	}
	var done []map[string]any
	if err := json.Unmarshal(text, &done); err != nil || len(done) != len(orders) {
		s.t.Fatalf("%d orders, and this came of them: %s %v", len(orders), text, err)
	}
	return done
}

// open opens a pull request whose branch is feature-<number>, with a first commit that has no checks yet.
func open(number int, commit string) []order {
	branch := feature(number)
	return []order{push(branch, commit, "m1"), openPull(number, branch)}
}

func feature(number int) string { return fmt.Sprintf("feature-%d", number) }

// builds lets CI succeed for commits that were pushed: both images, one green check each.
func (s *simulator) builds(commits ...string) map[string]build {
	s.t.Helper()
	return s.labelled(nil, commits...)
}

// labelled is builds, with labels on the images.
func (s *simulator) labelled(labels map[string]string, commits ...string) map[string]build {
	s.t.Helper()
	orders := []order{}
	for _, commit := range commits {
		orders = append(orders, pushImage("front", commit, labels), pushImage("back", commit, labels), report("green", commit))
	}
	done := s.orders(append(orders, advance())...)
	made := map[string]build{}
	for nth, commit := range commits {
		front, back := done[3*nth]["digest"], done[3*nth+1]["digest"]
		made[commit] = build{commit: commit, front: front.(string), back: back.(string)}
	}
	return made
}

// Asked is how often each upstream was asked.
type asked struct{ graphql, registry int }

// asked counts what was asked since it was called last.
func (s *simulator) asked() asked {
	s.t.Helper()
	counts := s.orders(order{"do": "counts"}, order{"do": "reset-counts"})[0]
	number := func(key string) int { return int(counts[key].(float64)) }
	return asked{graphql: number("graphql"), registry: number("registry")}
}
