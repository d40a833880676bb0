// Command meesh-k8s runs the mesh on a Kubernetes cluster; "meesh k8s" calls it.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/datameesh/datameesh/k8s/cluster"
	"github.com/datameesh/datameesh/k8s/manifest"
	"github.com/datameesh/datameesh/platform/secrets"
)

// Exit codes, those of meesh.
const (
	exitFailed      = 1
	exitUsage       = 2
	exitUnreachable = 3
	exitInterrupted = 130
)

// errCheck tells that a check failed; it has been told.
var errCheck = errors.New("")

type usageError struct{ error }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(realMain(ctx, os.Args[1:]))
}

func realMain(ctx context.Context, args []string) int {
	root := newRoot()
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	if err.Error() != "" {
		fmt.Fprintln(os.Stderr, "meesh k8s: "+err.Error())
	}
	_, unreachable := errors.AsType[*cluster.UnreachableError](err)
	_, production := errors.AsType[*cluster.ProductionError](err)
	_, usage := errors.AsType[usageError](err)
	switch {
	case ctx.Err() != nil:
		return exitInterrupted
	case unreachable:
		return exitUnreachable
	case production, usage, strings.HasPrefix(err.Error(), "unknown command"):
		return exitUsage
	}
	return exitFailed
}

// options of all commands.
type options struct {
	context string
	overlay string
}

func newRoot() *cobra.Command {
	var o options
	root := &cobra.Command{
		Use:   "k8s",
		Short: "Run the mesh on a Kubernetes cluster",
		Long: `Puts the mesh on the cluster of KUBECONFIG, looks at it there, proves its
isolation and takes it away.

Data goes to stdout, everything else to stderr. Exit codes: 0 done, 1 a check
failed, 2 wrong usage, 3 no cluster can be reached, 130 interrupted.`,
		Annotations:  map[string]string{cobra.CommandDisplayNameAnnotation: "meesh k8s"},
		SilenceUsage: true, SilenceErrors: true,
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: true},
	}
	root.PersistentFlags().StringVar(&o.context, "context", "", "context of KUBECONFIG; one that looks like production must be named")
	root.PersistentFlags().StringVar(&o.overlay, "overlay", "local", "overlay of k8s/overlays, or a folder")
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.AddCommand(o.preflight(), o.secrets(), o.up(), o.verify(), o.rotate(), o.status(), o.down(), o.credentials(), o.ca())
	return root
}

func none(c *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usageError{fmt.Errorf("%s takes no arguments, got %q", c.Name(), args)}
	}
	return nil
}

func (o *options) open(c *cobra.Command) (*cluster.Cluster, error) {
	return cluster.Open(c.Context(), o.context, c.ErrOrStderr())
}

// objects renders the overlay of the clone that this program was built in.
func (o *options) objects() ([]*unstructured.Unstructured, error) {
	folder := o.overlay
	if !strings.Contains(folder, "/") {
		program, err := os.Executable()
		if err != nil {
			return nil, err
		}
		folder = filepath.Join(filepath.Dir(filepath.Dir(program)), "k8s", "overlays", o.overlay)
	}
	if _, err := os.Stat(folder); err != nil {
		return nil, usageError{fmt.Errorf("there is no overlay %q: %w; name one of k8s/overlays, or a folder", o.overlay, err)}
	}
	_, objects, err := manifest.Render(folder)
	return objects, err
}

func (o *options) preflight() *cobra.Command {
	return &cobra.Command{
		Use: "preflight", Short: "Say what the cluster lacks, first whether it enforces policies", Args: none,
		RunE: func(c *cobra.Command, _ []string) error {
			objects, err := o.objects()
			if err != nil {
				return err
			}
			on, err := o.open(c)
			if err != nil {
				return err
			}
			checks, err := on.Preflight(c.Context(), objects)
			if err != nil {
				return err
			}
			return show(c, checks)
		},
	}
}

// show prints checks; errCheck when one failed.
func show(c *cobra.Command, checks []cluster.Check) error {
	var failed bool
	for _, check := range checks {
		mark := "ok  "
		if !check.OK {
			mark, failed = "FAIL", true
		}
		fmt.Fprintf(c.OutOrStdout(), "%s  %s: %s\n", mark, check.Name, check.Says)
	}
	if failed {
		return errCheck
	}
	return nil
}

func (o *options) secrets() *cobra.Command {
	return &cobra.Command{
		Use: "secrets", Short: "Make credentials, authority and certificates, in the cluster alone", Args: none,
		RunE: func(c *cobra.Command, _ []string) error {
			objects, err := o.objects()
			if err != nil {
				return err
			}
			on, err := o.open(c)
			if err != nil {
				return err
			}
			var namespaces []*unstructured.Unstructured
			for _, object := range objects {
				if object.GetKind() == "Namespace" {
					namespaces = append(namespaces, object)
				}
			}
			if err := on.Apply(c.Context(), namespaces); err != nil {
				return err
			}
			changed, err := on.Secrets(c.Context(), os.Getenv(secrets.AdminPasswordVariable))
			for _, name := range changed {
				fmt.Fprintln(c.OutOrStdout(), name)
			}
			if err == nil {
				fmt.Fprintf(c.ErrOrStderr(), "%d Secrets made or changed\n", len(changed))
			}
			return err
		},
	}
}

func (o *options) up() *cobra.Command {
	var limit time.Duration
	c := &cobra.Command{
		Use: "up", Short: "Put the mesh on the cluster and wait until it is ready", Args: none,
		RunE: func(c *cobra.Command, _ []string) error {
			objects, err := o.objects()
			if err != nil {
				return err
			}
			on, err := o.open(c)
			if err != nil {
				return err
			}
			begin := time.Now()
			if err := on.Up(c.Context(), objects, os.Getenv(secrets.AdminPasswordVariable), limit); err != nil {
				return err
			}
			fmt.Fprintf(c.ErrOrStderr(), "The mesh is ready after %.0f s. Next: meesh k8s verify\n", time.Since(begin).Seconds())
			return nil
		},
	}
	c.Flags().DurationVar(&limit, "timeout", 10*time.Minute, "how long to wait")
	return c
}

func (o *options) verify() *cobra.Command {
	var outside string
	var patience time.Duration
	c := &cobra.Command{
		Use: "verify", Short: "Prove with packets what the network policies allow and deny", Args: none,
		Long: `Makes a pod in the place of every workload, of a pod that nobody knows in each
namespace, and of pods of another namespace; each connects to all others on every
port of the topology. Compares with k8s/cells/allowed-cells.txt and prints what
differs, and who reached whom.`,
		Example: `  meesh k8s verify
  meesh k8s verify --outside "ip netns exec visitor bin/mesh-probe"`,
		RunE: func(c *cobra.Command, _ []string) error {
			on, err := o.open(c)
			if err != nil {
				return err
			}
			report, err := on.Verify(c.Context(), patience, strings.Fields(outside))
			if err != nil {
				return err
			}
			if !report.Enforced() {
				return fmt.Errorf("nothing that should be denied is: this cluster does not enforce network policies, and nothing is isolated; give it a network that does (Calico, Cilium, kube-router)")
			}
			wrong := report.Wrong()
			for _, w := range wrong {
				word := "denied"
				if w.Allowed {
					word = "allowed"
				}
				fmt.Fprintf(c.OutOrStdout(), "WRONG  %s is %s, should be %s\n", w, w.Got, word)
			}
			if err := report.Table(c.OutOrStdout()); err != nil {
				return err
			}
			from := "inside and from a namespace without policies"
			if outside != "" {
				from += ", and from outside"
			}
			fmt.Fprintf(c.OutOrStdout(), "%d connections tried %s, %d of them to be allowed: %d wrong, in %.0f s\n",
				len(report.Cells), from, report.Allowed(), len(wrong), report.Took.Seconds())
			if len(wrong) > 0 {
				return errCheck
			}
			return nil
		},
	}
	c.Flags().StringVar(&outside, "outside", "", "command that runs mesh-probe outside of the cluster, with an address of its own")
	c.Flags().DurationVar(&patience, "patience", 30*time.Second, "how long what differs is asked again")
	return c
}

func (o *options) rotate() *cobra.Command {
	var overlap, limit time.Duration
	c := &cobra.Command{
		Use: "rotate NAME", Short: "Give an API key or the database role of a service a new value, while everything runs",
		Long: `Of an API key the services accept the new value within a minute, and the old one
until the overlap is over. Of a database role the service is given the new password
beside the old one first, pod by pod, then PostgreSQL gets it.`,
		Example: `  meesh k8s rotate sales-reader
  meesh k8s rotate sales-db/sales_app`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usageError{errors.New("name one credential, as sales-reader or sales-db/sales_app")}
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			if overlap < 0 || overlap > 30*24*time.Hour {
				return usageError{fmt.Errorf("--overlap %v is not between 0s and 720h", overlap)}
			}
			objects, err := o.objects()
			if err != nil {
				return err
			}
			on, err := o.open(c)
			if err != nil {
				return err
			}
			err = on.Rotate(c.Context(), objects, args[0], overlap, limit)
			_, unknown := errors.AsType[*secrets.UnknownError](err)
			_, not := errors.AsType[*cluster.NotRotatableError](err)
			if unknown || not {
				return usageError{err}
			}
			return err
		},
	}
	c.Flags().DurationVar(&overlap, "overlap", 24*time.Hour, "how long the old API key still opens")
	c.Flags().DurationVar(&limit, "timeout", 5*time.Minute, "how long to wait for each step")
	return c
}

func (o *options) status() *cobra.Command {
	var format string
	c := &cobra.Command{
		Use: "status", Short: "Show the parts of the mesh on the cluster", Args: none,
		RunE: func(c *cobra.Command, _ []string) error {
			if format != "table" && format != "json" {
				return usageError{fmt.Errorf("-o %s: choose table or json", format)}
			}
			on, err := o.open(c)
			if err != nil {
				return err
			}
			parts, err := on.Status(c.Context())
			if err != nil {
				return err
			}
			if len(parts) == 0 {
				return errors.New("the cluster holds no mesh; put it there with: meesh k8s up")
			}
			if format == "json" {
				e := json.NewEncoder(c.OutOrStdout())
				e.SetIndent("", "  ")
				return e.Encode(parts)
			}
			w := tabwriter.NewWriter(c.OutOrStdout(), 0, 0, 2, ' ', 0)
			fmt.Fprintln(w, "NAMESPACE\tKIND\tNAME\tREADY\tWHY NOT")
			ready := 0
			for _, p := range parts {
				fmt.Fprintf(w, "%s\t%s\t%s\t%t\t%s\n", p.Namespace, p.Kind, p.Name, p.Ready, p.Why)
				if p.Ready {
					ready++
				}
			}
			if err := w.Flush(); err != nil {
				return err
			}
			if ready < len(parts) {
				return fmt.Errorf("%d of %d are not ready", len(parts)-ready, len(parts))
			}
			return nil
		},
	}
	c.Flags().StringVarP(&format, "output", "o", "table", "table or json")
	return c
}

func (o *options) down() *cobra.Command {
	var limit time.Duration
	c := &cobra.Command{
		Use: "down", Short: "Remove the mesh from the cluster, with its data and credentials", Args: none,
		RunE: func(c *cobra.Command, _ []string) error {
			on, err := o.open(c)
			if err != nil {
				return err
			}
			return on.Down(c.Context(), limit)
		},
	}
	c.Flags().DurationVar(&limit, "timeout", 5*time.Minute, "how long to wait")
	return c
}

func (o *options) credentials() *cobra.Command {
	return &cobra.Command{
		Use: "credentials NAME", Short: "Print one credential, named as in \"meesh credentials\"",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usageError{errors.New("name one credential, as mike or sales-reader")}
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			on, err := o.open(c)
			if err != nil {
				return err
			}
			value, err := on.Credential(c.Context(), args[0])
			if err == nil {
				fmt.Fprintln(c.OutOrStdout(), value)
			}
			return err
		},
	}
}

func (o *options) ca() *cobra.Command {
	return &cobra.Command{
		Use: "ca", Short: "Print the certificate that Trino's is signed with", Args: none,
		RunE: func(c *cobra.Command, _ []string) error {
			on, err := o.open(c)
			if err != nil {
				return err
			}
			ca, err := on.CA(c.Context())
			if err == nil {
				_, err = c.OutOrStdout().Write(ca)
			}
			return err
		},
	}
}
