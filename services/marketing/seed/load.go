package seed

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"

	"github.com/datameesh/datameesh/services/internal/database"
	"github.com/datameesh/datameesh/services/internal/rowfile"
	"github.com/datameesh/datameesh/services/internal/seeding"
	"github.com/datameesh/datameesh/services/marketing"
	"github.com/datameesh/datameesh/services/marketing/leadfile"
	"github.com/datameesh/datameesh/services/marketing/postgres"
)

// load imports a file of leads as POST /v1/leads/import does. Its key is the
// file's digest, so the same file is one import however often it is loaded.
func load(ctx context.Context, db *database.DB, path string) (loaded seeding.Loaded, err error) {
	file, format, err := rowfile.Open(path)
	if err != nil {
		return loaded, err
	}
	defer file.Close() //nolint:errcheck // read only
	digest := sha256.New()
	if _, err := io.Copy(digest, file); err != nil {
		return loaded, err
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return loaded, err
	}
	leads, err := leadfile.New(file, format)
	if err != nil {
		return loaded, err
	}
	store := postgres.New(db)
	request := marketing.ImportRequest{Caller: "marketing-seed", Key: hex.EncodeToString(digest.Sum(nil))}
	before, err := store.Imported(ctx, request)
	if err != nil {
		return loaded, err
	}
	done, err := store.Import(ctx, request, leads)
	if err != nil {
		return loaded, err
	}
	loaded = seeding.Loaded{
		Stored: done.Stored - before.Stored,
		Known:  done.Duplicates + before.Stored,
		Bad:    done.Parked,
		BadAt:  fmt.Sprintf("the table lead_dead_letters, and at /v1/leads/dead-letters?import_id=%d", done.ID),
	}
	return loaded, nil
}
