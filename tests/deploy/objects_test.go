package deploy

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"testing"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/util/validation/field"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	podutil "k8s.io/kubernetes/pkg/api/pod"
	"k8s.io/kubernetes/pkg/apis/apps"
	_ "k8s.io/kubernetes/pkg/apis/apps/install"
	appsvalidation "k8s.io/kubernetes/pkg/apis/apps/validation"
	"k8s.io/kubernetes/pkg/apis/autoscaling"
	_ "k8s.io/kubernetes/pkg/apis/autoscaling/install"
	autoscalingvalidation "k8s.io/kubernetes/pkg/apis/autoscaling/validation"
	"k8s.io/kubernetes/pkg/apis/core"
	_ "k8s.io/kubernetes/pkg/apis/core/install"
	corevalidation "k8s.io/kubernetes/pkg/apis/core/validation"
	"k8s.io/kubernetes/pkg/apis/networking"
	_ "k8s.io/kubernetes/pkg/apis/networking/install"
	networkingvalidation "k8s.io/kubernetes/pkg/apis/networking/validation"
	"k8s.io/kubernetes/pkg/apis/policy"
	_ "k8s.io/kubernetes/pkg/apis/policy/install"
	policyvalidation "k8s.io/kubernetes/pkg/apis/policy/validation"
	"k8s.io/kubernetes/pkg/apis/rbac"
	_ "k8s.io/kubernetes/pkg/apis/rbac/install"
	rbacvalidation "k8s.io/kubernetes/pkg/apis/rbac/validation"
	"sigs.k8s.io/yaml"
)

// Objects are manifests by kind, namespace and name.
type objects map[string]*unstructured.Unstructured

// parse splits a stream of manifests. No two of them may be the same object.
func parse(t *testing.T, manifests []byte) objects {
	t.Helper()
	found := objects{}
	for reader := utilyaml.NewYAMLReader(newReader(manifests)); ; {
		document, err := reader.Read()
		if err == io.EOF {
			return found
		}
		if err != nil {
			t.Fatal(err)
		}
		object := &unstructured.Unstructured{}
		// Strict: a key that is given twice is an error.
		if err := yaml.UnmarshalStrict(document, &object.Object); err != nil {
			t.Fatalf("%v in\n%s", err, document)
		}
		if len(object.Object) == 0 {
			continue
		}
		key := fmt.Sprintf("%s %s/%s", object.GetKind(), object.GetNamespace(), object.GetName())
		if object.GetNamespace() == "" {
			t.Errorf("%s has no namespace: it would go wherever kubectl happens to be", key)
		}
		if _, twice := found[key]; twice {
			t.Errorf("%s is there twice", key)
		}
		found[key] = object
	}
}

func (o objects) names() []string { return slices.Sorted(maps.Keys(o)) }

// get decodes an object into a type of Kubernetes, refusing fields that it does not have.
func get[T any](t *testing.T, o objects, key string) *T {
	t.Helper()
	object, found := o[key]
	if !found {
		t.Fatalf("there is no %s among %q", key, o.names())
	}
	return decode[T](t, object)
}

func decode[T any](t *testing.T, object *unstructured.Unstructured) *T {
	t.Helper()
	text, err := yaml.Marshal(object.Object)
	if err != nil {
		t.Fatal(err)
	}
	typed := new(T)
	if err := yaml.UnmarshalStrict(text, typed); err != nil {
		t.Fatalf("%s %s: %v", object.GetKind(), object.GetName(), err)
	}
	return typed
}

// The API server's own decoder: unknown fields are errors, defaults are filled in.
var decoder = serializer.NewCodecFactory(legacyscheme.Scheme, serializer.EnableStrict).UniversalDecoder()

// refusals says what the API server would object to.
func refusals(t *testing.T, object *unstructured.Unstructured) error {
	t.Helper()
	if object.GetKind() == "ServiceMonitor" {
		decode[monitoringv1.ServiceMonitor](t, object)
		return nil
	}
	text, err := yaml.Marshal(object.Object)
	if err != nil {
		t.Fatal(err)
	}
	internal, _, err := decoder.Decode(text, nil, nil)
	if err != nil {
		return err
	}
	return validate(internal).ToAggregate()
}

// validate is the API server's own validation of an object that is created.
func validate(object runtime.Object) field.ErrorList {
	switch object := object.(type) {
	case *apps.Deployment:
		return appsvalidation.ValidateDeployment(object, podutil.GetValidationOptionsFromPodTemplate(&object.Spec.Template, nil))
	case *core.Pod:
		return corevalidation.ValidatePodCreate(object, podutil.GetValidationOptionsFromPodSpecAndMeta(&object.Spec, nil, &object.ObjectMeta, nil))
	case *core.Service:
		// The API server fills it in before it validates.
		if object.Spec.ClusterIP != "" {
			object.Spec.ClusterIPs = []string{object.Spec.ClusterIP}
		}
		return corevalidation.ValidateServiceCreate(object)
	case *core.Secret:
		return corevalidation.ValidateSecret(object)
	case *core.ConfigMap:
		return corevalidation.ValidateConfigMap(object)
	case *core.ServiceAccount:
		return corevalidation.ValidateServiceAccount(object)
	case *core.PersistentVolumeClaim:
		return corevalidation.ValidatePersistentVolumeClaim(object, corevalidation.ValidationOptionsForPersistentVolumeClaimCreate())
	case *networking.NetworkPolicy:
		return networkingvalidation.ValidateNetworkPolicy(object, networkingvalidation.NetworkPolicyValidationOptions{})
	case *policy.PodDisruptionBudget:
		return policyvalidation.ValidatePodDisruptionBudget(object, policyvalidation.PodDisruptionBudgetValidationOptions{})
	case *autoscaling.HorizontalPodAutoscaler:
		return autoscalingvalidation.ValidateHorizontalPodAutoscaler(object, autoscalingvalidation.HorizontalPodAutoscalerSpecValidationOptions{MinReplicasLowerBound: 1})
	case *rbac.Role:
		return rbacvalidation.ValidateRole(object)
	case *rbac.RoleBinding:
		return rbacvalidation.ValidateRoleBinding(object)
	default:
		return field.ErrorList{field.InternalError(nil, fmt.Errorf("nobody validates %T here", object))}
	}
}

// What names a generated ConfigMap ends with.
var contentHash = regexp.MustCompile(`^(lastgreen-config)-[a-z0-9]{10}$`)

// normalise takes away what differs by the tool: Helm's labels, and how each makes a change of the configuration roll out.
func (o objects) normalise(t *testing.T) objects {
	t.Helper()
	same := objects{}
	for _, original := range o {
		object := original.DeepCopy()
		plain := func(path ...string) {
			values, found, err := unstructured.NestedStringMap(object.Object, path...)
			if err != nil {
				t.Fatal(err)
			}
			if !found {
				return
			}
			for _, key := range []string{"helm.sh/chart", "app.kubernetes.io/managed-by", "helm.sh/resource-policy", "checksum/config"} {
				delete(values, key)
			}
			unstructured.RemoveNestedField(object.Object, path...)
			if len(values) > 0 {
				if err := unstructured.SetNestedStringMap(object.Object, values, path...); err != nil {
					t.Fatal(err)
				}
			}
		}
		plain("metadata", "labels")
		plain("metadata", "annotations")
		plain("spec", "template", "metadata", "annotations")
		object.SetName(contentHash.ReplaceAllString(object.GetName(), "$1"))
		if object.GetKind() == "ConfigMap" {
			if text, found, _ := unstructured.NestedString(object.Object, "data", "config.yaml"); found {
				// One is printed by Helm, the other written by a person: what counts is what it says.
				var config map[string]any
				if err := yaml.UnmarshalStrict([]byte(text), &config); err != nil {
					t.Fatal(err)
				}
				object.Object["data"] = map[string]any{"config.yaml": config}
			}
		}
		if object.GetKind() == "Deployment" {
			sortByName(t, object, "spec", "template", "spec", "volumes")
			containers, _, err := unstructured.NestedSlice(object.Object, "spec", "template", "spec", "containers")
			if err != nil {
				t.Fatal(err)
			}
			for _, container := range containers {
				mounts := container.(map[string]any)["volumeMounts"].([]any)
				slices.SortFunc(mounts, byName)
			}
			if err := unstructured.SetNestedSlice(object.Object, containers, "spec", "template", "spec", "containers"); err != nil {
				t.Fatal(err)
			}
		}
		same[fmt.Sprintf("%s %s/%s", object.GetKind(), object.GetNamespace(), object.GetName())] = object
	}
	return same
}

// sortByName sorts a list whose order means nothing.
func sortByName(t *testing.T, object *unstructured.Unstructured, path ...string) {
	t.Helper()
	list, _, err := unstructured.NestedSlice(object.Object, path...)
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(list, byName)
	for _, item := range list {
		if source, found := item.(map[string]any)["configMap"].(map[string]any); found {
			source["name"] = contentHash.ReplaceAllString(source["name"].(string), "$1")
		}
	}
	if err := unstructured.SetNestedSlice(object.Object, list, path...); err != nil {
		t.Fatal(err)
	}
}

func byName(one, other any) int {
	name := func(item any) string { return item.(map[string]any)["name"].(string) }
	return bytes.Compare([]byte(name(one)), []byte(name(other)))
}
