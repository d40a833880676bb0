// Package manifest renders the overlays of k8s as kubectl does.
package manifest

import (
	"bytes"
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
	if text, err = resources.AsYaml(); err != nil {
		return nil, nil, err
	}
	objects, err = Read(text)
	return text, objects, err
}

// Read gives the documents of what Render made.
func Read(text []byte) (objects []*unstructured.Unstructured, err error) {
	for document := range bytes.SplitSeq(text, []byte("\n---\n")) {
		asJSON, err := yaml.YAMLToJSON(document)
		if err != nil {
			return nil, err
		}
		object := &unstructured.Unstructured{}
		if err := object.UnmarshalJSON(asJSON); err != nil {
			return nil, err
		}
		objects = append(objects, object)
	}
	return objects, nil
}
