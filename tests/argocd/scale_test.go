package argocd

import (
	"fmt"
	"testing"
)

func TestAThousandPullRequests(t *testing.T) {
	const pulls, everyNth = 1000, 50
	s := newStage(t, trusted)
	var orders []order
	var green []string
	commit := func(number int) string { return fmt.Sprintf("commit-%d", number) }
	for number := 1; number <= pulls; number++ {
		orders = append(orders, open(number, commit(number))...)
		if number%everyNth == 0 {
			orders = append(orders, report("red", commit(number)))
		} else {
			green = append(green, commit(number))
		}
	}
	s.sim.orders(orders...)
	builds := s.sim.builds(green...)
	set := s.set(goTemplate)
	now := map[string]preview{}
	for number := 1; number <= pulls; number++ {
		if build, is := builds[commit(number)]; is {
			now[set.name(number)] = set.preview(commit(number), build)
		}
	}
	if len(now) != pulls-pulls/everyNth {
		t.Fatalf("%d previews are expected", len(now))
	}
	s.renders(set, now)

	// From here on everything comes from memory, and the upstreams may as well be gone.
	if cold := s.sim.asked(); cold.graphql == 0 || cold.registry == 0 {
		t.Errorf("nobody was asked: %+v", cold)
	}
	s.sim.orders(fail("graphql", 502), fail("registry", 503))
	s.becomes(set, now)
	same(t, asked{}, s.sim.asked())

	// A hundred pushes that nobody can look at.
	orders = nil
	for number := 1; number <= 100; number++ {
		orders = append(orders, push(feature(number), "push-"+commit(number)))
		if build, is := builds[commit(number)]; is {
			now[set.name(number)] = set.preview("push-"+commit(number), build)
		}
	}
	s.sim.orders(orders...)
	s.becomes(set, now)
}
