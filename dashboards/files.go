package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
)

// files are contents by path.
type files map[string][]byte

// generate makes all files. JSON is YAML, so the files that Grafana wants to
// end in .yaml hold JSON.
func generate() (files, error) {
	result := files{}
	add := func(path string, content any) error {
		var text bytes.Buffer
		encoder := json.NewEncoder(&text)
		encoder.SetEscapeHTML(false) // SQL stays readable
		encoder.SetIndent("", "  ")
		if err := encoder.Encode(content); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		result[path] = text.Bytes()
		return nil
	}
	rules, err := provisionRules()
	if err != nil {
		return nil, err
	}
	err = errors.Join(
		add("provisioning/datasources/datameesh.yaml", provisionSources()),
		add("provisioning/dashboards/datameesh.yaml", provisionProviders()),
		add("provisioning/alerting/rules.json", rules),
		add("provisioning/alerting/notifications.json", provisionNotifications()),
		add("kustomization.yaml", configMaps()),
	)
	if err != nil {
		return nil, err
	}
	for _, p := range dashboards {
		model, err := p.build()
		if err != nil {
			return nil, err
		}
		if err := add("dashboards/"+p.Folder.UID+"/"+p.UID+".json", model); err != nil {
			return nil, err
		}
	}
	return result, nil
}

func (f files) write(folder string) error {
	old, err := read(folder)
	if err != nil {
		return err
	}
	for path := range old {
		if _, stays := f[path]; !stays {
			if err := os.Remove(filepath.Join(folder, path)); err != nil {
				return err
			}
		}
	}
	for path, content := range f {
		name := filepath.Join(folder, path)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(name, content, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// read gives the files below the folder; none when it is not there.
func read(folder string) (files, error) {
	result := files{}
	err := filepath.WalkDir(folder, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		path, err := filepath.Rel(folder, name)
		if err != nil {
			return err
		}
		result[filepath.ToSlash(path)], err = os.ReadFile(name)
		return err
	})
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return result, err
}

// compare says in words how the files of the folder differ.
func (f files) compare(folder string) ([]string, error) {
	old, err := read(folder)
	if err != nil {
		return nil, err
	}
	var words []string
	all := maps.Clone(old)
	maps.Copy(all, f)
	for _, path := range slices.Sorted(maps.Keys(all)) {
		switch {
		case old[path] == nil:
			words = append(words, path+" is missing")
		case f[path] == nil:
			words = append(words, path+" is not of the code's making")
		case !bytes.Equal(old[path], f[path]):
			list, err := difference(old[path], f[path])
			if err != nil {
				return nil, fmt.Errorf("%s: %w", path, err)
			}
			for _, l := range list {
				words = append(words, path+": "+l)
			}
		}
	}
	return words, nil
}

// difference says what changes from one JSON text to the other.
func difference(before, after []byte) ([]string, error) {
	var a, b any
	if err := json.Unmarshal(before, &a); err != nil {
		return nil, err
	}
	if err := json.Unmarshal(after, &b); err != nil {
		return nil, err
	}
	var words []string
	walk(nil, a, b, func(place []string, from, to any) {
		words = append(words, fmt.Sprintf("%s: %s → %s", strings.Join(place, " "), short(from), short(to)))
	})
	if len(words) == 0 {
		words = append(words, "only the layout of the text differs")
	}
	return words, nil
}

func walk(place []string, a, b any, differs func([]string, any, any)) {
	switch x := a.(type) {
	case map[string]any:
		y, same := b.(map[string]any)
		if !same {
			break
		}
		all := maps.Clone(x)
		maps.Copy(all, y)
		for _, key := range slices.Sorted(maps.Keys(all)) {
			walk(slices.Concat(place, []string{key}), x[key], y[key], differs)
		}
		return
	case []any:
		y, same := b.([]any)
		if !same {
			break
		}
		// Elements with names are compared by these: one that comes or goes says
		// nothing about those after it.
		for _, pair := range align(x, y) {
			walk(slices.Concat(place, []string{pair.name}), pair.before, pair.after, differs)
		}
		return
	}
	if fmt.Sprint(a) != fmt.Sprint(b) {
		differs(place, a, b)
	}
}

// A pair is an element of two lists; nil in the list that lacks it.
type pair struct {
	name          string
	before, after any
}

func align(before, after []any) []pair {
	var list []pair
	place := map[string]int{}
	for i, n := range names(before) {
		place[n] = len(list)
		list = append(list, pair{name: n, before: before[i]})
	}
	for i, n := range names(after) {
		if at, both := place[n]; both {
			list[at].after = after[i]
			continue
		}
		list = append(list, pair{name: n, after: after[i]})
	}
	return list
}

// names gives each element a name of its own.
func names(list []any) []string {
	all, seen := make([]string, len(list)), map[string]int{}
	for i, one := range list {
		all[i] = name(one, i)
		seen[all[i]]++
		if n := seen[all[i]]; n > 1 {
			all[i] += fmt.Sprintf(" (%d)", n)
		}
	}
	return all
}

// name is how people call an element of a list: by its title or name, else by
// its place.
func name(one any, i int) string {
	m, _ := one.(map[string]any) // nil has no keys
	for _, key := range []string{"title", "name", "uid", "refId"} {
		if text, named := m[key].(string); named && text != "" {
			return fmt.Sprintf("%q", text)
		}
	}
	return fmt.Sprint(i + 1)
}

func short(value any) string {
	if value == nil {
		return "nothing"
	}
	text := []rune(fmt.Sprint(value))
	if len(text) > 80 {
		return string(text[:77]) + "…"
	}
	return string(text)
}

func writeList(out io.Writer) {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "DASHBOARD\tFOLDER\tPANELS\tQUERIES\tVARIABLES\tALERTS")
	var panels, queries, variables, rules int
	for _, p := range dashboards {
		n, a := len(p.panels()), 0
		for _, one := range alerts {
			if one.Page == p.UID {
				a++
			}
		}
		q := n + len(p.Variables) + a
		fmt.Fprintf(table, "%s\t%s\t%d\t%d\t%d\t%d\n", p.Title, p.Folder.Title, n, q, len(p.Variables), a)
		panels, queries, variables, rules = panels+n, queries+q, variables+len(p.Variables), rules+a
	}
	fmt.Fprintf(table, "%d dashboards\t\t%d\t%d\t%d\t%d\n", len(dashboards), panels, queries, variables, rules)
	table.Flush() //nolint:errcheck // as with fmt.Fprint
}
