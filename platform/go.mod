module github.com/datameesh/datameesh/platform

go 1.26.0
