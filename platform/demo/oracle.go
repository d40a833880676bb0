package demo

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/datameesh/datameesh/platform/bootstrap"
)

// Oracle asks the verify database. It imports the domains' tables, as they look
// now, at the first call.
func Oracle(conn *pgx.Conn) func(ctx context.Context, statements ...string) ([][][]string, error) {
	imported := false
	return func(ctx context.Context, statements ...string) (results [][][]string, err error) {
		if !imported {
			if err := bootstrap.ImportForeignTables(ctx, conn); err != nil {
				return nil, err
			}
			imported = true
		}
		// postgres_fdw reads each server in one transaction of that server,
		// which begins with the first read and sees one state.
		err = pgx.BeginTxFunc(ctx, conn, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
			for _, statement := range statements {
				rows, err := tx.Query(ctx, statement)
				if err != nil {
					return err
				}
				result, err := pgx.CollectRows(rows, textRow)
				if err != nil {
					return err
				}
				results = append(results, result)
			}
			return nil
		})
		return results, err
	}
}

func textRow(row pgx.CollectableRow) ([]string, error) {
	values, err := row.Values()
	if err != nil {
		return nil, err
	}
	texts := make([]string, len(values))
	for i, v := range values {
		switch v := v.(type) {
		case nil:
			texts[i] = null
		case string:
			texts[i] = v
		default:
			return nil, fmt.Errorf("column %d is not text but %T", i+1, v)
		}
	}
	return texts, nil
}
