package archtest_test

import (
	"strconv"
	"strings"
	"testing"

	"assay.dev/assay/internal/archtest"
)

const module = "assay.dev/assay/"

func TestEveryPackageHasARank(t *testing.T) {
	t.Parallel()
	for _, s := range load(t) {
		if _, ok := archtest.RankOf(s.pkg); !ok {
			t.Errorf("%s: the package has no room in ARCHITECTURE.md", s.pkg)
		}
	}
}

func TestImportsFollowTheRanks(t *testing.T) {
	t.Parallel()
	for _, s := range load(t) {
		if s.test {
			continue // tests build on kits and real parts; what ships is what the ranks are for
		}
		for _, imp := range s.file.Imports {
			path, err := strconv.Unquote(imp.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			to, ours := strings.CutPrefix(path, module)
			if !ours || to == s.pkg {
				continue
			}
			if why, ok := archtest.MayImport(s.pkg, to); !ok {
				t.Errorf("%s imports %s: %s", s.path, to, why)
			}
		}
	}
}

// Vendors live where the architecture puts them; depguard says the same to the editor, this says it to everybody.
func TestVendorsStayInTheirRooms(t *testing.T) {
	t.Parallel()
	rooms := map[string][]string{
		"os/exec":                                  {"internal/infra/runner", "internal/testkit/targets"}, // the kit starts weak targets
		"database/sql":                             {"internal/infra/store", "internal/infra/queue", "internal/app"},
		"github.com/jackc/pgx/v5":                  {"internal/infra/store", "internal/infra/queue", "internal/testkit"}, // the kit makes databases
		"modernc.org/sqlite":                       {"internal/infra/store"},
		"github.com/riverqueue/river":              {"internal/infra/queue"},
		"github.com/danielgtaylor/huma/v2":         {"internal/web"},
		"github.com/spf13/cobra":                   {"internal/cli"},
		"github.com/transparency-dev/merkle":       {"internal/audit"},
		"filippo.io/mldsa":                         {"internal/audit", "internal/infra/keys"},
		"github.com/prometheus/client_golang":      {"internal/obs"},
		"go.opentelemetry.io/otel":                 {"internal/obs"},
		"github.com/knadh/koanf":                   {"internal/config"},
		"golang.org/x/crypto/acme":                 {"internal/infra/tls"},
		"github.com/letsencrypt/pebble/v2":         {"internal/infra/tls/acmetest"},
		"github.com/landlock-lsm/go-landlock":      {"internal/infra/runner"},
		"github.com/owenrumney/go-sarif":           {"internal/web/report"},
		"math/rand":                                {},
		"github.com/cloudflare/circl":              {},
		"github.com/aws/aws-sdk-go-v2":             {"internal/vault/aws"},
		"github.com/Azure/azure-sdk-for-go":        {"internal/vault/azure"},
		"k8s.io/client-go":                         {"internal/vault/kubernetes"},
		"github.com/hashicorp/vault/api":           {"internal/vault/hashicorp"},
		"cloud.google.com/go/secretmanager":        {"internal/vault/gcp"},
		"github.com/microsoftgraph/msgraph-sdk-go": {},
	}
	for _, s := range load(t) {
		if s.test {
			continue
		}
		for _, imp := range s.file.Imports {
			path, _ := strconv.Unquote(imp.Path.Value)
			for vendor, allowed := range rooms {
				if path != vendor && !strings.HasPrefix(path, vendor+"/") {
					continue
				}
				in := false
				for _, room := range allowed {
					in = in || s.pkg == room || strings.HasPrefix(s.pkg, room+"/")
				}
				if !in {
					t.Errorf("%s imports %s, which belongs to %v", s.path, path, allowed)
				}
			}
		}
	}
}
