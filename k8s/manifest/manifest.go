// Package manifest renders the overlays of k8s as kubectl does.
package manifest

import (
	"fmt"
	"path/filepath"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

// Render builds the overlay in a folder, with the options of a plain "kubectl
// kustomize": no plugins, no files above a kustomization's own folder. text is
// the YAML, objects are its documents.
func Render(dir string) (text []byte, objects []*unstructured.Unstructured, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("render %s: %w", filepath.ToSlash(dir), err)
		}
	}()
	options := krusty.MakeDefaultOptions()
	options.Reorder = krusty.ReorderOptionLegacy // as kubectl: namespaces first
	resources, err := krusty.MakeKustomizer(options).Run(filesys.MakeFsOnDisk(), dir)
	if err != nil {
		return nil, nil, err
	}
	for _, r := range resources.Resources() {
		document, err := r.AsYAML()
		if err != nil {
			return nil, nil, err
		}
		asJSON, err := yaml.YAMLToJSON(document)
		if err != nil {
			return nil, nil, err
		}
		object := &unstructured.Unstructured{}
		if err := object.UnmarshalJSON(asJSON); err != nil {
			return nil, nil, err
		}
		objects = append(objects, object)
	}
	text, err = resources.AsYaml()
	return text, objects, err
}
