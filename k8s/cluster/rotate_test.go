package cluster

import (
	"errors"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	k8stesting "k8s.io/client-go/testing"
)

// A pod may end between the list and the note, as during a rolling update.
func TestTouchPodsPassesOverWhatHasEnded(t *testing.T) {
	pod := func(name string) *corev1.Pod {
		return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "sales-domain", Labels: map[string]string{nameLabel: "sales-api"}}}
	}
	c := on(pod("ended"), pod("running"))
	client := c.client.(*fake.Clientset)
	var failure error = apierrors.NewNotFound(corev1.Resource("pods"), "ended")
	client.PrependReactor("patch", "pods", func(action k8stesting.Action) (bool, runtime.Object, error) {
		if action.(k8stesting.PatchAction).GetName() == "ended" {
			return true, nil, failure
		}
		return false, nil, nil
	})
	if err := c.touchPods(t.Context(), "sales-api", "now"); err != nil {
		t.Errorf("with a pod that has ended: %v", err)
	}
	touched, err := client.CoreV1().Pods("sales-domain").Get(t.Context(), "running", metav1.GetOptions{})
	if err != nil || touched.Annotations["datameesh/secrets-changed"] != "now" {
		t.Errorf("the pod that runs has %v, %v", touched.Annotations, err)
	}
	failure = errors.New("refused")
	if err := c.touchPods(t.Context(), "sales-api", "now"); !errors.Is(err, failure) {
		t.Errorf("another error: %v", err)
	}
}
