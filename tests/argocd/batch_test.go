package argocd

import "testing"

func TestOneCallForAllDeploysExactlyTheLastGreenBuilds(t *testing.T) {
	s := newStage(t)
	builds := s.threePulls()
	set := s.set(merge)
	now := map[string]preview{
		set.name(1): set.preview("a1", builds["a1"]),
		set.name(3): set.preview("c1", builds["c1"]),
	}
	s.renders(set, now)
	s.becomes(set, now)

	// A red push, and a first green build. A new process has nothing in memory that would be fresh enough.
	s.sim.orders(push("feature-1", "a2"), report("red", "a2"), push("feature-2", "b2"))
	builds["b2"] = s.sim.builds("b2")["b2"]
	s.restart(func() {})
	now = but(now, map[string]preview{
		set.name(1): set.preview("a2", builds["a1"]),
		set.name(2): set.preview("b2", builds["b2"]),
	})
	s.becomes(set, now)

	s.sim.orders(closePull(3))
	delete(now, set.name(3))
	s.becomes(set, now, set.name(3))
}

func TestAnOutageOfOneCallForAllDeletesNothing(t *testing.T) {
	for _, outage := range outages {
		t.Run(outage.name, func(t *testing.T) {
			s := newStage(t, trusted)
			set, builds, now := s.deployedThree(merge)

			s.sim.orders(outage.orders...)
			s.sim.orders(push("feature-1", "a2"), push("feature-2", "b2"))
			s.sim.builds("a2", "b2")
			s.restart(func() {})
			now = but(now, map[string]preview{set.name(1): set.preview("a2", builds["a1"])})
			s.becomes(set, now)

			s.sim.orders(closePull(3))
			delete(now, set.name(3))
			s.becomes(set, now, set.name(3))
		})
	}
}

func TestWithoutTheSelectorEmptyDigestsWouldBeDeployed(t *testing.T) {
	s := newStage(t)
	builds := s.threePulls()
	set := s.set(merge, func(set *set) { set.Spec.Generators[0].Selector = nil })
	s.renders(set, map[string]preview{
		set.name(1): set.preview("a1", builds["a1"]),
		set.name(2): set.preview("b1", build{}),
		set.name(3): set.preview("c1", builds["c1"]),
	})
}
