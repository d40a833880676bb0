package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

// peerArgument makes this program the handler that the list is compared with.
const peerArgument = "--peer"

// A peerCustomer is one item of the peer's list.
type peerCustomer struct {
	ID        int64     `json:"customer_id"`
	Name      string    `json:"customer_name"`
	Email     string    `json:"email"`
	Phone     string    `json:"phone"`
	Region    string    `json:"region"`
	Segment   string    `json:"segment"`
	Revenue   float64   `json:"revenue"`
	CreatedAt time.Time `json:"created_at"`
	UpdatedAt time.Time `json:"updated_at"`
}

// servePeer answers GET /customers?after=ID as one writes it first: rows are
// scanned into structs and encoded. No keys, no limits, no log.
func servePeer(ctx context.Context, addr string) error {
	config, err := pgxpool.ParseConfig(os.Getenv("DATABASE_URL"))
	if err != nil {
		return err
	}
	config.MaxConns = connections
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return err
	}
	defer pool.Close()
	list := func(ctx context.Context, after int64) ([]peerCustomer, error) {
		rows, err := pool.Query(ctx, `SELECT `+customerColumns+` FROM customers WHERE customer_id > $1 ORDER BY customer_id LIMIT 50`, after)
		if err != nil {
			return nil, err
		}
		defer rows.Close()
		items := []peerCustomer{}
		for rows.Next() {
			var c peerCustomer
			if err := rows.Scan(&c.ID, &c.Name, &c.Email, &c.Phone, &c.Region, &c.Segment, &c.Revenue, &c.CreatedAt, &c.UpdatedAt); err != nil {
				return nil, err
			}
			items = append(items, c)
		}
		return items, rows.Err()
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /customers", func(w http.ResponseWriter, r *http.Request) {
		after, err := strconv.ParseInt(r.URL.Query().Get("after"), 10, 64)
		if err != nil {
			http.Error(w, "after is no number", http.StatusBadRequest)
			return
		}
		items, err := list(r.Context(), after)
		if err != nil {
			http.Error(w, "the database does not answer", http.StatusServiceUnavailable)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		if err := json.NewEncoder(w).Encode(map[string]any{"items": items}); err != nil {
			fmt.Fprintln(os.Stderr, err) // the client went away
		}
	})
	server := &http.Server{Addr: addr, Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	stopped := make(chan error, 1)
	go func() { stopped <- server.ListenAndServe() }()
	select {
	case err := <-stopped:
		return err
	case <-ctx.Done():
		return server.Close()
	}
}

// peer starts this program as the peer.
func (r *rig) peer(ctx context.Context) (service, error) {
	addr, err := freeAddr()
	if err != nil {
		return service{}, err
	}
	self, err := os.Executable()
	if err != nil {
		return service{}, err
	}
	p, err := r.start(ctx, r.databaseEnv(salesDatabase, "sales_app"), self, peerArgument, addr)
	if err != nil {
		return service{}, err
	}
	return service{p, addr, ""}, p.ready(ctx, "http://"+addr+"/customers?after=0")
}
