package check

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/datameesh/datameesh/platform/collector"
	"github.com/datameesh/datameesh/platform/fetch"
	"github.com/datameesh/datameesh/platform/grafana"
	"github.com/datameesh/datameesh/platform/hive"
	"github.com/datameesh/datameesh/platform/local"
	"github.com/datameesh/datameesh/platform/objectstore"
	"github.com/datameesh/datameesh/platform/topology"
)

// Addresses and volumes are those of the topology.
func TestTopology(t *testing.T) {
	for _, o := range overlays(t) {
		outside := o.name == "local" // the others have an Ingress
		var got, want []string
		line := func(namespace, name string, p topology.ServicePort) string {
			if !outside {
				p.NodePort = 0
			}
			return fmt.Sprintf("%s/%s %d → %d, NodePort %d", namespace, name, p.Port, p.Target, p.NodePort)
		}
		for _, s := range topology.Services {
			for _, p := range s.Ports {
				want = append(want, line(s.Namespace, s.Name, p))
			}
		}
		for _, s := range of[*corev1.Service](o) {
			nodePorts := 0
			for _, p := range s.Spec.Ports {
				if p.NodePort > 0 {
					nodePorts++
				}
				got = append(got, line(s.Namespace, s.Name, topology.ServicePort{Port: int(p.Port), Target: target(o, s, p), NodePort: int(p.NodePort)}))
			}
			if isNodePort := s.Spec.Type == corev1.ServiceTypeNodePort; isNodePort && nodePorts != len(s.Spec.Ports) || !isNodePort && nodePorts > 0 {
				t.Errorf("%s: service %s is of type %q with %d NodePorts of %d ports", o.name, s.Name, s.Spec.Type, nodePorts, len(s.Spec.Ports))
			}
		}
		same(t, o.name+": services", got, want)

		got, want = nil, nil
		for _, c := range topology.Claims {
			want = append(want, fmt.Sprintf("%s/%s %d", c.Namespace, c.Name, c.Bytes))
		}
		for _, c := range of[*corev1.PersistentVolumeClaim](o) {
			got = append(got, fmt.Sprintf("%s/%s %d", c.Namespace, c.Name, c.Spec.Resources.Requests.Storage().Value()))
		}
		same(t, o.name+": claims", got, want)
	}
}

// target is the number of the container's port behind a service's.
func target(o overlay, s *corev1.Service, p corev1.ServicePort) int {
	for _, w := range o.workloads() {
		if w.Namespace != s.Namespace || w.Pod.Labels[nameLabel] != s.Spec.Selector[nameLabel] {
			continue
		}
		for _, c := range w.Pod.Spec.Containers {
			for _, port := range c.Ports {
				if port.Name == p.TargetPort.StrVal || port.ContainerPort == p.TargetPort.IntVal {
					return int(port.ContainerPort)
				}
			}
		}
	}
	return 0
}

func same(t *testing.T, what string, got, want []string) {
	t.Helper()
	slices.Sort(got)
	slices.Sort(want)
	for _, line := range got {
		if !slices.Contains(want, line) {
			t.Errorf("%s: unexpected %s", what, line)
		}
	}
	for _, line := range want {
		if !slices.Contains(got, line) {
			t.Errorf("%s: missing %s", what, line)
		}
	}
	if len(want) == 0 {
		t.Errorf("%s: nothing compared", what)
	}
}

// container of a workload, the first that is no init container.
func container(t *testing.T, name string) corev1.Container {
	t.Helper()
	for _, w := range overlays(t)[0].workloads() {
		if w.Name == name {
			return w.Pod.Spec.Containers[0]
		}
	}
	t.Fatalf("no workload %s", name)
	return corev1.Container{}
}

// On one machine only: where a server listens, and what it writes where.
func TestPostgreSQLSettings(t *testing.T) {
	var servers int
	for _, s := range topology.KubernetesServers() {
		servers++
		c := container(t, s.Name)
		var want []string
		for _, setting := range local.PostgresSettings {
			if !strings.HasPrefix(setting, "listen_addresses=") && !strings.HasPrefix(setting, "unix_socket_directories=") {
				want = append(want, "-c"+setting)
			}
		}
		if got := c.Args[1:]; !slices.Equal(trimmed(got), trimmed(want)) {
			t.Errorf("%s runs with %q, platform/local with %q", s.Name, got, want)
		}
		version := strings.TrimSuffix(fetch.PostgreSQLVersion, ".0")
		if c.Image != "postgres:"+version {
			t.Errorf("%s is %s, platform/fetch has %s", s.Name, c.Image, version)
		}
	}
	if servers < 5 {
		t.Errorf("only %d servers", servers)
	}
}

// trimmed of the space that ends the prefix of a log line.
func trimmed(settings []string) []string {
	all := slices.Clone(settings)
	for i := range all {
		all[i] = strings.TrimSpace(all[i])
	}
	slices.Sort(all)
	return all
}

// Every variable that a file of Trino's or the metastore's reads is set, and the
// files are those of platform.
func TestEnginesAreConfigured(t *testing.T) {
	variable := regexp.MustCompile(`\$(?:__env)?\{(?:ENV:|env\.)?([A-Z0-9_]+)\}|\bE\["([A-Z0-9_]+)"\]`)
	// The hub reads these when people's servers are processes.
	processes := regexp.MustCompile(`(?s)\nif E\["MESH_HUB_SPAWNER"\] == "process".*?\nif E\["MESH_HUB_SPAWNER"\] == "pod"`)
	comment := regexp.MustCompile(`(?s)<!--.*?-->`)
	// Read when something else asks for it, or known by Trino itself.
	optional := []string{"USER", "MESH_HUB_LOGIN", "MESH_NOTEBOOK_STORAGE", "MESH_NOTEBOOK_STORAGE_CLASS"}
	secrets := madeSecrets(t)
	o := overlays(t)[0]
	folders := map[string]string{"trino-coordinator": "trino/etc", "trino-worker": "trino/etc", "trino-catalogs": "trino/etc/catalog", "hive-metastore": "hive/conf",
		"grafana": "grafana", "hub": "jupyterhub"}
	files := 0
	for _, w := range o.workloads() {
		set := map[string]bool{}
		for _, c := range w.Pod.Spec.Containers {
			for _, e := range c.Env {
				set[e.Name] = true
			}
			for _, e := range c.EnvFrom {
				for key := range secrets[w.Namespace+"/"+e.SecretRef.Name] {
					set[key] = true
				}
			}
		}
		for _, v := range w.Pod.Spec.Volumes {
			if v.ConfigMap == nil {
				continue
			}
			for _, m := range of[*corev1.ConfigMap](o) {
				if m.Name != v.ConfigMap.Name {
					continue
				}
				base := m.Name[:strings.LastIndex(m.Name, "-")]
				for name, text := range m.Data {
					for _, found := range variable.FindAllStringSubmatch(processes.ReplaceAllString(comment.ReplaceAllString(text, ""), "\n"), -1) {
						if read := found[1] + found[2]; !set[read] && !slices.Contains(optional, read) {
							t.Errorf("%s: %s reads %s, which is not set", w, name, read)
						}
					}
					folder, ok := folders[base]
					if !ok {
						continue
					}
					if base == "trino-worker" && name == "config.properties" {
						folder = "trino/worker"
					}
					content, err := os.ReadFile(filepath.Join("../../platform", folder, name))
					if err != nil || string(content) != text {
						t.Errorf("%s: %s is not that of platform/%s: %v", w, name, folder, err)
					}
					files++
				}
			}
		}
	}
	if files < 8+4+7+7+2+2 {
		t.Errorf("only %d files compared", files)
	}
	entries, err := os.ReadDir("../../platform/trino/etc/catalog")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range of[*corev1.ConfigMap](o) {
		if strings.HasPrefix(m.Name, "trino-catalogs-") && len(m.Data) != len(entries) {
			t.Errorf("%d catalogs, platform/trino has %d: list them in platform/trino/kustomization.yaml", len(m.Data), len(entries))
		}
	}
}

// The classes around Trino's password file lie where one machine has them: in
// the folder of that plugin, all of them, with what names them.
func TestTrinoThrottles(t *testing.T) {
	const folder = "../../platform/trino/java"
	want := map[string]string{}
	err := filepath.WalkDir(folder, func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || filepath.Ext(name) == ".java" {
			return err
		}
		text, err := os.ReadFile(name)
		want[strings.TrimPrefix(name, folder+"/")] = string(text)
		return err
	})
	if err != nil || len(want) < 2 {
		t.Fatalf("%d files, %v", len(want), err)
	}
	for _, o := range overlays(t) {
		got := map[string]string{}
		for _, w := range o.workloads() {
			if w.Name != "trino-coordinator" {
				continue
			}
			c := w.Pod.Spec.Containers[0]
			for _, v := range w.Pod.Spec.Volumes {
				if v.ConfigMap == nil {
					continue
				}
				mounted := slices.ContainsFunc(c.VolumeMounts, func(m corev1.VolumeMount) bool {
					return m.Name == v.Name && slices.ContainsFunc(c.Env, func(e corev1.EnvVar) bool {
						return e.Name == "TRINO_PLUGIN_DIR" && m.MountPath == e.Value+"/password-authenticators/throttle"
					})
				})
				for _, m := range of[*corev1.ConfigMap](o) {
					if !mounted || m.Name != v.ConfigMap.Name {
						continue
					}
					for _, item := range v.ConfigMap.Items {
						got[item.Path] = m.Data[item.Key] + string(m.BinaryData[item.Key])
					}
				}
			}
		}
		if !maps.Equal(got, want) {
			t.Errorf("%s: the files of the plugin are %q, platform/trino/java has %q", o.name, slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(want)))
		}
	}
}

// The metastore and the object store are started as on one machine, but for
// where things lie and who may connect.
func TestCommandsAreThoseOfOneMachine(t *testing.T) {
	dir := t.TempDir()
	command, err := hive.Config{Home: "/opt/hive-metastore", Libraries: "/opt/hive-libraries", Java: "/opt/java", Dir: dir, Address: "0.0.0.0:9083"}.Command()
	if err != nil {
		t.Fatal(err)
	}
	replace := strings.NewReplacer(path.Join(dir, "conf"), "/etc/hive", path.Join(dir, "java"), "/opt/datameesh/java")
	want := []string{command.Path}
	for _, a := range command.Args {
		want = append(want, replace.Replace(a))
	}
	metastore := container(t, "hive-metastore")
	if !slices.Equal(metastore.Command, want) {
		t.Errorf("the metastore starts with\n%q, on one machine with\n%q", metastore.Command, want)
	}
	var got, need []string
	for _, e := range metastore.Env {
		got = append(got, e.Name)
	}
	for _, e := range command.Env {
		if name, _, _ := strings.Cut(e, "="); name != "PATH" {
			need = append(need, name)
		}
	}
	same(t, "variables of the metastore", got, need)

	store, err := objectstore.Server{
		Endpoint: objectstore.Endpoint{Kind: objectstore.VersityGW, S3: ":9000", Admin: ":9002"}, Program: "/", Data: dir, Console: ":9001",
		PageOrigin: "http://localhost:" + strconv.Itoa(topology.PortObjectStoreConsole), S3Origin: "http://localhost:" + strconv.Itoa(topology.PortObjectStore),
		AdminOrigin: "http://localhost:" + strconv.Itoa(topology.PortObjectStoreAdmin),
	}.Command()
	if err != nil {
		t.Fatal(err)
	}
	want = []string{store.Path}
	for _, a := range store.Args {
		a = strings.ReplaceAll(a, dir, "/data")
		if last := want[len(want)-1]; strings.HasPrefix(last, "--") && !strings.Contains(last, "=") && !strings.HasPrefix(a, "--") && a != "posix" {
			want[len(want)-1] = last + "=" + a
			continue
		}
		want = append(want, a)
	}
	if minio := container(t, "minio"); !slices.Equal(minio.Command, want) {
		t.Errorf("the object store starts with\n%q, on one machine with\n%q", minio.Command, want)
	}
}

// Grafana, the mailbox and JupyterHub are those of one machine.
func TestPagesAreThoseOfOneMachine(t *testing.T) {
	dir := t.TempDir()
	command, err := grafana.Config{
		Installation: grafana.Installation{Home: "/usr/share/grafana", Program: "/usr/share/grafana/bin/grafana", Version: fetch.GrafanaVersion},
		Dir:          dir, Dashboards: dir, AlertMail: grafana.AlertMail,
		Sources: []grafana.Source{{Name: "SALES_DB"}, {Name: "MARKETING_DB"}, {Name: "SALES_API_DB"}, {Name: "MARTS"}},
	}.Command()
	if err != nil {
		t.Fatal(err)
	}
	want := []string{command.Path}
	for _, a := range command.Args {
		want = append(want, strings.ReplaceAll(a, dir, "/etc/grafana"))
	}
	c := container(t, "grafana")
	if !slices.Equal(c.Command, want) {
		t.Errorf("Grafana starts with %q, on one machine with %q", c.Command, want)
	}
	if c.Image != "grafana/grafana:"+fetch.GrafanaVersion {
		t.Errorf("Grafana is %s, platform/fetch has %s", c.Image, fetch.GrafanaVersion)
	}
	var got, need []string
	for _, e := range c.Env {
		got = append(got, e.Name)
		if e.Name == "ALERT_MAIL" && e.Value != strings.Join(grafana.AlertMail, ",") {
			t.Errorf("alerts are mailed to %s, on one machine to %q", e.Value, grafana.AlertMail)
		}
	}
	for key := range madeSecrets(t)[topology.NamespacePlatform+"/grafana"] {
		got = append(got, key)
	}
	for _, e := range command.Env {
		name, _, _ := strings.Cut(e, "=")
		need = append(need, name)
	}
	same(t, "variables of Grafana", got, need)

	mailbox := container(t, "mailbox")
	for _, s := range local.MailboxSwitches {
		if !slices.Contains(mailbox.Command, s) {
			t.Errorf("the mailbox starts with %q, without %s", mailbox.Command, s)
		}
	}
	if version := fetch.MissingMailbox(dir)[0].Version; mailbox.Image != "axllent/mailpit:v"+version {
		t.Errorf("the mailbox is %s, platform/fetch has %s", mailbox.Image, version)
	}
}

// All dashboards are mounted, each in the folder that Grafana shows it in.
func TestDashboardsAreMounted(t *testing.T) {
	var got, want []string
	for _, w := range overlays(t)[0].workloads() {
		if w.Name != "grafana" {
			continue
		}
		for _, v := range w.Pod.Spec.Volumes {
			if v.Name != "dashboards" {
				continue
			}
			for _, source := range v.Projected.Sources {
				for _, item := range source.ConfigMap.Items {
					got = append(got, item.Path)
				}
			}
		}
	}
	const folder = "../../dashboards/json/dashboards"
	files, err := filepath.Glob(folder + "/*/*.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		name, err := filepath.Rel(folder, file)
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, filepath.ToSlash(name))
	}
	same(t, "dashboards", got, want)
}

// The collector looks at what the local one looks at, at its address in the cluster.
func TestCollector(t *testing.T) {
	text, err := os.ReadFile("../platform/mesh-collector.json")
	if err != nil {
		t.Fatal(err)
	}
	var config collector.Config
	if err := json.Unmarshal(text, &config); err != nil {
		t.Fatal(err)
	}
	services := map[string]topology.Service{}
	for _, s := range topology.Services {
		services[s.Name] = s
	}
	// at checks that an address is one of the topology, as seen from data-platform.
	at := func(address string) {
		t.Helper()
		host, port, err := net.SplitHostPort(address)
		if err != nil {
			host, port = address, "80"
		}
		name, namespace, _ := strings.Cut(host, ".")
		s, ok := services[name]
		if !ok || cmp.Or(namespace, topology.NamespacePlatform) != s.Namespace || !slices.ContainsFunc(s.Ports, func(p topology.ServicePort) bool { return strconv.Itoa(p.Port) == port }) {
			t.Errorf("%s is no address of the topology", address)
		}
	}
	var got, want []string
	for _, c := range config.Components {
		got = append(got, c.Name)
		at(strings.Split(strings.TrimPrefix(c.URL, "http://"), "/")[0])
	}
	want = append(want, "dbt-docs")
	for _, d := range local.Domains {
		want = append(want, d.Service)
	}
	same(t, "components", got, want)
	got, want = nil, nil
	for _, d := range append(config.Databases, collector.Database{Server: "analytics-db", Limit: 5 << 30, Connection: config.Target}) {
		got = append(got, fmt.Sprintf("%s %s %d %s", d.Server, d.Database, d.Limit, d.User))
		at(d.Address)
	}
	want = append(want, fmt.Sprintf("analytics-db sales_analytics %d %s", int64(5<<30), topology.RoleAnalytics))
	for _, s := range topology.KubernetesServers() {
		for _, d := range s.Databases {
			if !d.Private {
				want = append(want, fmt.Sprintf("%s %s %d %s", s.Name, d.Name, s.Volume, topology.RoleGrafana))
			}
		}
	}
	same(t, "databases", got, want)
	at(config.Trino.Address)
}
