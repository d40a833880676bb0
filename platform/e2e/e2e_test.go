//go:build e2e

// Package e2e uses a whole mesh as its users do: up, ask, break, heal, down.
package e2e

import "testing"

// The mesh of most tests is one and the same: its first start takes a minute.
// The order matters: the golden figures hold until something is written.
func TestMesh(t *testing.T) {
	m := newMesh(t)
	t.Run("before the first up", m.testBeforeUp)
	if !t.Run("first up, twice at once", m.testFirstUp) {
		t.FailNow() // nothing else can be tried
	}
	for _, step := range []struct {
		name string
		test func(*testing.T)
	}{
		{"status", m.testStatus},
		{"second up changes nothing", m.testSecondUp},
		{"speed of the federated query", m.testSpeed},
		{"demo proves the golden figures", m.testDemo},
		{"demo finds a planted lead", m.testPlantedLead},
		{"tests of packages that need a mesh", m.testPackages},
		{"query writes results and errors", m.testQuery},
		{"query is cancelled by Ctrl-C", m.testInterruptedQuery},
		{"Trino asks for passwords", m.testLogin},
		{"readers of Trino cannot write", m.testReaders},
		{"Sales API asks for keys", m.testKeys},
		{"revenue follows a paid order", m.testRevenue},
		{"marketing takes in a batch", m.testBatch},
		{"demo after writes", m.testDemoAfterWrites},
		{"guesses at Trino are slowed down", m.testGuesses},
		{"who did what is in the record", m.testAudit},
		{"a database becomes a catalog", m.testSource},
		{"wrong usage of a running mesh", m.testWrongUsage},
		{"marketing's database is killed", m.testKilledDatabase},
		{"a service and Trino are killed", m.testKilledServers},
		{"the supervisor is killed", m.testKilledSupervisor},
		// It makes as many customers, orders and leads as there is time for.
		{"simulate keeps the data alive", m.testSimulate},
		{"down, then down --volumes", m.testDown},
	} {
		t.Run(step.name, step.test)
	}
}
