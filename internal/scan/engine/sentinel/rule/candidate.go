package rule

// Candidate is a path that may lie open, and the kind of content that proves it. Quick ones are asked at every depth.
type Candidate struct {
	Path  string
	Kind  string
	Quick bool
}

// Candidates are the paths that are asked for, most telling first. Several paths of one kind make one finding.
func Candidates() []Candidate {
	return []Candidate{
		{"/.git/config", KindGit, true},
		{"/.git/HEAD", KindGit, true},
		{"/.env", KindEnv, true},
		{"/.env.local", KindEnv, false},
		{"/.env.production", KindEnv, false},
		{"/.svn/entries", KindSVN, false},
		{"/server-status", KindStatus, true},
		{"/phpinfo.php", KindPHPInfo, true},
		{"/info.php", KindPHPInfo, false},
		{"/id_rsa", KindKey, true},
		{"/.ssh/id_rsa", KindKey, false},
		{"/server.key", KindKey, false},
		{"/privatekey.pem", KindKey, false},
		{"/.htpasswd", KindHtpasswd, true},
		{"/dump.sql", KindSQL, true},
		{"/backup.sql", KindSQL, false},
		{"/database.sql", KindSQL, false},
		{"/db.sql", KindSQL, false},
		{"/backup.zip", KindArchive, true},
		{"/backup.tar.gz", KindArchive, false},
		{"/www.zip", KindArchive, false},
		{"/site.tar.gz", KindArchive, false},
		{"/wp-config.php.bak", KindConfig, true},
		{"/wp-config.php~", KindConfig, false},
		{"/config.php.bak", KindConfig, false},
		{"/.DS_Store", KindDSStore, true},
		{"/.aws/credentials", KindCloud, false},
		{"/.docker/config.json", KindRegistry, false},
		{"/.npmrc", KindNpm, false},
		{"/actuator/env", KindActuator, false},
		{"/debug/pprof/", KindPprof, false},
	}
}
