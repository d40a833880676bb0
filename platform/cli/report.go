package cli

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/datameesh/datameesh/platform/local"
	"github.com/datameesh/datameesh/platform/render"
	"github.com/datameesh/datameesh/platform/report"
	"github.com/datameesh/datameesh/platform/topology"
)

// reportFormats that a report is written in.
var reportFormats = []string{"pdf", "html", "png", "csv"}

func newReportCommand() *cobra.Command {
	var (
		format, out, panel string
		asked              report.Request
		chosen, mail       []string
	)
	cmd := &cobra.Command{
		Use:   "report NAME",
		Short: "Print a dashboard: PDF, HTML, PNG or CSV; or mail it",
		Long: `Run the queries of a dashboard and write what they give as a report: A4 with
vector charts, page numbers, how fresh the data is, and where it is from. NAME is
the name of a dashboard or its beginning, e.g. executive; without NAME all are
listed. No browser and no Grafana is needed.

The mesh mails reports every Monday while it runs; those of --mail go to the
mailbox too, which sends nothing on.`,
		Example: `  meesh report executive --out executive.pdf
  meesh report sales-performance --from 2026-01-01 --to 2026-03-31 --var region=EMEA --format html
  meesh report marketing --format csv --panel Campaigns --out -
  meesh report executive --mail emma`,
		Args: args(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, given []string) error {
			if !slices.Contains(reportFormats, format) {
				return usageError(cmd, fmt.Errorf("unknown format %q; choose one of %s", format, strings.Join(reportFormats, ", ")))
			}
			if panel != "" && format != "csv" && format != "png" {
				return usageError(cmd, errors.New("--panel goes with csv or png"))
			}
			m, err := openMesh()
			if err != nil {
				return err
			}
			if !m.mesh.Lake() {
				return &exitError{exitUnreachable, fmt.Errorf("this mesh has profile %s, which has no dashboards; start one with: %s up --profile full", m.mesh.Profile, self())}
			}
			folder := os.DirFS(m.dir.Dashboards())
			dashboards, err := render.Load(folder)
			if err != nil {
				return fmt.Errorf("%w; copy them anew with: %s up", err, self())
			}
			if len(given) == 0 {
				return listReports(cmd.OutOrStdout(), dashboards)
			}
			d, err := reportNamed(dashboards, given[0])
			if err != nil {
				return usageError(cmd, err)
			}
			if asked.Values, err = chosenValues(d, chosen); err != nil {
				return usageError(cmd, err)
			}
			people, err := m.secrets.Persons()
			if err != nil {
				return err
			}
			to, err := addresses(mail, people)
			if err != nil {
				return usageError(cmd, err)
			}
			sources, err := report.LoadSources(folder)
			if err != nil {
				return err
			}
			lookup, err := local.DashboardSources(m.mesh, m.secrets)
			if err != nil {
				return err
			}
			set, err := report.Connect(cmd.Context(), sources, lookup)
			if err != nil {
				return err
			}
			defer set.Close()
			page, err := set.Open(cmd.Context(), d, asked, time.Now())
			if wrong, ok := errors.AsType[*report.InputError](err); ok {
				return usageError(cmd, wrong)
			}
			if err != nil {
				return err
			}
			if !page.Reached() {
				return &exitError{exitUnreachable, fmt.Errorf("%w; see how the mesh is: %s status", report.ErrUnreachable, self())}
			}
			missing := saySources(cmd.ErrOrStderr(), page)
			if len(to) > 0 {
				if err := mailReport(cmd.Context(), m, page, to); err != nil {
					return err
				}
				say(cmd.ErrOrStderr(), "Mailed to %s.", strings.Join(to, ", "))
			}
			if len(to) == 0 || cmd.Flags().Changed("out") || cmd.Flags().Changed("format") {
				if err := writeReport(cmd, page, format, panel, out); err != nil {
					return err
				}
			}
			if missing > 0 {
				return &exitError{exitFailed, fmt.Errorf("%d panels have no data; the report says which", missing)}
			}
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&asked.From, "from", "", "begin of the range of time: now-90d, 2026-01-31 or RFC 3339 (default: as the dashboard opens)")
	f.StringVar(&asked.To, "to", "now", "its end; a day counts whole")
	f.StringArrayVar(&chosen, "var", nil, "value of a variable, NAME=VALUE; several times for several values (default: all)")
	f.StringVar(&format, "format", "pdf", "one of "+strings.Join(reportFormats, ", "))
	f.StringVar(&panel, "panel", "", "this panel alone, by its title (csv, png)")
	f.StringVar(&out, "out", "", "write into this file, - for stdout (default: NAME-DAY.FORMAT)")
	f.StringSliceVar(&mail, "mail", nil, "mail it as PDF to a person of the mesh or an address")
	return cmd
}

func listReports(w io.Writer, dashboards []render.Dashboard) error {
	for _, d := range dashboards {
		if _, err := fmt.Fprintf(w, "%-20s %s\n", d.UID, d.Title); err != nil {
			return err
		}
	}
	return nil
}

// reportNamed finds a dashboard by its uid, or by a beginning that only one has.
func reportNamed(dashboards []render.Dashboard, name string) (render.Dashboard, error) {
	var found []render.Dashboard
	var all []string
	for _, d := range dashboards {
		if d.UID == name {
			return d, nil
		}
		if name != "" && strings.HasPrefix(d.UID, name) {
			found = append(found, d)
		}
		all = append(all, d.UID)
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return render.Dashboard{}, fmt.Errorf("no dashboard %q; there are %s", name, strings.Join(all, ", "))
	}
	var names []string
	for _, d := range found {
		names = append(names, d.UID)
	}
	return render.Dashboard{}, fmt.Errorf("%q may be %s; write more of it", name, strings.Join(names, " or "))
}

func chosenValues(d render.Dashboard, chosen []string) (map[string][]string, error) {
	values := map[string][]string{}
	var known []string
	for _, v := range d.Variables {
		known = append(known, v.Name)
	}
	for _, one := range chosen {
		name, value, ok := strings.Cut(one, "=")
		switch {
		case !ok:
			return nil, fmt.Errorf("--var %q is not NAME=VALUE", one)
		case !slices.Contains(known, name) && len(known) == 0:
			return nil, fmt.Errorf("dashboard %s has no variables, so no %s", d.UID, name)
		case !slices.Contains(known, name):
			return nil, fmt.Errorf("dashboard %s has no variable %s; it has %s", d.UID, name, strings.Join(known, ", "))
		}
		values[name] = append(values[name], value)
	}
	return values, nil
}

// addresses of the people, or whole addresses.
func addresses(who []string, people []topology.Person) ([]string, error) {
	var list []string
	for _, one := range who {
		known := slices.ContainsFunc(people, func(p topology.Person) bool { return p.Name == one })
		switch {
		case known:
			list = append(list, one+"@"+topology.MailDomain)
		case strings.Contains(one, "@"):
			list = append(list, one)
		default:
			var names []string
			for _, p := range people {
				names = append(names, p.Name)
			}
			return nil, fmt.Errorf("--mail %q is neither an address nor one of %s", one, strings.Join(names, ", "))
		}
	}
	return list, nil
}

// saySources tells how fresh the data is, and which panels lack theirs.
func saySources(w io.Writer, p *report.Page) (missing int) {
	for _, a := range p.AsOf {
		say(w, "%s: %s", a.Source, a.Text)
	}
	for _, row := range p.Rows {
		for _, f := range row.Figures {
			if f.Problem != "" {
				missing++
				say(w, "%s: %s", f.Title, f.Problem)
			}
		}
	}
	return missing
}

func mailReport(ctx context.Context, m *startedMesh, page *report.Page, to []string) error {
	if m.mesh.Tools.Mailbox == "" {
		return &exitError{exitUnreachable, fmt.Errorf("this mesh has no mailbox, which takes mail; it comes with npm, see: %s doctor", self())}
	}
	if err := page.Mail(ctx, local.SMTPAddress(m.mesh), report.Sender, to); err != nil {
		return &exitError{exitUnreachable, fmt.Errorf("%w; see whether the mailbox runs: %s status", err, self())}
	}
	return nil
}

// writeReport writes it whole or not at all.
func writeReport(cmd *cobra.Command, page *report.Page, format, panel, out string) error {
	var b bytes.Buffer
	if err := encodeReport(cmd, &b, page, format, panel); err != nil {
		return err
	}
	if out == "-" {
		if file, ok := cmd.OutOrStdout().(*os.File); ok && format != "csv" && format != "html" && term.IsTerminal(int(file.Fd())) { //nolint:gosec // a small number
			return usageError(cmd, fmt.Errorf("a %s is nothing for a terminal; write --out FILE, or send it on", strings.ToUpper(format)))
		}
		_, err := cmd.OutOrStdout().Write(b.Bytes())
		return err
	}
	if out == "" {
		out = page.FileName(format)
	}
	// A device or a pipe is written to, never replaced.
	if info, err := os.Stat(out); err == nil && !info.Mode().IsRegular() {
		if info.IsDir() {
			return usageError(cmd, fmt.Errorf("--out %s is a folder; name a file", out))
		}
		file, err := os.OpenFile(out, os.O_WRONLY, 0)
		if err != nil {
			return fmt.Errorf("write the report: %w", err)
		}
		_, err = file.Write(b.Bytes())
		if err = errors.Join(err, file.Close()); err != nil {
			return fmt.Errorf("write the report: %w", err)
		}
		return nil
	}
	// With the mode that a file made here has: CreateTemp's would be the owner's alone.
	temp, err := os.OpenFile(filepath.Join(filepath.Dir(out), "."+filepath.Base(out)+"-"+rand.Text()), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666) //nolint:gosec // less the umask
	if err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	defer func() { _ = os.Remove(temp.Name()) }() // gone after the rename
	_, err = temp.Write(b.Bytes())
	err = errors.Join(err, temp.Close())
	if err == nil {
		err = os.Rename(temp.Name(), out)
	}
	if err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	say(cmd.ErrOrStderr(), "Written: %s", out)
	return nil
}

func encodeReport(cmd *cobra.Command, w io.Writer, page *report.Page, format, panel string) error {
	if panel != "" {
		f, titles := panelTitled(page, panel)
		if f == nil {
			return usageError(cmd, fmt.Errorf("no panel %q; there are: %s", panel, strings.Join(titles, ", ")))
		}
		switch format {
		case "csv":
			return f.CSV(w)
		case "png":
			return f.Titled(720, 400).PNG(w, render.Light, 2)
		}
		return usageError(cmd, errors.New("--panel goes with csv or png"))
	}
	switch format {
	case "html":
		return page.HTML(w, false)
	case "png":
		more, err := page.PNG(w)
		if more > 0 {
			say(cmd.ErrOrStderr(), "The picture leaves out the last %d pages; the PDF has all.", more)
		}
		return err
	case "csv":
		return page.CSV(w)
	}
	return page.PDF(w)
}

func panelTitled(page *report.Page, title string) (found *report.Figure, titles []string) {
	for _, row := range page.Rows {
		for _, f := range row.Figures {
			if strings.EqualFold(f.Title, title) {
				found = f
			}
			titles = append(titles, f.Title)
		}
	}
	return found, titles
}
