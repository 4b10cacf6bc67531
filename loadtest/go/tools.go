//go:build tools

// Package tools names the programs that are built as they are, so that go.mod keeps their versions.
package tools

import (
	_ "github.com/tsenart/vegeta/v12"
)
