package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/remotecommand"

	"github.com/datameesh/datameesh/k8s/cells"
	"github.com/datameesh/datameesh/k8s/images"
	"github.com/datameesh/datameesh/platform/topology"
)

// ProbeNamespace holds pods that no policy knows.
const ProbeNamespace = "meesh-probe"

// probeImage has mesh-probe in it.
const probeImage = "datameesh/mesh:" + images.Version

const (
	nameLabel  = "app.kubernetes.io/name"
	probeLabel = "datameesh/probe"
)

// A Probed connection.
type Probed struct {
	From, To string // To is a workload, or host:port where Port is 0
	Port     int
	Allowed  bool // what is expected
	Got      string
}

// Right tells whether it is as expected. A denied connection may be refused or
// never answered.
func (p Probed) Right() bool { return p.Allowed == open(p.Got) }

func open(answer string) bool { return answer == "probe" || answer == "open" }

// A VerifyReport tells what was probed.
type VerifyReport struct {
	Probed  int
	Allowed int
	Wrong   []Probed
	Took    time.Duration
}

// probe is a pod that listens and connects in a workload's place: it has the
// labels of its pods, so the policies take it for one.
type probe struct {
	actor, namespace, pod, ip string
	ours                      bool
}

// verifyPorts are all of the topology, and one of metrics that nobody may read.
func verifyPorts() []int {
	all := map[int]bool{9100: true}
	for _, s := range topology.Services {
		for _, p := range s.Ports {
			all[p.Target] = true
		}
	}
	return slices.Sorted(maps.Keys(all))
}

// workloads of the mesh, by name, with their namespaces: whoever is allowed
// something, and whoever may be reached.
func workloads(ctx context.Context, c *Cluster) (map[string]string, error) {
	all := map[string]string{}
	for _, namespace := range topology.Namespaces {
		policies, err := c.client.NetworkingV1().NetworkPolicies(namespace).List(ctx, metav1.ListOptions{})
		if err != nil {
			return nil, err
		}
		for _, p := range policies.Items {
			if name := p.Spec.PodSelector.MatchLabels[nameLabel]; name != "" {
				all[name] = namespace
			}
		}
		accounts, err := c.client.CoreV1().ServiceAccounts(namespace).List(ctx, metav1.ListOptions{LabelSelector: "app.kubernetes.io/part-of=datameesh"})
		if err != nil {
			return nil, err
		}
		for _, a := range accounts.Items { // one per workload
			all[a.Name] = namespace
		}
	}
	return all, nil
}

// Verify makes a probe for every workload, for a pod in each namespace that
// nobody knows and for pods of another namespace, has each connect to all others
// on every port of the topology, and compares with the allowed cells. What is
// wrong is asked again until patience ends: a new pod is unfiltered for a moment.
// outside is a command that runs mesh-probe from outside of the cluster; nil for none.
func (c *Cluster) Verify(ctx context.Context, patience time.Duration, outside []string) (report VerifyReport, err error) {
	begin := time.Now()
	defer func() { report.Took = time.Since(begin) }()
	allowed, err := cells.Allowed()
	if err != nil {
		return report, err
	}
	defer func() { err = errors.Join(err, c.removeProbes(context.WithoutCancel(ctx))) }()
	probes, err := c.makeProbes(ctx)
	if err != nil {
		return report, fmt.Errorf("make probes: %w", err)
	}
	want := map[Probed]bool{}
	for _, a := range allowed {
		want[Probed{From: a.From, To: a.To, Port: a.Port}] = true
	}
	var all []Probed
	for _, from := range probes {
		for _, to := range probes {
			if from == to || !from.ours && !to.ours {
				continue
			}
			for _, port := range verifyPorts() {
				// Its port on the way to somebody of no namespace of ours is denied too.
				all = append(all, Probed{From: from.actor, To: to.actor, Port: port, Allowed: want[Probed{From: from.actor, To: to.actor, Port: port}]})
			}
		}
	}
	if outside != nil {
		for _, to := range probes {
			for _, port := range verifyPorts() {
				if to.ours {
					all = append(all, Probed{From: cells.People, To: to.actor, Port: port, Allowed: want[Probed{From: cells.People, To: to.actor, Port: port}]})
				}
			}
		}
	}
	// The way that people take: each NodePort of each node, from outside and from a pod that nobody knows.
	ports, err := c.nodePorts(ctx)
	if err != nil {
		return report, err
	}
	for _, p := range ports {
		all = append(all, Probed{From: "stranger", To: p, Allowed: false})
		if outside != nil {
			all = append(all, Probed{From: cells.People, To: p, Allowed: true})
		}
	}
	deadline := time.Now().Add(patience)
	open := all
	for round := 1; ; round++ {
		if err := c.ask(ctx, probes, open, outside); err != nil {
			return report, err
		}
		var wrong []int
		for i := range open {
			if !open[i].Right() {
				wrong = append(wrong, i)
			}
		}
		if round == 1 {
			report.Probed = len(all)
			for _, p := range all {
				if p.Allowed {
					report.Allowed++
				}
			}
			all = nil
		}
		var again []Probed
		for _, i := range wrong {
			again = append(again, open[i])
		}
		report.Wrong = again
		if len(again) == 0 || time.Now().After(deadline) {
			break
		}
		c.say("%d of %d cells differ yet; asking again", len(again), report.Probed)
		open = again
	}
	if report.Probed == 0 || report.Allowed == 0 {
		return report, errors.New("no cell was probed")
	}
	return report, nil
}

// ask fills in what each connection answers.
func (c *Cluster) ask(ctx context.Context, probes []probe, questions []Probed, outside []string) error {
	byActor := map[string]probe{}
	for _, p := range probes {
		byActor[p.actor] = p
	}
	from := map[string][]int{}
	for i, q := range questions {
		from[q.From] = append(from[q.From], i)
	}
	var mu sync.Mutex
	var failed []error
	var wg sync.WaitGroup
	limit := make(chan struct{}, 6)
	for actor, indexes := range from {
		wg.Go(func() {
			limit <- struct{}{}
			defer func() { <-limit }()
			var addresses []string
			for _, i := range indexes {
				if to, isProbe := byActor[questions[i].To]; isProbe {
					addresses = append(addresses, to.ip+":"+strconv.Itoa(questions[i].Port))
				} else {
					addresses = append(addresses, questions[i].To)
				}
			}
			var answer string
			var err error
			if actor == cells.People {
				answer, err = command(ctx, outside, addresses)
			} else {
				answer, err = c.exec(ctx, byActor[actor].namespace, byActor[actor].pod, append([]string{"/bin/mesh-probe", "dial"}, addresses...))
			}
			lines := strings.Split(strings.TrimSpace(answer), "\n")
			mu.Lock()
			defer mu.Unlock()
			if err == nil && len(lines) != len(indexes) {
				err = fmt.Errorf("%d answers to %d questions", len(lines), len(indexes))
			}
			if err != nil {
				failed = append(failed, fmt.Errorf("ask %s: %w", actor, err))
				return
			}
			for k, i := range indexes {
				_, questions[i].Got, _ = strings.Cut(lines[k], " ")
			}
		})
	}
	wg.Wait()
	return errors.Join(failed...)
}

// nodePorts are the addresses, host:port, of the mesh's NodePorts on all nodes.
func (c *Cluster) nodePorts(ctx context.Context) ([]string, error) {
	nodes, err := c.client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	var all []string
	for _, namespace := range topology.Namespaces {
		services, err := c.client.CoreV1().Services(namespace).List(ctx, metav1.ListOptions{})
		if err != nil {
			return nil, err
		}
		for _, s := range services.Items {
			for _, p := range s.Spec.Ports {
				for _, n := range nodes.Items {
					for _, a := range n.Status.Addresses {
						if p.NodePort > 0 && a.Type == corev1.NodeInternalIP {
							all = append(all, net.JoinHostPort(a.Address, strconv.Itoa(int(p.NodePort))))
						}
					}
				}
			}
		}
	}
	return all, nil
}

func command(ctx context.Context, prefix, addresses []string) (string, error) {
	args := append(append(slices.Clone(prefix[1:]), "dial"), addresses...)
	out, err := exec.CommandContext(ctx, prefix[0], args...).Output()
	return string(out), err
}

func (c *Cluster) exec(ctx context.Context, namespace, pod string, args []string) (string, error) {
	request := c.client.CoreV1().RESTClient().Post().Resource("pods").Namespace(namespace).Name(pod).SubResource("exec").
		VersionedParams(&corev1.PodExecOptions{Command: args, Stdout: true, Stderr: true}, scheme.ParameterCodec)
	executor, err := remotecommand.NewWebSocketExecutor(c.config, "GET", request.URL().String())
	if err != nil {
		return "", err
	}
	var out, failure bytes.Buffer
	if err := executor.StreamWithContext(ctx, remotecommand.StreamOptions{Stdout: &out, Stderr: &failure}); err != nil {
		return "", fmt.Errorf("%w %s", err, failure.String())
	}
	return out.String(), nil
}

// makeProbes makes the pods and waits until they listen.
func (c *Cluster) makeProbes(ctx context.Context) ([]probe, error) {
	if err := c.removeProbes(ctx); err != nil {
		return nil, err
	}
	names, err := workloads(ctx, c)
	if err != nil {
		return nil, err
	}
	if len(names) == 0 {
		return nil, errors.New("the cluster holds no workload of the mesh; put it there with: meesh k8s up")
	}
	_, err = c.client.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
		Name: ProbeNamespace, Labels: map[string]string{"pod-security.kubernetes.io/enforce": "restricted"},
	}}, metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return nil, err
	}
	var probes []probe
	for _, name := range slices.Sorted(maps.Keys(names)) {
		probes = append(probes, probe{actor: name, namespace: names[name], pod: "probe-" + name, ours: true})
	}
	for _, namespace := range topology.Namespaces {
		probes = append(probes, probe{actor: "bystander in " + namespace, namespace: namespace, pod: "probe-bystander", ours: true})
	}
	probes = append(probes,
		probe{actor: "stranger", namespace: ProbeNamespace, pod: "probe-stranger"},
		probe{actor: "impostor of trino-coordinator", namespace: ProbeNamespace, pod: "probe-trino-coordinator"},
		probe{actor: "impostor of sales-api", namespace: ProbeNamespace, pod: "probe-sales-api"})
	for _, p := range probes {
		if _, err := c.client.CoreV1().Pods(p.namespace).Create(ctx, probePod(p), metav1.CreateOptions{}); err != nil {
			return nil, err
		}
	}
	err = poll(ctx, 2*time.Minute, func() (bool, error) {
		for i := range probes {
			if probes[i].ip != "" {
				continue
			}
			pod, err := c.client.CoreV1().Pods(probes[i].namespace).Get(ctx, probes[i].pod, metav1.GetOptions{})
			if err != nil {
				return false, err
			}
			if len(pod.Status.ContainerStatuses) == 0 || pod.Status.ContainerStatuses[0].State.Running == nil {
				return false, nil
			}
			probes[i].ip = pod.Status.PodIP
		}
		return true, nil
	})
	if errors.Is(err, errTimeout) {
		return nil, fmt.Errorf("the probes do not run after 2 min; is the image %s in the cluster? make images", probeImage)
	}
	return probes, err
}

// probePod is never ready, so no Service sends anybody to it.
func probePod(p probe) *corev1.Pod {
	no, yes, root := false, true, int64(65532)
	args := []string{"serve"}
	for _, port := range verifyPorts() {
		args = append(args, strconv.Itoa(port))
	}
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: p.pod, Namespace: p.namespace, Labels: map[string]string{nameLabel: strings.TrimPrefix(p.pod, "probe-"), probeLabel: "true"}},
		Spec: corev1.PodSpec{
			AutomountServiceAccountToken: &no, EnableServiceLinks: &no, TerminationGracePeriodSeconds: new(int64),
			ReadinessGates: []corev1.PodReadinessGate{{ConditionType: "datameesh/never"}},
			SecurityContext: &corev1.PodSecurityContext{
				RunAsNonRoot: &yes, RunAsUser: &root, RunAsGroup: &root, SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
			},
			Containers: []corev1.Container{{
				Name: "probe", Image: probeImage, ImagePullPolicy: corev1.PullIfNotPresent, Command: []string{"/bin/mesh-probe"}, Args: args,
				SecurityContext: &corev1.SecurityContext{AllowPrivilegeEscalation: &no, ReadOnlyRootFilesystem: &yes, Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}}},
				Resources:       corev1.ResourceRequirements{Requests: small, Limits: small},
			}},
		},
	}
}

// removeProbes takes away what Verify made.
func (c *Cluster) removeProbes(ctx context.Context) error {
	now := int64(0)
	for _, namespace := range topology.Namespaces {
		err := c.client.CoreV1().Pods(namespace).DeleteCollection(ctx, metav1.DeleteOptions{GracePeriodSeconds: &now}, metav1.ListOptions{LabelSelector: probeLabel})
		if err != nil && !apierrors.IsNotFound(err) {
			return err
		}
	}
	return c.removeNamespace(ctx, ProbeNamespace)
}

func (c *Cluster) removeNamespace(ctx context.Context, name string) error {
	err := c.client.CoreV1().Namespaces().Delete(ctx, name, metav1.DeleteOptions{})
	if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
		return err
	}
	return poll(ctx, 2*time.Minute, func() (bool, error) {
		_, err := c.client.CoreV1().Namespaces().Get(ctx, name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return true, nil
		}
		return false, err
	})
}
