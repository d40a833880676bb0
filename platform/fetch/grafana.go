package fetch

import (
	"archive/tar"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// GrafanaVersion is the release that GrafanaURL names: of those whose dashboards have
// the schema that the Foundation SDK writes, the newest.
const GrafanaVersion = "12.4.11"

// GrafanaURL is where Grafana's makers publish that release, with its SHA-256 beside it.
const GrafanaURL = "https://dl.grafana.com/oss/release/grafana-" + GrafanaVersion + ".linux-amd64.tar.gz"

// Environment variables that change what Grafana downloads.
const (
	GrafanaURLVariable = "MEESH_GRAFANA_URL"    // address of another tar.gz
	GrafanaSumVariable = "MEESH_GRAFANA_SHA256" // its checksum, in place of the published one
)

// GrafanaFix is what to do when Grafana cannot be had.
const GrafanaFix = "Check the network and the proxy (HTTPS_PROXY), or name a copy of the release: " + GrafanaURLVariable +
	"=https://…/grafana-" + GrafanaVersion + ".linux-amd64.tar.gz, or unpack one by hand and name its folder: GRAFANA_HOME. Then run again."

// Grafana returns the folder of a Grafana server, which holds bin, conf and public,
// fetching it when the cache does not hold it. It comes from address, or from
// GrafanaURL when that is empty, and must have the checksum sum, or when that is
// empty the one in the file address.sha256. Errors are of type *Error, or the context's.
func Grafana(ctx context.Context, cacheDir, address, sum string, p Progress) (string, error) {
	if address == "" {
		address = GrafanaURL
	}
	pkg := Package{Name: "grafana", Client: "http", Coordinates: address, SHA256: strings.ToLower(sum), layout: 1, unpack: unpackGrafana, fix: GrafanaFix,
		Bytes: 230_000_000, TreeBytes: 900_000_000} // about
	u, err := url.Parse(address)
	version := regexp.MustCompile(`\d+\.\d+\.\d+`).FindString(path.Base(address))
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || version == "" {
		return "", &Error{"grafana", fmt.Sprintf("%q is no address of a release such as %s", address, GrafanaURL), "Mend or unset " + GrafanaURLVariable + ".", err}
	}
	pkg.Version = version
	switch {
	case sum == "":
		if pkg.SHA256, err = publishedSum(ctx, address+".sha256"); ctx.Err() != nil {
			return "", wrap(ctx, pkg, "", ctx.Err())
		} else if err != nil {
			return "", &Error{pkg.String(), "its checksum cannot be had", GrafanaFix + " " + GrafanaSumVariable + " names a checksum that is not published there.", err}
		}
	case !isSum(pkg.SHA256):
		return "", &Error{pkg.String(), fmt.Sprintf("%q is no SHA-256 sum", sum), "Write 64 hexadecimal digits into " + GrafanaSumVariable + ", or unset it.", nil}
	}
	return newFetcher(cacheDir, p).ensure(ctx, pkg)
}

func isSum(text string) bool {
	raw, err := hex.DecodeString(text)
	return err == nil && len(raw) == 32
}

// InstalledGrafana lists the folders of the Grafana servers that the cache holds
// completely, the newest version first.
func InstalledGrafana(cacheDir string) []string {
	folders, _ := filepath.Glob(filepath.Join(cacheDir, "grafana-*")) // the pattern is right
	folders = slices.DeleteFunc(folders, func(dir string) bool { _, err := intact(dir); return err != nil })
	slices.SortFunc(folders, func(a, b string) int { return slices.Compare(numbers(b), numbers(a)) })
	return folders
}

// numbers are those in the name of a folder.
func numbers(dir string) []int {
	var all []int
	for _, digits := range regexp.MustCompile(`\d+`).FindAllString(filepath.Base(dir), -1) {
		n, _ := strconv.Atoi(digits) // digits only
		all = append(all, n)
	}
	return all
}

// unpackGrafana leaves out what the server does not need: documents, and the maps
// of its pages' source, which are most of the archive.
func unpackGrafana(u *unpacker, file string) error {
	info, err := os.Stat(file)
	if err != nil {
		return err
	}
	u.tracker.step(Unpacking, info.Size(), "")
	err = u.eachOfTarGz(file, func(name string, h *tar.Header, r io.Reader) error {
		if strings.HasPrefix(name, "docs/") || strings.HasSuffix(name, ".map") {
			return nil
		}
		switch h.Typeflag {
		case tar.TypeReg:
			return u.file(name, h.FileInfo().Mode(), r)
		case tar.TypeSymlink:
			return u.symlink(h.Linkname, name)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, needed := range []string{"conf/defaults.ini", "public", "bin"} {
		if _, err := u.root.Stat(needed); errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%s is no release of Grafana: it lacks %s", filepath.Base(file), needed)
		}
	}
	return nil
}
