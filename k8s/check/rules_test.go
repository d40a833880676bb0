package check

import (
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/pod-security-admission/api"
	psa "k8s.io/pod-security-admission/policy"

	"github.com/datameesh/datameesh/k8s/credentials"
	"github.com/datameesh/datameesh/platform/secrets"
	"github.com/datameesh/datameesh/platform/topology"
)

// containers are all of a pod, those that come first included.
func (w workload) containers() []corev1.Container {
	return slices.Concat(w.Pod.Spec.InitContainers, w.Pod.Spec.Containers)
}

// podSecurity is Kubernetes' own judgement of a pod under "restricted".
func podSecurity(w workload) string {
	evaluator, err := psa.NewEvaluator(psa.DefaultChecks())
	if err != nil {
		return err.Error()
	}
	result := psa.AggregateCheckResults(evaluator.EvaluatePod(api.LevelVersion{Level: api.LevelRestricted, Version: api.MajorMinorVersion(1, 34)}, &w.Pod.ObjectMeta, &w.Pod.Spec))
	if result.Allowed {
		return ""
	}
	return result.ForbiddenDetail()
}

func TestPodSecurity(t *testing.T) {
	for _, o := range overlays(t) {
		for _, w := range o.workloads() {
			if why := podSecurity(w); why != "" {
				t.Errorf("%s: %s: %s", o.name, w, why)
			}
		}
		for _, object := range o.objects {
			if n, ok := object.(*corev1.Namespace); ok && n.Labels["pod-security.kubernetes.io/enforce"] != "restricted" {
				t.Errorf("%s: namespace %s does not enforce restricted", o.name, n.Name)
			}
		}
	}
	bare := workload{Pod: &corev1.PodTemplateSpec{Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "bare"}}}}}
	if podSecurity(bare) == "" {
		t.Error("a bare pod is accepted")
	}
}

var pinned = regexp.MustCompile(`^[a-z0-9./-]+(:v?[0-9][A-Za-z0-9._-]*(@sha256:[0-9a-f]{64})?|@sha256:[0-9a-f]{64})$`)

var secretName = regexp.MustCompile(`(?i)password|secret|token|_key$`)

// tokens are the workloads that may hold a token of the API server, and why.
var tokens = map[string]string{"data-platform/hub": "makes the pods of notebook servers"}

// flaws of a workload by our own rules.
func flaws(w workload) []string {
	var all []string
	bad := func(format string, args ...any) { all = append(all, fmt.Sprintf(format, args...)) }
	for _, on := range []map[string]string{w.Labels, w.Pod.Labels} {
		for key, want := range map[string]string{nameLabel: w.Name, "app.kubernetes.io/part-of": "datameesh"} {
			if on[key] != want {
				bad("label %s is %q, want %q", key, on[key], want)
			}
		}
		if on["app.kubernetes.io/component"] == "" {
			bad("has no label app.kubernetes.io/component")
		}
	}
	s := w.Pod.Spec
	no := func(b *bool) bool { return b != nil && !*b }
	if s.ServiceAccountName != w.Name {
		bad("runs as service account %q, not its own", s.ServiceAccountName)
	}
	if !no(s.AutomountServiceAccountToken) && tokens[w.String()] == "" {
		bad("has a token of the API server")
	}
	if !no(s.EnableServiceLinks) {
		bad("gets the addresses of all services as variables")
	}
	if w.serves() && s.TerminationGracePeriodSeconds == nil {
		bad("does not say how long it may take to stop")
	}
	for _, c := range w.containers() {
		if !pinned.MatchString(c.Image) {
			bad("%s: image %s is not pinned", c.Name, c.Image)
		}
		if c.SecurityContext == nil || c.SecurityContext.ReadOnlyRootFilesystem == nil || !*c.SecurityContext.ReadOnlyRootFilesystem {
			bad("%s: can write its root file system", c.Name)
		}
		for _, of := range []struct {
			what string
			list corev1.ResourceList
		}{{"requests", c.Resources.Requests}, {"limits", c.Resources.Limits}} {
			if of.list.Memory().IsZero() || of.list.Cpu().IsZero() {
				bad("%s: %s lack cpu or memory", c.Name, of.what)
			}
		}
		for _, e := range c.Env {
			// Where one lies is no secret.
			if secretName.MatchString(e.Name) && !strings.HasSuffix(e.Name, "_FILE") && !strings.HasSuffix(e.Name, "_DIR") && !strings.HasPrefix(e.Value, "/") && e.Value != "" && e.Name != "S3_ACCESS_KEY" && e.Name != "S3_UPLOADS_ACCESS_KEY" && e.Name != "ROOT_ACCESS_KEY" {
				bad("%s: %s has its value in the manifest", c.Name, e.Name)
			}
		}
	}
	for _, c := range s.Containers {
		if w.serves() && len(c.Ports) > 0 && (c.StartupProbe == nil || c.ReadinessProbe == nil || c.LivenessProbe == nil) {
			bad("%s: lacks a startup, readiness or liveness probe", c.Name)
		}
		for _, p := range []*corev1.Probe{c.StartupProbe, c.ReadinessProbe, c.LivenessProbe} {
			if p == nil {
				continue
			}
			var port intstr.IntOrString
			switch {
			case p.HTTPGet != nil:
				port = p.HTTPGet.Port
			case p.TCPSocket != nil:
				port = p.TCPSocket.Port
			default:
				continue
			}
			if !has(c.Ports, port) {
				bad("%s: a probe asks port %s, which it does not have", c.Name, port.String())
			}
		}
	}
	return all
}

// has tells whether a port, by name or number, is among a container's.
func has(ports []corev1.ContainerPort, port intstr.IntOrString) bool {
	return slices.ContainsFunc(ports, func(p corev1.ContainerPort) bool {
		return port.Type == intstr.String && p.Name == port.StrVal || port.Type == intstr.Int && p.ContainerPort == port.IntVal
	})
}

func TestWorkloads(t *testing.T) {
	for _, o := range overlays(t) {
		workloads := o.workloads()
		if len(workloads) < 20 {
			t.Fatalf("%s: only %d workloads", o.name, len(workloads))
		}
		for _, w := range workloads {
			for _, flaw := range flaws(w) {
				t.Errorf("%s: %s: %s", o.name, w, flaw)
			}
		}
	}
}

// Each rule finds what it is for.
func TestPlantedFlawsAreFound(t *testing.T) {
	workloads := overlays(t)[0].workloads()
	api := workloads[slices.IndexFunc(workloads, func(w workload) bool { return w.Name == "sales-api" })]
	yes := true
	for want, plant := range map[string]func(*workload){
		"label app.kubernetes.io/name": func(w *workload) { w.Pod.Labels[nameLabel] = "other" },
		"not its own":                  func(w *workload) { w.Pod.Spec.ServiceAccountName = "default" },
		"has a token":                  func(w *workload) { w.Pod.Spec.AutomountServiceAccountToken = &yes },
		"addresses of all services":    func(w *workload) { w.Pod.Spec.EnableServiceLinks = nil },
		"x:latest is not pinned":       func(w *workload) { w.Pod.Spec.Containers[0].Image = "x:latest" },
		"x is not pinned":              func(w *workload) { w.Pod.Spec.InitContainers[0].Image = "x" },
		"can write its root":           func(w *workload) { w.Pod.Spec.Containers[0].SecurityContext = nil },
		"limits lack":                  func(w *workload) { w.Pod.Spec.Containers[0].Resources.Limits = nil },
		"has its value in": func(w *workload) {
			w.Pod.Spec.Containers[0].Env = append(w.Pod.Spec.Containers[0].Env, corev1.EnvVar{Name: "PGPASSWORD", Value: "x"})
		},
		"lacks a startup": func(w *workload) { w.Pod.Spec.Containers[0].ReadinessProbe = nil },
		"which it does not have": func(w *workload) {
			w.Pod.Spec.Containers[0].ReadinessProbe.HTTPGet.Port = intstr.FromInt32(1)
		},
	} {
		w := api
		w.Pod = api.Pod.DeepCopy()
		plant(&w)
		if found := strings.Join(flaws(w), "\n"); !strings.Contains(found, want) {
			t.Errorf("planted %q, found %q", want, found)
		}
	}
}

// Nobody but the hub may ask the API server for anything, and the hub for its pods alone.
func TestRights(t *testing.T) {
	pods := rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"pods"}, Verbs: []string{"get", "list", "watch", "create", "delete"}}
	events := rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"events"}, Verbs: []string{"get", "list", "watch"}}
	claims := rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"persistentvolumeclaims"}, Verbs: []string{"get", "list", "watch", "create"}}
	want := map[string][]rbacv1.PolicyRule{"local": {pods, events}, "prod": {pods, events, claims}}
	for _, o := range overlays(t) {
		roles, bindings := of[*rbacv1.Role](o), of[*rbacv1.RoleBinding](o)
		if len(roles) != 1 || len(bindings) != 1 || roles[0].Namespace != topology.NamespacePlatform || !reflect.DeepEqual(roles[0].Rules, want[o.name]) {
			t.Errorf("%s: roles %v, want one with %v", o.name, roles, want[o.name])
			continue
		}
		b := bindings[0]
		if b.RoleRef.Kind != "Role" || b.RoleRef.Name != roles[0].Name || b.Namespace != roles[0].Namespace ||
			!reflect.DeepEqual(b.Subjects, []rbacv1.Subject{{Kind: "ServiceAccount", Name: "hub", Namespace: topology.NamespacePlatform}}) {
			t.Errorf("%s: %v is not bound to the hub alone", o.name, b)
		}
	}
}

// byHand is a Secret that operators make or leave out: docs/operations.md.
const byHand = "hub-login"

// What objects say of each other is true.
func TestReferences(t *testing.T) {
	for _, o := range overlays(t) {
		for _, wrong := range references(o, madeSecrets(t)) {
			t.Errorf("%s: %s", o.name, wrong)
		}
	}
}

func TestPlantedReferencesAreFound(t *testing.T) {
	secrets := madeSecrets(t)
	for want, plant := range map[string]func(*overlay){
		"selects no pod":     func(o *overlay) { of[*corev1.Service](*o)[0].Spec.Selector = map[string]string{nameLabel: "nobody"} },
		"no container has":   func(o *overlay) { of[*corev1.Service](*o)[0].Spec.Ports[0].TargetPort = intstr.FromInt32(1) },
		"no claim":           func(o *overlay) { of[*corev1.PersistentVolumeClaim](*o)[0].Name = "other" },
		"no ConfigMap":       func(o *overlay) { of[*corev1.ConfigMap](*o)[0].Name = "other" },
		"no service account": func(o *overlay) { of[*corev1.ServiceAccount](*o)[0].Name = "other" },
		"covers no workload": func(o *overlay) {
			of[*policyv1.PodDisruptionBudget](*o)[0].Spec.Selector = &metav1.LabelSelector{MatchLabels: map[string]string{"a": "b"}}
		},
		"budget":                func(o *overlay) { of[*policyv1.PodDisruptionBudget](*o)[0].Namespace = "other" },
		"is not in the cluster": func(o *overlay) { of[*corev1.Service](*o)[0].Namespace = "default" },
	} {
		o := overlays(t)[0]
		plant(&o)
		if found := strings.Join(references(o, secrets), "\n"); !strings.Contains(found, want) {
			t.Errorf("planted %q, found %q", want, found)
		}
	}
}

// madeSecrets are the keys of all Secrets that "meesh k8s secrets" makes.
func madeSecrets(t *testing.T) map[string]map[string]bool {
	t.Helper()
	all, err := secretsOnce()
	if err != nil {
		t.Fatal(err)
	}
	keys := map[string]map[string]bool{}
	for _, s := range all {
		of := map[string]bool{}
		for key, value := range s.Data {
			if len(value) == 0 {
				t.Errorf("%s/%s: %s is empty", s.Namespace, s.Name, key)
			}
			of[key] = true
		}
		keys[s.Namespace+"/"+s.Name] = of
	}
	return keys
}

// secretsOnce, since hashes of passwords take their time.
var secretsOnce = sync.OnceValues(func() ([]credentials.Secret, error) {
	store, _, err := secrets.EnsureIn(nil, "")
	if err != nil {
		return nil, err
	}
	return credentials.Secrets(store, func(string, string) map[string][]byte { return nil })
})

func references(o overlay, secrets map[string]map[string]bool) []string {
	var all []string
	bad := func(format string, args ...any) { all = append(all, fmt.Sprintf(format, args...)) }
	workloads := o.workloads()
	matching := func(namespace string, selector map[string]string) []workload {
		var found []workload
		for _, w := range workloads {
			if w.Namespace == namespace && labels.SelectorFromSet(selector).Matches(labels.Set(w.Pod.Labels)) {
				found = append(found, w)
			}
		}
		return found
	}
	for _, object := range o.objects {
		m := object.(metav1.Object)
		if _, isNamespace := object.(*corev1.Namespace); !isNamespace && !slices.Contains(topology.Namespaces, m.GetNamespace()) {
			bad("%T %s is not in the cluster's namespaces of the mesh, but in %q", object, m.GetName(), m.GetNamespace())
		}
		if _, isSecret := object.(*corev1.Secret); isSecret {
			bad("Secret %s stands in the manifests", m.GetName())
		}
	}
	for _, s := range of[*corev1.Service](o) {
		found := matching(s.Namespace, s.Spec.Selector)
		if len(s.Spec.Selector) == 0 || len(found) != 1 || !found[0].serves() {
			bad("service %s selects no pod, or those of several workloads", s.Name)
			continue
		}
		for _, p := range s.Spec.Ports {
			if p.Protocol == "" {
				bad("service %s: port %d does not say its protocol", s.Name, p.Port)
			}
			if !slices.ContainsFunc(found[0].Pod.Spec.Containers, func(c corev1.Container) bool { return has(c.Ports, p.TargetPort) }) {
				bad("service %s: no container has port %s", s.Name, p.TargetPort.String())
			}
		}
	}
	named := func(kind string, there bool, w workload, name string) {
		if !there {
			bad("%s: no %s %s", w, kind, name)
		}
	}
	key := func(w workload, secret, key string) {
		if !secrets[w.Namespace+"/"+secret][key] {
			bad("%s: no Secret %s with key %s", w, secret, key)
		}
	}
	exists := func(namespace, name string, in []metav1.Object) bool {
		return slices.ContainsFunc(in, func(m metav1.Object) bool { return m.GetNamespace() == namespace && m.GetName() == name })
	}
	claims, maps, accounts := metas[*corev1.PersistentVolumeClaim](o), metas[*corev1.ConfigMap](o), metas[*corev1.ServiceAccount](o)
	used := map[string]bool{}
	for _, w := range workloads {
		named("service account", exists(w.Namespace, w.Pod.Spec.ServiceAccountName, accounts), w, w.Pod.Spec.ServiceAccountName)
		for _, v := range w.Pod.Spec.Volumes {
			switch {
			case v.PersistentVolumeClaim != nil:
				named("claim", exists(w.Namespace, v.PersistentVolumeClaim.ClaimName, claims), w, v.PersistentVolumeClaim.ClaimName)
				used["claim "+v.PersistentVolumeClaim.ClaimName] = true
			case v.ConfigMap != nil:
				named("ConfigMap", exists(w.Namespace, v.ConfigMap.Name, maps), w, v.ConfigMap.Name)
				used["map "+v.ConfigMap.Name] = true
			case v.Projected != nil:
				for _, source := range v.Projected.Sources {
					named("ConfigMap", source.ConfigMap != nil && exists(w.Namespace, source.ConfigMap.Name, maps), w, fmt.Sprint(source.ConfigMap))
					if source.ConfigMap != nil {
						used["map "+source.ConfigMap.Name] = true
					}
				}
			case v.Secret != nil:
				optional := v.Secret.Optional != nil && *v.Secret.Optional
				if v.Secret.SecretName == byHand {
					named("optional Secret", optional, w, v.Secret.SecretName)
					continue
				}
				named("Secret", secrets[w.Namespace+"/"+v.Secret.SecretName] != nil && !optional, w, v.Secret.SecretName)
				for _, item := range v.Secret.Items {
					key(w, v.Secret.SecretName, item.Key)
				}
			}
		}
		for _, c := range w.containers() {
			for _, m := range c.VolumeMounts {
				if !slices.ContainsFunc(w.Pod.Spec.Volumes, func(v corev1.Volume) bool { return v.Name == m.Name }) {
					bad("%s: %s mounts %s, which is no volume", w, c.Name, m.Name)
				}
			}
			for _, e := range c.Env {
				if e.ValueFrom != nil && e.ValueFrom.SecretKeyRef != nil {
					name := e.ValueFrom.SecretKeyRef.Key
					if optional := e.ValueFrom.SecretKeyRef.Optional; optional != nil && *optional { // there while a password is rotated
						name = strings.TrimSuffix(name, credentials.Previous)
					}
					key(w, e.ValueFrom.SecretKeyRef.Name, name)
				}
			}
			for _, e := range c.EnvFrom {
				named("Secret", e.SecretRef != nil && secrets[w.Namespace+"/"+e.SecretRef.Name] != nil, w, fmt.Sprint(e.SecretRef))
			}
		}
	}
	for _, c := range claims {
		if !used["claim "+c.GetName()] {
			bad("claim %s is mounted by nobody", c.GetName())
		}
	}
	for _, c := range maps {
		if !used["map "+c.GetName()] {
			bad("ConfigMap %s is mounted by nobody", c.GetName())
		}
	}
	budgets := map[string]bool{}
	for _, b := range of[*policyv1.PodDisruptionBudget](o) {
		found := matching(b.Namespace, b.Spec.Selector.MatchLabels)
		if len(found) != 1 || len(b.Spec.Selector.MatchLabels) == 0 {
			bad("budget %s covers no workload, or several", b.Name)
			continue
		}
		budgets[found[0].String()] = true
	}
	for _, w := range workloads {
		if w.serves() && !budgets[w.String()] {
			bad("%s has no disruption budget", w)
		}
	}
	for _, h := range of[*autoscalingv2.HorizontalPodAutoscaler](o) {
		i := slices.IndexFunc(workloads, func(w workload) bool {
			return w.Namespace == h.Namespace && w.Kind == h.Spec.ScaleTargetRef.Kind && w.Name == h.Spec.ScaleTargetRef.Name
		})
		if i < 0 {
			bad("autoscaler %s scales nothing", h.Name)
			continue
		}
		for _, r := range o.raw {
			if spec, _ := r.Object["spec"].(map[string]any); r.GetKind() == workloads[i].Kind && r.GetName() == workloads[i].Name && spec["replicas"] != nil {
				bad("%s has replicas although an autoscaler rules", workloads[i])
			}
		}
	}
	return all
}

func metas[T interface {
	metav1.Object
	comparable
}](o overlay) []metav1.Object {
	var all []metav1.Object
	for _, object := range o.objects {
		if one, ok := object.(T); ok {
			all = append(all, one)
		}
	}
	return all
}

// What all pods of the local overlay ask for fits a small machine.
func TestRequests(t *testing.T) {
	var memory, cpu resource.Quantity
	o := overlays(t)[0]
	if o.name != "local" {
		t.Fatalf("the first overlay is %s", o.name)
	}
	for _, w := range o.workloads() {
		for range w.Replicas {
			for _, of := range []struct {
				sum  *resource.Quantity
				name corev1.ResourceName
			}{{&memory, corev1.ResourceMemory}, {&cpu, corev1.ResourceCPU}} {
				// Init containers come one after the other, before the others.
				var together, most resource.Quantity
				for _, c := range w.Pod.Spec.Containers {
					together.Add(c.Resources.Requests[of.name])
				}
				for _, c := range w.Pod.Spec.InitContainers {
					if r := c.Resources.Requests[of.name]; r.Cmp(most) > 0 {
						most = r
					}
				}
				if most.Cmp(together) > 0 {
					together = most
				}
				of.sum.Add(together)
			}
		}
	}
	t.Logf("requests of overlay local: %.2f GiB, %.2f CPU", float64(memory.Value())/(1<<30), float64(cpu.MilliValue())/1000)
	if memory.Cmp(resource.MustParse("8Gi")) > 0 || cpu.Cmp(resource.MustParse("1500m")) > 0 {
		t.Errorf("requests are %s and %s CPU, at most 8Gi and 1500m", memory.String(), cpu.String())
	}
}
