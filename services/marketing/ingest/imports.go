package ingest

import (
	"errors"
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/datameesh/datameesh/services/internal/problem"
	"github.com/datameesh/datameesh/services/internal/rest"
	"github.com/datameesh/datameesh/services/internal/rowfile"
	"github.com/datameesh/datameesh/services/marketing"
	"github.com/datameesh/datameesh/services/marketing/leadfile"
)

const (
	imports     = "/v1/leads/imports"
	deadLetters = "/v1/leads/dead-letters"
)

// Limits of imports. Each holds a connection and some megabytes; more than a few
// at once would only take them from the other requests.
const (
	maxImport  = 512 << 20 // bytes of a file
	maxImports = 4         // at once
)

// importFormats are the media types of files and their formats.
var importFormats = map[string]rowfile.Format{"application/x-ndjson": rowfile.NDJSON, "text/csv": rowfile.CSV}

func (s server) importLeads(c *gin.Context, upload rest.Upload) error {
	select {
	case s.importing <- struct{}{}:
		defer func() { <-s.importing }()
	default:
		p := problem.New(http.StatusTooManyRequests, problem.CodeRateLimited, "%d imports are running, as many as may at once; try again.", maxImports)
		p.RetryAfter = 5
		return p
	}
	file, err := leadfile.New(upload.Body, importFormats[upload.MediaType])
	if errors.Is(err, rowfile.ErrHeader) {
		return problem.New(http.StatusUnprocessableEntity, problem.CodeInvalidBody, "%s.", sentence(err))
	}
	if err != nil {
		return err
	}
	done, err := s.store.Import(c.Request.Context(), marketing.ImportRequest{Caller: upload.Caller, Key: upload.Key}, file)
	return rest.Created(c, imports, done.ID, done, err)
}

// sentence begins the text of an error with a capital.
func sentence(err error) string {
	text := []byte(err.Error())
	if text[0] >= 'a' && text[0] <= 'z' {
		text[0] -= 'a' - 'A'
	}
	return string(text)
}

func (s server) getImport(c *gin.Context) error {
	id, err := rest.ID(c)
	if err != nil {
		return err
	}
	i, err := s.store.ImportOf(c.Request.Context(), id)
	return rest.OK(c, i, err)
}

func (s server) listDeadLetters(c *gin.Context) error {
	query := rest.Query(c)
	limit := query.Limit()
	filter := marketing.LetterFilter{
		ImportID: query.ID("import_id"),
		Status:   marketing.LetterStatus(query.OneOf("status", marketing.LetterStatusNames...)),
		After:    query.After(deadLetters),
		Limit:    limit + 1,
	}
	if err := query.Err(); err != nil {
		return err
	}
	list, err := s.store.DeadLetters(c.Request.Context(), filter)
	return rest.Page(c, deadLetters, list, limit, func(x marketing.DeadLetter) int64 { return x.ID }, err)
}

func (s server) getDeadLetter(c *gin.Context) error {
	id, err := rest.ID(c)
	if err != nil {
		return err
	}
	letter, err := s.store.DeadLetter(c.Request.Context(), id)
	return rest.OK(c, letter, err)
}

func (s server) correctDeadLetter(c *gin.Context) error {
	id, err := rest.ID(c)
	if err != nil {
		return err
	}
	change, err := rest.Body[marketing.LetterChange](c)
	if err != nil {
		return err
	}
	letter, err := s.store.UpdateDeadLetter(c.Request.Context(), id, func(letter *marketing.DeadLetter) error {
		if err := rest.IfMatch(c, *letter); err != nil {
			return err
		}
		return change.Apply(letter)
	})
	return rest.OK(c, letter, err)
}

func (s server) driveDeadLetter(c *gin.Context) error {
	id, err := rest.ID(c)
	if err != nil {
		return err
	}
	letter, err := s.store.DriveDeadLetter(c.Request.Context(), id, leadfile.Read)
	var unknown marketing.UnknownCampaigns
	if errors.As(err, &unknown) {
		return problem.Invalid(map[string]string{"/raw": "campaign_id " + noCampaign})
	}
	return rest.OK(c, letter, err)
}

func (s server) discardDeadLetter(c *gin.Context) error {
	id, err := rest.ID(c)
	if err != nil {
		return err
	}
	letter, err := s.store.UpdateDeadLetter(c.Request.Context(), id, marketing.Discard)
	return rest.OK(c, letter, err)
}
