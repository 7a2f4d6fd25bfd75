package tests

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// readme is the text at the module's root.
func readme(t *testing.T) string {
	t.Helper()
	return fileText(t, "..", "README.md")
}

// A step is a command of the README's session, and what it shows.
type step struct{ command, output string }

var consoleBlock = regexp.MustCompile("(?s)```console\n(.*?)```")

// sessionSteps reads the console blocks: "$ " begins a command, the lines after it
// are its output.
func sessionSteps(text string) []step {
	var steps []step
	for _, block := range consoleBlock.FindAllStringSubmatch(text, -1) {
		for line := range strings.Lines(block[1]) {
			if command, ok := strings.CutPrefix(line, "$ "); ok {
				steps = append(steps, step{command: strings.TrimSuffix(command, "\n")})
			} else {
				steps[len(steps)-1].output += line
			}
		}
	}
	return steps
}

// cloneFolder is a folder with the files of the module and nothing else, as a
// clone has them.
func cloneFolder(t *testing.T, p *place) string {
	t.Helper()
	clone := p.home + "/clone"
	shell(t, "..", fmt.Sprintf(`mkdir '%s' && find . -name .git -prune -o -name '*.go' -print0 -o -name 'go.*' -print0 |
		tar cf - --null -T - | tar xf - -C '%s'`, clone, clone))
	return clone
}

// homeEnv gives a shell a home of its own, and Go the caches that it has.
func homeEnv(t *testing.T, home string) []string {
	t.Helper()
	env := append(os.Environ(), "HOME="+home, "LC_ALL=C")
	for _, name := range []string{"GOCACHE", "GOMODCACHE", "GOPATH"} {
		out, err := exec.Command("go", "env", name).Output()
		if err != nil {
			t.Fatal(err)
		}
		env = append(env, name+"="+strings.TrimSpace(string(out)))
	}
	return env
}

// TestReadmeSession does what a reader does: the first command, then the session,
// line by line, comparing what it shows.
func TestReadmeSession(t *testing.T) {
	needMount(t)
	p := newPlace(t)
	p.dir, p.mnt = p.home+"/kv/store", p.home+"/kv/mnt"
	first := firstCommands(t)[0]
	steps := append([]step{{command: first}}, sessionSteps(readme(t))...)
	const mark = "=== end of step"
	var script strings.Builder
	var want strings.Builder
	for i, s := range steps {
		// Both outputs, as a terminal shows them.
		fmt.Fprintf(&script, "{ %s\n} 2>&1\necho '%s %d'\n", s.command, mark, i)
		fmt.Fprintf(&want, "%s%s %d\n", s.output, mark, i)
	}
	cmd := exec.Command("bash", "-c", script.String())
	cmd.Dir = cloneFolder(t, p)
	cmd.Env = homeEnv(t, p.home)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		t.Errorf("%v", err)
	}
	if out.String() != want.String() {
		t.Errorf("the session shows\n%s\nwant\n%s", out.String(), want.String())
	}
	if len(steps) < 10 {
		t.Errorf("only %d commands were found", len(steps))
	}
}

// firstCommands are the two commands for a fresh machine.
func firstCommands(t *testing.T) []string {
	t.Helper()
	commands := regexp.MustCompile(`(?m)^    (\S.*)$`).FindAllStringSubmatch(readme(t), -1)
	if len(commands) != 2 {
		t.Fatalf("README has %d indented commands, want two", len(commands))
	}
	return []string{commands[0][1], commands[1][1]}
}

func TestReadmeNamesTheTestCommand(t *testing.T) {
	if got := firstCommands(t)[1]; got != "go test ./..." {
		t.Errorf("the second command is %q: .ci/run runs it, and people will", got)
	}
}

// TestReadmeExitCodes: README's table is the one in the help.
func TestReadmeExitCodes(t *testing.T) {
	_, table, ok := strings.Cut(kivaloo(t, "help").out, "Exit codes:\n")
	if !ok {
		t.Fatal("help has no exit codes")
	}
	for _, row := range regexp.MustCompile(`(?m)^ +(\d+)  (.*)$`).FindAllStringSubmatch(table, -1) {
		if line := fmt.Sprintf("| %s | %s |", row[1], row[2]); !strings.Contains(readme(t), line) {
			t.Errorf("README has no line %q", line)
		}
	}
}

// TestReadmeLinksLeadSomewhere: each relative link is to a file.
func TestReadmeLinksLeadSomewhere(t *testing.T) {
	for _, link := range regexp.MustCompile(`\]\(([^)]+)\)`).FindAllStringSubmatch(readme(t), -1) {
		if strings.Contains(link[1], "://") {
			continue
		}
		if _, err := os.Stat("../" + link[1]); err != nil {
			t.Errorf("README links to %s: %v", link[1], err)
		}
	}
}
