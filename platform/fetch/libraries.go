package fetch

import (
	"bytes"
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"text/template"
)

// A library is one jar of a package that consists of several.
type library struct {
	SHA256                   string
	Bytes                    int64
	Group, Artifact, Version string
}

func (l library) file() string { return l.Artifact + "-" + l.Version + ".jar" }

// librariesText lists the jars, one a line: SHA-256, bytes,
// group:artifact:version. It is complete: what a jar depends on stands in it.
//
//go:embed libraries.txt
var librariesText string

// librarySet makes a package of a list of jars. A mistake in the list, which
// is part of the program, is found by any test.
func librarySet(name, version, list string) Package {
	sum := sha256.Sum256([]byte(list))
	pkg := Package{
		Name: name, Version: version, Client: "mvn", SHA256: hex.EncodeToString(sum[:]),
		layout: 1, unpack: unpackSet,
	}
	for line := range strings.Lines(list) {
		field := strings.Fields(line)
		c := strings.Split(field[2], ":")
		size, err := strconv.ParseInt(field[1], 10, 64)
		if err != nil {
			panic("fetch: list of " + name + ": " + err.Error())
		}
		pkg.set = append(pkg.set, library{field[0], size, c[0], c[1], c[2]})
		pkg.Bytes += size
	}
	pkg.TreeBytes = 2*pkg.Bytes + 1_000_000 // they lie in Maven's repository first
	return pkg
}

// project has Maven take each jar alone: what depends on what is decided in the
// list, not by the registry.
var project = template.Must(template.New("pom.xml").Parse(`<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>datameesh</groupId><artifactId>libraries</artifactId><version>1</version><packaging>pom</packaging>
  <dependencies>
{{- range .}}
    <dependency>
      <groupId>{{.Group}}</groupId><artifactId>{{.Artifact}}</artifactId><version>{{.Version}}</version>
      <exclusions><exclusion><groupId>*</groupId><artifactId>*</artifactId></exclusion></exclusions>
    </dependency>
{{- end}}
  </dependencies>
</project>
`))

// downloadSet has mvn put all jars of the package into one folder below work.
func downloadSet(ctx context.Context, work string, pkg Package, t *tracker) (string, error) {
	var pom bytes.Buffer
	if err := project.Execute(&pom, pkg.set); err != nil {
		return "", err
	}
	if err := os.WriteFile(filepath.Join(work, "pom.xml"), pom.Bytes(), 0o644); err != nil {
		return "", wrap(ctx, pkg, "cannot write what mvn reads", err)
	}
	repo, jars := filepath.Join(work, "repository"), filepath.Join(work, "jars")
	wanted := map[string]bool{}
	for _, l := range pkg.set {
		wanted[l.file()] = true
	}
	err := runMaven(ctx, work, repo, pkg, t,
		func() int64 { return sizeOf(repo, wanted) },
		mavenDependencyPlugin+":copy-dependencies", "-DoutputDirectory="+jars)
	return jars, err
}

// sizeOf is the size of all files below dir that have one of the names; files
// may come and go while it looks.
func sizeOf(dir string, names map[string]bool) int64 {
	var size int64
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err == nil && names[d.Name()] {
			if info, err := d.Info(); err == nil {
				size += info.Size()
			}
		}
		return nil
	})
	return size
}

// verifySet compares each jar with the list. A jar that is not in the list is
// never unpacked, so it needs no refusal.
func verifySet(ctx context.Context, dir string, pkg Package, t *tracker) error {
	for _, l := range pkg.set {
		file := filepath.Join(dir, l.file())
		sum, err := checksum(ctx, file, t)
		if errors.Is(err, fs.ErrNotExist) {
			return &Error{pkg.String(), fmt.Sprintf("mvn says it is done, but %s is not there", l.file()), runAgain, nil}
		}
		if err != nil {
			return wrap(ctx, pkg, "cannot read the download", err)
		}
		if sum != l.SHA256 {
			return discard(file, &Error{pkg.String(),
				fmt.Sprintf("%s is corrupted: expected sha256 %s, found %s; it was deleted", l.file(), l.SHA256, sum), runAgain, nil})
		}
	}
	return nil
}

// unpackSet copies the jars of the list.
func unpackSet(u *unpacker, dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	listed := map[string]bool{}
	for _, l := range u.tracker.pkg.set {
		listed[l.file()] = true
	}
	u.tracker.step(Unpacking, u.tracker.pkg.Bytes, "")
	for _, e := range entries {
		if !listed[e.Name()] {
			continue
		}
		if err := u.copy(filepath.Join(dir, e.Name()), e.Name(), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// copy copies a file into the tree.
func (u *unpacker) copy(from, name string, mode fs.FileMode) (err error) {
	f, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return u.file(name, mode, watched{u.ctx, f, u.tracker})
}
