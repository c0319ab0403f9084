package deploy

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

var dist = flag.Bool("dist", false, "build the image's program, as the Dockerfile does; without it, the one at hand is put in its place")

// patience is how long anything may take to begin or to end.
const patience = 60 * time.Second

// The image without an engine: deploy/Dockerfile is carried out over this machine, which stands in for the base image, in
// an overlay that is thrown away. Then the program runs in what came of it, as Kubernetes runs it: not as root, with no
// capability, on a root that is read-only.
func TestImage(t *testing.T) {
	unlessPossible(t)
	work := t.TempDir()
	image := filepath.Join(work, "image")
	build(t, work, image)
	size := sizes(t, image)

	github, registry := simulator(t, "")
	_, port, _ := strings.Cut(registry, ":")
	answerNames(t, map[string]string{"registry.tools.svc.cluster.local.": "127.0.0.1"})
	plugin, ops := freePort(t), freePort(t)
	container := &container{t: t, work: work, image: image, volumes: map[string]string{}}
	container.volume("/etc/lastgreen", false, map[string]string{"config.yaml": fmt.Sprintf(`
listen: 127.0.0.1:%d
ops: { listen: "127.0.0.1:%d", tokenFile: /var/run/lastgreen/ops-token }
tokenFile: /var/run/argo/token
drainDelay: 5m
github: { api: %q, auth: { tokenFile: /secrets/github/token } }
registries:
  - host: registry.tools.svc:%s
    plainHttp: true
    auth: { usernameFile: /secrets/registry/username, passwordFile: /secrets/registry/token }
generators:
  preview:
    build:
      repository: myorg/myrepo
      ci: { settle: 0s }
      images: { digestFront: "registry.tools.svc:%s/myorg/front:sha-{sha}" }
`, plugin, ops, strings.Replace(github, "127.0.0.1", "localhost", 1), port, port)})
	container.volume("/var/run/argo", false, map[string]string{"token": "strong-password"})
	container.volume("/var/run/lastgreen", false, map[string]string{"ops-token": "another"})
	container.volume("/secrets/github", false, map[string]string{"token": "sim-classic-token"})
	container.volume("/secrets/registry", false, map[string]string{"username": "me", "token": "a classic personal access token with read:packages"})
	container.volume("/var/lib/lastgreen", true, nil)
	// As the kubelet writes it: the name is found by the last line of the search list only.
	container.file("/etc/resolv.conf", "nameserver "+nameServer+"\nsearch lastgreen.svc.cluster.local svc.cluster.local cluster.local\noptions ndots:5\n")
	container.file("/etc/hosts", "127.0.0.1 localhost\n")

	if version := container.output("--version"); *dist && version != "lastgreen 0.1.0 (0123abc)\n" {
		t.Errorf("%q", version)
	}
	if unhealthy, code := container.run("health"); code != 1 || !strings.Contains(unhealthy, "nothing answers") {
		t.Errorf("%d %s", code, unhealthy)
	}

	// The root can be read only, and what the program needs of it is there.
	serving, began := container.start("serve"), time.Now()
	for {
		response, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/readyz", ops))
		if err == nil {
			response.Body.Close()
			break
		}
		if time.Since(began) > patience {
			t.Fatalf("it does not start: %s", serving.said())
		}
		time.Sleep(time.Millisecond)
	}
	t.Logf("image: %.1f MB in all, %.1f MB without the program; ready %d ms after the start, mounts and chroot included",
		float64(size["all"])/1e6, float64(size["all"]-size["program"])/1e6, time.Since(began).Milliseconds())
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", serving.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{`Uid:\s+65532\s+65532`, `Gid:\s+65532\s+65532`, `CapEff:\s+0+\n`, `CapPrm:\s+0+\n`, `NoNewPrivs:\s+1`} {
		if !regexp.MustCompile(line).Match(status) {
			t.Errorf("it is not %s:\n%s", line, status)
		}
	}
	if healthy, code := container.run("health"); code != 0 || healthy != "ready\n" {
		t.Errorf("%d %s", code, healthy)
	}

	// Names are looked up in files and by the search list; the ledger is written to its volume.
	question := `{"applicationSetName":"fb-matrix","input":{"parameters":{"branch":"main"}}}`
	request, err := http.NewRequest(http.MethodPost, fmt.Sprintf("http://127.0.0.1:%d/preview/api/v1/getparams.execute", plugin), strings.NewReader(question))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer strong-password")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil || !regexp.MustCompile(`^\{"output":\{"parameters":\[\{"digestFront":"sha256:[0-9a-f]{64}"}]}}$`).Match(answer) {
		t.Errorf("%s %v\n%s", answer, err, serving.said())
	}
	if lines := container.output("ledger", "list"); !strings.Contains(lines, "main") {
		t.Errorf("%s", lines)
	}

	// On the root itself nothing can be written.
	container.volume("/etc/lastgreen", false, map[string]string{"config.yaml": strings.Replace(
		container.read("/etc/lastgreen/config.yaml"), "drainDelay", "ledger: { url: sqlite:///var/ledger.db }\ndrainDelay", 1)})
	if said, code := container.run("check"); code != 5 || !strings.Contains(said, "WRONG    ledger") {
		t.Errorf("%d %s", code, said)
	}

	if err := serving.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	for began := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		if unready, code := container.run("health"); code == 1 && strings.Contains(unready, "503") {
			break
		}
		if time.Since(began) > patience {
			t.Fatalf("it is still ready: %s", serving.said())
		}
	}
	// Told once more, it does not wait.
	_ = serving.cmd.Process.Signal(syscall.SIGTERM)
	if err := serving.cmd.Wait(); err != nil {
		t.Errorf("%v: %s", err, serving.said())
	}
}

// unlessPossible skips a test where this machine has no overlays, or will not let us have any.
func unlessPossible(t *testing.T) {
	t.Helper()
	output, err := exec.Command("unshare", "--mount", "--propagation", "private", "true").CombinedOutput()
	switch {
	case err == nil && os.Geteuid() == 0:
	case os.Getenv("LASTGREEN_REAL_SERVERS") == "required":
		t.Fatalf("NOT RUN: mounts of its own take root, and unshare: %v %s", err, output)
	default:
		t.Skipf("NOT RUN: mounts of its own take root, and unshare: %v %s", err, output)
	}
}

// build carries out the Dockerfile's instructions. Those that compile are done only if that is asked for.
func build(t *testing.T, work, image string) {
	t.Helper()
	file := readDockerfile(t)
	if len(file.stages) != 2 || file.stages[1].base != "scratch" {
		t.Fatalf("a Dockerfile with %d stages", len(file.stages))
	}
	program, err := filepath.Abs(tool("LASTGREEN_BIN", root+"/target/debug/lastgreen"))
	if err != nil {
		t.Fatal(err)
	}
	context, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	copyIn := func(script *strings.Builder, instruction instruction, from, to, directory string) {
		sources, target := instruction.copies(t)
		if !filepath.IsAbs(target) {
			target = directory + "/" + target
		}
		for _, source := range sources {
			place := to + target
			if info, err := os.Stat(filepath.Join(root, source)); strings.HasSuffix(source, "/") || err == nil && info.IsDir() {
				fmt.Fprintf(script, "mkdir -p %s && cp -R --preserve=mode,links %s/%s/. %s/\n", place, from, source, place)
			} else {
				fmt.Fprintf(script, "mkdir -p $(dirname %sx) && cp --preserve=mode %s/%s %s\n", place, from, source, place)
			}
			if owner, found := instruction.flags["chown"]; found {
				fmt.Fprintf(script, "chown -R %s %s\n", owner, place)
			}
		}
	}

	var inside strings.Builder
	directory := "/"
	inside.WriteString("set -eux\numask 022\n")
	for _, instruction := range file.stages[0].instructions {
		switch instruction.name {
		case "WORKDIR":
			directory = instruction.args
			fmt.Fprintf(&inside, "mkdir -p %s; cd %s\n", directory, directory)
		case "ARG":
			fmt.Fprintf(&inside, "export %s\n", instruction.args)
			if strings.HasPrefix(instruction.args, "COMMIT=") {
				inside.WriteString("export COMMIT=0123abc\n")
			}
		case "COPY":
			copyIn(&inside, instruction, "/context", "", directory)
		case "RUN":
			switch compiles := strings.Contains(instruction.args, "cargo build"); {
			case *dist:
				fmt.Fprintf(&inside, "(%s)\n", instruction.args)
			case compiles:
				inside.WriteString("mkdir -p target/dist; cp /program target/dist/lastgreen\n")
			case strings.Contains(instruction.args, "apt-get"):
				// What it installs is what this machine compiles with anyway.
			default:
				fmt.Fprintf(&inside, "(%s)\n", instruction.args)
			}
		default:
			t.Fatalf("what is %s in the first stage?", instruction.name)
		}
	}
	stage := filepath.Join(work, "stage")
	var outside strings.Builder
	fmt.Fprintf(&outside, `set -eux
mkdir -p %[1]s/upper %[1]s/work %[1]s/root %[2]s
mount -t overlay overlay -o lowerdir=/,upperdir=%[1]s/upper,workdir=%[1]s/work %[1]s/root
mount --rbind /proc %[1]s/root/proc
mount --rbind /dev %[1]s/root/dev
mkdir %[1]s/root/context
mount --bind -o ro %[3]s %[1]s/root/context
cp %[4]s %[1]s/root/program
chroot %[1]s/root bash -c "$INSIDE"
`, stage, image, context, program)
	for _, instruction := range file.stages[1].instructions {
		if instruction.name == "COPY" {
			copyIn(&outside, instruction, stage+"/root", image, "")
		}
	}
	cmd := exec.Command("unshare", "--mount", "--propagation", "private", "bash", "-c", outside.String())
	cmd.Env = append(os.Environ(), "INSIDE="+inside.String(), "CARGO_TARGET_DIR=")
	for _, name := range []string{"CARGO_TARGET_DIR", "LASTGREEN_COMMIT"} {
		cmd.Env = without(cmd.Env, name)
	}
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v:\n%s", err, log.String())
	}
	if *dist {
		t.Logf("carried out:\n%s", log.String())
	}
}

func without(environment []string, name string) (rest []string) {
	for _, variable := range environment {
		if !strings.HasPrefix(variable, name+"=") {
			rest = append(rest, variable)
		}
	}
	return rest
}

// sizes adds up what is in the image, and looks whether it is what should be there.
func sizes(t *testing.T, image string) map[string]int64 {
	t.Helper()
	sizes := map[string]int64{}
	err := filepath.WalkDir(image, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		sizes["all"] += info.Size()
		if path == filepath.Join(image, "usr/local/bin/lastgreen") {
			sizes["program"] = info.Size()
		}
		if info.Mode().Perm()&0o022 != 0 || info.Mode()&(fs.ModeSetuid|fs.ModeSetgid) != 0 {
			t.Errorf("%s: %v", path, info.Mode())
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	certificates, err := os.ReadFile(filepath.Join(image, "etc/ssl/certs/ca-certificates.crt"))
	if err != nil || bytes.Count(certificates, []byte("BEGIN CERTIFICATE")) < 100 {
		t.Errorf("few CAs: %v", err)
	}
	for _, name := range []string{"libc6", "libgcc-s1", "ca-certificates"} {
		status, err := os.ReadFile(filepath.Join(image, "var/lib/dpkg/status.d", name))
		if err != nil || !bytes.Contains(status, []byte("\nVersion: ")) {
			t.Errorf("scanners do not see %s: %s %v", name, status, err)
		}
	}
	for _, absent := range []string{"bin/sh", "usr/bin", "tmp"} {
		if _, err := os.Lstat(filepath.Join(image, absent)); err == nil {
			t.Errorf("what is %s for?", absent)
		}
	}
	return sizes
}

// A container is the image with volumes.
type container struct {
	t           *testing.T
	work, image string
	// volumes are directories or files of this machine, by where they are mounted.
	volumes map[string]string
}

func (c *container) volume(mount string, writable bool, files map[string]string) {
	c.t.Helper()
	directory := filepath.Join(c.work, "volumes", mount)
	if err := os.MkdirAll(directory, 0o755); err != nil {
		c.t.Fatal(err)
	}
	for name, content := range files {
		// As a Secret that is mounted with `fsGroup`: the group may read it.
		file := filepath.Join(directory, name)
		if err := os.WriteFile(file, []byte(content), 0o440); err != nil {
			c.t.Fatal(err)
		}
		if err := os.Chown(file, 0, 65532); err != nil {
			c.t.Fatal(err)
		}
	}
	c.volumes[mount] = directory + ":ro"
	if writable {
		c.volumes[mount] = directory + ":rw"
		if err := os.Chown(directory, 65532, 65532); err != nil {
			c.t.Fatal(err)
		}
	}
}

func (c *container) file(mount, content string) {
	c.t.Helper()
	file := filepath.Join(c.work, "volumes", mount)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		c.t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
		c.t.Fatal(err)
	}
	c.volumes[mount] = file + ":ro"
}

func (c *container) read(path string) string {
	c.t.Helper()
	text, err := os.ReadFile(filepath.Join(c.work, "volumes", path))
	if err != nil {
		c.t.Fatal(err)
	}
	return string(text)
}

// command is the program in the container, as the Dockerfile says: by name, in the PATH, as the user.
func (c *container) command(args ...string) *exec.Cmd {
	c.t.Helper()
	last := readDockerfile(c.t).stages[1]
	var script strings.Builder
	fmt.Fprintf(&script, "set -eu\ncd %s\nmount --bind . .\ncd %s\n", c.image, c.image)
	for mount, volume := range c.volumes {
		source, mode, _ := strings.Cut(volume, ":")
		if info, err := os.Stat(source); err == nil && info.IsDir() {
			fmt.Fprintf(&script, "mkdir -p .%s\n", mount)
		} else {
			fmt.Fprintf(&script, "[ -e .%s ] || touch .%s\n", mount, mount)
		}
		fmt.Fprintf(&script, "mount --bind %s .%s\nmount -o remount,bind,%s .%s\n", source, mount, mode, mount)
	}
	fmt.Fprintf(&script, "mount -o remount,bind,ro .\nif touch ./x 2>/dev/null; then echo 'the root is not read-only' >&2; exit 99; fi\n")
	fmt.Fprintf(&script, "exec env -i %s $(command -v setpriv) --no-new-privs $(command -v chroot) --userspec=%s --groups= . \"$@\"\n",
		last.find(c.t, "ENV").args, last.find(c.t, "USER").args)
	words := append([]string{"--mount", "--propagation", "private", "bash", "-c", script.String(), "container"}, last.find(c.t, "ENTRYPOINT").list(c.t)...)
	// From `env` on the image's PATH counts, so this machine's programs are named in full.
	return exec.Command("unshare", append(words, args...)...)
}

func (c *container) run(args ...string) (output string, code int) {
	c.t.Helper()
	cmd := c.command(args...)
	said, err := cmd.CombinedOutput()
	if _, exited := err.(*exec.ExitError); err != nil && !exited {
		c.t.Fatal(err)
	}
	return string(said), cmd.ProcessState.ExitCode()
}

func (c *container) output(args ...string) string {
	c.t.Helper()
	said, code := c.run(args...)
	if code != 0 {
		c.t.Fatalf("%q: %d %s", args, code, said)
	}
	return said
}

// A service is a program that runs. It ends with its test.
type service struct {
	cmd *exec.Cmd
	log string
}

func (c *container) start(args ...string) *service {
	c.t.Helper()
	service := &service{cmd: c.command(args...), log: filepath.Join(c.work, "log")}
	log, err := os.Create(service.log)
	if err != nil {
		c.t.Fatal(err)
	}
	defer log.Close()
	service.cmd.Stdout, service.cmd.Stderr = log, log
	if err := service.cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() {
		_ = service.cmd.Process.Kill()
		_ = service.cmd.Wait()
	})
	return service
}

func (s *service) said() string {
	text, err := os.ReadFile(s.log)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

func freePort(t *testing.T) int {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).Port
}

// An address of this machine that nobody else answers DNS at.
const nameServer = "127.0.53.53"

// answerNames is a name server that knows these names and no others.
func answerNames(t *testing.T, names map[string]string) {
	t.Helper()
	socket, err := net.ListenPacket("udp", nameServer+":53")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { socket.Close() })
	go func() {
		buffer := make([]byte, 1500)
		for {
			length, from, err := socket.ReadFrom(buffer)
			if err != nil {
				return
			}
			var message dnsmessage.Message
			if message.Unpack(buffer[:length]) != nil || len(message.Questions) != 1 {
				continue
			}
			message.Response, message.Additionals = true, nil
			question := message.Questions[0]
			if address, found := names[question.Name.String()]; !found {
				message.RCode = dnsmessage.RCodeNameError
			} else if question.Type == dnsmessage.TypeA {
				message.Answers = []dnsmessage.Resource{{
					Header: dnsmessage.ResourceHeader{Name: question.Name, Class: dnsmessage.ClassINET},
					Body:   &dnsmessage.AResource{A: [4]byte(net.ParseIP(address).To4())},
				}}
			}
			if packed, err := message.Pack(); err == nil {
				_, _ = socket.WriteTo(packed, from)
			}
		}
	}()
}
