package wapiti

import (
	"encoding/json"
	"errors"
	"io/fs"
	"path/filepath"

	"assay.dev/assay/internal/scan/engine"
	"assay.dev/assay/internal/word/fault"
)

// Wapiti takes headers on its command line only, where every user of the host could read them. Python imports a module
// of this name from PYTHONPATH before it runs a program: ours reads further arguments from a file beside it, deletes the
// file and says so. Where a packaging of Wapiti doesn't read PYTHONPATH the file is still there, and the run fails aloud
// instead of scanning without the login.
const (
	shimDir  = "shim"
	shimName = shimDir + "/sitecustomize.py"
	shimArgs = shimDir + "/arguments.json"
	shimCode = `import json
import os
import sys

_file = os.path.join(os.path.dirname(os.path.abspath(__file__)), "arguments.json")
if os.path.exists(_file):
    with open(_file, encoding="utf-8") as _f:
        sys.argv.extend(json.load(_f))
    os.remove(_file)
`
)

// handOver writes the secret arguments and returns the environment by which they are found.
func handOver(env engine.Env, args []string) ([]string, error) {
	if len(args) == 0 {
		return nil, nil
	}
	b, err := json.Marshal(args)
	if err == nil {
		err = env.Files.Write(shimName, []byte(shimCode))
	}
	if err == nil {
		err = env.Files.Write(shimArgs, b)
	}
	if err != nil {
		return nil, fault.New(fault.Internal, fault.CodeInternal, "Wapiti's order can't be written").Because(err)
	}
	return []string{"PYTHONPATH=" + filepath.Join(env.Work, shimDir), "PYTHONDONTWRITEBYTECODE=1"}, nil
}

// taken reports whether the arguments were read.
func taken(files engine.Files, args []string) bool {
	if len(args) == 0 {
		return true
	}
	f, err := files.Open(shimArgs)
	if err != nil {
		return errors.Is(err, fs.ErrNotExist)
	}
	_ = f.Close() // nothing was written to it
	return false
}
