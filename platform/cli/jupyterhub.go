package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/datameesh/datameesh/platform/account"
	"github.com/datameesh/datameesh/platform/jupyterhub"
	"github.com/datameesh/datameesh/platform/local"
	"github.com/datameesh/datameesh/platform/state"
	"github.com/datameesh/datameesh/platform/supervise"
	"github.com/datameesh/datameesh/platform/topology"
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
	u.mesh.Tools.HubSpawn, u.mesh.FirstUID = "", 0
	if !a.Root {
		return nil
	}
	if u.mesh.FirstUID, err = claimUIDs(uidFolder, u.dir, jupyterhub.OfUsers); err != nil {
		return err
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

// stopNotebooks ends the people's servers, which outlive the hub, and in a mesh of
// root's whatever else they have left running.
func stopNotebooks(ctx context.Context, d state.Dir, log io.Writer) error {
	n, err := jupyterhub.StopServers(ctx, local.NotebookMark(d), "", notebookGrace)
	if n > 0 {
		say(log, "Stopped %d notebook servers.", n)
	}
	if err != nil || os.Geteuid() != 0 {
		return err
	}
	m, err := state.Load(d)
	if errors.Is(err, state.ErrNoMesh) || err == nil && m.FirstUID == 0 {
		return nil
	}
	if err != nil {
		return err
	}
	n, err = jupyterhub.EndUsers(ctx, m.FirstUID, m.FirstUID+topology.PersonUIDs-1, notebookGrace, func(pid int, sig syscall.Signal) error {
		if err := unix.Kill(pid, sig); err != nil && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("end process %d of a person: %w", pid, err)
		}
		return nil
	})
	if n > 0 {
		say(log, "Ended %d processes that people had left running.", n)
	}
	return err
}
