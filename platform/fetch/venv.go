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

// Python is the one that locked requirements are resolved for.
const Python = "python3.11"

// virtualEnvironment makes a package of locked requirements: a virtual
// environment whose program is what bin/NAME runs. The checksum is that of the
// lock, which holds one of each file.
func virtualEnvironment(name, version, lock string, bytes, treeBytes int64) Package {
	sum := sha256.Sum256([]byte(lock))
	hexSum := hex.EncodeToString(sum[:])
	return Package{
		Name: name, Version: version + "-" + hexSum[:8], Client: "pip", SHA256: hexSum,
		Bytes: bytes, TreeBytes: treeBytes, layout: 1, unpack: unpackVirtualEnvironment, lock: lock,
	}
}

// FindPython returns the path of the Python that dbt and notebooks run on, now and later. It
// prefers the distribution's: the servers' account must be able to
// run it, and a version manager's lies in somebody's home folder.
func FindPython() (string, error) {
	if path := "/usr/bin/" + Python; exec.Command(path, "--version").Run() == nil { //nolint:noctx // ends at once
		return path, nil
	}
	return exec.LookPath(Python)
}

// downloadLocked has pip put all files of the lock below work; pip itself
// compares each with its hash.
func downloadLocked(ctx context.Context, work string, pkg Package, t *tracker) (string, error) {
	const fix = "Install both (Debian 12: apt-get install python3 python3-pip), then run again."
	tool, err := FindPython()
	if err != nil {
		return "", &Error{pkg.String(), Python + ", which runs it and whose pip downloads it, is not in PATH", fix, err}
	}
	lock, wheels, temp := filepath.Join(work, lockName), filepath.Join(work, "wheels"), filepath.Join(work, "temp")
	if err := errors.Join(os.Mkdir(wheels, 0o755), os.Mkdir(temp, 0o755), os.WriteFile(lock, []byte(pkg.lock), 0o644)); err != nil {
		return "", wrap(ctx, pkg, "cannot prepare the download", err)
	}
	cmd := exec.CommandContext(ctx, tool, "-m", "pip", "download", "--no-input", "--disable-pip-version-check", "--no-cache-dir",
		"--no-deps", "--only-binary", ":all:", "--require-hashes", "--requirement", lock, "--dest", wheels)
	cmd.Dir = work
	cmd.Env = append(os.Environ(), "TMPDIR="+temp, "PIP_REQUIRE_VIRTUALENV=0")
	out, err := runClient(cmd, t, func() int64 { return total(temp) + total(wheels) })
	switch {
	case ctx.Err() != nil:
		return "", wrap(ctx, pkg, "", ctx.Err())
	case err != nil && strings.Contains(out, "No module named pip"):
		return "", &Error{pkg.String(), tool + " has no pip, which downloads it", fix, err}
	case err != nil && strings.Contains(out, "DO NOT MATCH THE HASHES"):
		return "", &Error{pkg.String(), "a download is corrupted: " + firstLine(out, "ERROR:"), runAgain, err}
	case err != nil:
		return "", clientFailed(pkg, out, firstLine(out, "ERROR:"), t, err)
	}
	return wheels, nil
}

const lockName = "requirements.lock"

// total is the size of all files below dir; files may come and go while it looks.
func total(dir string) int64 {
	var size int64
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			if info, err := d.Info(); err == nil {
				size += info.Size()
			}
		}
		return nil
	})
	return size
}

// unpackVirtualEnvironment installs the downloaded files, and nothing else, into
// a virtual environment.
func unpackVirtualEnvironment(u *unpacker, wheels string) error {
	tool, err := FindPython()
	if err != nil {
		return err
	}
	tree, pkg := u.root.Name(), u.tracker.pkg
	for _, args := range [][]string{
		{"-m", "venv", "--without-pip", tree},
		{"-m", "pip", "--python", filepath.Join(tree, "bin", "python"), "install", "--no-input", "--disable-pip-version-check", "--no-cache-dir",
			"--root-user-action", "ignore", "--no-deps", "--no-index", "--find-links", wheels,
			"--require-hashes", "--requirement", filepath.Join(filepath.Dir(wheels), lockName)},
	} {
		cmd := exec.CommandContext(u.ctx, tool, args...)
		cmd.Dir = filepath.Dir(wheels)
		cmd.Env = append(os.Environ(), "PIP_REQUIRE_VIRTUALENV=0")
		if out, err := runClient(cmd, u.tracker, func() int64 { return 0 }); err != nil {
			return fmt.Errorf("%s: %w", lastLine(out), err)
		}
	}
	// pip's programs name the folder that they were made in, which is about to
	// be renamed; only those that we run stay, and find themselves.
	if err := u.root.RemoveAll("bin"); err != nil {
		return err
	}
	if err := u.folder("bin"); err != nil {
		return err
	}
	for _, name := range []string{"python", "python3", Python} {
		if err := u.root.Symlink(tool, "bin/"+name); err != nil {
			return err
		}
	}
	for name, p := range programs[pkg.Name] {
		program := "#!/bin/sh\n" + p.before +
			"exec \"$(dirname \"$(readlink -f \"$0\")\")/python\" -c \"" + p.code + "\" \"$@\"\n"
		if err := u.file("bin/"+name, 0o755, strings.NewReader(program)); err != nil {
			return err
		}
	}
	// Whatever the umask: as root the servers run under another account.
	return filepath.WalkDir(tree, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir():
			return os.Chmod(path, 0o755)
		case d.Type().IsRegular():
			info, err := d.Info()
			if err != nil {
				return err
			}
			return os.Chmod(path, 0o644|info.Mode()&0o111)
		}
		return nil
	})
}

// A program of a virtual environment: what runs, as shell and as Python.
type program struct{ before, code string }

// programs are those of the virtual environments, by package and name.
var programs = map[string]map[string]program{
	"dbt": {"dbt": {
		// They would win over the authority that the profile names, and Trino's
		// certificate is of the mesh's own.
		before: "unset REQUESTS_CA_BUNDLE CURL_CA_BUNDLE\n",
		// Trino's client tells at each start which optional package it lacks.
		code: "import logging; logging.getLogger('trino.auth').addFilter(lambda r: 'keyring' not in r.msg); " +
			"from dbt.cli.main import cli; cli(prog_name='dbt')",
	}},
	"jupyterhub": {"jupyterhub": {code: "from jupyterhub.app import main; main()"}},
	"notebook": {
		"ipython": {code: "from IPython import start_ipython; start_ipython()"},
		"jupyter": {code: "from jupyter_core.command import main; main()"},
	},
}
