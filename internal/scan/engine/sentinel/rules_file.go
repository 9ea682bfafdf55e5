package sentinel

import "assay.dev/assay/internal/scan/finding"

func fileRules() []rule {
	remove := "Remove the file from the web root, or deny access to it. "
	rotate := remove + "Change every credential that it holds."
	out := []rule{
		{id: "file-git", kind: kindGit, check: checkFiles, title: "Git repository exposed", severity: finding.High, cwe: []int{527},
			reason: "the whole source with its history can be downloaded, often with credentials in it",
			about:  "Git metadata can be downloaded, from which tools rebuild the source and its history.", remedy: rotate},
		{id: "file-env", kind: kindEnv, check: checkMoreFiles, title: "Environment file exposed", severity: finding.Critical, cwe: []int{538, 312},
			category: finding.CategorySecret, reason: "such files hold database passwords and signing keys in clear text",
			about: "A file of environment variables can be downloaded.", remedy: rotate},
		{id: "file-key", kind: kindKey, check: checkMoreFiles, title: "Private key exposed", severity: finding.Critical, cwe: []int{538, 312},
			category: finding.CategorySecret, reason: "whoever holds the key is its owner, to every server that trusts it",
			about: "A private key can be downloaded.", remedy: remove + "Replace the key everywhere it is trusted."},
		{id: "file-cloud", kind: kindCloud, check: checkMoreFiles, title: "Cloud credentials exposed", severity: finding.Critical,
			cwe: []int{538, 312}, category: finding.CategorySecret, reason: "the keys open the cloud account",
			about: "A file of cloud access keys can be downloaded.", remedy: rotate},
		{id: "file-registry", kind: kindRegistry, check: checkMoreFiles, title: "Registry credentials exposed", severity: finding.High,
			cwe: []int{538, 312}, category: finding.CategorySecret, reason: "images can be pulled and often pushed with them",
			about: "A container registry's login can be downloaded.", remedy: rotate},
		{id: "file-npm", kind: kindNpm, check: checkMoreFiles, title: "Package registry token exposed", severity: finding.High,
			cwe: []int{538, 312}, category: finding.CategorySecret, reason: "packages can be read and often published with it",
			about: "An npm configuration with a token can be downloaded.", remedy: rotate},
		{id: "file-htpasswd", kind: kindHtpasswd, check: checkFiles, title: "Password file exposed", severity: finding.High, cwe: []int{538, 522},
			category: finding.CategorySecret, reason: "the hashes can be guessed at offline, without limit",
			about: "A file of user names and password hashes can be downloaded.", remedy: rotate},
		{id: "file-sql", kind: kindSQL, check: checkMoreFiles, title: "Database dump exposed", severity: finding.Critical, cwe: []int{530},
			reason: "it is the data itself", about: "A dump of a database can be downloaded.", remedy: rotate},
		{id: "file-archive", kind: kindArchive, check: checkMoreFiles, title: "Backup archive exposed", severity: finding.High, cwe: []int{530},
			reason: "archives of that name usually hold source and configuration", about: "An archive with a backup's name can be downloaded.",
			remedy: rotate},
		{id: "file-config", kind: kindConfig, check: checkMoreFiles, title: "Copy of a configuration exposed", severity: finding.High,
			cwe: []int{530}, reason: "the copy isn't executed but shown, with the database's password",
			about: "A backup copy of a PHP configuration is served as text.", remedy: rotate},
		{id: "file-svn", kind: kindSVN, check: checkMoreFiles, title: "Subversion metadata exposed", severity: finding.Medium, cwe: []int{527},
			reason: "it names files and often gives their source", about: "Subversion's metadata can be downloaded.", remedy: remove},
		{id: "file-status", kind: kindStatus, check: checkFiles, title: "Server status page exposed", severity: finding.Medium, cwe: []int{497},
			reason: "it shows other users' requests and addresses", about: "Apache's status page is open to everyone.",
			remedy: "Restrict mod_status to trusted addresses."},
		{id: "file-phpinfo", kind: kindPHPInfo, check: checkMoreFiles, title: "phpinfo page exposed", severity: finding.Medium, cwe: []int{497},
			reason: "it shows paths, versions and often environment variables", about: "A page with PHP's whole configuration is open to everyone.",
			remedy: remove},
		{id: "file-actuator", kind: kindActuator, check: checkMoreFiles, title: "Application environment exposed", severity: finding.High,
			cwe: []int{497}, reason: "it shows the configuration; masking of secrets depends on version and set-up",
			about: "Spring Boot's /actuator/env is open to everyone.", remedy: "Expose only health, and require a login for the rest."},
		{id: "file-pprof", kind: kindPprof, check: checkMoreFiles, title: "Profiler exposed", severity: finding.Medium, cwe: []int{489},
			reason: "it shows memory and lets anyone load the process", about: "Go's profiler is open to everyone.",
			remedy: "Serve /debug/pprof/ on a private listener only."},
		{id: "file-dsstore", kind: kindDSStore, check: checkFiles, title: "Folder index exposed", severity: finding.Low, cwe: []int{538},
			reason: "it names files, also ones that nothing links to", about: "A .DS_Store file names the files of its folder.", remedy: remove},
	}
	for i := range out {
		if out[i].category == "" {
			out[i].category = finding.CategoryDisclosure
		}
		out[i].refs = []string{refBackups}
	}
	return out
}
