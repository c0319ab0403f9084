package argocd

import (
	"fmt"
	"strings"
	"testing"

	"github.com/argoproj/argo-cd/v3/pkg/apis/application/v1alpha1"
	"sigs.k8s.io/yaml"
)

// A set is an ApplicationSet of the examples, and what its Applications look like.
type set struct {
	*v1alpha1.ApplicationSet
	// prefix begins its Applications' names; the pull request's number ends them.
	prefix string
	// front and back are what stands before a digest where the Application has the image.
	front, back string
}

// A preview is what an Application deploys: the chart or kustomization of a commit, with two images.
type preview struct {
	revision, front, back string
}

const (
	goTemplate   = "applicationset-gotemplate.yaml"
	fastTemplate = "applicationset-fasttemplate.yaml"
	kustomize    = "applicationset-kustomize.yaml"
	merge        = "applicationset-merge.yaml"
)

// newSet reads an example, and points it to the simulated GitHub.
func newSet(t *testing.T, file string, sim *simulator) *set {
	t.Helper()
	s := &set{ApplicationSet: &v1alpha1.ApplicationSet{}, front: "ghcr.io/myorg/front@", back: "ghcr.io/myorg/back@"}
	example(t, file, s.ApplicationSet)
	s.prefix = s.Name + "-"
	switch file {
	case fastTemplate:
		s.prefix = "fb-fast-"
	case kustomize:
		s.front = "front=" + sim.registry + "/myorg/front@"
		s.back = "back=" + sim.registry + "/myorg/back@"
	}
	s.pullRequest().Github.API = sim.github
	return s
}

// kustomizeOutputs are the further keys that the kustomize example tells its reader to configure.
var kustomizeOutputs = map[string]string{"imageFront": "{digestFront.ref}", "imageBack": "{digestBack.ref}"}

func (s *set) pullRequest() *v1alpha1.PullRequestGenerator {
	return s.children()[0].PullRequest
}

// plugin is the second generator of the Matrix or the Merge.
func (s *set) plugin() *v1alpha1.ApplicationSetNestedGenerator { return &s.children()[1] }

func (s *set) children() []v1alpha1.ApplicationSetNestedGenerator {
	if merge := s.Spec.Generators[0].Merge; merge != nil {
		return merge.Generators
	}
	return s.Spec.Generators[0].Matrix.Generators
}

// name is the name of a pull request's Application.
func (s *set) name(number int) string { return fmt.Sprintf("%s%d", s.prefix, number) }

// preview is what a pull request's Application deploys: the head as it is, the images of a build.
func (s *set) preview(head string, of build) preview {
	return preview{revision: sha(head), front: s.front + of.front, back: s.back + of.back}
}

// deployed reads what an Application deploys, however it is told.
func deployed(t *testing.T, application v1alpha1.Application) preview {
	t.Helper()
	source := application.Spec.Source
	found := preview{revision: source.TargetRevision}
	switch {
	case source.Kustomize != nil:
		for _, image := range source.Kustomize.Images {
			switch {
			case strings.HasPrefix(string(image), "front="):
				found.front = string(image)
			case strings.HasPrefix(string(image), "back="):
				found.back = string(image)
			}
		}
	case source.Helm.Values != "":
		var values struct{ Front, Back struct{ Image string } }
		if err := yaml.UnmarshalStrict([]byte(source.Helm.Values), &values); err != nil {
			t.Fatalf("%s: %v in %s", application.Name, err, source.Helm.Values)
		}
		found.front, found.back = values.Front.Image, values.Back.Image
	default:
		for _, parameter := range source.Helm.Parameters {
			switch parameter.Name {
			case "front.image":
				found.front = parameter.Value
			case "back.image":
				found.back = parameter.Value
			}
		}
	}
	return found
}

// previews are what several Applications deploy, by name.
func previews(t *testing.T, applications map[string]v1alpha1.Application) map[string]preview {
	t.Helper()
	found := map[string]preview{}
	for name, application := range applications {
		found[name] = deployed(t, application)
	}
	return found
}
