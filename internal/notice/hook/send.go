package hook

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unicode"
	"unicode/utf8"

	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/uid"
)

// Bounds of reading an answer.
const (
	answerKept  = 1 << 10         // of the body
	answerDrain = 8 << 10         // read further, so that the connection can be used again
	answerTime  = 2 * time.Second // for the body, once the status is known
)

// Opener opens sealed secrets.
type Opener interface {
	Open(org uid.Org, record string, sealed []byte) ([]byte, error)
}

// Sender makes single tries. It is safe for concurrent use.
type Sender struct {
	http *http.Client
	keys Opener
	now  func() time.Time
}

// NewSender returns a sender on a way out that holds the address policy. Redirects are never followed: they are an
// answer like any other, and no success.
func NewSender(out http.RoundTripper, keys Opener, now func() time.Time) *Sender {
	return &Sender{
		keys: keys, now: now,
		http: &http.Client{Transport: out, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
	}
}

// Send makes one try within SendTimeout and says what came of it. It never fails: that nothing was sent is an outcome.
func (s *Sender) Send(ctx context.Context, l Letter) Outcome {
	o := Outcome{Letter: l, Attempt: Attempt{N: l.Attempts + 1, At: instant(s.now)}}
	start := s.now()
	s.try(ctx, l, &o)
	o.Took = max(s.now().Sub(start), 0).Truncate(time.Microsecond)
	return o
}

func (s *Sender) try(ctx context.Context, l Letter, o *Outcome) {
	keys, err := s.open(l)
	defer func() {
		for _, k := range keys {
			clear(k)
		}
	}()
	if err != nil || len(keys) == 0 {
		o.Error = "the secret to sign with can't be read; rotate it"
		return
	}
	ctx, cancel := context.WithTimeout(ctx, SendTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, l.URL, bytes.NewReader(l.Body))
	if err != nil {
		o.Error = "the address can't be used"
		return
	}
	req.Header = headers(keys, l.Event, o.At, l.Body)
	resp, err := s.http.Do(req)
	if err != nil {
		o.Error = reason(err)
		return
	}
	defer func() { _ = resp.Body.Close() }()
	o.Status = resp.StatusCode
	o.RetryAfter = retryAfter(resp.Header.Get("Retry-After"), o.At)
	patience := time.AfterFunc(answerTime, cancel)
	defer patience.Stop()
	o.Answer = readAnswer(resp.Body)
	if !o.OK() {
		o.Error = refusal(resp.StatusCode)
	}
}

func (s *Sender) open(l Letter) ([][]byte, error) {
	keys := make([][]byte, 0, len(l.Secrets))
	for _, sealed := range l.Secrets {
		k, err := s.keys.Open(l.Org, l.Record, sealed)
		if err != nil {
			return keys, err
		}
		keys = append(keys, k)
	}
	return keys, nil
}

// readAnswer reads the beginning of a body for people; what it holds changes nothing.
func readAnswer(body io.Reader) string {
	b, err := io.ReadAll(io.LimitReader(body, answerKept))
	if err == nil && len(b) == answerKept {
		_, _ = io.CopyN(io.Discard, body, answerDrain)
	}
	return masked(b)
}

// masked makes text of what a stranger sent: control characters, and what can't be read, become dots; line breaks and
// tabs become spaces.
func masked(b []byte) string {
	var out strings.Builder
	for len(b) > 0 {
		r, n := utf8.DecodeRune(b)
		switch {
		case r == utf8.RuneError && n == 1:
			if !utf8.FullRune(b) {
				return out.String() // a character that was cut at the end
			}
			r = '·'
		case r == '\n' || r == '\r' || r == '\t':
			r = ' '
		case unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || unicode.Is(unicode.Zl, r) || unicode.Is(unicode.Zp, r):
			r = '·'
		}
		out.WriteRune(r)
		b = b[n:]
	}
	return strings.TrimSpace(out.String())
}

// retryAfter reads the header's two forms; 0 where there is none, or it makes no sense.
func retryAfter(header string, now time.Time) time.Duration {
	if header == "" {
		return 0
	}
	wait := time.Duration(0)
	if s, err := strconv.ParseInt(header, 10, 64); err == nil {
		if s > int64(MaxRetryAfter/time.Second) {
			return MaxRetryAfter
		}
		wait = time.Duration(s) * time.Second
	} else if at, err := http.ParseTime(header); err == nil {
		wait = at.Sub(now)
	}
	return min(max(wait, 0), MaxRetryAfter)
}

// refusal says what a status means for the delivery.
func refusal(status int) string {
	switch {
	case status == http.StatusGone:
		return "the receiver says that it is gone (410)"
	case status >= 300 && status <= 399:
		return "the receiver answered with a redirect, which is never followed; register the final address"
	}
	return "the receiver answered " + strconv.Itoa(status)
}

// reason says why no answer came, in words that tell nothing of this server's network.
func reason(err error) string {
	var f *fault.Error
	var unknown x509.UnknownAuthorityError
	var name x509.HostnameError
	var invalid x509.CertificateInvalidError
	var record tls.RecordHeaderError
	var timeout interface{ Timeout() bool }
	switch {
	case errors.As(err, &f):
		return f.Text
	case errors.Is(err, context.DeadlineExceeded) || (errors.As(err, &timeout) && timeout.Timeout()):
		return "no answer within 10 seconds"
	case errors.Is(err, context.Canceled):
		return "the try was broken off"
	case errors.As(err, &unknown):
		return "TLS: the receiver's certificate is signed by an unknown authority"
	case errors.As(err, &name):
		return "TLS: the receiver's certificate is for another name"
	case errors.As(err, &invalid):
		return "TLS: the receiver's certificate has expired or can't be used"
	case errors.As(err, &record), errors.Is(err, http.ErrSchemeMismatch):
		return "TLS: the receiver doesn't speak TLS"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "the receiver refused the connection"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "the receiver broke the connection off"
	}
	return "the receiver can't be reached"
}
