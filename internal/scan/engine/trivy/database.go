package trivy

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"strconv"
	"time"

	"assay.dev/assay/internal/scan/engine"
)

// stale is the age at which a report says how old its database is.
const stale = 7 * 24 * time.Hour

// maxMetadata bounds the small file beside a database.
const maxMetadata = 64 << 10

// database is the operator's advisory database.
type database struct {
	folder fs.FS
	names  string // of the vulnerability database's folder within it
	look   engine.Database
}

// openDatabase finds the database; ok is false where there is none that can be read.
func openDatabase(ctx context.Context, env engine.Env) (db database, ok bool) {
	if env.Data == nil {
		return database{}, false
	}
	tree, err := env.Data(DatabaseKey)
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			env.Log.WarnContext(ctx, "advisory database not opened", slog.Any("error", err))
		}
		return database{}, false
	}
	for _, folder := range []string{"db", "."} {
		look, err := metadata(tree.FS, folder)
		if err == nil {
			return database{folder: tree.FS, names: folder, look: look}, true
		}
		if !errors.Is(err, fs.ErrNotExist) {
			env.Log.WarnContext(ctx, "advisory database not read", slog.Any("error", err))
		}
	}
	return database{}, false
}

// metadata reads what a database says of itself, and that it is there.
func metadata(from fs.FS, folder string) (engine.Database, error) {
	var m struct {
		Version   int       `json:"Version"`
		UpdatedAt time.Time `json:"UpdatedAt"`
	}
	text, err := small(from, join(folder, "metadata.json"))
	if err != nil {
		return engine.Database{}, err
	}
	if err := json.Unmarshal(text, &m); err != nil {
		return engine.Database{}, err
	}
	if _, err := fs.Stat(from, join(folder, "trivy.db")); err != nil {
		return engine.Database{}, err
	}
	return engine.Database{Name: "Trivy vulnerability database", Version: "schema " + strconv.Itoa(m.Version), UpdatedAt: m.UpdatedAt.UTC()}, nil
}

func small(from fs.FS, name string) ([]byte, error) {
	f, err := from.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	return io.ReadAll(io.LimitReader(f, maxMetadata))
}

// provide puts the vulnerability database into the run's private cache.
func (d database) provide(to engine.Files) error { return d.copyAll(to, d.names, "db", "trivy.db") }

// provideJava puts the database of Java archives there; ok is false where there is none.
func (d database) provideJava(to engine.Files) (ok bool, err error) {
	const folder = "java-db"
	if d.folder == nil {
		return false, nil
	}
	if _, err := fs.Stat(d.folder, folder+"/trivy-java.db"); err != nil {
		return false, nil //nolint:nilerr // no database is an answer
	}
	return true, d.copyAll(to, folder, folder, "trivy-java.db")
}

func (d database) copyAll(to engine.Files, from, into, big string) error {
	text, err := small(d.folder, join(from, "metadata.json"))
	if err != nil {
		return err
	}
	if err := to.Write(cacheName+"/"+into+"/metadata.json", text); err != nil {
		return err
	}
	f, err := d.folder.Open(join(from, big))
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	copier, ok := to.(engine.FileCopier)
	if !ok {
		return errors.ErrUnsupported
	}
	return copier.Copy(cacheName+"/"+into+"/"+big, f)
}

func join(folder, name string) string {
	if folder == "." {
		return name
	}
	return folder + "/" + name
}
