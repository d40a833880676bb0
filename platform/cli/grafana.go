package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/datameesh/datameesh/platform/account"
	"github.com/datameesh/datameesh/platform/fetch"
	"github.com/datameesh/datameesh/platform/grafana"
	"github.com/datameesh/datameesh/platform/local"
	"github.com/datameesh/datameesh/platform/preflight"
	"github.com/datameesh/datameesh/platform/state"
)

func newGrafanaCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "grafana",
		Short: "Install the Grafana that shows the dashboards",
		Args:  args(cobra.NoArgs),
		RunE:  func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(newGrafanaInstallCommand())
	return c
}

func newGrafanaInstallCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "install",
		Short: "Download Grafana " + fetch.GrafanaVersion + " into the cache",
		Long: fmt.Sprintf(`Downloads the release of Grafana that the dashboards are made for, verifies it
against the SHA-256 published beside it, and unpacks it into the cache; the next
"meesh up" starts it. A download that was cut off is continued.

It is no part of "meesh up", because it comes from no package registry.
"meesh up" takes any Grafana from %s on: that in $%s, an installed one, one
in PATH, or one where packages put it.

  %s     another address of the .tar.gz
  %s  its SHA-256, in place of the one published beside it

From: %s`, grafana.Oldest, grafana.HomeVariable, fetch.GrafanaURLVariable, fetch.GrafanaSumVariable, fetch.GrafanaURL),
		Args: args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			cache, err := fetch.CacheDir()
			if err != nil {
				return err
			}
			view := newDisplay(os.Stderr)
			dir, err := fetch.Grafana(c.Context(), cache, os.Getenv(fetch.GrafanaURLVariable), os.Getenv(fetch.GrafanaSumVariable), view.Fetch)
			view.Close()
			if c.Context().Err() != nil {
				return c.Context().Err()
			}
			if err != nil {
				return &exitError{exitUnreachable, err}
			}
			say(c.OutOrStdout(), "%s", dir)
			say(os.Stderr, "Grafana is installed. Next: %s up", self())
			return nil
		},
	}
}

// noGrafana says what to do without one.
func noGrafana() string {
	return fmt.Sprintf("No Grafana: the built-in viewer shows the dashboards, to read and print. With one also to explore, and alerts: %[1]s grafana install, or %[2]s=FOLDER of one that is here; then %[1]s up", self(), grafana.HomeVariable)
}

// lookForGrafana finds the Grafana that the mesh would run. The one that it ran
// before is among the candidates, so that the variable need not be set each time.
func lookForGrafana(ctx context.Context, before *state.Grafana, cache string) (grafana.Installation, error) {
	candidates := fetch.InstalledGrafana(cache)
	if before != nil {
		candidates = append(candidates, before.Home)
	}
	return grafana.Find(ctx, candidates...)
}

// checkGrafana only warns: without one everything else runs.
func checkGrafana(ctx context.Context, m state.Mesh, cache string) preflight.Check {
	c := preflight.Check{Name: "Grafana", Warning: true}
	found, err := lookForGrafana(ctx, m.Tools.Grafana, cache)
	switch {
	case errors.Is(err, grafana.ErrNone):
		c.Found, c.Fix = "none; the built-in viewer shows the dashboards, nothing sends alerts", fmt.Sprintf("Run: %s grafana install, or name one that is here: %s=FOLDER.", self(), grafana.HomeVariable)
	case err != nil: // "up" refuses it
		c.Found, c.Warning, c.Fix = err.Error(), false, "Mend or unset "+grafana.HomeVariable+"."
	default:
		return preflight.Check{Name: c.Name, OK: true, Found: found.Version + " in " + found.Home}
	}
	return c
}

// findGrafana notes which Grafana the mesh runs, none when there is none, and
// copies the dashboards to where its account reads them: the built-in viewer shows
// them also without a Grafana.
func (u *upRun) findGrafana(ctx context.Context, cache string, a account.Account) error {
	before := u.mesh.Tools.Grafana
	u.mesh.Tools.Grafana = nil
	if !u.mesh.Lake() {
		return nil
	}
	sourceType := grafana.Installation{Version: fetch.GrafanaVersion}.SourceType()
	found, err := lookForGrafana(ctx, before, cache)
	switch {
	case errors.Is(err, grafana.ErrNone):
	case err != nil:
		return err
	default:
		if err := a.Reach(ctx, found.Home); err != nil {
			u.view.Line("Note: Grafana %s in %s cannot be run by the servers' account: %v", found.Version, found.Home, err)
			break
		}
		u.mesh.Tools.Grafana = &state.Grafana{Home: found.Home, Program: found.Program, Version: found.Version}
		sourceType = found.SourceType()
	}
	programs, err := programFolder()
	if err != nil || programs == u.dir.Bin() { // nothing to copy
		return err
	}
	from := filepath.Join(filepath.Dir(programs), "dashboards", "json")
	err = grafana.CopyDashboards(u.dir.Dashboards(), from, sourceType)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w; meesh must lie in the folder bin of a clone", err)
	}
	return err
}

// newGrafanaPeopleCommand is what the supervisor runs when Grafana serves.
func newGrafanaPeopleCommand() *cobra.Command {
	return &cobra.Command{
		Use:    "grafana-people",
		Short:  "Make the people of the mesh known to Grafana",
		Hidden: true,
		Args:   args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			m, err := openMesh()
			if err != nil {
				return err
			}
			admin, err := local.GrafanaAdmin(m.mesh, m.secrets)
			if err != nil {
				return err
			}
			people, gone, err := local.GrafanaPeople(m.secrets)
			if err != nil {
				return err
			}
			changes, err := grafana.SetUp(c.Context(), admin, people, gone)
			for _, change := range changes {
				say(c.ErrOrStderr(), "%s", change)
			}
			return err
		},
	}
}
