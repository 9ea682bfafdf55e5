package access

// HoldHashing takes all places in which passwords are hashed, until release is called.
func (s *Service) HoldHashing() (release func()) {
	for range hashesAtOnce {
		s.hasher.running <- struct{}{}
	}
	return func() {
		for range hashesAtOnce {
			<-s.hasher.running
		}
	}
}
