package collect

import (
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/datameesh/datameesh/services/apimetrics"
	"github.com/datameesh/datameesh/services/internal/queryparam"
)

const logs = "/v1/logs"

func (s *Server) storeLogs(c *gin.Context) error {
	batch, err := body[apimetrics.Batch](c)
	if err != nil {
		return err
	}
	if err := s.Store.StoreLogs(c.Request.Context(), batch.Entries); err != nil {
		return err
	}
	c.JSON(http.StatusAccepted, stored{len(batch.Entries)})
	return nil
}

// stored says how many entries of a batch were stored.
type stored struct {
	Stored int `json:"stored"`
}

func (s *Server) listLogs(c *gin.Context) error {
	query := queryparam.Of(c.Request.URL.Query())
	limit := query.Limit()
	filter := apimetrics.LogFilter{
		Service:   query.String("service"),
		Route:     query.String("route"),
		Method:    query.OneOf("method", apimetrics.Methods...),
		Status:    query.ID("status"),
		RequestID: query.String("request_id"),
		From:      query.Time("from"),
		To:        query.Time("to"),
		Before:    query.After(logs),
		Limit:     limit + 1,
	}
	if err := query.Err(); err != nil {
		return err
	}
	list, err := s.Store.Logs(c.Request.Context(), filter)
	if err != nil {
		return err
	}
	return onePage(c, logs, list, limit, func(x apimetrics.Log) int64 { return x.ID })
}
