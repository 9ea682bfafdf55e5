package engine

// Recipe is one way to get an engine's program. `assay engine install` follows it; docs/engines.md and doctor show it.
// What is fetched is pinned by digest, but for packages of the system, which the distribution signs.
type Recipe struct {
	Method Method
	Parts  []Part
	// Lock is a pip requirements file with the hash of every wheel, for MethodPip.
	Lock string
	// Program is the executable within what was unpacked, for archives and jars; empty = the manifest's Program.
	Program string
	// Needs are programs that must be there: "python3", "java".
	Needs []string
	Note  string // for the user; empty = none
}

// Method is how a recipe gets its parts.
type Method string

// Methods.
const (
	MethodSystem    Method = "system"    // apt package
	MethodPip       Method = "pip"       // wheels into a virtual environment of the engine's own
	MethodArchive   Method = "archive"   // release archive or file over https
	MethodContainer Method = "container" // image for docker or podman
)

// Part is one thing that a recipe fetches.
type Part struct {
	Name     string // of the package, image (with registry) or file
	Version  string
	URL      string // of archives
	SHA256   string // lower-case hex: of the file, or of the image's manifest
	Platform string // "linux/amd64"; empty = any
}

// Source is a third party that an engine asks about targets.
type Source struct {
	ID    string // as options and results name it
	Title string
	URL   string // https, the base of what is asked; an operator may set another (a mirror)
	Key   bool   // wants a key of the operator's
}
