package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"strings"
	"time"

	"github.com/datameesh/datameesh/platform/account"
	"github.com/datameesh/datameesh/platform/jupyterhub"
	"github.com/datameesh/datameesh/platform/local"
	"github.com/datameesh/datameesh/platform/state"
	"github.com/datameesh/datameesh/platform/supervise"
)

// installHub copies what JupyterHub reads to where its account and the people do
// and, as root, lets it start people's servers as users of their own.
func (u *upRun) installHub(ctx context.Context, a account.Account) error {
	programs, err := programFolder()
	if err != nil {
		return err
	}
	if programs != u.dir.Bin() {
		err := jupyterhub.Install(u.dir.JupyterHub(), filepath.Join(filepath.Dir(programs), "domains"))
		if errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%w; meesh must lie in the folder bin of a clone", err)
		}
		if err != nil {
			return err
		}
	}
	u.mesh.Tools.HubSpawn = ""
	if !a.Root {
		return nil
	}
	u.mesh.Tools.HubSpawn = filepath.Join(u.dir.Bin(), jupyterhub.SpawnProgram)
	if err := jupyterhub.Arm(u.mesh.Tools.HubSpawn, a.GID); err != nil {
		u.view.Line("Note: nobody will get a notebook server: %v", err)
		return nil
	}
	// Tried as the account: file capabilities do not count everywhere.
	var said bytes.Buffer
	if err := runAlongTo(ctx, a, u.mesh.Tools.HubSpawn, []string{"check"}, nil, &said, &said); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		u.view.Line("Note: nobody will get a notebook server: %s. Choose another state folder: %s=FOLDER.", strings.TrimSpace(said.String()), state.HomeVariable)
	}
	return nil
}

// notebookServers are the people's servers that run, as "status" shows them.
func notebookServers(d state.Dir) ([]supervise.Status, error) {
	servers, err := jupyterhub.Servers(local.NotebookMark(d))
	if err != nil {
		return nil, err
	}
	var all []supervise.Status
	for _, s := range servers {
		all = append(all, supervise.Status{
			Name: "notebook-" + s.Person, Kind: supervise.Server, Group: local.Notebooks,
			State: supervise.Ready, Ready: true, PID: s.PID, RSSBytes: s.Memory,
		})
	}
	return all, nil
}

// notebookGrace is what a person's server gets to end its kernels.
const notebookGrace = 10 * time.Second

// stopNotebooks ends the people's servers, which outlive the hub.
func stopNotebooks(ctx context.Context, d state.Dir, log io.Writer) error {
	n, err := jupyterhub.StopServers(ctx, local.NotebookMark(d), notebookGrace)
	if n > 0 {
		say(log, "Stopped %d notebook servers.", n)
	}
	return err
}
