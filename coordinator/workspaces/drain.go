package workspaces

// Drain tells every provisioner to come back, to whoever is there next. Its jobs
// go on meanwhile.
func (s *Service) Drain() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, sess := range s.sessions {
		sess.end("the coordinator is shutting down; jobs go on, and it will be tried again")
	}
}

// Connected is how many provisioners have a session here.
func (s *Service) Connected() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.sessions)
}
