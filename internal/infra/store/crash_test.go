package store_test

import (
	"bufio"
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"assay.dev/assay/internal/audit"
	"assay.dev/assay/internal/infra/store"
	"assay.dev/assay/internal/word/event"
	"assay.dev/assay/internal/word/uid"
)

// crashDir tells this binary that it is the process to be killed, and where its database is.
const crashDir = "ASSAY_TEST_CRASH_DIR"

// TestMain lets the binary run itself as the process that gets killed.
func TestMain(m *testing.M) {
	if dir := os.Getenv(crashDir); dir != "" {
		os.Exit(crashing(dir))
	}
	os.Exit(m.Run())
}

// crashing writes as fast as it can and prints the subject of every acknowledged unit. It never ends by itself.
func crashing(dir string) int {
	s, err := openFor(dir)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	go func() { _ = s.Run(context.Background()) }() // it ends with the process
	var out sync.Mutex
	for worker := range 8 {
		go func() {
			for i := 0; ; i++ {
				subject := strconv.Itoa(os.Getpid()) + "." + strconv.Itoa(worker) + "." + strconv.Itoa(i)
				c := call()
				c.Start = time.Now().Add(-time.Duration(i%100) * time.Microsecond)
				err := s.Unit(audit.WithCall(context.Background(), c), orgA, audit.Event{Type: event.ScanSubmitted, Resource: audit.Resource{Kind: "scan", ID: subject}},
					func(ctx context.Context, tx *store.Tx) error { return tx.Note(ctx, subject, nil) })
				if err != nil {
					fmt.Fprintln(os.Stderr, err)
					os.Exit(1)
				}
				out.Lock()
				_, err = fmt.Println(subject)
				out.Unlock()
				if err != nil {
					return
				}
			}
		}()
	}
	select {}
}

func openFor(dir string) (*store.Store, error) {
	cfg := store.Config{
		Now: time.Now, IDs: uid.NewSource(time.Now, rand.Reader), Rand: rand.Reader,
		Logger: slog.New(slog.DiscardHandler),
	}
	if strings.HasPrefix(dir, "postgres") {
		cfg.DSN = dir
	} else {
		cfg.Path = filepath.Join(dir, "assay.db")
	}
	return store.Open(context.Background(), cfg)
}

func TestNothingAcknowledgedIsLostWhenTheProcessIsKilled(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	acknowledged := map[string]bool{}
	for kill := range 5 {
		runAndKill(t, dir, 100+kill*137, acknowledged)
	}
	s, err := openFor(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close(context.Background()) //nolint:errcheck // a test's database
	c := settled(t, s)
	if c.Entries != c.Outbox || c.Entries < int64(len(acknowledged)) {
		t.Errorf("%d entries, %d outbox rows, %d acknowledged", c.Entries, c.Outbox, len(acknowledged))
	}
	seen := map[string]bool{}
	err = s.EachLogged(t.Context(), orgA, 0, c.Size, func(l store.Logged) error {
		leaf, err := audit.ParseLeaf(l.Leaf)
		seen[leaf.Resource.ID] = true
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for subject := range acknowledged {
		if !seen[subject] {
			t.Errorf("acknowledged %s has no entry", subject)
		}
		if events, err := s.Events(t.Context(), orgA, subject, 0, 2); err != nil || len(events) != 1 {
			t.Errorf("acknowledged %s has %d events, %v", subject, len(events), err)
		}
	}
	if got := column(t, s.Database(), "PRAGMA integrity_check"); len(got) != 1 || got[0] != "ok" {
		t.Errorf("integrity_check: %v", got)
	}
}

// runAndKill starts the writing process, kills it after so many acknowledgements, and notes them.
func runAndKill(t *testing.T, dir string, after int, acknowledged map[string]bool) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), crashDir+"="+dir)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for n := 0; n < after && lines.Scan(); n++ {
		acknowledged[lines.Text()] = true
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	for lines.Scan() { // what it had said before it died
		if line := lines.Text(); strings.Count(line, ".") == 2 {
			acknowledged[line] = true
		}
	}
	_ = cmd.Wait() // killed
	if stderr.Len() > 0 {
		t.Fatal(stderr.String())
	}
}

// TestTheLogsEdgeIsRebuiltFromItsLeafHashes damages what is derived, in every way, and opens the database again.
func TestTheLogsEdgeIsRebuiltFromItsLeafHashes(t *testing.T) {
	t.Parallel()
	for name, damage := range map[string]string{
		"state lost":    "DELETE FROM log_state",
		"state behind":  "UPDATE log_state SET size = 0, state = X'010000000000000000'",
		"state broken":  "UPDATE log_state SET state = X'01'",
		"node lost":     "DELETE FROM log_node WHERE level = 4",
		"node changed":  "UPDATE log_node SET hash = zeroblob(32) WHERE level = 4",
		"nothing wrong": "SELECT 1",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			s, err := openFor(dir)
			if err != nil {
				t.Fatal(err)
			}
			for range 23 {
				if err := s.Record(t.Context(), orgA, logged()); err != nil {
					t.Fatal(err)
				}
			}
			before := settled(t, s)
			if err := s.Alter(t.Context(), damage); err != nil {
				t.Fatal(err)
			}
			if err := s.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
			if s, err = openFor(dir); err != nil {
				t.Fatal(err)
			}
			defer s.Close(context.Background()) //nolint:errcheck // a test's database
			if err := s.Record(t.Context(), orgA, logged()); err != nil {
				t.Fatal(err)
			}
			after := settled(t, s)
			if after.Entries != before.Entries+1 || after.Nodes != before.Nodes+3 {
				t.Errorf("before %+v, after %+v", before, after)
			}
		})
	}
}

func TestAMissingEntryIsNotPaperedOver(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, err := openFor(dir)
	if err != nil {
		t.Fatal(err)
	}
	for range 5 {
		if err := s.Record(t.Context(), orgA, logged()); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Alter(t.Context(), "DELETE FROM audit_entry WHERE idx = 2"); err != nil {
		t.Fatal(err)
	}
	if err := s.EachLogged(t.Context(), orgA, 0, 5, func(store.Logged) error { return nil }); err == nil {
		t.Error("an export passed over the gap")
	}
	if err := s.Alter(t.Context(), "DELETE FROM log_state"); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s, err := openFor(dir); err == nil {
		_ = s.Close(t.Context())
		t.Error("the log was rebuilt over the gap")
	}
}
