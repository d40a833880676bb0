package check

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"testing"

	"github.com/mattfenwick/cyclonus/pkg/matcher"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/datameesh/datameesh/k8s/cells"
	"github.com/datameesh/datameesh/k8s/matrix"
	"github.com/datameesh/datameesh/platform/topology"
)

// An actor of the matrix: a pod, or an address outside.
type actor struct {
	name string
	peer *matcher.TrafficPeer
	// An address outside connects, or is connected to.
	source, target bool
}

const nameLabel = "app.kubernetes.io/name"

func pod(name, namespace string, index int, labels map[string]string) actor {
	ip := netip.MustParseAddr("10.244.0.1")
	for range index {
		ip = ip.Next()
	}
	return actor{name, &matcher.TrafficPeer{IP: ip.String(), Internal: &matcher.InternalPeer{
		Namespace: namespace, PodLabels: labels, NamespaceLabels: map[string]string{"kubernetes.io/metadata.name": namespace},
	}}, true, true}
}

// actors are all workloads with the labels of their pods, and who has no
// business here: pods without a label that anybody knows, pods of other
// namespaces, also with a label of ours, and addresses outside.
func (o overlay) actors() []actor {
	all := make([]actor, 0, 64)
	for _, w := range o.workloads() {
		all = append(all, pod(w.Name, w.Namespace, len(all), w.Pod.Labels))
	}
	// Whose pods the hub makes.
	all = append(all, pod(topology.Notebook, topology.NamespacePlatform, len(all), map[string]string{nameLabel: topology.Notebook}))
	for _, n := range topology.Namespaces {
		all = append(all, pod("bystander in "+n, n, len(all), map[string]string{nameLabel: "bystander"}))
	}
	all = append(all, pod("stranger", "default", len(all), map[string]string{"app": "stranger"}))
	for _, w := range o.workloads() {
		all = append(all, pod("impostor of "+w.Name, "default", len(all), map[string]string{nameLabel: w.Name}))
	}
	all = append(all, pod("impostor of "+topology.Notebook, "default", len(all), map[string]string{nameLabel: topology.Notebook}))
	all = append(all, pod("impostor of dns", "default", len(all), map[string]string{"k8s-app": "kube-dns"}))
	all = append(all, pod("ingress controller", "ingress-nginx", len(all), map[string]string{nameLabel: "ingress-nginx"}))
	all = append(all, pod("dns", "kube-system", len(all), map[string]string{"k8s-app": "kube-dns"}))
	all = append(all, pod("other in kube-system", "kube-system", len(all), map[string]string{"k8s-app": "other"}))
	all = append(all, actor{name: "outside", peer: &matcher.TrafficPeer{IP: "198.51.100.7"}, source: true})
	for name, ip := range map[string]string{"metadata": "169.254.169.254", matrix.APIServer: "192.0.2.2", "internet": "203.0.113.10"} {
		all = append(all, actor{name: name, peer: &matcher.TrafficPeer{IP: ip}, target: true})
	}
	return all
}

// ports are all of the topology, and more that something could listen on.
func ports() []int {
	all := map[int]bool{53: true, 22: true, 80: true, 443: true, 6443: true, 9100: true, 5433: true, topology.PortNotebook: true}
	for _, s := range topology.Services {
		for _, p := range s.Ports {
			all[p.Target] = true
		}
	}
	return slices.Sorted(maps.Keys(all))
}

// cell is one question: may from reach to on a TCP port, or dns on UDP 53.
type cell struct {
	from, to string
	port     int
	protocol corev1.Protocol
}

// allowed are the cells of allowed-cells.txt, and DNS for all pods of the mesh.
func allowed(t *testing.T, o overlay, actors []actor) map[cell]bool {
	t.Helper()
	// People come by NodePort, or where there is an Ingress through its controller.
	people := cells.People
	if len(of[*networkingv1.Ingress](o)) > 0 {
		people = "ingress controller"
	}
	known := map[string]bool{}
	for _, a := range actors {
		known[a.name] = true
	}
	written, err := cells.Allowed()
	if err != nil {
		t.Fatal(err)
	}
	want := map[cell]bool{}
	for _, c := range written {
		if c.From == cells.People {
			c.From = people
		}
		if known[c.From] && known[c.To] { // an overlay may leave a component out
			want[cell{c.From, c.To, c.Port, corev1.ProtocolTCP}] = true
		}
	}
	for _, a := range actors {
		if a.peer.Internal != nil && slices.Contains(topology.Namespaces, a.peer.Internal.Namespace) {
			want[cell{a.name, "dns", 53, corev1.ProtocolTCP}] = true
			want[cell{a.name, "dns", 53, corev1.ProtocolUDP}] = true
		}
	}
	if len(want) < 50 {
		t.Fatalf("only %d allowed cells", len(want))
	}
	return want
}

// ours tells whether a cell is a matter of the mesh's policies at all.
func ours(a actor) bool {
	return a.peer.Internal != nil && slices.Contains(topology.Namespaces, a.peer.Internal.Namespace)
}

// judge asks Cyclonus, which knows nothing of how the policies were made, about
// every cell, and tells each that is not as expected. Each end has to allow what
// is allowed and to deny what is denied alone: a fault at one end opens nothing.
// It stops after most; only narrows the pairs that are asked, nil for all.
func judge(policies []*networkingv1.NetworkPolicy, actors []actor, want map[cell]bool, most int, only func(from, to actor) bool) (probed int, wrong []string) {
	policy := matcher.BuildNetworkPolicies(false, policies)
	for _, from := range actors {
		for _, to := range actors {
			if !from.source || !to.target || !ours(from) && !ours(to) || only != nil && !only(from, to) {
				continue
			}
			ask := func(port int, protocol corev1.Protocol) {
				c := cell{from.name, to.name, port, protocol}
				traffic := &matcher.Traffic{Source: from.peer, Destination: to.peer, ResolvedPort: port, Protocol: protocol}
				probed++
				if ours(to) {
					if got := policy.IsIngressOrEgressAllowed(traffic, true).IsAllowed(); got != want[c] {
						wrong = append(wrong, fmt.Sprintf("%s → %s, %s %d: let in is %v, want %v", c.from, c.to, c.protocol, c.port, got, want[c]))
					}
				}
				if ours(from) {
					if got := policy.IsIngressOrEgressAllowed(traffic, false).IsAllowed(); got != want[c] {
						wrong = append(wrong, fmt.Sprintf("%s → %s, %s %d: let out is %v, want %v", c.from, c.to, c.protocol, c.port, got, want[c]))
					}
				}
			}
			for _, port := range ports() {
				ask(port, corev1.ProtocolTCP)
			}
			ask(53, corev1.ProtocolUDP)
			if len(wrong) >= most {
				return probed, wrong
			}
		}
	}
	return probed, wrong
}

func TestNetworkPolicies(t *testing.T) {
	for _, o := range overlays(t) {
		actors := o.actors()
		want := allowed(t, o, actors)
		probed, wrong := judge(of[*networkingv1.NetworkPolicy](o), actors, want, 30, nil)
		for _, w := range wrong {
			t.Errorf("%s: %s", o.name, w)
		}
		if probed < 5000 {
			t.Errorf("%s: only %d cells probed", o.name, probed)
		}
		t.Logf("%s: %d cells, %d of them allowed", o.name, probed, len(want))
	}
}

// A mutant is the policies with one fault.
type mutant struct {
	what     string
	of       string // workload that the policy is for; empty for all
	policies []*networkingv1.NetworkPolicy
}

// mutants changes one thing of one rule at a time.
func mutants(policies []*networkingv1.NetworkPolicy) []mutant {
	var all []mutant
	change := func(i int, what string, f func(*networkingv1.NetworkPolicy)) {
		changed := slices.Clone(policies)
		changed[i] = policies[i].DeepCopy()
		f(changed[i])
		all = append(all, mutant{policies[i].Namespace + "/" + policies[i].Name + ": " + what, policies[i].Spec.PodSelector.MatchLabels[nameLabel], changed})
	}
	peer := func(i int, what string, at func(*networkingv1.NetworkPolicy) *networkingv1.NetworkPolicyPeer) {
		p := at(policies[i].DeepCopy())
		if p.PodSelector != nil {
			change(i, what+" for all pods", func(n *networkingv1.NetworkPolicy) { at(n).PodSelector = &metav1.LabelSelector{} })
		}
		if p.NamespaceSelector != nil {
			change(i, what+" from this namespace", func(n *networkingv1.NetworkPolicy) { at(n).NamespaceSelector = nil })
			change(i, what+" from all namespaces", func(n *networkingv1.NetworkPolicy) { at(n).NamespaceSelector = &metav1.LabelSelector{} })
		}
		if p.IPBlock != nil {
			change(i, what+" without except", func(n *networkingv1.NetworkPolicy) { at(n).IPBlock.Except = nil })
			change(i, what+" from one address", func(n *networkingv1.NetworkPolicy) { at(n).IPBlock.CIDR = "192.0.2.2/32"; at(n).IPBlock.Except = nil })
		}
	}
	port := func(i int, what string, at func(*networkingv1.NetworkPolicy) *networkingv1.NetworkPolicyPort) {
		change(i, what+" one higher", func(n *networkingv1.NetworkPolicy) {
			next := intstr.FromInt32(at(n).Port.IntVal + 1)
			at(n).Port = &next
		})
		change(i, what+" the other protocol", func(n *networkingv1.NetworkPolicy) {
			other := corev1.ProtocolUDP
			if *at(n).Protocol == corev1.ProtocolUDP {
				other = corev1.ProtocolTCP
			}
			at(n).Protocol = &other
		})
	}
	for i, p := range policies {
		all = append(all, mutant{p.Namespace + "/" + p.Name + ": gone", p.Spec.PodSelector.MatchLabels[nameLabel], slices.Delete(slices.Clone(policies), i, i+1)})
		if len(p.Spec.PodSelector.MatchLabels) > 0 {
			change(i, "for all pods", func(n *networkingv1.NetworkPolicy) { n.Spec.PodSelector = metav1.LabelSelector{} })
		}
		for k, kind := range p.Spec.PolicyTypes {
			if len(p.Spec.PolicyTypes) == 1 {
				break // the API server would put it back
			}
			change(i, "without "+string(kind), func(n *networkingv1.NetworkPolicy) { n.Spec.PolicyTypes = slices.Delete(n.Spec.PolicyTypes, k, k+1) })
		}
		for r := range p.Spec.Ingress {
			what := fmt.Sprintf("ingress %d", r+1)
			change(i, what+" gone", func(n *networkingv1.NetworkPolicy) { n.Spec.Ingress = slices.Delete(n.Spec.Ingress, r, r+1) })
			change(i, what+" from everywhere", func(n *networkingv1.NetworkPolicy) { n.Spec.Ingress[r].From = nil })
			change(i, what+" on all ports", func(n *networkingv1.NetworkPolicy) { n.Spec.Ingress[r].Ports = nil })
			for k := range p.Spec.Ingress[r].From {
				if len(p.Spec.Ingress[r].From) > 1 {
					change(i, fmt.Sprintf("%s peer %d gone", what, k+1), func(n *networkingv1.NetworkPolicy) {
						n.Spec.Ingress[r].From = slices.Delete(n.Spec.Ingress[r].From, k, k+1)
					})
				}
				peer(i, fmt.Sprintf("%s peer %d", what, k+1), func(n *networkingv1.NetworkPolicy) *networkingv1.NetworkPolicyPeer { return &n.Spec.Ingress[r].From[k] })
			}
			for k := range p.Spec.Ingress[r].Ports {
				port(i, fmt.Sprintf("%s port %d", what, k+1), func(n *networkingv1.NetworkPolicy) *networkingv1.NetworkPolicyPort {
					return &n.Spec.Ingress[r].Ports[k]
				})
			}
		}
		for r := range p.Spec.Egress {
			what := fmt.Sprintf("egress %d", r+1)
			change(i, what+" gone", func(n *networkingv1.NetworkPolicy) { n.Spec.Egress = slices.Delete(n.Spec.Egress, r, r+1) })
			change(i, what+" to everywhere", func(n *networkingv1.NetworkPolicy) { n.Spec.Egress[r].To = nil })
			change(i, what+" on all ports", func(n *networkingv1.NetworkPolicy) { n.Spec.Egress[r].Ports = nil })
			for k := range p.Spec.Egress[r].To {
				if len(p.Spec.Egress[r].To) > 1 {
					change(i, fmt.Sprintf("%s peer %d gone", what, k+1), func(n *networkingv1.NetworkPolicy) { n.Spec.Egress[r].To = slices.Delete(n.Spec.Egress[r].To, k, k+1) })
				}
				peer(i, fmt.Sprintf("%s peer %d", what, k+1), func(n *networkingv1.NetworkPolicy) *networkingv1.NetworkPolicyPeer { return &n.Spec.Egress[r].To[k] })
			}
			for k := range p.Spec.Egress[r].Ports {
				port(i, fmt.Sprintf("%s port %d", what, k+1), func(n *networkingv1.NetworkPolicy) *networkingv1.NetworkPolicyPort { return &n.Spec.Egress[r].Ports[k] })
			}
		}
	}
	return all
}

// floor is the share of the mutants that the cells have to catch.
const floor = 0.9

// Whoever changes one rule is found by the cells.
func TestMutationsAreCaught(t *testing.T) {
	o := overlays(t)[0]
	actors := o.actors()
	want := allowed(t, o, actors)
	all := mutants(of[*networkingv1.NetworkPolicy](o))
	var caught int
	var survivors []string
	for _, m := range all {
		// Most are found among the pairs of the policy's own pods.
		_, wrong := judge(m.policies, actors, want, 1, func(from, to actor) bool { return from.name == m.of || to.name == m.of })
		if len(wrong) == 0 {
			_, wrong = judge(m.policies, actors, want, 1, nil)
		}
		if len(wrong) > 0 {
			caught++
		} else {
			survivors = append(survivors, m.what)
		}
	}
	share := float64(caught) / float64(len(all))
	t.Logf("%d of %d mutations caught: %.1f %%", caught, len(all), 100*share)
	for _, s := range survivors {
		t.Log("survived:", s)
	}
	if len(all) < 200 || share < floor {
		t.Errorf("%.1f %% of %d mutations caught, want %.0f %% of at least 200", 100*share, len(all), 100*floor)
	}
}
