package trivy

import "slices"

// weaknessOf returns the CWE of a misconfiguration check: Trivy names none. Checks that aren't here have none.
func weaknessOf(check string) []int {
	for cwe, checks := range map[int][]string{
		// Execution with unnecessary privileges.
		250: {"DS-0002", "DS-0010", "KSV-0001", "KSV-0003", "KSV-0005", "KSV-0012", "KSV-0017", "KSV-0020", "KSV-0021", "KSV-0022", "KSV-0105", "KSV-0106"},
		// Exposure of a resource to the wrong sphere.
		668: {"KSV-0008", "KSV-0009", "KSV-0010", "AWS-0082", "AWS-0180", "DS-0004"},
		// Improper access control of ports and addresses.
		284: {"AWS-0107", "AWS-0104", "AWS-0086", "AWS-0087", "AWS-0091", "AWS-0092", "AWS-0093", "AWS-0094", "AZU-0047", "GCP-0027"},
		// Missing encryption of what is kept.
		311: {"AWS-0026", "AWS-0080", "AWS-0088", "AWS-0131"},
		// Uncontrolled resource consumption.
		400: {"KSV-0011", "KSV-0015", "KSV-0016", "KSV-0018"},
		// Secrets in the open.
		798: {"DS-0031"},
		// Use of what isn't pinned.
		1357: {"DS-0001", "KSV-0013"},
	} {
		if slices.Contains(checks, check) {
			return []int{cwe}
		}
	}
	return nil
}
