package sublist3r

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"assay.dev/assay/internal/scan/engine"
	"assay.dev/assay/internal/word/fault"
)

// Bounds of asking.
const (
	maxAnswer = 24 << 20 // bytes of one answer
	maxPages  = 20       // answers of one source
	retryWait = 3 * time.Second
)

// answer is how a source behaved.
type answer struct {
	engine.SourceLook

	silent bool // no HTTP answer came at all
}

// ask asks all chosen sources at once and returns how each behaved, in the order of the choice.
func ask(ctx context.Context, env engine.Env, req engine.Request, rec *recorder) []answer {
	var chosen []source
	for _, s := range sources() {
		if slices.Contains(req.Options.Set("sources"), s.ID) {
			chosen = append(chosen, s)
		}
	}
	answers := make([]answer, len(chosen))
	var all sync.WaitGroup
	var mu sync.Mutex
	done := 0
	env.Progress(1, "asking "+count(len(chosen), "source"))
	for i, s := range chosen {
		all.Go(func() {
			patience := time.Duration(req.Options.Int("sourceTimeout")) * time.Second
			answers[i] = askOne(ctx, env.Web, s, patience, rec)
			mu.Lock()
			defer mu.Unlock()
			done++
			env.Progress(1+done*79/len(chosen), strconv.Itoa(done)+" of "+count(len(chosen), "source")+" done")
		})
	}
	all.Wait()
	return answers
}

// askOne asks one source to its end.
func askOne(ctx context.Context, web http.RoundTripper, s source, patience time.Duration, rec *recorder) answer {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	names := rec.list(s.ID)
	after, err := "", error(nil)
	for page := 0; ; page++ {
		if page == maxPages {
			names.cut = true
			break
		}
		before := after
		if after, err = fetch(ctx, web, s, rec.domain, before, names); err != nil || after == "" || after == before {
			break
		}
	}
	a := judge(ctx, s.ID, names, err)
	rec.write(record{Kind: kindSource, Source: s.ID, State: string(a.State), Found: a.Found, Reason: a.Reason})
	return a
}

// judge turns the end of a source into its state. An answer that was cut counts as failed, whatever it held.
func judge(ctx context.Context, id string, names *list, err error) answer {
	a := answer{SourceLook: engine.SourceLook{Source: id, State: engine.SourceAnswered, Found: names.found}}
	status := statusError(0)
	switch {
	case err == nil && names.cut:
		a.State, a.Reason = engine.SourceFailed, "it knows more than is taken of one source"
	case err == nil:
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		a.State, a.Reason, a.silent = engine.SourceTimedOut, "its answer didn't come to an end in time", names.found == 0
	case ctx.Err() != nil:
		a.State, a.Reason = engine.SourceSkipped, "the scan ended before its answer"
	case errors.Is(err, errOver):
		a.State, a.Reason = engine.SourceFailed, "it has counted too many requests from this server; try later"
	case errors.As(err, &status):
		a.State, a.Reason = engine.SourceFailed, "it answered with status "+strconv.Itoa(int(status))
	case errors.Is(err, errCut):
		a.State, a.Reason = engine.SourceFailed, "its answer is larger than what is taken"
	case fault.KindOf(err) == fault.Forbidden:
		a.State, a.Reason, a.silent = engine.SourceFailed, "this server may not connect to where its name leads", true
	case errors.Is(err, errSilent):
		a.State, a.Reason, a.silent = engine.SourceFailed, "it can't be reached from this server", true
	default:
		a.State, a.Reason = engine.SourceFailed, "its answer couldn't be read"
	}
	return a
}

// Errors of fetch.
var (
	errSilent = errors.New("no answer")
	errCut    = errors.New("answer too long")
)

// statusError is an answer that isn't the wanted one.
type statusError int

func (s statusError) Error() string { return "status " + strconv.Itoa(int(s)) }

// fetch gets and reads one answer. A source that is overloaded for the moment is asked once more.
func fetch(ctx context.Context, web http.RoundTripper, s source, domain, after string, names *list) (string, error) {
	for try := 0; ; try++ {
		next, err := fetchOnce(ctx, web, s, domain, after, names)
		status := statusError(0)
		if try > 0 || !errors.As(err, &status) || (status != http.StatusBadGateway && status != http.StatusServiceUnavailable && status != http.StatusGatewayTimeout) {
			return next, err
		}
		wait := time.NewTimer(retryWait)
		select {
		case <-ctx.Done():
			wait.Stop()
			return "", err
		case <-wait.C:
		}
	}
}

func fetchOnce(ctx context.Context, web http.RoundTripper, s source, domain, after string, names *list) (string, error) {
	u, err := s.address(domain, after)
	if err != nil {
		return "", err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return "", err
	}
	r.Header.Set("User-Agent", "Assay")
	r.Header.Set("Accept", "application/json, text/plain;q=0.5")
	resp, err := web.RoundTrip(r)
	if err != nil {
		return "", fmt.Errorf("%w: %w", errSilent, err)
	}
	defer func() { _ = resp.Body.Close() }()
	switch {
	case resp.StatusCode == http.StatusTooManyRequests:
		return "", errOver
	case resp.StatusCode != http.StatusOK && !slices.Contains(s.also, resp.StatusCode):
		return "", statusError(resp.StatusCode)
	}
	body := &bounded{from: resp.Body, left: maxAnswer}
	next, err := s.read(body, names.tell)
	if body.left == 0 {
		return "", errCut
	}
	return next, err
}

// bounded reads at most left bytes and then ends.
type bounded struct {
	from io.Reader
	left int
}

// Read implements io.Reader.
func (b *bounded) Read(p []byte) (int, error) {
	if b.left == 0 {
		return 0, io.EOF
	}
	n, err := b.from.Read(p[:min(len(p), b.left)])
	b.left -= n
	return n, err
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return strconv.Itoa(n) + " " + noun + "s"
}
