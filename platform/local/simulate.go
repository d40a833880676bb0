package local

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/datameesh/datameesh/platform/secrets"
	"github.com/datameesh/datameesh/platform/state"
)

// SimulateProgram is the name of the program that keeps the domain's data
// alive, or "" when there is none: a logger's data comes from the API beside it.
func (d Domain) SimulateProgram() string {
	if d.Logger == "" {
		return ""
	}
	return d.Tasks + "-simulate"
}

// SimulateCommand is how the domain's SimulateProgram is run on the running mesh.
func SimulateCommand(dir state.Dir, m state.Mesh, store *secrets.Store, domain Domain) (path string, env []string, err error) {
	key, err := store.APIKey(domain.Tasks + "-admin")
	if err != nil {
		return "", nil, err
	}
	return filepath.Join(dir.Bin(), domain.SimulateProgram()), []string{
		"PATH=/usr/bin:/bin", "HOME=" + string(dir), "TZ=UTC",
		"API_URL=http://" + loopback(m.Port(domain.Port)),
		"API_KEY=" + key,
	}, nil
}

// MoveAsOf moves as_of of all domain databases forward to the midnight UTC that
// comes next, so that all data lies before as_of also while new data comes in.
// An as_of that is later stays.
func MoveAsOf(ctx context.Context, dir state.Dir, m state.Mesh, store *secrets.Store, now time.Time) error {
	for _, domain := range Domains {
		if err := moveAsOf(ctx, &mesh{m, dir, store}, domain, NextDay(now)); err != nil {
			return fmt.Errorf("as_of of %s: %w", domain.Database, err)
		}
	}
	return nil
}

// NextDay is the midnight UTC that comes next.
func NextDay(now time.Time) time.Time {
	return now.UTC().Truncate(24*time.Hour).AddDate(0, 0, 1)
}

func moveAsOf(ctx context.Context, m *mesh, domain Domain, day time.Time) (err error) {
	env, err := m.database(domain, owner)
	if err != nil {
		return err
	}
	var url, password string
	for _, variable := range env {
		switch name, value, _ := strings.Cut(variable, "="); name {
		case "DATABASE_URL":
			url = value
		case "PGPASSWORD":
			password = value
		}
	}
	config, err := pgx.ParseConfig(url)
	if err != nil {
		return err
	}
	config.Password = password
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close(context.WithoutCancel(ctx))) }()
	_, err = conn.Exec(ctx, `UPDATE mesh_meta SET as_of = $1 WHERE as_of < $1`, day)
	return err
}
