package api

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"net/http"

	"assay.dev/assay/internal/org/access"
	"assay.dev/assay/internal/web/mw"
)

// The reference page: it draws itself from /openapi.json and loads nothing from anywhere else.
//
//go:embed docs/index.html docs/app.js docs/app.css docs/icon.svg
var docs embed.FS

// documentation are the routes of the API's own description.
func (a *API) documentation() []Entry {
	return []Entry{
		page("/openapi.json", "application/json", func() ([]byte, error) { return a.json() }),
		page("/openapi.yaml", "application/yaml", func() ([]byte, error) { return a.yaml() }),
		page("/docs", "text/html; charset=utf-8", embedded("docs/index.html")),
		page("/docs/app.js", "text/javascript; charset=utf-8", embedded("docs/app.js")),
		page("/docs/app.css", "text/css; charset=utf-8", embedded("docs/app.css")),
		page("/docs/icon.svg", "image/svg+xml", embedded("docs/icon.svg")),
	}
}

func embedded(name string) func() ([]byte, error) {
	return func() ([]byte, error) { return docs.ReadFile(name) }
}

// page serves a fixed text with a validator, so that browsers ask but seldom load.
func page(path, media string, content func() ([]byte, error)) Entry {
	return Plain(Raw{
		Method: http.MethodGet, Path: path, Scope: access.Public, Exempt: true, Page: true,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			b, err := content()
			if err != nil {
				mw.From(r.Context()).Fail(err)
				return
			}
			sum := sha256.Sum256(b)
			etag := `"` + hex.EncodeToString(sum[:8]) + `"`
			w.Header().Set("ETag", etag)
			if r.Header.Get("If-None-Match") == etag {
				w.WriteHeader(http.StatusNotModified)
				return
			}
			w.Header().Set("Content-Type", media)
			_, _ = w.Write(b)
		}),
	})
}
