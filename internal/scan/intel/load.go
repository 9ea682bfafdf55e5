package intel

import (
	"context"
	"io"
	"slices"
	"time"

	"assay.dev/assay/internal/word/uid"
)

// Deps is what the service works with. All are required.
type Deps struct {
	Store Store
	Now   func() time.Time
	IDs   *uid.Source
}

// Service loads files and tells what is loaded. It is safe for concurrent use.
type Service struct{ d Deps }

// New returns the service.
func New(d Deps) *Service { return &Service{d} }

// Report is what an import did.
type Report struct {
	Loaded

	Written int // rows that had to be written or removed in the place that was filled
	Skipped int // NVD: vectors that don't check, left out
}

// Import reads a source's file to its end and then loads it: rows go in beside what is read now, 250 at a time, and one
// last unit makes all of them count at once. Until then, and after any error, readers see what they saw before. EPSS
// and KEV files replace their source; NVD files add to it. An import of the same source that begins later takes over:
// the earlier one ends with a Conflict fault.
func (s *Service) Import(ctx context.Context, src Source, file io.Reader) (Report, error) {
	set, err := Read(src, file)
	if err != nil {
		return Report{}, err
	}
	r := Round{Source: src, Token: s.d.IDs.New()}
	if r.Live, err = s.d.Store.BeginIntel(ctx, src, r.Token); err != nil {
		return Report{}, err
	}
	a, b := src.shelves()
	if r.Target = a; r.Live == a {
		r.Target = b
	}
	l := &loading{store: s.d.Store, round: r}
	var wanted stream = &listed{rows: set.Records}
	if src == NVD && r.Live != 0 {
		wanted = &merged{old: &paged{store: s.d.Store, shelf: r.Live}, add: listed{rows: set.Records}, drop: set.Removed}
	}
	if err := l.run(ctx, wanted); err != nil {
		return Report{}, err
	}
	out := Report{
		Loaded: Loaded{
			Source: src, Version: set.Version, Date: set.Date, Rows: l.rows, SHA256: set.SHA256,
			ImportedAt: s.d.Now().UTC().Truncate(time.Microsecond),
		},
		Written: l.written, Skipped: set.Skipped,
	}
	return out, s.d.Store.SwitchIntel(ctx, r, out.Loaded)
}

// State is a source's state as people ask for it.
type State struct {
	Loaded

	Known bool          // something is loaded
	Age   time.Duration // of the data: since their date, or since the import where they have none
	Stale bool          // older than the source's rhythm allows
}

// Status returns the state of every source.
func (s *Service) Status(ctx context.Context) ([]State, error) {
	all, err := s.d.Store.IntelSources(ctx)
	if err != nil {
		return nil, err
	}
	out := make([]State, 0, len(Sources()))
	for _, src := range Sources() {
		st := State{Loaded: Loaded{Source: src}}
		if i := slices.IndexFunc(all, func(l Loaded) bool { return l.Source == src }); i >= 0 {
			st.Loaded, st.Known = all[i], true
			since := st.Date
			if since.IsZero() {
				since = st.ImportedAt
			}
			st.Age = max(s.d.Now().Sub(since), 0)
			st.Stale = st.Age > src.staleAfter()
		}
		out = append(out, st)
	}
	return out, nil
}

// stream yields rows in the order of their ids; nil at the end.
type stream interface {
	next(ctx context.Context) (*Record, error)
}

// listed is a stream over rows in memory.
type listed struct{ rows []Record }

func (l *listed) next(context.Context) (*Record, error) {
	if len(l.rows) == 0 {
		return nil, nil //nolint:nilnil // the end
	}
	r := &l.rows[0]
	l.rows = l.rows[1:]
	return r, nil
}

// paged is a stream over a shelf.
type paged struct {
	store Store
	shelf Shelf
	after string
	page  listed
	ended bool
}

func (p *paged) next(ctx context.Context) (*Record, error) {
	if len(p.page.rows) == 0 && !p.ended {
		rows, err := p.store.IntelPage(ctx, p.shelf, p.after)
		if err != nil {
			return nil, err
		}
		if p.page.rows, p.ended = rows, len(rows) == 0; !p.ended {
			p.after = rows[len(rows)-1].CVE
		}
	}
	return p.page.next(ctx)
}

// merged is what was there, with what a file adds and without what it withdraws.
type merged struct {
	old   stream
	add   listed
	drop  []string // sorted
	head  *Record  // of old, read and not yet given
	ended bool
}

func (m *merged) next(ctx context.Context) (*Record, error) {
	for {
		if m.head == nil && !m.ended {
			var err error
			if m.head, err = m.old.next(ctx); err != nil {
				return nil, err
			}
			m.ended = m.head == nil
		}
		switch {
		case m.head == nil:
			return m.add.next(ctx)
		case len(m.add.rows) > 0 && m.add.rows[0].CVE == m.head.CVE:
			m.head = nil
			return m.add.next(ctx)
		case len(m.add.rows) > 0 && m.add.rows[0].CVE < m.head.CVE:
			return m.add.next(ctx)
		}
		r := m.head
		m.head = nil
		if _, gone := slices.BinarySearch(m.drop, r.CVE); !gone {
			return r, nil
		}
	}
}

// unit is how many rows are written at once: few, so that nobody else waits long for the writer.
const unit = 250

// loading brings a shelf to what is wanted, touching only what differs.
type loading struct {
	store   Store
	round   Round
	put     []Record
	drop    []string
	rows    int
	written int
}

func (l *loading) run(ctx context.Context, wanted stream) error {
	have := &paged{store: l.store, shelf: l.round.Target}
	old, err := have.next(ctx)
	if err != nil {
		return err
	}
	for {
		w, err := wanted.next(ctx)
		if err != nil {
			return err
		}
		for old != nil && (w == nil || old.CVE < w.CVE) {
			l.drop = append(l.drop, old.CVE)
			if old, err = have.next(ctx); err != nil {
				return err
			}
			if err := l.flush(ctx, unit); err != nil {
				return err
			}
		}
		if w == nil {
			return l.flush(ctx, 1)
		}
		l.rows++
		if old != nil && old.CVE == w.CVE {
			if *old != *w {
				l.put = append(l.put, *w)
			}
			if old, err = have.next(ctx); err != nil {
				return err
			}
		} else {
			l.put = append(l.put, *w)
		}
		if err := l.flush(ctx, unit); err != nil {
			return err
		}
	}
}

// flush writes once at least n rows wait.
func (l *loading) flush(ctx context.Context, n int) error {
	if len(l.put)+len(l.drop) < n {
		return nil
	}
	if err := l.store.WriteIntel(ctx, l.round, l.put, l.drop); err != nil {
		return err
	}
	l.written += len(l.put) + len(l.drop)
	l.put, l.drop = l.put[:0], l.drop[:0]
	return nil
}
