package cluster

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	networkingv1 "k8s.io/api/networking/v1"

	"github.com/datameesh/datameesh/k8s/cells"
)

func TestVerifyReport(t *testing.T) {
	r := VerifyReport{Cells: []Probed{
		{From: "sales-api", To: "sales-db", Port: 5432, Allowed: true, Got: "probe"},
		{From: "stranger", To: "sales-db", Port: 5432, Got: "refused"},
		{From: "stranger", To: "sales-db", Port: 22, Got: "timeout"},
		{From: "stranger", To: "192.0.2.2:30081", Got: "open"},
	}}
	var b bytes.Buffer
	if err := r.Table(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"sales-db 5432 1 sales-api", "192.0.2.2:30081 0 stranger", "1 other ports and addresses 1 nobody"} {
		if !strings.Contains(strings.Join(strings.Fields(b.String()), " "), want) {
			t.Errorf("the table lacks %q:\n%s", want, b.String())
		}
	}
	if wrong := r.Wrong(); r.Allowed() != 1 || len(wrong) != 1 || wrong[0].String() != "stranger → 192.0.2.2:30081" {
		t.Errorf("%d allowed, wrong %v", r.Allowed(), wrong)
	}
	if !r.Enforced() {
		t.Error("something is denied, and nobody enforces it")
	}
	if r.Cells = r.Cells[3:]; r.Enforced() {
		t.Error("nothing is denied, and somebody enforces it")
	}
}

// Each rule of the overlay names the cells that it is for: together all that are
// allowed, at each end.
func TestRulesNameTheirCells(t *testing.T) {
	p := &prober{list: []probe{{actor: "bystander in sales-domain", namespace: "sales-domain"}, {actor: "sales-api", namespace: "sales-domain"}}}
	allowed, err := cells.Allowed()
	if err != nil {
		t.Fatal(err)
	}
	var all []Probed
	for _, c := range allowed {
		q := Probed{From: c.From, To: c.To, Port: c.Port}
		if c.To == "api-server" {
			q.Port = 0
		}
		all = append(all, q)
	}
	lookup := Probed{From: "bystander in sales-domain", To: dns}
	in, out, lookups, rules := map[Probed]int{}, map[Probed]int{}, 0, 0
	for _, o := range overlayObjects(t) {
		if o.GetKind() != "NetworkPolicy" {
			continue
		}
		var policy networkingv1.NetworkPolicy
		if err := fromUnstructured(o, &policy); err != nil {
			t.Fatal(err)
		}
		count := func(to map[Probed]int, named func(Probed) bool) {
			rules++
			var some bool
			for _, q := range all {
				if named(q) {
					to[q]++
					some = true
				}
			}
			if named(lookup) {
				lookups++
				some = true
			}
			if !some && policy.Name != "dns" {
				t.Errorf("a rule of %s/%s names nothing", policy.Namespace, policy.Name)
			}
		}
		for _, rule := range policy.Spec.Ingress {
			count(in, p.into(policy.Spec.PodSelector, rule))
		}
		for _, rule := range policy.Spec.Egress {
			count(out, p.outOf(policy.Namespace, policy.Spec.PodSelector, rule))
		}
	}
	for _, q := range all {
		wantIn, wantOut := 1, 1
		if q.To == "api-server" { // it is not ours to close
			wantIn = 0
		}
		if q.From == cells.People {
			wantOut = 0
		}
		if in[q] != wantIn || out[q] != wantOut {
			t.Errorf("%s is named by %d rules in and %d out, want %d and %d", q, in[q], out[q], wantIn, wantOut)
		}
	}
	if lookups != 1 || rules < 80 {
		t.Errorf("DNS of one namespace is named by %d rules of %d", lookups, rules)
	}
	if names := peers(nil, cells.People); slices.Contains(names, cells.People) {
		t.Error("no peer is somebody")
	}
}
