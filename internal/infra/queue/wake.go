package queue

import (
	"context"
	"sync"

	"github.com/riverqueue/river/riverdriver"
	"github.com/riverqueue/river/riverdriver/riversqlite"
)

// topicInsert is the topic on which River's producers wait for new jobs.
const topicInsert = "river_insert"

// sqliteDriver gives River on SQLite what PostgreSQL has with LISTEN: a listener, here over channels of this process.
// River's own InsertTx can't wake a worker, because it returns before the caller commits; the store calls Committed
// afterwards. SupportsListenNotify stays false, or River would notify before our commit.
type sqliteDriver struct {
	*riversqlite.Driver

	bus *bus
}

// SupportsListener implements riverdriver.Driver.
func (sqliteDriver) SupportsListener() bool { return true }

// GetListener implements riverdriver.Driver.
func (d sqliteDriver) GetListener(*riverdriver.GetListenenerParams) riverdriver.Listener {
	return &listener{bus: d.bus, ch: make(chan *riverdriver.Notification, 64)}
}

// bus hands notifications to the listeners of one process.
type bus struct {
	mu        sync.Mutex
	listeners map[*listener]struct{}
}

func newBus() *bus { return &bus{listeners: map[*listener]struct{}{}} }

// publish never blocks: a full buffer means that the listener is awake anyway, and the poll catches what it missed.
func (b *bus) publish(topic, payload string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for l := range b.listeners {
		select {
		case l.ch <- &riverdriver.Notification{Topic: topic, Payload: payload}:
		default:
		}
	}
}

type listener struct {
	bus *bus
	ch  chan *riverdriver.Notification
}

func (l *listener) Connect(context.Context) error {
	l.bus.mu.Lock()
	defer l.bus.mu.Unlock()
	l.bus.listeners[l] = struct{}{}
	return nil
}

func (l *listener) Close(context.Context) error {
	l.bus.mu.Lock()
	defer l.bus.mu.Unlock()
	delete(l.bus.listeners, l)
	return nil
}

// River subscribes topic by topic; one channel carries them all, since it drops what nobody asked for.
func (*listener) Listen(context.Context, string) error   { return nil }
func (*listener) Unlisten(context.Context, string) error { return nil }
func (*listener) Ping(context.Context) error             { return nil }
func (*listener) Schema() string                         { return "" }
func (*listener) SetAfterConnectExec(string)             {}

// WaitForNotification blocks until a notification or the end of ctx.
func (l *listener) WaitForNotification(ctx context.Context) (*riverdriver.Notification, error) {
	select {
	case n := <-l.ch:
		return n, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
