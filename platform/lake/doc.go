// Package lake tests the data lake of a whole mesh: object store, metastore and Trino's catalogs on them.
package lake
