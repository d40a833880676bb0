// Package dashboards will be the mesh's Grafana dashboards, written in Go.
package dashboards
