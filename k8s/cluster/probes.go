package cluster

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
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
	"github.com/datameesh/datameesh/k8s/matrix"
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

// probe is a pod that listens and connects in a workload's place: it has the
// labels of its pods, so the policies take it for one.
type probe struct {
	actor, namespace, pod, ip string
	ours                      bool
}

// another begins the name of a second pod in the place of a workload whose pods
// talk to each other.
const another = "another "

// workload is the name that policies know a probe by.
func (p probe) workload() string {
	return strings.TrimPrefix(strings.TrimPrefix(p.pod, "probe-"), "another-")
}

// plain is the workload that an actor stands for, or its own name.
func plain(actor string) string { return strings.TrimPrefix(actor, another) }

// A prober asks its probes to connect.
type prober struct {
	cluster   *Cluster
	list      []probe
	outside   []string // command that runs mesh-probe outside; nil for none
	nodePorts []nodePort
	addresses map[string]string // host:port of who is no probe
	sessions  map[string]*session
}

// A session is a mesh-probe that dials the addresses of each line that it is given.
type session struct {
	mu    sync.Mutex
	in    io.WriteCloser
	out   *bufio.Reader
	ended chan error
}

// probes makes the pods, and starts in each what connects.
func (c *Cluster) probes(ctx context.Context, outside []string) (p *prober, err error) {
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("make probes: %w", err), c.removeProbes(context.WithoutCancel(ctx)))
		}
	}()
	p = &prober{cluster: c, outside: outside, sessions: map[string]*session{}}
	if p.list, err = c.makeProbes(ctx); err != nil {
		return nil, err
	}
	if p.nodePorts, err = c.readNodePorts(ctx); err != nil {
		return nil, err
	}
	p.addresses = map[string]string{metadata: metadataAt}
	if p.addresses[matrix.APIServer], err = c.apiServer(ctx); err != nil {
		return nil, err
	}
	if p.addresses[dns], err = c.dnsAddress(ctx); err != nil {
		return nil, err
	}
	for _, probe := range p.list {
		p.sessions[probe.actor] = c.execSession(ctx, probe.namespace, probe.pod)
	}
	if outside != nil {
		if p.sessions[cells.People], err = commandSession(ctx, outside); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// close ends the sessions and removes the pods.
func (p *prober) close(ctx context.Context) error {
	for _, s := range p.sessions {
		_ = s.in.Close() // mesh-probe ends with its input
	}
	return p.cluster.removeProbes(ctx)
}

// ask fills in what the connections of all that are named by which answer.
func (p *prober) ask(ctx context.Context, all []Probed, which []int) error {
	ips := map[string]string{}
	for _, probe := range p.list {
		ips[probe.actor] = probe.ip
	}
	from := map[string][]int{}
	for _, i := range which {
		from[all[i].From] = append(from[all[i].From], i)
	}
	errs := make(chan error)
	for actor, indexes := range from {
		addresses := make([]string, 0, len(indexes))
		for _, i := range indexes {
			to := all[i].To
			switch {
			case ips[to] != "":
				to = net.JoinHostPort(ips[to], strconv.Itoa(all[i].Port))
			case p.addresses[to] != "":
				to = p.addresses[to]
			}
			addresses = append(addresses, to)
		}
		go func() {
			answers, err := p.sessions[actor].dial(ctx, addresses)
			if err != nil {
				errs <- fmt.Errorf("ask %s: %w", actor, err)
				return
			}
			for k, i := range indexes { // each index is in one list
				all[i].Got = answers[k]
			}
			errs <- nil
		}()
	}
	var failed []error
	for range from {
		failed = append(failed, <-errs)
	}
	return errors.Join(failed...)
}

// patience is how long a probe may take for one line of addresses.
const patience = 3 * time.Minute

// dial gives an answer for each address.
func (s *session) dial(ctx context.Context, addresses []string) ([]string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("no answer after %s", patience))
	defer cancel()
	type result struct {
		answers []string
		err     error
	}
	done := make(chan result, 1)
	go func() {
		if _, err := io.WriteString(s.in, strings.Join(addresses, " ")+"\n"); err != nil {
			done <- result{err: err}
			return
		}
		var answers []string
		for _, address := range addresses {
			line, err := s.out.ReadString('\n')
			if err != nil {
				done <- result{err: err}
				return
			}
			asked, got, _ := strings.Cut(strings.TrimSpace(line), " ")
			if asked != address {
				done <- result{err: fmt.Errorf("asked for %s, answered %q", address, line)}
				return
			}
			answers = append(answers, got)
		}
		done <- result{answers: answers}
	}()
	select {
	case r := <-done:
		return r.answers, r.err
	case err := <-s.ended:
		return nil, fmt.Errorf("mesh-probe has ended: %w", err)
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// execSession runs mesh-probe in a pod.
func (c *Cluster) execSession(ctx context.Context, namespace, pod string) *session {
	stdin, in := io.Pipe()
	out, stdout := io.Pipe()
	s := &session{in: in, out: bufio.NewReader(out), ended: make(chan error, 1)}
	go func() {
		err := c.stream(ctx, namespace, pod, []string{"/bin/mesh-probe", "dial"}, stdin, stdout)
		s.ended <- err
		_ = stdout.CloseWithError(io.EOF)
		_ = stdin.Close()
	}()
	return s
}

// commandSession runs a command that runs mesh-probe.
func commandSession(ctx context.Context, command []string) (*session, error) {
	cmd := exec.CommandContext(ctx, command[0], append(slices.Clone(command[1:]), "dial")...)
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	var failure bytes.Buffer
	cmd.Stderr = &failure
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("run %q: %w", command, err)
	}
	s := &session{in: in, out: bufio.NewReader(out), ended: make(chan error, 1)}
	go func() {
		err := cmd.Wait()
		s.ended <- fmt.Errorf("%w %s", err, failure.String())
	}()
	return s, nil
}

// exec runs a command in a pod and gives what it prints.
func (c *Cluster) exec(ctx context.Context, namespace, pod string, args []string) (string, error) {
	var out bytes.Buffer
	err := c.stream(ctx, namespace, pod, args, nil, &out)
	return out.String(), err
}

func (c *Cluster) stream(ctx context.Context, namespace, pod string, args []string, in io.Reader, out io.Writer) error {
	request := c.client.CoreV1().RESTClient().Post().Resource("pods").Namespace(namespace).Name(pod).SubResource("exec").
		VersionedParams(&corev1.PodExecOptions{Command: args, Stdin: in != nil, Stdout: true, Stderr: true}, scheme.ParameterCodec)
	executor, err := remotecommand.NewWebSocketExecutor(c.config, "GET", request.URL().String())
	if err != nil {
		return err
	}
	var failure bytes.Buffer
	if err := executor.StreamWithContext(ctx, remotecommand.StreamOptions{Stdin: in, Stdout: out, Stderr: &failure}); err != nil {
		return fmt.Errorf("%w %s", err, failure.String())
	}
	return nil
}

// apiServer is the address, host:port, behind the Service kubernetes: policies see
// that one, not the Service's.
func (c *Cluster) apiServer(ctx context.Context) (string, error) {
	slices, err := c.client.DiscoveryV1().EndpointSlices(metav1.NamespaceDefault).List(ctx, metav1.ListOptions{LabelSelector: "kubernetes.io/service-name=kubernetes"})
	if err != nil {
		return "", err
	}
	for _, s := range slices.Items {
		for _, e := range s.Endpoints {
			for _, p := range s.Ports {
				if len(e.Addresses) > 0 && p.Port != nil {
					return net.JoinHostPort(e.Addresses[0], strconv.Itoa(int(*p.Port))), nil
				}
			}
		}
	}
	return "", errors.New("the Service kubernetes has no endpoint")
}

// dnsAddress is that of a pod of the cluster's DNS.
func (c *Cluster) dnsAddress(ctx context.Context) (string, error) {
	pods, err := c.client.CoreV1().Pods(metav1.NamespaceSystem).List(ctx, metav1.ListOptions{LabelSelector: "k8s-app=kube-dns"})
	if err != nil {
		return "", err
	}
	for _, p := range pods.Items {
		if p.Status.Phase == corev1.PodRunning && p.Status.PodIP != "" {
			return net.JoinHostPort(p.Status.PodIP, "53"), nil
		}
	}
	return "", errors.New("no pod of the cluster's DNS runs")
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
	allowed, err := cells.Allowed()
	if err != nil {
		return nil, err
	}
	for _, cell := range allowed {
		if name := cell.To; cell.From == name && names[name] != "" {
			probes = append(probes, probe{actor: another + name, namespace: names[name], pod: "probe-another-" + name, ours: true})
		}
	}
	for _, namespace := range topology.Namespaces {
		probes = append(probes, probe{actor: "bystander in " + namespace, namespace: namespace, pod: "probe-bystander", ours: true})
	}
	probes = append(probes,
		probe{actor: stranger, namespace: ProbeNamespace, pod: "probe-stranger"},
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
		ObjectMeta: metav1.ObjectMeta{Name: p.pod, Namespace: p.namespace, Labels: map[string]string{nameLabel: p.workload(), probeLabel: "true"}},
		Spec: corev1.PodSpec{
			AutomountServiceAccountToken: &no, EnableServiceLinks: &no, TerminationGracePeriodSeconds: new(int64),
			ReadinessGates: []corev1.PodReadinessGate{{ConditionType: "datameesh/never"}},
			SecurityContext: &corev1.PodSecurityContext{
				RunAsNonRoot: &yes, RunAsUser: &root, RunAsGroup: &root, SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
			},
			Containers: []corev1.Container{{
				Name: "probe", Image: probeImage, ImagePullPolicy: corev1.PullIfNotPresent, Command: []string{"/bin/mesh-probe"}, Args: args,
				SecurityContext: &corev1.SecurityContext{AllowPrivilegeEscalation: &no, ReadOnlyRootFilesystem: &yes, Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}}},
				Resources:       corev1.ResourceRequirements{Requests: small, Limits: enough},
			}},
		},
	}
}

// removeProbes takes away what makeProbes made.
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
