// Package matrix makes the network policies of the mesh from one table of who may talk to whom.
package matrix

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"
)

// Outside is whoever is no pod of the cluster.
const Outside = "outside"

// APIServer is the cluster's API server, which is no pod.
const APIServer = "api-server"

// NameLabel says which workload a pod belongs to; the policies select by it.
const NameLabel = "app.kubernetes.io/name"

// A Matrix is the table of network-matrix.yaml.
type Matrix struct {
	// Workloads of each namespace.
	Workloads map[string][]string `json:"workloads"`
	Flows     []Flow              `json:"flows"`
}

// A Flow is a line of the table.
type Flow struct {
	From  []string `json:"from"` // workloads, or Outside
	To    []string `json:"to"`   // workloads, or APIServer
	Ports []int    `json:"ports"`
	Why   string   `json:"why"`
}

// Parse reads network-matrix.yaml and refuses what could not be meant.
func Parse(text []byte) (Matrix, error) {
	var m Matrix
	if err := yaml.UnmarshalStrict(text, &m); err != nil {
		return m, fmt.Errorf("network matrix: %w", err)
	}
	for i, f := range m.Flows {
		for _, name := range slices.Concat(without(f.From, Outside), without(f.To, APIServer)) {
			if m.Namespace(name) == "" {
				return m, fmt.Errorf("network matrix: flow %d (%s): %q is no workload; list it under workloads", i+1, f.Why, name)
			}
		}
		if len(f.From) == 0 || len(f.To) == 0 || len(f.Ports) == 0 || f.Why == "" {
			return m, fmt.Errorf("network matrix: flow %d (%s) lacks from, to, ports or why", i+1, f.Why)
		}
	}
	if len(m.Flows) == 0 {
		return m, fmt.Errorf("network matrix: no flows")
	}
	return m, nil
}

// Namespace of a workload; empty for one that is not in the table.
func (m Matrix) Namespace(workload string) string {
	for namespace, workloads := range m.Workloads {
		if slices.Contains(workloads, workload) {
			return namespace
		}
	}
	return ""
}

const head = `# Made from network-matrix.yaml by "make policies"; "make verify" compares.
# Nothing may go in or out but what a policy below allows.
`

// Policies are the NetworkPolicies of a namespace, as YAML.
func (m Matrix) Policies(namespace string) []byte {
	var b bytes.Buffer
	b.WriteString(head)
	fmt.Fprintf(&b, `apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: default-deny, namespace: %[1]s}
spec: {podSelector: {}, policyTypes: [Ingress, Egress]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: dns, namespace: %[1]s}
spec:
  podSelector: {}
  policyTypes: [Egress]
  egress:
  - to:
    - namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: kube-system}}
      podSelector: {matchLabels: {k8s-app: kube-dns}}
    ports: [{protocol: UDP, port: 53}, {protocol: TCP, port: 53}]
`, namespace)
	for _, w := range m.Workloads[namespace] {
		var in, out []Flow
		// Flows from outside and to the API server have a policy of their own: an overlay fills addresses in.
		var outside, server Flow
		for _, f := range m.Flows {
			if slices.Contains(f.To, w) {
				if slices.Contains(f.From, Outside) {
					outside.Ports, outside.Why = append(outside.Ports, f.Ports...), f.Why
				}
				if from := without(f.From, Outside); len(from) > 0 {
					in = append(in, Flow{From: from, Ports: f.Ports, Why: f.Why})
				}
			}
			if slices.Contains(f.From, w) {
				if slices.Contains(f.To, APIServer) {
					server.Ports, server.Why = append(server.Ports, f.Ports...), f.Why
				}
				if to := without(f.To, APIServer); len(to) > 0 {
					out = append(out, Flow{To: to, Ports: f.Ports, Why: f.Why})
				}
			}
		}
		// Apart, because some enforcers (kube-router) let one pod of a policy reach another when
		// either direction of it allows that: a rule must hold without the one in the other direction.
		if len(in) > 0 {
			begin(&b, w, namespace, w, "Ingress")
			m.rules(&b, namespace, "from", in, func(f Flow) []string { return f.From })
		}
		if len(out) > 0 {
			begin(&b, w+"-egress", namespace, w, "Egress")
			m.rules(&b, namespace, "to", out, func(f Flow) []string { return f.To })
		}
		if len(outside.Ports) > 0 {
			begin(&b, w+"-from-outside", namespace, w, "Ingress")
			fmt.Fprintf(&b, `  # %s; an overlay says what the range of pods is
  - from: [{ipBlock: {cidr: 0.0.0.0/0, except: [0.0.0.0/32]}}]
    ports: %s
`, outside.Why, ports(outside.Ports))
		}
		if len(server.Ports) > 0 {
			begin(&b, w+"-to-api-server", namespace, w, "Egress")
			fmt.Fprintf(&b, `  # %s; an overlay says where the API server is
  - to: [{ipBlock: {cidr: 0.0.0.0/32}}]
    ports: %s
`, server.Why, ports(server.Ports))
		}
	}
	return b.Bytes()
}

// begin writes a policy of a workload for one direction, up to its rules.
func begin(b *bytes.Buffer, name, namespace, workload, direction string) {
	fmt.Fprintf(b, `---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: %s, namespace: %s}
spec:
  podSelector: {matchLabels: {%s: %s}}
  policyTypes: [%s]
  %s:
`, name, namespace, NameLabel, workload, direction, strings.ToLower(direction))
}

func (m Matrix) rules(b *bytes.Buffer, namespace, word string, flows []Flow, peers func(Flow) []string) {
	for _, f := range flows {
		fmt.Fprintf(b, "  # %s\n  - %s:\n", f.Why, word)
		for _, p := range peers(f) {
			other := m.Namespace(p)
			if other == namespace {
				fmt.Fprintf(b, "    - podSelector: {matchLabels: {%s: %s}}\n", NameLabel, p)
				continue
			}
			fmt.Fprintf(b, "    - namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: %s}}\n      podSelector: {matchLabels: {%s: %s}}\n", other, NameLabel, p)
		}
		fmt.Fprintf(b, "    ports: %s\n", ports(f.Ports))
	}
}

// ports with their protocol: without it every apply reports a change.
func ports(numbers []int) string {
	all := make([]string, len(numbers))
	for i, n := range numbers {
		all[i] = fmt.Sprintf("{protocol: TCP, port: %d}", n)
	}
	return "[" + strings.Join(all, ", ") + "]"
}

func without(names []string, name string) []string {
	return slices.DeleteFunc(slices.Clone(names), func(n string) bool { return n == name })
}
