package fault_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"assay.dev/assay/internal/word/fault"
)

func TestAPlainErrorIsOursAndItsTextStaysInside(t *testing.T) {
	t.Parallel()
	f := fault.Of(fmt.Errorf("reading /secret/path: %w", io.ErrUnexpectedEOF))
	if f.Kind != fault.Internal || f.Code != fault.CodeInternal || !errors.Is(f, io.ErrUnexpectedEOF) {
		t.Errorf("got %+v", f)
	}
	if f.Text != fault.Of(errors.New("other")).Text {
		t.Error("the text tells of the cause")
	}
}

func TestTheEndOfAContextIsNoDefect(t *testing.T) {
	t.Parallel()
	for err, want := range map[error]fault.Kind{
		context.Canceled: fault.Canceled,
		fmt.Errorf("x: %w", context.DeadlineExceeded): fault.Unavailable,
		fault.Missing("scan"):                         fault.NotFound,
		fmt.Errorf("x: %w", fault.Wrong("a", "b")):    fault.Invalid,
	} {
		if got := fault.KindOf(err); got != want {
			t.Errorf("%v is %s, want %s", err, got, want)
		}
	}
	if fault.Of(nil) != nil {
		t.Error("no error became one")
	}
}

func TestAFaultIsNeverChangedOnlyCopied(t *testing.T) {
	t.Parallel()
	first := fault.Wrong("a", "is wrong")
	second := first.With("b", "too").After(time.Second).Because(io.EOF)
	third := first.With("c", "as well")
	if len(first.Fields) != 1 || first.RetryAfter != 0 || first.Unwrap() != nil || third.Fields[1].Location != "c" || second.Fields[1].Location != "b" {
		t.Errorf("got %+v, %+v, %+v", first, second, third)
	}
	if !errors.Is(second, first) || errors.Is(second, fault.Missing("x")) || !errors.Is(second, io.EOF) {
		t.Error("a fault isn't recognised by its code")
	}
}
