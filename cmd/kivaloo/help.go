package main

import (
	"fmt"
	"io"
	"runtime/debug"

	"github.com/spf13/pflag"
)

func setupHelp(*pflag.FlagSet) func(*env, []string) error {
	return func(e *env, args []string) error {
		if len(args) == 0 {
			writeOverview(e.stdout)
			return nil
		}
		c := findCommand(args[0])
		if c == nil {
			return usagef("unknown command %q%s", args[0], suggest(args[0], commandNames()))
		}
		c.writeHelp(e.stdout)
		return nil
	}
}

func writeOverview(w io.Writer) {
	fmt.Fprint(w, "kivaloo is a durable key-value store with a filesystem in front of it.\n\n")
	for _, c := range commands() {
		fmt.Fprintf(w, "  kivaloo %-20s %s\n", c.name+" "+c.operands, c.short)
	}
	fmt.Fprint(w, "\n")
	writeExits(w)
	fmt.Fprint(w, "\nSee kivaloo help CMD.\n")
}

func (c *command) synopsis() string {
	s := c.name
	if flags, _ := c.parser(); flags.HasFlags() {
		s += " [flags]"
	}
	if c.operands != "" {
		s += " " + c.operands
	}
	return s
}

func (c *command) writeHelp(w io.Writer) {
	fmt.Fprintf(w, "Usage: kivaloo %s\n\n%s\n", c.synopsis(), c.long)
	if flags, _ := c.parser(); flags.HasFlags() {
		fmt.Fprintf(w, "\nFlags, before operands or after them:\n%s", flags.FlagUsages())
	}
	if len(c.examples) > 0 {
		fmt.Fprint(w, "\nExamples:\n")
	}
	for _, example := range c.examples {
		fmt.Fprintf(w, "  %s\n", example)
	}
	fmt.Fprint(w, "\n")
	writeExits(w)
}

func writeExits(w io.Writer) {
	fmt.Fprint(w, "Exit codes:\n")
	for _, exit := range exits {
		fmt.Fprintf(w, "  %2d  %s\n", exit.code, exit.text)
	}
}

func setupVersion(*pflag.FlagSet) func(*env, []string) error {
	return func(e *env, _ []string) error {
		version, revision, goVersion := "unknown", "", ""
		if info, ok := debug.ReadBuildInfo(); ok {
			version, goVersion = info.Main.Version, info.GoVersion
			for _, s := range info.Settings {
				if s.Key == "vcs.revision" || s.Key == "vcs.time" {
					revision += " " + s.Value
				}
			}
		}
		_, err := fmt.Fprintf(e.stdout, "kivaloo %s%s\n%s\nprotocol v1\n", version, revision, goVersion)
		return err
	}
}
