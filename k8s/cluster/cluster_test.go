package cluster

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/datameesh/datameesh/k8s/manifest"
)

func overlayObjects(t *testing.T) []*unstructured.Unstructured {
	t.Helper()
	_, objects, err := manifest.Render("../overlays/local")
	if err != nil {
		t.Fatal(err)
	}
	return objects
}

func on(objects ...runtime.Object) *Cluster {
	return &Cluster{Context: "test", Log: io.Discard, client: fake.NewSimpleClientset(objects...)}
}

// says runs a check and compares what it finds: "" for nothing wrong.
func says(t *testing.T, run func() (string, error), want string) {
	t.Helper()
	_, err := run()
	switch {
	case want == "" && err != nil:
		t.Errorf("got %v, want nothing wrong", err)
	case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
		t.Errorf("got %v, want %q", err, want)
	}
}

func TestStorage(t *testing.T) {
	objects := overlayObjects(t)
	class := &storagev1.StorageClass{ObjectMeta: metav1.ObjectMeta{Name: "fast"}}
	check := func(c *Cluster, want string) {
		t.Helper()
		says(t, func() (string, error) { return c.checkStorage(t.Context(), objects) }, want)
	}
	check(on(), "no storage class is the default")
	check(on(class), "no storage class is the default")
	marked := class.DeepCopy()
	marked.Annotations = map[string]string{"storageclass.kubernetes.io/is-default-class": "true"}
	check(on(marked), "")
	_, objects, err := manifest.Render("../overlays/prod")
	if err != nil {
		t.Fatal(err)
	}
	says(t, func() (string, error) { return on(marked).checkStorage(t.Context(), objects) }, `no storage class "encrypted"`)
}

func TestNodePorts(t *testing.T) {
	objects := overlayObjects(t)
	service := func(namespace string, port int32) *corev1.Service {
		return &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "x", Namespace: namespace}, Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 80, NodePort: port}}}}
	}
	check := func(c *Cluster, want string) {
		t.Helper()
		says(t, func() (string, error) { return c.checkNodePorts(t.Context(), objects) }, want)
	}
	check(on(service("other", 30081)), "NodePort 30081 of sales-api is taken by other/x")
	check(on(service("other", 31000)), "")
	check(on(service("sales-domain", 30081)), "") // the mesh itself
}

func TestPodRange(t *testing.T) {
	objects := overlayObjects(t)
	pod := func(ip string) *corev1.Pod {
		return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p", Namespace: "other"}, Status: corev1.PodStatus{PodIP: ip}}
	}
	check := func(c *Cluster, want string) {
		t.Helper()
		says(t, func() (string, error) { return c.checkPodRange(t.Context(), objects) }, want)
	}
	check(on(pod("10.244.3.4")), "")
	check(on(pod("10.42.0.4")), "would count as outside")
	check(on(), "no pod has an address")
}

func TestAPIServer(t *testing.T) {
	objects := overlayObjects(t)
	at := func(address string) *discoveryv1.EndpointSlice {
		port := int32(6443)
		return &discoveryv1.EndpointSlice{
			ObjectMeta: metav1.ObjectMeta{Name: "kubernetes", Namespace: "default", Labels: map[string]string{"kubernetes.io/service-name": "kubernetes"}},
			Endpoints:  []discoveryv1.Endpoint{{Addresses: []string{address}}}, Ports: []discoveryv1.EndpointPort{{Port: &port}},
		}
	}
	check := func(c *Cluster, want string) {
		t.Helper()
		says(t, func() (string, error) { return c.checkAPIServer(t.Context(), objects) }, want)
	}
	check(on(at("192.0.2.2")), "")
	check(on(at("172.18.0.2")), "it is at 172.18.0.2:6443")
	check(on(), "no endpoint")
}

func TestImages(t *testing.T) {
	objects := overlayObjects(t)
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n"}}
	says(t, func() (string, error) { return on(node).checkImages(t.Context(), objects) }, "not on every node: datameesh/")
	says(t, func() (string, error) { return on().checkImages(t.Context(), objects) }, "has no node")
	for _, image := range imagesOf(objects) {
		node.Status.Images = append(node.Status.Images, corev1.ContainerImage{Names: []string{"docker.io/" + image}})
	}
	if len(node.Status.Images) < 7 {
		t.Errorf("only %d images", len(node.Status.Images))
	}
	says(t, func() (string, error) { return on(node).checkImages(t.Context(), objects) }, "")
}

func TestDNS(t *testing.T) {
	says(t, func() (string, error) { return on().checkDNS(t.Context(), nil) }, "k8s-app=kube-dns")
}

// A cluster that people depend on is not touched unless it was named.
func TestOpen(t *testing.T) {
	config := `{apiVersion: v1, kind: Config, current-context: CONTEXT,
		clusters: [{name: c, cluster: {server: "http://127.0.0.1:1"}}], users: [{name: u, user: {}}],
		contexts: [{name: CONTEXT, context: {cluster: c, user: u}}]}`
	use := func(name string) {
		file := filepath.Join(t.TempDir(), "config")
		if err := os.WriteFile(file, []byte(strings.ReplaceAll(strings.ReplaceAll(config, "CONTEXT", name), "\t", " ")), 0o600); err != nil {
			t.Fatal(err)
		}
		t.Setenv("KUBECONFIG", file)
	}
	use("shop-production")
	if _, err := Open(t.Context(), "", io.Discard); err == nil || !strings.Contains(err.Error(), "--context shop-production") {
		t.Errorf("got %v, want a refusal", err)
	}
	// Named, it is tried; nobody listens there.
	if _, err := Open(t.Context(), "shop-production", io.Discard); !unreachable(err) {
		t.Errorf("got %v, want unreachable", err)
	}
	use("kind-mesh")
	if _, err := Open(t.Context(), "", io.Discard); !unreachable(err) {
		t.Errorf("got %v, want unreachable", err)
	}
	if _, err := Open(t.Context(), "no-such", io.Discard); !unreachable(err) {
		t.Errorf("got %v, want unreachable", err)
	}
	t.Setenv("KUBECONFIG", filepath.Join(t.TempDir(), "none"))
	if _, err := Open(t.Context(), "", io.Discard); !unreachable(err) {
		t.Errorf("got %v, want unreachable", err)
	}
}

func unreachable(err error) bool {
	_, is := errors.AsType[*UnreachableError](err)
	return is
}
