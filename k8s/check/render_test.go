// Package check holds what is demanded of the manifests without a cluster.
package check

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"sync"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer/json"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/yaml"

	"github.com/datameesh/datameesh/k8s/manifest"
)

var update = flag.Bool("update", false, "write the golden files anew")

const overlaysFolder = "../overlays"

// An overlay as it is rendered.
type overlay struct {
	name    string
	text    []byte
	raw     []*unstructured.Unstructured
	objects []runtime.Object // of their Go types
}

// overlays renders all of them, strictly decoded: what Kubernetes 1.34 does not
// know is an error.
func overlays(t *testing.T) []overlay {
	t.Helper()
	var all []overlay
	done, err := rendered()
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range done {
		for _, r := range o.raw {
			object, err := decode(r)
			if err != nil {
				t.Errorf("%s: %s %s: %v", o.name, r.GetKind(), r.GetName(), err)
				continue
			}
			o.objects = append(o.objects, object)
		}
		if len(o.objects) < 50 {
			t.Fatalf("%s has only %d objects", o.name, len(o.objects))
		}
		all = append(all, o)
	}
	if len(all) < 2 {
		t.Fatalf("only %d overlays", len(all))
	}
	return all
}

// rendered once: tests plant faults in objects that they decode themselves.
var rendered = sync.OnceValues(func() ([]overlay, error) {
	entries, err := os.ReadDir(overlaysFolder)
	if err != nil {
		return nil, err
	}
	var all []overlay
	for _, e := range entries {
		text, raw, err := manifest.Render(filepath.Join(overlaysFolder, e.Name()))
		if err != nil {
			return nil, err
		}
		all = append(all, overlay{name: e.Name(), text: text, raw: raw})
	}
	return all, nil
})

var strict = json.NewSerializerWithOptions(json.DefaultMetaFactory, scheme.Scheme, scheme.Scheme, json.SerializerOptions{Strict: true})

func decode(r *unstructured.Unstructured) (runtime.Object, error) {
	text, err := r.MarshalJSON()
	if err != nil {
		return nil, err
	}
	object, _, err := strict.Decode(text, nil, nil)
	return object, err
}

// of are the objects of one Go type.
func of[T runtime.Object](o overlay) []T {
	var found []T
	for _, object := range o.objects {
		if one, ok := object.(T); ok {
			found = append(found, one)
		}
	}
	return found
}

// A workload is whatever makes pods.
type workload struct {
	Kind, Name, Namespace string
	Labels                map[string]string
	Selector              *metav1.LabelSelector // nil for a Job
	Replicas              int32
	Pod                   *corev1.PodTemplateSpec
}

// runs tells whether the pods serve, rather than end by themselves.
func (w workload) serves() bool { return w.Selector != nil }

func (o overlay) workloads() []workload {
	var all []workload
	one := func(n *int32) int32 {
		if n == nil {
			return 1
		}
		return *n
	}
	for _, object := range o.objects {
		switch x := object.(type) {
		case *appsv1.Deployment:
			all = append(all, workload{"Deployment", x.Name, x.Namespace, x.Labels, x.Spec.Selector, one(x.Spec.Replicas), &x.Spec.Template})
		case *appsv1.StatefulSet:
			all = append(all, workload{"StatefulSet", x.Name, x.Namespace, x.Labels, x.Spec.Selector, one(x.Spec.Replicas), &x.Spec.Template})
		case *batchv1.Job:
			all = append(all, workload{"Job", x.Name, x.Namespace, x.Labels, nil, 1, &x.Spec.Template})
		case *batchv1.CronJob:
			all = append(all, workload{"CronJob", x.Name, x.Namespace, x.Labels, nil, 1, &x.Spec.JobTemplate.Spec.Template})
		}
	}
	return all
}

func (w workload) String() string { return w.Namespace + "/" + w.Name }

// A kind that makes pods and is not among workloads would escape every rule.
func TestEveryKindIsKnown(t *testing.T) {
	for _, o := range overlays(t) {
		for _, object := range o.objects {
			switch object.(type) {
			case *appsv1.Deployment, *appsv1.StatefulSet, *batchv1.Job, *batchv1.CronJob,
				*corev1.Namespace, *corev1.Service, *corev1.ServiceAccount, *corev1.ConfigMap, *corev1.PersistentVolumeClaim,
				*corev1.ResourceQuota, *corev1.LimitRange, *networkingv1.NetworkPolicy, *networkingv1.Ingress, *policyv1.PodDisruptionBudget,
				*autoscalingv2.HorizontalPodAutoscaler, *rbacv1.Role, *rbacv1.RoleBinding:
			default:
				t.Errorf("%s: no rule knows of %T", o.name, object)
			}
		}
	}
}

// A faulty manifest is refused: a check that cannot fail proves nothing.
func TestSchemaRefusesFaults(t *testing.T) {
	for name, text := range map[string]string{
		"unknown field":   "{apiVersion: apps/v1, kind: Deployment, metadata: {name: x}, spec: {replica: 1}}",
		"wrong type":      "{apiVersion: apps/v1, kind: Deployment, metadata: {name: x}, spec: {replicas: one}}",
		"unknown kind":    "{apiVersion: apps/v1, kind: Deploymnet, metadata: {name: x}}",
		"unknown version": "{apiVersion: policy/v1beta7, kind: PodDisruptionBudget, metadata: {name: x}}",
		"field twice":     "{apiVersion: v1, kind: Service, metadata: {name: x}, spec: {clusterIP: None, clusterip: None}}",
	} {
		object := &unstructured.Unstructured{}
		if err := yaml.Unmarshal([]byte(text), &object.Object); err != nil {
			t.Fatal(err)
		}
		if _, err := decode(object); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// What is rendered is committed, so that a change of it is read before it is made.
func TestGolden(t *testing.T) {
	for _, o := range overlays(t) {
		file := filepath.Join("testdata", o.name+".yaml")
		if *update {
			if err := os.WriteFile(file, o.text, 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		golden, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(golden, o.text) {
			t.Errorf("overlay %s renders otherwise than %s; look at it with: git diff, after: make k8s-golden", o.name, file)
		}
	}
}
