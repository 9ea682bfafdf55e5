package testkit_test

import (
	"testing"
	"time"

	"assay.dev/assay/internal/infra/store"
	"assay.dev/assay/internal/testkit"
)

func TestEachOpensAFreshDatabaseOfEveryKind(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s *store.Store) {
		ours, theirs := testkit.TwoOrgs(t, s)
		if ours == theirs {
			t.Fatal("the two organizations are one")
		}
		list, err := s.Admin().Organizations(t.Context())
		if err != nil || len(list) != 2 {
			t.Fatalf("organizations = %v, %v; want two", list, err)
		}
	})
}

func TestClockMovesOnlyByHand(t *testing.T) {
	t.Parallel()
	c := testkit.NewClock()
	if !c.Now().Equal(testkit.Epoch()) {
		t.Errorf("a new clock shows %v", c.Now())
	}
	if got := c.Advance(time.Minute); !got.Equal(testkit.Epoch().Add(time.Minute)) || !c.Now().Equal(got) {
		t.Errorf("after a minute the clock shows %v", c.Now())
	}
}

func TestGoldenComparesWithTheFile(t *testing.T) {
	t.Parallel()
	testkit.Golden(t, "greeting.txt", []byte("good morning\n"))
}
