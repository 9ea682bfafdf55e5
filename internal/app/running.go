package app

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/url"
	"time"

	"assay.dev/assay/internal/word/fault"
)

// ServerState is what a running server tells its operator of how it is reached and how its certificate stands.
type ServerState struct {
	Address   string    `json:"address"` // that it listens on; empty = none
	Name      string    `json:"name"`    // of the host as clients call it; empty = not known
	TLS       bool      `json:"tls"`
	PQOnly    bool      `json:"pqOnly"`
	Proxy     string    `json:"proxy"`   // the public address of a TLS proxy in front, "unknown" where no setting says it; empty = none
	Trusted   bool      `json:"trusted"` // proxies are named
	Source    string    `json:"source"`  // of the certificate; this and what follows are empty without TLS
	Temporary bool      `json:"temporary"`
	Problem   string    `json:"problem"`
	Cause     string    `json:"cause"`
	Since     time.Time `json:"since"` // that the problem lasts; zero = none, or not known
	Next      time.Time `json:"next"`  // try to renew it; zero = none is planned
}

// Server asks the server that runs on the data folder how it stands; runs is false where none does. It never opens the
// folder itself.
func (o Operator) Server(ctx context.Context) (st ServerState, runs bool, err error) {
	var answer bytes.Buffer
	err = callSocket(ctx, o.cfg, "server", []byte("{}"), &answer)
	if errors.Is(err, errNoServer) {
		return ServerState{}, false, nil
	}
	if err != nil {
		return ServerState{}, false, err
	}
	if err := json.Unmarshal(answer.Bytes(), &st); err != nil {
		return ServerState{}, false, fault.New(fault.Internal, fault.CodeInternal, "the answer can't be read").Because(err)
	}
	return st, true, nil
}

// tell says how this server is reached and how its certificate stands.
func (a *App) tell() ServerState {
	r := ServerState{TLS: a.tls.source != nil, PQOnly: a.cfg.TLSPQOnly, Trusted: len(a.cfg.TrustedProxies) > 0}
	if a.listener != nil {
		r.Address = a.listener.Addr().String()
	}
	if u, err := url.Parse(a.cfg.PublicURL); err == nil {
		r.Name = u.Hostname()
	}
	if r.Name == "" && a.cfg.ACME() {
		r.Name = a.cfg.TLSACMEDomains[0]
	}
	if a.cfg.BehindTLSProxy && !r.TLS {
		r.Proxy = a.cfg.PublicURL
		if r.Proxy == "" {
			r.Proxy = "unknown"
		}
	}
	if r.TLS {
		st := a.tls.source.State()
		r.Source, r.Temporary, r.Problem, r.Cause, r.Since, r.Next = st.Source, st.Temporary, st.Problem, st.Cause, st.Since, st.Next
	}
	return r
}

// serverTold is the act behind Operator.Server.
func serverTold(_ context.Context, g *ground, _ struct{}) (ServerState, error) {
	if g.tell == nil {
		return ServerState{}, errNoServer
	}
	return g.tell(), nil
}
