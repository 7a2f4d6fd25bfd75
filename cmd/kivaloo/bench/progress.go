package bench

import (
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// On a terminal a line changes in place; it is not shown for what is over
	// before anybody could read it.
	progressEvery = 500 * time.Millisecond
	// Elsewhere each is a line of its own, which a log need not have often.
	progressLogEvery = 15 * time.Second
)

// showProgress tells from time to time how far a job is, until stop is called.
func showProgress(to io.Writer, what string, j *job) (stop func()) {
	every, begin, end := progressLogEvery, "", "\n"
	if isTerminal(to) {
		every, begin, end = progressEvery, "\r\x1b[K", "" // to the line's start, and clear it
	}
	quit, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		ticker := time.NewTicker(every)
		defer ticker.Stop()
		began, shown := time.Now(), false
		for {
			select {
			case <-ticker.C:
				fmt.Fprint(to, begin, what, ": ", j.progress(time.Since(began)), end)
				shown = true
			case <-quit:
				if shown {
					fmt.Fprint(to, begin)
				}
				return
			}
		}
	}()
	return func() { close(quit); <-ended }
}

// progress is how far a job is after a time.
func (j *job) progress(took time.Duration) string {
	n := j.done.Load()
	rate := float64(n) / took.Seconds()
	if j.count > 0 {
		return fmt.Sprintf("%d of %d, %.0f a second", n, j.count, rate)
	}
	return fmt.Sprintf("%d, %.0f a second, %.0f s left", n, rate, max(0, time.Until(j.until).Seconds()))
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}
