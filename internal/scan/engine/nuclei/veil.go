package nuclei

import (
	"bytes"
	"encoding/json"
	"io"
)

// maxVeiled bounds a line that is looked through as a whole; Nuclei's own end at about 2 MiB.
const maxVeiled = 8 << 20

// veil passes lines on with the config's secrets replaced, as they are and as JSON writes them: Nuclei prints the
// headers that it was given with each finding.
type veil struct {
	to      io.Writer
	secrets [][]byte
	line    []byte
	drop    bool // the rest of a line that is too long
}

func newVeil(to io.Writer, secrets []string) *veil {
	v := &veil{to: to}
	for _, s := range secrets {
		v.secrets = append(v.secrets, []byte(s))
		if quoted, err := json.Marshal(s); err == nil && string(quoted) != `"`+s+`"` {
			v.secrets = append(v.secrets, quoted[1:len(quoted)-1])
		}
	}
	return v
}

// Write implements io.Writer.
func (v *veil) Write(p []byte) (int, error) {
	total := len(p)
	for len(p) > 0 {
		part, rest, whole := bytes.Cut(p, []byte("\n"))
		p = rest
		if !v.drop {
			v.line = append(v.line, part...)
		}
		if len(v.line) > maxVeiled {
			v.line, v.drop = nil, true
		}
		if !whole {
			break
		}
		if !v.drop {
			v.line = append(v.line, '\n')
			if err := v.flush(); err != nil {
				return 0, err
			}
		}
		v.drop = false
	}
	return total, nil
}

// flush passes the line so far on.
func (v *veil) flush() error {
	line := v.line
	for _, s := range v.secrets {
		line = bytes.ReplaceAll(line, s, []byte("********"))
	}
	v.line = v.line[:0]
	if len(line) == 0 {
		return nil
	}
	_, err := v.to.Write(line)
	return err
}
