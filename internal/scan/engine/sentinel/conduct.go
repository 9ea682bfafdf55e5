package sentinel

import (
	"slices"

	"assay.dev/assay/internal/scan/engine"
	"assay.dev/assay/internal/word/fault"
)

var _ engine.Conductor = sentinel{}

// enginesOption names the engines that an order of more than a quick look may use.
func enginesOption() engine.Option {
	ids := []string{"harvester", "nikto", "nmap", "nuclei", "sentinel", "sqlmap", "sublist3r", "trivy", "wapiti", "zap"}
	return engine.Option{
		Name: "engines", Type: engine.TypeEnumSet, Enum: ids, Min: 1, Max: int64(len(ids)),
		Help: "Engines to use, each in the phase where it belongs. Without it: every engine that can run here, that fits the " +
			"target and that the API key allows. Of \"sentinel\" alone this one scan is all there is. Not with the depth quick.",
	}
}

// phasesOption names the phases that such an order goes through.
func phasesOption() engine.Option {
	return engine.Option{
		Name: "phases", Type: engine.TypeEnumSet, Enum: engine.Phases(), Min: 1, Max: int64(len(engine.Phases())),
		Help: "Phases to go through: inventory (what is there), surface (what web servers show), vulnerability (known flaws " +
			"and injections). Later ones look at what earlier ones found. Without it: all. Not with the depth quick.",
	}
}

// Conducts implements engine.Conductor: a quick look, and one by Sentinel alone, is the own probes in one run; anything
// else has the engines work in phases, Sentinel's own probes among them.
func (sentinel) Conducts(o engine.Options) (engine.Score, bool, error) {
	chosen, phases := o.Set("engines"), o.Set("phases")
	if o.Text("depth") == depthQuick {
		if len(chosen) > 0 || len(phases) > 0 {
			return engine.Score{}, false, fault.Wrong("options.depth", "quick is Sentinel's own probes only; engines and phases need standard or deep")
		}
		return engine.Score{}, false, nil
	}
	if len(phases) == 0 && len(chosen) == 1 && chosen[0] == "sentinel" {
		return engine.Score{}, false, nil
	}
	s := engine.Score{Engines: chosen}
	for _, p := range engine.Phases() {
		if len(phases) == 0 || slices.Contains(phases, p) {
			s.Phases = append(s.Phases, p)
		}
	}
	return s, true, nil
}
