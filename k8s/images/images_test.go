package images

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
)

const root = "../.."

// The smallest program stands for all: an archive is the same bytes when it is
// made again, holds what it should and nothing else, and runs as nobody special.
func TestArchive(t *testing.T) {
	image := Image{"probe", "a test's", []Program{{"k8s", "./cmd/mesh-probe"}}}
	var archives [2][]byte
	for i := range archives {
		file, err := Write(t.Context(), root, t.TempDir(), image, Platforms)
		if err != nil {
			t.Fatal(err)
		}
		if archives[i], err = os.ReadFile(file); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(archives[0], archives[1]) {
		t.Error("the second archive differs from the first")
	}
	dir := t.TempDir()
	unpack(t, archives[0], dir)
	index, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		t.Fatal(err)
	}
	top, err := index.IndexManifest()
	if err != nil || len(top.Manifests) != 1 || top.Manifests[0].Annotations["io.containerd.image.name"] != "docker.io/datameesh/probe:"+Version {
		t.Fatalf("index %+v, %v", top, err)
	}
	inner, err := index.ImageIndex(top.Manifests[0].Digest)
	if err != nil {
		t.Fatal(err)
	}
	list, err := inner.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	var platforms []string
	for _, m := range list.Manifests {
		platforms = append(platforms, m.Platform.String())
		built, err := inner.Image(m.Digest)
		if err != nil {
			t.Fatal(err)
		}
		check(t, built, m.Platform.Architecture)
	}
	if !slices.Equal(platforms, []string{"linux/amd64", "linux/arm64"}) {
		t.Errorf("platforms %v", platforms)
	}
}

func check(t *testing.T, image v1.Image, architecture string) {
	t.Helper()
	config, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	if config.Architecture != architecture || config.Config.User != "65532:65532" || config.Config.Labels["org.opencontainers.image.version"] != Version {
		t.Errorf("config %+v", config)
	}
	layers, err := image.Layers()
	if err != nil || len(layers) != 1 {
		t.Fatalf("%d layers, %v", len(layers), err)
	}
	content, err := layers[0].Uncompressed()
	if err != nil {
		t.Fatal(err)
	}
	defer content.Close()
	var names []string
	for r := tar.NewReader(content); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, h.Name)
		if h.Uid != 0 || !h.ModTime.Equal(epoch) {
			t.Errorf("%s belongs to %d, of %s", h.Name, h.Uid, h.ModTime)
		}
	}
	if want := []string{"bin/", "bin/mesh-probe", "etc/", "etc/group", "etc/passwd", "tmp/"}; !slices.Equal(names, want) {
		t.Errorf("holds %v, want %v", names, want)
	}
}

func unpack(t *testing.T, archive []byte, dir string) {
	t.Helper()
	for r := tar.NewReader(bytes.NewReader(archive)); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, h.Name)
		text, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// Every image of ours that a manifest names has a way to be made, at this version.
func TestImagesOfTheManifests(t *testing.T) {
	text, err := os.ReadFile("../check/testdata/local.yaml")
	if err != nil {
		t.Fatal(err)
	}
	made := map[string]bool{}
	for _, i := range All {
		made[i.Name] = true
	}
	var named []string
	for _, m := range regexp.MustCompile(`image: datameesh/(\S+):(\S+)`).FindAllStringSubmatch(string(text), -1) {
		if m[2] != Version {
			t.Errorf("%s is named with %s, made is %s", m[1], m[2], Version)
		}
		if !slices.Contains(named, m[1]) {
			named = append(named, m[1])
		}
		if _, err := os.Stat(m[1] + ".Dockerfile"); err != nil && !made[m[1]] {
			t.Errorf("nothing makes the image %s", m[1])
		}
	}
	if len(named) < 7 {
		t.Errorf("only %v are named", named)
	}
}

// Every Dockerfile can be built on other bases, runs as a number that is not
// root's, and says what it is.
func TestDockerfiles(t *testing.T) {
	files, err := filepath.Glob("*.Dockerfile")
	if err != nil || len(files) < 4 {
		t.Fatalf("%d Dockerfiles, %v", len(files), err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`(?m)^FROM (?:--platform=\S+ )?(\S+)`).FindAllStringSubmatch(string(text), -1) {
			name := strings.TrimSuffix(strings.TrimPrefix(m[1], "${"), "}")
			if name == m[1] || !strings.Contains(string(text), "\nARG "+name+"=") {
				t.Errorf("%s: FROM %s cannot be replaced", file, m[1])
			}
		}
		for _, want := range []string{"org.opencontainers.image.title=", `org.opencontainers.image.version="` + Version + `"`} {
			if !strings.Contains(string(text), want) {
				t.Errorf("%s lacks %s", file, want)
			}
		}
		if user := regexp.MustCompile(`(?m)^USER ([1-9]\d*:[1-9]\d*)$`).FindAllString(string(text), -1); len(user) != 1 {
			t.Errorf("%s: its last user is no number, or root: %v", file, user)
		}
		if strings.Contains(string(text), ":latest") {
			t.Errorf("%s takes what is latest", file)
		}
	}
}
