package runner

import (
	"golang.org/x/sys/unix"

	"assay.dev/assay/internal/scan/engine"
)

// Capabilities returns what programs started from here may do beyond connecting. Raw packets need CAP_NET_RAW in a
// set that survives starting a program without new privileges: root keeps its effective set, anybody else needs it
// among the ambient ones. Capabilities on the program's file don't count.
func Capabilities() engine.Capabilities {
	if unix.Geteuid() == 0 {
		if effective(unix.CAP_NET_RAW) {
			return engine.Capabilities{engine.NetRaw}
		}
		return nil
	}
	if set, err := unix.PrctlRetInt(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_IS_SET, unix.CAP_NET_RAW, 0, 0); err == nil && set == 1 {
		return engine.Capabilities{engine.NetRaw}
	}
	return nil
}

func effective(capability uint) bool {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return false
	}
	return data[capability/32].Effective&(1<<(capability%32)) != 0
}
