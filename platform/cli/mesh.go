package cli

import (
	"errors"
	"io/fs"

	"github.com/datameesh/datameesh/platform/control"
	"github.com/datameesh/datameesh/platform/policy"
	"github.com/datameesh/datameesh/platform/secrets"
	"github.com/datameesh/datameesh/platform/state"
)

// A startedMesh is the mesh of this clone as "meesh up" left it, running or not.
type startedMesh struct {
	dir     state.Dir
	mesh    state.Mesh
	secrets *secrets.Store
}

// openMesh finds the mesh; state.ErrNoMesh or secrets.ErrNone when none was
// ever started.
func openMesh() (*startedMesh, error) {
	dir, err := state.Find()
	if err != nil {
		return nil, err
	}
	m, err := state.Load(dir)
	if err != nil {
		return nil, err
	}
	s, err := openSecrets()
	if err != nil {
		return nil, err
	}
	return &startedMesh{dir, m, s}, nil
}

// engineer is one of the mesh's engineers, who may do what a command does for anybody.
func (m *startedMesh) engineer() (string, error) {
	people, err := m.secrets.Persons()
	if err != nil {
		return "", err
	}
	return policy.AnEngineer(people)
}

// openSecrets opens the secrets of the mesh. Those of a mesh that root started
// are closed to others.
func openSecrets() (*secrets.Store, error) {
	dir, err := state.Find()
	if err != nil {
		return nil, err
	}
	s, err := secrets.Open(dir.Secrets())
	if errors.Is(err, fs.ErrPermission) {
		return nil, &control.PermissionError{Dir: dir}
	}
	return s, err
}
