package argocd

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/argoproj/argo-cd/v3/applicationset/controllers"
	"github.com/argoproj/argo-cd/v3/applicationset/generators"
	"github.com/argoproj/argo-cd/v3/applicationset/metrics"
	"github.com/argoproj/argo-cd/v3/applicationset/utils"
	"github.com/argoproj/argo-cd/v3/common"
	"github.com/argoproj/argo-cd/v3/pkg/apis/application/v1alpha1"
	"github.com/argoproj/argo-cd/v3/util/db"
	"github.com/argoproj/argo-cd/v3/util/settings"
	log "github.com/sirupsen/logrus"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	kubefake "k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/tools/record"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/yaml"
)

const namespace = "argocd"

// A cluster has Argo CD's own ApplicationSet controller in it, with all its generators; only the API server is a fake.
type cluster struct {
	t          *testing.T
	client     client.Client
	reconciler *controllers.ApplicationSetReconciler
	// token is what the Secret of the examples holds.
	token string
	// deletions are the names of the Applications that the controller deleted since somebody looked.
	deletions []string
}

func newCluster(t *testing.T) *cluster {
	t.Helper()
	log.SetOutput(io.Discard)
	c := &cluster{t: t}

	secret, plugin := &corev1.Secret{}, &corev1.ConfigMap{}
	example(t, "secret.yaml", secret)
	example(t, "configmap.yaml", plugin)
	c.token = secret.StringData["token"]
	// As the API server does.
	secret.Data = map[string][]byte{"token": []byte(c.token)}
	secret.StringData = nil

	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{corev1.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	c.client = fake.NewClientBuilder().
		WithScheme(scheme).
		WithObjects(secret, plugin,
			&corev1.Secret{ObjectMeta: named("github-token"), Data: map[string][]byte{"token": []byte(githubToken)}},
			&v1alpha1.AppProject{ObjectMeta: named("default")}).
		WithStatusSubresource(&v1alpha1.ApplicationSet{}).
		WithIndex(&v1alpha1.Application{}, ".metadata.controller", owner).
		WithInterceptorFuncs(interceptor.Funcs{Delete: c.delete}).
		Build()

	part := map[string]string{"app.kubernetes.io/part-of": "argocd"}
	kube := kubefake.NewClientset(
		&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: common.ArgoCDConfigMapName, Namespace: namespace, Labels: part}},
		&corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Name: common.ArgoCDSecretName, Namespace: namespace, Labels: part},
			Data:       map[string][]byte{"server.secretkey": []byte("secret")},
		})
	scm := generators.NewSCMConfig("", nil, true, false, nil, false)
	c.reconciler = &controllers.ApplicationSetReconciler{
		Client:          c.client,
		Scheme:          scheme,
		Renderer:        &utils.Render{},
		Recorder:        &record.FakeRecorder{},
		Generators:      generators.GetGenerators(t.Context(), c.client, kube, namespace, nil, nil, scm),
		ArgoDB:          db.NewDB(namespace, settings.NewSettingsManager(t.Context(), kube, namespace), kube),
		KubeClientset:   kube,
		Policy:          v1alpha1.ApplicationsSyncPolicySync,
		ArgoCDNamespace: namespace,
		Metrics:         metrics.NewFakeAppsetMetrics(),
	}
	return c
}

func named(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Name: name, Namespace: namespace}
}

// example reads a manifest that users are told to apply.
func example(t *testing.T, name string, into any) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../../examples/argocd", name))
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.UnmarshalStrict(text, into); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}

// owner is the index by which the controller finds the Applications of a set.
func owner(object client.Object) []string {
	if of := metav1.GetControllerOf(object); of != nil && of.Kind == "ApplicationSet" {
		return []string{of.Name}
	}
	return nil
}

func (c *cluster) delete(ctx context.Context, to client.WithWatch, object client.Object, opts ...client.DeleteOption) error {
	// The controller deletes again what waits for its finalizer.
	if application, ok := object.(*v1alpha1.Application); ok && application.DeletionTimestamp == nil {
		c.deletions = append(c.deletions, application.Name)
	}
	return to.Delete(ctx, object, opts...)
}

// pointPlugin tells Argo CD where the plugin is.
func (c *cluster) pointPlugin(url string) {
	c.t.Helper()
	plugin := &corev1.ConfigMap{ObjectMeta: named("lastgreen")}
	c.change(plugin, func() { plugin.Data["baseUrl"] = url })
}

// change changes an object of the cluster.
func (c *cluster) change(object client.Object, change func()) {
	c.t.Helper()
	if err := c.client.Get(c.t.Context(), client.ObjectKeyFromObject(object), object); err != nil {
		c.t.Fatal(err)
	}
	change()
	if err := c.client.Update(c.t.Context(), object); err != nil {
		c.t.Fatal(err)
	}
}

// apply creates an ApplicationSet.
func (c *cluster) apply(set *set) {
	c.t.Helper()
	if err := c.client.Create(c.t.Context(), set.ApplicationSet.DeepCopy()); err != nil {
		c.t.Fatal(err)
	}
}

// reconcile lets the controller look at a set.
func (c *cluster) reconcile(set *set) {
	c.t.Helper()
	request := ctrl.Request{NamespacedName: client.ObjectKeyFromObject(set.ApplicationSet)}
	if _, err := c.reconciler.Reconcile(c.t.Context(), request); err != nil {
		c.t.Fatal(err)
	}
}

// applications are the Applications of a set that are not deleted, by name.
func (c *cluster) applications(set *set) map[string]v1alpha1.Application {
	c.t.Helper()
	var list v1alpha1.ApplicationList
	if err := c.client.List(c.t.Context(), &list, client.MatchingFields{".metadata.controller": set.Name}); err != nil {
		c.t.Fatal(err)
	}
	found := map[string]v1alpha1.Application{}
	for _, application := range list.Items {
		// With Argo CD's finalizer on it, a deleted Application stays until its resources are gone.
		if application.DeletionTimestamp == nil {
			found[application.Name] = application
		}
	}
	return found
}

// deleted are the Applications that were deleted since this was called last.
func (c *cluster) deleted() []string {
	names := c.deletions
	c.deletions = nil
	slices.Sort(names)
	return names
}

// trouble is the error that the set's status tells people, "" if there is none.
func (c *cluster) trouble(set *set) string {
	c.t.Helper()
	var now v1alpha1.ApplicationSet
	if err := c.client.Get(c.t.Context(), client.ObjectKeyFromObject(set.ApplicationSet), &now); err != nil {
		c.t.Fatal(err)
	}
	for _, condition := range now.Status.Conditions {
		if condition.Type == v1alpha1.ApplicationSetConditionErrorOccurred {
			if condition.Status == v1alpha1.ApplicationSetConditionStatusTrue {
				return condition.Message
			}
			return ""
		}
	}
	c.t.Fatalf("%s was never reconciled: %+v", set.Name, now.Status.Conditions)
	return ""
}
