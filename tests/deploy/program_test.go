package deploy

import (
	"bufio"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"
)

// What a pod finds is laid out in a folder, as the manifests mount it, and the program says whether it is well: every file
// that the configuration names is there, GitHub takes the App's key, the registry the user and the token.
func TestTheProgramAcceptsWhatIsMounted(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	public, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	encode := func(kind string, bytes []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: bytes}))
	}
	private := encode("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(key))
	each(t, func(t *testing.T, variant variant, objects objects) {
		github, registry := simulator(t, encode("PUBLIC KEY", public))
		folder := t.TempDir()
		mount(t, objects, folder)
		for secret, content := range map[string]string{"/secrets/github/key.pem": private, "/secrets/ledger/url": "sqlite://" + folder + "/ledger.db"} {
			path := filepath.Join(folder, secret)
			if _, err := os.Stat(path); err == nil {
				if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
					t.Fatal(err)
				}
			} else if secret != "/secrets/ledger/url" || variant.replicated {
				t.Fatal(err)
			}
		}
		config := configuration(t, objects)
		config["github"].(map[string]any)["api"] = github
		own := config["registries"].([]any)[0].(map[string]any)
		own["host"], own["plainHttp"] = registry, true
		if !variant.replicated {
			config["ledger"] = map[string]any{"url": "sqlite:///var/lib/lastgreen/ledger.db"}
		}
		text, err := yaml.Marshal(config)
		if err != nil {
			t.Fatal(err)
		}
		moved := strings.NewReplacer(
			" /var/", " "+folder+"/var/", " /secrets/", " "+folder+"/secrets/", "sqlite:///var", "sqlite://"+folder+"/var",
			" ghcr.io/", " "+registry+"/",
		).Replace(string(text))
		file := filepath.Join(folder, "etc/lastgreen/config.yaml")
		if err := os.WriteFile(file, []byte(moved), 0o600); err != nil {
			t.Fatal(err)
		}
		found := string(run(t, tool("LASTGREEN_BIN", root+"/target/debug/lastgreen"), "check", "--config", file))
		for _, line := range []string{"GitHub myorg/myrepo: checks: can be read", registry + "/myorg/front: can be read", "ledger: can be used"} {
			if !strings.Contains(found, line) {
				t.Errorf("no %q in\n%s", line, found)
			}
		}
		// Nothing is mounted in vain, and nothing is missing.
		for _, volume := range deployment(t, objects).Spec.Template.Spec.Containers[0].VolumeMounts {
			if strings.HasPrefix(volume.Name, "secret-") && !strings.Contains(moved, folder+volume.MountPath+"/") {
				t.Errorf("the configuration names nothing below %s", volume.MountPath)
			}
		}
	})
}

// mount lays out the pod's volumes below a folder.
func mount(t *testing.T, objects objects, folder string) {
	t.Helper()
	pod := deployment(t, objects).Spec.Template.Spec
	for _, mount := range pod.Containers[0].VolumeMounts {
		directory := filepath.Join(folder, mount.MountPath)
		if err := os.MkdirAll(directory, 0o700); err != nil {
			t.Fatal(err)
		}
		files := map[string]string{}
		for _, volume := range pod.Volumes {
			if volume.Name != mount.Name {
				continue
			}
			if volume.ConfigMap != nil {
				files = configMap(t, objects).Data
			}
			if volume.Secret != nil {
				files = get[corev1.Secret](t, objects, "Secret lastgreen/"+volume.Secret.SecretName).StringData
			}
			if claim := volume.PersistentVolumeClaim; claim != nil {
				get[corev1.PersistentVolumeClaim](t, objects, "PersistentVolumeClaim lastgreen/"+claim.ClaimName)
			}
		}
		for name, content := range files {
			if err := os.WriteFile(filepath.Join(directory, name), []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// simulator starts a GitHub that knows the App 12345 by its key, and a registry that knows the user `me`.
func simulator(t *testing.T, publicKey string) (github, registry string) {
	t.Helper()
	world, err := yaml.Marshal(map[string]any{
		"github": map[string]any{
			"tokens": []any{map[string]any{"token": "sim-classic-token", "login": "lastgreen-bot", "kind": "classic"}},
			"apps": []any{map[string]any{
				"id": 12345, "public_key": publicKey,
				"installations": []any{map[string]any{"id": 1, "account": "myorg"}},
			}},
			"repositories": []any{map[string]any{
				"owner": "myorg", "name": "myrepo", "branches": map[string]any{"main": "m1"},
				"commits": map[string]any{"m1": map[string]any{}},
				"checks":  map[string]any{"m1": []any{map[string]any{"name": "build", "conclusion": "success"}}},
			}},
		},
		"registry": map[string]any{
			"auth":        "basic",
			"credentials": []any{map[string]any{"username": "me", "password": "a classic personal access token with read:packages"}},
			"private":     []any{"myorg/front", "myorg/back"},
			"images": []any{
				map[string]any{"repository": "myorg/front", "tag": "sha-{sha:m1}", "image": map[string]any{}},
				map[string]any{"repository": "myorg/back", "tag": "sha-{sha:m1}", "image": map[string]any{}},
			},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "world.yaml")
	if err := os.WriteFile(file, world, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(tool("LASTGREEN_SIM_BIN", root+"/target/debug/lastgreen-sim"), "--world", file, "--github", "127.0.0.1:0", "--registry", "127.0.0.1:0")
	output, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	began := make(chan string, 1)
	go func() {
		var said strings.Builder
		for lines := bufio.NewScanner(output); lines.Scan(); {
			fmt.Fprintln(&said, lines.Text())
			switch name, address, _ := strings.Cut(lines.Text(), " "); name {
			case "github":
				github = strings.TrimSpace(address)
			case "registry":
				registry = strings.TrimSpace(address)
			}
			if github != "" && registry != "" {
				began <- ""
				return
			}
		}
		began <- "the simulator does not begin:\n" + said.String()
	}()
	select {
	case problem := <-began:
		if problem != "" {
			t.Fatal(problem)
		}
	case <-time.After(time.Minute):
		t.Fatal("the simulator does not begin")
	}
	return github, registry
}
