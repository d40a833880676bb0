package dbt

import "path/filepath"

// Results is where dbt leaves how the models and tests of the last build ended
// (run_results.json), below the folder that it works in.
func Results(work string) string {
	return filepath.Join(Runner{Work: work}.target(martsNext), "run_results.json")
}
