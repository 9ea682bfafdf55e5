package app

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"assay.dev/assay/internal/word/fault"
)

// feed is an act that takes a document of any length behind its order. It must read the document as a stream.
type feed func(ctx context.Context, g *ground, order json.RawMessage, document io.Reader, out io.Writer) error

// feeds lists the acts with a document that the socket takes. On the wire the order is the first line.
func feeds() map[string]feed {
	return map[string]feed{
		"intel.import": importIntel,
	}
}

// send runs an act with a document and reads its answer.
func send[O any](ctx context.Context, o Operator, name string, order any, document io.Reader) (O, error) {
	var answer O
	line, err := json.Marshal(order)
	if err != nil {
		return answer, fmt.Errorf("writing the order: %w", err)
	}
	var out limited
	err = streamSocket(ctx, o.cfg, name, &prefixed{head: append(line, '\n'), rest: document}, &out)
	if errors.Is(err, errNoServer) {
		var g *ground
		if g, err = openGround(ctx, o.cfg, io.Discard, nil); err != nil {
			return answer, err
		}
		err = errors.Join(feeds()[name](asOperator(ctx, g.now(), name), g, line, document, &out), g.close(ctx))
	}
	if err != nil {
		return answer, err
	}
	if err := json.Unmarshal(out.b, &answer); err != nil {
		return answer, fault.New(fault.Internal, fault.CodeInternal, "the answer can't be read").Because(err)
	}
	return answer, nil
}

// limited keeps an answer, as long as an order may be.
type limited struct{ b []byte }

func (l *limited) Write(p []byte) (int, error) {
	if len(l.b)+len(p) > maxOrder {
		return 0, errors.New("the answer is too long")
	}
	l.b = append(l.b, p...)
	return len(p), nil
}

// prefixed reads head and then rest. Nothing of rest is touched before it is asked for.
type prefixed struct {
	head []byte
	rest io.Reader
}

func (p *prefixed) Read(b []byte) (int, error) {
	if len(p.head) > 0 {
		n := copy(b, p.head)
		p.head = p.head[n:]
		return n, nil
	}
	return p.rest.Read(b)
}

// feed serves an act with a document. What the act left of the document is read to its end, so that a caller who is
// still sending hears the answer.
func (g *ground) feed(name string, do feed, r *http.Request, out io.Writer) error {
	body := bufio.NewReaderSize(r.Body, 64<<10)
	order, err := readLine(body)
	if err == nil {
		err = do(asOperator(r.Context(), g.now(), name), g, order, body, out)
	}
	if err != nil {
		_, _ = io.Copy(io.Discard, body) // the caller may have gone; then there is nobody to tell
	}
	return err
}

// readLine reads the order in front of a document.
func readLine(r *bufio.Reader) ([]byte, error) {
	var line []byte
	for {
		part, err := r.ReadSlice('\n')
		line = append(line, part...)
		switch {
		case len(line) > maxOrder:
			return nil, fault.New(fault.Invalid, fault.CodeValidation, "the order is too long")
		case err == nil:
			return line, nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return nil, fault.New(fault.Invalid, fault.CodeValidation, "the order can't be read").Because(err)
		}
	}
}
