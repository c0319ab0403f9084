package argocd

import (
	"net/http"
	"testing"
)

// An outage is what fails while it lasts.
type outage struct {
	name   string
	orders []order
}

// All of these leave Argo CD's own list of pull requests alone: it is lastgreen that cannot see.
var outages = []outage{
	{"GraphQL answers 502", []order{fail("graphql", 502)}},
	{"GraphQL resets connections", []order{fail("graphql", 0)}},
	{"the registry answers 503", []order{fail("registry", 503)}},
	{"the registry resets connections", []order{fail("registry", 0)}},
	{"the registry refuses", []order{fail("registry", 401)}},
	{"both", []order{fail("graphql", 502), fail("registry", 503)}},
}

// deployedThree puts the three pull requests on a stage, and has their previews deployed by an example.
func (s *stage) deployedThree(file string) (*set, map[string]build, map[string]preview) {
	s.t.Helper()
	builds := s.threePulls()
	set := s.set(file)
	now := map[string]preview{
		set.name(1): set.preview("a1", builds["a1"]),
		set.name(3): set.preview("c1", builds["c1"]),
	}
	s.becomes(set, now)
	return set, builds, now
}

func TestAnOutageDeletesNothingAndTheOthersGoOn(t *testing.T) {
	for _, file := range []string{goTemplate, fastTemplate} {
		for _, outage := range outages {
			t.Run(file+": "+outage.name, func(t *testing.T) {
				s := newStage(t, trusted)
				set, builds, now := s.deployedThree(file)

				s.sim.orders(outage.orders...)
				s.becomes(set, now)

				// Pushes that nobody can look at; a pull request that was opened meanwhile, and one that was closed.
				s.sim.orders(push("feature-1", "a2"), push("feature-2", "b2"))
				s.sim.orders(open(4, "d1")...)
				s.sim.builds("a2", "b2", "d1")
				now = but(now, map[string]preview{set.name(1): set.preview("a2", builds["a1"])})
				s.becomes(set, now)

				s.sim.orders(closePull(3))
				delete(now, set.name(3))
				s.becomes(set, now, set.name(3))
			})
		}
	}
}

func TestWhileGitHubIsWhollyDownNothingMoves(t *testing.T) {
	for _, status := range []int{500, 502, 503, 401, 403} {
		t.Run(http.StatusText(status), func(t *testing.T) {
			s := newStage(t)
			set, _, now := s.deployedThree(goTemplate)

			s.sim.orders(fail("github", status))
			s.sim.orders(push("feature-1", "a2"), closePull(3))
			builds := s.sim.builds("a2")
			s.freezes(set, "error failed to get params for first generator in matrix generator: "+
				"child generator returned an error on parameter generation: error listing repos: "+
				"error listing pull requests for "+repository+": ", now)

			s.sim.orders(clearFaults())
			s.becomes(set, map[string]preview{set.name(1): set.preview("a2", builds["a2"])}, set.name(3))
		})
	}
}

func TestANewLedgerRefusesWhatNobodyCanSay(t *testing.T) {
	s := newStage(t, impatient)
	set, _, now := s.deployedThree(goTemplate)

	// The ledger is not trusted yet: that it does not know the new pull request may be its own fault.
	s.sim.orders(fail("graphql", 502))
	s.sim.orders(open(4, "d1")...)
	s.freezes(set, unavailable(set), now)

	// The one that nobody can say anything about is gone, so the others go on.
	s.sim.orders(closePull(4))
	s.becomes(set, now)
}

func TestALedgerThatWasLostInAnOutageFreezesEverythingAndDeletesNothing(t *testing.T) {
	for _, outage := range outages {
		t.Run(outage.name, func(t *testing.T) {
			s := newStage(t)
			set, _, now := s.deployedThree(goTemplate)
			s.loseLedger(func() {
				s.sim.orders(outage.orders...)
				impatient(&s.plugin.options)
			})
			s.freezes(set, unavailable(set), now)

			// With the upstreams back, the same is found again.
			s.restart(func() { s.sim.orders(clearFaults()) })
			s.becomes(set, now)
		})
	}
}

func TestARestartInAnOutageChangesNothing(t *testing.T) {
	if !durable {
		t.Skip("the ledger does not outlive the program yet")
	}
	for _, outage := range outages {
		t.Run(outage.name, func(t *testing.T) {
			s := newStage(t)
			set, builds, now := s.deployedThree(goTemplate)
			s.restart(func() { s.sim.orders(outage.orders...) })
			s.becomes(set, now)

			s.sim.orders(push("feature-1", "a2"))
			builds["a2"] = s.sim.builds("a2")["a2"]
			now = but(now, map[string]preview{set.name(1): set.preview("a2", builds["a1"])})
			s.becomes(set, now)

			s.restart(func() { s.sim.orders(clearFaults()) })
			now = but(now, map[string]preview{set.name(1): set.preview("a2", builds["a2"])})
			s.becomes(set, now)
		})
	}
}

func TestARestartForgetsNothing(t *testing.T) {
	if !durable {
		t.Skip("the ledger does not outlive the program yet")
	}
	s := newStage(t)
	set, builds, now := s.deployedThree(goTemplate)
	// So many red commits that the green one is out of reach: only the record knows it.
	for nth := range 25 {
		commit := "red-" + feature(nth)
		s.sim.orders(push("feature-1", commit), report("red", commit))
		now = but(now, map[string]preview{set.name(1): set.preview(commit, builds["a1"])})
	}
	s.becomes(set, now)
	s.restart(func() {})
	s.becomes(set, now)
}
