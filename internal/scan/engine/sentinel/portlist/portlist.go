// Package portlist holds the TCP ports that Sentinel looks at by itself, as data. Start with Quick.
package portlist

import "assay.dev/assay/internal/scan/engine"

// Quick returns the 100 ports of depth quick: our own choice of what is commonly open on servers, appliances and in
// data centres, by the names in the IANA service registry and the defaults of well-known products.
func Quick() engine.Ports {
	return engine.PortsOf(
		7, 13, 21, 22, 23, 25, 37, 53, 79, 80, 81, 88, 106, 110, 111, 113, 119, 135, 139, 143, 179, 389, 427, 443, 444, 445, 465,
		513, 514, 515, 543, 548, 554, 587, 631, 636, 646, 873, 902, 990, 993, 995, 1080, 1194, 1433, 1521, 1723, 1883, 2049, 2121,
		2375, 2376, 2379, 3000, 3128, 3268, 3306, 3389, 3690, 4369, 5000, 5060, 5432, 5601, 5672, 5900, 5984, 5985, 6000, 6379,
		6443, 7001, 8000, 8008, 8009, 8080, 8081, 8086, 8088, 8090, 8161, 8200, 8443, 8500, 8834, 8883, 8888, 9000, 9042, 9090,
		9092, 9100, 9200, 9300, 9443, 10000, 10250, 11211, 15672, 27017,
	)
}

// Standard returns the 1,000 ports of depth standard: the quick ones, the well-known ports that are really used, and
// the neighbourhoods in which products keep their defaults.
func Standard() engine.Ports {
	list := Quick().Expand()
	for _, r := range []engine.PortRange{
		{From: 1, To: 300},
		{From: 320, To: 350},
		{From: 366, To: 560},
		{From: 587, To: 667},
		{From: 700, To: 715},
		{From: 871, To: 912},
		{From: 981, To: 1030},
		{From: 1098, To: 1110},
		{From: 1433, To: 1434},
		{From: 2375, To: 2380},
		{From: 3000, To: 3010},
		{From: 3268, To: 3269},
		{From: 4000, To: 4010},
		{From: 4443, To: 4445},
		{From: 5000, To: 5010},
		{From: 5432, To: 5434},
		{From: 5900, To: 5910},
		{From: 6379, To: 6381},
		{From: 6660, To: 6669},
		{From: 7000, To: 7010},
		{From: 8000, To: 8100},
		{From: 8440, To: 8450},
		{From: 8880, To: 8890},
		{From: 9000, To: 9010},
		{From: 9090, To: 9100},
		{From: 27017, To: 27019},
		{From: 49152, To: 49160},
	} {
		list = append(list, engine.Ports{r}.Expand()...)
	}
	return engine.PortsOf(list...)
}
