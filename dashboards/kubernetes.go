package main

// A kustomization makes ConfigMaps of the files beside it; k8s/platform lists the
// folder that they lie in.
type kustomization struct {
	APIVersion string      `json:"apiVersion"`
	Kind       string      `json:"kind"`
	Namespace  string      `json:"namespace"`
	Generator  []configMap `json:"configMapGenerator"`
}

type configMap struct {
	Name  string   `json:"name"`
	Files []string `json:"files"`
}

// configMaps are one for each dashboard, since a ConfigMap holds a megabyte, and
// one for each folder of what provisions them.
func configMaps() kustomization {
	k := kustomization{"kustomize.config.k8s.io/v1beta1", "Kustomization", "data-platform", []configMap{
		{"grafana-datasources", []string{"provisioning/datasources/datameesh.yaml"}},
		{"grafana-folders", []string{"provisioning/dashboards/datameesh.yaml"}},
		{"grafana-alerting", []string{"provisioning/alerting/rules.json", "provisioning/alerting/notifications.json"}},
	}}
	for _, p := range dashboards {
		k.Generator = append(k.Generator, configMap{"dashboard-" + p.UID, []string{"dashboards/" + p.Folder.UID + "/" + p.UID + ".json"}})
	}
	return k
}
