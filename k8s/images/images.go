// Package images writes the mesh's own images as OCI archives, without a container engine.
package images

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Version of the images; the manifests name it.
const Version = "0.1.0"

// An Image is made of static programs alone.
type Image struct {
	Name     string
	Title    string
	Programs []Program
}

// A Program is one or more packages of a module.
type Program struct {
	Module   string // folder below the repository's root
	Packages string // pattern below it
}

// All images that need nothing but the programs in them. The others, which need
// Java, Python or a C library, are built from their Dockerfiles.
var All = []Image{
	{"mesh", "tasks, collector and probe of the mesh", []Program{{"platform", "./cmd/mesh-setup"}, {"platform", "./cmd/mesh-collector"}, {"k8s", "./cmd/mesh-probe"}}},
	{"sales", "Sales API, its migrations and seeder", []Program{{"services/sales", "./cmd/..."}}},
	{"marketing", "marketing ingest, its migrations and seeder", []Program{{"services/marketing", "./cmd/..."}}},
	{"apimetrics", "API metrics logger, its migrations and seeder", []Program{{"services/apimetrics", "./cmd/..."}}},
}

// Platforms that the archives are for.
var Platforms = []v1.Platform{{OS: "linux", Architecture: "amd64"}, {OS: "linux", Architecture: "arm64"}}

// epoch is the time of everything in an image: the same source makes the same bytes.
var epoch = time.Unix(0, 0).UTC()

// user runs the programs; a Pod says the same number.
const user = "65532:65532"

// Write makes the archive of an image in a folder and returns its path. root is
// the root of the repository.
func Write(ctx context.Context, root, folder string, image Image, platforms []v1.Platform) (file string, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("image %s: %w", image.Name, err)
		}
	}()
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, p := range platforms {
		built, err := build(ctx, root, image, p)
		if err != nil {
			return "", err
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: built, Descriptor: v1.Descriptor{Platform: &p}})
	}
	file = filepath.Join(folder, image.Name+"-"+Version+".oci.tar")
	temp := file + ".new"
	f, err := os.Create(temp)
	if err != nil {
		return "", err
	}
	if err := archive(f, index, "docker.io/datameesh/"+image.Name+":"+Version); err != nil {
		_ = f.Close()
		_ = os.Remove(temp)
		return "", err
	}
	if err := f.Close(); err != nil {
		return "", err
	}
	return file, os.Rename(temp, file)
}

func build(ctx context.Context, root string, image Image, platform v1.Platform) (v1.Image, error) {
	bin, err := os.MkdirTemp("", "images-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(bin) }()
	for _, p := range image.Programs {
		cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-tags=nomsgpack", "-ldflags=-s -w", "-o", bin+"/", p.Packages)
		cmd.Dir = filepath.Join(root, p.Module)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off", "GOOS="+platform.OS, "GOARCH="+platform.Architecture)
		if out, err := cmd.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("build %s for %s: %w\n%s", p.Packages, platform.Architecture, err, out)
		}
	}
	files := map[string][]byte{
		"etc/passwd": []byte("root:x:0:0:root:/:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/tmp:/sbin/nologin\n"),
		"etc/group":  []byte("root:x:0:\nnonroot:x:65532:\n"),
	}
	programs, err := os.ReadDir(bin)
	if err != nil {
		return nil, err
	}
	for _, p := range programs {
		if files["bin/"+p.Name()], err = os.ReadFile(filepath.Join(bin, p.Name())); err != nil {
			return nil, err
		}
	}
	text, err := layerTar(files)
	if err != nil {
		return nil, err
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(text)), nil }, tarball.WithMediaType(types.OCILayer))
	if err != nil {
		return nil, err
	}
	built, err := mutate.Append(mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON),
		mutate.Addendum{Layer: layer, History: v1.History{Created: v1.Time{Time: epoch}, CreatedBy: "make images"}})
	if err != nil {
		return nil, err
	}
	return mutate.ConfigFile(built, &v1.ConfigFile{
		Created: v1.Time{Time: epoch}, OS: platform.OS, Architecture: platform.Architecture,
		RootFS: must(built.ConfigFile()).RootFS, History: must(built.ConfigFile()).History,
		Config: v1.Config{
			User: user, WorkingDir: "/", Env: []string{"PATH=/bin", "TZ=UTC"},
			Labels: map[string]string{
				"org.opencontainers.image.title": "DataMeesh " + image.Name, "org.opencontainers.image.description": image.Title,
				"org.opencontainers.image.version": Version, "org.opencontainers.image.licenses": "Apache-2.0",
			},
		},
	})
}

func must(c *v1.ConfigFile, err error) *v1.ConfigFile {
	if err != nil { // it lies in memory
		panic(err)
	}
	return c
}

// layerTar packs programs and small files, with their folders, /tmp among them.
func layerTar(files map[string][]byte) ([]byte, error) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	names := []string{"tmp/"}
	for name := range files {
		names = append(names, name)
		if dir := path.Dir(name) + "/"; !slices.Contains(names, dir) {
			names = append(names, dir)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		h := &tar.Header{Name: name, ModTime: epoch, Mode: 0o755, Format: tar.FormatUSTAR, Typeflag: tar.TypeReg, Size: int64(len(files[name]))}
		switch {
		case name == "tmp/":
			h.Typeflag, h.Mode = tar.TypeDir, 0o1777
		case strings.HasSuffix(name, "/"):
			h.Typeflag = tar.TypeDir
		case strings.HasPrefix(name, "etc/"):
			h.Mode = 0o644
		}
		if err := w.WriteHeader(h); err != nil {
			return nil, err
		}
		if _, err := w.Write(files[name]); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// archive writes an OCI image layout (image-layout.md of the specification) as a
// tar that containerd, podman and skopeo read, and "docker load" from version 25 on.
func archive(to io.Writer, index v1.ImageIndex, name string) error {
	blobs := map[string][]byte{}
	manifest, err := index.IndexManifest()
	if err != nil {
		return err
	}
	for _, d := range manifest.Manifests {
		image, err := index.Image(d.Digest)
		if err != nil {
			return err
		}
		if blobs[d.Digest.Hex], err = image.RawManifest(); err != nil {
			return err
		}
		config, err := image.ConfigName()
		if err != nil {
			return err
		}
		if blobs[config.Hex], err = image.RawConfigFile(); err != nil {
			return err
		}
		layers, err := image.Layers()
		if err != nil {
			return err
		}
		for _, layer := range layers {
			digest, err := layer.Digest()
			if err != nil {
				return err
			}
			content, err := layer.Compressed()
			if err != nil {
				return err
			}
			if blobs[digest.Hex], err = io.ReadAll(content); err != nil {
				return err
			}
			if err := content.Close(); err != nil {
				return err
			}
		}
	}
	raw, err := index.RawManifest()
	if err != nil {
		return err
	}
	digest, err := index.Digest()
	if err != nil {
		return err
	}
	blobs[digest.Hex] = raw
	top, err := json.Marshal(v1.IndexManifest{SchemaVersion: 2, MediaType: types.OCIImageIndex, Manifests: []v1.Descriptor{{
		MediaType: types.OCIImageIndex, Digest: digest, Size: int64(len(raw)),
		Annotations: map[string]string{"io.containerd.image.name": name, "org.opencontainers.image.ref.name": Version},
	}}})
	if err != nil {
		return err
	}
	files := map[string][]byte{"oci-layout": []byte(`{"imageLayoutVersion":"1.0.0"}`), "index.json": top}
	for hex, blob := range blobs {
		files["blobs/sha256/"+hex] = blob
	}
	names := make([]string, 0, len(files))
	for n := range files {
		names = append(names, n)
	}
	slices.Sort(names)
	w := tar.NewWriter(to)
	for _, n := range names {
		if err := w.WriteHeader(&tar.Header{Name: n, Mode: 0o644, Size: int64(len(files[n])), ModTime: epoch, Format: tar.FormatUSTAR, Typeflag: tar.TypeReg}); err != nil {
			return err
		}
		if _, err := w.Write(files[n]); err != nil {
			return err
		}
	}
	return w.Close()
}
