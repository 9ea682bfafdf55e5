package trivy_test

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"assay.dev/assay/internal/asset"
	"assay.dev/assay/internal/infra/egress"
	"assay.dev/assay/internal/scan/engine"
	"assay.dev/assay/internal/word/secret"
)

// registry serves one image as team/shop:1.0 by the pull half of the OCI distribution specification.
type registry struct {
	port   string
	signIn secret.Text
	blobs  atomic.Int64
	direct atomic.Bool // somebody came by another name than the one that only the proxy knows

	user, password string
	content        map[string][]byte // by digest
	manifest       []byte
}

// serveRegistry serves the docker-archive on loopback until the test ends. An empty user lets everybody in.
func serveRegistry(t *testing.T, archive, user, password string) *registry {
	t.Helper()
	r := &registry{user: user, password: password, content: map[string][]byte{}}
	r.load(t, archive)
	if user != "" {
		r.signIn = secret.New(fmt.Sprintf(`{"type":"basic","username":%q,"password":%q}`, user, password))
	}
	s := httptest.NewServer(r)
	t.Cleanup(s.Close)
	addr, ok := s.Listener.Addr().(*net.TCPAddr)
	if !ok {
		t.Fatal("not a TCP listener")
	}
	r.port = strconv.Itoa(addr.Port)
	return r
}

// reach is what a scan of the image may connect to.
func (r *registry) reach(target asset.Target, cidr string) egress.ScanConfig {
	return egress.ScanConfig{Target: target, Scope: allow(cidr)}
}

// load turns a docker-archive into blobs and a manifest.
func (r *registry) load(t *testing.T, archive string) {
	t.Helper()
	f, err := os.Open(archive)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	files := map[string][]byte{}
	for tr := tar.NewReader(f); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if files[h.Name], err = io.ReadAll(tr); err != nil {
			t.Fatal(err)
		}
	}
	var index []struct {
		Config string   `json:"Config"`
		Layers []string `json:"Layers"`
	}
	if err := json.Unmarshal(files["manifest.json"], &index); err != nil || len(index) != 1 {
		t.Fatal(err)
	}
	layers := make([]any, 0, len(index[0].Layers))
	for _, name := range index[0].Layers {
		layers = append(layers, r.put("application/vnd.docker.image.rootfs.diff.tar", files[name]))
	}
	r.manifest, err = json.Marshal(map[string]any{
		"schemaVersion": 2, "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
		"config": r.put("application/vnd.docker.container.image.v1+json", files[index[0].Config]), "layers": layers,
	})
	if err != nil {
		t.Fatal(err)
	}
}

func (r *registry) put(mediaType string, b []byte) map[string]any {
	sum := sha256.Sum256(b)
	digest := "sha256:" + hex.EncodeToString(sum[:])
	r.content[digest] = b
	return map[string]any{"mediaType": mediaType, "size": len(b), "digest": digest}
}

// ServeHTTP implements http.Handler.
func (r *registry) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	if !strings.HasPrefix(q.Host, engine.LoopbackName+":") {
		r.direct.Store(true)
	}
	if user, password, _ := q.BasicAuth(); r.user != "" && (user != r.user || password != r.password) {
		w.Header().Set("WWW-Authenticate", `Basic realm="registry"`)
		http.Error(w, `{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}`, http.StatusUnauthorized)
		return
	}
	digest := q.URL.Path[strings.LastIndexByte(q.URL.Path, '/')+1:]
	switch {
	case q.URL.Path == "/v2/":
		w.WriteHeader(http.StatusOK)
	case strings.HasPrefix(q.URL.Path, "/v2/team/shop/manifests/"):
		w.Header().Set("Content-Type", "application/vnd.docker.distribution.manifest.v2+json")
		sum := sha256.Sum256(r.manifest)
		w.Header().Set("Docker-Content-Digest", "sha256:"+hex.EncodeToString(sum[:]))
		_, _ = w.Write(r.manifest)
	case strings.HasPrefix(q.URL.Path, "/v2/team/shop/blobs/") && r.content[digest] != nil:
		r.blobs.Add(1)
		_, _ = w.Write(r.content[digest])
	default:
		http.Error(w, `{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}`, http.StatusNotFound)
	}
}
