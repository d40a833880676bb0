package collect

import (
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/datameesh/datameesh/services/apimetrics"
	"github.com/datameesh/datameesh/services/internal/background"
	"github.com/datameesh/datameesh/services/internal/rest"
)

const logs = "/v1/logs"

func (s server) storeLogs(c *gin.Context) error {
	if background.Asked(c.Request.Header) {
		return background.Run(func() error { return s.storeBatch(c) })
	}
	return s.storeBatch(c)
}

func (s server) storeBatch(c *gin.Context) error {
	batch, err := rest.Body[apimetrics.Batch](c)
	if err != nil {
		return err
	}
	if err := s.store.StoreLogs(c.Request.Context(), batch.Entries); err != nil {
		return err
	}
	c.JSON(http.StatusAccepted, stored{len(batch.Entries)})
	return nil
}

// stored says how many entries of a batch were stored.
type stored struct {
	Stored int `json:"stored"`
}

func (s server) listLogs(c *gin.Context) error {
	query := rest.Query(c)
	limit := query.Limit()
	filter := apimetrics.LogFilter{
		Service:   query.String("service"),
		Route:     query.String("route"),
		Method:    query.OneOf("method", apimetrics.Methods...),
		Status:    query.Number("status", 100, 599),
		RequestID: query.String("request_id"),
		From:      query.Time("from"),
		To:        query.Time("to"),
		Before:    query.After(logs),
		Limit:     limit + 1,
	}
	if err := query.Err(); err != nil {
		return err
	}
	list, err := s.store.Logs(c.Request.Context(), filter)
	return rest.Page(c, logs, list, limit, func(x apimetrics.Log) int64 { return x.ID }, err)
}
