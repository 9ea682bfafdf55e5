package tls

import (
	"context"
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"time"

	"golang.org/x/crypto/acme"

	"assay.dev/assay/internal/word/fault"
)

// obtain goes through one order (RFC 8555 section 7.4) and returns a certificate for all domains.
func (a *ACME) obtain(ctx context.Context) (*tls.Certificate, error) {
	client, err := a.client(ctx)
	if err != nil {
		return nil, err
	}
	order, err := client.AuthorizeOrder(ctx, acme.DomainIDs(a.cfg.Domains...))
	if err != nil {
		return nil, fmt.Errorf("ordering a certificate: %w", err)
	}
	for _, u := range order.AuthzURLs {
		if err := a.authorize(ctx, client, u); err != nil {
			return nil, err
		}
	}
	if order, err = client.WaitOrder(ctx, order.URI); err != nil {
		return nil, fmt.Errorf("waiting for the order: %w", err)
	}
	key, err := newKey(a.d.Rand)
	if err != nil {
		return nil, err
	}
	csr, err := x509.CreateCertificateRequest(a.d.Rand, &x509.CertificateRequest{DNSNames: a.cfg.Domains}, key)
	if err != nil {
		return nil, notIssued(err)
	}
	chain, _, err := client.CreateCertFromOrder(ctx, order, csr, true)
	if err != nil {
		return nil, fmt.Errorf("fetching the certificate: %w", err)
	}
	return a.check(chain, key)
}

// client is registered with the directory. It is made anew for each try: an account that the authority forgot is made
// again under the same key.
func (a *ACME) client(ctx context.Context) (*acme.Client, error) {
	key, err := a.files.account(func() (*ecdsa.PrivateKey, error) { return newKey(a.d.Rand) })
	if err != nil {
		return nil, err
	}
	client := &acme.Client{
		Key: key, DirectoryURL: a.cfg.Directory, HTTPClient: a.d.HTTP, UserAgent: "assay",
		RetryBackoff: func(n int, _ *http.Request, _ *http.Response) time.Duration {
			if n > 4 {
				return 0 // our own retries are the slower ones
			}
			return time.Duration(n) * time.Second
		},
	}
	account := &acme.Account{}
	if a.cfg.Email != "" {
		account.Contact = []string{"mailto:" + a.cfg.Email}
	}
	if a.cfg.AccountKeyID != "" {
		account.ExternalAccountBinding = &acme.ExternalAccountBinding{KID: a.cfg.AccountKeyID, Key: a.cfg.AccountMAC}
	}
	// Who names domains in the settings agrees to the authority's terms; the guide says so.
	if _, err := client.Register(ctx, account, acme.AcceptTOS); err != nil && !errors.Is(err, acme.ErrAccountAlreadyExists) {
		return nil, fmt.Errorf("registering with the directory: %w", err)
	}
	return client, nil
}

// authorize proves control over one domain.
func (a *ACME) authorize(ctx context.Context, client *acme.Client, url string) error {
	authz, err := client.GetAuthorization(ctx, url)
	if err != nil {
		return fmt.Errorf("reading an authorization: %w", err)
	}
	if authz.Status == acme.StatusValid {
		return nil
	}
	kind := "tls-alpn-01"
	if a.cfg.HTTP01 {
		kind = "http-01"
	}
	for _, challenge := range authz.Challenges {
		if challenge.Type != kind {
			continue
		}
		done, err := a.offer(client, challenge, authz.Identifier.Value)
		if err != nil {
			return err
		}
		defer done()
		if _, err := client.Accept(ctx, challenge); err != nil {
			return fmt.Errorf("accepting a challenge: %w", err)
		}
		if _, err := client.WaitAuthorization(ctx, authz.URI); err != nil {
			return fmt.Errorf("waiting for the validation of %s: %w", authz.Identifier.Value, err)
		}
		return nil
	}
	return refusal("the certificate authority doesn't offer the challenge that the settings ask for", errors.New("no "+kind))
}

// offer puts the answer to a challenge where the authority will look for it.
func (a *ACME) offer(client *acme.Client, challenge *acme.Challenge, domain string) (done func(), err error) {
	if a.cfg.HTTP01 {
		text, err := client.HTTP01ChallengeResponse(challenge.Token)
		if err != nil {
			return nil, notIssued(err)
		}
		return a.tests.offerText(client.HTTP01ChallengePath(challenge.Token), text), nil
	}
	pair, err := client.TLSALPN01ChallengeCert(challenge.Token, domain)
	if err != nil {
		return nil, notIssued(err)
	}
	return a.tests.offerPair(domain, &pair), nil
}

// check makes a pair of what the authority sent, and refuses what no client would take.
func (a *ACME) check(chain [][]byte, key *ecdsa.PrivateKey) (*tls.Certificate, error) {
	var text []byte
	for _, der := range chain {
		text = append(text, encode("CERTIFICATE", der)...)
	}
	plain, err := encodeKey(key)
	if err != nil {
		return nil, err
	}
	defer clear(plain)
	pair, err := parsePair(text, plain)
	if err != nil {
		return nil, refusal("the certificate authority sent a certificate that can't be served", err)
	}
	if !covers(pair, a.cfg.Domains) || !a.d.Now().Before(pair.Leaf.NotAfter) {
		return nil, refusal("the certificate authority sent a certificate that doesn't fit the domains or has expired", errors.New("names or dates"))
	}
	return pair, nil
}

// reason says for everybody why there is no certificate; the error is its cause.
func reason(err error) *fault.Error {
	if f, ok := errors.AsType[*fault.Error](err); ok {
		if f.Kind == fault.Forbidden {
			return refusal("the egress policy doesn't let the server reach the certificate authority; name its network in egress_allow", err)
		}
		return f.Because(err)
	}
	_, limited := acme.RateLimit(err)
	_, refused := errors.AsType[*acme.AuthorizationError](err)
	_, unknown := errors.AsType[x509.UnknownAuthorityError](err)
	_, order := errors.AsType[*acme.OrderError](err)
	_, said := errors.AsType[*acme.Error](err)
	switch {
	case limited:
		return refusal("the certificate authority limits how often it may be asked", err)
	case refused, order:
		return refusal("the certificate authority could not confirm that this server answers for its domains", err)
	case unknown:
		return refusal("the certificate authority's own certificate isn't trusted; name its root in tls_acme_ca", err)
	case said:
		return refusal("the certificate authority refused the order", err)
	}
	return refusal("the certificate authority can't be reached", err)
}
