package argocd

import (
	"testing"

	"github.com/argoproj/argo-cd/v3/pkg/apis/application/v1alpha1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
)

// merged puts a set's Matrix into a Merge by the pull request's number, before or after another generator.
func merged(t *testing.T, set *set, before, after []v1alpha1.ApplicationSetNestedGenerator) {
	t.Helper()
	matrix := raw(t, map[string]any{"generators": set.Spec.Generators[0].Matrix.Generators})
	children := append(before, v1alpha1.ApplicationSetNestedGenerator{Matrix: &matrix})
	set.Spec.Generators = []v1alpha1.ApplicationSetGenerator{{Merge: &v1alpha1.MergeGenerator{
		MergeKeys:  []string{"number"},
		Generators: append(children, after...),
	}}}
}

func TestAMatrixAsTheBaseOfAMerge(t *testing.T) {
	for _, outage := range outages {
		t.Run(outage.name, func(t *testing.T) {
			s := newStage(t, trusted)
			builds := s.threePulls()
			// Somebody pins the front of 3, and of 2, which has no preview.
			set := s.set(goTemplate, func(set *set) {
				merged(t, set, nil, []v1alpha1.ApplicationSetNestedGenerator{{List: &v1alpha1.ListGenerator{
					Elements: []apiextensionsv1.JSON{
						raw(t, map[string]string{"number": "3", "digestFront": "sha256:pinned"}),
						raw(t, map[string]string{"number": "2", "digestFront": "sha256:pinned"}),
					},
				}}})
			})
			pinned := build{commit: "c1", front: "sha256:pinned", back: builds["c1"].back}
			now := map[string]preview{
				set.name(1): set.preview("a1", builds["a1"]),
				set.name(3): set.preview("c1", pinned),
			}
			s.renders(set, now)
			s.becomes(set, now)

			s.sim.orders(outage.orders...)
			s.sim.orders(push("feature-1", "a2"))
			now = but(now, map[string]preview{set.name(1): set.preview("a2", builds["a1"])})
			s.becomes(set, now)
		})
	}
}

func TestPullRequestsAsTheBaseOfAMergeAreThereBeforeTheirImages(t *testing.T) {
	s := newStage(t, trusted)
	builds := s.threePulls()
	set := s.set(goTemplate, func(set *set) {
		pulls := set.Spec.Generators[0].Matrix.Generators[0]
		merged(t, set, []v1alpha1.ApplicationSetNestedGenerator{*pulls.DeepCopy()}, nil)
		set.Spec.Template.Spec.Source.Helm.Values = `{{if hasKey . "digestFront"}}
front: { image: "ghcr.io/myorg/front@{{.digestFront}}" }
back: { image: "ghcr.io/myorg/back@{{.digestBack}}" }
{{else}}{}{{end}}`
	})
	now := map[string]preview{
		set.name(1): set.preview("a1", builds["a1"]),
		set.name(2): {revision: sha("b1")},
		set.name(3): set.preview("c1", builds["c1"]),
	}
	s.renders(set, now)
	s.becomes(set, now)

	s.sim.orders(fail("graphql", 502), fail("registry", 503))
	s.sim.orders(push("feature-2", "b2"), push("feature-3", "c2"))
	now = but(now, map[string]preview{
		set.name(2): {revision: sha("b2")},
		set.name(3): set.preview("c2", builds["c1"]),
	})
	s.becomes(set, now)
}
