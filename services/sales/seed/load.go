package seed

import (
	"context"
	"encoding/csv"
	"errors"
	"io"
	"io/fs"
	"os"
	"strconv"

	"github.com/datameesh/datameesh/services/internal/database"
	"github.com/datameesh/datameesh/services/internal/rowfile"
	"github.com/datameesh/datameesh/services/internal/seeding"
	"github.com/datameesh/datameesh/services/sales"
	"github.com/datameesh/datameesh/services/sales/postgres"
)

// Size of a batch of a file.
const (
	batchRows  = 1000
	batchBytes = 1 << 20
)

// load registers the customers of a file. One whose e-mail address is known is
// left out, so a file that was cut off or loaded before can be loaded again.
func load(ctx context.Context, db *database.DB, path string) (loaded seeding.Loaded, err error) {
	file, format, err := rowfile.Open(path)
	if err != nil {
		return loaded, err
	}
	defer file.Close() //nolint:errcheck // read only
	rows, err := rowfile.New[sales.NewCustomer](file, format, "customer_name", "email", "region", "segment")
	if err != nil {
		return loaded, err
	}
	rejected := rejects{path: path + ".rejected"}
	loaded.BadAt = rejected.path
	if err := os.Remove(rejected.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return loaded, err
	}
	defer func() { err = errors.Join(err, rejected.close()) }()
	store := postgres.New(db)
	for {
		batch, err := rows.Batch(batchRows, batchBytes)
		last := errors.Is(err, io.EOF)
		if err != nil && !last {
			return loaded, err
		}
		var good []sales.NewCustomer
		for _, row := range batch {
			why := rowfile.Reason(row.Value, row.Err)
			if why == "" {
				good = append(good, row.Value)
				continue
			}
			loaded.Bad++
			if err := rejected.write(row.Line, why, row.Text); err != nil {
				return loaded, err
			}
		}
		stored, err := store.AddCustomers(ctx, good)
		if err != nil {
			return loaded, err
		}
		loaded.Stored += stored
		loaded.Known += int64(len(good)) - stored
		if last {
			return loaded, nil
		}
	}
}

// rejects is the file of bad rows, made with the first of them. Only its owner
// may read it: it holds personal data.
type rejects struct {
	path string
	file *os.File
	csv  *csv.Writer
}

func (r *rejects) write(line int64, reason, row string) (err error) {
	if r.file == nil {
		if r.file, err = os.OpenFile(r.path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600); err != nil {
			return err
		}
		r.csv = csv.NewWriter(r.file)
		if err := r.csv.Write([]string{"line", "reason", "row"}); err != nil {
			return err
		}
	}
	return r.csv.Write([]string{strconv.FormatInt(line, 10), reason, row})
}

func (r *rejects) close() error {
	if r.file == nil {
		return nil
	}
	r.csv.Flush()
	return errors.Join(r.csv.Error(), r.file.Close())
}
