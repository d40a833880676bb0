package cluster

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/datameesh/datameesh/k8s/credentials"
	"github.com/datameesh/datameesh/platform/secrets"
	"github.com/datameesh/datameesh/platform/topology"
)

// A NotRotatableError tells that a credential cannot be changed while everything runs.
type NotRotatableError struct{ Name string }

func (e *NotRotatableError) Error() string {
	return fmt.Sprintf("%s cannot be rotated without a pause; what can: API keys (sales-reader) and the roles of services (sales-db/sales_app). "+
		"For another, remove its key from the Secret %s/%s and run: meesh k8s up", e.Name, credentials.MasterNamespace, credentials.Master)
}

// Rotate gives a credential a new value, without a moment in which a service
// refuses who has the right one: an API key, whose old value opens for overlap
// longer, or the database role of a service ("sales-db/sales_app"). objects are
// those of the overlay. What was cut off goes on when it is called again.
func (c *Cluster) Rotate(ctx context.Context, objects []*unstructured.Unstructured, name string, overlap, limit time.Duration) error {
	store, err := c.store(ctx)
	if err != nil {
		return err
	}
	if _, err := store.Lookup(name); err != nil {
		return err
	}
	if slices.ContainsFunc(topology.APIKeys, func(k topology.APIKey) bool { return k.Name == name }) {
		return c.rotateKey(ctx, store, objects, name, overlap, limit)
	}
	server, role, _ := strings.Cut(name, "/")
	who := readers(objects, func(container, key string) bool { return container == server && key == role+credentials.Previous })
	if len(who) == 0 {
		return &NotRotatableError{name}
	}
	return c.rotateRole(ctx, store, objects, server, role, who, limit)
}

// rotateKey lets services accept a new key beside the old one, then gives it to
// who sends with it.
func (c *Cluster) rotateKey(ctx context.Context, store *secrets.Store, objects []*unstructured.Unstructured, name string, overlap, limit time.Duration) error {
	if err := store.RotateAPIKey(name, overlap); err != nil {
		return err
	}
	if _, err := c.put(ctx, store); err != nil {
		return err
	}
	// The kubelet looks for new Secrets when it looks at a pod, once a minute or when the pod changes.
	now := time.Now().UTC().Format(time.RFC3339Nano)
	for _, k := range topology.APIKeys {
		if k.Name != name {
			continue
		}
		for _, service := range k.Services {
			if err := c.touchPods(ctx, service, now); err != nil {
				return err
			}
		}
	}
	who := readers(objects, func(secret, key string) bool {
		return key == credentials.LoggerKey && credentials.Sends(secret) == name
	})
	if err := c.restart(ctx, who, limit); err != nil {
		return err
	}
	c.say("%s has a new value; the old one opens for %s longer", name, overlap)
	return nil
}

// touchPods changes a note on the pods of a workload.
func (c *Cluster) touchPods(ctx context.Context, workload, note string) error {
	for _, namespace := range topology.Namespaces {
		pods, err := c.client.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{LabelSelector: nameLabel + "=" + workload})
		if err != nil {
			return err
		}
		for _, p := range pods.Items {
			patch := fmt.Sprintf(`{"metadata":{"annotations":{"datameesh/secrets-changed":%q}}}`, note)
			_, err := c.client.CoreV1().Pods(namespace).Patch(ctx, p.Name, types.MergePatchType, []byte(patch), metav1.PatchOptions{FieldManager: Manager})
			if err != nil && !apierrors.IsNotFound(err) { // a pod that has ended since reads no Secret
				return err
			}
		}
	}
	return nil
}

// rotateRole gives who connects as a role the new password beside the one that
// PostgreSQL has, then PostgreSQL the new one.
func (c *Cluster) rotateRole(ctx context.Context, store *secrets.Store, objects []*unstructured.Unstructured, server, role string, who []reader, limit time.Duration) error {
	if err := store.RotateRole(server, role); err != nil {
		return err
	}
	if _, err := c.put(ctx, store); err != nil {
		return err
	}
	if err := c.restart(ctx, who, limit); err != nil {
		return err
	}
	c.say("%s has the new password beside the old one; now %s gets it", who[0].name, server)
	var set int
	for _, o := range objects {
		if o.GetKind() != "Job" || o.GetLabels()["app.kubernetes.io/component"] != "bootstrap" || o.GetNamespace() != who[0].namespace {
			continue
		}
		resource, err := c.resource(o)
		if err != nil {
			return err
		}
		if err := c.remove(ctx, resource, o.GetName()); err != nil {
			return err
		}
		if err := c.Apply(ctx, []*unstructured.Unstructured{o}); err != nil {
			return err
		}
		set++
	}
	if set == 0 {
		return fmt.Errorf("no Job of %s sets passwords; the old one stays", who[0].namespace)
	}
	if err := c.Wait(ctx, limit); err != nil {
		return err
	}
	if err := store.EndRoleRotation(server, role); err != nil {
		return err
	}
	if _, err := c.put(ctx, store); err != nil {
		return err
	}
	c.say("%s/%s has a new password", server, role)
	return nil
}

// A reader is a Deployment that reads a key of a Secret.
type reader struct{ namespace, name string }

// readers are the Deployments of which a container reads a key of a Secret into
// its environment.
func readers(objects []*unstructured.Unstructured, reads func(secret, key string) bool) []reader {
	var all []reader
	for _, o := range objects {
		if o.GetKind() != "Deployment" {
			continue
		}
		var d appsv1.Deployment
		if err := fromUnstructured(o, &d); err != nil {
			continue // what is no Deployment is refused when it is applied
		}
		for _, container := range d.Spec.Template.Spec.Containers {
			for _, e := range container.Env {
				if e.ValueFrom != nil && e.ValueFrom.SecretKeyRef != nil && reads(e.ValueFrom.SecretKeyRef.Name, e.ValueFrom.SecretKeyRef.Key) {
					all = append(all, reader{d.Namespace, d.Name})
				}
			}
		}
	}
	return all
}

// restart rolls Deployments out anew and waits.
func (c *Cluster) restart(ctx context.Context, who []reader, limit time.Duration) error {
	now := time.Now().UTC().Format(time.RFC3339Nano)
	for _, r := range who {
		patch := fmt.Sprintf(`{"spec":{"template":{"metadata":{"annotations":{"kubectl.kubernetes.io/restartedAt":%q}}}}}`, now)
		if _, err := c.client.AppsV1().Deployments(r.namespace).Patch(ctx, r.name, types.StrategicMergePatchType, []byte(patch), metav1.PatchOptions{FieldManager: "kubectl-rollout"}); err != nil {
			return fmt.Errorf("restart %s: %w", r.name, err)
		}
	}
	if len(who) == 0 {
		return nil
	}
	return c.Wait(ctx, limit)
}
