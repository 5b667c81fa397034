// Package gitops has tests alone: what tools that deploy clusters make of them.
package gitops
