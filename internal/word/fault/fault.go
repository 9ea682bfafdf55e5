// Package fault is the one error type that crosses every layer of Assay.
//
// A fault has three readers, kept apart: a machine reads Kind and Code, a person reads Text and Fields, and only the
// operator's log reads the cause. Text must never hold a submitted value, a host path, SQL or a secret, because
// package web/problem sends it to whoever called. A plain error counts as Internal: its text stays inside.
//
// The kinds are closed. Three total switches turn them into what their reader expects: web/problem into HTTP, worker
// into a retry decision, cli into an exit code.
package fault

import (
	"context"
	"errors"
	"time"
)

// Kind says what sort of failure it was, independent of transport.
type Kind uint8

// The ten kinds. Internal is the zero value, so that a forgotten kind is never mistaken for the caller's mistake.
const (
	Internal        Kind = iota // our defect; the cause is logged, the caller learns nothing
	Invalid                     // well-formed but wrong input
	Unauthenticated             // who are you
	Forbidden                   // you may not
	NotFound                    // it isn't there, or belongs to another organization
	Conflict                    // the present state doesn't allow it
	Exhausted                   // a window, quota or bound is used up
	Unavailable                 // a part we need doesn't answer now; a retry may help
	Unsupported                 // we never do this
	Canceled                    // the caller, or a person, stopped it
)

// String returns the kind's name in snake case, as logs and metrics show it.
func (k Kind) String() string {
	switch k {
	case Internal:
		return "internal"
	case Invalid:
		return "invalid"
	case Unauthenticated:
		return "unauthenticated"
	case Forbidden:
		return "forbidden"
	case NotFound:
		return "not_found"
	case Conflict:
		return "conflict"
	case Exhausted:
		return "exhausted"
	case Unavailable:
		return "unavailable"
	case Unsupported:
		return "unsupported"
	case Canceled:
		return "canceled"
	}
	return "internal"
}

// Field is one wrong place in an input. Location is a dotted path (`options.ports`), Message says what is wanted;
// neither ever repeats the submitted value.
type Field struct {
	Location string
	Message  string
}

// Error is a failure with its three audiences apart. It is immutable after construction; the With methods copy.
type Error struct {
	Kind       Kind
	Code       Code
	Text       string
	Fields     []Field
	RetryAfter time.Duration // 0 = unknown; only for Exhausted and Unavailable
	cause      error
}

// New makes a fault. text is for the user: what happened, to what, and what to do.
func New(kind Kind, code Code, text string) *Error {
	return &Error{Kind: kind, Code: code, Text: text}
}

// Error returns the text for logs: code, text and the cause, if there is one. It must not be sent to a user.
func (e *Error) Error() string {
	s := string(e.Code) + ": " + e.Text
	if e.cause != nil {
		s += ": " + e.cause.Error()
	}
	return s
}

// Unwrap returns the cause, for errors.Is and errors.As.
func (e *Error) Unwrap() error { return e.cause }

// Is reports whether target is a fault of the same code, so that a package may export a fault as a sentinel.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Code == e.Code && t.Kind == e.Kind
}

// Because returns a copy that carries the cause. The cause is for the operator's log only.
func (e *Error) Because(cause error) *Error {
	c := *e
	c.cause = cause
	return &c
}

// With returns a copy that names one more wrong place.
func (e *Error) With(location, message string) *Error {
	c := *e
	c.Fields = append(append([]Field(nil), e.Fields...), Field{Location: location, Message: message})
	return &c
}

// After returns a copy that says when a retry makes sense.
func (e *Error) After(d time.Duration) *Error {
	c := *e
	c.RetryAfter = d
	return &c
}

// Of returns the fault in err's chain. A context's end becomes Canceled, any other plain error becomes Internal with
// err as its cause; nil stays nil.
func Of(err error) *Error {
	if err == nil {
		return nil
	}
	if f, ok := errors.AsType[*Error](err); ok {
		return f
	}
	if errors.Is(err, context.Canceled) {
		return New(Canceled, CodeCanceled, "the request was cancelled").Because(err)
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return New(Unavailable, CodeUnavailable, "this took too long; try again").Because(err)
	}
	return New(Internal, CodeInternal, "something went wrong on our side; the log has the details under the request id").Because(err)
}

// KindOf returns the kind of err; a nil error has none and must not be asked about (it answers Internal).
func KindOf(err error) Kind {
	if f := Of(err); f != nil {
		return f.Kind
	}
	return Internal
}

// Wrong starts a VALIDATION_ERROR that names one wrong place.
func Wrong(location, message string) *Error {
	return New(Invalid, CodeValidation, "the request is well-formed but wrong").With(location, message)
}

// AllWrong is Wrong for several places at once, in their order; nil where there are none.
func AllWrong(fields []Field) error {
	if len(fields) == 0 {
		return nil
	}
	f := Wrong(fields[0].Location, fields[0].Message)
	for _, w := range fields[1:] {
		f = f.With(w.Location, w.Message)
	}
	return f
}

// Missing is the answer for anything that isn't there or belongs to someone else: one text for both, on purpose.
func Missing(what string) *Error {
	return New(NotFound, CodeNotFound, what+" not found")
}
