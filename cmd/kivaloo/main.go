// Command kivaloo is a durable key-value store with a filesystem in front of it.
//
// Everything a user can type stands in one table (table.go), from which parsing,
// help and suggestions are made. Exit codes, and which error gets which, stand in
// exit.go, and os.Exit is called here only.
package main

import (
	"fmt"
	"io"
	"os"
)

func main() {
	e := &env{stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, getenv: os.Getenv}
	os.Exit(e.main(os.Args[1:]))
}

// An env is what a command knows of the process around it.
type env struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	getenv         func(string) string
}

// main runs a command line and answers the exit code.
func (e *env) main(args []string) int {
	err := e.dispatch(args)
	if err != nil {
		fmt.Fprintf(e.stderr, "kivaloo: %v\n", err)
	}
	return codeOf(err)
}
