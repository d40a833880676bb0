package cluster

import (
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
)

func fromUnstructured(o *unstructured.Unstructured, to any) error {
	return runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, to)
}

// own is the prefix of images that the mesh makes itself.
const own = "datameesh/"

// imagesOf are the mesh's own images that the objects name.
func imagesOf(objects []*unstructured.Unstructured) []string {
	var all []string
	var look func(any)
	look = func(v any) {
		switch x := v.(type) {
		case map[string]any:
			for key, value := range x {
				if name, ok := value.(string); ok && key == "image" && strings.HasPrefix(name, own) && !slices.Contains(all, name) {
					all = append(all, name)
				}
				look(value)
			}
		case []any:
			for _, value := range x {
				look(value)
			}
		}
	}
	for _, o := range objects {
		look(o.Object)
	}
	slices.Sort(all)
	return all
}
