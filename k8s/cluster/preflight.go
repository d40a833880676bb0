package cluster

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/version"

	"github.com/datameesh/datameesh/platform/topology"
)

// What a probe asks for, and what it may take while it dials.
var (
	small  = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("5m"), corev1.ResourceMemory: resource.MustParse("16Mi")}
	enough = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("500m"), corev1.ResourceMemory: resource.MustParse("64Mi")}
)

// A Check of the cluster before anything is put there.
type Check struct {
	Name string `json:"name"`
	OK   bool   `json:"ok"`
	Says string `json:"says"` // what is there, or what is missing and how to mend it
}

// Preflight tells what the cluster lacks for the objects of an overlay, first of
// all whether it enforces network policies.
func (c *Cluster) Preflight(ctx context.Context, objects []*unstructured.Unstructured) ([]Check, error) {
	var all []Check
	for _, check := range []struct {
		name string
		run  func(context.Context, []*unstructured.Unstructured) (string, error)
	}{
		{"images of the mesh", c.checkImages}, // the canary is made of one
		{"network policies are enforced", c.checkEnforcement},
		{"Kubernetes", c.checkVersion},
		{"rights", c.checkRights},
		{"DNS", c.checkDNS},
		{"storage", c.checkStorage},
		{"NodePorts", c.checkNodePorts},
		{"range of pods", c.checkPodRange},
		{"API server", c.checkAPIServer},
	} {
		says, err := check.run(ctx, objects)
		if ctx.Err() != nil {
			return all, ctx.Err()
		}
		if err != nil {
			says = err.Error()
		}
		all = append(all, Check{check.name, err == nil, says})
	}
	return all, nil
}

// checkEnforcement connects two pods, forbids it, and looks whether that helps.
func (c *Cluster) checkEnforcement(ctx context.Context, _ []*unstructured.Unstructured) (says string, err error) {
	const namespace = "meesh-canary"
	if err := c.removeNamespace(ctx, namespace); err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, c.removeNamespace(context.WithoutCancel(ctx), namespace)) }()
	_, err = c.client.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}, metav1.CreateOptions{})
	if err != nil {
		return "", err
	}
	pods := []probe{{actor: "server", namespace: namespace, pod: "probe-server"}, {actor: "client", namespace: namespace, pod: "probe-client"}}
	for i := range pods {
		if _, err := c.client.CoreV1().Pods(namespace).Create(ctx, probePod(pods[i]), metav1.CreateOptions{}); err != nil {
			return "", err
		}
	}
	err = poll(ctx, time.Minute, func() (bool, error) {
		for i := range pods {
			pod, err := c.client.CoreV1().Pods(namespace).Get(ctx, pods[i].pod, metav1.GetOptions{})
			if err != nil || len(pod.Status.ContainerStatuses) == 0 || pod.Status.ContainerStatuses[0].State.Running == nil {
				return false, err
			}
			pods[i].ip = pod.Status.PodIP
		}
		return true, nil
	})
	if errors.Is(err, errTimeout) {
		return "", fmt.Errorf("not known: two pods of %s do not run after a minute; make images, and load them into the cluster", probeImage)
	}
	if err != nil {
		return "", err
	}
	reach := func(want bool, limit time.Duration) (time.Duration, error) {
		begin := time.Now()
		err := poll(ctx, limit, func() (bool, error) {
			answer, err := c.exec(ctx, namespace, "probe-client", []string{"/bin/mesh-probe", "dial", pods[0].ip + ":5432"})
			if err != nil {
				return false, err
			}
			_, got, _ := strings.Cut(strings.TrimSpace(answer), " ")
			return open(got) == want, nil
		})
		return time.Since(begin), err
	}
	if _, err := reach(true, 30*time.Second); err != nil {
		return "", fmt.Errorf("not known: one pod does not reach another before any policy: %w; look at the cluster's network", err)
	}
	_, err = c.client.NetworkingV1().NetworkPolicies(namespace).Create(ctx, &networkingv1.NetworkPolicy{
		ObjectMeta: metav1.ObjectMeta{Name: "deny"},
		Spec:       networkingv1.NetworkPolicySpec{PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeIngress}},
	}, metav1.CreateOptions{})
	if err != nil {
		return "", err
	}
	took, err := reach(false, 30*time.Second)
	if errors.Is(err, errTimeout) {
		return "", errors.New("30 s after a policy forbade it, one pod still reaches another: nothing would be isolated; give the cluster a network that enforces policies (Calico, Cilium, kube-router)")
	}
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("a forbidden connection ended within %.1f s", took.Seconds()), nil
}

func (c *Cluster) checkVersion(_ context.Context, _ []*unstructured.Unstructured) (string, error) {
	v, err := c.client.Discovery().ServerVersion()
	if err != nil {
		return "", err
	}
	parsed, err := version.ParseGeneric(v.GitVersion)
	if err != nil {
		return "", err
	}
	// The first in which a pod may sleep before it stops, without being asked to.
	if parsed.LessThan(version.MustParseGeneric("1.30")) {
		return "", fmt.Errorf("%s is older than 1.30; use a newer cluster", v.GitVersion)
	}
	return v.GitVersion, nil
}

func (c *Cluster) checkRights(ctx context.Context, _ []*unstructured.Unstructured) (string, error) {
	for _, a := range []authorizationv1.ResourceAttributes{
		{Verb: "create", Resource: "namespaces"}, {Verb: "create", Resource: "secrets", Namespace: topology.NamespacePlatform},
		{Verb: "create", Group: "networking.k8s.io", Resource: "networkpolicies", Namespace: topology.NamespaceSales},
		{Verb: "create", Resource: "pods", Subresource: "exec", Namespace: topology.NamespaceSales},
	} {
		review, err := c.client.AuthorizationV1().SelfSubjectAccessReviews().Create(ctx, &authorizationv1.SelfSubjectAccessReview{
			Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: &a},
		}, metav1.CreateOptions{})
		if err != nil {
			return "", err
		}
		if !review.Status.Allowed {
			return "", fmt.Errorf("context %s may not %s %s; ask for the role cluster-admin, or choose another with --context", c.Context, a.Verb, a.Resource)
		}
	}
	return "may make namespaces, Secrets and policies", nil
}

func (c *Cluster) checkDNS(ctx context.Context, _ []*unstructured.Unstructured) (string, error) {
	pods, err := c.client.CoreV1().Pods("kube-system").List(ctx, metav1.ListOptions{LabelSelector: "k8s-app=kube-dns"})
	if err != nil {
		return "", err
	}
	for _, p := range pods.Items {
		if p.Status.Phase == corev1.PodRunning {
			return p.Name, nil
		}
	}
	return "", errors.New("no pod with the label k8s-app=kube-dns runs in kube-system, and the policies let pods ask nobody else for names; label the cluster's DNS so")
}

func (c *Cluster) checkStorage(ctx context.Context, objects []*unstructured.Unstructured) (string, error) {
	classes, err := c.client.StorageV1().StorageClasses().List(ctx, metav1.ListOptions{})
	if err != nil {
		return "", err
	}
	named := map[string]bool{}
	var standard string
	for _, class := range classes.Items {
		named[class.Name] = true
		if class.Annotations["storageclass.kubernetes.io/is-default-class"] == "true" {
			standard = class.Name
		}
	}
	for _, o := range objects {
		if o.GetKind() != "PersistentVolumeClaim" {
			continue
		}
		switch name, given, _ := unstructured.NestedString(o.Object, "spec", "storageClassName"); {
		case given && !named[name]:
			return "", fmt.Errorf("there is no storage class %q, which the claim %s asks for; make one of that name", name, o.GetName())
		case !given && standard == "":
			return "", errors.New("no storage class is the default; mark one: kubectl annotate storageclass NAME storageclass.kubernetes.io/is-default-class=true")
		}
	}
	return "default class " + standard, nil
}

func (c *Cluster) checkNodePorts(ctx context.Context, objects []*unstructured.Unstructured) (string, error) {
	services, err := c.client.CoreV1().Services("").List(ctx, metav1.ListOptions{})
	if err != nil {
		return "", err
	}
	taken := map[int64]string{}
	for _, s := range services.Items {
		for _, p := range s.Spec.Ports {
			if p.NodePort > 0 && !slices.Contains(topology.Namespaces, s.Namespace) {
				taken[int64(p.NodePort)] = s.Namespace + "/" + s.Name
			}
		}
	}
	var count int
	for _, o := range objects {
		if o.GetKind() != "Service" {
			continue
		}
		ports, _, _ := unstructured.NestedSlice(o.Object, "spec", "ports")
		for _, p := range ports {
			number, _, _ := unstructured.NestedInt64(p.(map[string]any), "nodePort")
			if number == 0 {
				continue
			}
			count++
			if by := taken[number]; by != "" {
				return "", fmt.Errorf("NodePort %d of %s is taken by %s; remove that service, or change the port in an overlay of your own", number, o.GetName(), by)
			}
		}
	}
	return fmt.Sprintf("%d free", count), nil
}

// checkPodRange compares the range that policies take for pods with the nodes'.
func (c *Cluster) checkPodRange(ctx context.Context, objects []*unstructured.Unstructured) (string, error) {
	var given netip.Prefix
	for _, o := range objects {
		if o.GetKind() != "NetworkPolicy" || !strings.HasSuffix(o.GetName(), "-from-outside") {
			continue
		}
		var policy networkingv1.NetworkPolicy
		if err := fromUnstructured(o, &policy); err != nil {
			return "", err
		}
		prefix, err := netip.ParsePrefix(policy.Spec.Ingress[0].From[0].IPBlock.Except[0])
		if err != nil {
			return "", err
		}
		given = prefix
	}
	if !given.IsValid() {
		return "nobody comes from outside by NodePort", nil
	}
	pods, err := c.client.CoreV1().Pods("").List(ctx, metav1.ListOptions{})
	if err != nil {
		return "", err
	}
	var seen int
	for _, p := range pods.Items {
		if p.Spec.HostNetwork || p.Status.PodIP == "" {
			continue
		}
		ip, err := netip.ParseAddr(p.Status.PodIP)
		if err != nil {
			return "", err
		}
		if !given.Contains(ip) {
			return "", fmt.Errorf("the pod %s/%s has the address %s, which is not in %s: it would count as outside; set the cluster's range in the overlay's kustomization.yaml", p.Namespace, p.Name, ip, given)
		}
		seen++
	}
	if seen == 0 {
		return "", errors.New("no pod has an address to compare with")
	}
	return fmt.Sprintf("%d pods are in %s", seen, given), nil
}

// checkAPIServer compares where policies take the API server to be with where it is.
func (c *Cluster) checkAPIServer(ctx context.Context, objects []*unstructured.Unstructured) (string, error) {
	var given []string
	for _, o := range objects {
		if o.GetKind() != "NetworkPolicy" || !strings.HasSuffix(o.GetName(), "-to-api-server") {
			continue
		}
		var policy networkingv1.NetworkPolicy
		if err := fromUnstructured(o, &policy); err != nil {
			return "", err
		}
		rule := policy.Spec.Egress[0]
		given = append(given, strings.TrimSuffix(rule.To[0].IPBlock.CIDR, "/32")+":"+rule.Ports[0].Port.String())
	}
	if len(given) == 0 {
		return "nobody asks it", nil
	}
	is, err := c.apiServer(ctx)
	if err != nil {
		return "", err
	}
	for _, g := range given {
		if g != is {
			return "", fmt.Errorf("it is at %s, and the policies let the hub to %s: no notebook server would start; set it in the overlay's kustomization.yaml", is, g)
		}
	}
	return is, nil
}

// checkImages looks for the mesh's own images, which no public registry has.
func (c *Cluster) checkImages(ctx context.Context, objects []*unstructured.Unstructured) (string, error) {
	nodes, err := c.client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return "", err
	}
	if apierrors.IsForbidden(err) || len(nodes.Items) == 0 {
		return "", errors.New("the cluster has no node")
	}
	var missing []string
	wanted := imagesOf(objects)
	for _, image := range wanted {
		for _, n := range nodes.Items {
			if !slices.ContainsFunc(n.Status.Images, func(i corev1.ContainerImage) bool {
				return slices.ContainsFunc(i.Names, func(name string) bool { return name == image || strings.HasSuffix(name, "/"+image) })
			}) && !slices.Contains(missing, image) {
				missing = append(missing, image)
			}
		}
	}
	if len(missing) > 0 {
		return "", fmt.Errorf("not on every node: %s; make images, and load them (kind load image-archive, ctr images import) or push them and name your registry in an overlay", strings.Join(missing, " "))
	}
	return fmt.Sprintf("%d on %d nodes", len(wanted), len(nodes.Items)), nil
}
