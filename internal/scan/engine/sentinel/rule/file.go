package rule

import "assay.dev/assay/internal/scan/finding"

func files() []Rule {
	remove := "Remove the file from the web root, or deny access to it. "
	rotate := remove + "Change every credential that it holds."
	out := []Rule{
		{
			ID: "file-git", Kind: KindGit, Check: CheckFiles, Title: "Git repository exposed", Severity: finding.High, CWE: []int{527},
			Reason: "the whole source with its history can be downloaded, often with credentials in it",
			About:  "Git metadata can be downloaded, from which tools rebuild the source and its history.", Remedy: rotate,
		},
		{
			ID: "file-env", Kind: KindEnv, Check: CheckMoreFiles, Title: "Environment file exposed", Severity: finding.Critical, CWE: []int{538, 312},
			Category: finding.CategorySecret, Reason: "such files hold database passwords and signing keys in clear text",
			About: "A file of environment variables can be downloaded.", Remedy: rotate,
		},
		{
			ID: "file-key", Kind: KindKey, Check: CheckMoreFiles, Title: "Private key exposed", Severity: finding.Critical, CWE: []int{538, 312},
			Category: finding.CategorySecret, Reason: "whoever holds the key is its owner, to every server that trusts it",
			About: "A private key can be downloaded.", Remedy: remove + "Replace the key everywhere it is trusted.",
		},
		{
			ID: "file-cloud", Kind: KindCloud, Check: CheckMoreFiles, Title: "Cloud credentials exposed", Severity: finding.Critical,
			CWE: []int{538, 312}, Category: finding.CategorySecret, Reason: "the keys open the cloud account",
			About: "A file of cloud access keys can be downloaded.", Remedy: rotate,
		},
		{
			ID: "file-registry", Kind: KindRegistry, Check: CheckMoreFiles, Title: "Registry credentials exposed", Severity: finding.High,
			CWE: []int{538, 312}, Category: finding.CategorySecret, Reason: "images can be pulled and often pushed with them",
			About: "A container registry's login can be downloaded.", Remedy: rotate,
		},
		{
			ID: "file-npm", Kind: KindNpm, Check: CheckMoreFiles, Title: "Package registry token exposed", Severity: finding.High,
			CWE: []int{538, 312}, Category: finding.CategorySecret, Reason: "packages can be read and often published with it",
			About: "An npm configuration with a token can be downloaded.", Remedy: rotate,
		},
		{
			ID: "file-htpasswd", Kind: KindHtpasswd, Check: CheckFiles, Title: "Password file exposed", Severity: finding.High, CWE: []int{538, 522},
			Category: finding.CategorySecret, Reason: "the hashes can be guessed at offline, without limit",
			About: "A file of user names and password hashes can be downloaded.", Remedy: rotate,
		},
		{
			ID: "file-sql", Kind: KindSQL, Check: CheckMoreFiles, Title: "Database dump exposed", Severity: finding.Critical, CWE: []int{530},
			Reason: "it is the data itself", About: "A dump of a database can be downloaded.", Remedy: rotate,
		},
		{
			ID: "file-archive", Kind: KindArchive, Check: CheckMoreFiles, Title: "Backup archive exposed", Severity: finding.High, CWE: []int{530},
			Reason: "archives of that name usually hold source and configuration", About: "An archive with a backup's name can be downloaded.",
			Remedy: rotate,
		},
		{
			ID: "file-config", Kind: KindConfig, Check: CheckMoreFiles, Title: "Copy of a configuration exposed", Severity: finding.High,
			CWE: []int{530}, Reason: "the copy isn't executed but shown, with the database's password",
			About: "A backup copy of a PHP configuration is served as text.", Remedy: rotate,
		},
		{
			ID: "file-svn", Kind: KindSVN, Check: CheckMoreFiles, Title: "Subversion metadata exposed", Severity: finding.Medium, CWE: []int{527},
			Reason: "it names files and often gives their source", About: "Subversion's metadata can be downloaded.", Remedy: remove,
		},
		{
			ID: "file-status", Kind: KindStatus, Check: CheckFiles, Title: "Server status page exposed", Severity: finding.Medium, CWE: []int{497},
			Reason: "it shows other users' requests and addresses", About: "Apache's status page is open to everyone.",
			Remedy: "Restrict mod_status to trusted addresses.",
		},
		{
			ID: "file-phpinfo", Kind: KindPHPInfo, Check: CheckMoreFiles, Title: "phpinfo page exposed", Severity: finding.Medium, CWE: []int{497},
			Reason: "it shows paths, versions and often environment variables", About: "A page with PHP's whole configuration is open to everyone.",
			Remedy: remove,
		},
		{
			ID: "file-actuator", Kind: KindActuator, Check: CheckMoreFiles, Title: "Application environment exposed", Severity: finding.High,
			CWE: []int{497}, Reason: "it shows the configuration; masking of secrets depends on version and set-up",
			About: "Spring Boot's /actuator/env is open to everyone.", Remedy: "Expose only health, and require a login for the rest.",
		},
		{
			ID: "file-pprof", Kind: KindPprof, Check: CheckMoreFiles, Title: "Profiler exposed", Severity: finding.Medium, CWE: []int{489},
			Reason: "it shows memory and lets anyone load the process", About: "Go's profiler is open to everyone.",
			Remedy: "Serve /debug/pprof/ on a private listener only.",
		},
		{
			ID: "file-dsstore", Kind: KindDSStore, Check: CheckFiles, Title: "Folder index exposed", Severity: finding.Low, CWE: []int{538},
			Reason: "it names files, also ones that nothing links to", About: "A .DS_Store file names the files of its folder.", Remedy: remove,
		},
	}
	for i := range out {
		if out[i].Category == "" {
			out[i].Category = finding.CategoryDisclosure
		}
		out[i].Refs = []string{refBackups}
	}
	return out
}
