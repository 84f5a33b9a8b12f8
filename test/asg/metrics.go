package asg

// Metric names one metric of CloudWatch.
type Metric struct {
	Namespace, Name string
	Dimensions      map[string]string
}

// SetMetric gives a metric the value of the minute that is just over, instead
// of any it has. A metric that was never set nor put has no data and is not
// listed.
func (s *Service) SetMetric(m Metric, value float64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.watch.Set(m.Namespace, m.Name, m.Dimensions, value)
}
