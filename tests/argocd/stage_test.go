package argocd

import (
	"maps"
	"strings"
	"testing"

	"github.com/argoproj/argo-cd/v3/applicationset/controllers/template"
	"github.com/argoproj/argo-cd/v3/applicationset/utils"
	"github.com/argoproj/argo-cd/v3/pkg/apis/application/v1alpha1"
	"github.com/google/go-cmp/cmp"
	log "github.com/sirupsen/logrus"
)

// A stage is everything that takes part: a GitHub and a registry, lastgreen, Argo CD.
type stage struct {
	t       *testing.T
	sim     *simulator
	plugin  *lastgreen
	cluster *cluster
}

func newStage(t *testing.T, changes ...func(*options)) *stage {
	t.Helper()
	options := options{TrustAfter: "1h", AnswerWithin: "10s"}
	for _, change := range changes {
		change(&options)
	}
	s := &stage{t: t, sim: startSimulator(t), cluster: newCluster(t)}
	s.plugin = startLastgreen(t, s.sim, s.cluster.token, options)
	s.cluster.pointPlugin(s.plugin.url)
	return s
}

// trusted has the ledger trusted from the first question on.
func trusted(options *options) { options.TrustAfter = "0s" }

// impatient has answers due soon: before it refuses, lastgreen uses all the time it has.
func impatient(options *options) { options.AnswerWithin = "2s" }

func with(outputs map[string]string) func(*options) {
	return func(options *options) { options.Outputs = outputs }
}

// restart ends lastgreen and starts it anew; between the two, something may happen.
func (s *stage) restart(between func()) {
	s.t.Helper()
	s.plugin.stop()
	between()
	s.plugin.start()
	s.cluster.pointPlugin(s.plugin.url)
}

// loseLedger lets the ledger be lost while lastgreen is down.
func (s *stage) loseLedger(between func()) {
	s.t.Helper()
	s.restart(func() {
		s.plugin.loseLedger()
		between()
	})
}

// threePulls opens 1 and 3, which are green, and 2, which has never been. It gives the builds of a1 and c1.
func (s *stage) threePulls() map[string]build {
	s.t.Helper()
	s.sim.orders(append(append(open(1, "a1"), open(2, "b1")...), open(3, "c1")...)...)
	s.sim.orders(report("red", "b1"))
	return s.sim.builds("a1", "c1")
}

// set applies an example.
func (s *stage) set(file string, changes ...func(*set)) *set {
	s.t.Helper()
	set := newSet(s.t, file, s.sim)
	for _, change := range changes {
		change(set)
	}
	s.cluster.apply(set)
	return set
}

// rendered are the Applications that the generators and the template make of a set, without a controller.
func (s *stage) rendered(set *set) (map[string]v1alpha1.Application, error) {
	s.t.Helper()
	reconciler := s.cluster.reconciler
	list, _, err := template.GenerateApplications(log.WithField("applicationset", set.Name), *set.ApplicationSet,
		reconciler.Generators, &utils.Render{}, reconciler.Client)
	found := map[string]v1alpha1.Application{}
	for _, application := range list {
		if _, twice := found[application.Name]; twice {
			s.t.Errorf("%s is generated twice", application.Name)
		}
		found[application.Name] = application
	}
	return found, err
}

// renders asserts what the generators and the template make of a set.
func (s *stage) renders(set *set, expected map[string]preview) {
	s.t.Helper()
	applications, err := s.rendered(set)
	if err != nil {
		s.t.Fatal(err)
	}
	same(s.t, expected, previews(s.t, applications))
}

// becomes lets the controller look twice, since what it changes itself has it look again. It asserts which Applications there are
// then, with which digests, and which were deleted.
func (s *stage) becomes(set *set, expected map[string]preview, deleted ...string) {
	s.t.Helper()
	for range 2 {
		s.cluster.reconcile(set)
		if trouble := s.cluster.trouble(set); trouble != "" {
			s.t.Fatal(trouble)
		}
	}
	s.stands(set, expected, deleted...)
}

// freezes lets the controller look twice, and asserts that it can do nothing, does nothing, and says why. It says the same each
// time: another text would be another write of the set's status.
func (s *stage) freezes(set *set, why string, expected map[string]preview) {
	s.t.Helper()
	s.cluster.reconcile(set)
	trouble := s.cluster.trouble(set)
	if !strings.HasPrefix(trouble, why) {
		s.t.Errorf("the set's trouble is\n%s\nand not\n%s", trouble, why)
	}
	s.cluster.reconcile(set)
	same(s.t, trouble, s.cluster.trouble(set))
	s.stands(set, expected)
}

// stands asserts which Applications there are, and which were deleted since somebody looked.
func (s *stage) stands(set *set, expected map[string]preview, deleted ...string) {
	s.t.Helper()
	same(s.t, expected, previews(s.t, s.cluster.applications(set)))
	same(s.t, deleted, s.cluster.deleted())
}

func same[T any](t *testing.T, expected, found T) {
	t.Helper()
	if difference := cmp.Diff(expected, found, cmp.AllowUnexported(preview{}, asked{})); difference != "" {
		t.Errorf("what is expected (-), and what is there (+):\n%s", difference)
	}
}

// but is a map of previews with some of them in another way.
func but(before, changed map[string]preview) map[string]preview {
	after := maps.Clone(before)
	maps.Copy(after, changed)
	return after
}
