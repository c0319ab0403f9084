package argocd

import (
	"bytes"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"text/template"
	"time"
)

// ledgerURL is where the program keeps what it has answered; {folder} is a folder of the test.
const ledgerURL = "sqlite://{folder}/ledger.db"

// durable tells whether that outlives the program.
const durable = ledgerURL != "memory:"

// Options are the parts of the configuration in which tests differ.
type options struct {
	// TrustAfter is how long a new ledger's ignorance is no knowledge.
	TrustAfter string
	// AnswerWithin is when an answer is due.
	AnswerWithin string
	// Outputs are further keys of the answer.
	Outputs map[string]string
	// Beside is what stands beside the generator's build; {folder} is a folder of the test.
	Beside string
}

// What is in memory stays fresh for longer than any test takes: a lookup is made where a test gives cause for it (a new head, a
// program that was started anew), and not because the machine is slow.
var configuration = template.Must(template.New("config").Parse(`
listen: 127.0.0.1:0
ops: { listen: "127.0.0.1:0" }
tokenFile: "{{.Folder}}/token"
answerWithin: {{.AnswerWithin}}
drainDelay: 0s
ledger: { url: "{{.Ledger}}", trustAfter: {{.TrustAfter}} }
github:
  api: {{.GitHub}}
  auth: { tokenFile: "{{.Folder}}/github" }
  pace: { perSecond: 1000, concurrent: 100 }
registries:
  - { host: "{{.Registry}}", plainHttp: true, pace: { perSecond: 1000, concurrent: 100 } }
generators:
  preview:
    refresh: { pending: 10m, settled: 1h }
    build:
      repository: ` + repository + `
      images:
        digestFront: "{{.Registry}}/myorg/front:sha-{sha}"
        digestBack: "{{.Registry}}/myorg/back:sha-{sha}"
      outputs: { {{range $key, $value := .Outputs}}{{$key}}: "{{$value}}", {{end}} }
{{.Beside}}
`))

// Lastgreen is the program with its folder, which outlives a restart.
type lastgreen struct {
	t       *testing.T
	sim     *simulator
	options options
	folder  string
	process *process
	// url is what Argo CD has to know: the plugin's address with the generator's name.
	url string
}

func startLastgreen(t *testing.T, sim *simulator, token string, options options) *lastgreen {
	t.Helper()
	l := &lastgreen{t: t, sim: sim, options: options, folder: t.TempDir()}
	l.write("token", token)
	l.write("github", githubToken)
	l.start()
	return l
}

func (l *lastgreen) write(name, content string) {
	l.t.Helper()
	if err := os.WriteFile(filepath.Join(l.folder, name), []byte(content), 0o600); err != nil {
		l.t.Fatal(err)
	}
}

// start starts the program on free ports, and waits until it says that it is ready.
func (l *lastgreen) start() {
	l.t.Helper()
	var config bytes.Buffer
	inFolder := func(text string) string { return strings.ReplaceAll(text, "{folder}", l.folder) }
	err := configuration.Execute(&config, map[string]any{
		"Folder": l.folder, "GitHub": l.sim.github, "Registry": l.sim.registry,
		"Ledger": inFolder(ledgerURL), "Beside": inFolder(l.options.Beside),
		"AnswerWithin": l.options.AnswerWithin, "TrustAfter": l.options.TrustAfter, "Outputs": l.options.Outputs,
	})
	if err != nil {
		l.t.Fatal(err)
	}
	l.write("config.yaml", config.String())
	var plugin, ops string
	listens := regexp.MustCompile(`"plugin":"([^"]+)".*"ops":"([^"]+)"|"ops":"([^"]+)".*"plugin":"([^"]+)"`)
	args := []string{"--log-format", "json", "serve", "--config", filepath.Join(l.folder, "config.yaml")}
	l.process = start(l.t, program("LASTGREEN_BIN", "lastgreen"), args, []string{"RUST_LOG=lastgreen=debug"}, func(line string) bool {
		found := listens.FindStringSubmatch(line)
		if found == nil {
			return false
		}
		plugin, ops = found[1]+found[4], found[2]+found[3]
		return true
	})
	for begun := time.Now(); !isReady(ops); time.Sleep(10 * time.Millisecond) {
		if time.Since(begun) > patience {
			l.t.Fatal("lastgreen does not become ready")
		}
	}
	l.url = "http://" + plugin + "/preview"
}

func isReady(ops string) bool {
	response, err := http.Get("http://" + ops + "/readyz")
	if err != nil {
		return false
	}
	response.Body.Close()
	return response.StatusCode == http.StatusOK
}

// stop ends the program; what it keeps in its folder stays.
func (l *lastgreen) stop() { l.process.stop() }

// loseLedger takes away what the program kept, as if its volume were new.
func (l *lastgreen) loseLedger() {
	l.t.Helper()
	files, err := filepath.Glob(filepath.Join(l.folder, "ledger*"))
	if err != nil {
		l.t.Fatal(err)
	}
	for _, file := range files {
		if err := os.Remove(file); err != nil {
			l.t.Fatal(err)
		}
	}
}
