// Package cluster puts the mesh on a Kubernetes cluster, looks at it there and takes it away.
package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/datameesh/datameesh/platform/topology"
)

// Manager is the name that the mesh's fields are owned by in the cluster.
const Manager = "meesh"

// A Cluster is one that can be reached.
type Cluster struct {
	Context string
	Log     io.Writer // for people

	config  *rest.Config
	client  kubernetes.Interface
	dynamic dynamic.Interface
	mapper  *restmapper.DeferredDiscoveryRESTMapper
}

// An UnreachableError tells that there is no cluster to talk to.
type UnreachableError struct{ Err error }

func (e *UnreachableError) Error() string {
	return fmt.Sprintf("no cluster can be reached: %v; set KUBECONFIG, or choose with --context (kubectl config get-contexts)", e.Err)
}

func (e *UnreachableError) Unwrap() error { return e.Err }

// A ProductionError tells that a context looks like one that people depend on.
type ProductionError struct{ Context string }

func (e *ProductionError) Error() string {
	return fmt.Sprintf("context %q looks like production; if it is meant, name it: --context %s", e.Context, e.Context)
}

var production = regexp.MustCompile(`(?i)prod|prd|live`)

// Open connects to the cluster of a context; empty for the current one, unless
// that looks like production.
func Open(ctx context.Context, name string, log io.Writer) (*Cluster, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	loader := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &clientcmd.ConfigOverrides{CurrentContext: name})
	raw, err := loader.RawConfig()
	if err != nil {
		return nil, &UnreachableError{err}
	}
	current := name
	if current == "" {
		current = raw.CurrentContext
		server := ""
		if c := raw.Contexts[current]; c != nil {
			server = c.Cluster
			if cluster := raw.Clusters[c.Cluster]; cluster != nil {
				server += " " + cluster.Server
			}
		}
		if production.MatchString(current + " " + server) {
			return nil, &ProductionError{current}
		}
	}
	config, err := loader.ClientConfig()
	if err != nil {
		return nil, &UnreachableError{err}
	}
	config.QPS, config.Burst = 50, 100
	config.UserAgent = Manager
	c := &Cluster{Context: current, Log: log, config: config}
	if c.client, err = kubernetes.NewForConfig(config); err != nil {
		return nil, &UnreachableError{err}
	}
	if c.dynamic, err = dynamic.NewForConfig(config); err != nil {
		return nil, &UnreachableError{err}
	}
	c.mapper = restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(c.client.Discovery()))
	short, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if err := c.client.Discovery().RESTClient().Get().AbsPath("/version").Do(short).Error(); err != nil {
		return nil, &UnreachableError{err}
	}
	return c, nil
}

func (c *Cluster) say(format string, args ...any) { fmt.Fprintf(c.Log, format+"\n", args...) }

// resource finds how objects of a kind are addressed.
func (c *Cluster) resource(object *unstructured.Unstructured) (dynamic.ResourceInterface, error) {
	gvk := object.GroupVersionKind()
	mapping, err := c.mapper.RESTMapping(gvk.GroupKind(), gvk.Version)
	if err != nil {
		return nil, err
	}
	if object.GetNamespace() == "" {
		return c.dynamic.Resource(mapping.Resource), nil
	}
	return c.dynamic.Resource(mapping.Resource).Namespace(object.GetNamespace()), nil
}

// Apply makes the cluster hold the objects, server-side, in their order. A Job
// that differs is made anew: its pods cannot be changed.
func (c *Cluster) Apply(ctx context.Context, objects []*unstructured.Unstructured) error {
	for _, object := range objects {
		resource, err := c.resource(object)
		if err != nil {
			return fmt.Errorf("apply %s %s: %w", object.GetKind(), object.GetName(), err)
		}
		apply := func() error {
			_, err := resource.Apply(ctx, object.GetName(), object, metav1.ApplyOptions{FieldManager: Manager, Force: true})
			return err
		}
		err = apply()
		if object.GetKind() == "Job" && apierrors.IsInvalid(err) {
			if err := c.remove(ctx, resource, object.GetName()); err != nil {
				return err
			}
			c.say("job %s differs and is made anew", object.GetName())
			err = apply()
		}
		if err != nil {
			return fmt.Errorf("apply %s %s/%s: %w", object.GetKind(), object.GetNamespace(), object.GetName(), err)
		}
	}
	return nil
}

// remove deletes an object with what it made, and waits until it is gone.
func (c *Cluster) remove(ctx context.Context, resource dynamic.ResourceInterface, name string) error {
	foreground := metav1.DeletePropagationForeground
	err := resource.Delete(ctx, name, metav1.DeleteOptions{PropagationPolicy: &foreground})
	if err != nil && !apierrors.IsNotFound(err) {
		return err
	}
	return poll(ctx, time.Minute, func() (bool, error) {
		_, err := resource.Get(ctx, name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return true, nil
		}
		return false, err
	})
}

// errTimeout tells that something did not come in time.
var errTimeout = errors.New("not in time")

// poll asks until done, an error, or the end of the time.
func poll(ctx context.Context, limit time.Duration, ask func() (done bool, err error)) error {
	ctx, cancel := context.WithTimeoutCause(ctx, limit, errTimeout)
	defer cancel()
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for {
		done, err := ask()
		if done || err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// A Part is a workload of the mesh as the cluster has it.
type Part struct {
	Namespace string `json:"namespace"`
	Kind      string `json:"kind"`
	Name      string `json:"name"`
	Ready     bool   `json:"ready"`
	Why       string `json:"why,omitempty"` // why it is not
}

// Status lists the workloads of the mesh.
func (c *Cluster) Status(ctx context.Context) ([]Part, error) {
	var parts []Part
	for _, namespace := range topology.Namespaces {
		pods, err := c.client.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{})
		if err != nil {
			return nil, err
		}
		add := func(kind, name string, ready bool) {
			p := Part{namespace, kind, name, ready, ""}
			if !ready {
				p.Why = why(pods.Items, name)
			}
			parts = append(parts, p)
		}
		sets, err := c.client.AppsV1().StatefulSets(namespace).List(ctx, metav1.ListOptions{})
		if err != nil {
			return nil, err
		}
		for _, s := range sets.Items {
			add("StatefulSet", s.Name, s.Status.ObservedGeneration >= s.Generation && s.Status.ReadyReplicas >= *s.Spec.Replicas && s.Status.UpdatedReplicas >= *s.Spec.Replicas)
		}
		deployments, err := c.client.AppsV1().Deployments(namespace).List(ctx, metav1.ListOptions{})
		if err != nil {
			return nil, err
		}
		for _, d := range deployments.Items {
			add("Deployment", d.Name, d.Status.ObservedGeneration >= d.Generation && d.Status.ReadyReplicas >= *d.Spec.Replicas &&
				d.Status.UpdatedReplicas >= *d.Spec.Replicas && d.Status.Replicas == d.Status.UpdatedReplicas)
		}
		jobs, err := c.client.BatchV1().Jobs(namespace).List(ctx, metav1.ListOptions{})
		if err != nil {
			return nil, err
		}
		for _, j := range jobs.Items {
			if len(j.OwnerReferences) > 0 || j.Name == firstMarts {
				continue // of a CronJob, which tries again by itself
			}
			add("Job", j.Name, j.Status.Succeeded > 0)
		}
	}
	return parts, nil
}

// why says what the first pod of a workload waits for.
func why(pods []corev1.Pod, name string) string {
	for _, p := range pods {
		if p.Labels["app.kubernetes.io/name"] != name || p.Status.Phase == corev1.PodSucceeded {
			continue
		}
		for _, s := range slices.Concat(p.Status.InitContainerStatuses, p.Status.ContainerStatuses) {
			switch {
			case s.State.Waiting != nil && s.State.Waiting.Reason != "PodInitializing":
				return s.Name + ": " + s.State.Waiting.Reason + firstSentence(s.State.Waiting.Message)
			case s.State.Terminated != nil && s.State.Terminated.ExitCode != 0:
				return fmt.Sprintf("%s: ended with %d", s.Name, s.State.Terminated.ExitCode)
			case s.State.Running != nil && !s.Ready && s.Started != nil:
				return s.Name + ": starts"
			}
		}
		for _, condition := range p.Status.Conditions {
			if condition.Status == corev1.ConditionFalse && condition.Reason == "Unschedulable" {
				return "cannot be scheduled" + firstSentence(condition.Message)
			}
		}
	}
	return "no pod yet"
}

func firstSentence(message string) string {
	if message == "" {
		return ""
	}
	first, _, _ := strings.Cut(message, "\n")
	return ": " + first
}

// Wait waits until all parts are ready, and says what is waited for when that changes.
func (c *Cluster) Wait(ctx context.Context, limit time.Duration) error {
	said := ""
	begin := time.Now()
	err := poll(ctx, limit, func() (bool, error) {
		parts, err := c.Status(ctx)
		if err != nil {
			return false, err
		}
		var waiting []string
		for _, p := range parts {
			if !p.Ready {
				waiting = append(waiting, p.Name+" ("+p.Why+")")
			}
		}
		line := fmt.Sprintf("%d of %d ready", len(parts)-len(waiting), len(parts))
		if len(waiting) > 0 {
			line += "; waiting for " + strings.Join(waiting[:min(3, len(waiting))], ", ")
			if len(waiting) > 3 {
				line += fmt.Sprintf(" and %d more", len(waiting)-3)
			}
		}
		if line != said {
			c.say("%3.0f s  %s", time.Since(begin).Seconds(), line)
			said = line
		}
		return len(parts) > 0 && len(waiting) == 0, nil
	})
	if errors.Is(err, errTimeout) {
		return fmt.Errorf("not ready after %s: %s; look at: kubectl -n NAMESPACE describe pod, kubectl logs", limit, said)
	}
	return err
}

// Down removes the mesh with its data and waits until nothing is left.
func (c *Cluster) Down(ctx context.Context, limit time.Duration) error {
	foreground := metav1.DeletePropagationForeground
	var there []string
	for _, namespace := range topology.Namespaces {
		err := c.client.CoreV1().Namespaces().Delete(ctx, namespace, metav1.DeleteOptions{PropagationPolicy: &foreground})
		switch {
		case apierrors.IsNotFound(err):
		case err != nil && !apierrors.IsConflict(err): // conflict: it goes already
			return err
		default:
			there = append(there, namespace)
		}
	}
	err := poll(ctx, limit, func() (bool, error) {
		for _, namespace := range topology.Namespaces {
			_, err := c.client.CoreV1().Namespaces().Get(ctx, namespace, metav1.GetOptions{})
			if !apierrors.IsNotFound(err) {
				return false, err
			}
		}
		volumes, err := c.volumes(ctx)
		return len(volumes) == 0, err
	})
	if errors.Is(err, errTimeout) {
		volumes, listErr := c.volumes(ctx)
		return errors.Join(fmt.Errorf("not gone after %s; volumes that are left (kubectl delete pv): %s", limit, strings.Join(volumes, " ")), listErr)
	}
	if err == nil {
		c.say("removed: %s", strings.Join(append(there, "their volumes"), ", "))
	}
	return err
}

// volumes are those that belong to the mesh's claims.
func (c *Cluster) volumes(ctx context.Context) ([]string, error) {
	list, err := c.client.CoreV1().PersistentVolumes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	var names []string
	for _, v := range list.Items {
		if v.Spec.ClaimRef != nil && slices.Contains(topology.Namespaces, v.Spec.ClaimRef.Namespace) {
			names = append(names, v.Name)
		}
	}
	return names, nil
}
