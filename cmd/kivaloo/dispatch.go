package main

import (
	"errors"
	"io"

	"github.com/spf13/pflag"
)

// dispatch finds the command of a command line and runs it.
func (e *env) dispatch(args []string) error {
	if len(args) == 0 {
		writeOverview(e.stderr)
		return usagef("no command given")
	}
	name, rest := args[0], args[1:]
	switch name {
	case "-h", "--help":
		writeOverview(e.stdout)
		return nil
	case "--version":
		name = "version"
	}
	c := findCommand(name)
	if c == nil {
		return usagef("unknown command %q%s; see kivaloo help", name, suggest(name, commandNames()))
	}
	return c.run(e, rest)
}

// run parses flags, which may stand before operands or after them, and runs the
// command.
func (c *command) run(e *env, args []string) error {
	flags, run := c.parser()
	err := flags.Parse(args)
	if errors.Is(err, pflag.ErrHelp) {
		c.writeHelp(e.stdout)
		return nil
	}
	if err != nil {
		return usagef("%s: %v%s; see kivaloo help %s", c.name, err, suggestFlag(err, flags), c.name)
	}
	if n := flags.NArg(); n < c.min || n > c.max {
		return usagef("usage: kivaloo %s", c.synopsis())
	}
	return run(e, flags.Args())
}

func (c *command) parser() (*pflag.FlagSet, func(*env, []string) error) {
	flags := pflag.NewFlagSet(c.name, pflag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.Usage = func() {}
	return flags, c.setup(flags)
}

func commandNames() []string {
	var names []string
	for _, c := range commands() {
		names = append(names, c.name)
	}
	return names
}

// suggestFlag guesses which flag was meant by one that does not exist.
func suggestFlag(err error, flags *pflag.FlagSet) string {
	var unknown *pflag.NotExistError
	if !errors.As(err, &unknown) {
		return ""
	}
	names := []string{"help"}
	flags.VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
	return suggestAs(unknown.GetSpecifiedName(), names, "--")
}

func suggest(typed string, names []string) string { return suggestAs(typed, names, "") }

// suggestAs is the question whether a similar name was meant, or nothing.
func suggestAs(typed string, names []string, prefix string) string {
	best, least := "", 1+max(1, len(typed)/3)
	for _, name := range names {
		if d := distance(typed, name); d < least {
			best, least = name, d
		}
	}
	if best == "" {
		return ""
	}
	return ` (did you mean "` + prefix + best + `"?)`
}

// distance is how many letters must be added, dropped or changed to make b of a.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		above := row[0] // row[j] of the line above, one to the left
		row[0] = i + 1
		for j := range len(b) {
			change := above
			if a[i] != b[j] {
				change++
			}
			above = row[j+1]
			row[j+1] = min(change, above+1, row[j]+1)
		}
	}
	return row[len(b)]
}
