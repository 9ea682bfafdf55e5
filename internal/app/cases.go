package app

import "assay.dev/assay/internal/scan/correlation"

// correlating makes the service of cases: findings of several engines that are one real issue. A scheduler keeps them
// in step with findings.
func (a *App) correlating(p *parts) *correlation.Service {
	if a.cfg.Has("scheduler") {
		feed := a.store.CaseFeed()
		follower := correlation.NewFollower(correlation.FollowerDeps{
			Store: a.store.Cases(), Journal: feed, Findings: feed, News: a.store.Hub().SubscribeAll, Now: a.now, IDs: a.ids, Log: a.log,
		})
		p.workers = append(p.workers, part{"cases", follower.Run})
	}
	return correlation.New(correlation.Deps{Store: a.store.Cases(), Now: a.now, IDs: a.ids})
}
