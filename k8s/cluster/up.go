package cluster

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/datameesh/datameesh/platform/topology"
)

// Up puts the objects of an overlay into the cluster: namespaces and policies
// before any pod, Secrets before whoever mounts them; then it waits until
// everything is ready, and has the marts built the first time.
func (c *Cluster) Up(ctx context.Context, objects []*unstructured.Unstructured, adminPassword string, limit time.Duration) error {
	var first, rest []*unstructured.Unstructured
	for _, o := range objects {
		if slices.Contains([]string{"Namespace", "NetworkPolicy", "ResourceQuota", "LimitRange", "ServiceAccount"}, o.GetKind()) {
			first = append(first, o)
		} else {
			rest = append(rest, o)
		}
	}
	// Namespaces come first already, as kubectl orders them.
	if err := c.Apply(ctx, first); err != nil {
		return err
	}
	changed, err := c.Secrets(ctx, adminPassword)
	if err != nil {
		return err
	}
	if len(changed) > 0 {
		c.say("%d Secrets made or changed", len(changed))
		// A password takes effect when the bootstrap has set it.
		for _, o := range rest {
			if o.GetKind() != "Job" || o.GetLabels()["app.kubernetes.io/component"] != "bootstrap" {
				continue
			}
			resource, err := c.resource(o)
			if err != nil {
				return err
			}
			if err := c.remove(ctx, resource, o.GetName()); err != nil {
				return err
			}
		}
	}
	if err := c.Apply(ctx, rest); err != nil {
		return err
	}
	c.say("%d objects applied", len(objects))
	if err := c.Wait(ctx, limit); err != nil {
		return err
	}
	return c.buildMarts(ctx, limit)
}

// firstMarts is the Job that builds the marts the first time.
const firstMarts = "dbt-first"

// buildMarts runs the build of the marts once, unless it has ever run.
func (c *Cluster) buildMarts(ctx context.Context, limit time.Duration) error {
	const namespace, name, first = topology.NamespacePlatform, "dbt", firstMarts
	cron, err := c.client.BatchV1().CronJobs(namespace).Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) || err == nil && cron.Status.LastSuccessfulTime != nil {
		return nil
	}
	if err != nil {
		return err
	}
	job := &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{Name: first, Namespace: namespace, Labels: cron.Spec.JobTemplate.Labels},
		Spec:       cron.Spec.JobTemplate.Spec,
	}
	// One that failed before is made anew.
	old, err := c.client.BatchV1().Jobs(namespace).Get(ctx, first, metav1.GetOptions{})
	if err == nil && old.Status.Failed > 0 && old.Status.Succeeded == 0 && old.Status.Active == 0 {
		foreground := metav1.DeletePropagationForeground
		if err := c.client.BatchV1().Jobs(namespace).Delete(ctx, first, metav1.DeleteOptions{PropagationPolicy: &foreground}); err != nil {
			return err
		}
		err = poll(ctx, time.Minute, func() (bool, error) {
			_, err := c.client.BatchV1().Jobs(namespace).Get(ctx, first, metav1.GetOptions{})
			if apierrors.IsNotFound(err) {
				return true, nil
			}
			return false, err
		})
	}
	if err != nil && !apierrors.IsNotFound(err) {
		return err
	}
	if _, err := c.client.BatchV1().Jobs(namespace).Create(ctx, job, metav1.CreateOptions{FieldManager: Manager}); err != nil && !apierrors.IsAlreadyExists(err) {
		return err
	}
	c.say("the marts are built the first time")
	begin := time.Now()
	err = poll(ctx, limit, func() (bool, error) {
		job, err := c.client.BatchV1().Jobs(namespace).Get(ctx, first, metav1.GetOptions{})
		if err != nil {
			return false, err
		}
		for _, condition := range job.Status.Conditions {
			if condition.Type == batchv1.JobFailed && condition.Status == "True" {
				return false, fmt.Errorf("the marts were not built: %s; look at: kubectl -n %s logs job/%s", condition.Message, namespace, first)
			}
		}
		return job.Status.Succeeded > 0, nil
	})
	if errors.Is(err, errTimeout) {
		return fmt.Errorf("the marts are not built after %s; look at: kubectl -n %s logs job/%s", limit, namespace, first)
	}
	if err == nil {
		c.say("marts built in %.0f s", time.Since(begin).Seconds())
	}
	return err
}
