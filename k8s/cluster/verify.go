package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/datameesh/datameesh/k8s/cells"
	"github.com/datameesh/datameesh/k8s/matrix"
	"github.com/datameesh/datameesh/platform/topology"
)

// Whom pods may ask or not beside each other.
const (
	dns         = "dns"
	metadata    = "metadata"           // what clouds give credentials at
	metadataAt  = "169.254.169.254:80" // the same on all of them
	stranger    = "stranger"           // a pod of a namespace without policies
	portMetrics = 9100                 // which nobody may read
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

func (p Probed) String() string {
	if p.Port == 0 {
		return p.From + " → " + p.To
	}
	return fmt.Sprintf("%s → %s %d", p.From, p.To, p.Port)
}

func open(answer string) bool { return answer == "probe" || answer == "open" }

// A VerifyReport tells what was probed.
type VerifyReport struct {
	Cells    []Probed
	Metadata bool // somebody answers at the metadata address, so that it was probed
	Took     time.Duration
}

// Allowed is the number of cells that are to be allowed.
func (r VerifyReport) Allowed() (n int) {
	for _, c := range r.Cells {
		if c.Allowed {
			n++
		}
	}
	return n
}

// Wrong are the cells that are not as expected.
func (r VerifyReport) Wrong() []Probed {
	return slices.DeleteFunc(slices.Clone(r.Cells), Probed.Right)
}

// Enforced is false when nothing is denied that should be: nobody enforces policies.
func (r VerifyReport) Enforced() bool {
	return slices.ContainsFunc(r.Cells, func(p Probed) bool { return !p.Allowed && p.Right() })
}

// Table writes a line for each place that somebody may reach, who reached it and
// how many were refused there; the last line is for all other places.
func (r VerifyReport) Table(to io.Writer) error {
	type place struct {
		name            string
		reached         []string
		refused, places int
	}
	at := func(c Probed) string { _, to, _ := strings.Cut(c.String(), " → "); return to }
	seen := map[string]*place{}
	var order []string
	for _, c := range r.Cells {
		name := at(c)
		if seen[name] == nil {
			seen[name] = &place{name: name}
			order = append(order, name)
		}
		if open(c.Got) {
			seen[name].reached = append(seen[name].reached, c.From)
		} else {
			seen[name].refused++
		}
	}
	w := tabwriter.NewWriter(to, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "TO\tREFUSED\tREACHED BY")
	var rest place
	for _, name := range order {
		p := seen[name]
		if len(p.reached) == 0 {
			rest.refused += p.refused
			rest.places++
			continue
		}
		fmt.Fprintf(w, "%s\t%d\t%s\n", p.name, p.refused, strings.Join(p.reached, ", "))
	}
	fmt.Fprintf(w, "%d other ports and addresses\t%d\tnobody\n", rest.places, rest.refused)
	return w.Flush()
}

// Verify makes a probe for every workload, for a pod in each namespace that
// nobody knows and for pods of another namespace, has each connect to all others
// on every port of the topology, to the cluster's DNS, its API server and the
// address of metadata, and compares with the allowed cells. What is wrong is asked
// again until patience ends: a new pod is unfiltered for a moment. outside is a
// command that runs mesh-probe from outside of the cluster; nil for none.
func (c *Cluster) Verify(ctx context.Context, patience time.Duration, outside []string) (report VerifyReport, err error) {
	begin := time.Now()
	defer func() { report.Took = time.Since(begin) }()
	p, err := c.probes(ctx, outside)
	if err != nil {
		return report, err
	}
	defer func() { err = errors.Join(err, p.close(context.WithoutCancel(ctx))) }()
	if report.Cells, err = p.cells(ctx); err != nil {
		return report, err
	}
	report.Metadata = slices.ContainsFunc(report.Cells, func(q Probed) bool { return q.To == metadata })
	return report, p.settle(ctx, report.Cells, patience, func(q Probed) bool { return q.Allowed })
}

// settle asks all cells, then again those that differ, until none does or
// patience ends.
func (p *prober) settle(ctx context.Context, all []Probed, patience time.Duration, want func(Probed) bool) error {
	if len(all) == 0 || !slices.ContainsFunc(all, func(q Probed) bool { return q.Allowed }) {
		return errors.New("no cell was probed")
	}
	which := make([]int, len(all))
	for i := range which {
		which[i] = i
	}
	deadline := time.Now().Add(patience)
	told := time.Now()
	for {
		if err := p.ask(ctx, all, which); err != nil {
			return err
		}
		which = slices.DeleteFunc(which, func(i int) bool { return open(all[i].Got) == want(all[i]) })
		if len(which) == 0 || time.Now().After(deadline) {
			return nil
		}
		if time.Since(told) > 5*time.Second {
			p.cluster.say("%d of %d cells differ yet; asking again", len(which), len(all))
			told = time.Now()
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// cells are all questions, with the answers that are expected.
func (p *prober) cells(ctx context.Context) ([]Probed, error) {
	allowed, err := cells.Allowed()
	if err != nil {
		return nil, err
	}
	want := map[cells.Cell]bool{}
	asksAPI := map[string]bool{}
	for _, a := range allowed {
		want[a] = true
		if a.To == matrix.APIServer {
			asksAPI[a.From] = true
		}
	}
	var all []Probed
	for _, from := range p.list {
		for _, to := range p.list {
			if from.actor == to.actor || !from.ours && !to.ours {
				continue
			}
			for _, port := range verifyPorts() {
				// Its port on the way to somebody of no namespace of ours is denied too.
				all = append(all, Probed{From: from.actor, To: to.actor, Port: port, Allowed: want[cells.Cell{From: plain(from.actor), To: plain(to.actor), Port: port}]})
			}
		}
	}
	if p.outside != nil {
		for _, to := range p.list {
			for _, port := range verifyPorts() {
				if to.ours {
					all = append(all, Probed{From: cells.People, To: to.actor, Port: port, Allowed: want[cells.Cell{From: cells.People, To: plain(to.actor), Port: port}]})
				}
			}
		}
	}
	// The way that people take: each NodePort of each node, from outside and from a pod that nobody knows.
	for _, n := range p.nodePorts {
		all = append(all, Probed{From: stranger, To: n.address, Allowed: false})
		if p.outside != nil {
			all = append(all, Probed{From: cells.People, To: n.address, Allowed: true})
		}
	}
	// Who is no pod of the mesh.
	control := []Probed{{From: stranger, To: metadata}}
	if err := p.ask(ctx, control, []int{0}); err != nil {
		return nil, err
	}
	for _, from := range p.list {
		if !from.ours {
			continue
		}
		all = append(all, Probed{From: from.actor, To: dns, Allowed: true}, Probed{From: from.actor, To: matrix.APIServer, Allowed: asksAPI[plain(from.actor)]})
		// Where nobody answers, a silence says nothing.
		if open(control[0].Got) {
			all = append(all, Probed{From: from.actor, To: metadata, Allowed: false})
		}
	}
	return all, nil
}

// verifyPorts are all of the topology, and one of metrics that nobody may read.
func verifyPorts() []int {
	all := []int{portMetrics, topology.PortNotebook}
	for _, s := range topology.Services {
		for _, p := range s.Ports {
			all = append(all, p.Target)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// A nodePort is where people come in.
type nodePort struct {
	address  string // host:port
	workload string // that it leads to
	port     int    // of its pods
}

// readNodePorts lists the mesh's NodePorts on all nodes.
func (c *Cluster) readNodePorts(ctx context.Context) ([]nodePort, error) {
	nodes, err := c.client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	target := map[int]int{}
	for _, s := range topology.Services {
		for _, p := range s.Ports {
			target[p.NodePort] = p.Target
		}
	}
	var all []nodePort
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
							all = append(all, nodePort{net.JoinHostPort(a.Address, strconv.Itoa(int(p.NodePort))), s.Spec.Selector[nameLabel], target[int(p.NodePort)]})
						}
					}
				}
			}
		}
	}
	return all, nil
}
