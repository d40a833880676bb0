package fetch

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// nodePackage makes a package of one program from npm. The checksum is that of
// package-lock.json, which holds one of each file.
func nodePackage(name, version, manifest, lock string, bytes, treeBytes int64) Package {
	sum := sha256.Sum256([]byte(manifest + lock))
	hexSum := hex.EncodeToString(sum[:])
	return Package{
		Name: name, Version: version + "-" + hexSum[:8], Client: "npm", SHA256: hexSum,
		Bytes: bytes, TreeBytes: treeBytes, layout: 1, unpack: unpackNode, manifest: manifest, lock: lock,
	}
}

// findNode returns the path of the Node that programs from npm run on.
func findNode() (string, error) {
	if path := "/usr/bin/node"; exec.Command(path, "--version").Run() == nil { //nolint:noctx // ends at once
		return path, nil // a version manager's lies in somebody's home folder
	}
	return exec.LookPath("node")
}

// installByNPM has npm put what the lock names into a folder below work; npm
// compares each file with its hash.
func installByNPM(ctx context.Context, work string, pkg Package, t *tracker) (string, error) {
	const fix = "Install Node 20 or newer with npm (Debian 12: apt-get install nodejs npm), then run again."
	tool, err := exec.LookPath("npm")
	if err != nil {
		return "", &Error{pkg.String(), "npm, which downloads it, is not in PATH", fix, err}
	}
	if _, err := findNode(); err != nil {
		return "", &Error{pkg.String(), "node, which runs it, is not in PATH", fix, err}
	}
	folder := filepath.Join(work, "node")
	if err := errors.Join(
		os.Mkdir(folder, 0o755),
		os.WriteFile(filepath.Join(folder, "package.json"), []byte(pkg.manifest), 0o644),
		os.WriteFile(filepath.Join(folder, "package-lock.json"), []byte(pkg.lock), 0o644),
	); err != nil {
		return "", wrap(ctx, pkg, "cannot prepare the download", err)
	}
	// Scripts of packages have no business here.
	cmd := exec.CommandContext(ctx, tool, "ci", "--ignore-scripts", "--omit=dev", "--no-audit", "--no-fund", "--loglevel=error")
	cmd.Dir = folder
	out, err := runClient(cmd, t, func() int64 { return total(folder) })
	switch {
	case ctx.Err() != nil:
		return "", wrap(ctx, pkg, "", ctx.Err())
	case err != nil && strings.Contains(out, "EINTEGRITY"):
		return "", &Error{pkg.String(), "a download is corrupted: " + firstLine(out, "npm error"), "Clear npm's cache (npm cache clean --force), then run again.", err}
	case err != nil:
		return "", clientFailed(pkg, out, firstLine(out, "npm error"), t, err)
	}
	return folder, nil
}

// unpackNode takes over what npm installed, and adds a program that finds itself.
func unpackNode(u *unpacker, folder string) error {
	node, err := findNode()
	if err != nil {
		return err
	}
	name := u.tracker.pkg.Name
	main := filepath.Join("node_modules", name, "bin", name)
	if _, err := os.Stat(filepath.Join(folder, main)); err != nil {
		return fmt.Errorf("npm installed no program: %w", err)
	}
	err = filepath.WalkDir(filepath.Join(folder, "node_modules"), func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(folder, path)
		switch {
		case err != nil:
			return err
		case d.Name() == ".bin":
			return fs.SkipDir // links to programs, which are not called by these names
		case d.IsDir():
			return u.folder(rel)
		case d.Type().IsRegular():
			return u.copy(path, rel, 0o644)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := u.folder("bin"); err != nil {
		return err
	}
	program := "#!/bin/sh\nexec " + node + " \"$(dirname \"$(readlink -f \"$0\")\")/../" + main + "\" \"$@\"\n"
	return u.file("bin/"+name, 0o755, strings.NewReader(program))
}
