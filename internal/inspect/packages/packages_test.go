package packages_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"assay.dev/assay/internal/inspect/packages"
)

func read(name, content string, tree packages.Tree) ([]string, error) {
	var out []string
	err := packages.Read(name, []byte(content), tree, func(p packages.Package) {
		line := p.PURL
		if p.Dev {
			line += " dev"
		}
		if len(p.Licences) > 0 {
			line += " " + strings.Join(p.Licences, "|")
		}
		out = append(out, line)
	})
	return out, err
}

func TestEveryFormatYieldsItsPackages(t *testing.T) {
	t.Parallel()
	for _, tc := range cases() {
		t.Run(tc.name+" "+tc.file, func(t *testing.T) {
			t.Parallel()
			if !packages.Knows(tc.file) {
				t.Fatalf("%s isn't read", tc.file)
			}
			got, err := read(tc.file, tc.content, tc.tree)
			if err != nil {
				t.Error(err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("packages (-want +got):\n%s", diff)
			}
		})
	}
}

type sample struct {
	name, file, content string
	tree                packages.Tree
	want                []string
}

func cases() []sample {
	return append(webCases(), otherCases()...)
}

func webCases() []sample {
	return []sample{
		{
			name: "v3", file: "web/package-lock.json",
			content: `{"lockfileVersion":3,"packages":{"":{"name":"shop","version":"1.0.0"},"node_modules/lodash":{"version":"4.17.4","license":"MIT"},
				"node_modules/a/node_modules/@x/y":{"version":"1.0.0-rc.1","dev":true},"packages/own":{"version":"1.0.0"},"node_modules/own":{"link":true,"resolved":"packages/own"},
				"node_modules/git":{"version":"git+ssh://x/y"},"node_modules/alias":{"name":"real","version":"2.0.0"}}}`,
			want: []string{"pkg:npm/%40x/y@1.0.0-rc.1 dev", "pkg:npm/lodash@4.17.4 MIT", "pkg:npm/real@2.0.0"},
		},
		{
			name: "v1", file: "package-lock.json",
			content: `{"lockfileVersion":1,"dependencies":{"a":{"version":"1.0.0","dependencies":{"b":{"version":"2.0.0","dev":true}}},"c":{"version":"npm:d@3.0.0"},"e":{"version":"file:x"}}}`,
			want:    []string{"pkg:npm/a@1.0.0", "pkg:npm/b@2.0.0 dev", "pkg:npm/d@3.0.0"},
		},
		{
			name: "exact only", file: "package.json",
			content: `{"dependencies":{"lodash":"4.17.4","axios":"^0.21.0","x":"*","y":"1.2"},"devDependencies":{"z":"=1.2.3"}}`,
			want:    []string{"pkg:npm/lodash@4.17.4", "pkg:npm/z@1.2.3 dev"},
		},
		{
			name: "v1", file: "yarn.lock",
			content: "# yarn lockfile v1\n\n\n\"@babel/core@^7.0.0\", \"@babel/core@^7.1.0\":\n  version \"7.1.2\"\n  resolved \"https://r\"\n  dependencies:\n    version \"^9.0.0\"\n\nlodash@^4.17.4:\n  version \"4.17.4\"\nalias@npm:real@^1.0.0:\n  version \"1.0.1\"\n",
			want:    []string{"pkg:npm/%40babel/core@7.1.2", "pkg:npm/lodash@4.17.4", "pkg:npm/real@1.0.1"},
		},
		{
			name: "berry", file: "yarn.lock",
			content: "__metadata:\n  version: 6\n\n\"lodash@npm:^4.17.4\":\n  version: 4.17.21\n  resolution: \"lodash@npm:4.17.21\"\n\n\"own@workspace:.\":\n  version: 0.0.0-use.local\n  resolution: \"own@workspace:.\"\n",
			want:    []string{"pkg:npm/lodash@4.17.21"},
		},
		{
			name: "v9", file: "pnpm-lock.yaml",
			content: "lockfileVersion: '9.0'\nimporters:\n  .:\n    dependencies:\npackages:\n\n  '@x/y@1.0.0':\n    resolution: {integrity: sha}\n\n  lodash@4.17.21:\n    resolution: {}\nsnapshots:\n  z@9.9.9:\n    dev: true\n",
			want:    []string{"pkg:npm/%40x/y@1.0.0", "pkg:npm/lodash@4.17.21"},
		},
		{
			name: "v5 and v6", file: "pnpm-lock.yaml",
			content: "lockfileVersion: 5.4\npackages:\n  /lodash/4.17.21:\n    dev: true\n  /@x/y/1.0.0_react@17.0.2:\n    dev: false\n  /a@2.0.0(b@1.0.0):\n    dev: false\n",
			want:    []string{"pkg:npm/%40x/y@1.0.0", "pkg:npm/a@2.0.0", "pkg:npm/lodash@4.17.21 dev"},
		},
		{
			name: "composer", file: "composer.lock",
			content: `{"packages":[{"name":"symfony/http-kernel","version":"v4.4.1","license":["MIT"]}],"packages-dev":[{"name":"phpunit/phpunit","version":"9.5.0"}]}`,
			want:    []string{"pkg:composer/phpunit/phpunit@9.5.0 dev", "pkg:composer/symfony/http-kernel@4.4.1 MIT"},
		},
	}
}

func otherCases() []sample {
	return []sample{
		{
			name: "go", file: "go.mod",
			content: "module example.test/shop\n\ngo 1.17\n\nrequire (\n\tgolang.org/x/text v0.3.5\n\tgopkg.in/yaml.v2 v2.2.2 // indirect\n\tlocal.test/x v1.0.0\n)\nreplace local.test/x => ../x\nreplace gopkg.in/yaml.v2 => gopkg.in/yaml.v2 v2.4.0\n",
			want:    []string{"pkg:golang/golang.org/x/text@v0.3.5", "pkg:golang/gopkg.in/yaml.v2@v2.4.0"},
		},
		{
			name: "pins", file: "deploy/requirements-prod.txt",
			content: "Django==2.2.0  # web\nPyYAML == 5.1 ; python_version > '3'\nrequests>=2\n-r other.txt\nceleRy[redis]==4.0.0 --hash=sha256:aa\nx==1.*\n",
			want:    []string{"pkg:pypi/celery@4.0.0", "pkg:pypi/django@2.2.0", "pkg:pypi/pyyaml@5.1"},
		},
		{
			name: "poetry", file: "poetry.lock",
			content: "[[package]]\nname = \"django\"\nversion = \"2.2\"\ncategory = \"main\"\n\n[package.dependencies]\nversion = \"9\"\n\n[[package]]\nname = \"pytest\"\nversion = \"7.0\"\ncategory = \"dev\"\n",
			want:    []string{"pkg:pypi/django@2.2", "pkg:pypi/pytest@7.0 dev"},
		},
		{
			name: "uv", file: "uv.lock",
			content: "version = 1\n[[package]]\nname = \"shop\"\nversion = \"0.1.0\"\nsource = { editable = \".\" }\n\n[[package]]\nname = \"anyio\"\nversion = \"4.0.0\"\nsource = { registry = \"https://r\" }\n",
			want:    []string{"pkg:pypi/anyio@4.0.0"},
		},
		{
			name: "pipfile", file: "Pipfile.lock",
			content: `{"default":{"django":{"version":"==2.2"}},"develop":{"pytest":{"version":"==7.0"},"own":{"path":"."}}}`,
			want:    []string{"pkg:pypi/django@2.2", "pkg:pypi/pytest@7.0 dev"},
		},
		{
			name: "cargo", file: "Cargo.lock",
			content: "version = 3\n\n[[package]]\nname = \"own\"\nversion = \"0.1.0\"\n\n[[package]]\nname = \"time\"\nversion = \"0.1.43\"\nsource = \"registry+https://r\"\ndependencies = [\n \"libc\",\n]\n",
			want:    []string{"pkg:cargo/time@0.1.43"},
		},
		{
			name: "gems", file: "Gemfile.lock",
			content: "PATH\n  remote: .\n  specs:\n    own (0.1.0)\n\nGEM\n  remote: https://r\n  specs:\n    rails (5.0.0)\n      actionpack (= 5.0.0)\n    nokogiri (1.10.0-x86_64-linux)\n\nPLATFORMS\n  ruby\n",
			want:    []string{"pkg:gem/nokogiri@1.10.0", "pkg:gem/rails@5.0.0"},
		},
		{
			name: "maven", file: "pom.xml",
			content: `<?xml version="1.0" encoding="ISO-8859-1"?><project><parent><groupId>org.p</groupId><version>3</version></parent><properties><log4j.version>2.14.1</log4j.version></properties>
				<dependencyManagement><dependencies><dependency><groupId>g</groupId><artifactId>managed</artifactId><version>7</version></dependency></dependencies></dependencyManagement>
				<dependencies><dependency><groupId>org.apache.logging.log4j</groupId><artifactId>log4j-core</artifactId><version>${log4j.version}</version></dependency>
				<dependency><groupId>g</groupId><artifactId>managed</artifactId></dependency><dependency><groupId>${project.groupId}</groupId><artifactId>sibling</artifactId><version>${project.version}</version><scope>test</scope></dependency>
				<dependency><groupId>g</groupId><artifactId>unknown</artifactId><version>${nowhere}</version></dependency><dependency><groupId>g</groupId><artifactId>ranged</artifactId><version>[1,2)</version></dependency></dependencies>
				<build><plugins><plugin><dependencies><dependency><groupId>p</groupId><artifactId>plugin</artifactId><version>1</version></dependency></dependencies></plugin></plugins></build></project>`,
			want: []string{"pkg:maven/g/managed@7", "pkg:maven/org.apache.logging.log4j/log4j-core@2.14.1", "pkg:maven/org.p/sibling@3 dev"},
		},
		{
			name: "gradle", file: "app/gradle.lockfile",
			content: "# lock\norg.a:b:1.0=compileClasspath,runtimeClasspath\norg.a:t:2.0=testRuntimeClasspath\nempty=\n",
			want:    []string{"pkg:maven/org.a/b@1.0", "pkg:maven/org.a/t@2.0 dev"},
		},
		{
			name: "nuget", file: "packages.lock.json",
			content: `{"version":1,"dependencies":{"net6.0":{"Newtonsoft.Json":{"type":"Direct","resolved":"12.0.1"},"own":{"type":"Project"}}}}`,
			want:    []string{"pkg:nuget/Newtonsoft.Json@12.0.1"},
		},
		{
			name: "old nuget", file: "packages.config",
			content: `<packages><package id="jQuery" version="1.4.1" developmentDependency="true"/></packages>`, want: []string{"pkg:nuget/jQuery@1.4.1 dev"},
		},
		{
			name: "project", file: "src/shop.csproj",
			content: `<Project><ItemGroup><PackageReference Include="A" Version="1.0.0"/><PackageReference Include="B"><Version>2.0.0</Version></PackageReference><PackageReference Include="C" Version="3.*"/></ItemGroup></Project>`,
			want:    []string{"pkg:nuget/A@1.0.0", "pkg:nuget/B@2.0.0"},
		},
		{
			name: "dpkg", file: "rootfs/var/lib/dpkg/status", tree: packages.Tree{Distro: "ubuntu"},
			content: "Package: openssl\nStatus: install ok installed\nVersion: 1.1.1f-1ubuntu2\nDescription: x\n Version: 9\n\nPackage: gone\nStatus: deinstall ok config-files\nVersion: 1\n",
			want:    []string{"pkg:deb/ubuntu/openssl@1.1.1f-1ubuntu2"},
		},
		{
			name: "apk", file: "lib/apk/db/installed",
			content: "C:Q1x=\nP:musl\nV:1.1.22-r3\nL:MIT\n\nP:libssl1.1\nV:1.1.1c-r0\nL:OpenSSL\n",
			want:    []string{"pkg:apk/alpine/libssl1.1@1.1.1c-r0 OpenSSL", "pkg:apk/alpine/musl@1.1.22-r3 MIT"},
		},
	}
}

func TestAFileOfAnotherFormIsAnErrorAndNoPanic(t *testing.T) {
	t.Parallel()
	for _, file := range []string{"package-lock.json", "Pipfile.lock", "composer.lock", "packages.lock.json", "pom.xml", "go.mod", "pnpm-lock.yaml", "yarn.lock", "Gemfile.lock"} {
		for name, content := range map[string]string{"garbage": "\x00\xff{<", "deep": strings.Repeat(`{"dependencies":{"a":`, 20_000), "deep xml": strings.Repeat("<a>", 20_000)} {
			if got, err := read(file, content, packages.Tree{}); !errors.Is(err, packages.ErrUnreadable) || len(got) > 0 {
				t.Errorf("%s as %s: %d packages, %v", name, file, len(got), err)
			}
		}
	}
}

func TestPackagesOfOneFileAreBounded(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	for i := range packages.MaxPackages + 1000 {
		fmt.Fprintf(&b, "p%d==1.0\n", i)
	}
	if got, _ := read("requirements.txt", b.String(), packages.Tree{}); len(got) != packages.MaxPackages {
		t.Errorf("%d packages, want %d", len(got), packages.MaxPackages)
	}
}

func FuzzRead(f *testing.F) {
	var names []string
	for _, c := range cases() {
		if !slices.Contains(names, c.file) {
			names = append(names, c.file)
		}
		f.Add(uint8(slices.Index(names, c.file)), c.content)
	}
	f.Fuzz(func(t *testing.T, which uint8, content string) {
		_ = packages.Read(names[int(which)%len(names)], []byte(content), packages.Tree{Distro: "debian"}, func(p packages.Package) {
			if p.Name == "" || p.Version == "" || len(p.Name) > 600 || !strings.HasPrefix(p.PURL, "pkg:"+p.Type+"/") || strings.ContainsAny(p.PURL, " \n\x00") {
				t.Errorf("out of bounds: %+v", p)
			}
		})
	})
}

func BenchmarkLock(b *testing.B) {
	var text strings.Builder
	text.WriteString(`{"lockfileVersion":3,"packages":{"":{}`)
	for i := range 5000 {
		fmt.Fprintf(&text, `,"node_modules/p%d":{"version":"1.0.%d","resolved":"https://registry.example.test/p%d.tgz","integrity":"sha512-xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx","license":"MIT"}`, i, i, i)
	}
	text.WriteString("}}")
	content := []byte(text.String())
	b.SetBytes(int64(len(content)))
	for b.Loop() {
		if err := packages.Read("package-lock.json", content, packages.Tree{}, func(packages.Package) {}); err != nil {
			b.Fatal(err)
		}
	}
}
