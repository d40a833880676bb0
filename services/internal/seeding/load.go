package seeding

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/datameesh/datameesh/services/internal/database"
)

// load stores the rows of the file at path and tells what became of them.
func load(ctx context.Context, domain Domain, path string, stdout, stderr io.Writer) error {
	db, err := database.Open(ctx, os.Getenv("DATABASE_URL"), domain.Program)
	if err != nil {
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	defer db.Close()
	loaded, err := domain.Load(ctx, db, path)
	var noFile *fs.PathError
	switch {
	case errors.As(err, &noFile):
		return fmt.Errorf("%w: --from: %w", errUsage, err)
	case errors.Is(err, database.ErrUnavailable):
		return fmt.Errorf("%w: %w; check DATABASE_URL and PGPASSWORD, and that the server runs", errUnreachable, err)
	case err != nil:
		return fmt.Errorf("load %s: %w", path, err)
	}
	fmt.Fprintf(stdout, "stored %d\nknown %d\nbad %d\n", loaded.Stored, loaded.Known, loaded.Bad)
	if loaded.Bad > 0 {
		fmt.Fprintf(stderr, "%s: the bad rows are in %s\n", domain.Program, loaded.BadAt)
	}
	return nil
}
