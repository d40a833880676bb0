module github.com/datameesh/datameesh/services/sales

go 1.26.0

require github.com/datameesh/datameesh/services/internal v0.0.0

replace github.com/datameesh/datameesh/services/internal => ../internal
