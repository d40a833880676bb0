package cluster

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/datameesh/datameesh/k8s/cells"
	"github.com/datameesh/datameesh/k8s/matrix"
	"github.com/datameesh/datameesh/platform/topology"
)

// A RuleReport tells what was seen while one rule was missing.
type RuleReport struct {
	Rule  string   // namespace/policy: ingress 1
	Red   []string // cells that were denied
	Wrong []string // cells that were denied and should not be, or the other way round
}

// Without takes each rule of the mesh's network policies away, one after the
// other, and looks whether exactly the connections that it names are denied then;
// each rule is put back before the next goes. It needs a mesh whose cells are right.
func (c *Cluster) Without(ctx context.Context, patience time.Duration, outside []string) (reports []RuleReport, err error) {
	p, err := c.probes(ctx, outside)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, p.close(context.WithoutCancel(ctx))) }()
	all, err := p.cells(ctx)
	if err != nil {
		return nil, err
	}
	// A rule only allows, so without it nothing else opens.
	all = slices.DeleteFunc(all, func(q Probed) bool { return !q.Allowed })
	if err := p.settle(ctx, all, time.Minute, func(Probed) bool { return true }); err != nil {
		return nil, err
	}
	if i := slices.IndexFunc(all, func(q Probed) bool { return !open(q.Got) }); i >= 0 {
		return nil, fmt.Errorf("%s is denied with all rules there; run: meesh k8s verify", all[i])
	}
	for _, namespace := range topology.Namespaces {
		policies, err := c.client.NetworkingV1().NetworkPolicies(namespace).List(ctx, metav1.ListOptions{})
		if err != nil {
			return reports, err
		}
		for _, policy := range policies.Items {
			for i := range policy.Spec.Ingress {
				r, err := p.without(ctx, all, policy, "ingress", i, patience)
				if err != nil {
					return reports, err
				}
				reports = append(reports, r)
			}
			for i := range policy.Spec.Egress {
				r, err := p.without(ctx, all, policy, "egress", i, patience)
				if err != nil {
					return reports, err
				}
				reports = append(reports, r)
			}
		}
	}
	if len(reports) == 0 {
		return nil, errors.New("no rule was taken away")
	}
	err = p.settle(ctx, all, time.Minute, func(Probed) bool { return true })
	if i := slices.IndexFunc(all, func(q Probed) bool { return !open(q.Got) }); err == nil && i >= 0 {
		err = fmt.Errorf("%s is denied although its rule is back", all[i])
	}
	return reports, err
}

// without takes one rule of a policy away, asks, and puts it back.
func (p *prober) without(ctx context.Context, all []Probed, policy networkingv1.NetworkPolicy, direction string, i int, patience time.Duration) (r RuleReport, err error) {
	r.Rule = fmt.Sprintf("%s/%s: %s %d", policy.Namespace, policy.Name, direction, i+1)
	defer func() {
		if err != nil {
			err = fmt.Errorf("%s: %w", r.Rule, err)
		}
	}()
	spec := policy.Spec.DeepCopy()
	var named func(Probed) bool
	if direction == "ingress" {
		named = p.into(policy.Spec.PodSelector, spec.Ingress[i])
		spec.Ingress = slices.Delete(spec.Ingress, i, i+1)
	} else {
		named = p.outOf(policy.Namespace, policy.Spec.PodSelector, spec.Egress[i])
		spec.Egress = slices.Delete(spec.Egress, i, i+1)
	}
	if err := p.cluster.setPolicy(ctx, policy, spec); err != nil {
		return r, err
	}
	defer func() {
		err = errors.Join(err, p.cluster.setPolicy(context.WithoutCancel(ctx), policy, &policy.Spec))
	}()
	if err := p.settle(ctx, all, patience, func(q Probed) bool { return !named(q) }); err != nil {
		return r, err
	}
	for _, q := range all {
		if !open(q.Got) {
			r.Red = append(r.Red, q.String())
		}
		if open(q.Got) == named(q) {
			r.Wrong = append(r.Wrong, q.String()+" is "+q.Got)
		}
	}
	if len(r.Red) == 0 {
		r.Wrong = append(r.Wrong, "nothing is denied without it")
	}
	return r, nil
}

// setPolicy gives a policy other rules, whatever was done to it meanwhile.
func (c *Cluster) setPolicy(ctx context.Context, policy networkingv1.NetworkPolicy, spec *networkingv1.NetworkPolicySpec) error {
	client := c.client.NetworkingV1().NetworkPolicies(policy.Namespace)
	now, err := client.Get(ctx, policy.Name, metav1.GetOptions{})
	if err != nil {
		return err
	}
	now.Spec = *spec
	_, err = client.Update(ctx, now, metav1.UpdateOptions{FieldManager: Manager})
	return err
}

// into are the cells that a rule of a policy for its selector's pods lets in.
func (p *prober) into(selector metav1.LabelSelector, rule networkingv1.NetworkPolicyIngressRule) func(Probed) bool {
	to, from, ports := selector.MatchLabels[nameLabel], peers(rule.From, cells.People), numbers(rule.Ports)
	return func(q Probed) bool {
		return slices.Contains(from, plain(q.From)) && (plain(q.To) == to && slices.Contains(ports, q.Port) ||
			slices.ContainsFunc(p.nodePorts, func(n nodePort) bool {
				return n.address == q.To && n.workload == to && slices.Contains(ports, n.port)
			}))
	}
}

// outOf are the cells that a rule of a policy for its selector's pods lets out.
func (p *prober) outOf(namespace string, selector metav1.LabelSelector, rule networkingv1.NetworkPolicyEgressRule) func(Probed) bool {
	from, to, ports := selector.MatchLabels[nameLabel], peers(rule.To, matrix.APIServer), numbers(rule.Ports)
	at := map[string]string{}
	for _, probe := range p.list {
		at[probe.actor] = probe.namespace
	}
	return func(q Probed) bool {
		if from == "" { // every pod of the namespace
			return at[q.From] == namespace && slices.Contains(to, q.To)
		}
		return plain(q.From) == from && slices.Contains(to, plain(q.To)) && (q.Port == 0 || slices.Contains(ports, q.Port))
	}
}

// peers are the names of those that a rule speaks of; addresses have the name block.
func peers(of []networkingv1.NetworkPolicyPeer, block string) []string {
	var names []string
	for _, peer := range of {
		switch {
		case peer.IPBlock != nil:
			names = append(names, block)
		case peer.PodSelector != nil && strings.HasSuffix(peer.PodSelector.MatchLabels["k8s-app"], "dns"):
			names = append(names, dns)
		case peer.PodSelector != nil:
			names = append(names, peer.PodSelector.MatchLabels[nameLabel])
		}
	}
	return names
}

func numbers(of []networkingv1.NetworkPolicyPort) []int {
	var all []int
	for _, p := range of {
		if p.Port != nil {
			all = append(all, p.Port.IntValue())
		}
	}
	return all
}
