package store

import (
	"encoding/json"
	"fmt"
)

// flag is how a boolean is kept.
func flag(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// orNull keeps an absent text as NULL.
func orNull[T ~string](s T) any {
	if s == "" {
		return nil
	}
	return string(s)
}

// rawOrNull keeps an absent JSON document as NULL.
func rawOrNull(doc json.RawMessage) any {
	if len(doc) == 0 {
		return nil
	}
	return string(doc)
}

// bytesOrNull keeps absent bytes as NULL, also on drivers that would keep nil as an empty blob.
func bytesOrNull(b []byte) any {
	if b == nil {
		return nil
	}
	return b
}

// encode forms the text of a value of our own.
func encode(v any) (string, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return "", internal("a record can't be written", err)
	}
	return string(b), nil
}

// list forms the text of a list of texts; nil and empty are the same.
func list[T ~string](items []T) string {
	if len(items) == 0 {
		return "[]"
	}
	b, _ := json.Marshal(items) // texts always marshal
	return string(b)
}

// decode reads what encode or list wrote. An empty or NULL column leaves dest as it is.
func decode(column string, doc []byte, dest any) error {
	if len(doc) == 0 {
		return nil
	}
	if err := json.Unmarshal(doc, dest); err != nil {
		return internal("a record can't be read", fmt.Errorf("column %s: %w", column, err))
	}
	return nil
}

// texts reads a list that list wrote; an empty one is nil.
func texts[T ~string](column string, doc []byte) ([]T, error) {
	if string(doc) == "[]" {
		return nil, nil
	}
	var out []T
	if err := decode(column, doc, &out); err != nil || len(out) == 0 {
		return nil, err
	}
	return out, nil
}
