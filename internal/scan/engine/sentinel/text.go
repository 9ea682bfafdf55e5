package sentinel

import "assay.dev/assay/internal/scan/engine/sentinel/banner"

// service is what speaks at a port.
type service = banner.Service

func recognise(said []byte) service { return banner.Recognise(said) }

func product(text string) (name, version string) { return banner.Product(text) }

// printable returns s without control characters, cut to limit bytes.
func printable(s string, limit int) string { return banner.Printable(s, limit) }

// clip cuts s to limit bytes on a character's boundary.
func clip(s string, limit int) string { return banner.Clip(s, limit) }
