package sublist3r

import (
	"context"

	"assay.dev/assay/internal/scan/engine"
)

// Run implements engine.Engine.
func (Engine) Run(ctx context.Context, env engine.Env, req engine.Request) (engine.Verdict, error) {
	domain := req.Target.Host()
	raw, err := env.Artifact(artifactName, mediaType)
	if err != nil {
		return engine.Verdict{}, err
	}
	rec := newRecorder(raw, domain)
	backend := req.Options.Text("backend")
	rec.write(record{Kind: kindRun, Backend: backend, Domain: domain})
	o := outcome{domain: domain, version: builtinVersion}
	if backend == backendProgram {
		o.original, o.version = true, "original program"
		if o.answers, err = runProgram(ctx, env, req, rec); err != nil {
			return engine.Verdict{}, err
		}
	} else {
		o.answers = ask(ctx, env, req, rec)
	}
	if req.Options.Bool("resolve") && ctx.Err() == nil {
		o.unresolved = resolve(ctx, env, req.Scan, rec)
	}
	if rec.err != nil {
		return engine.Verdict{}, rec.err
	}
	o.stopped, o.cut = ctx.Err() != nil, raw.Truncated()
	return o.verdict(), nil
}
