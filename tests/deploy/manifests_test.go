package deploy

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/pod-security-admission/api"
	podsecurity "k8s.io/pod-security-admission/policy"
	"sigs.k8s.io/yaml"
)

// The chart and the manifests of kustomize are two ways to say the same.
func TestChartAndKustomizeAgree(t *testing.T) {
	for _, variant := range variants {
		t.Run(variant.name, func(t *testing.T) {
			helm := mustHelm(t, variant.values...).normalise(t)
			kustomize := kustomize(t, variant.directories...).normalise(t)
			if difference := cmp.Diff(helm.names(), kustomize.names()); difference != "" {
				t.Fatalf("other objects (- chart, + kustomize):\n%s", difference)
			}
			for name := range helm {
				if difference := cmp.Diff(helm[name].Object, kustomize[name].Object); difference != "" {
					t.Errorf("%s differs (- chart, + kustomize):\n%s", name, difference)
				}
			}
		})
	}
}

func TestTheAPIServerAcceptsThem(t *testing.T) {
	each(t, func(t *testing.T, _ variant, objects objects) {
		if len(objects) < 10 {
			t.Errorf("only %q", objects.names())
		}
		for name, object := range objects {
			if err := refusals(t, object); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

// What stands above would be worth nothing if the decoder and the validation accepted anything.
func TestTheAPIServerRefuses(t *testing.T) {
	for what, spoil := range map[string]func(spec map[string]any){
		`unknown field "spec.template.spec.containers[0].redinessProbe"`: func(spec map[string]any) {
			container := spec["containers"].([]any)[0].(map[string]any)
			container["redinessProbe"] = container["readinessProbe"]
		},
		`spec.template.spec.containers[0].volumeMounts[0].name: Not found`: func(spec map[string]any) {
			spec["volumes"] = []any{}
		},
	} {
		objects := mustHelm(t, ci("sqlite")...)
		deployment := objects["Deployment lastgreen/lastgreen"]
		spoil(deployment.Object["spec"].(map[string]any)["template"].(map[string]any)["spec"].(map[string]any))
		if err := refusals(t, deployment); err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// The namespace may demand the strictest of the pod security standards.
func TestPodsAreRestricted(t *testing.T) {
	evaluator, err := podsecurity.NewEvaluator(podsecurity.DefaultChecks())
	if err != nil {
		t.Fatal(err)
	}
	each(t, func(t *testing.T, _ variant, objects objects) {
		pod := deployment(t, objects).Spec.Template
		level := api.LevelVersion{Level: api.LevelRestricted, Version: api.LatestVersion()}
		result := podsecurity.AggregateCheckResults(evaluator.EvaluatePod(level, &pod.ObjectMeta, &pod.Spec))
		if !result.Allowed {
			t.Errorf("%s: %s", result.ForbiddenReason(), result.ForbiddenDetail())
		}
		for _, container := range pod.Spec.Containers {
			if !*container.SecurityContext.ReadOnlyRootFilesystem {
				t.Errorf("%s may write its root", container.Name)
			}
		}
	})
}

func TestRollout(t *testing.T) {
	each(t, func(t *testing.T, variant variant, objects objects) {
		deployment := deployment(t, objects)
		budget, scaler := "PodDisruptionBudget lastgreen/lastgreen", "HorizontalPodAutoscaler lastgreen/lastgreen"
		claim := "PersistentVolumeClaim lastgreen/lastgreen-ledger"
		if variant.replicated {
			strategy := deployment.Spec.Strategy
			if strategy.Type != appsv1.RollingUpdateDeploymentStrategyType || strategy.RollingUpdate.MaxUnavailable.String() != "0" {
				t.Errorf("a rollout leaves a gap: %v", strategy)
			}
			if deployment.Spec.Replicas != nil {
				t.Error("the Deployment undoes what the autoscaler does")
			}
			if objects[scaler] == nil || objects[claim] != nil {
				t.Errorf("%q", objects.names())
			}
			selector, err := metav1.LabelSelectorAsSelector(get[policyv1.PodDisruptionBudget](t, objects, budget).Spec.Selector)
			if err != nil || !selects(selector, deployment) || selector.Empty() {
				t.Errorf("the budget is for other pods: %v %v", selector, err)
			}
		} else {
			if deployment.Spec.Strategy.Type != appsv1.RecreateDeploymentStrategyType || *deployment.Spec.Replicas != 1 {
				t.Errorf("two pods on one file: %v", deployment.Spec)
			}
			if objects[budget] != nil || objects[scaler] != nil || objects[claim] == nil {
				t.Errorf("%q", objects.names())
			}
		}
		pod := deployment.Spec.Template.Spec
		drain, err := time.ParseDuration(drainDelay(t, objects))
		if err != nil {
			t.Fatal(err)
		}
		// docs/command-line.md: room for `drainDelay` and 40 seconds.
		if grace := time.Duration(*pod.TerminationGracePeriodSeconds) * time.Second; grace < drain+40*time.Second {
			t.Errorf("killed after %s, with a drainDelay of %s", grace, drain)
		}
		container := pod.Containers[0]
		if container.ReadinessProbe.HTTPGet.Path != "/readyz" || container.LivenessProbe.HTTPGet.Path != "/livez" {
			t.Errorf("%v", container)
		}
		if container.Resources.Limits.Cpu().Sign() != 0 {
			t.Error("who is throttled answers late")
		}
	})
}

// What Argo CD asks for is there: the token's Secret, the Service, the port, the generator.
func TestArgoCDsSideFits(t *testing.T) {
	each(t, func(t *testing.T, _ variant, objects objects) {
		plugin := get[corev1.ConfigMap](t, objects, "ConfigMap argocd/lastgreen")
		secretName, key, found := strings.Cut(strings.TrimPrefix(plugin.Data["token"], "$"), ":")
		if !found {
			t.Fatalf("%q", plugin.Data["token"])
		}
		secret := get[corev1.Secret](t, objects, "Secret argocd/"+secretName)
		if secret.Labels["app.kubernetes.io/part-of"] != "argocd" {
			t.Errorf("Argo CD does not look at %s: %v", secretName, secret.Labels)
		}
		if ours := get[corev1.Secret](t, objects, "Secret lastgreen/lastgreen-token"); secret.StringData[key] != ours.StringData["token"] || secret.StringData[key] == "" {
			t.Error("Argo CD sends another token than lastgreen accepts")
		}
		base, err := url.Parse(plugin.Data["baseUrl"])
		if err != nil {
			t.Fatal(err)
		}
		service := get[corev1.Service](t, objects, "Service lastgreen/lastgreen")
		if base.Hostname() != "lastgreen.lastgreen.svc.cluster.local" || base.Port() != fmt.Sprint(service.Spec.Ports[0].Port) {
			t.Errorf("%s", base)
		}
		if service.Labels["argocd.argoproj.io/plugin"] != "true" || len(service.Spec.Ports) != 1 {
			t.Errorf("it is not found as a plugin: %v", service)
		}
		generators := configuration(t, objects)["generators"].(map[string]any)
		if _, found := generators[strings.TrimPrefix(base.Path, "/")]; !found {
			t.Errorf("%s asks for a generator that is none of %q", base, slices.Collect(maps.Keys(generators)))
		}
		for _, name := range []string{"lastgreen", "lastgreen-ops"} {
			service := get[corev1.Service](t, objects, "Service lastgreen/"+name)
			if !selects(labels.SelectorFromSet(service.Spec.Selector), deployment(t, objects)) || len(service.Spec.Selector) == 0 {
				t.Errorf("%s leads elsewhere: %v", name, service.Spec.Selector)
			}
			if !hasPort(deployment(t, objects), service.Spec.Ports[0].TargetPort.StrVal) {
				t.Errorf("%s leads to a port that nobody has: %v", name, service.Spec.Ports)
			}
		}
	})
}

// Who gets in: Argo CD's two, by the labels of their pods, and nobody else at the plugin's port.
func TestNetworkPolicy(t *testing.T) {
	each(t, func(t *testing.T, variant variant, objects objects) {
		spec := get[networkingv1.NetworkPolicy](t, objects, "NetworkPolicy lastgreen/lastgreen").Spec
		selector, err := metav1.LabelSelectorAsSelector(&spec.PodSelector)
		if err != nil || selector.Empty() || !selects(selector, deployment(t, objects)) {
			t.Errorf("it is for other pods: %v %v", selector, err)
		}
		admitted := func(namespace, app, port string) bool {
			return slices.ContainsFunc(spec.Ingress, func(rule networkingv1.NetworkPolicyIngressRule) bool {
				open := slices.ContainsFunc(rule.Ports, func(of networkingv1.NetworkPolicyPort) bool { return of.Port.StrVal == port })
				return open && slices.ContainsFunc(rule.From, func(peer networkingv1.NetworkPolicyPeer) bool {
					return peer.IPBlock == nil && peer.NamespaceSelector != nil &&
						fits(t, peer.NamespaceSelector, "kubernetes.io/metadata.name", namespace) &&
						(peer.PodSelector == nil || fits(t, peer.PodSelector, "app.kubernetes.io/name", app))
				})
			})
		}
		monitored := objects["ServiceMonitor lastgreen/lastgreen"] != nil
		for _, who := range []struct {
			namespace, app, port string
			may                  bool
		}{
			{"argocd", "argocd-applicationset-controller", "plugin", true},
			{"argocd", "argocd-server", "plugin", true},
			{"argocd", "argocd-repo-server", "plugin", false},
			{"preview-1", "argocd-server", "plugin", false},
			{"lastgreen", "lastgreen", "plugin", false},
			{"argocd", "argocd-applicationset-controller", "ops", false},
			{"preview-1", "front", "ops", false},
			{"monitoring", "prometheus", "ops", monitored},
			{"monitoring", "prometheus", "plugin", false},
		} {
			if admitted(who.namespace, who.app, who.port) != who.may {
				t.Errorf("%v", who)
			}
		}
		ports := map[int32]bool{}
		for _, rule := range spec.Egress {
			for _, port := range rule.Ports {
				ports[port.Port.IntVal] = true
			}
		}
		expected := map[int32]bool{53: true, 443: true}
		if variant.replicated {
			expected[5432] = true
		}
		if objects["Role lastgreen/lastgreen-discovery"] != nil {
			expected[6443] = true
		}
		if difference := cmp.Diff(expected, ports); difference != "" {
			t.Error(difference)
		}
	})
}

// Nothing is allowed to lastgreen but what discovery needs, and no token is mounted without it.
func TestPermissions(t *testing.T) {
	each(t, func(t *testing.T, variant variant, objects objects) {
		pod := deployment(t, objects).Spec.Template.Spec
		if objects["ServiceAccount lastgreen/"+pod.ServiceAccountName] == nil {
			t.Errorf("%s is nobody", pod.ServiceAccountName)
		}
		discovers := variant.name == "with all components"
		if *pod.AutomountServiceAccountToken != discovers {
			t.Errorf("a token is mounted: %v", *pod.AutomountServiceAccountToken)
		}
		for name, object := range objects {
			if strings.Contains(object.GetAPIVersion(), "rbac") && !discovers {
				t.Errorf("what is %s for?", name)
			}
		}
		if !discovers {
			return
		}
		binding := get[rbacv1.RoleBinding](t, objects, "RoleBinding lastgreen/lastgreen-discovery")
		subject := rbacv1.Subject{Kind: "ServiceAccount", Name: pod.ServiceAccountName, Namespace: "lastgreen"}
		if difference := cmp.Diff([]rbacv1.Subject{subject}, binding.Subjects); difference != "" {
			t.Error(difference)
		}
		for _, rule := range get[rbacv1.Role](t, objects, "Role lastgreen/"+binding.RoleRef.Name).Rules {
			switch rule.Resources[0] {
			case "services":
				slices.Sort(rule.Verbs)
				if !slices.Equal(rule.Verbs, []string{"list", "watch"}) {
					t.Errorf("%v", rule)
				}
			case "secrets":
				if len(rule.ResourceNames) == 0 || !slices.Equal(rule.Verbs, []string{"get"}) {
					t.Errorf("%v", rule)
				}
			default:
				t.Errorf("%v", rule)
			}
		}
	})
}

func deployment(t *testing.T, objects objects) *appsv1.Deployment {
	t.Helper()
	return get[appsv1.Deployment](t, objects, "Deployment lastgreen/lastgreen")
}

func selects(selector labels.Selector, deployment *appsv1.Deployment) bool {
	return selector.Matches(labels.Set(deployment.Spec.Template.Labels))
}

func fits(t *testing.T, selector *metav1.LabelSelector, label, value string) bool {
	t.Helper()
	parsed, err := metav1.LabelSelectorAsSelector(selector)
	if err != nil {
		t.Fatal(err)
	}
	return parsed.Matches(labels.Set{label: value})
}

func hasPort(deployment *appsv1.Deployment, name string) bool {
	return slices.ContainsFunc(deployment.Spec.Template.Spec.Containers[0].Ports, func(port corev1.ContainerPort) bool { return port.Name == name })
}

// configMap is the one that the pod mounts, whatever its name ends with.
func configMap(t *testing.T, objects objects) *corev1.ConfigMap {
	t.Helper()
	for _, volume := range deployment(t, objects).Spec.Template.Spec.Volumes {
		if volume.ConfigMap != nil {
			return get[corev1.ConfigMap](t, objects, "ConfigMap lastgreen/"+volume.ConfigMap.Name)
		}
	}
	t.Fatal("the pod has no configuration")
	return nil
}

func configuration(t *testing.T, objects objects) (config map[string]any) {
	t.Helper()
	if err := yaml.UnmarshalStrict([]byte(configMap(t, objects).Data["config.yaml"]), &config); err != nil {
		t.Fatal(err)
	}
	return config
}

func drainDelay(t *testing.T, objects objects) string {
	t.Helper()
	if delay, found := configuration(t, objects)["drainDelay"]; found {
		return delay.(string)
	}
	return "5s"
}
