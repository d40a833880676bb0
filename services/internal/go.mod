module github.com/datameesh/datameesh/services/internal

go 1.26.0
