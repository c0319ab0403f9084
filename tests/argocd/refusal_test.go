package argocd

import (
	"fmt"
	"net/http"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

// refusal is how a refusal of the Matrix's plugin reads in the status of a set.
func refusal(set *set, status int, message string) string {
	return fmt.Sprintf("failed to get params for second generator in the matrix generator: "+
		"child generator returned an error on parameter generation: error listing params: "+
		"error get api '%s': API error with status code %d: %s", set.Name, status, message)
}

// unavailable begins lastgreen's answer where nobody can say; the reason ends it.
func unavailable(set *set) string {
	return refusal(set, http.StatusServiceUnavailable, "no answer yet: ")
}

func TestASecretWithoutItsKeyIsToldInTheStatus(t *testing.T) {
	s := newStage(t)
	set, _, now := s.deployedThree(goTemplate)
	secret := &corev1.Secret{ObjectMeta: named("lastgreen-token")}
	s.cluster.change(secret, func() {
		secret.Data["tokn"] = secret.Data["token"]
		delete(secret.Data, "token")
	})
	// Argo CD sends `$token`, and no word of its own about it.
	s.freezes(set, refusal(set, http.StatusForbidden,
		"the bearer token starts with `$`: Argo CD could not find the Secret's key that the ConfigMap's `token` names, "+
			"and sent its name instead; check the Secret, its key and its namespace"), now)

	s.cluster.change(secret, func() { secret.Data["token"] = secret.Data["tokn"] })
	s.becomes(set, now)
}

func TestAWrongTokenIsToldInTheStatus(t *testing.T) {
	s := newStage(t)
	set, _, now := s.deployedThree(goTemplate)
	secret := &corev1.Secret{ObjectMeta: named("lastgreen-token")}
	s.cluster.change(secret, func() { secret.Data["token"] = []byte("another") })
	s.freezes(set, refusal(set, http.StatusForbidden,
		"the bearer token is not one of those in lastgreen's token file"), now)
}

func TestABaseURLWithoutItsGeneratorIsToldInTheStatus(t *testing.T) {
	s := newStage(t)
	set, _, now := s.deployedThree(goTemplate)
	s.cluster.pointPlugin(s.plugin.url + "s")
	s.freezes(set, refusal(set, http.StatusNotFound, "there is no generator `previews` in lastgreen's configuration"), now)
}

func TestATemplateThatNamesAnotherKeyFreezesAndSaysWhich(t *testing.T) {
	s := newStage(t)
	set, _, now := s.deployedThree(goTemplate)
	s.cluster.change(set.ApplicationSet, func() {
		set.Spec.Template.Annotations = map[string]string{"front": "{{.digestFrnt}}"}
	})
	s.freezes(set, "failed to execute go template {{.digestFrnt}}: ", now)
}
