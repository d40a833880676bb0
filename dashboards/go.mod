module github.com/datameesh/datameesh/dashboards

go 1.26.0
