package deploy

import (
	"encoding/json"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// An instruction of a Dockerfile.
type instruction struct {
	name string
	// flags are what stands before the arguments, as `--from=build`.
	flags map[string]string
	// args is the rest, as it is written.
	args string
}

// A stage is what stands between two FROM.
type stage struct {
	name, base   string
	instructions []instruction
}

// A dockerfile is what deploy/Dockerfile says.
type dockerfile struct {
	// global are the ARG before the first FROM, with their defaults.
	global map[string]string
	stages []stage
}

var dockerfileFlag = regexp.MustCompile(`^--([a-z-]+)=(\S+)\s+`)

func readDockerfile(t *testing.T) dockerfile {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "deploy/Dockerfile"))
	if err != nil {
		t.Fatal(err)
	}
	read := dockerfile{global: map[string]string{}}
	var line string
	for part := range strings.Lines(string(text)) {
		part = strings.TrimRight(part, "\n")
		if strings.HasPrefix(strings.TrimSpace(part), "#") {
			continue
		}
		line += part
		if before, continued := strings.CutSuffix(line, `\`); continued {
			line = before
			continue
		}
		if strings.TrimSpace(line) != "" {
			read.add(t, line)
		}
		line = ""
	}
	if line != "" {
		t.Fatalf("nothing follows %q", line)
	}
	return read
}

func (d *dockerfile) add(t *testing.T, line string) {
	t.Helper()
	name, args, _ := strings.Cut(strings.TrimSpace(line), " ")
	read := instruction{name: name, flags: map[string]string{}, args: strings.TrimSpace(args)}
	for {
		flag := dockerfileFlag.FindStringSubmatch(read.args)
		if flag == nil {
			break
		}
		read.flags[flag[1]] = flag[2]
		read.args = read.args[len(flag[0]):]
	}
	switch {
	case name == "FROM":
		base, as, _ := strings.Cut(read.args, " AS ")
		d.stages = append(d.stages, stage{name: as, base: base})
	case len(d.stages) > 0:
		last := &d.stages[len(d.stages)-1]
		last.instructions = append(last.instructions, read)
	case name == "ARG":
		key, value, _ := strings.Cut(read.args, "=")
		d.global[key] = value
	default:
		t.Fatalf("%s stands before the first FROM", line)
	}
}

// list reads the JSON form, the only one that works without a shell.
func (i instruction) list(t *testing.T) (words []string) {
	t.Helper()
	if err := json.Unmarshal([]byte(i.args), &words); err != nil {
		t.Fatalf("%s %s: %v", i.name, i.args, err)
	}
	return words
}

// find gives the only instruction of a name.
func (s stage) find(t *testing.T, name string) instruction {
	t.Helper()
	var found []instruction
	for _, instruction := range s.instructions {
		if instruction.name == name {
			found = append(found, instruction)
		}
	}
	if len(found) != 1 {
		t.Fatalf("%d times %s in the stage from %s", len(found), name, s.base)
	}
	return found[0]
}

// copies gives what a COPY copies, and where to.
func (i instruction) copies(t *testing.T) (sources []string, target string) {
	t.Helper()
	words := strings.Fields(i.args)
	if len(words) < 2 {
		t.Fatalf("COPY %s", i.args)
	}
	target = words[len(words)-1]
	if len(words) > 2 && !strings.HasSuffix(target, "/") {
		t.Errorf("COPY %s: several files into one", i.args)
	}
	return words[:len(words)-1], target
}

var variable = regexp.MustCompile(`\$\{?([A-Z_]+)\}?`)

// That it would build: what an engine refuses before it runs anything, and what it would only find out at the end.
func TestDockerfile(t *testing.T) {
	file := readDockerfile(t)
	context := contextOf(t)
	known := map[string]bool{}
	for _, stage := range file.stages {
		declared := map[string]bool{"PATH": true}
		uses := func(text string) {
			for _, used := range variable.FindAllStringSubmatch(text, -1) {
				if !declared[used[1]] {
					t.Errorf("%s is used, but not declared in the stage from %s", used[1], stage.base)
				}
			}
		}
		for _, used := range variable.FindAllStringSubmatch(stage.base, -1) {
			if file.global[used[1]] == "" {
				t.Errorf("FROM %s: %s has no default", stage.base, used[1])
			}
		}
		for _, instruction := range stage.instructions {
			uses(instruction.args)
			switch instruction.name {
			case "ARG", "ENV":
				key, _, _ := strings.Cut(instruction.args, "=")
				declared[key] = true
			case "COPY":
				sources, _ := instruction.copies(t)
				if from, found := instruction.flags["from"]; found {
					if !known[from] {
						t.Errorf("COPY --from=%s: no such stage stands before it", from)
					}
					continue
				}
				for _, source := range sources {
					if !slices.ContainsFunc(context, func(file string) bool { return file == source || strings.HasPrefix(file, source+"/") }) {
						t.Errorf("COPY %s: the context has no such file, or .dockerignore keeps it out", source)
					}
				}
			case "RUN":
				// Traces are in the image: who wants none sets no endpoint.
				if strings.Contains(instruction.args, "cargo build") && !strings.Contains(instruction.args, "--features otlp") {
					t.Errorf("RUN %s: without the feature otlp", instruction.args)
				}
				if stage.base == "scratch" {
					t.Errorf("RUN %s: there is no shell", instruction.args)
				}
				check := exec.Command("bash", "-n")
				check.Stdin = strings.NewReader(instruction.args)
				if output, err := check.CombinedOutput(); err != nil {
					t.Errorf("RUN %s: %s", instruction.args, output)
				}
			case "LABEL", "WORKDIR", "USER", "EXPOSE", "HEALTHCHECK", "ENTRYPOINT", "CMD":
			default:
				t.Errorf("what is %s?", instruction.name)
			}
		}
		known[stage.name] = true
	}

	last := file.stages[len(file.stages)-1]
	if user := last.find(t, "USER").args; user != "65532:65532" {
		t.Errorf("USER %s: not the one of the manifests", user)
	}
	entry := last.find(t, "ENTRYPOINT").list(t)
	health := last.find(t, "HEALTHCHECK")
	health.args = strings.TrimPrefix(health.args, "CMD ")
	for _, command := range [][]string{slices.Concat(entry, last.find(t, "CMD").list(t)), health.list(t)} {
		if command[0] != "lastgreen" {
			t.Errorf("%q is not in the image", command)
		}
		run(t, tool("LASTGREEN_BIN", root+"/target/debug/lastgreen"), append(command[1:], "--help")...)
	}
	labels := last.find(t, "LABEL").args
	for _, label := range []string{"title", "description", "licenses", "version", "revision", "source"} {
		if !strings.Contains(labels, "org.opencontainers.image."+label+"=") {
			t.Errorf("no label %s", label)
		}
	}
	manifest, err := os.ReadFile(filepath.Join(root, "Cargo.toml"))
	if err != nil {
		t.Fatal(err)
	}
	for what, value := range map[string]string{"rust-version": file.global["RUST_VERSION"], "version": labelled(t, last, "VERSION")} {
		if !strings.Contains(string(manifest), "\n"+what+` = "`+value+`"`) {
			t.Errorf("Cargo.toml has another %s than %s", what, value)
		}
	}
}

// labelled gives the default of an ARG in a stage.
func labelled(t *testing.T, stage stage, name string) string {
	t.Helper()
	for _, instruction := range stage.instructions {
		if value, found := strings.CutPrefix(instruction.args, name+"="); found && instruction.name == "ARG" {
			return value
		}
	}
	t.Fatalf("no ARG %s", name)
	return ""
}

// contextOf gives the files that an engine would be sent: all that are kept in Git, as .dockerignore lets them through. It
// knows as much of that file's grammar as ours uses: `*`, and exceptions that are paths.
func contextOf(t *testing.T) (files []string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "deploy/Dockerfile.dockerignore"))
	if err != nil {
		t.Fatal(err)
	}
	var let []string
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if exception, found := strings.CutPrefix(line, "!"); found {
			let = append(let, path.Clean(exception))
		} else if line != "*" && line != "" && !strings.HasPrefix(line, "#") {
			t.Fatalf("what is %q in .dockerignore?", line)
		}
	}
	for _, file := range strings.Fields(string(run(t, "git", "-C", root, "ls-files", "--cached", "--others", "--exclude-standard"))) {
		if slices.ContainsFunc(let, func(let string) bool { return file == let || strings.HasPrefix(file, let+"/") }) {
			files = append(files, file)
		}
	}
	return files
}
