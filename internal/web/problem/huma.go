package problem

import (
	"context"
	"net/http"
	"strings"
	"sync"

	"github.com/danielgtaylor/huma/v2"

	"assay.dev/assay/internal/word/fault"
)

// MetadataFamily is the key of an operation's metadata under which its Family stands.
const MetadataFamily = "family"

// HeaderRequestID carries the request's id; the edge sets it on every response before a handler runs.
const HeaderRequestID = "X-Request-Id"

var hooks sync.Once //nolint:gochecknoglobals // guards huma's process-wide variables, which are set exactly once

// Install sets huma's three process-wide variables: both error constructors, which are stateless, and strict casing,
// without which a member that differs from its name in case only passes validation by. Only web/api calls it; further
// calls do nothing.
func Install() {
	hooks.Do(func() {
		huma.ValidateStrictCasing = true
		huma.NewErrorWithContext = fromHuma
		huma.NewError = func(status int, msg string, errs ...error) huma.StatusError {
			return From(Platform, "", transportFault(status, msg, errs))
		}
	})
}

func fromHuma(ctx huma.Context, status int, msg string, errs ...error) huma.StatusError {
	family := Platform
	if op := ctx.Operation(); op != nil {
		if f, ok := op.Metadata[MetadataFamily].(Family); ok {
			family = f
		}
	}
	d := From(family, requestID(ctx.Context()), transportFault(status, msg, errs))
	for k, v := range d.headers {
		ctx.SetHeader(k, v[0])
	}
	return d
}

// WithRequestID leaves the request's id for the documents that huma makes.
func WithRequestID(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, requestIDKey{}, id)
}

type requestIDKey struct{}

func requestID(ctx context.Context) string {
	id, _ := ctx.Value(requestIDKey{}).(string)
	return id
}

// transportFault turns what huma found into ours. Huma's own words pass only where they are known to hold no value.
func transportFault(status int, msg string, errs []error) error {
	switch status {
	case http.StatusRequestEntityTooLarge:
		return TooLarge()
	case http.StatusUnsupportedMediaType:
		return MediaType("send JSON in UTF-8 (Content-Type: application/json)")
	case http.StatusRequestTimeout:
		return Timeout()
	case http.StatusBadRequest, http.StatusUnprocessableEntity:
		return validation(status, msg, errs)
	}
	if len(errs) == 1 {
		return errs[0]
	}
	return Panicked()
}

func validation(status int, msg string, errs []error) error {
	f := fault.New(fault.Invalid, fault.CodeValidation, "the request is well-formed but wrong")
	for _, err := range errs {
		d, ok := err.(huma.ErrorDetailer)
		if !ok {
			f = f.With("body", "is not valid")
			continue
		}
		detail := d.ErrorDetail()
		f = f.With(Location(detail.Location), SafeMessage(detail.Message))
	}
	if status == http.StatusBadRequest {
		if len(errs) == 0 && strings.Contains(msg, "body is required") {
			f = f.With("body", "a JSON object is required")
		}
		f.Text = "the request can't be read"
		return &transport{fault: f, status: http.StatusBadRequest}
	}
	return f
}

// SafeMessage lets a validator's message pass where it is one of those built from the schema alone, without the part
// after a colon, in which parsers quote their input. Anything else becomes "is not valid".
func SafeMessage(msg string) string {
	if strings.HasPrefix(msg, "expected string to be ") || strings.HasPrefix(msg, "expected duration") {
		if !strings.HasPrefix(msg, "expected string to be one of") {
			msg, _, _ = strings.Cut(msg, ":")
		}
	}
	if strings.HasPrefix(msg, "invalid value:") {
		return "invalid value"
	}
	for _, known := range []string{"expected ", "required ", "unexpected property", "unknown query parameter", "must ", "is ", "invalid "} {
		if strings.HasPrefix(msg, known) {
			return msg
		}
	}
	return "is not valid"
}
