package argocd

import (
	"bufio"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience is how long a program may take to begin or to end. Whoever needs longer is broken.
const patience = 60 * time.Second

// A process is a program under test. It ends with its test.
type process struct {
	t     *testing.T
	name  string
	cmd   *exec.Cmd
	ended chan struct{}

	mu  sync.Mutex
	log strings.Builder
}

// program gives the path of a program: what the environment says, else where cargo puts it.
func program(variable, name string) string {
	if path := os.Getenv(variable); path != "" {
		return path
	}
	return "../../target/debug/" + name
}

// start runs a program, in an environment of its own, until a line of its output is what ready looks for.
func start(t *testing.T, path string, args, env []string, ready func(line string) bool) *process {
	t.Helper()
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, args...)
	cmd.Env, cmd.Stdout, cmd.Stderr = env, writer, writer
	err = cmd.Start()
	writer.Close()
	if err != nil {
		reader.Close()
		t.Fatalf("%v\ntests/argocd/run builds the programs", err)
	}
	p := &process{t: t, name: path, cmd: cmd, ended: make(chan struct{})}
	began := make(chan struct{})
	go func() {
		defer close(p.ended)
		defer reader.Close()
		waiting := true
		for lines := bufio.NewScanner(reader); lines.Scan(); {
			p.note(lines.Text())
			if waiting && ready(lines.Text()) {
				waiting = false
				close(began)
			}
		}
	}()
	t.Cleanup(func() {
		p.stop()
		if t.Failed() {
			t.Logf("what %s said:\n%s", path, p.said())
		}
	})
	select {
	case <-began:
	case <-p.ended:
		t.Fatalf("%s ended at once:\n%s", path, p.said())
	case <-time.After(patience):
		t.Fatalf("%s does not begin:\n%s", path, p.said())
	}
	return p
}

// stop ends the program as Kubernetes does, and waits until it is gone. A second time does nothing.
func (p *process) stop() {
	if p.cmd.ProcessState != nil {
		return
	}
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.ended:
	case <-time.After(patience):
		p.t.Errorf("%s does not end", p.name)
		_ = p.cmd.Process.Kill()
		<-p.ended
	}
	// How it ended is of no interest: the simulator knows no other end than the signal.
	_ = p.cmd.Wait()
}

func (p *process) note(line string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.log.WriteString(line)
	p.log.WriteByte('\n')
}

// said is the program's output so far.
func (p *process) said() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.String()
}
