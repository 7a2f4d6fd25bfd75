package tests

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// needMount skips a test on a machine that cannot mount. The words are counted by
// .ci/run, which fails where there is a /dev/fuse.
func needMount(t testing.TB) {
	t.Helper()
	f, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0)
	if err != nil {
		skipMount(t, err.Error())
	}
	f.Close()
	if os.Geteuid() != 0 {
		skipMount(t, "needs root")
	}
}

func skipMount(t testing.TB, why string) {
	t.Helper()
	t.Skip("SKIPPED-MOUNT "+t.Name()+":", why)
}

var unescapeMount = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)

// mountsBelow lists mount points at or below a folder, the innermost first.
func mountsBelow(dir string) []string {
	table, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil
	}
	var points []string
	for line := range strings.Lines(string(table)) {
		fields := strings.Fields(line)
		if len(fields) < 5 {
			continue
		}
		point := unescapeMount.Replace(fields[4])
		if point == dir || strings.HasPrefix(point, dir+"/") {
			points = append(points, point)
		}
	}
	slices.Reverse(points)
	return points
}

func isMounted(point string) bool { return slices.Contains(mountsBelow(point), point) }

// detach takes a mount away whether or not anybody answers for it.
func detach(point string) error { return syscall.Unmount(point, syscall.MNT_DETACH) }

// serversOf lists the processes that run a program built here and have an
// argument; all of them for "".
func serversOf(argument string) []int {
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	var pids []int
	for _, dir := range dirs {
		exe, err := os.Readlink(filepath.Join(dir, "exe"))
		exe = strings.TrimSuffix(exe, " (deleted)")
		if err != nil || filepath.Base(exe) != "kivaloo" || !strings.HasPrefix(exe, base+"/") {
			continue
		}
		line, _ := os.ReadFile(filepath.Join(dir, "cmdline"))
		if argument != "" && !slices.Contains(strings.Split(string(line), "\x00"), argument) {
			continue
		}
		if pid, err := strconv.Atoi(filepath.Base(dir)); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

// kill ends a process as a power cut would and waits until it is gone.
func kill(pid int) {
	syscall.Kill(pid, syscall.SIGKILL)
	eventually(10*time.Second, func() bool { return isGone(pid) })
}

// isGone counts a zombie as gone, since whoever must wait for it may be slow; but
// not while it has other threads: the last one closes files and sockets.
func isGone(pid int) bool {
	if errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
		return true
	}
	dir := "/proc/" + strconv.Itoa(pid)
	status, err := os.ReadFile(dir + "/stat")
	if err != nil {
		return true
	}
	threads, _ := os.ReadDir(dir + "/task")
	_, after, _ := strings.Cut(string(status), ") ")
	return strings.HasPrefix(after, "Z") && len(threads) <= 1
}

// eventually says whether something became true in time.
func eventually(limit time.Duration, done func() bool) bool {
	for end := time.Now().Add(limit); ; time.Sleep(5 * time.Millisecond) {
		if done() {
			return true
		}
		if time.Now().After(end) {
			return false
		}
	}
}
