package argocd

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"testing"
)

// tiers is another plugin, which says what it is told to.
type tiers struct {
	status atomic.Int64
	body   atomic.Value
	url    string
}

func startTiers(t *testing.T) *tiers {
	t.Helper()
	p := &tiers{}
	p.says(http.StatusOK, `{"output":{"parameters":[{"tier":"gold"}]}}`)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer tiers" || r.URL.Path != "/api/v1/getparams.execute" {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		w.WriteHeader(int(p.status.Load()))
		_, _ = io.WriteString(w, p.body.Load().(string))
	}))
	t.Cleanup(server.Close)
	p.url = server.URL
	return p
}

func (p *tiers) says(status int, body string) {
	p.status.Store(int64(status))
	p.body.Store(body)
}

// tenants is a database of tenants.
type tenants struct {
	t    *testing.T
	file string
}

func (d *tenants) execute(script string) {
	d.t.Helper()
	program := "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.executescript(sys.argv[2]); c.close()"
	if out, err := exec.Command("python3", "-c", program, d.file, script).CombinedOutput(); err != nil {
		d.t.Fatalf("%v: %s", err, out)
	}
}

// threeParts puts a build, tenants and tiers on a stage.
func threeParts(t *testing.T) (*stage, *set, *tenants, *tiers) {
	t.Helper()
	folder := t.TempDir()
	database := &tenants{t: t, file: filepath.Join(folder, "tenants.db")}
	database.execute("CREATE TABLE tenants (tenant TEXT, status TEXT);" +
		"INSERT INTO tenants VALUES ('acme', 'active'), ('beta', 'active'), ('gamma', 'trial');")
	plugin := startTiers(t)
	if err := os.WriteFile(filepath.Join(folder, "tiers"), []byte("tiers"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := newStage(t, trusted, func(options *options) {
		options.Beside = fmt.Sprintf(`    sql:
      url: "sqlite://%s"
      query: SELECT tenant, status FROM tenants ORDER BY tenant
      onlyIf: { matchLabels: { status: active } }
    plugins:
      tiers: { url: "%s", tokenFile: "%s/tiers" }
`, database.file, plugin.url, folder)
	})
	set := s.set(goTemplate, func(set *set) {
		set.Spec.Template.Name = "fb-matrix-{{.number}}-{{.tenant}}-{{.tier}}"
	})
	return s, set, database, plugin
}

// ofTenants are a pull request's previews, one for each tenant.
func ofTenants(set *set, number int, head string, of build, tenants ...string) map[string]preview {
	all := map[string]preview{}
	for _, tenant := range tenants {
		all[fmt.Sprintf("fb-matrix-%d-%s-gold", number, tenant)] = set.preview(head, of)
	}
	return all
}

func TestThreePartsAreJoinedAndEachIsHeldForItself(t *testing.T) {
	s, set, database, plugin := threeParts(t)
	builds := s.threePulls()
	now := but(ofTenants(set, 1, "a1", builds["a1"], "acme", "beta"), ofTenants(set, 3, "c1", builds["c1"], "acme", "beta"))
	s.renders(set, now)
	s.becomes(set, now)

	// No part that cannot say takes anything away, alone or with others, nor does a restart.
	aside := database.file + ".aside"
	for _, trouble := range []struct {
		name        string
		begin, over func()
	}{
		{"the plugin fails", func() { plugin.says(http.StatusBadGateway, "") }, func() {}},
		{"the plugin answers an empty 200", func() { plugin.says(http.StatusOK, "") }, func() {}},
		{"the plugin answers HTML", func() { plugin.says(http.StatusOK, "<html>") }, func() {}},
		{"the database is gone", func() {
			if err := os.Rename(database.file, aside); err != nil {
				t.Fatal(err)
			}
		}, func() {
			if err := os.Rename(aside, database.file); err != nil {
				t.Fatal(err)
			}
		}},
		{"the registry and GraphQL fail", func() { s.sim.orders(fail("graphql", 502), fail("registry", 503)) }, func() { s.sim.orders(clearFaults()) }},
	} {
		t.Log(trouble.name)
		trouble.begin()
		s.becomes(set, now)
		s.restart(func() {})
		s.becomes(set, now)
		trouble.over()
		plugin.says(http.StatusOK, `{"output":{"parameters":[{"tier":"gold"}]}}`)
	}

	// A tenant that is gone is deprovisioned, and one that comes is provisioned.
	database.execute("DELETE FROM tenants WHERE tenant = 'beta'; UPDATE tenants SET status = 'active' WHERE tenant = 'gamma';")
	now = but(ofTenants(set, 1, "a1", builds["a1"], "acme", "gamma"), ofTenants(set, 3, "c1", builds["c1"], "acme", "gamma"))
	s.becomes(set, now, "fb-matrix-1-beta-gold", "fb-matrix-3-beta-gold")

	// A list that is empty on purpose is an answer like any other.
	plugin.says(http.StatusOK, `{"output":{"parameters":[]}}`)
	gone := []string{"fb-matrix-1-acme-gold", "fb-matrix-1-gamma-gold", "fb-matrix-3-acme-gold", "fb-matrix-3-gamma-gold"}
	s.becomes(set, map[string]preview{}, gone...)
}
