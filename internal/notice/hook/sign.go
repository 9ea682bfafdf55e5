package hook

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"strconv"
	"strings"
	"time"

	"assay.dev/assay/internal/word/secret"
)

// Headers of the Standard Webhooks specification, in its spelling.
const (
	HeaderID        = "webhook-id"
	HeaderTimestamp = "webhook-timestamp"
	HeaderSignature = "webhook-signature"
)

// secretBytes is the length of a secret; the specification wants 24 to 64.
const secretBytes = 32

// UserAgent is how the sender names itself.
const UserAgent = "Assay-Webhooks/1"

// secretText is a secret as people and libraries take it.
func secretText(plain []byte) secret.Text {
	return secret.New("whsec_" + base64.StdEncoding.EncodeToString(plain))
}

// signature is one entry of the signature header: HMAC-SHA256 over id, timestamp and body, joined by full stops.
func signature(key []byte, id, timestamp string, body []byte) string {
	m := hmac.New(sha256.New, key)
	m.Write([]byte(id + "." + timestamp + "."))
	m.Write(body)
	return "v1," + base64.StdEncoding.EncodeToString(m.Sum(nil))
}

// headers are those of a signed message; with several keys, several signatures, so that a receiver may know any of
// them.
func headers(keys [][]byte, id string, at time.Time, body []byte) http.Header {
	stamp := strconv.FormatInt(at.Unix(), 10)
	signatures := make([]string, len(keys))
	for i, k := range keys {
		signatures[i] = signature(k, id, stamp, body)
	}
	return http.Header{
		"Content-Type": {"application/json"}, "User-Agent": {UserAgent},
		http.CanonicalHeaderKey(HeaderID): {id}, http.CanonicalHeaderKey(HeaderTimestamp): {stamp},
		http.CanonicalHeaderKey(HeaderSignature): {strings.Join(signatures, " ")},
	}
}

// Shown are the headers of a try as they may be shown later: the signature is masked, because with it and the body the
// message could be sent again by whoever reads the log.
func Shown(d Delivery, a Attempt) map[string]string {
	return map[string]string{
		"content-type": "application/json", "user-agent": UserAgent, HeaderID: d.Event,
		HeaderTimestamp: strconv.FormatInt(a.At.Unix(), 10), HeaderSignature: "v1,[masked]",
	}
}
