// Package crash holds the tests that kill the mesh's real programs and databases under load.
package crash
