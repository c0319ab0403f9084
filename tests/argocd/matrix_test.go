package argocd

import (
	"encoding/json"
	"testing"

	"github.com/argoproj/argo-cd/v3/pkg/apis/application/v1alpha1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestExamplesDeployExactlyTheLastGreenBuilds(t *testing.T) {
	for _, file := range []string{goTemplate, fastTemplate, kustomize} {
		t.Run(file, func(t *testing.T) {
			s := newStage(t, with(kustomizeOutputs))
			builds := s.threePulls()
			set := s.set(file)
			now := map[string]preview{
				set.name(1): set.preview("a1", builds["a1"]),
				set.name(3): set.preview("c1", builds["c1"]),
			}
			s.renders(set, now)
			s.becomes(set, now)

			// A push whose build runs, and one that is red: the head moves on, the digests stay.
			s.sim.orders(push("feature-1", "a2"), report("pending", "a2"), push("feature-3", "c2"), report("red", "c2"), advance())
			now = but(now, map[string]preview{
				set.name(1): set.preview("a2", builds["a1"]),
				set.name(3): set.preview("c2", builds["c1"]),
			})
			s.becomes(set, now)

			// The next green build of each; the one that never had any gets its first.
			s.sim.orders(push("feature-1", "a3"), push("feature-2", "b2"), push("feature-3", "c3"))
			builds = s.sim.builds("a3", "b2", "c3")
			now = map[string]preview{
				set.name(1): set.preview("a3", builds["a3"]),
				set.name(2): set.preview("b2", builds["b2"]),
				set.name(3): set.preview("c3", builds["c3"]),
			}
			s.becomes(set, now)
			s.renders(set, now)

			// A pull request that is closed loses its preview, and no other one does.
			s.sim.orders(closePull(3))
			delete(now, set.name(3))
			s.becomes(set, now, set.name(3))
		})
	}
}

func TestASelectorPicksByWhatThePluginAnswers(t *testing.T) {
	for _, file := range []string{goTemplate, fastTemplate} {
		t.Run(file, func(t *testing.T) {
			s := newStage(t, with(map[string]string{"channel": "{digestFront.label:channel}"}))
			s.sim.orders(append(append(open(1, "a1"), open(2, "b1")...), open(3, "c1")...)...)
			edge := s.sim.labelled(map[string]string{"channel": "edge"}, "a1")
			s.sim.labelled(map[string]string{"channel": "nightly"}, "b1")
			s.sim.labelled(nil, "c1")
			set := s.set(file, func(set *set) {
				set.plugin().Selector = &metav1.LabelSelector{MatchLabels: map[string]string{"channel": "edge"}}
			})
			s.becomes(set, map[string]preview{set.name(1): set.preview("a1", edge["a1"])})
		})
	}
}

func TestValuesComeWithTheAnswer(t *testing.T) {
	rows := []struct {
		name, file, value, template, is string
	}{
		{"of the pull request", goTemplate, "feature {{.number}}", "{{.values.of}}", "feature 1"},
		{"of the pull request, without goTemplate", fastTemplate, "feature {{number}}", "{{values.of}}", "feature 1"},
		{"of the answer, without goTemplate", fastTemplate, "front of {{commit}}", "{{values.of}}", "front of " + sha("a1")},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			s := newStage(t, with(map[string]string{"commit": "{sha}"}))
			builds := s.threePulls()
			s.sim.orders(closePull(3))
			set := s.set(row.file, func(set *set) {
				set.plugin().Plugin.Values = map[string]string{"of": row.value}
				set.Spec.Template.Annotations = map[string]string{"of": row.template}
			})
			s.becomes(set, map[string]preview{set.name(1): set.preview("a1", builds["a1"])})
			if is := s.cluster.applications(set)[set.name(1)].Annotations["of"]; is != row.is {
				t.Errorf("the annotation is %q, not %q", is, row.is)
			}
		})
	}
}

func TestValuesAndInputOfAPluginAlone(t *testing.T) {
	s := newStage(t)
	builds := s.threePulls()
	set := s.set(goTemplate, func(set *set) {
		plugin := set.plugin().Plugin.DeepCopy()
		plugin.Input.Parameters = v1alpha1.PluginParameters{"branch": raw(t, "feature-1"), "number": raw(t, 1)}
		plugin.Values = map[string]string{"front": "ghcr.io/myorg/front@{{.digestFront}}"}
		set.Spec.Generators = []v1alpha1.ApplicationSetGenerator{{Plugin: plugin}}
		set.Spec.Template.Name = set.name(1)
		source := set.Spec.Template.Spec.Source
		source.TargetRevision = sha("a1")
		source.Helm.ReleaseName = ""
		source.Helm.Values = "front: {image: '{{.values.front}}'}\nback: {image: 'ghcr.io/myorg/back@{{.digestBack}}'}\n"
		set.Spec.Template.Spec.Destination.Namespace = "preview-1"
	})
	s.becomes(set, map[string]preview{set.name(1): set.preview("a1", builds["a1"])})
}

// raw is a value as a manifest has it.
func raw(t *testing.T, value any) apiextensionsv1.JSON {
	t.Helper()
	text, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return apiextensionsv1.JSON{Raw: text}
}
