package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"
)

// TestScripts runs command lines through the program as it is built. Each script
// is a text file in testdata/script.
func TestScripts(t *testing.T) {
	bin := t.TempDir()
	if out, err := exec.Command("go", "build", "-o", bin+"/kivaloo", ".").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(env *testscript.Env) error {
			env.Setenv("PATH", bin+":"+env.Getenv("PATH"))
			env.Values[ofTest] = env.T()
			env.Defer(func() { cleanUp(env.WorkDir) })
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"needs":   needs,
			"exits":   execExits,
			"binary":  binary,
			"crash":   crash,
			"halt":    halt,
			"missing": missing,
			"future":  future,
			"later":   later,
			"disk":    makeDisk,
			"break":   breakDisk,
			"awaits":  awaits,
			"serving": serving,
		},
	})
}

// TestScriptsRunToTheirEnd: "stop" was the command that ends a server. It is one of
// testscript's own as well, which comes first and ends the script, without a word:
// most lines of five scripts were never run.
func TestScriptsRunToTheirEnd(t *testing.T) {
	scripts, err := filepath.Glob("testdata/script/*.txt")
	if err != nil || len(scripts) == 0 {
		t.Fatal("no scripts", err)
	}
	for _, script := range scripts {
		text, err := os.ReadFile(script)
		if err != nil {
			t.Fatal(err)
		}
		if regexp.MustCompile(`(?m)^(\[.*\] *)?stop\b`).Match(text) {
			t.Errorf("%s ends before its end: a server is ended by halt", script)
		}
	}
}

type valueName string

// ofTest leads from a script to its test.
const ofTest valueName = "test"

// needs skips the rest of a script where the machine cannot do what it needs:
// needs mounts, or needs disks. Not by a condition of the script, which a verbose
// log repeats, also where it does not hold: .ci/run counts the words.
func needs(ts *testscript.TestScript, _ bool, args []string) {
	can := map[string]func() bool{"mounts": canMount, "disks": canMakeDisks}[args[0]]
	if !can() {
		ts.Value(ofTest).(testscript.T).Skip("SKIPPED-MOUNT TestScripts/"+ts.Name(), "needs", args[0])
	}
}

// canMount says whether this machine lets us mount at all.
func canMount() bool {
	_, err := os.Stat("/dev/fuse")
	return err == nil && os.Geteuid() == 0
}

// execExits runs a command that must exit with a code: exits CODE COMMAND...
func execExits(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	err = ts.Exec(args[1], args[2:]...)
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

// binary writes a file of bytes that a script cannot hold: binary FILE HEX
func binary(ts *testscript.TestScript, _ bool, args []string) {
	var data []byte
	_, err := fmt.Sscanf(args[1], "%x", &data)
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), data, 0o600))
}

// crash kills the server of a store; halt asks it to end. Both wait for it.
func crash(ts *testscript.TestScript, _ bool, args []string) { end(ts, args[0], unix.SIGKILL) }
func halt(ts *testscript.TestScript, _ bool, args []string)  { end(ts, args[0], unix.SIGTERM) }

func end(ts *testscript.TestScript, dir string, sig unix.Signal) {
	dir = ts.MkAbs(dir)
	server, err := serverOf(dir)
	ts.Check(err)
	if server.fd < 0 {
		ts.Fatalf("nobody serves %s", dir)
	}
	defer server.Close()
	ts.Check(unix.PidfdSendSignal(server.fd, sig, nil, 0))
	ts.Check(server.wait())
}

// missing fails if a file is there: missing FILE...
func missing(ts *testscript.TestScript, _ bool, args []string) {
	for _, name := range args {
		if _, err := os.Lstat(ts.MkAbs(name)); !errors.Is(err, fs.ErrNotExist) {
			ts.Fatalf("%s: %v", name, err)
		}
	}
}

// cleanUp ends the mounts and servers that a script has left in its directory.
func cleanUp(dir string) {
	table, _ := os.ReadFile("/proc/self/mountinfo")
	for line := range strings.Lines(string(table)) {
		if fields := strings.Fields(line); len(fields) > 4 && strings.HasPrefix(fields[4], dir+"/") {
			unix.Unmount(fields[4], unix.MNT_DETACH)
		}
	}
	filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Name() == pidName {
			if server, err := serverOf(filepath.Dir(path)); err == nil && server.fd >= 0 {
				unix.PidfdSendSignal(server.fd, unix.SIGKILL, nil, 0)
				server.wait()
				server.Close()
			}
		}
		return nil
	})
}
