package cli_test

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"assay.dev/assay/internal/client"
	"assay.dev/assay/internal/testkit"
)

func TestAServerKilledWhileScansRunAndWaitGoesOnWithBoth(t *testing.T) {
	t.Parallel()
	e := newEstate(t)
	e.start()
	e.concurrency(1)
	held := e.submit("127.0.2.1")
	queued := []string{e.submit("127.0.1.1"), e.submit("127.0.1.2")}
	e.wait(held, "running", running(1))
	e.until("the engine's start", func() bool { return len(e.survivors()) == 1 })
	e.s.kill()
	if len(e.survivors()) != 1 {
		t.Fatal("the engine left no survivor; this test proves nothing")
	}

	e.start()
	if left := e.survivors(); len(left) > 1 {
		t.Errorf("survivors of the killed server are alive beside the new run: %v", left)
	}
	e.wait(held, "running again", running(2))
	e.until("the engine's second start", func() bool { return len(e.starts("127.0.2.1")) == 2 })
	for _, id := range queued {
		if s := e.get(id); s.Status != "queued" || s.Attempt != 0 {
			t.Errorf("a waiting scan is %s, attempt %d, while the one place is taken", s.Status, s.Attempt)
		}
	}
	e.release()
	if s := e.wait(held, "completed", completed); s.Attempt != 2 || s.Outcome != "complete" || s.Summary.Total != 3 {
		t.Errorf("the interrupted scan ended with attempt %d, outcome %s, %+v", s.Attempt, s.Outcome, s.Summary)
	}
	for i, id := range queued {
		if s := e.wait(id, "completed", completed); s.Attempt != 1 || s.Summary.Total != 3 {
			t.Errorf("a queued scan ended with attempt %d and %+v", s.Attempt, s.Summary)
		}
		if n := len(e.starts(fmt.Sprintf("127.0.1.%d", i+1))); n != 1 {
			t.Errorf("a queued scan's engine was started %d times", n)
		}
	}
	e.sound()
	if left := e.survivors(); len(left) > 0 {
		t.Errorf("an ended scan's processes are alive: %v", left)
	}
}

func TestAServerKilledWhileItReadsResultsReadsThemAgainWhole(t *testing.T) {
	t.Parallel()
	e := newEstate(t)
	e.start()
	const total = 256 * enginePorts * 3
	var id, target string
	var s scan
	// When the engine has ended its report is read, which takes a while; where that was over before the kill, the next
	// one comes sooner.
	for n, delay := range []time.Duration{200, 100, 50, 20, 0} {
		target = fmt.Sprintf("127.0.%d.0/24", 8+n)
		id = e.submit(target)
		e.until("the engine's end", func() bool { return slices.Contains(e.lines("ends"), target) })
		<-time.After(delay * time.Millisecond)
		e.s.kill()
		e.start()
		if s = e.wait(id, "completed", completed); s.Attempt > 1 {
			break
		}
	}
	if s.Attempt != 2 || s.Summary.Total != total {
		t.Errorf("attempt %d found %d, want the second with %d", s.Attempt, s.Summary.Total, total)
	}
	first := e.findings(id)
	if len(first) != total {
		t.Errorf("the results hold %d different findings, want %d", len(first), total)
	}
	// A scan after that sees the same findings, not new ones beside what the killed run had left.
	again := e.submit(target)
	e.wait(again, "completed", completed)
	if second := e.findings(again); !slices.Equal(first, second) {
		t.Errorf("a second scan sees %d findings that are not the %d of the first", len(second), len(first))
	}
	e.sound()
}

// findings returns the ids of a scan's findings, sorted, each once.
func (e *estate) findings(id string) []string {
	e.t.Helper()
	var ids []string
	for cursor := ""; ; {
		page, err := e.api.Results(e.t.Context(), id, cursor, 100)
		if err != nil {
			e.t.Fatal(err)
		}
		for _, f := range page.Findings {
			ids = append(ids, f.ID)
		}
		if cursor = page.Pagination.NextCursor; cursor == "" {
			slices.Sort(ids)
			return slices.Compact(ids)
		}
	}
}

// TestKilledAtAnyMomentNothingAcknowledgedIsLost kills the server at moments that nobody chose: while it takes orders,
// starts engines, reads results, or writes the end. A caller who got no answer asks again with the same key.
func TestKilledAtAnyMomentNothingAcknowledgedIsLost(t *testing.T) {
	t.Parallel()
	const lives, perLife = 7, 4
	e := newEstate(t)
	e.start()
	e.concurrency(3)
	acknowledged := map[string]string{} // idempotency key → scan
	order := func(n int) {
		key, target := fmt.Sprintf("order-%d", n), fmt.Sprintf("127.0.1.%d", n+1)
		s, err := e.api.Submit(t.Context(), client.Order{Target: target, ScanType: "nmap", Tags: []string{"random"}}, key)
		if err != nil {
			return // the server was killed under the call
		}
		if known, ok := acknowledged[key]; ok && known != s.ID {
			t.Errorf("order %s was taken twice: %s and %s", key, known, s.ID)
		}
		acknowledged[key] = s.ID
	}
	for life := range lives {
		moment := time.Duration(rand.IntN(900)) * time.Millisecond
		killed := make(chan struct{})
		s := e.s
		time.AfterFunc(moment, func() {
			s.kill()
			close(killed)
		})
		for n := range perLife {
			order(life*perLife + n)
		}
		<-killed
		e.start()
	}
	for n := range lives * perLife {
		order(n) // again, for those without an answer
	}
	if len(acknowledged) != lives*perLife {
		t.Fatalf("%d of %d orders were taken by a healthy server", len(acknowledged), lives*perLife)
	}
	interrupted := 0
	for key, id := range acknowledged {
		s := e.wait(id, "ended", func(s scan) bool { return s.Terminal() })
		switch {
		case s.Status == "completed" && s.Summary.Total == 3 && s.Outcome == "complete":
		case s.Status == "failed" && s.Error.Code == "SCAN_INTERRUPTED" && s.Attempt == 3:
			interrupted++
		default:
			t.Errorf("%s ended as %s after %d attempts: %+v %+v", key, s.Status, s.Attempt, s.Error, s.Summary)
		}
	}
	page, err := e.api.Scans(t.Context(), client.ListQuery{Tag: "random", Limit: 100})
	if err != nil || len(page.Scans) != lives*perLife {
		t.Errorf("the server holds %d scans, %v; want %d", len(page.Scans), err, lives*perLife)
	}
	t.Logf("%d scans over %d lives, %d given up after three interruptions", len(acknowledged), lives, interrupted)
	e.sound()
}

func TestAStoppedServerGivesItsScansBackUncounted(t *testing.T) {
	t.Parallel()
	e := newEstate(t)
	e.start()
	e.concurrency(1)
	held, queued := e.submit("127.0.2.1"), e.submit("127.0.1.1")
	e.wait(held, "running", running(1))
	e.until("the engine's start", func() bool { return len(e.survivors()) == 1 })
	began := time.Now()
	code, err := e.s.stop()
	if err != nil || code != 0 {
		t.Fatalf("the server exits %d, %v\n%s", code, err, e.s.log.String())
	}
	if took := time.Since(began); took > 15*time.Second {
		t.Errorf("a stop with a timeout of 5s took %v", took)
	}
	if left := e.survivors(); len(left) > 0 {
		t.Errorf("the stopped server left engine processes: %v", left)
	}

	e.start()
	e.wait(held, "running, the stopped attempt not counted", running(1))
	e.release()
	for _, id := range []string{held, queued} {
		if s := e.wait(id, "completed", completed); s.Attempt != 1 || s.Summary.Total != 3 {
			t.Errorf("ended with attempt %d and %+v", s.Attempt, s.Summary)
		}
	}
	e.sound()
}

func TestTwoServersOnOneDatabaseRunEachScanOnceAndTakeOverFromTheDead(t *testing.T) {
	t.Parallel()
	key := filepath.Join(t.TempDir(), "master.key")
	if err := writeFile(key, "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\n"); err != nil {
		t.Fatal(err)
	}
	e := newEstate(t, "ASSAY_DATABASE="+testkit.Database(t), "ASSAY_MASTER_KEY_FILE="+key)
	e.start()
	first, firstAPI := e.s, e.api
	second, secondAPI := e.launch(filepath.Join(e.dir, "second"))
	t.Cleanup(second.kill)
	e.concurrency(6)

	var ids []string
	for n := range 24 {
		e.api = firstAPI
		if n%2 == 1 {
			e.api = secondAPI
		}
		ids = append(ids, e.submit(fmt.Sprintf("127.0.1.%d", n+1)))
	}
	by := map[int]int{}
	for n, id := range ids {
		if s := e.wait(id, "completed", completed); s.Attempt != 1 || s.Summary.Total != 3 {
			t.Errorf("ended with attempt %d and %+v", s.Attempt, s.Summary)
		}
		parents := e.starts(fmt.Sprintf("127.0.1.%d", n+1))
		if len(parents) != 1 {
			t.Errorf("scan %d was started %d times", n, len(parents))
			continue
		}
		by[parents[0]]++
	}
	t.Logf("scans by process: %v", by)

	held := e.submit("127.0.4.1")
	e.wait(held, "running", running(1))
	e.until("the engine's start", func() bool { return len(e.starts("127.0.4.1")) == 1 })
	dead, alive := first, second
	if e.starts("127.0.4.1")[0] == second.cmd.Process.Pid {
		dead, alive = second, first
	}
	dead.kill()
	e.s = alive
	began := time.Now()
	e.wait(held, "taken over", running(2))
	took := time.Since(began)
	if took > time.Minute {
		t.Errorf("the take-over took %v", took)
	}
	t.Logf("taken over after %v", took.Round(time.Second))
	e.until("the engine's second start", func() bool { return len(e.starts("127.0.4.1")) == 2 })
	if parent := e.starts("127.0.4.1")[1]; parent != alive.cmd.Process.Pid {
		t.Errorf("the second start is of process %d, not of the living server", parent)
	}
	e.release()
	if s := e.wait(held, "completed", completed); s.Summary.Total != 3 {
		t.Errorf("ended with %+v", s.Summary)
	}
	if alive == second {
		e.data = filepath.Join(e.dir, "second")
	}
	e.sound()
}
