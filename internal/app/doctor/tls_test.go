package doctor_test

import (
	"os"
	"path/filepath"
	"testing"

	"assay.dev/assay/internal/app"
	"assay.dev/assay/internal/app/doctor"
	"assay.dev/assay/internal/config"
)

func TestTheDoctorTellsATrustedChainFromAnUnknownOne(t *testing.T) {
	t.Parallel()
	cfg := settings(t)
	made, err := app.SelfSigned(config.Config{Data: cfg.Data}, []string{"localhost", "127.0.0.1"}, 30, false)
	if err != nil {
		t.Fatal(err)
	}
	cfg.TLSCert, cfg.TLSKey = made.Cert, made.Key
	says(t, about(t, cfg, "")["tls"], doctor.Missing, "the certificate in the files expires at")
	run(t, cfg)
	d := about(t, cfg, "")
	says(t, d["tls"], doctor.Good, "TLS 1.3")
	says(t, d["tls certificate"], doctor.Good, "the chain is valid")
	says(t, d["tls files"], doctor.Good, "followed")
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.Rename(filepath.Join(cfg.Data, app.TLSFolder, "ca.pem"), ca); err != nil {
		t.Fatal(err)
	}
	says(t, about(t, cfg, "")["tls certificate"], doctor.Missing, "--ca")
	says(t, about(t, cfg, ca)["tls certificate"], doctor.Good, "the chain is valid")
}

func TestAPlainServerSaysSo(t *testing.T) {
	t.Parallel()
	cfg := settings(t)
	run(t, cfg)
	says(t, about(t, cfg, "")["tls"], doctor.Missing, "plain HTTP")
}

func TestAProxyThatNobodyTrustsIsFound(t *testing.T) {
	t.Parallel()
	cfg := settings(t)
	cfg.BehindTLSProxy = true
	run(t, cfg)
	says(t, about(t, cfg, "")["tls"], doctor.Broken, "trusted_proxies")
}
