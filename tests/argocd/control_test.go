package argocd

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
)

// The controls: under the same controller previews do go, where a plugin lets them.

func TestPluginsThatAnswerNothingInAnOutageDeleteEverything(t *testing.T) {
	for _, row := range []struct{ name, body string }{
		{"an empty list", `{"output":{"parameters":[]}}`},
		{"an empty object", `{}`},
		{"nothing at all", ``},
		{"a list in the wrong place", `{"parameters":[{"digestFront":"sha256:0"}]}`},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := newStage(t)
			set, _, _ := s.deployedThree(goTemplate)
			careless := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				_, _ = io.WriteString(w, row.body)
			}))
			defer careless.Close()
			s.sim.orders(fail("graphql", 502), fail("registry", 503))
			s.cluster.pointPlugin(careless.URL)
			s.becomes(set, map[string]preview{}, set.name(1), set.name(3))
		})
	}
}

func TestAPluginThatFailsDeletesNothingButFreezesEverything(t *testing.T) {
	s := newStage(t)
	set, _, now := s.deployedThree(goTemplate)
	failing := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, `{"message": "out of order"}`, http.StatusInternalServerError)
	}))
	defer failing.Close()
	s.cluster.pointPlugin(failing.URL)
	s.sim.orders(push("feature-1", "a2"), closePull(3))
	s.freezes(set, refusal(set, http.StatusInternalServerError, "out of order"), now)
}
