package api

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"net/http"

	"assay.dev/assay/internal/org/access"
)

// The reference page: it draws itself from /openapi.json and loads nothing from anywhere else.
//
//go:embed docs/index.html docs/app.js docs/app.css docs/icon.svg
var docs embed.FS

// documentation are the routes of the API's own description.
func (a *API) documentation() []Entry {
	return []Entry{
		page("/openapi.json", "application/json", func() []byte { return a.json }),
		page("/openapi.yaml", "application/yaml", func() []byte { return a.yaml }),
		page("/docs", "text/html; charset=utf-8", embedded("docs/index.html")),
		page("/docs/app.js", "text/javascript; charset=utf-8", embedded("docs/app.js")),
		page("/docs/app.css", "text/css; charset=utf-8", embedded("docs/app.css")),
		page("/docs/icon.svg", "image/svg+xml", embedded("docs/icon.svg")),
	}
}

func embedded(name string) func() []byte {
	return func() []byte {
		b, err := docs.ReadFile(name)
		if err != nil {
			return nil // the build embeds it, or fails
		}
		return b
	}
}

// page serves a fixed text with a validator, so that browsers ask but seldom load.
func page(path, media string, content func() []byte) Entry {
	return Plain(Raw{
		Method: http.MethodGet, Path: path, Scope: access.Public, Exempt: true, Page: true,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			b := content()
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
