// Package repository holds the tests that look at the repository as a whole.
package repository
