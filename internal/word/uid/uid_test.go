package uid_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"assay.dev/assay/internal/word/uid"
)

func TestIdsAreVersionSevenAndCarryTheTime(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 22, 5, 24, 0, 123e6, time.UTC)
	id := uid.NewSource(func() time.Time { return at }, rand.Reader).New()
	if !uid.Valid(id) || id[14] != '7' || !strings.ContainsRune("89ab", rune(id[19])) {
		t.Errorf("%s is no UUIDv7", id)
	}
	if at.UnixMilli() != millis(t, id) {
		t.Errorf("%s carries %d, want %d", id, millis(t, id), at.UnixMilli())
	}
}

func millis(t *testing.T, id string) (ms int64) {
	t.Helper()
	for _, c := range strings.ReplaceAll(id, "-", "")[:12] {
		ms = ms<<4 | int64(strings.IndexRune("0123456789abcdef", c))
	}
	return ms
}

func TestIdsRiseStrictlyWhateverTheClockDoes(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		now := time.UnixMilli(1_800_000_000_000)
		s := uid.NewSource(func() time.Time { return now }, rand.Reader)
		last := ""
		for range rapid.IntRange(1, 50).Draw(t, "ids") {
			now = now.Add(time.Duration(rapid.IntRange(-3, 3).Draw(t, "step")) * time.Millisecond)
			id := s.New()
			if id <= last || !uid.Valid(id) {
				t.Fatalf("%s follows %s", id, last)
			}
			last = id
		}
	})
}

func TestIdsOfManyGoroutinesAreDistinct(t *testing.T) {
	t.Parallel()
	s := uid.NewSource(time.Now, rand.Reader)
	var mu sync.Mutex
	seen := map[string]bool{}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 5000 {
				id := s.New()
				mu.Lock()
				if seen[id] {
					t.Errorf("%s came twice", id)
				}
				seen[id] = true
				mu.Unlock()
			}
		})
	}
	wg.Wait()
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, errors.New("no entropy") }

func TestNoIdIsMadeWithoutRandomness(t *testing.T) {
	t.Parallel()
	defer func() {
		if recover() == nil {
			t.Error("an id was made from nothing")
		}
	}()
	uid.NewSource(time.Now, broken{}).New()
}

func FuzzValidTakesOnlyTheCanonicalForm(f *testing.F) {
	for _, s := range []string{
		"", string(uid.System), "01900000-0000-7000-8000-00000000000A", "{01900000-0000-7000-8000-00000000000a}",
		"01900000000070008000000000000000", "01900000-0000-7000-8000-00000000000a\n", strings.Repeat("-", 36),
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if !uid.Valid(s) {
			return
		}
		if len(s) != 36 || strings.ToLower(s) != s || strings.Count(s, "-") != 4 || bytes.ContainsAny([]byte(s), "\x00 '\"\n") {
			t.Errorf("%q counts as an id", s)
		}
	})
}
