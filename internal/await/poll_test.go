package await

import (
	"context"
	"testing"
	"time"
)

// stopped moves only when somebody sleeps.
type stopped struct{ now time.Time }

func (c *stopped) Now() time.Time { return c.now }

func (c *stopped) Sleep(ctx context.Context, d time.Duration) error {
	c.now = c.now.Add(d)
	return ctx.Err()
}

func TestPollLongSeesNothingMuchLaterThanAnEighthOfTheWait(t *testing.T) {
	t.Parallel()
	pace := Pace{First: 2 * time.Second, Max: 10 * time.Second}
	for wait, most := range map[time.Duration]int{0: 1, 3 * time.Second: 2, 15 * time.Second: 8, time.Minute: 20, 3 * time.Minute: 33, 10 * time.Minute: 76} {
		clock, looks := &stopped{}, 0
		start := clock.now
		err := PollLong(t.Context(), clock, pace, func(context.Context) (bool, error) {
			looks++
			return clock.now.Sub(start) >= wait, nil
		})
		lag := clock.now.Sub(start) - wait
		if err != nil || looks > most || lag > max(pace.First, min(pace.Max, wait/4)) {
			t.Errorf("a wait of %v takes %d looks and is seen %v late, %v", wait, looks, lag, err)
		}
	}
}
